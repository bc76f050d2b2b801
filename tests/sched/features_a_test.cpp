// Section A of the features, what the other files of this folder do not show: cancels at every moment of a task's life, the sets
// of tasks at every moment of a program, coroutine objects, names.
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <type_traits>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

std::string message_of(const TaskRef& task) {
  try {
    (void)task.exception();
  } catch (const Cancelled& cancelled) {
    return cancelled.message();
  }
  return "not cancelled";
}

// ---- coroutine object ----

static_assert(!std::is_copy_constructible_v<Coro<int>> && !std::is_copy_assignable_v<Coro<int>>);
static_assert(std::is_nothrow_move_constructible_v<Coro<int>>);

TEST(FeatureCoroutineObject, is_destroyed_unawaited_without_a_leak) {
  const auto token = std::make_shared<int>(1);
  const auto holds = [](std::shared_ptr<int> t) -> Coro<int> { co_return *t; };
  {
    Coro<int> first = holds(token);
    Coro<int> second = std::move(first);
    EXPECT_TRUE(second.is_new());
    EXPECT_FALSE(first.is_new());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(token.use_count(), 2);
    second = holds(token);
    EXPECT_EQ(token.use_count(), 2) << "the one before is gone";
  }
  EXPECT_EQ(token.use_count(), 1);
}

/// Whether a coroutine of a T can `co_return` a U.
template <class T, class U>
concept Returns = requires(detail::CoroPromise<T> promise, U&& value) { promise.return_value(std::forward<U>(value)); };

static_assert(Returns<const std::string&, const std::string&> && Returns<std::string, const char*>);
static_assert(!Returns<const std::string&, std::string> && !Returns<const std::string&, const char*>,
              "a temporary would be gone before anybody looks");

// ---- create_task, done, result, exception, cancelled ----

TEST(FeatureTaskOutcome, is_asked_for_when_done_and_not_before) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto value = create_task([]() -> Coro<int> { co_return 3; }());
    const auto failure = create_task([]() -> Coro<int> { throw std::out_of_range("far"); co_return 0; }());
    const auto cancelled = create_task([]() -> Coro<int> { co_await sleep(1h); co_return 0; }());
    for (const auto& task : {value, failure, cancelled}) {
      EXPECT_FALSE(task.done());
      EXPECT_FALSE(task.cancelled());
      EXPECT_THROW(task.result(), InvalidStateError);
      EXPECT_THROW((void)task.take(), InvalidStateError);
      EXPECT_THROW((void)task.exception(), InvalidStateError);
    }
    cancelled.cancel();
    co_await sleep(0);
    EXPECT_TRUE(value.done() && failure.done() && cancelled.done());
    EXPECT_EQ(value.result(), 3);
    EXPECT_EQ(value.exception(), nullptr);
    EXPECT_FALSE(value.cancelled());
    EXPECT_THROW(failure.result(), std::out_of_range);
    EXPECT_THROW(std::rethrow_exception(failure.exception()), std::out_of_range);
    EXPECT_FALSE(failure.cancelled());
    EXPECT_TRUE(cancelled.cancelled());
    EXPECT_THROW(cancelled.result(), Cancelled);
    EXPECT_THROW((void)cancelled.exception(), Cancelled);
    for (const auto& task : {value, failure, cancelled}) EXPECT_FALSE(task.cancel());
  }());
  EXPECT_EQ(log.text(), "");
}

// ---- cancel, cancelling, uncancel ----

TEST(FeatureCancel, of_a_new_task_comes_at_its_first_line) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto token = std::make_shared<int>(1);
    bool ran = false;
    const auto task = create_task([](std::shared_ptr<int>, bool& r) -> Coro<void> {
      r = true;
      co_return;
    }(token, ran));
    EXPECT_TRUE(task.cancel("not even begun"));
    EXPECT_EQ(task.state(), TaskState::ready);
    co_await sleep(0);
    EXPECT_FALSE(ran);
    EXPECT_EQ(message_of(task), "not even begun");
    EXPECT_EQ(token.use_count(), 1);
  }());
}

TEST(FeatureCancel, of_a_ready_task_comes_as_it_resumes) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    const auto gave_way = create_task([]() -> Coro<void> { co_await sleep(0); }(), {.eager_start = true});
    const auto elected = create_task([](PriorityLock& l) -> Coro<void> { auto mine = co_await l.acquire(); }(lock),
                                     {.eager_start = true});
    held.release();
    EXPECT_EQ(elected.state(), TaskState::ready);
    EXPECT_TRUE(gave_way.cancel("gave way"));
    EXPECT_TRUE(elected.cancel("elected"));
    EXPECT_FALSE(lock.locked()) << "what it was elected for has gone on";
    co_await sleep(0);
    EXPECT_EQ(message_of(gave_way), "gave way");
    EXPECT_EQ(message_of(elected), "elected");
  }());
}

TEST(FeatureCancel, during_the_eager_part_comes_at_the_first_suspension) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto by_itself = create_task([](Order& o) -> Coro<void> {
      EXPECT_TRUE(current_task().cancel("by itself"));
      o.push_back("went on");
      co_await sleep(1h);
      o.push_back("slept");
    }(order), {.eager_start = true});
    EXPECT_EQ(order, Order{"went on"});
    EXPECT_EQ(by_itself.cancelling(), 1U);
    const auto by_its_child = create_task([](Order& o) -> Coro<void> {
      const auto child = create_task([](TaskRef parent) -> Coro<void> {
        parent.cancel("by its child");
        co_return;
      }(current_task()), {.eager_start = true});
      o.push_back(child.done() ? "child ended" : "?");
      co_await sleep(1h);
    }(order), {.eager_start = true});
    const auto never_blocks = create_task([]() -> Coro<int> {
      current_task().cancel("nothing to throw at");
      co_return 6;
    }(), {.eager_start = true});
    EXPECT_EQ(never_blocks.result(), 6);
    EXPECT_FALSE(never_blocks.cancelled());
    co_await sleep(0);
    EXPECT_EQ(message_of(by_itself), "by itself");
    EXPECT_EQ(message_of(by_its_child), "by its child");
    EXPECT_EQ(order, (Order{"went on", "child ended"}));
  }());
  EXPECT_EQ(sim.driver.now_ns(), 0);
}

TEST(FeatureCancel, can_be_swallowed_as_often_as_it_comes) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int swallowed = 0;
    const auto stubborn = create_task([](int& n) -> Coro<int> {
      while (n < 5) {
        try {
          co_await sleep(1h);
        } catch (const Cancelled&) {
          ++n;
        }
      }
      co_return n;
    }(swallowed), {.eager_start = true});
    for (unsigned i = 1; i <= 5; ++i) {
      EXPECT_TRUE(stubborn.cancel());
      EXPECT_TRUE(stubborn.cancel()) << "counted, and one is delivered";
      EXPECT_EQ(stubborn.cancelling(), 2 * i);
      co_await sleep(0);
      EXPECT_EQ(swallowed, static_cast<int>(i));
    }
    EXPECT_EQ(co_await stubborn, 5);
    EXPECT_FALSE(stubborn.cancelled());
    EXPECT_EQ(stubborn.uncancel(), 9U);
  }());
}

TEST(FeatureCancel, may_become_another_exception_or_a_value) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto fails = create_task([]() -> Coro<int> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        throw std::runtime_error("instead");
      }
      co_return 0;
    }(), {.eager_start = true});
    fails.cancel();
    co_await sleep(0);
    EXPECT_FALSE(fails.cancelled());
    EXPECT_THROW(fails.result(), std::runtime_error);
  }());
  EXPECT_EQ(log.text(), "");
}

// ---- all_tasks ----

/// Asks at every dispatch whether all_tasks is what it has to be.
class SetsObserver final : public StepObserver {
 public:
  explicit SetsObserver(Loop& loop) noexcept : loop_(loop) {}

  void step_begins(const Entry& entry, std::int64_t) override { check(&entry); }
  void step_ended() override { check(nullptr); }
  int checks() const noexcept { return checks_; }

 private:
  void check(const Entry* chosen) {
    ++checks_;
    std::set<const Task*> expected;
    for (const TaskRef& task : ready_tasks(loop_)) EXPECT_TRUE(expected.insert(task.get()).second);
    std::size_t others = 0;
    for (const TaskRef& task : loop_.all_tasks()) {
      const bool is_chosen = static_cast<const Entry*>(task.get()) == chosen;
      if (task.state() == TaskState::blocked || is_chosen) {
        EXPECT_FALSE(expected.contains(task.get())) << task.name();
        ++others;
      } else {
        EXPECT_TRUE(expected.contains(task.get())) << task.name() << " is " << to_string(task.state());
      }
    }
    EXPECT_EQ(loop_.all_tasks().size(), expected.size() + others) << "the ready queue holds no other tasks";
  }

  Loop& loop_;
  int checks_ = 0;
};

/// runnable ∪ blocked ∪ {current}, each once.
void expect_sets_from_inside() {
  std::set<const Task*> all;
  std::set<const Task*> parts;
  for (const TaskRef& task : all_tasks()) EXPECT_TRUE(all.insert(task.get()).second);
  for (const TaskRef& task : runnable_tasks()) EXPECT_TRUE(parts.insert(task.get()).second);
  for (const TaskRef& task : blocked_tasks()) EXPECT_TRUE(parts.insert(task.get()).second);
  EXPECT_TRUE(parts.insert(current_task().get()).second);
  EXPECT_EQ(all, parts);
}

struct Chaos {
  std::mt19937 random{7};
  PriorityLock lock;
  int left = 300;

  int below(int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); }
};

Coro<void> act(Chaos& chaos);

Coro<void> act_once(Chaos& chaos) {
  switch (chaos.below(7)) {
    case 0:
      co_await sleep(0);
      break;
    case 1:
      co_await sleep(std::chrono::microseconds(chaos.below(300)));
      break;
    case 2: {
      auto held = co_await chaos.lock.acquire();
      co_await sleep(1us);
      break;
    }
    case 3: {
      const auto all = all_tasks();
      all.at(static_cast<std::size_t>(chaos.below(static_cast<int>(all.size())))).cancel();
      break;
    }
    case 4:
      co_await sleep_insert(static_cast<std::size_t>(chaos.below(3)));
      break;
    default:
      if (chaos.left-- > 0) {
        const bool lazy = chaos.below(2) == 0;
        const auto child = create_task(act(chaos), {.priority = chaos.below(3), .eager_start = !lazy});
        if (chaos.below(2) == 0) co_await child;
      }
  }
}

Coro<void> act(Chaos& chaos) {
  for (int i = 0; i < 6; ++i) {
    try {
      co_await act_once(chaos);
    } catch (const Cancelled&) {
    }
    if (current_task().get()->id() != 0) expect_sets_from_inside();
  }
}

TEST(FeatureAllTasks, is_runnable_and_blocked_and_current_at_every_moment) {
  Sim sim;
  SetsObserver observer(sim.loop);
  sim.loop.set_observer(&observer);
  sim.run([]() -> Coro<void> {
    Chaos chaos;
    for (int i = 0; i < 10; ++i) create_task(act(chaos), {.priority = i % 3});
    while (all_tasks().size() > 1) {
      try {
        co_await sleep(1ms);
      } catch (const Cancelled&) {
      }
    }
  }());
  EXPECT_GT(observer.checks(), 1000);
  sim.loop.set_observer(nullptr);
}

}  // namespace
}  // namespace heirloop::testing
