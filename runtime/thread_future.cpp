#include <heirloop/runtime/thread_future.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/runtime/run.hpp>
#include <heirloop/sched/log.hpp>

namespace heirloop::detail {

Loop& loop_of(Runtime& runtime) noexcept { return runtime.loop(); }

bool RemoteCall::done() const {
  const std::lock_guard guard(mutex_);
  return state_ == State::done;
}

bool RemoteCall::cancel(const std::string& message) {
  const std::lock_guard guard(mutex_);
  if (state_ == State::posted) {
    end_with(std::make_exception_ptr(Cancelled(message)));
    return true;
  }
  if (state_ == State::done || kind_ == Kind::function) return false;
  loop_.post(
      [call = shared_from_this(), message] {
        if (call->task_ != nullptr) TaskRef(call->task_).cancel(message);
      },
      priority_);
  return true;
}

void RemoteCall::wait() const {
  std::unique_lock guard(mutex_);
  if (state_ != State::done) refuse_own_loop();
  changed_.wait(guard, [this] { return state_ == State::done; });
}

void RemoteCall::refuse_own_loop() const {
  if (this_thread.loop == &loop_) {
    throw InvalidStateError("a thread must not wait for a call to the loop that it runs itself; await a task there");
  }
}

bool RemoteCall::take() {
  const std::lock_guard guard(mutex_);
  if (state_ != State::posted) return false;
  state_ = State::running;
  return true;
}

void RemoteCall::finish() noexcept {
  const std::lock_guard guard(mutex_);
  task_ = nullptr;
  state_ = State::done;
  changed_.notify_all();
}

void RemoteCall::break_if_posted() noexcept {
  const std::lock_guard guard(mutex_);
  if (state_ != State::posted) return;
  end_with(std::make_exception_ptr(BrokenPromise("the loop ended before a call from another thread began")));
}

void RemoteCall::break_if_running() noexcept {
  const std::lock_guard guard(mutex_);
  if (state_ != State::running) return;
  task_ = nullptr;
  end_with(std::make_exception_ptr(Cancelled("the task of a call from another thread was cancelled before it began")));
}

void RemoteCall::end_with(const std::exception_ptr& error) noexcept {
  fail_with(error);
  state_ = State::done;
  changed_.notify_all();
}

void RemoteCall::log_unfetched(const std::exception_ptr& error) const noexcept {
  logger().error("a call from another thread failed, and nobody fetched its exception: {}", describe_exception(error));
}

}  // namespace heirloop::detail
