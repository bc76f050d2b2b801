// Rings of waits that are legal for a time, because a time limit is to end one of them, and what comes after; and a group
// that waits for a task which takes a lock of the group's owner again. Found by the random programs.
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <array>
#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Two that await each other.
struct Pair {
  std::array<PriorityTask<void>, 2> tasks;
  Order order;
};

Coro<void> await_under_limit(Pair& pair, std::size_t other, std::chrono::milliseconds span) {
  auto body = [&]() -> Coro<void> { co_await pair.tasks[other]; };
  try {
    co_await timeout(span, body);
    pair.order.push_back("no limit passed");
  } catch (const TimeoutError&) {
    pair.order.push_back("the limit has passed");
  }
}

Coro<void> await_the_other(Pair& pair, std::size_t other) {
  try {
    co_await pair.tasks[other];
  } catch (const Cancelled&) {
    pair.order.push_back("cancelled");
    throw;
  }
}

TEST(CyclesUnderLimits, a_limit_ends_a_ring_of_awaits_by_a_cancel_that_goes_round_once) {
  Sim sim;
  Pair pair;
  sim.run([](Pair& p) -> Coro<void> {
    p.tasks[0] = create_task(await_under_limit(p, 1, 2ms));
    p.tasks[1] = create_task(await_the_other(p, 0));
    co_await sleep(5ms);
    EXPECT_TRUE(p.tasks[0].done());
    EXPECT_TRUE(p.tasks[1].cancelled());
  }(pair));
  EXPECT_EQ(pair.order, (Order{"cancelled", "the limit has passed"}));
  EXPECT_EQ(sim.loop.timed_cycles(), 1U);
}

Coro<void> await_again_and_again(Pair& pair, std::size_t other) {
  for (;;) {
    try {
      co_await pair.tasks[other];
      co_return;
    } catch (const Cancelled&) {
      pair.order.push_back("cancelled");
    } catch (const DeadlockError&) {
      pair.order.push_back("refused");
      co_return;
    }
  }
}

TEST(CyclesUnderLimits, a_limit_that_has_passed_ends_no_ring_any_more) {
  Sim sim;
  Pair pair;
  sim.run([](Pair& p) -> Coro<void> {
    p.tasks[0] = create_task(await_under_limit(p, 1, 2ms));
    p.tasks[1] = create_task(await_again_and_again(p, 0));
    co_await sleep(5ms);
    EXPECT_TRUE(p.tasks[0].done());
    EXPECT_TRUE(p.tasks[1].done());
  }(pair));
  EXPECT_EQ(pair.order, (Order{"cancelled", "refused", "no limit passed"}));
}

struct Shared {
  PriorityLock lock{"inner"};
  PriorityCondition changed{lock};
  PriorityTask<void> owner;
  Order order;
};

Coro<void> wait_for_change(Shared& shared) {
  const LockGuard guard = co_await shared.lock.acquire();
  try {
    co_await shared.changed.wait();
    shared.order.push_back("notified");
  } catch (const DeadlockError&) {
    shared.order.push_back("refused");
  }
}

Coro<void> own_the_lock(Shared& shared) {
  auto body = [&](TaskGroup& group) -> Coro<void> {
    group.create_task(wait_for_change(shared));
    co_await sleep(1ms);
  };
  auto guarded = [&](TaskGroup& group) -> Coro<void> {
    co_await body(group);
    const LockGuard guard = co_await shared.lock.acquire();
    shared.changed.notify_all();
  };
  co_await with_task_group(guarded);
  shared.order.push_back("over");
}

TEST(CyclesUnderLimits, a_lock_of_the_body_is_free_as_its_group_ends) {
  Sim sim;
  Shared shared;
  sim.run(own_the_lock(shared));
  EXPECT_EQ(shared.order, (Order{"notified", "over"}));
}

Coro<void> own_the_lock_outside(Shared& shared) {
  std::optional<LockGuard> guard;
  auto body = [&](TaskGroup& group) -> Coro<void> {
    group.create_task(wait_for_change(shared));
    co_await sleep(1ms);
    guard.emplace(co_await shared.lock.acquire());
    shared.changed.notify_all();
  };
  try {
    co_await with_task_group(body);
  } catch (const DeadlockError&) {
    shared.order.push_back("the group is refused");
  }
}

TEST(CyclesUnderLimits, a_group_ends_though_its_task_takes_a_lock_again_that_the_groups_owner_holds) {
  Sim sim;
  Shared shared;
  sim.run(own_the_lock_outside(shared));
  EXPECT_EQ(shared.order, (Order{"refused", "the group is refused"}));
  EXPECT_FALSE(shared.lock.locked());
}

TEST(CyclesUnderLimits, a_limit_ends_an_await_of_who_takes_a_lock_again_that_the_awaiter_holds) {
  Sim sim;
  Shared shared;
  sim.run([](Shared& s) -> Coro<void> {
    s.owner = create_task(wait_for_change(s));
    co_await sleep(1ms);
    LockGuard guard = co_await s.lock.acquire();
    s.changed.notify_all();
    auto body = [&s]() -> Coro<void> { co_await s.owner; };
    bool expired = false;
    try {
      co_await timeout(2ms, body);
    } catch (const TimeoutError&) {
      expired = true;
    }
    EXPECT_TRUE(expired);
    EXPECT_TRUE(s.lock.held_by_current_task());
    guard.release();
    co_await sleep(1ms);
    EXPECT_TRUE(s.owner.cancelled());  // the cancel went to it first
  }(shared));
  EXPECT_FALSE(shared.lock.locked());
}

TEST(CyclesUnderLimits, a_limit_does_not_end_the_wait_for_a_conditions_lock) {
  Sim sim;
  Shared shared;
  sim.run([](Shared& s) -> Coro<void> {
    auto limited = [&s]() -> Coro<void> { co_await wait_for_change(s); };
    auto waits = [&limited]() -> Coro<void> { co_await timeout(3ms, limited); };
    s.owner = create_task(waits());
    co_await sleep(1ms);
    const LockGuard guard = co_await s.lock.acquire();
    s.changed.notify_all();
    try {
      co_await s.owner;
      s.order.push_back("ended");
    } catch (const DeadlockError&) {
      s.order.push_back("await refused");
    }
  }(shared));
  EXPECT_EQ(shared.order.front(), "await refused");
}

}  // namespace
}  // namespace heirloop::testing
