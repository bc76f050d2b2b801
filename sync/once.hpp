// Once: the first who comes does it, the others wait till it is done.
//
// Owns: whether it is done, and a lock that is held while it is being done: who waits lends to who does it. Called by
// tasks.
//
// 1. Once done, it is never begun again.
// 2. Who fails, or is cancelled or interrupted, has not done it: the exception is its own, and the next waiter begins.
#pragma once

#include <concepts>
#include <cstddef>
#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heirloop/sched/operations.hpp>
#include <heirloop/sync/lock.hpp>

namespace heirloop {

class Once {
 public:
  /// `name` appears in messages; it must outlive this (a literal does).
  explicit Once(std::string_view name = {}) noexcept : lock_(name.empty() ? "of a Once" : name) {}

  /// Runs `f`, which gives nothing or a Coro<void>, unless it was done before, by whatever callable.
  /// Suspends: while somebody else does it, which inherits the waiter's urgency meanwhile, and where `f` does.
  /// Interrupt: it is not done by this task; the next waiter begins.
  /// Errors: what `f` throws; DeadlockError when `f` calls it again. Cost: a coroutine frame, recycled.
  template <class F>
    requires std::invocable<F&>
  Coro<void> call(F f) {
    if (done_) {
      co_await detail::OccasionalCheckpoint();
      co_return;
    }
    const LockGuard held = co_await lock_.acquire();
    if (done_) co_return;
    if constexpr (std::is_void_v<std::invoke_result_t<F&>>) {
      std::invoke(f);
    } else {
      co_await std::invoke(f);
    }
    done_ = true;
  }

  bool done() const noexcept { return done_; }
  bool running() const noexcept { return !done_ && lock_.locked(); }
  std::size_t waiter_count() const noexcept { return lock_.waiter_count(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { lock_.count_waits(into); }

 private:
  PriorityLock lock_;
  bool done_ = false;
};

}  // namespace heirloop
