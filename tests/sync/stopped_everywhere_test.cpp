// Every primitive, stopped at every suspension and at every moment between wake-up and run
// (support/suspension_harness.hpp).
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/suspension_harness.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

struct SleepScene {
  Coro<void> operate() {
    co_await sleep(2ms);
    co_await sleep(0);
    co_await sleep(3ms);
    co_await checkpoint();
  }
  Coro<void> help() { co_await sleep(1ms); }
  void check(Ending ending) { EXPECT_NE(ending, Ending::other); }
};

TEST(StoppedEverywhere, sleep) { stop_in_both_states<SleepScene>(); }

/// Two locks, others before and behind the victim in both queues. No lock is lost, none is held by two.
struct LockScene {
  PriorityLock a{"a"};
  PriorityLock b{"b"};
  int inside_a = 0;
  int inside_b = 0;
  int others_done = 0;

  Coro<void> inside(PriorityLock& lock, int& count, std::chrono::milliseconds span) {
    auto held = co_await lock.acquire();
    EXPECT_EQ(++count, 1);
    EXPECT_TRUE(lock.held_by_current_task());
    const Count guard(count);
    co_await sleep(span);
    co_await sleep(0);
  }
  Coro<void> operate() {
    co_await sleep(2ms);  // others hold both, others wait
    auto on_a = co_await a.acquire();
    EXPECT_EQ(++inside_a, 1);
    const Count guard(inside_a);
    co_await inside(b, inside_b, 1ms);
  }
  Coro<void> other(PriorityLock& lock, int& count) {
    co_await inside(lock, count, 2ms);
    ++others_done;
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    for (const double value : {3.0, 1.0, -1.0, 0.5}) {
      tasks.push_back(create_task(other(a, inside_a), {.priority = value, .eager_start = true}));
      tasks.push_back(create_task(other(b, inside_b), {.priority = value, .eager_start = true}));
      co_await sleep(1ms);
    }
    for (const auto& task : tasks) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 8);
    for (const PriorityLock* lock : {&a, &b}) {
      EXPECT_FALSE(lock->locked());
      EXPECT_EQ(lock->waiter_count(), 0U);
    }
    EXPECT_EQ(inside_a, 0);
    EXPECT_EQ(inside_b, 0);
  }

  struct Count {
    explicit Count(int& c) : count(c) {}
    Count(const Count&) = delete;
    Count& operator=(const Count&) = delete;
    ~Count() { --count; }
    int& count;
  };
};

TEST(StoppedEverywhere, lock) { stop_in_both_states<LockScene>(); }

/// The lock is held on every way out; every other waiter gets a notify.
struct ConditionScene {
  PriorityLock lock{"lock"};
  PriorityCondition condition{lock};
  int turns = 0;
  int others_done = 0;

  Coro<void> one_turn() {
    auto held = co_await lock.acquire();
    std::exception_ptr error;
    const int seen = turns;
    try {
      co_await condition.wait_for([&] { return turns > seen; });
    } catch (...) {
      error = std::current_exception();
    }
    EXPECT_TRUE(lock.held_by_current_task());
    if (error) std::rethrow_exception(error);
  }
  Coro<void> operate() {
    co_await one_turn();
    co_await one_turn();
  }
  Coro<void> other() {
    co_await one_turn();
    ++others_done;
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    for (const double value : {3.0, 1.0, -1.0}) {
      tasks.push_back(create_task(other(), {.priority = value, .eager_start = true}));
    }
    for (int i = 0; i < 8; ++i) {
      auto held = co_await lock.acquire();
      ++turns;
      condition.notify_all();
      co_await sleep(1ms);  // the notified wait for the lock meanwhile
      held.release();
      co_await sleep(1ms);
    }
    for (const auto& task : tasks) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 3);
    EXPECT_FALSE(lock.locked());
    EXPECT_EQ(lock.waiter_count(), 0U);
    EXPECT_EQ(condition.waiter_count(), 0U);
  }
};

TEST(StoppedEverywhere, condition) { stop_in_both_states<ConditionScene>(); }

/// What is awaited goes on, unless it is a cancel that stops the awaiter.
struct JoinScene {
  PriorityTask<int> inner;
  bool inner_ended = false;

  Coro<int> work() {
    co_await sleep(3ms);
    inner_ended = true;
    co_return 4;
  }
  Coro<void> operate() {
    inner = create_task(work(), {.priority = 5.0});
    EXPECT_EQ(co_await inner, 4);
    EXPECT_EQ(co_await inner, 4);
  }
  Coro<void> help() {
    co_await sleep(1ms);
    while (inner && !inner.done()) co_await sleep(1ms);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    if (!inner) return;
    EXPECT_TRUE(inner.done());
    EXPECT_TRUE(inner_ended || inner.cancelled());
    EXPECT_EQ(inner.effective_priority(), 5.0);
  }
};

TEST(StoppedEverywhere, await_of_a_task) { stop_in_both_states<JoinScene>(); }

/// The interrupter itself is stopped: its victim gets the exception all the same.
struct InterruptScene {
  PriorityLock lock{"lock"};
  PriorityCondition condition{lock};
  PriorityTask<void> victim;
  bool began = false;
  int caught = 0;

  Coro<void> waits() {
    auto held = co_await lock.acquire();
    try {
      co_await condition.wait();
    } catch (const InterruptException&) {
      ++caught;
    }
    EXPECT_TRUE(lock.held_by_current_task());
  }
  Coro<void> operate() {
    victim = create_task(waits(), {.priority = 4.0, .eager_start = true});
    co_await sleep(1ms);  // notified meanwhile, and the lock held: the interrupt has to wait
    began = true;
    co_await task_interrupt(victim, InterruptException("from the operation"));
  }
  Coro<void> help() {
    auto held = co_await lock.acquire();
    condition.notify_all();
    co_await sleep(5ms);
    held.release();
    co_await sleep(1ms);
    if (victim && !victim.done()) {  // it began to wait later
      auto again = co_await lock.acquire();
      condition.notify_all();
    }
    while (victim && !victim.done()) co_await sleep(1ms);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(!victim || victim.done());
    EXPECT_TRUE(ending != Ending::value || caught == 1);
    EXPECT_FALSE(lock.locked());
  }
};

TEST(StoppedEverywhere, interrupt_of_one_that_has_to_take_its_lock_first) {
  stop_in_both_states<InterruptScene>();
}

}  // namespace
}  // namespace heirloop::testing
