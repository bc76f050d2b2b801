// PriorityLock: hand-off, order, what an abort leaves, owners that die, cycles.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "sync/waiting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class PriorityLockTest : public StrictTest {};

Coro<void> hold(PriorityLock& lock, Order& order, std::string name, int steps = 0) {
  auto held = co_await lock.acquire();
  order.push_back(name);
  for (int i = 0; i < steps; ++i) co_await sleep(0);
}

static_assert(!std::is_constructible_v<LockGuard, PriorityLock&>, "only who takes a lock gets its guard");

TEST_F(PriorityLockTest, passes_to_the_most_urgent_and_among_equals_to_the_first) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    for (const char* name : {"n1", "n2"}) start(hold(lock, t.order, name), 0);
    for (const char* name : {"l1", "l2"}) start(hold(lock, t.order, name), 10);
    for (const char* name : {"h1", "h2"}) start(hold(lock, t.order, name), -10);
    for (const char* name : {"n3", "n4"}) start(hold(lock, t.order, name), 0);
    EXPECT_EQ(lock.waiter_count(), 8U);
    held.release();
    while (lock.locked()) co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"h1", "h2", "n1", "n2", "n3", "n4", "l1", "l2"}));
}

/// While all who wait are equals a list tells who came first; from the first that differs, numbers do.
TEST_F(PriorityLockTest, keeps_the_order_of_equals_whatever_happens_around_them) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    std::vector<PriorityTask<void>> tasks;
    const auto wait = [&](const char* name, double priority) { tasks.push_back(start(hold(lock, t.order, name), priority)); };
    for (const char* name : {"n1", "n2", "n3", "n4", "n5", "n6"}) wait(name, 0);
    tasks[0].cancel();
    tasks[2].cancel();
    Loop::current().set_policy(make_policy(PolicyKind::aging));
    tasks[3].set_priority(10);
    wait("n7", 0);
    wait("h", -10);
    tasks[3].set_priority(0);
    tasks[5].cancel();
    Loop::current().set_policy(make_policy(PolicyKind::strict));
    wait("n8", 0);
    held.release();
    while (lock.locked()) co_await sleep(1ms);
    EXPECT_EQ(t.order, (Order{"h", "n2", "n4", "n5", "n7", "n8"}));
    held = co_await lock.acquire();
    for (const char* name : {"m1", "m2", "m3"}) wait(name, 0);
    tasks[tasks.size() - 3].cancel();
    wait("l", 10);
    held.release();
    while (lock.locked()) co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"h", "n2", "n4", "n5", "n7", "n8", "m2", "m3", "l"}));
}

/// A guard that has left its task may end while another loop runs in the thread: the waiter goes on in its own.
TEST(PriorityLockOfTwoLoops, hands_over_in_the_loop_of_its_tasks) {
  Sim a;
  Sim b;
  PriorityLock lock("l");
  std::optional<LockGuard> kept;
  const Loop* ran_in = nullptr;
  const auto holder = a.loop.create_task([](PriorityLock& l, std::optional<LockGuard>& guard) -> Coro<void> {
    guard.emplace(co_await l.acquire());
    co_await sleep(1h);
  }(lock, kept));
  const auto waiter = a.loop.create_task([](PriorityLock& l, const Loop*& where) -> Coro<void> {
    const LockGuard held = co_await l.acquire();
    where = &Loop::current();
  }(lock, ran_in));
  a.loop.run_until_done(a.loop.create_task([]() -> Coro<void> { co_await sleep(1ms); }()));
  b.run([](std::optional<LockGuard>& guard) -> Coro<void> {
    guard.reset();
    co_await sleep(1ms);
  }(kept));
  EXPECT_EQ(ran_in, nullptr);
  a.loop.run_until_done(waiter);
  EXPECT_EQ(ran_in, &a.loop);
  a.loop.finish();
}

/// Locks that are free count as checkpoints: who takes and gives them back for ever does not keep the loop.
TEST_F(PriorityLockTest, that_is_free_gives_way_now_and_then) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock;
    bool stop = false;
    t.sim.driver.at(50us, [&stop] { stop = true; });
    const auto spinner = create_task([](PriorityLockTest& test, PriorityLock& l, const bool& end) -> Coro<void> {
      for (int i = 0; i < 1000 && !end; ++i) {
        const LockGuard held = co_await l.acquire();
        EXPECT_TRUE(l.held_by_current_task());
        test.sim.driver.advance(1us);
        test.order.emplace_back("step");
      }
    }(t, lock, stop));
    co_await spinner;
    EXPECT_TRUE(stop);
    EXPECT_LE(t.order.size(), 128U);
  }(*this));
}

TEST_F(PriorityLockTest, one_that_is_interrupted_as_it_gives_way_with_the_lock_does_not_keep_it) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock;
    const auto spinner = create_task([](PriorityLockTest& test, PriorityLock& l) -> Coro<void> {
      for (int i = 0; i < 1000; ++i) {
        const LockGuard held = co_await l.acquire();
        test.sim.driver.advance(1us);
      }
    }(t, lock), {.priority = 1});
    co_await sleep(10us);  // it runs until it gives way: to this timer, with the lock
    EXPECT_TRUE(task_is_runnable(spinner));
    EXPECT_TRUE(lock.locked());
    spinner.cancel();
    try {
      co_await spinner;
      ADD_FAILURE();
    } catch (const Cancelled&) {
    }
    EXPECT_FALSE(lock.locked());
  }(*this));
}

TEST_F(PriorityLockTest, belongs_to_the_elected_before_it_runs_and_nobody_barges_in) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    auto low = start(hold(lock, t.order, "low"), 10);
    held.release();
    EXPECT_EQ(lock.owner(), low.get());
    EXPECT_EQ(low.state(), TaskState::ready);
    EXPECT_FALSE(lock.try_acquire().has_value());
    auto high = start(hold(lock, t.order, "high"), -10);
    EXPECT_EQ(high.state(), TaskState::blocked);
    EXPECT_EQ(low.effective_priority(), -10) << "who comes in the gap lends to the elected";
    auto middle = create_task(hold(lock, t.order, "middle"), {.priority = 0.0});
    co_await high;
    co_await middle;
  }(*this));
  EXPECT_EQ(order, (Order{"low", "high", "middle"}));
}

TEST_F(PriorityLockTest, an_elected_that_leaves_passes_it_on_in_the_same_call) {
  for (const char* how : {"cancel", "throw", "interrupt"}) {
    sim.run([](PriorityLockTest& t, std::string way) -> Coro<void> {
      PriorityLock lock;
      auto held = co_await lock.acquire();
      auto elected = start(hold(lock, t.order, "elected"), -10);
      auto next = start(hold(lock, t.order, "next"), 5);
      auto other = start(hold(lock, t.order, "other"), 10);
      held.release();
      EXPECT_EQ(lock.owner(), elected.get());
      if (way == "cancel") {
        elected.cancel();
        EXPECT_EQ(lock.owner(), next.get());
      } else if (way == "throw") {
        task_throw(elected, InterruptException());
        EXPECT_EQ(lock.owner(), next.get());
      } else {
        EXPECT_EQ(co_await task_interrupt(elected, InterruptException()), InterruptOutcome::ended);
        EXPECT_EQ(lock.owner(), next.get());
        EXPECT_EQ(next.state(), TaskState::ready) << "the victim and the caller come before it";
      }
      co_await other;
      EXPECT_FALSE(lock.locked());
      EXPECT_TRUE(elected.cancelled() || elected.exception());
    }(*this, how));
    EXPECT_EQ(order, (Order{"next", "other"})) << how;
    order.clear();
  }
}

TEST_F(PriorityLockTest, is_free_when_the_only_waiter_left_after_its_election) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    auto elected = start(hold(lock, t.order, "elected"));
    held.release();
    elected.cancel();
    EXPECT_FALSE(lock.locked());
    EXPECT_TRUE(lock.try_acquire().has_value());
    co_await sleep(0);
    EXPECT_TRUE(elected.cancelled());
  }(*this));
}

TEST_F(PriorityLockTest, wrong_use_is_a_catchable_error) {
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock("keys");
    EXPECT_THROW(lock.release(), InvalidStateError);
    auto held = co_await lock.acquire();
    auto stranger = start([](PriorityLock& l) -> Coro<void> {
      EXPECT_THROW(l.release(), InvalidStateError);
      co_return;
    }(lock));
    held.release();
    EXPECT_THROW(held.release(), InvalidStateError);
    EXPECT_THROW(lock.release(), InvalidStateError);
    t.sim.loop.call_soon([&lock, &t] {
      EXPECT_THROW((void)lock.try_acquire(), InvalidStateError);
      t.order.push_back("handle");
    });
    co_await sleep(0);
  }(*this));
  EXPECT_EQ(order, Order{"handle"});
}

// ---- owners that die ----

Coro<void> die_holding(PriorityLock& lock, std::optional<LockGuard>& keeps) {
  keeps.emplace(co_await lock.acquire());
  co_await sleep(1ms);
}

Coro<void> expect_owner_died(PriorityLock& lock, Order& order, std::string name) {
  try {
    auto held = co_await lock.acquire();
    order.push_back(name + " holds");
  } catch (const OwnerDied& error) {
    EXPECT_THAT(error.what(), HasSubstr("keys"));
    order.push_back(name + " OwnerDied");
  }
}

TEST_F(PriorityLockTest, tells_all_who_wait_that_the_owner_died_and_is_free) {
  LogCapture log;
  std::optional<LockGuard> guard;
  sim.run([](PriorityLockTest& t, std::optional<LockGuard>& g) -> Coro<void> {
    PriorityLock lock("keys");
    auto owner = start(die_holding(lock, g), 0, "owner");
    start(expect_owner_died(lock, t.order, "low"), 10);
    start(expect_owner_died(lock, t.order, "high"), -10);
    EXPECT_EQ(owner.effective_priority(), -10);
    co_await owner;
    EXPECT_FALSE(lock.locked());
    EXPECT_EQ(owner.effective_priority(), 0);
    co_await expect_owner_died(lock, t.order, "late");
    g.reset();
    co_await sleep(1ms);
  }(*this, guard));
  EXPECT_EQ(order, (Order{"high OwnerDied", "late holds", "low OwnerDied"}));
  EXPECT_EQ(log.count("owner ended while it held PriorityLock 'keys'; 2 waiting tasks"), 1U) << log.text();
}

TEST_F(PriorityLockTest, an_exception_from_outside_comes_before_OwnerDied) {
  LogCapture log;
  std::optional<LockGuard> guard;
  sim.run([](PriorityLockTest& t, std::optional<LockGuard>& g) -> Coro<void> {
    PriorityLock lock("keys");
    auto owner = start(die_holding(lock, g), -1);
    auto waiter = start(expect_owner_died(lock, t.order, "waiter"), 10);
    co_await owner;
    EXPECT_EQ(waiter.state(), TaskState::ready);
    EXPECT_TRUE(waiter.cancel());
    co_await sleep(1ms);
    EXPECT_TRUE(waiter.cancelled());
    EXPECT_FALSE(lock.locked());
    g.reset();
  }(*this, guard));
  EXPECT_EQ(order, Order{});
}

TEST_F(PriorityLockTest, a_guard_of_a_dead_owner_leaves_the_next_owner_alone) {
  LogCapture log;
  std::optional<LockGuard> guard;
  sim.run([](PriorityLockTest& t, std::optional<LockGuard>& g) -> Coro<void> {
    PriorityLock lock("keys");
    auto owner = start(die_holding(lock, g));
    co_await owner;
    auto next = start(hold(lock, t.order, "next", 2));
    auto behind = start(hold(lock, t.order, "behind"));
    EXPECT_EQ(lock.owner(), next.get());
    g.reset();
    EXPECT_EQ(lock.owner(), next.get());
    EXPECT_EQ(lock.waiter_count(), 1U);
    co_await behind;
  }(*this, guard));
  EXPECT_EQ(order, (Order{"next", "behind"}));
  EXPECT_EQ(log.count("a guard of PriorityLock 'keys' is destroyed by a task that does not hold it"), 1U);
}

TEST_F(PriorityLockTest, a_guard_destroyed_by_another_task_releases_and_logs) {
  LogCapture log;
  sim.run([](PriorityLockTest& t) -> Coro<void> {
    PriorityLock lock("keys");
    std::optional<LockGuard> guard;
    auto owner = start([](PriorityLock& l, std::optional<LockGuard>& g) -> Coro<void> {
      g.emplace(co_await l.acquire());
      co_await sleep(1s);
      EXPECT_FALSE(l.locked());
    }(lock, guard));
    auto waiter = start(hold(lock, t.order, "waiter"));
    EXPECT_EQ(lock.owner(), owner.get());
    guard.reset();
    EXPECT_EQ(lock.owner(), waiter.get());
    co_await waiter;
    co_await owner;
  }(*this));
  EXPECT_EQ(order, Order{"waiter"});
  EXPECT_EQ(log.count("does not hold it"), 1U);
}

// ---- cycles ----

TEST_F(PriorityLockTest, a_second_acquire_by_the_holder_is_a_deadlock) {
  sim.run([](PriorityLockTest&) -> Coro<void> {
    PriorityLock lock("keys");
    auto held = co_await lock.acquire();
    try {
      auto again = co_await lock.acquire();
      ADD_FAILURE();
    } catch (const DeadlockError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("main"), HasSubstr("keys")));
    }
    EXPECT_TRUE(lock.held_by_current_task());
    EXPECT_EQ(lock.waiter_count(), 0U);
  }(*this));
}

Coro<void> hold_then_wait(PriorityLock& own, PriorityLock& wanted, Order& order, std::string name) {
  auto held = co_await own.acquire();
  co_await sleep(1ms);
  auto both = co_await wanted.acquire();
  order.push_back(name);
}

/// A ring of n tasks, each holding one lock and wanting the next one's, or (`through_task`) awaiting the next
/// task.
Coro<void> ring(std::size_t n, bool through_task, Order& order) {
  std::deque<PriorityLock> locks(n);
  std::vector<PriorityTask<void>> tasks;
  auto closes = [](PriorityLock& own, PriorityLock& wanted, std::vector<PriorityTask<void>>& all, bool join,
                   Order& o) -> Coro<void> {
    auto held = co_await own.acquire();
    co_await sleep(2ms);
    const auto before = current_task().effective_priority();
    try {
      if (join) {
        co_await all[0];
      } else {
        auto both = co_await wanted.acquire();
      }
      ADD_FAILURE() << "the cycle was not found";
    } catch (const DeadlockError& error) {
      o.push_back("deadlock");
      for (const auto& task : all) EXPECT_THAT(error.what(), HasSubstr(task.name()));
    }
    EXPECT_EQ(current_task().effective_priority(), before);
    EXPECT_EQ(own.waiter_count(), all.size() > 1 ? 1U : 0U);
    EXPECT_EQ(wanted.waiter_count(), 0U);
  };
  for (std::size_t i = 0; i + 1 < n; ++i) {
    tasks.push_back(start(hold_then_wait(locks[i], locks[i + 1], order, std::to_string(i)), 0));
  }
  tasks.push_back(start(closes(locks[n - 1], locks[0], tasks, through_task, order), -10));
  for (const auto& task : tasks) co_await task;
  for (const auto& lock : locks) EXPECT_FALSE(lock.locked());
}

TEST_F(PriorityLockTest, a_cycle_is_found_as_it_closes_and_the_state_stays_intact) {
  for (const std::size_t n : {2U, 3U, 64U}) {
    for (const bool through_task : {false, true}) {
      order.clear();
      sim.run(ring(n, through_task, order));
      Order expected{"deadlock"};
      for (std::size_t i = n - 1; i-- > 0;) expected.push_back(std::to_string(i));
      EXPECT_EQ(order, expected) << n << (through_task ? " through an await" : "");
    }
  }
}

TEST_F(PriorityLockTest, a_task_that_awaits_itself_is_a_deadlock) {
  sim.run([](PriorityLockTest&) -> Coro<void> {
    PriorityTask<void> self;
    self = create_task([](PriorityTask<void>& me) -> Coro<void> {
      bool found = false;
      try {
        co_await me;
      } catch (const DeadlockError&) {
        found = true;
      }
      EXPECT_TRUE(found);
    }(self));
    co_await self;
  }(*this));
}

}  // namespace
}  // namespace heirloop::testing
