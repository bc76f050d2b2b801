// PriorityCondition: order of notifies, the lock held on every way out, exceptions before and after the
// notify.
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

class PriorityConditionTest : public StrictTest {
 public:
  PriorityLock lock{"lock"};
  PriorityCondition condition{lock};
};

/// Notes how the wait ended; the lock is held on every way out.
Coro<void> wait_once(PriorityConditionTest& t, std::string name) {
  auto held = co_await t.lock.acquire();
  std::string end = "notified";
  try {
    co_await t.condition.wait();
  } catch (const InterruptException& error) {
    end = error.message();
  } catch (const Cancelled& cancelled) {
    end = "cancelled " + cancelled.message();
  }
  EXPECT_TRUE(t.lock.held_by_current_task());
  t.order.push_back(name + " " + end);
}

TEST_F(PriorityConditionTest, notifies_the_most_urgent_and_among_equals_the_first) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    for (const char* name : {"n1", "n2"}) start(wait_once(t, name), 0);
    for (const char* name : {"l1", "l2"}) start(wait_once(t, name), 10);
    for (const char* name : {"h1", "h2"}) start(wait_once(t, name), -10);
    EXPECT_EQ(t.condition.waiter_count(), 6U);
    for (int i = 0; i < 3; ++i) {
      auto held = co_await t.lock.acquire();
      EXPECT_EQ(t.condition.notify(1), 1U);
      EXPECT_EQ(t.lock.waiter_count(), 1U);
      held.release();
      co_await sleep(1ms);
    }
    auto held = co_await t.lock.acquire();
    EXPECT_EQ(t.condition.notify(99), 3U);
    EXPECT_EQ(t.condition.notify_all(), 0U);
    held.release();
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"h1 notified", "h2 notified", "n1 notified", "n2 notified", "l1 notified",
                          "l2 notified"}));
}

TEST_F(PriorityConditionTest, needs_the_lock) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    EXPECT_THROW(t.condition.notify(), InvalidStateError);
    bool refused = false;
    try {
      co_await t.condition.wait();
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
  }(*this));
}

TEST_F(PriorityConditionTest, waits_for_a_predicate_with_the_lock_held) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    int value = 0;
    auto waiter = start([](PriorityConditionTest& test, int& v) -> Coro<void> {
      auto held = co_await test.lock.acquire();
      co_await test.condition.wait_for([&] {
        EXPECT_TRUE(test.lock.held_by_current_task());
        return v >= 2;
      });
      EXPECT_EQ(v, 2);
      test.order.push_back("two");
    }(t, value));
    for (int i = 0; i < 2; ++i) {
      co_await sleep(1ms);
      auto held = co_await t.lock.acquire();
      ++value;
      t.condition.notify_all();
    }
    co_await waiter;
  }(*this));
  EXPECT_EQ(order, Order{"two"});
}

/// The urgency that the lock's waiters lent is not part of the place in the condition's queue.
TEST_F(PriorityConditionTest, a_waiter_stands_where_its_own_urgency_puts_it) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto middle = start(wait_once(t, "middle"), 0);
    auto low = start(
        [](PriorityConditionTest& test) -> Coro<void> {
          auto held = co_await test.lock.acquire();
          co_await sleep(1ms);
          EXPECT_EQ(current_task().effective_priority(), -10);
          co_await test.condition.wait();
          test.order.push_back("low notified");
        }(t),
        10);
    auto high = start(wait_once(t, "high"), -10);
    co_await sleep(2ms);
    EXPECT_EQ(t.condition.waiter_count(), 3U);
    EXPECT_EQ(low.effective_priority(), 10);
    auto held = co_await t.lock.acquire();
    t.condition.notify_all();
    held.release();
    co_await low;
  }(*this));
  EXPECT_EQ(order, (Order{"high notified", "middle notified", "low notified"}));
}

TEST_F(PriorityConditionTest, a_reprioritised_waiter_takes_its_new_place) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto a = start(wait_once(t, "a"));
    auto b = start(wait_once(t, "b"));
    auto c = start(wait_once(t, "c"));
    c.set_priority(-5);
    a.set_priority(5);
    auto held = co_await t.lock.acquire();
    t.condition.notify_all();
    held.release();
    co_await a;
  }(*this));
  EXPECT_EQ(order, (Order{"c notified", "b notified", "a notified"}));
}

TEST_F(PriorityConditionTest, an_interrupt_before_the_notify_takes_the_lock_again_first) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto waiter = start(wait_once(t, "waiter"));
    EXPECT_EQ(co_await task_interrupt(waiter, InterruptException("free lock")), InterruptOutcome::ended);

    auto again = start(wait_once(t, "again"));
    auto held = co_await t.lock.acquire();
    // The lock is ours: the victim runs, begins to take the lock again, and we go on.
    EXPECT_EQ(co_await task_interrupt(again, InterruptException("held lock")), InterruptOutcome::delivered);
    EXPECT_EQ(again.state(), TaskState::blocked);
    EXPECT_EQ(t.condition.waiter_count(), 0U);
    EXPECT_EQ(t.lock.waiter_count(), 1U);
    held.release();
    co_await again;
  }(*this));
  EXPECT_EQ(order, (Order{"waiter free lock", "again held lock"}));
}

TEST_F(PriorityConditionTest, a_second_exception_while_taking_the_lock_again_replaces_the_first) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto waiter = start(wait_once(t, "waiter"));
    auto held = co_await t.lock.acquire();
    co_await task_interrupt(waiter, InterruptException("first"));
    task_throw(waiter, InterruptException("second"));
    EXPECT_EQ(waiter.state(), TaskState::blocked) << "it gets the lock first";
    task_throw(waiter, InterruptException("third"));
    held.release();
    co_await waiter;

    auto cancelled = start(wait_once(t, "cancelled"));
    auto held_again = co_await t.lock.acquire();
    co_await task_interrupt(cancelled, InterruptException("first"));
    cancelled.cancel("second");
    EXPECT_THROW(task_throw(cancelled, InterruptException("third")), InvalidStateError);
    held_again.release();
    co_await cancelled;
  }(*this));
  EXPECT_EQ(order, (Order{"waiter third", "cancelled cancelled second"}));
}

TEST_F(PriorityConditionTest, an_interrupt_after_the_notify_waits_for_the_lock_and_lends_its_urgency) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto waiter = start(wait_once(t, "waiter"), 10);
    auto holder = start(
        [](PriorityConditionTest& test) -> Coro<void> {
          auto held = co_await test.lock.acquire();
          test.condition.notify();
          co_await sleep(5ms);
          test.order.push_back("holder");
        }(t),
        5);
    auto caller = start(
        [](PriorityConditionTest& test, PriorityTask<void> victim) -> Coro<void> {
          EXPECT_EQ(co_await task_interrupt(victim, InterruptException("late")), InterruptOutcome::ended);
          test.order.push_back("caller");
        }(t, waiter),
        -10);
    EXPECT_EQ(caller.state(), TaskState::blocked);
    EXPECT_EQ(waiter.effective_priority(), -10);
    EXPECT_EQ(holder.effective_priority(), -10);
    // Ready in the same turn as the victim, and more urgent: the victim and its caller come first.
    auto urgent = start(
        [](PriorityConditionTest& test) -> Coro<void> {
          auto held = co_await test.lock.acquire();
          test.order.push_back("urgent");
        }(t),
        20);
    co_await caller;
    EXPECT_EQ(holder.effective_priority(), 5);
    co_await urgent;
  }(*this));
  EXPECT_EQ(order, (Order{"holder", "waiter late", "caller", "urgent"}));
}

TEST_F(PriorityConditionTest, an_interrupt_that_waits_is_told_when_it_is_replaced) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto waiter = start(wait_once(t, "waiter"), 10);
    auto held = co_await t.lock.acquire();
    t.condition.notify();
    const auto caller = [](PriorityConditionTest& test, PriorityTask<void> victim,
                           std::string name) -> Coro<void> {
      const auto outcome = co_await task_interrupt(victim, InterruptException(name));
      test.order.push_back(name + (outcome == InterruptOutcome::replaced ? " replaced" : " not replaced"));
    };
    auto first = start(caller(t, waiter, "first"), -10);
    EXPECT_EQ(waiter.effective_priority(), -10);
    auto second = start(caller(t, waiter, "second"), -5);
    EXPECT_EQ(waiter.effective_priority(), -5);
    EXPECT_EQ(first.state(), TaskState::ready);
    co_await first;
    waiter.cancel("after all");
    EXPECT_EQ(waiter.effective_priority(), 10);
    co_await second;
    held.release();
    try {
      co_await waiter;
    } catch (const Cancelled&) {
      ADD_FAILURE();
    }
  }(*this));
  EXPECT_EQ(order, (Order{"first replaced", "second replaced", "waiter cancelled after all"}));
}

TEST_F(PriorityConditionTest, an_interrupt_of_one_who_needs_the_callers_lock_is_a_deadlock_and_stays_set) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto waiter = start(wait_once(t, "waiter"));
    auto held = co_await t.lock.acquire();
    t.condition.notify();
    bool deadlock = false;
    try {
      co_await task_interrupt(waiter, InterruptException("stays"));
    } catch (const DeadlockError&) {
      deadlock = true;
    }
    EXPECT_TRUE(deadlock);
    EXPECT_TRUE(t.lock.held_by_current_task());
    held.release();
    co_await waiter;
  }(*this));
  EXPECT_EQ(order, Order{"waiter stays"});
}

TEST_F(PriorityConditionTest, a_caller_that_leaves_lets_the_exception_stay) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto waiter = start(wait_once(t, "waiter"), 10);
    auto held = co_await t.lock.acquire();
    t.condition.notify();
    auto caller = start(
        [](PriorityTask<void> victim) -> Coro<void> {
          co_await task_interrupt(victim, InterruptException("stays"));
        }(waiter),
        -10);
    EXPECT_EQ(waiter.effective_priority(), -10);
    caller.cancel();
    EXPECT_EQ(waiter.effective_priority(), 10);
    co_await sleep(0);
    EXPECT_TRUE(caller.cancelled());
    held.release();
    co_await waiter;
  }(*this));
  EXPECT_EQ(order, Order{"waiter stays"});
}

TEST_F(PriorityConditionTest, a_cancel_that_is_pending_at_the_wait_still_comes_with_the_lock) {
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    auto self = start([](PriorityConditionTest& test) -> Coro<void> {
      co_await sleep(0);
      current_task().cancel("myself");
      co_await wait_once(test, "self");
    }(t));
    co_await self;
  }(*this));
  EXPECT_EQ(order, Order{"self cancelled myself"});
}

TEST_F(PriorityConditionTest, a_waiter_whose_lock_owner_died_takes_the_lock_and_learns_it) {
  LogCapture log;
  std::optional<LockGuard> guard;
  sim.run([](PriorityConditionTest& t, std::optional<LockGuard>& g) -> Coro<void> {
    auto waiter = start([](PriorityConditionTest& test) -> Coro<void> {
      auto held = co_await test.lock.acquire();
      try {
        co_await test.condition.wait();
      } catch (const OwnerDied&) {
        test.order.push_back("OwnerDied");
      }
      EXPECT_TRUE(test.lock.held_by_current_task());
    }(t));
    auto owner = start([](PriorityConditionTest& test, std::optional<LockGuard>& keep) -> Coro<void> {
      keep.emplace(co_await test.lock.acquire());
      test.condition.notify();
      co_await sleep(1ms);
    }(t, g));
    co_await owner;
    co_await waiter;
    g.reset();
  }(*this, guard));
  EXPECT_EQ(order, Order{"OwnerDied"});
  EXPECT_FALSE(lock.locked());
}

/// `waiter` holds `other` and waits for a notify; whoever holds the condition's lock waits for `other`. An
/// interrupt makes it take the lock again, which can never be.
TEST_F(PriorityConditionTest, a_lock_that_can_never_be_had_again_is_a_deadlock) {
  LogCapture log;
  sim.run([](PriorityConditionTest& t) -> Coro<void> {
    PriorityLock other("other");
    auto waiter = start([](PriorityConditionTest& test, PriorityLock& o) -> Coro<void> {
      auto first = co_await o.acquire();
      auto held = co_await test.lock.acquire();
      try {
        co_await test.condition.wait();
      } catch (const DeadlockError&) {
        test.order.push_back("deadlock");
        EXPECT_FALSE(test.lock.held_by_current_task());
        EXPECT_TRUE(o.held_by_current_task());
      }
    }(t, other));
    auto holder = start([](PriorityConditionTest& test, PriorityLock& o) -> Coro<void> {
      auto held = co_await test.lock.acquire();
      auto both = co_await o.acquire();
      EXPECT_TRUE(test.lock.held_by_current_task()) << "the waiter's guard left it alone";
      test.order.push_back("holder");
    }(t, other));
    EXPECT_EQ(holder.state(), TaskState::blocked);
    task_throw(waiter, InterruptException());
    co_await holder;
    co_await waiter;
  }(*this));
  EXPECT_EQ(order, (Order{"deadlock", "holder"}));
}

}  // namespace
}  // namespace heirloop::testing
