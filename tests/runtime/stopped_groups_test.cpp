// What awaits several or for a limited time, stopped at every suspension and at every moment between wake-up and run
// (support/suspension_harness.hpp): no child outlives its block, what is only watched goes on, clean-up is done.
#include <heirloop/heirloop.hpp>

#include "support/suspension_harness.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <tuple>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Children that take a lock, which others want too.
struct Children {
  PriorityLock lock{"lock"};
  int alive = 0;

  struct Alive {
    explicit Alive(int& c) noexcept : count(c) { ++count; }
    Alive(const Alive&) = delete;
    Alive& operator=(const Alive&) = delete;
    ~Alive() { --count; }
    int& count;
  };
  /// As its block is left no child is alive.
  struct NoneLeft {
    explicit NoneLeft(const int& c) noexcept : count(c) {}
    NoneLeft(const NoneLeft&) = delete;
    NoneLeft& operator=(const NoneLeft&) = delete;
    ~NoneLeft() { EXPECT_EQ(count, 0); }
    const int& count;
  };

  Coro<int> child(std::chrono::milliseconds span, int value) {
    const Alive one(alive);
    auto held = co_await lock.acquire();
    co_await sleep(span);
    held.release();
    co_await sleep(0);
    co_return value;
  }
  Coro<void> help() {
    for (int i = 0; i < 3; ++i) {
      auto held = co_await lock.acquire();
      co_await sleep(1ms);
      held.release();
      co_await sleep(0);
    }
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(alive, 0);
    EXPECT_FALSE(lock.locked());
    EXPECT_EQ(lock.waiter_count(), 0U);
  }
};

struct GroupScene : Children {
  Coro<void> operate() {
    const NoneLeft none(alive);
    const auto inner = [this](TaskGroup& group) -> Coro<void> {
      group.start_soon(child(1ms, 3));
      co_await sleep(1ms);
    };
    const auto body = [&](TaskGroup& group) -> Coro<void> {
      group.start_soon(child(1ms, 1), {.priority = -1.0});
      group.start_soon(child(2ms, 2), {.priority = 5.0});
      co_await with_task_group(inner);
      group.start_soon(child(1ms, 4));
    };
    co_await with_task_group(body);
  }
};

TEST(StoppedGroups, group) { stop_in_both_states<GroupScene>(21); }

struct GroupStartScene : Children {
  Coro<void> operate() {
    const NoneLeft none(alive);
    const auto ready_later = [this](TaskStatus<int> status) -> Coro<void> {
      const int value = co_await child(1ms, 5);
      status.started(value);
      co_await child(1ms, 0);
    };
    const auto body = [&](TaskGroup& group) -> Coro<void> {
      const int value = co_await group.start<int>(ready_later);
      EXPECT_EQ(value, 5);
    };
    co_await with_task_group(body);
  }
};

TEST(StoppedGroups, start_of_a_child_that_reports) { stop_in_both_states<GroupStartScene>(21); }

struct GatherScene : Children {
  Coro<void> operate() {
    const NoneLeft none(alive);
    const auto values = co_await gather(child(1ms, 1), child(2ms, 2), child(1ms, 3));
    EXPECT_EQ(values, std::make_tuple(1, 2, 3));
  }
};

TEST(StoppedGroups, gather_of_coroutines) { stop_in_both_states<GatherScene>(21); }

/// Tasks that somebody else made.
struct TasksScene : Children {
  std::vector<PriorityTask<int>> tasks;

  void make_tasks() {
    for (int i = 1; i <= 3; ++i) tasks.push_back(create_task(child(1ms, i), {.priority = 2.0 * i}));
  }
  Coro<void> all_end() {
    for (const auto& task : tasks) {
      while (!task.done()) co_await sleep(1ms);
    }
  }
};

struct GatherTasksScene : TasksScene {
  Coro<void> operate() {
    make_tasks();
    const std::vector<int> values = co_await gather(tasks);
    EXPECT_EQ(values, (std::vector<int>{1, 2, 3}));
  }
  /// A cancel has gone to all that had not ended; anything else to none.
  Coro<void> after() {
    co_await all_end();
    for (const auto& task : tasks) {
      EXPECT_TRUE(task.cancelled() || task.exception() == nullptr);
    }
  }
};

TEST(StoppedGroups, gather_of_tasks) { stop_in_both_states<GatherTasksScene>(21); }

/// Outcomes of all, a future and ranges among them. A cancel goes to the future too, anything else leaves it alone.
struct GatherOutcomesScene : Children {
  LogCapture log;  // a failure that comes when the victim has gone
  Promise<int> promise;
  Future<int> future = promise.future();

  Coro<int> fails() {
    co_await child(1ms, 0);
    throw std::runtime_error("an outcome like others");
  }
  std::vector<Coro<int>> range() {
    std::vector<Coro<int>> coros;
    for (const int value : {1, 2}) coros.push_back(child(1ms, value));
    return coros;
  }
  Coro<void> operate() {
    const NoneLeft none(alive);
    const auto outcomes = co_await gather(return_exceptions, child(1ms, 1), fails(), future);
    EXPECT_EQ(std::get<0>(outcomes).value(), 1);
    EXPECT_FALSE(std::get<1>(outcomes).has_value());
    EXPECT_EQ(std::get<2>(outcomes).value(), 5);
    const std::vector<int> values = co_await gather(range());
    EXPECT_EQ(values, (std::vector<int>{1, 2}));
    const auto of_range = co_await gather(return_exceptions, range());
    EXPECT_EQ(of_range.size(), 2U);
  }
  Coro<void> help() {
    co_await Children::help();
    if (!future.done()) promise.set_value(5);
  }
  void check(Ending ending) {
    Children::check(ending);
    EXPECT_TRUE(future.done());
    EXPECT_TRUE(ending == Ending::stopped || future.result() == 5);
  }
};

TEST(StoppedGroups, gather_of_outcomes_futures_and_ranges) { stop_in_both_states<GatherOutcomesScene>(21); }

/// Whatever stops the victim, what it awaits behind a shield goes on to its end.
struct ShieldScene : TasksScene {
  int made_here = 0;

  Coro<int> made() {
    const int value = co_await child(1ms, 9);
    made_here += value;
    co_return value;
  }
  Coro<void> operate() {
    make_tasks();
    EXPECT_EQ(co_await shield(tasks[0]), 1);
    EXPECT_EQ(co_await shield(made()), 9);
    EXPECT_EQ(co_await shield(tasks[2]), 3);
  }
  Coro<void> after() {
    co_await all_end();
    while (alive > 0) co_await sleep(1ms);
    for (std::size_t i = 0; i < tasks.size(); ++i) EXPECT_EQ(tasks[i].result(), static_cast<int>(i) + 1);
    EXPECT_EQ(made_here % 9, 0);
  }
};

TEST(StoppedGroups, shield) { stop_in_both_states<ShieldScene>(21); }

/// Whatever stops the victim, the futures wait for their values as before, and nobody watches them any more.
struct FuturesScene : Children {
  Promise<int> promises[4];
  std::vector<Future<int>> futures{promises[0].future(), promises[1].future(), promises[2].future()};

  Coro<void> operate() {
    const auto first = co_await wait(futures, ReturnWhen::first_completed);
    EXPECT_GE(first.done.size(), 1U);
    auto completed = as_completed(futures, 1h);
    while (const auto future = co_await completed.next()) EXPECT_EQ(future.result(), 7);
    EXPECT_EQ(co_await shield(promises[3].future()), 7);
  }
  Coro<void> help() {
    for (auto& promise : promises) {
      co_await Children::help();
      EXPECT_FALSE(promise.cancelled());
      promise.set_value(7);
    }
  }
  Coro<void> after() {
    co_await sleep(1ms);
    EXPECT_EQ(all_tasks().size(), 1U);
  }
};

TEST(StoppedGroups, futures_that_are_only_watched) { stop_in_both_states<FuturesScene>(21); }

struct WaitScene : TasksScene {
  Coro<void> operate() {
    make_tasks();
    const auto first = co_await wait(tasks, ReturnWhen::first_completed);
    EXPECT_GE(first.done.size(), 1U);
    const auto all = co_await wait(tasks, ReturnWhen::all_completed, 1h);
    EXPECT_EQ(all.done.size(), 3U);
  }
  Coro<void> after() {
    co_await all_end();
    for (std::size_t i = 0; i < tasks.size(); ++i) EXPECT_EQ(tasks[i].result(), static_cast<int>(i) + 1);
  }
};

TEST(StoppedGroups, wait_for_tasks_that_go_on) { stop_in_both_states<WaitScene>(21); }

struct AsCompletedScene : TasksScene {
  std::optional<AsCompleted<PriorityTask<int>>> completed;
  std::multiset<int> given;

  Coro<bool> take_one() {
    const auto task = co_await completed->next();
    if (task) given.insert(task.result());
    co_return static_cast<bool>(task);
  }
  Coro<void> operate() {
    make_tasks();
    completed.emplace(tasks);
    for (bool more = true; more;) more = co_await take_one();
  }
  /// Who was stopped can go on where it was.
  Coro<void> after() {
    for (bool more = completed.has_value(); more;) more = co_await take_one();
    if (completed) {
      EXPECT_EQ(given, (std::multiset<int>{1, 2, 3}));
    }
    completed.reset();
  }
};

TEST(StoppedGroups, as_completed) { stop_in_both_states<AsCompletedScene>(21); }

/// A cancel of who waits cancels the future, anything else leaves it to the others.
struct FutureScene {
  Promise<int> promise;
  Future<int> future = promise.future();

  Coro<void> operate() {
    const int value = co_await future;
    EXPECT_EQ(value, 5);
  }
  Coro<void> help() {
    co_await sleep(2ms);
    if (!future.done()) promise.set_value(5);
  }
  Coro<void> after() {
    EXPECT_TRUE(future.done());
    try {
      EXPECT_EQ(co_await future, 5);
    } catch (const Cancelled&) {
    }
  }
  void check(Ending ending) { EXPECT_NE(ending, Ending::other); }
};

TEST(StoppedGroups, future) { stop_in_both_states<FutureScene>(21); }

/// Limits inside the block that is stopped: of each kind one that passes and one that does not.
struct LimitScene : Children {
  int passed = 0;

  Coro<void> blocks() {
    const NoneLeft none(alive);
    const auto quick = [this]() { return child(1ms, 1); };
    const auto slow = [this]() { return child(1h, 1); };
    co_await timeout(1min, quick);
    try {
      co_await timeout(5ms, slow);
    } catch (const TimeoutError&) {
      ++passed;
    }
    co_await task_timeout(1min, quick);
    try {
      co_await task_timeout(5ms, slow);
    } catch (const TimeoutError&) {
      ++passed;
    }
    const std::optional<int> value = co_await move_on_after(1min, quick);
    EXPECT_EQ(value, 1);
    const std::optional<int> none_yet = co_await move_on_after(5ms, slow);
    EXPECT_EQ(none_yet, std::nullopt);
  }
  Coro<void> operate() {
    co_await blocks();
    auto task = create_task(child(1ms, 2));
    EXPECT_EQ(co_await wait_for(task, 1min), 2);
  }
  Coro<void> after() {
    while (alive > 0) co_await sleep(1ms);  // a task that was given to wait_for goes on when an interrupt comes
  }
  void check(Ending ending) {
    Children::check(ending);
    EXPECT_TRUE(passed == 2 || ending == Ending::stopped);
  }
};

TEST(StoppedGroups, limits_of_both_kinds) { stop_in_both_states<LimitScene>(21); }

/// The same by points in time, and waits for a coroutine and a future.
struct LimitPointsScene : Children {
  int passed = 0;
  Promise<int> in_time;
  Promise<int> too_late;

  Coro<void> operate() {
    const NoneLeft none(alive);
    const auto slow = [this]() { return child(1h, 1); };
    try {
      co_await timeout_at(loop_time() + 3ms, slow);
    } catch (const TimeoutError&) {
      ++passed;
    }
    try {
      co_await task_timeout_at(loop_time() + 3ms, slow);
    } catch (const TimeoutError&) {
      ++passed;
    }
    EXPECT_EQ(co_await move_on_at(loop_time() + 3ms, slow), std::nullopt);
    EXPECT_EQ(co_await wait_for(child(1ms, 4), 1min), 4);
    EXPECT_EQ(co_await wait_for(in_time.future(), 1min), 5);
    try {
      co_await wait_for(too_late.future(), 2ms);
    } catch (const TimeoutError&) {
      ++passed;
    }
    EXPECT_TRUE(too_late.cancelled());
  }
  Coro<void> help() {
    co_await Children::help();
    co_await sleep(20ms);
    if (!in_time.done()) in_time.set_value(5);
  }
  void check(Ending ending) {
    Children::check(ending);
    EXPECT_TRUE(passed == 3 || ending == Ending::stopped);
  }
};

TEST(StoppedGroups, limits_at_points_in_time_and_of_single_waits) { stop_in_both_states<LimitPointsScene>(21); }

/// The clean-up runs to its end, unless an interrupt is thrown into it.
struct EnsureScene {
  bool begun = false;
  bool cleaned = false;
  bool hit_inside = false;

  Coro<void> body() {
    begun = true;
    co_await sleep(2ms);
  }
  Coro<void> clean_up() {
    try {
      co_await sleep(1ms);
      co_await sleep(0);
      cleaned = true;
    } catch (const Cancelled&) {
      ADD_FAILURE() << "a cancel came through the shield";
      throw;
    } catch (const TimeoutInterrupt&) {
      ADD_FAILURE() << "a limit came through the shield";
      throw;
    } catch (const InterruptException&) {
      hit_inside = true;
      throw;
    }
  }
  Coro<void> operate() {
    const auto first = [this]() { return body(); };
    const auto then = [this]() { return clean_up(); };
    co_await ensure(first, then);
    co_await sleep(1ms);  // what the shield kept back comes here
  }
  Coro<void> help() { co_await sleep(1ms); }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(!begun || cleaned || hit_inside);
  }
};

TEST(StoppedGroups, ensure) { stop_in_both_states<EnsureScene>(21); }

// ---- the request to drain, which belongs to run ----

Coro<void> wait_for_the_drain(bool& drained) {
  co_await drain_requested();
  drained = true;
}

TEST(StoppedGroups, request_to_drain) {
  for (const Stop how : {Stop::by_cancel, Stop::by_throw, Stop::by_interrupt}) {
    for (const bool ready : {false, true}) {
      run([](Stop way, bool elected) -> Coro<void> {
        bool first_drained = false;
        bool second_drained = false;
        auto first = create_task(wait_for_the_drain(first_drained), {.eager_start = true});
        auto second = create_task(wait_for_the_drain(second_drained), {.eager_start = true});
        if (elected) request_drain();
        if (way == Stop::by_cancel) {
          first.cancel();
        } else if (way == Stop::by_interrupt) {
          EXPECT_NE(co_await task_interrupt(first, InterruptException("now")), InterruptOutcome::replaced);
        } else {
          task_throw(first, InterruptException("soon"));
        }
        if (!elected) request_drain();
        co_await second;
        while (!first.done()) co_await sleep(0);
        EXPECT_TRUE(first.cancelled() || first.exception() != nullptr);
        EXPECT_FALSE(first_drained);
        EXPECT_TRUE(second_drained);
      }(how, ready));
    }
  }
}

}  // namespace
}  // namespace heirloop::testing
