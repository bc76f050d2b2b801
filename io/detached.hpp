// An operation that its waiter may leave behind: it then ends by itself.
//
// Owns: itself, from the moment its wait has gone. What it needs (addresses, paths, descriptors) are its members, so its
// destructor is the place where what nobody took is closed. Used for connect, open and close.
#pragma once

#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/operation.hpp>
#include <heirloop/sched/frame_pool.hpp>

#include <utility>

namespace heirloop::detail {

class Detached : public Operation, public Pooled {
 public:
  void start(Wait& wait) {
    IoDriver& driver = io_driver();
    driver.start(*this, current_urgency());
    driver_ = &driver;
    waiter_ = &wait;
  }

  /// Its wait goes away: it ends now, or with its last completion.
  void leave() noexcept {
    if (in_flight() && driver_->cancel(*this) == IoDriver::CancelAnswer::requested) {
      abandon();
    } else {
      delete this;
    }
  }

 protected:
  explicit Detached(OperationKind kind) noexcept : Operation(kind) {}
  virtual ~Detached() = default;

 private:
  void completed() noexcept final {
    if (waiter_ == nullptr) {
      delete this;
    } else {
      wake_waiter();
    }
  }

  IoDriver* driver_ = nullptr;
};

/// Waits for the end of a `Detached`, and owns it until then.
template <class D>
class DetachedWait : public Wait {
 public:
  template <class... Arguments>
  explicit DetachedWait(Arguments&&... arguments) : operation_(new D(std::forward<Arguments>(arguments)...)) {}
  ~DetachedWait() {
    if (operation_ != nullptr) operation_->leave();
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    operation_->start(*this);
    loop.block(*this, frame);
  }
  /// The operation, ended; it lives as long as this wait.
  D& await_resume() const {
    Loop::resumed();
    return *operation_;
  }

  AbortResult abort() noexcept override {
    std::exchange(operation_, nullptr)->leave();
    return AbortResult::done;
  }
  std::string describe() const override {
    return operation_ == nullptr ? std::string(D::what) : operation_->describe();
  }

 private:
  D* operation_;
};

}  // namespace heirloop::detail
