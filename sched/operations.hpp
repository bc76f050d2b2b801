// What a program does with the scheduler: start tasks, sleep, give way.
#pragma once

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <vector>

#include <heirloop/sched/loop.hpp>

namespace heirloop {

/// Starts a task that runs `coro`. Lazy: it runs when the policy chooses it. With `eager_start` it runs inside the call up
/// to its first suspension; when it ends there, it was never a task for others to see.
/// Errors: InvalidStateError outside a loop, for a coroutine that was awaited before, and when eager starts nest deeper
/// than max_nested_starts; std::invalid_argument for a NaN priority; the coroutine stays with the caller then. Cost: no
/// allocation in steady state.
template <class T>
[[gnu::always_inline]] inline PriorityTask<T> create_task(Coro<T>&& coro, const TaskOptions& options = {}) {
  return Loop::current().create_task(std::move(coro), options);
}

/// Every `create_task` of the current loop asks `factory` from now on: it sees the options of each task and may change them.
/// Empty: none. (asyncio's factory makes the task itself, so it may wrap the coroutine or give another kind of task; here a
/// task's type is that of its coroutine, so this is not possible.)
/// Errors: InvalidStateError outside a loop; what the factory throws leaves `create_task`.
inline void set_task_factory(TaskFactory factory) { Loop::current().set_task_factory(std::move(factory)); }
inline const TaskFactory& get_task_factory() { return Loop::current().task_factory(); }

/// The task whose step this is. In the eager part of a start it is the new task.
/// Errors: InvalidStateError outside tasks, also inside handles.
inline TaskRef current_task() {
  Task* task = detail::this_thread.task;
  if (task == nullptr) throw InvalidStateError("no task runs here; a handle or code outside run() has no current task");
  return TaskRef(task);
}

/// All tasks that are not done: ready, blocked, and the running one. Last created first. Allocates.
inline std::vector<TaskRef> all_tasks() { return Loop::current().all_tasks(); }

namespace detail {

/// Rounds up, saturates at `TimerQueue::never`. Errors: std::invalid_argument for NaN.
template <class Rep, class Period>
std::int64_t span_ns(std::chrono::duration<Rep, Period> span) {
  if constexpr (std::floating_point<Rep>) {
    if (std::isnan(span.count())) throw std::invalid_argument("a time span must be a number, not NaN");
    const auto ns = std::chrono::duration<long double, std::nano>(span).count();
    if (ns >= 9.2e18L) return TimerQueue::never;
    return ns <= 0 ? 0 : static_cast<std::int64_t>(std::ceil(ns));
  } else {
    using Span = std::chrono::duration<Rep, Period>;
    if (span <= Span::zero()) return 0;
    if (std::chrono::duration<long double, std::nano>(span).count() >= 9.2e18L) return TimerQueue::never;
    return std::chrono::ceil<std::chrono::nanoseconds>(span).count();
  }
}

class SleepAwaiter : public Wait, private Timer {
 public:
  SleepAwaiter(std::int64_t time_ns, bool is_deadline) noexcept
      : Timer(fired), time_ns_(time_ns), is_deadline_(is_deadline) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    if (time_ns_ <= 0) {
      loop.yield(frame);
      return;
    }
    if (is_deadline_) {
      loop.set_timer_at(*this, time_ns_);
    } else {
      loop.set_timer_after(*this, time_ns_);
    }
    loop.block(*this, frame);
  }
  void await_resume() const { Loop::resumed(); }

  AbortResult abort() noexcept override {
    task()->loop().timers().remove(*this);
    return AbortResult::done;
  }
  std::string describe() const override { return "a sleep"; }

 private:
  static void fired(Timer& timer) noexcept {
    auto& sleep = static_cast<SleepAwaiter&>(timer);
    sleep.task()->loop().wake(sleep);
  }

  std::int64_t time_ns_;
  bool is_deadline_;
};

template <class T>
class SleepWithResult final : public SleepAwaiter {
 public:
  SleepWithResult(std::int64_t span_ns, T result) : SleepAwaiter(span_ns, false), result_(std::move(result)) {}
  T await_resume() {
    SleepAwaiter::await_resume();
    return std::move(result_);
  }

 private:
  T result_;
};

class YieldAwaiter {
 public:
  using holds_nothing = void;

  YieldAwaiter() noexcept {}
  YieldAwaiter(const YieldAwaiter&) = delete;
  YieldAwaiter& operator=(const YieldAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) const { this_thread.loop->yield(frame); }
  void await_resume() const { Loop::resumed(); }
};

class CheckpointAwaiter {
 public:
  CheckpointAwaiter() : loop_(Loop::current()) {}
  CheckpointAwaiter(const CheckpointAwaiter&) = delete;
  CheckpointAwaiter& operator=(const CheckpointAwaiter&) = delete;

  bool await_ready() const noexcept { return !loop_.should_yield(); }
  void await_suspend(std::coroutine_handle<> frame) const noexcept { loop_.yield(frame); }
  void await_resume() const {
    if (this_thread.task != nullptr) Loop::resumed();  // else a handle has dropped a generator
  }

 protected:
  Loop& loop_;
};

/// Before an operation that need not wait.
class OccasionalCheckpoint : public CheckpointAwaiter {
 public:
  bool await_ready() const noexcept { return !loop_.should_yield_now_and_then(); }
};

}  // namespace detail

/// Sleeps for `span`; zero or less: goes to the end of its own priority.
/// Suspends: always. Interrupt: the timer is gone. Errors: std::invalid_argument for NaN.
/// Late by at most one step plus 100 µs. Cost: O(log n) in the number of timers.
template <class Rep, class Period>
detail::SleepAwaiter sleep(std::chrono::duration<Rep, Period> span) {
  return detail::SleepAwaiter(detail::span_ns(span), false);
}

/// The same, and gives `result`.
template <class Rep, class Period, class T>
detail::SleepWithResult<T> sleep(std::chrono::duration<Rep, Period> span, T result) {
  return detail::SleepWithResult<T>(detail::span_ns(span), std::move(result));
}

/// `sleep(0)`: to the end of its own priority.
inline detail::YieldAwaiter sleep(int zero) {
  if (zero != 0) throw std::invalid_argument("sleep takes a std::chrono duration; only 0 may come without a unit");
  return {};
}

/// Sleeps until the loop's clock (std::chrono::steady_clock; virtual in tests) shows `deadline`.
/// Suspends: always. Interrupt: the timer is gone.
inline detail::SleepAwaiter sleep_until(std::chrono::steady_clock::time_point deadline) {
  return detail::SleepAwaiter(std::chrono::nanoseconds(deadline.time_since_epoch()).count(), true);
}

/// Runs `function` as a step of its own: no task runs in it, and an exception that leaves it is logged. It has the base
/// priority of the current task unless given. The handle can cancel it; dropping the handle does not.
/// Errors: InvalidStateError outside a loop; std::invalid_argument for a NaN priority. Cost: no allocation in steady state for
/// a function of up to 48 bytes.
template <class F>
CallHandle call_soon(F&& function, const CallOptions& options = {}) {
  return Loop::current().call_soon(std::forward<F>(function), options);
}

/// The same when `span` has passed; zero or less: after what is ready now and as urgent.
/// Errors: as `call_soon`; std::invalid_argument for a NaN span. Cost: O(log n) in the number of timers; a list link when it is
/// cancelled in the same step.
template <class Rep, class Period, class F>
TimerHandle call_later(std::chrono::duration<Rep, Period> span, F&& function, const CallOptions& options = {}) {
  return Loop::current().call_after(detail::span_ns(span), std::forward<F>(function), options);
}

/// The same when the loop's clock shows `deadline`. Errors and cost: as `call_later`.
template <class F>
TimerHandle call_at(std::chrono::steady_clock::time_point deadline, F&& function, const CallOptions& options = {}) {
  const std::int64_t deadline_ns = std::chrono::nanoseconds(deadline.time_since_epoch()).count();
  return Loop::current().call_at(deadline_ns, std::forward<F>(function), options);
}

/// The loop's cached clock: refreshed by every harvest and wait and at least once in 64 steps.
inline std::chrono::steady_clock::time_point loop_time() {
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(Loop::current().now_ns()));
}

/// Gives way when there is a reason to: a completion or a post is waiting, a ready entry precedes this task, or the step
/// is over its budget. Else goes on.
/// Suspends: only then. Interrupt: nothing was registered. What is pending for the task itself (it cancelled itself) is
/// thrown here even when it goes on. Cost: a few loads.
inline detail::CheckpointAwaiter checkpoint() { return {}; }

/// What `checkpoint()` would decide.
inline bool should_yield() { return Loop::current().should_yield(); }

}  // namespace heirloop
