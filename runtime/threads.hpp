// Functions that would block the loop, on threads: `to_thread`, `run_in_executor`.
//
// Owns nothing: the awaiter owns the job, the pool runs it (thread_pool.hpp).
#pragma once

#include <concepts>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <heirloop/runtime/thread_pool.hpp>
#include <heirloop/sched/result.hpp>

namespace heirloop {

/// How a job is awaited.
struct JobOptions {
  WhenLeft when_left = WhenLeft::waits;
};

namespace detail {

/// The runtime's own pool, made when it is first wanted. Errors: InvalidStateError outside `run`.
ThreadPool& runtime_threads();

template <class T>
inline constexpr bool is_coro = false;
template <class T>
inline constexpr bool is_coro<Coro<T>> = true;

/// A job that is asked to stop has what it is asked by.
template <bool takes_stop_token>
struct JobStop {
  void request_stop() noexcept {}
};
template <>
struct JobStop<true> {
  void request_stop() noexcept { source.request_stop(); }
  std::stop_source source{};
};

template <class F>
class JobOf final : public Job, public Pooled {
  static constexpr bool takes_stop_token = std::invocable<F&, std::stop_token>;

  static decltype(auto) invoke(F& function, [[maybe_unused]] JobStop<takes_stop_token>& stop) {
    if constexpr (takes_stop_token) {
      return function(stop.source.get_token());
    } else {
      return function();
    }
  }

 public:
  using Value = decltype(invoke(std::declval<F&>(), std::declval<JobStop<takes_stop_token>&>()));
  static_assert(!is_coro<Value>, "a thread runs functions; start coroutines with create_task");

  template <class G>
  explicit JobOf(G&& function) : function_(std::forward<G>(function)) {}

  void request_stop() noexcept override { stop_.request_stop(); }
  Value take() { return result_.take(); }

 private:
  void call() noexcept override {
    try {
      if constexpr (std::is_void_v<Value>) {
        invoke(function_, stop_);
        result_.emplace();
      } else {
        result_.emplace(invoke(function_, stop_));
      }
    } catch (...) {
      result_.catch_current();
    }
  }
  const std::exception_ptr* error() const noexcept override {
    return result_.has_error() && !result_.is_cancelled() ? &result_.error() : nullptr;
  }

  F function_;
  [[no_unique_address]] JobStop<takes_stop_token> stop_{};
  Result<Value> result_;
};

template <class F>
class JobAwaiter final : public JobWait {
 public:
  template <class G>
  JobAwaiter(ThreadPool& pool, G&& function, const JobOptions& options)
      : JobAwaiter(pool, new JobOf<F>(std::forward<G>(function)), options) {}

  typename JobOf<F>::Value await_resume() {
    waited();
    return job_of_->take();
  }

 private:
  JobAwaiter(ThreadPool& pool, JobOf<F>* job, const JobOptions& options) noexcept
      : JobWait(pool, job, options.when_left), job_of_(job) {}

  JobOf<F>* job_of_;
};

}  // namespace detail

/// Runs `function()` on a thread of `pool`, in a copy of the caller's context, and gives its value. A function that takes a
/// std::stop_token gets one: it is asked to stop when its awaiter is cancelled, interrupted or timed out (stop callbacks run
/// on the loop's thread). A queued job has the effective priority of its awaiter, whatever changes that. With g++ 12 name a
/// lambda that captures by copy and move it in.
/// Suspends: always. Interrupt: a job that has not begun never runs; one that has is awaited, or left behind when
/// `options.when_left` says so; either way its value is dropped, and its exception logged.
/// Errors: what the function throws; InvalidStateError for a pool of another loop, and when the pool is closed first;
/// std::system_error when no thread can be started.
/// Cost: two hand-overs between threads, some µs. When all threads are busy, the next job begins as the loop comes to the
/// completion of one: up to one step later than the thread was free.
template <class F>
detail::JobAwaiter<std::decay_t<F>> run_in_executor(ThreadPool& pool, F&& function, const JobOptions& options = {}) {
  return {pool, std::forward<F>(function), options};
}

/// The same on the runtime's own pool, made by the first call and joined at the end of the run.
/// Errors: also InvalidStateError outside `run`.
template <class F>
detail::JobAwaiter<std::decay_t<F>> to_thread(F&& function, const JobOptions& options = {}) {
  return {detail::runtime_threads(), std::forward<F>(function), options};
}

}  // namespace heirloop
