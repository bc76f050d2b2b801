// Calls into a loop from other threads: `run_coroutine_threadsafe`, `call_soon_threadsafe`, and the `ThreadFuture` that they
// give.
//
// Owns: the outcome, in a block that the caller's futures and the loop's side share. Called by any thread that runs none of
// the loop's steps.
//
//   posted ──taken by the loop──▶ running ──▶ done
//      └──cancelled, or the loop ended──────────▶ done
//
// 1. A call that was posted is taken or done: the one who changes its state under the mutex decides.
// 2. A coroutine is made, runs and is destroyed on the loop's thread, and its task is touched there alone.
// 3. The loop cannot end while a task of a call runs, nor the task while a cancel holds the mutex: so a cancel from outside
//    reaches a loop that is there.
// 4. Every call comes to an end: what the loop did not begin by the end of its run is broken.
#pragma once

#include <chrono>
#include <condition_variable>
#include <concepts>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <heirloop/sched/operations.hpp>
#include <heirloop/sched/result.hpp>

namespace heirloop {

class Runtime;

/// How `run_coroutine_threadsafe` makes its task.
struct RemoteOptions {
  std::string_view name{};             ///< copied; empty: "Task-N"
  double priority = priority::normal;  ///< the caller's thread has none
};

namespace detail {

Loop& loop_of(Runtime& runtime) noexcept;

/// What does not depend on the type of the outcome.
class RemoteCall : public std::enable_shared_from_this<RemoteCall> {
 public:
  enum class Kind : std::uint8_t { function, coroutine };

  RemoteCall(Loop& loop, Kind kind, double priority) : loop_(loop), kind_(kind), priority_(checked_priority(priority)) {}
  RemoteCall(const RemoteCall&) = delete;
  RemoteCall& operator=(const RemoteCall&) = delete;

  // ---- of the caller's threads ----

  bool done() const;
  bool cancel(const std::string& message);

  /// Until it is done. Errors: InvalidStateError on the loop's own thread.
  void wait() const;

  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> span) const {
    std::unique_lock guard(mutex_);
    if (state_ != State::done) refuse_own_loop();
    const auto done = [this] { return state_ == State::done; };
    const std::int64_t span_ns = detail::span_ns(span);
    const auto now = std::chrono::steady_clock::now();
    if (span_ns >= (std::chrono::steady_clock::time_point::max() - now).count()) {
      changed_.wait(guard, done);
      return true;
    }
    return changed_.wait_until(guard, now + std::chrono::nanoseconds(span_ns), done);
  }

  /// It was posted, and the loop has ended meanwhile.
  void look_whether_ended() {
    if (loop_.has_ended()) break_if_posted();
  }

  // ---- of the loop's thread ----

  Loop& loop() const noexcept { return loop_; }
  double priority() const noexcept { return priority_; }

  /// False when it was cancelled or broken before.
  bool take();
  void runs_as(Task* task) noexcept { task_ = task; }

  /// The outcome is set.
  void finish() noexcept;

  /// Nobody is going to take it any more.
  void break_if_posted() noexcept;

  /// Its task has ended before its first line.
  void break_if_running() noexcept;

 protected:
  ~RemoteCall() = default;
  void log_unfetched(const std::exception_ptr& error) const noexcept;

  mutable std::mutex mutex_;

 private:
  enum class State : std::uint8_t { posted, running, done };

  virtual void fail_with(const std::exception_ptr& error) noexcept = 0;
  void end_with(const std::exception_ptr& error) noexcept;
  void refuse_own_loop() const;

  Loop& loop_;
  const Kind kind_;
  const double priority_;
  mutable std::condition_variable changed_;
  State state_ = State::posted;
  Task* task_ = nullptr;  // of the loop's thread alone
};

template <class T>
class RemoteCallOf final : public RemoteCall {
 public:
  using RemoteCall::RemoteCall;
  ~RemoteCallOf() {
    if (result_.has_error() && !result_.is_cancelled() && !fetched_) log_unfetched(result_.error());
  }

  /// Calls `function`, whose value or exception is the outcome.
  template <class F>
  void run(F& function) noexcept {
    try {
      if constexpr (std::is_void_v<T>) {
        function();
        result_.emplace();
      } else {
        result_.emplace(function());
      }
    } catch (...) {
      result_.catch_current();
    }
    finish();
  }

  /// In a catch clause: that is the outcome.
  void fail() noexcept {
    if (done()) return;  // with the coroutine that no task took
    result_.catch_current();
    finish();
  }

  Result<T>& result() noexcept { return result_; }

  T get() {
    wait();
    const std::lock_guard guard(mutex_);
    fetched_ = true;
    if constexpr (std::is_void_v<T> || std::is_reference_v<T> || !std::is_copy_constructible_v<T>) {
      return result_.take();
    } else {
      return T(std::as_const(result_).peek());
    }
  }

 private:
  void fail_with(const std::exception_ptr& error) noexcept override {
    try {
      std::rethrow_exception(error);
    } catch (...) {
      result_.catch_current();
    }
  }

  Result<T> result_;
  bool fetched_ = false;
};

/// A call on its way to the loop: breaks it when the loop drops it.
template <class T>
class RemotePost {
 public:
  explicit RemotePost(std::shared_ptr<RemoteCallOf<T>> call) noexcept : call_(std::move(call)) {}
  RemotePost(RemotePost&&) noexcept = default;
  RemotePost& operator=(RemotePost&&) = delete;
  ~RemotePost() {
    if (call_ != nullptr) call_->break_if_posted();
  }
  const std::shared_ptr<RemoteCallOf<T>>& call() const noexcept { return call_; }

 private:
  std::shared_ptr<RemoteCallOf<T>> call_;
};

template <class T>
struct CoroValue;
template <class T>
struct CoroValue<Coro<T>> {
  using Type = T;
};

/// A call that has a task: comes to its end with it.
template <class T>
class RemoteRun {
 public:
  explicit RemoteRun(std::shared_ptr<RemoteCallOf<T>> call) noexcept : call_(std::move(call)) {}
  RemoteRun(RemoteRun&&) noexcept = default;
  RemoteRun& operator=(RemoteRun&&) = delete;
  ~RemoteRun() {
    if (call_ != nullptr) call_->break_if_running();
  }
  RemoteCallOf<T>* operator->() const noexcept { return call_.get(); }

 private:
  std::shared_ptr<RemoteCallOf<T>> call_;
};

/// The task of a call. It starts eagerly, unless a task factory decides otherwise.
template <class T, class Factory>
Coro<void> remote_task(RemoteRun<T> call, Factory factory) {
  call->runs_as(this_thread.task);
  try {
    if constexpr (std::is_void_v<T>) {
      co_await factory();
      call->result().emplace();
    } else {
      auto&& value = co_await factory();
      call->result().emplace(std::forward<decltype(value)>(value));
    }
  } catch (...) {
    call->result().catch_current();
  }
  call->finish();
}

}  // namespace detail

/// The outcome of a call into a loop, for other threads. Copyable; any thread may use it.
template <class T>
class ThreadFuture {
 public:
  explicit ThreadFuture(std::shared_ptr<detail::RemoteCallOf<T>> call) noexcept : call_(std::move(call)) {}

  bool done() const { return call_->done(); }

  /// Blocks the calling thread until the outcome is there, and gives it: a copy; a move-only value is moved out to the
  /// first.
  /// Errors: what the call threw; Cancelled when it was cancelled, also by the end of the loop; BrokenPromise when the
  /// loop's run ended before it began; InvalidStateError on the loop's own thread, which would wait for itself.
  T get() const { return call_->get(); }

  /// Blocks for at most `span`; true when the outcome is there. Errors: InvalidStateError as `get`.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> span) const {
    return call_->wait_for(span);
  }

  /// A call that has not begun never runs. A coroutine that runs is sent a cancel with this message; what it makes of it is
  /// the outcome. False when the call is done, also because the loop has ended, and for a function that is running.
  bool cancel(const std::string& message = {}) const { return call_->cancel(message); }

 private:
  std::shared_ptr<detail::RemoteCallOf<T>> call_;
};

/// Runs the coroutine that `factory()` makes as a task of `loop`, from another thread. The factory is called on the loop's
/// thread, for a coroutine's frame belongs to the thread that makes it; it lives until the coroutine has ended. The task has
/// a fresh context.
/// Errors: std::invalid_argument for a NaN priority. Everything else, in `get()`. Cost: a post and two blocks of memory.
template <class Factory>
auto run_coroutine_threadsafe(Loop& loop, Factory factory, const RemoteOptions& options = {}) {
  using T = typename detail::CoroValue<std::invoke_result_t<Factory&>>::Type;
  auto call = std::make_shared<detail::RemoteCallOf<T>>(loop, detail::RemoteCall::Kind::coroutine, options.priority);
  loop.post(
      [post = detail::RemotePost<T>(call), make = std::move(factory), name = std::string(options.name)]() mutable {
        detail::RemoteCallOf<T>& taken = *post.call();
        if (taken.loop().has_ended() || !taken.take()) return;
        try {
          const TaskRef task =
              taken.loop().create_task(detail::remote_task<T>(detail::RemoteRun<T>(post.call()), std::move(make)),
                                       {.name = name, .priority = taken.priority(), .eager_start = true});
          if (!task.done()) taken.runs_as(task.get());
        } catch (...) {
          taken.fail();
        }
      },
      options.priority);
  call->look_whether_ended();
  return ThreadFuture<T>(std::move(call));
}

/// Runs `function` as a step of `loop`, from another thread.
/// Errors and cost: as `run_coroutine_threadsafe`.
template <class F>
auto call_soon_threadsafe(Loop& loop, F function, double priority = priority::normal) {
  using T = std::invoke_result_t<F&>;
  auto call = std::make_shared<detail::RemoteCallOf<T>>(loop, detail::RemoteCall::Kind::function, priority);
  loop.post(
      [post = detail::RemotePost<T>(call), run = std::move(function)]() mutable {
        if (post.call()->take()) post.call()->run(run);
      },
      priority);
  call->look_whether_ended();
  return ThreadFuture<T>(std::move(call));
}

template <class Factory>
auto run_coroutine_threadsafe(Runtime& runtime, Factory factory, const RemoteOptions& options = {}) {
  return run_coroutine_threadsafe(detail::loop_of(runtime), std::move(factory), options);
}

template <class F>
auto call_soon_threadsafe(Runtime& runtime, F function, double priority = priority::normal) {
  return call_soon_threadsafe(detail::loop_of(runtime), std::move(function), priority);
}

}  // namespace heirloop
