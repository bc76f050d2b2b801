// Tasks and handles: states, names, results of every kind, eager starts, exceptions that nobody fetched.
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Coro<void> sleeps() { co_await sleep(1h); }
Coro<void> ends() { co_return; }
Coro<void> fails(std::string what) {
  co_await sleep(0);
  throw std::runtime_error(what);
}

bool is_listed(const TaskRef& task) {
  const auto all = all_tasks();
  return std::find(all.begin(), all.end(), task) != all.end();
}

// ---- states and names ----

TEST(TaskTest, goes_through_its_states) {
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    EXPECT_EQ(current_task().state(), TaskState::running);
    auto task = create_task([]() -> Coro<void> {
      EXPECT_EQ(current_task().state(), TaskState::running);
      co_await sleep(1ms);
    }());
    EXPECT_EQ(task.state(), TaskState::ready);
    EXPECT_EQ(states_wrong(s.loop), "");
    co_await sleep(0);
    EXPECT_EQ(task.state(), TaskState::blocked);
    EXPECT_EQ(states_wrong(s.loop), "");
    EXPECT_TRUE(is_listed(task));
    s.driver.advance(1ms);
    create_task(ends(), {.priority = priority::always_first});
    co_await task;
    EXPECT_EQ(task.state(), TaskState::done);
    EXPECT_FALSE(is_listed(task));
    EXPECT_EQ(states_wrong(s.loop), "");
  }(sim));
}

TEST(TaskTest, has_a_number_for_a_name_unless_given_one) {
  Sim sim;
  const auto main = sim.loop.create_task([](Sim& s) -> Coro<void> {
    EXPECT_EQ(current_task().name(), "Task-1");
    auto second = create_task(ends());
    EXPECT_EQ(second.name(), "Task-2");
    auto eager_that_ends = create_task(ends(), {.eager_start = true});
    auto eager = create_task(
        []() -> Coro<void> {
          EXPECT_THAT(current_task().name(), HasSubstr("eager"));
          co_await sleep(0);
          EXPECT_EQ(current_task().name(), "Task-3");
        }(),
        {.eager_start = true});
    EXPECT_EQ(eager.name(), "Task-3") << "one that ended in its eager part takes no number";
    std::string given = "temporary";
    auto named = create_task(sleeps(), {.name = given});
    given.assign(200, 'x');
    EXPECT_EQ(named.name(), "temporary");
    named.set_name(given);
    EXPECT_EQ(named.name(), given);
    EXPECT_EQ(create_task(ends()).name(), "Task-5");
    named.cancel();
    co_await eager;
    EXPECT_EQ(states_wrong(s.loop), "");
  }(sim));
  sim.loop.run_until_done(main);
  sim.loop.finish();
  main.result();
}

TEST(TaskTest, takes_the_base_priority_of_its_creator) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto child = create_task(
        []() -> Coro<void> {
          EXPECT_EQ(create_task(ends()).priority(), -3);
          co_return;
        }(),
        {.priority = -3.0});
    EXPECT_EQ(create_task(ends()).priority(), 0);
    EXPECT_THROW(create_task(ends(), {.priority = std::nan("")}), std::invalid_argument);
    EXPECT_THROW(child.set_priority(std::nan("")), std::invalid_argument);
    EXPECT_EQ(child.priority(), -3);
    auto zero = create_task(ends(), {.priority = -0.0});
    EXPECT_FALSE(std::signbit(zero.priority()));
    co_await child;
  }());
}

TEST(TaskTest, belongs_to_tasks_alone) {
  EXPECT_THROW(current_task(), InvalidStateError);
  EXPECT_THROW(create_task(ends()), InvalidStateError);
  EXPECT_THROW(TaskRef().done(), InvalidStateError);
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    bool ran = false;
    s.loop.call_soon([&] {
      ran = true;
      EXPECT_THROW(current_task(), InvalidStateError);
      auto from_handle = create_task(ends(), {.eager_start = true});
      EXPECT_TRUE(from_handle.done());
      EXPECT_THROW(current_task(), InvalidStateError);
    });
    co_await sleep(0);
    EXPECT_TRUE(ran);
    Coro<void> used = ends();
    co_await used;
    EXPECT_THROW(create_task(std::move(used)), InvalidStateError);
  }(sim));
}

// ---- results ----

struct MoveOnly {
  explicit MoveOnly(int v) : value(std::make_unique<int>(v)) {}
  std::unique_ptr<int> value;
};

TEST(TaskTest, gives_values_of_every_kind) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int target = 1;
    auto number = create_task([]() -> Coro<int> { co_return 5; }());
    auto text = create_task([]() -> Coro<std::string> { co_return std::string(100, 'a'); }());
    auto moved = create_task([]() -> Coro<MoveOnly> { co_return MoveOnly(7); }());
    auto reference = create_task([](int& t) -> Coro<int&> { co_return t; }(target));
    auto constant = create_task([](const int& t) -> Coro<const int&> { co_return t; }(target));
    EXPECT_THROW(number.result(), InvalidStateError);
    EXPECT_THROW((void)number.exception(), InvalidStateError);
    EXPECT_EQ(co_await number, 5);
    EXPECT_EQ(co_await number, 5);
    EXPECT_EQ(number.result(), 5);
    EXPECT_EQ((co_await text).size(), 100U);
    EXPECT_EQ((co_await text).size(), 100U) << "many awaiters, each gets a copy";
    EXPECT_EQ(text.result().size(), 100U);
    const MoveOnly taken = co_await moved;
    EXPECT_EQ(*taken.value, 7);
    int& same = co_await reference;
    same = 2;
    EXPECT_EQ(target, 2);
    EXPECT_EQ(&reference.result(), &target);
    const int& same_again = co_await constant;
    EXPECT_EQ(&same_again, &target);
    EXPECT_EQ(number.exception(), nullptr);
  }());
}

/// The order in which four awaiters of one task go on.
Order order_of_awaiters(PolicyKind policy) {
  LoopOptions options;
  options.policy = policy;
  Sim sim(options);
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto task = create_task([]() -> Coro<int> {
      co_await sleep(1ms);
      co_return 9;
    }());
    const auto joins = [](PriorityTask<int> t, Order& out, std::string name) -> Coro<void> {
      EXPECT_EQ(co_await t, 9);
      out.push_back(name);
    };
    create_task(joins(task, o, "low"), {.priority = 10.0});
    create_task(joins(task, o, "a"));
    create_task(joins(task, o, "b"));
    create_task(joins(task, o, "high"), {.priority = -10.0});
    co_await sleep(1s);
  }(order));
  return order;
}

TEST(TaskTest, ends_many_awaiters_in_the_policys_order) {
  EXPECT_EQ(order_of_awaiters(PolicyKind::strict), (Order{"high", "a", "b", "low"}));
  EXPECT_EQ(order_of_awaiters(PolicyKind::aging), (Order{"high", "a", "b", "low"}));
  EXPECT_EQ(order_of_awaiters(PolicyKind::fifo), (Order{"low", "a", "b", "high"})) << "in the order in which they came";
}

TEST(TaskTest, frees_its_frame_as_it_ends) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto shared = std::make_shared<int>(1);
    auto task = create_task([](std::shared_ptr<int> kept) -> Coro<std::shared_ptr<int>> {
      auto local = kept;
      co_return kept;
    }(shared));
    co_await sleep(0);
    EXPECT_TRUE(task.done());
    EXPECT_EQ(shared.use_count(), 2) << "ours and the result; neither local nor parameter";
    task = {};
    EXPECT_EQ(shared.use_count(), 1);
  }());
}

TEST(TaskTest, runs_though_nobody_holds_it) {
  Sim sim;
  int runs = 0;
  sim.run([](int& n) -> Coro<void> {
    create_task([](int& m) -> Coro<void> {
      co_await sleep(1ms);
      ++m;
    }(n));
    co_await sleep(1s);
  }(runs));
  EXPECT_EQ(runs, 1);
}

TEST(TaskTest, outlives_its_loop_in_a_handle) {
  PriorityTask<int> kept;
  {
    Sim sim;
    sim.run([](PriorityTask<int>& k) -> Coro<void> {
      k = create_task([]() -> Coro<int> { co_return 3; }());
      co_await k;
    }(kept));
  }
  const PriorityTask<int> copy = kept;
  EXPECT_EQ(copy, kept);
  EXPECT_EQ(copy.result(), 3);
  EXPECT_FALSE(copy.cancel());
  EXPECT_THROW(copy.set_priority(1), InvalidStateError);
}

// ---- exceptions that nobody fetched ----

TEST(TaskTest, logs_an_exception_that_nobody_fetched_once) {
  LogCapture log;
  Sim sim;
  sim.run([](LogCapture& l) -> Coro<void> {
    create_task(fails("no handle"));
    co_await sleep(1ms);
    EXPECT_EQ(l.count("no handle"), 1U);
    auto kept = create_task(fails("kept to the end"), {.name = "kept"});
    auto copy = kept;
    co_await sleep(1ms);
    EXPECT_EQ(l.count("kept to the end"), 0U);
    kept = {};
    EXPECT_EQ(l.count("kept to the end"), 0U);
    copy = {};
    EXPECT_EQ(l.count("kept to the end"), 1U);
  }(log));
  EXPECT_EQ(log.count("no handle"), 1U);
  EXPECT_EQ(log.count("error: kept failed, and nobody fetched its exception: "), 1U) << log.text();
}

TEST(TaskTest, does_not_log_what_was_fetched_or_cancelled) {
  LogCapture log;
  Sim sim;
  PriorityTask<void> outlives;
  sim.run([](PriorityTask<void>& kept) -> Coro<void> {
    auto awaited = create_task(fails("awaited"));
    try {
      co_await awaited;
    } catch (const std::runtime_error&) {
    }
    auto asked = create_task(fails("asked"));
    co_await sleep(1ms);
    EXPECT_TRUE(asked.exception());
    auto cancelled = create_task(sleeps());
    cancelled.cancel();
    kept = create_task(fails("never fetched"));
    co_await sleep(1ms);
  }(outlives));
  EXPECT_EQ(log.count("never fetched"), 1U) << "at the latest when the loop ends";
  outlives = {};
  EXPECT_EQ(log.count("\n"), 1U) << log.text();
}

TEST(TaskTest, an_awaiter_that_was_interrupted_has_fetched_nothing) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto failing = create_task(fails("lost"));
    auto joins =
        create_task([](PriorityTask<void> t) -> Coro<void> { co_await t; }(failing), {.eager_start = true});
    task_throw(joins, InterruptException("leaves"));
    failing = {};
    co_await sleep(1ms);
    EXPECT_TRUE(joins.exception());
  }());
  EXPECT_EQ(log.count("lost"), 1U) << log.text();
}

// ---- eager starts ----

TEST(EagerStart, runs_inside_the_call_under_its_own_identity) {
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    const TaskRef me = current_task();
    const std::size_t before = all_tasks().size();
    TaskRef identity;
    bool went_on = false;
    auto task = create_task(
        [](TaskRef& id, TaskRef starter, std::size_t count, bool& on) -> Coro<void> {
          id = current_task();
          EXPECT_NE(id, starter);
          EXPECT_EQ(id.state(), TaskState::running);
          EXPECT_EQ(starter.state(), TaskState::running);
          EXPECT_EQ(all_tasks().size(), count) << "it enters as it first blocks";
          co_await sleep(0);
          on = true;
        }(identity, me, before, went_on),
        {.eager_start = true});
    EXPECT_EQ(identity, task);
    EXPECT_EQ(current_task(), me);
    EXPECT_EQ(task.state(), TaskState::ready);
    EXPECT_EQ(all_tasks().size(), before + 1);
    EXPECT_FALSE(went_on);
    EXPECT_EQ(states_wrong(s.loop), "");
    co_await task;
    EXPECT_TRUE(went_on);
  }(sim));
}

TEST(EagerStart, that_ends_at_once_was_never_a_task_for_others) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto before = Loop::current().dispatches();
    auto task = create_task([]() -> Coro<int> { co_return 4; }(), {.eager_start = true});
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.result(), 4);
    EXPECT_EQ(all_tasks().size(), 1U);
    EXPECT_EQ(co_await task, 4);
    EXPECT_EQ(Loop::current().dispatches(), before);
  }());
}

TEST(EagerStart, owns_locks_from_its_first_instruction) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    auto task = create_task(
        [](PriorityLock& l) -> Coro<void> {
          auto held = co_await l.acquire();
          EXPECT_EQ(l.owner(), current_task().get());
          co_await sleep(1ms);
        }(lock),
        {.eager_start = true});
    EXPECT_EQ(lock.owner(), task.get());
    co_await task;
    EXPECT_FALSE(lock.locked());
  }());
}

Coro<void> nest(int depth, int& deepest) {
  deepest = depth;
  if (depth > 1000) co_return;
  auto child = create_task(nest(depth + 1, deepest), {.eager_start = true});
  co_await child;
}

TEST(EagerStart, nested_too_deep_is_an_error_that_names_the_way_out) {
  LoopOptions options;
  options.max_nested_starts = 20;
  Sim sim(options);
  int deepest = 0;
  std::string text;
  sim.run([](int& d, std::string& what) -> Coro<void> {
    try {
      co_await nest(0, d);
    } catch (const InvalidStateError& error) {
      what = error.what();
    }
    co_await create_task(ends(), {.eager_start = true});  // and the next one works
  }(deepest, text));
  EXPECT_EQ(deepest, 20);
  EXPECT_THAT(text, HasSubstr("max_nested_starts"));
  EXPECT_THAT(text, HasSubstr("without eager_start"));
}

/// True when creating a task of it is refused.
template <class T>
bool is_refused(Coro<T>& coro, const TaskOptions& options) {
  try {
    create_task(std::move(coro), options);
    return false;
  } catch (const InvalidStateError&) {
    return true;
  }
}

TEST(EagerStart, nested_too_deep_leaves_the_coroutine_with_its_caller) {
  LoopOptions options;
  options.max_nested_starts = 1;
  Sim sim(options);
  sim.run([]() -> Coro<void> {
    const auto first = [](bool& awaited) -> Coro<void> {
      Coro<void> second = ends();
      EXPECT_TRUE(is_refused(second, {.eager_start = true}));
      EXPECT_TRUE(second.is_new());
      co_await second;
      awaited = true;
    };
    bool awaited = false;
    create_task(first(awaited), {.eager_start = true});
    co_await sleep(0);
    EXPECT_TRUE(awaited);
  }());
}

TEST(CreateTask, leaves_a_coroutine_alone_that_somebody_awaits) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Coro<void> shared = fails("its end");
    const auto awaits = [](Coro<void>& coro, std::string& end) -> Coro<void> {
      try {
        co_await coro;
      } catch (const std::runtime_error& error) {
        end = error.what();
      }
    };
    std::string end;
    auto task = create_task(awaits(shared, end), {.eager_start = true});
    for (const char* name : {"", "named"}) EXPECT_TRUE(is_refused(shared, {.name = name}));
    co_await task;
    EXPECT_EQ(end, "its end");
    Coro<void> nothing;
    EXPECT_TRUE(is_refused(nothing, {}));
  }());
}

/// Holds nothing itself, but what it is part of does.
template <class Whole>
struct HalfAnAwaiter {
  bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  int await_resume() const noexcept { return static_cast<const Whole*>(this)->value; }
};
struct WholeAwaiter : HalfAnAwaiter<WholeAwaiter> {
  int value = 42;
};

TEST(AwaitTest, of_an_empty_base_is_of_that_object) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    WholeAwaiter whole;
    HalfAnAwaiter<WholeAwaiter>& half = whole;
    EXPECT_EQ(co_await half, 42);
  }());
}

TEST(EagerStart, keeps_the_starters_step) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto say = [](Order& out, std::string what) -> Coro<void> {
      out.push_back(what);
      co_await sleep(0);
      out.push_back(what + " again");
    };
    auto first = create_task(say(o, "lazy"));
    auto second = create_task(say(o, "eager"), {.eager_start = true});
    o.push_back("starter");
    co_await first;
    co_await second;
  }(order));
  EXPECT_EQ(order, (Order{"eager", "starter", "lazy", "eager again", "lazy again"}));
}

// ---- coroutines ----

TEST(CoroTest, is_lazy_and_awaited_once) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int runs = 0;
    const auto count = [](int& n) -> Coro<int> { co_return ++n; };
    Coro<int> dropped = count(runs);
    Coro<int> coro = count(runs);
    EXPECT_TRUE(coro.is_new());
    EXPECT_EQ(runs, 0);
    EXPECT_EQ(co_await coro, 1);
    EXPECT_TRUE(coro.is_finished());
    EXPECT_FALSE(coro.is_new());
    bool refused = false;
    try {
      co_await coro;
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    Coro<int> empty;
    EXPECT_FALSE(empty);
    refused = false;
    try {
      co_await empty;
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    EXPECT_EQ(runs, 1);
  }());
}

TEST(CoroTest, passes_exceptions_on) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::string caught;
    try {
      co_await fails("inner");
    } catch (const std::runtime_error& error) {
      caught = error.what();
    }
    EXPECT_EQ(caught, "inner");
  }());
}

}  // namespace
}  // namespace heirloop::testing
