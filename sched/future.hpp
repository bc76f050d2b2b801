// `Future<T>` and `Promise<T>`: an outcome that somebody will set, and any number of tasks that wait for it.
//
// Owns: the outcome and the queue of those who wait, in a recycled block that the promise and the futures share. Called by
// tasks and handles of one loop.
//
// 1. The outcome is set once; all who wait go on then, by the policy's order.
// 2. Nobody owns a future, so that waiting for it lends nothing, unless the promise names an owner: that task inherits.
// 3. A promise that goes without an outcome breaks its future.
#pragma once

#include <coroutine>
#include <exception>
#include <string>
#include <utility>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/result.hpp>

namespace heirloop {

namespace detail {

/// What does not depend on the type of the value.
class FutureBase : public Resource {
 public:
  FutureBase() noexcept { owner_.resource = this; }

  bool done() const noexcept { return done_; }
  void set_owner(const TaskRef& task);
  std::string describe() const override;
  void owner_died(Holding& holding) noexcept override;

  /// One task's wait.
  class Wait final : public heirloop::Wait {
   public:
    explicit Wait(FutureBase& future) noexcept : future_(future), node_(*this) {}
    bool await_ready() const noexcept { return future_.done_; }
    void await_suspend(std::coroutine_handle<> frame);
    void await_resume() const;
    AbortResult abort() noexcept override { return AbortResult::done; }
    std::string describe() const override { return future_.describe(); }

   private:
    friend class FutureBase;
    FutureBase& future_;
    WaitNode node_;
    bool owner_died_ = false;
  };

 protected:
  ~FutureBase() = default;

  /// The outcome is there: all go on.
  void set_done() noexcept;
  void check_not_done() const;

 private:
  Holding owner_;
  bool done_ = false;
};

template <class T>
class FutureState final : public FutureBase, public Pooled {
 public:
  template <class... Args>
  void set_value(Args&&... args) {
    check_not_done();
    result.emplace(std::forward<Args>(args)...);
    set_done();
  }
  void set_exception(const std::exception_ptr& error) {
    check_not_done();
    try {
      std::rethrow_exception(error);
    } catch (...) {
      result.catch_current();
    }
    set_done();
  }

  Result<T> result;
  unsigned references = 1;  // of the loop's thread alone
};

/// A counted pointer to a state.
template <class T>
class FutureRef {
 public:
  FutureRef() noexcept = default;
  explicit FutureRef(FutureState<T>* state) noexcept : state_(state) {}
  FutureRef(const FutureRef& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) ++state_->references;
  }
  FutureRef(FutureRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  FutureRef& operator=(FutureRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~FutureRef() {
    if (state_ != nullptr && --state_->references == 0) delete state_;
  }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  FutureState<T>& checked() const {
    if (state_ == nullptr) throw InvalidStateError("this future or promise is empty");
    return *state_;
  }

 private:
  FutureState<T>* state_ = nullptr;
};

}  // namespace detail

/// What a promise will give. Copyable. Belongs to the loop's thread.
template <class T>
class Future {
 public:
  Future() noexcept = default;

  bool done() const { return state_.checked().done(); }

  /// The value, or throws the exception that was set. Errors: InvalidStateError when not done.
  decltype(auto) result() const {
    if (!done()) throw InvalidStateError("this future has no outcome yet");
    return std::as_const(state_.checked().result).peek();
  }

  /// Waits for the outcome and gives it: a copy, so that there can be many awaiters; a move-only value is moved out to the
  /// first.
  /// Suspends: unless it is there; the named owner, if any, inherits the waiter's urgency. Interrupt: the future goes on.
  /// Errors: the exception that was set; BrokenPromise; OwnerDied when the named owner ends while this waits;
  /// DeadlockError when the named owner waits, directly or not, for the caller. Cost: O(log n) in the number of awaiters.
  auto operator co_await() const { return Awaiter(*this); }

 private:
  template <class U>
  friend class Promise;
  explicit Future(detail::FutureRef<T> state) noexcept : state_(std::move(state)) {}

  class Awaiter {
   public:
    explicit Awaiter(const Future& future) : state_(future.state_), wait_(state_.checked()) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;

    bool await_ready() const noexcept { return wait_.await_ready(); }
    void await_suspend(std::coroutine_handle<> frame) { wait_.await_suspend(frame); }
    T await_resume() {
      wait_.await_resume();
      auto& result = state_.checked().result;
      if constexpr (std::is_void_v<T> || std::is_reference_v<T> || !std::is_copy_constructible_v<T>) {
        return result.take();
      } else {
        return T(std::as_const(result).peek());
      }
    }

   private:
    detail::FutureRef<T> state_;
    detail::FutureBase::Wait wait_;
  };

  detail::FutureRef<T> state_;
};

/// Gives a future its outcome, once. Move-only. Belongs to the loop's thread.
template <class T>
class Promise {
 public:
  Promise() : state_(new detail::FutureState<T>()) {}
  Promise(Promise&&) noexcept = default;
  Promise& operator=(Promise&& other) noexcept {
    if (this == &other) return *this;
    Promise old(std::move(*this));
    state_ = std::move(other.state_);
    return *this;
  }
  ~Promise() {
    if (state_ && !state_.checked().done()) {
      state_.checked().set_exception(std::make_exception_ptr(BrokenPromise("the promise went without an outcome")));
    }
  }

  Future<T> future() const {
    state_.checked();
    return Future<T>(state_);
  }
  bool done() const { return state_.checked().done(); }

  /// All who wait go on. Errors: InvalidStateError when the outcome is there already.
  template <class... Args>
    requires(sizeof...(Args) == (std::is_void_v<T> ? 0 : 1))
  void set_value(Args&&... args) {
    state_.checked().set_value(std::forward<Args>(args)...);
  }

  /// The same with an exception: a value, or a std::exception_ptr.
  template <class E>
  void set_exception(E&& error) {
    state_.checked().set_exception(detail::as_exception(std::forward<E>(error)));
  }

  /// The task that is going to set the outcome: it inherits from all who wait, and when it ends before, they get OwnerDied.
  /// An empty handle: nobody.
  /// Errors: InvalidStateError for a task that is done; DeadlockError, with nothing changed, when the task waits, directly
  /// or not, for the outcome. Cost: O(log n).
  void set_owner(const TaskRef& task) { state_.checked().set_owner(task); }

 private:
  detail::FutureRef<T> state_;
};

}  // namespace heirloop
