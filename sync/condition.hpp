// PriorityCondition: waiting for a change of what a PriorityLock protects.
//
// Owns: the queue of those who wait for a notify. Nobody owns a notify, so they lend nothing; from the notify on they
// stand in the lock's queue and lend to its holder.
//
//   waits for notify ──notify──▶ waits for the lock ──hand-off──▶ runs, holding the lock
//          └──abort (done)──▶ runs, re-takes the lock ─────────────▲  (then the exception goes on)
//
// 1. `wait` returns or throws with the lock held; the one exception is a DeadlockError from taking it again.
// 2. A notified waiter that is interrupted before it has the lock still re-takes it: abort answers `pending`.
#pragma once

#include <cstddef>
#include <functional>
#include <utility>

#include <heirloop/sync/lock.hpp>

namespace heirloop {

class PriorityCondition {
 public:
  /// Tied to `lock`, which must outlive the condition and those it has notified. The condition may end when nobody waits
  /// for a notify, before the notified have run.
  explicit PriorityCondition(PriorityLock& lock) noexcept : lock_(lock) {}

  /// Releases the lock, waits for a notify and takes the lock again.
  /// Suspends: always. Interrupt: thrown when the lock is held again. A waiter that was notified and interrupted has
  /// used its notify up.
  /// Errors: InvalidStateError when the current task does not hold the lock; DeadlockError when it was interrupted and
  /// the lock's holder waits, directly or not, for this task: the lock is not held then. Cost: O(log n).
  Coro<void> wait();

  /// Waits until `predicate()` is true, which is looked at with the lock held.
  /// Suspends: unless it is true already. Interrupt and errors: as `wait`.
  template <class Predicate>
  Coro<void> wait_for(Predicate predicate) {
    while (!predicate()) co_await wait();
  }

  /// The `n` next waiters, by the policy's order, go on as they get the lock. How many there were.
  /// Errors: InvalidStateError when the current task does not hold the lock.
  std::size_t notify(std::size_t n = 1);
  std::size_t notify_all() { return notify(waiters_.size()); }

  std::size_t waiter_count() const noexcept { return waiters_.size(); }

  /// Counts waits for a notify in `into` from now on; null: nowhere. (Those for the lock are the lock's.)
  void count_waits(WaitStatistics* into) noexcept { waiters_.count_in(into); }

 private:
  class Notified;
  class Retake;
  void check_held(const char* what) const;

  PriorityLock& lock_;
  WaiterQueue waiters_;
};

/// One type serves as both of the originals' conditions.
using Condition = PriorityCondition;

}  // namespace heirloop
