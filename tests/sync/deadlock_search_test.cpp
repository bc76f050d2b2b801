// What the search for a deadlock costs: looks at waits and shares, counted, not timed.
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/semaphore.hpp>

#include "sync/waiting.hpp"

#include <deque>

namespace heirloop::testing {
namespace {

using Locks = std::deque<PriorityLock>;

Coro<void> hold_and_want(Locks& locks, std::size_t own, std::size_t wanted) {
  const LockGuard held = co_await locks[own].acquire();
  co_await sleep(0);  // the others take theirs
  if (wanted >= locks.size()) {
    co_await sleep(std::chrono::milliseconds(1));
  } else {
    const LockGuard both = co_await locks[wanted].acquire();
  }
}

/// The looks of one search, as a task waits for a group of `size` that block along a chain. The group lists the last that
/// was made first, or they are made in the other order.
std::uint64_t looks_at_chain(std::size_t size, bool last_first) {
  Sim sim;
  std::uint64_t looks = 0;
  sim.run([](std::size_t n, bool from_last, std::uint64_t& counted) -> Coro<void> {
    Locks locks(n);
    auto body = [&](TaskGroup& group) -> Coro<void> {
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t own = from_last ? n - 1 - i : i;
        group.create_task(hold_and_want(locks, own, own + 1));
      }
      while (!locks.back().locked()) co_await sleep(0);
      co_await sleep(0);
      co_await sleep(0);
      counted = Loop::current().deadlock_looks();
    };
    co_await with_task_group(body);
    counted = Loop::current().deadlock_looks() - counted;
  }(size, last_first, looks));
  return looks;
}

TEST(DeadlockSearch, is_linear_in_a_group_that_blocks_along_a_chain_in_either_order) {
  for (const bool last_first : {false, true}) {
    const std::uint64_t hundred = looks_at_chain(100, last_first);
    EXPECT_GE(hundred, 200U);
    EXPECT_LE(looks_at_chain(1000, last_first), hundred * 11);
  }
}

/// `size` hold permits of one semaphore, and wait for one of another whose holders wait for a lock.
std::uint64_t looks_at_permits(std::ptrdiff_t size) {
  Sim sim;
  std::uint64_t looks = 0;
  sim.run([](std::ptrdiff_t n, std::uint64_t& counted) -> Coro<void> {
    PriorityLock lock;
    LockGuard mine = co_await lock.acquire();
    Semaphore far(n);
    Semaphore near(n);
    const auto holds_far = [](PriorityLock& wanted, Semaphore& of) -> Coro<void> {
      const Permit permit = co_await of.acquire();
      const LockGuard held = co_await wanted.acquire();
    };
    const auto holds_near = [](Semaphore& wanted, Semaphore& of) -> Coro<void> {
      const Permit permit = co_await of.acquire();
      const Permit both = co_await wanted.acquire();
    };
    const auto wants = [](Semaphore& of) -> Coro<void> { const Permit permit = co_await of.acquire(); };
    std::vector<PriorityTask<void>> tasks;
    for (std::ptrdiff_t i = 0; i < n; ++i) tasks.push_back(start(holds_far(lock, far)));
    for (std::ptrdiff_t i = 0; i < n; ++i) tasks.push_back(start(holds_near(far, near)));
    counted = Loop::current().deadlock_looks();
    tasks.push_back(start(wants(near)));
    counted = Loop::current().deadlock_looks() - counted;
    mine.release();
    co_await ended(tasks);
  }(size, looks));
  return looks;
}

TEST(DeadlockSearch, looks_once_at_the_holders_of_what_many_wait_for) {
  const std::uint64_t ten = looks_at_permits(10);
  EXPECT_GE(ten, 20U);
  EXPECT_LE(looks_at_permits(100), ten * 11);
}

}  // namespace
}  // namespace heirloop::testing
