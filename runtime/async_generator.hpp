// Asynchronous generators: coroutines that give values one after another and may wait in between.
//
// Owns: the frame, from the call to the drop of the object. Called by programs; closed at the end of a run by the loop.
//
//   new ──next──▶ running ◀──next, athrow, aclose── suspended
//    │               │ └───────── co_yield ──────────▲
//    │               └─ return, exception ─▶ finished
//    └── athrow, aclose ─────────────────────▲
//
// 1. A generator runs as part of the task that awaits `next()`, on the trampoline: no task, no switch, nothing nested.
// 2. A value goes straight from co_yield to where `next()` keeps its result.
// 3. A frame is destroyed when it is new or finished. Whatever ends it earlier throws at the yield and runs it out.
// 4. From its begin to its end the frame is known to the loop in which it began; the object may be moved meanwhile.
#pragma once

#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

#include <heirloop/sched/drive.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/open_frame.hpp>

namespace heirloop {

template <class T>
class AsyncGenerator;

namespace detail {

/// What does not depend on the type of the values.
class GeneratorPromise : public OpenFrame {
 public:
  enum class State : std::uint8_t { created, suspended, running, finished };

  GeneratorPromise() noexcept : OpenFrame(closed_by_loop) {}

  State state() const noexcept { return state_; }

  /// Whether there is something to run. Errors: InvalidStateError while it runs.
  bool can_go_on() const {
    if (state_ == State::running) [[unlikely]] refuse_second();
    return state_ != State::finished;
  }

  /// `frame` awaits the next yield or the end, and this frame runs next.
  void go_on(std::coroutine_handle<> frame) noexcept {
    awaiter = frame;
    if (state_ == State::created) begin();
    state_ = State::running;
    this_thread.next = handle();
  }

  /// As `can_go_on` for who throws at the yield; a generator that is new has finished by it.
  bool can_be_thrown_at();
  void throw_at_yield(std::exception_ptr error, std::coroutine_handle<> frame) noexcept;

  /// The same for who closes.
  void close_at_yield(std::coroutine_handle<> frame) noexcept;

  /// The exception that ended it, for the first who asks.
  void rethrow_if_failed() {
    if (error_) [[unlikely]] std::rethrow_exception(std::exchange(error_, nullptr));
  }

  /// Closes it when it has begun, and destroys the frame.
  void drop() noexcept;

  // ---- for compiled coroutines ----

  class YieldAwaiter {
   public:
    explicit YieldAwaiter(GeneratorPromise& promise) noexcept : promise_(promise) {}
    YieldAwaiter(const YieldAwaiter&) = delete;
    YieldAwaiter& operator=(const YieldAwaiter&) = delete;

    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {
      promise_.state_ = State::suspended;
      this_thread.next = promise_.awaiter;
    }
    void await_resume() const {
      if (promise_.then_ != Then::goes_on) [[unlikely]] promise_.throw_here();
    }

   private:
    GeneratorPromise& promise_;
  };

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
      GeneratorPromise& promise = frame.promise();
      promise.state_ = State::finished;
      OpenFrames::remove(promise);
      this_thread.next = promise.awaiter;
    }
    void await_resume() const noexcept {}
  };

  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  void return_void() const noexcept {}
  void unhandled_exception() noexcept;

 protected:
  ~GeneratorPromise() = default;

  /// False: no value is wanted. Errors: InvalidStateError in answer to a close.
  bool wants_value(const std::source_location& place) {
#ifndef HEIRLOOP_NO_AWAIT_PLACES
    where = place;
#endif
    return then_ != Then::ends || yields_in_close(place);
  }

 private:
  enum class Then : std::uint8_t { goes_on, throws, ends };  // what it does behind the yield

  std::coroutine_handle<> handle() noexcept { return std::coroutine_handle<CoroPromiseBase>::from_promise(*this); }
  void begin() noexcept;
  [[noreturn]] void refuse_second() const;
  void throw_here();
  bool yields_in_close(const std::source_location& place);
  void close_in_call() noexcept;
  static Coro<void> closed_by_loop(OpenFrame& frame);

  std::exception_ptr error_;  // to be thrown at the yield; or what has left the frame
  State state_ = State::created;
  Then then_ = Then::goes_on;
  std::uint8_t refused_yields_ = 0;
  bool closed_by_loop_ = false;  // it is inside
  bool dropped_ = false;         // meanwhile
};

/// The next value, or that there is none.
template <class T>
using NextValue =
    std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, std::optional<std::remove_reference_t<T>>>;

template <class T>
class AsyncGeneratorPromise final : public GeneratorPromise {
 public:
  AsyncGenerator<T> get_return_object(std::source_location place = std::source_location::current()) noexcept;

  /// A T is made of what is yielded; a reference refers to it, which may be a temporary: it lives until the generator goes on.
  template <class U = T>
    requires(std::is_reference_v<T> ? std::is_convertible_v<std::remove_reference_t<U>*, NextValue<T>>
                                    : std::is_constructible_v<T, U &&>)
  YieldAwaiter yield_value(U&& value, std::source_location place = std::source_location::current()) {
    if (wants_value(place)) [[likely]] {
      if constexpr (std::is_reference_v<T>) {
        *out_ = std::addressof(value);
      } else {
        out_->emplace(std::forward<U>(value));
      }
    }
    return YieldAwaiter(*this);
  }

  void deliver_to(NextValue<T>& out) noexcept { out_ = &out; }

 private:
  NextValue<T>* out_ = nullptr;
};

/// The await of the next value.
template <class T>
class NextAwaiter {
 public:
  using hands_over = void;

  explicit NextAwaiter(AsyncGeneratorPromise<T>& generator) noexcept : generator_(generator) {}
  NextAwaiter(const NextAwaiter&) = delete;
  NextAwaiter& operator=(const NextAwaiter&) = delete;

  bool await_ready() const { return !generator_.can_go_on(); }
  void await_suspend(std::coroutine_handle<> frame) noexcept {
    generator_.deliver_to(value_);
    generator_.go_on(frame);
  }
  NextValue<T> await_resume() {
    if (!value_) [[unlikely]] generator_.rethrow_if_failed();
    return std::move(value_);
  }

 protected:
  AsyncGeneratorPromise<T>& generator_;
  NextValue<T> value_{};
};

/// The await of what becomes of an exception thrown at the yield.
template <class T>
class ThrowAwaiter final : public NextAwaiter<T> {
 public:
  ThrowAwaiter(AsyncGeneratorPromise<T>& generator, std::exception_ptr error) noexcept
      : NextAwaiter<T>(generator), error_(std::move(error)) {}

  bool await_ready() const { return !this->generator_.can_be_thrown_at(); }
  void await_suspend(std::coroutine_handle<> frame) noexcept {
    this->generator_.deliver_to(this->value_);
    this->generator_.throw_at_yield(std::move(error_), frame);
  }
  NextValue<T> await_resume() {
    if (error_) std::rethrow_exception(std::move(error_));
    return NextAwaiter<T>::await_resume();
  }

 private:
  std::exception_ptr error_;
};

/// The await of the end.
class CloseAwaiter {
 public:
  using hands_over = void;

  explicit CloseAwaiter(GeneratorPromise& generator) noexcept : generator_(generator) {}
  CloseAwaiter(const CloseAwaiter&) = delete;
  CloseAwaiter& operator=(const CloseAwaiter&) = delete;

  bool await_ready() const { return !generator_.can_be_thrown_at(); }
  void await_suspend(std::coroutine_handle<> frame) const noexcept { generator_.close_at_yield(frame); }
  void await_resume() const { generator_.rethrow_if_failed(); }

 private:
  GeneratorPromise& generator_;
};

}  // namespace detail

/// A coroutine that gives values by `co_yield` and may `co_await` in between whatever a Coro may. Lazy, move-only; belongs to
/// one thread. It runs as part of the task that awaits `next()`, whichever that is each time: locks taken in it are that task's,
/// and what comes for that task comes to the innermost await in it.
///
///     AsyncGenerator<std::string> lines(TcpStream& peer) {
///       while (auto line = co_await peer.read_line()) co_yield std::move(*line);
///     }
///     auto all = lines(peer);
///     while (auto line = co_await all.next()) use(*line);
///
/// Dropping one that is suspended closes it inside the destructor, under the identity of who drops it: GeneratorExit is thrown
/// at the yield and the frame runs out. It can't wait there: an await that would, and a yield, get InvalidStateError with their
/// place; who tries a fourth time ends the program. What leaves the frame is logged. What must wait to clean up is closed by
/// `aclose()`. A generator must not be dropped while somebody is inside it, but for the end of a run: that ends the program. Cost: a thrown exception; none
/// for one that is new or has finished.
///
/// One that has begun and is left when its run ends is closed then, as by `aclose()`, in a task of its own.
///
/// Its locals live until it ends, its parameters until the object is dropped. A Shield in it must be gone before it yields: that
/// is the task's, and another may ask next.
///
/// T may be a reference: `next()` gives a pointer to what was yielded, which lives until the generator goes on. With g++ 12 an
/// aggregate with a non-trivial member is not yielded as a temporary: name it and move it.
template <class T>
class [[nodiscard("a generator does nothing until next() is awaited")]] AsyncGenerator {
  static_assert(!std::is_void_v<T> && !std::is_rvalue_reference_v<T>, "a generator gives objects or references to them");

 public:
  using promise_type = detail::AsyncGeneratorPromise<T>;

  /// What `next()` gives: std::optional<T>, or a pointer when T is a reference.
  using Value = detail::NextValue<T>;

  AsyncGenerator() noexcept = default;
  explicit AsyncGenerator(promise_type& promise) noexcept : promise_(&promise) {}
  AsyncGenerator(AsyncGenerator&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)) {}
  AsyncGenerator& operator=(AsyncGenerator&& other) noexcept {
    const AsyncGenerator old(std::move(*this));
    promise_ = std::exchange(other.promise_, nullptr);
    return *this;
  }
  ~AsyncGenerator() {
    if (promise_ != nullptr) promise_->drop();
  }

  explicit operator bool() const noexcept { return promise_ != nullptr; }

  bool is_new() const noexcept { return is(detail::GeneratorPromise::State::created); }

  /// At a yield.
  bool is_suspended() const noexcept { return is(detail::GeneratorPromise::State::suspended); }
  bool is_finished() const noexcept { return is(detail::GeneratorPromise::State::finished); }

  /// The next value; empty when the generator has finished.
  /// Suspends: only where the generator does. Interrupt: comes to the await in the generator; when it leaves the body, it comes
  /// out of here and the generator has finished.
  /// Errors: what leaves the body, once; InvalidStateError while somebody is inside the generator, and for an empty object.
  /// Cost: two hand-overs on the trampoline and one move of the value more than its making; nothing allocates.
  detail::NextAwaiter<T> next() { return detail::NextAwaiter<T>(promise()); }

  /// Throws `error`, a value or a std::exception_ptr, at the yield and gives what `next()` would. A generator that is new or has
  /// finished does not see it: it comes straight out, and a new one has finished by it.
  /// Suspends, Interrupt, Cost: as `next()`. Errors: as `next()`; std::invalid_argument for a null pointer.
  template <class E>
  detail::ThrowAwaiter<T> athrow(E&& error) {
    return detail::ThrowAwaiter<T>(promise(), detail::as_exception(std::forward<E>(error)));
  }

  /// Ends the generator: GeneratorExit is thrown at the yield, and its clean-up is awaited. Nothing happens when it has finished;
  /// a new one has finished without having run.
  /// Suspends: where the clean-up does. Interrupt: comes to the await in the clean-up. Cost: a thrown exception.
  /// Errors: what leaves the body, but for GeneratorExit; InvalidStateError as `next()`. A yield in answer gets an
  /// InvalidStateError that names the place; who has caught three of them and yields again stays suspended there, and the error
  /// comes out of here.
  detail::CloseAwaiter aclose() { return detail::CloseAwaiter(promise()); }

 private:
  bool is(detail::GeneratorPromise::State state) const noexcept { return promise_ != nullptr && promise_->state() == state; }
  promise_type& promise() const {
    if (promise_ == nullptr) [[unlikely]] throw InvalidStateError("this generator is empty: it was moved from");
    return *promise_;
  }

  promise_type* promise_ = nullptr;
};

template <class T>
AsyncGenerator<T> detail::AsyncGeneratorPromise<T>::get_return_object(std::source_location place) noexcept {
  static_assert(alignof(AsyncGeneratorPromise) == alignof(CoroPromiseBase), "CoroPromiseBase::of finds it at one offset");
  where = place;
  return AsyncGenerator<T>(*this);
}

}  // namespace heirloop
