// PriorityLock: mutual exclusion between tasks, with exact priority inheritance and direct hand-off.
//
// Owns: who holds the lock, and who waits. Called by tasks; awaiters go through the suspension contract of sched.
//
// 1. `owner()` is set before the elected waiter runs: a release never runs the waiter's code, and nobody barges in.
// 2. The owner's effective priority is at most (as urgent as) that of every waiter.
// 3. A waiter that leaves (cancelled, interrupted) before its election is out of the queue; after it, the lock has gone
//    on to the next in the same call.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <heirloop/sync/waiter.hpp>

namespace heirloop {

class LockGuard;
class PriorityCondition;
class PriorityLock;

/// One type serves as both of the originals' locks: nothing of the plain one is lost by inheritance.
using Lock = PriorityLock;

class PriorityLock final : private Resource {
 public:
  /// `name` appears in messages; it must outlive the lock (a literal does).
  explicit PriorityLock(std::string_view name = {}) noexcept : name_(name) { holding_.resource = this; }

  /// The lock must be free: who still holds it or waits for it would be left with nothing.
  ~PriorityLock() { contract(owner() == nullptr, "a lock is free when it ends"); }

  class Waiter;
  class Acquire;

  /// Takes the lock; the guard gives it back at the end of its scope.
  /// Suspends: while another task holds it, which inherits the waiter's urgency meanwhile; of those that find it free every
  /// 64th gives way as a checkpoint does, holding it.
  /// Interrupt: the lock is not held; when it had been handed over already, the next waiter has it.
  /// Errors: DeadlockError when the holder waits, directly or not, for the caller (also: the caller holds it itself);
  /// InvalidStateError outside tasks. Cost: a few stores when free; O(log n) when not.
  [[nodiscard]] Acquire acquire();

  /// The guard when the lock is free, else nothing. Never suspends.
  [[nodiscard]] std::optional<LockGuard> try_acquire();

  /// Gives the lock back: the next waiter, by the policy's order of urgency and begin of wait, owns it at once.
  /// Errors: InvalidStateError when the current task does not hold it. Cost: O(log n).
  void release();

  bool locked() const noexcept { return owner() != nullptr; }
  Task* owner() const noexcept { return holding_.owner; }
  bool held_by_current_task() const noexcept { return owner() != nullptr && owner() == detail::this_thread.task; }
  std::size_t waiter_count() const noexcept { return waiters().size(); }

  /// The most urgent effective priority of those who wait, which is what its owner inherits; empty when nobody waits.
  std::optional<double> effective_priority() const noexcept {
    if (waiters().empty()) return std::nullopt;
    return waiters().best().priority;
  }

  /// Counts waits, hand-offs and inheritance in `into` from now on; null: nowhere.
  void count_waits(WaitStatistics* into) noexcept { waiters().count_in(into); }

  std::string describe() const override;

 private:
  friend class LockGuard;
  friend class PriorityCondition;

  void take(Task& task) noexcept {
    turn_ = ++turns_;
    link_holding(holding_, task);
  }

  /// From the owner to the next waiter, or to nobody.
  void hand_over() noexcept {
    if (!waiters().empty()) return hand_over_to_next();
    turn_ = 0;
    unlink_holding(holding_);
  }
  void hand_over_to_next() noexcept;
  void owner_died(Holding& holding) noexcept override;

  Holding holding_;
  std::uint64_t turns_ = 0;  // ownerships so far
  std::uint64_t turn_ = 0;   // the present one, 0: free; a guard knows its own; the same again after a condition's wait
  std::string_view name_;
};

/// Holds a lock to the end of its scope. Movable. Destroyed by another task than the one that took the lock it releases
/// and logs; when the lock has another owner by then, it lets that one be.
class [[nodiscard]] LockGuard {
 public:
  LockGuard(LockGuard&& other) noexcept : lock_(std::exchange(other.lock_, nullptr)), turn_(other.turn_) {}
  LockGuard& operator=(LockGuard&& other) noexcept {
    LockGuard old(std::move(*this));
    lock_ = std::exchange(other.lock_, nullptr);
    turn_ = other.turn_;
    return *this;
  }
  [[gnu::always_inline]] ~LockGuard() {
    if (lock_ == nullptr) return;
    if (lock_->turn_ == turn_ && lock_->owner() == detail::this_thread.task) [[likely]] {
      lock_->hand_over();
    } else {
      drop_foreign();
    }
  }

  /// Whether the lock is held by it: false when it was released or moved from, and when its owner has ended.
  explicit operator bool() const noexcept { return lock_ != nullptr && lock_->turn_ == turn_; }

  /// Errors: InvalidStateError when released before, or by a task that does not hold the lock.
  void release();

 private:
  friend class PriorityLock;

  /// Of a lock that has just been taken.
  explicit LockGuard(PriorityLock& lock) noexcept : lock_(&lock), turn_(lock.turn_) {}

  void drop_foreign() noexcept;

  PriorityLock* lock_;
  std::uint64_t turn_;  // the ownership that it stands for
};

/// Any wait that can stand in the lock's queue.
class PriorityLock::Waiter : public detail::Waiter {
 public:
  explicit Waiter(PriorityLock& lock) noexcept : lock_(lock) {}

 protected:
  ~Waiter() = default;
  PriorityLock& lock_;
};

class PriorityLock::Acquire final : public PriorityLock::Waiter {
 public:
  using Waiter::Waiter;

  [[gnu::always_inline]] bool await_ready() {
    Task& task = first_await(lock_);
    return lock_.owner() == nullptr && takes(task);
  }
  void await_suspend(std::coroutine_handle<> frame) { suspend(lock_.waiters(), frame); }
  [[gnu::always_inline]] LockGuard await_resume() {
    waited();
    gave_way_or([&lock = lock_] { lock.hand_over(); });
    return LockGuard(lock_);
  }

  AbortResult abort() noexcept override;
  std::string describe() const override;

 private:
  /// Not inlined: with it what awaits keeps more in registers, which it has to save, also where it has to wait.
  [[gnu::noinline]] bool takes(Task& task) noexcept {
    lock_.take(task);
    return goes_on(task);
  }
};

inline PriorityLock::Acquire PriorityLock::acquire() { return Acquire(*this); }

inline void PriorityLock::release() {
  if (!held_by_current_task()) [[unlikely]] {
    throw InvalidStateError(describe() + " can't be released here: the current task does not hold it");
  }
  hand_over();
}

inline void LockGuard::release() {
  if (!*this) throw InvalidStateError("this guard holds no lock: it has released it, or its owner has ended");
  lock_->release();
  lock_ = nullptr;
}

}  // namespace heirloop
