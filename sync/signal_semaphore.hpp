// SignalSemaphore: a count of permits that anybody may release.
//
// Owns: the count of free permits, and the queue of those who wait for one. Called by tasks; released by handles too.
// A permit has no owner, so that the waiters lend to nobody: for permits that are given back by who took them,
// `Semaphore` has owners and inheritance.
//
// 1. Nobody waits while a permit is free: a released one goes to the next waiter at once, and nobody barges in.
// 2. What an elected waiter was given and it can't take, because it was cancelled or interrupted, goes to the next. So
//    the semaphore outlives its elected waiters.
#pragma once

#include <cstddef>
#include <limits>
#include <string>
#include <string_view>

#include <heirloop/sync/waiter.hpp>

namespace heirloop {

class SignalSemaphore {
 public:
  /// Beyond it there is room for what elected waiters give back.
  static constexpr std::ptrdiff_t max_count = std::numeric_limits<std::ptrdiff_t>::max() / 2;

  /// `permits` are free. `name` appears in messages; it must outlive the semaphore (a literal does).
  /// Errors: std::invalid_argument when `permits` is negative or more than `max_count`.
  explicit SignalSemaphore(std::ptrdiff_t permits, std::string_view name = {});

  /// Everybody who was given a permit must have run: who is stopped before gives it back.
  ~SignalSemaphore() { contract(given_ == 0, "nobody is about to take a permit of a signal semaphore when it ends"); }

  class Acquire;

  /// Takes a permit.
  /// Suspends: while none is free; of those that find one every 64th gives way as a checkpoint does.
  /// Interrupt: no permit was taken; one that had been handed over already is the next waiter's.
  /// Errors: InvalidStateError outside tasks. Cost: a few stores when free; O(log n) when not.
  [[nodiscard]] Acquire acquire() noexcept;

  /// True when a permit was free, and is taken. Never suspends.
  bool try_acquire() noexcept {
    if (free_ == 0) return false;
    --free_;
    return true;
  }

  /// Gives `n` permits: to the next waiters, the most urgent first, and what they leave is free.
  /// Errors: std::invalid_argument when `n` is negative; InvalidStateError when more than `max_count` would be free.
  /// Cost: O(log n) for each waiter that gets one.
  void release(std::ptrdiff_t n = 1);

  /// How many permits are free.
  std::size_t available() const noexcept { return static_cast<std::size_t>(free_); }
  std::size_t waiter_count() const noexcept { return waiters_.size(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { waiters_.count_in(into); }
  std::string describe() const { return detail::kind_and_name("SignalSemaphore", name_); }

 private:
  void give(WaitNode& node) noexcept {
    ++given_;
    detail::wake(node);
  }
  void release_one() noexcept {
    if (WaitNode* node = waiters_.next()) {
      give(*node);
    } else {
      ++free_;
    }
  }

  std::string_view name_;
  WaiterQueue waiters_;
  std::ptrdiff_t free_;
  std::ptrdiff_t given_ = 0;  // to waits that have not run since
};

class SignalSemaphore::Acquire final : public detail::Waiter {
 public:
  explicit Acquire(SignalSemaphore& semaphore) noexcept : semaphore_(semaphore) {}

  bool await_ready() {
    Task& task = first_await(*this);
    return semaphore_.try_acquire() && goes_on(task);
  }
  void await_suspend(std::coroutine_handle<> frame) {
    if (gives_way()) ++semaphore_.given_;
    suspend(semaphore_.waiters_, frame);
  }
  void await_resume() const {
    waited();
    gave_way_or([this] { give_back(); });
    if (was_blocked() || gives_way()) --semaphore_.given_;
  }

  AbortResult abort() noexcept override {
    if (handed_over()) give_back();
    return AbortResult::done;
  }
  std::string describe() const override { return "a permit of " + semaphore_.describe(); }

 private:
  void give_back() const noexcept {
    --semaphore_.given_;
    semaphore_.release_one();
  }

  SignalSemaphore& semaphore_;
};

inline SignalSemaphore::Acquire SignalSemaphore::acquire() noexcept { return Acquire(*this); }

}  // namespace heirloop
