// Signals as events of the loop.
//
// Owns: the process's handlers for the signals that are watched, and the pipe between handler and loop.
//
//   signal, in any thread ──▶ handler: one byte into a pipe ──poll──▶ SignalState ──▶ next() or the callback's step
//
// 1. The handler does nothing but write the signal's number: async-signal-safe, whatever the thread was doing.
// 2. One watch per signal in a process. At its end the former disposition is back.
// 3. Every signal that the kernel delivers is seen, in order. (Of equal ones that come before the first is delivered the
//    kernel makes one.)
#pragma once

#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/operation.hpp>
#include <heirloop/io/owned_fd.hpp>
#include <heirloop/io/ref.hpp>
#include <heirloop/sched/inheritance.hpp>

#include <csignal>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace heirloop {

namespace detail {

class NextSignal;

class SignalState final : private Operation {
 public:
  using Callback = std::function<void(int)>;

  SignalState(Loop& loop, std::initializer_list<int> signals, Callback callback);

  void stop() noexcept;
  bool stopped() const noexcept { return stopped_; }

  int take() noexcept;  ///< the oldest that nobody took; 0: none
  void give_back(int signal) noexcept;
  void enter(WaitNode& node) { enter_queue(loop_, node, waiters_); }

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

 private:
  struct Former {
    int signal;
    struct sigaction action;
  };

  ~SignalState();
  void install(int signal);
  void restore() noexcept;
  void arm();
  void completed() noexcept override;
  void arrived(int signal);

  Loop& loop_;
  IoDriver& driver_;
  std::uint32_t references_ = 1;
  OwnedFd read_end_;
  OwnedFd write_end_;
  Callback callback_;
  std::vector<Former> former_;
  std::vector<int> kept_;
  WaiterQueue waiters_;
  bool stopped_ = false;
};
using SignalRef = Ref<SignalState>;

class NextSignal final : public Wait {
 public:
  explicit NextSignal(SignalRef state) noexcept : state_(std::move(state)), node_(*this) {}

  bool await_ready() noexcept {
    signal_ = state_->take();
    return signal_ != 0;
  }
  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    state_->enter(node_);
    loop.block(*this, frame);
  }
  int await_resume();

  AbortResult abort() noexcept override {
    if (signal_ != 0) state_->give_back(std::exchange(signal_, 0));
    return AbortResult::done;
  }
  std::string describe() const override { return "a signal"; }

  void deliver(int signal) noexcept { signal_ = signal; }

 private:
  SignalRef state_;
  WaitNode node_;
  int signal_ = 0;
};

}  // namespace detail

/// Takes signals while it exists.
class SignalWatch {
 public:
  /// For `next()`, on the current loop.
  /// Errors: InvalidStateError when one of them is watched already, or without a loop; std::system_error for a signal
  /// that can't be caught.
  explicit SignalWatch(std::initializer_list<int> signals) : SignalWatch(Loop::current(), signals, nullptr) {}

  /// `callback` runs on `loop` for each, as a step of its own before all tasks. It may destroy the watch.
  SignalWatch(Loop& loop, std::initializer_list<int> signals, std::function<void(int)> callback)
      : state_(new detail::SignalState(loop, signals, std::move(callback))) {}

  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;

  /// The former dispositions are back. Who waits in `next` gets operation_canceled.
  ~SignalWatch() { state_->stop(); }

  /// The number of the next signal.
  /// Suspends: unless one came that nobody took. Interrupt: a signal that came goes to the next who waits, or to the
  /// next call. Errors: operation_canceled when the watch ends meanwhile.
  detail::NextSignal next() { return detail::NextSignal(state_); }

 private:
  detail::SignalRef state_;
};

}  // namespace heirloop
