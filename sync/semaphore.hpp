// Semaphore: a number of permits, each owned by the task that took it, with exact priority inheritance.
//
// Owns: how many permits are free, who holds the others, and who waits. Called by tasks; awaiters go through the
// suspension contract of sched.
//
// 1. A permit is free only while nobody waits: one that comes back belongs to the next waiter before that runs.
// 2. Every holder's effective priority is at most (as urgent as) that of every waiter, for any of them can end the wait.
// 3. free + held = the initial count and what `release` has added.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <heirloop/sync/joint_resource.hpp>

namespace heirloop {

/// One permit of a semaphore, to the end of its scope.
class [[nodiscard]] Permit final : public detail::ShareGuard {
 public:
  using ShareGuard::ShareGuard;
};

class Semaphore : private detail::JointResource {
 public:
  /// `name` appears in messages; it must outlive the semaphore (a literal does).
  /// Errors: std::invalid_argument when `permits` is negative.
  explicit Semaphore(std::ptrdiff_t permits = 1, std::string_view name = {})
      : Semaphore(permits, std::numeric_limits<std::ptrdiff_t>::max(), name) {}

  /// Every permit must be back: who still holds one or waits would be left with nothing.
  virtual ~Semaphore() { contract(holdings() == nullptr, "every permit is back when a semaphore ends"); }

  class Acquire;

  /// Takes a permit; the guard gives it back at the end of its scope.
  /// Suspends: while none is free; all holders inherit the waiter's urgency meanwhile. Of those that find one free every
  /// 64th gives way as a checkpoint does, holding it.
  /// Interrupt: no permit is held; when one had been handed over already, the next waiter has it.
  /// Errors: DeadlockError when every holder waits, directly or not, for the caller (who may be a holder itself);
  /// InvalidStateError outside tasks. Cost: a few stores when one is free; else O(log n), times the holders.
  [[nodiscard]] Acquire acquire();

  /// A permit when one is free, else nothing. Never suspends. Errors: InvalidStateError outside tasks.
  [[nodiscard]] std::optional<Permit> try_acquire();

  /// Adds `n` permits that nobody held: the semaphore has grown. Any task may, and so may a handle; who waits goes on at
  /// once. To give back a permit that is held, release or end its guard. The search for deadlocks does not count on
  /// permits that somebody might add.
  /// Errors: std::invalid_argument when `n` is negative; InvalidStateError when there would be more permits, free and
  /// held, than the largest number (of a BoundedSemaphore: the initial one). Cost: O(log n) for each who goes on, times
  /// the holders.
  void release(std::ptrdiff_t n = 1);

  std::size_t available() const noexcept { return static_cast<std::size_t>(free_); }
  std::size_t waiter_count() const noexcept { return waiters().size(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { waiters().count_in(into); }

  /// Who holds a permit, once for each; also those that were handed one and have not run yet. Allocates.
  std::vector<TaskRef> holders() const { return JointResource::holders(); }

  using JointResource::describe;
  Needs needs() const noexcept override { return Needs::any; }

 protected:
  Semaphore(std::ptrdiff_t permits, std::ptrdiff_t most, std::string_view name);

 private:
  void given_back(const detail::Share&) noexcept override { ++free_; }
  void admit() noexcept override;

  detail::SharePtr take(Task& task) {
    auto share = own(task);
    --free_;
    return share;
  }

  std::ptrdiff_t free_;
  std::ptrdiff_t total_;
  std::ptrdiff_t most_;
};

/// A semaphore that cannot grow: as permits have owners, no permit can come back twice, and `release` always refuses.
class BoundedSemaphore final : public Semaphore {
 public:
  /// As Semaphore.
  explicit BoundedSemaphore(std::ptrdiff_t permits = 1, std::string_view name = {}) : Semaphore(permits, permits, name) {}
};

class Semaphore::Acquire final : public detail::ShareWait {
 public:
  explicit Acquire(Semaphore& semaphore) noexcept : ShareWait(semaphore), semaphore_(semaphore) {}

  bool await_ready() {
    Task& task = first_await(semaphore_);
    if (semaphore_.free_ == 0) return false;
    share_ = semaphore_.take(task);
    return goes_on(task);
  }
  Permit await_resume() { return obtained<Permit>(); }

  std::string describe() const override { return "a permit of " + semaphore_.describe() + semaphore_.holders_text(); }

 private:
  Semaphore& semaphore_;
};

inline Semaphore::Acquire Semaphore::acquire() { return Acquire(*this); }

}  // namespace heirloop
