// `Future<T>` and `Promise<T>`: an outcome that somebody will set, and any number of tasks that wait for it.
//
// Owns: the outcome, the queue of those who wait and the functions to call, in a recycled block that the promise and the
// futures share. Called by tasks and handles of one loop.
//
// 1. The outcome is set once, by the promise, by a cancel, or as the promise goes; all who wait go on then, by the policy's
//    order, and the functions become ready in the order in which they were added.
// 2. Nobody owns a future, so that waiting for it lends nothing, unless the promise names an owner: that task inherits.
// 3. A promise that goes without an outcome breaks its future.
// 4. A cancel of a task that waits for a future cancels the future: all who wait get it.
// 5. An exception that nobody has seen is logged as the last of promise and futures goes.
#pragma once

#include <coroutine>
#include <exception>
#include <string>
#include <type_traits>
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

  /// False when there is an outcome already.
  bool cancel(Cancelled cancelled);

  /// Errors: InvalidStateError when functions of another loop wait for the outcome.
  void check_loop(Loop& loop) const;

  /// `callback`, of `Loop::make_callback`, runs soon after the outcome is there.
  void call_when_done(Loop& loop, Callback& callback) noexcept;
  bool has_had(const Callback& callback) const noexcept { return callbacks_.has_had(callback); }

  void retain() noexcept { ++references_; }
  bool let_go() noexcept { return --references_ == 0; }

  /// Nobody else holds it, so nobody can see its outcome.
  bool is_last() const noexcept { return references_ == 1; }
  void mark_fetched() noexcept { fetched_ = true; }

  /// One task's wait.
  class Wait final : public heirloop::Wait {
   public:
    /// Not `forwards`: a cancel of the waiter ends the wait, not the future.
    explicit Wait(FutureBase& future, bool forwards = true) noexcept : future_(future), forwards_(forwards), node_(*this) {}
    bool await_ready() const noexcept { return future_.done_; }
    void await_suspend(std::coroutine_handle<> frame);
    void await_resume() const;
    AbortResult abort() noexcept override { return AbortResult::done; }
    bool forward(CancelWalk& walk) noexcept override;
    std::string describe() const override { return future_.describe(); }

   private:
    friend class FutureBase;
    FutureBase& future_;
    const bool forwards_;
    WaitNode node_;
    bool owner_died_ = false;
  };

 protected:
  ~FutureBase();

  /// The outcome is there: all go on.
  void set_done() noexcept;
  void check_not_done() const;
  virtual void store_cancelled(std::exception_ptr error) noexcept = 0;
  void log_unless_fetched(const std::exception_ptr& error) const noexcept;

 private:
  Holding owner_;
  CallbackList callbacks_;
  LoopLife* life_ = nullptr;  // of the loop of the callbacks; null: there was none
  std::uint32_t references_ = 1;
  bool done_ = false;
  bool fetched_ = false;
};

template <class T>
class FutureState final : public FutureBase, public Pooled {
 public:
  ~FutureState() {
    if (result.has_error() && !result.is_cancelled()) log_unless_fetched(result.error());
  }

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

 private:
  void store_cancelled(std::exception_ptr error) noexcept override { result.set_cancelled(std::move(error)); }
};

/// A counted pointer to a state.
template <class T>
class FutureRef {
 public:
  FutureRef() noexcept = default;
  explicit FutureRef(FutureState<T>* state) noexcept : state_(state) {}
  FutureRef(const FutureRef& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->retain();
  }
  FutureRef(FutureRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  FutureRef& operator=(FutureRef other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~FutureRef() {
    if (state_ != nullptr && state_->let_go()) delete state_;
  }

  explicit operator bool() const noexcept { return state_ != nullptr; }
  FutureState<T>& checked() const {
    if (state_ == nullptr) throw InvalidStateError("this future or promise is empty");
    return *state_;
  }

 private:
  FutureState<T>* state_ = nullptr;
};

/// Whether `set_value(args...)` can make a T.
template <class T, class... Args>
inline constexpr bool sets_value = sizeof...(Args) == 1 && (sets_result<T, Args> && ...);
template <class T>
inline constexpr bool sets_value<T> = std::is_void_v<T>;

}  // namespace detail

/// What a promise will give. Copyable. Belongs to the loop's thread.
template <class T>
class Future {
 public:
  Future() noexcept = default;

  explicit operator bool() const noexcept { return static_cast<bool>(state_); }

  bool done() const { return state_.checked().done(); }
  bool cancelled() const { return state_.checked().result.is_cancelled(); }

  /// Whether the outcome is an exception, other than by a cancel. Leaves it unseen.
  bool failed() const {
    const detail::Result<T>& result = state_.checked().result;
    return result.has_error() && !result.is_cancelled();
  }

  /// The value, or throws the exception that was set.
  /// Errors: InvalidStateError when not done; Cancelled when the future was cancelled.
  decltype(auto) result() const { return std::as_const(fetched().result).peek(); }

  /// The exception that was set, or null. Errors: as `result`.
  std::exception_ptr exception() const {
    const detail::Result<T>& result = fetched().result;
    if (result.is_cancelled()) std::rethrow_exception(result.error());
    return result.has_error() ? result.error() : nullptr;
  }

  /// The outcome is `Cancelled` with the message: all who wait get it, and the promise can set nothing any more. False when it
  /// had an outcome.
  bool cancel(std::string message = {}) const { return state_.checked().cancel(Cancelled(std::move(message))); }

  /// `function(future)`, or `function()`, runs when the outcome is there: as a step of its own, never inside a call, with the
  /// base priority of who adds it; soon, when it is there already. Functions of one priority run in the order in which they
  /// were added. An exception that leaves one is logged. The handle removes it. When the loop in which it was added has ended
  /// before, it is dropped.
  /// Errors: InvalidStateError outside a loop, and in another one than that of the functions before it. Cost: no allocation in
  /// steady state for a function of up to 40 bytes.
  template <class F>
  CallHandle add_done_callback(F&& function) const {
    Loop& loop = Loop::current();
    using Call = detail::CalledWith<std::decay_t<F>, Future>;
    detail::FutureState<T>& state = state_.checked();
    state.check_loop(loop);
    Callback* callback = loop.make_callback(Call{std::forward<F>(function), *this}, {});
    const CallHandle added(callback);
    state.call_when_done(loop, *callback);
    return added;
  }

  /// Takes back what `add_done_callback` gave, also when the outcome is there and it is ready already. False when it ran, runs,
  /// was removed, or is of something else.
  /// Errors: InvalidStateError for an empty handle, or on another thread.
  bool remove_done_callback(const CallHandle& handle) const {
    return state_.checked().has_had(handle.callback()) && handle.cancel();
  }

  /// Waits for the outcome and gives it: a copy, so that there can be many awaiters; a move-only value is moved out to the
  /// first.
  /// Suspends: unless it is there; the named owner, if any, inherits the waiter's urgency. Interrupt: the future goes on. A
  /// cancel of the waiter cancels the future.
  /// Errors: the exception that was set; Cancelled; BrokenPromise; OwnerDied when the named owner ends while this waits;
  /// DeadlockError when the named owner waits, directly or not, for the caller. Cost: O(log n) in the number of awaiters.
  auto operator co_await() const { return Awaiter(*this, true); }

  /// The same, but a cancel of the waiter does not go to the future: `co_await shield(future)`.
  auto shielded() const { return Awaiter(*this, false); }

  /// Waits as `shielded` until the outcome is there, and leaves it unseen.
  auto until_done() const { return UntilDone(*this); }

 private:
  template <class U>
  friend class Promise;
  explicit Future(detail::FutureRef<T> state) noexcept : state_(std::move(state)) {}

  detail::FutureState<T>& fetched() const {
    detail::FutureState<T>& state = state_.checked();
    if (!state.done()) throw InvalidStateError("this future has no outcome yet");
    state.mark_fetched();
    return state;
  }

  class UntilDone {
   public:
    explicit UntilDone(const Future& future, bool forwards = false)
        : state_(future.state_), wait_(state_.checked(), forwards) {}
    UntilDone(const UntilDone&) = delete;
    UntilDone& operator=(const UntilDone&) = delete;

    bool await_ready() const noexcept { return wait_.await_ready(); }
    void await_suspend(std::coroutine_handle<> frame) { wait_.await_suspend(frame); }
    void await_resume() { wait_.await_resume(); }

   protected:
    detail::FutureRef<T> state_;

   private:
    detail::FutureBase::Wait wait_;
  };

  class Awaiter : public UntilDone {
   public:
    using UntilDone::UntilDone;
    T await_resume() {
      UntilDone::await_resume();
      detail::FutureState<T>& state = this->state_.checked();
      state.mark_fetched();
      auto& result = state.result;
      if constexpr (std::is_void_v<T> || std::is_reference_v<T> || !std::is_copy_constructible_v<T>) {
        return result.take();
      } else {
        return T(std::as_const(result).peek());
      }
    }
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
    if (!state_ || state_.checked().done()) return;
    if (state_.checked().is_last()) state_.checked().mark_fetched();
    state_.checked().set_exception(std::make_exception_ptr(BrokenPromise("the promise went without an outcome")));
  }

  Future<T> future() const {
    state_.checked();
    return Future<T>(state_);
  }
  bool done() const { return state_.checked().done(); }

  /// True when a future was cancelled: nobody wants an outcome any more.
  bool cancelled() const { return state_.checked().result.is_cancelled(); }

  /// All who wait go on. A promise of a reference takes what outlives the call.
  /// Errors: InvalidStateError when the outcome is there already, also by a cancel.
  template <class... Args>
    requires detail::sets_value<T, Args...>
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
