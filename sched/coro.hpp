// `Coro<T>`: a lazy coroutine, and the trampoline's side of it.
//
// Owns: the frame until it ends or is given to a task. Called by compiled coroutines.
//
// 1. A frame that awaits a child notes the child as the next to resume and returns to the step; the end of a child
//    notes its awaiter in the same way, and the end of a task's root nothing. Nothing nests on the machine stack, however
//    deep the chain.
// 2. A frame is destroyed directly only when it was never started or has ended.
// 3. The outcome is written straight to where the awaiter wants it.
// 4. Every await that would suspend is refused while a call runs coroutines to their end (drive.hpp), before its awaiter has
//    done anything. Cost: a comparison with memory, in awaits that suspend.
#pragma once

#include <bit>
#include <coroutine>
#include <source_location>
#include <type_traits>
#include <utility>

#include <heirloop/sched/contract.hpp>
#include <heirloop/sched/drive.hpp>
#include <heirloop/sched/errors.hpp>
#include <heirloop/sched/frame_pool.hpp>
#include <heirloop/sched/result.hpp>
#include <heirloop/sched/this_thread.hpp>

namespace heirloop {

template <class T>
class Coro;

namespace detail {

/// The root frame of the current task ends with an exception.
void root_failed() noexcept;

/// Throws what is pending for the current task, if anything; at the first line of a task.
void check_first_line();

/// An awaiter that only names the frame which goes on: no wait of the task's.
template <class Awaiter>
concept HandsOver = requires { typename std::remove_reference_t<Awaiter>::hands_over; };

/// An awaiter as good as any other of its type: one made anew needs no room in the frame.
template <class Awaiter>
concept HoldsNothing = requires { typename Awaiter::holds_nothing; } && std::is_empty_v<Awaiter>;

/// What a frame awaits, behind the note of where and the question whether it may wait. (g++ 12 copies an awaiter that
/// `await_transform` hands through as a reference, so this stands in for it.)
template <class Awaiter>
class Placed {
 public:
  template <class Get>
  explicit Placed(Get get) : awaiter_(get()) {}
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;

  [[gnu::always_inline]] bool await_ready() { return awaiter_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> frame) {
    if constexpr (!HandsOver<Awaiter>) {
      if (this_thread.drive != nullptr) [[unlikely]] refuse_wait(frame.promise().where);
    }
    return awaiter_.await_suspend(frame);
  }
  [[gnu::always_inline]] decltype(auto) await_resume() { return awaiter_.await_resume(); }

 private:
  Awaiter awaiter_;
};

/// What a std::source_location holds. As an argument that one, of class type, would take room in every frame.
using PlaceWord = decltype(__builtin_source_location());
inline std::source_location to_place(PlaceWord word) noexcept { return std::bit_cast<std::source_location>(word); }

class CoroPromiseBase {
 public:
  /// Notes the place of each await. Cost: a store.
  template <class A>
#ifndef HEIRLOOP_NO_AWAIT_PLACES
  auto await_transform(A&& awaitable, PlaceWord place = __builtin_source_location()) {
    where = to_place(place);
#else
  auto await_transform(A&& awaitable) {
#endif
    using Awaiter = std::remove_cvref_t<A>;
    if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
      const auto get = [&] { return std::forward<A>(awaitable).operator co_await(); };
      return Placed<decltype(get())>(get);
    } else if constexpr (HoldsNothing<Awaiter>) {
      return Placed<Awaiter>([] { return Awaiter(); });
    } else {
      const auto get = [&]() -> std::remove_reference_t<A>& { return awaitable; };
      return Placed<std::remove_reference_t<A>&>(get);
    }
  }

  static void* operator new(std::size_t size) { return FramePool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { FramePool::deallocate(memory, size); }

  struct Initial {
    const CoroPromiseBase* promise;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    void await_resume() const {
      if (promise->awaiter == nullptr) check_first_line();
    }
  };

  struct Final {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> frame) const noexcept {
      if (const auto above = frame.promise().awaiter) this_thread.next = above;
    }
    void await_resume() const noexcept {}
  };

  /// Of a frame of a Coro, whatever its result.
  static const CoroPromiseBase& of(std::coroutine_handle<> frame) noexcept {
    return std::coroutine_handle<CoroPromiseBase>::from_address(frame.address()).promise();
  }

  std::coroutine_handle<> awaiter;  // resumed when this frame ends; null for the root of a task
  std::source_location where;       // of its last await; before the first one, and without places, of the function
};

template <class T>
class CoroPromise;

}  // namespace detail

/// A lazy coroutine that runs when it is awaited or given to a task. Move-only; awaited once; destroyed without a leak
/// when it never started.
template <class T = void>
class [[nodiscard("a Coro does nothing until it is awaited or given to a task")]] Coro {
 public:
  using promise_type = detail::CoroPromise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Coro() noexcept = default;
  explicit Coro(Handle frame) noexcept : frame_(frame) {}
  Coro(Coro&& other) noexcept : frame_(std::exchange(other.frame_, {})) {}
  Coro& operator=(Coro&& other) noexcept {
    Coro old(std::move(*this));
    frame_ = std::exchange(other.frame_, {});
    return *this;
  }
  ~Coro() {
    if (frame_) drop();
  }

  explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

  /// True before the first await, and until then only.
  bool is_new() const noexcept;
  bool is_finished() const noexcept { return frame_ && frame_.done(); }
  bool is_suspended() const noexcept { return frame_ && !is_new() && !is_finished(); }

  /// Runs the coroutine as part of the awaiting task and gives its value.
  /// Suspends: only where the coroutine does. Errors: what the coroutine throws; InvalidStateError on a second await.
  /// Cost: a switch to the child and back, without the ready queue.
  auto operator co_await();

  Handle frame() const noexcept { return frame_; }

  /// Gives the frame away, to a task.
  Handle release() noexcept { return std::exchange(frame_, {}); }

 private:
  void drop() noexcept;

  Handle frame_;
};

namespace detail {

template <class T>
class CoroPromiseResult : public CoroPromiseBase {
 public:
  void unhandled_exception() noexcept {
    if (awaiter != nullptr) return out_->catch_current_to_pass_on();
    out_->catch_current();
    root_failed();
  }
  void deliver_to(Result<T>& out) noexcept { out_ = &out; }
  bool is_started() const noexcept { return out_ != nullptr; }

 protected:
  Result<T>* out_ = nullptr;
};

template <class T>
class CoroPromise final : public CoroPromiseResult<T> {
  static_assert(alignof(CoroPromiseResult<T>) == alignof(CoroPromiseBase), "CoroPromiseBase::of finds it at one offset");

 public:
  Coro<T> get_return_object(std::source_location place = std::source_location::current()) noexcept {
    this->where = place;
    return Coro<T>(Coro<T>::Handle::from_promise(*this));
  }
  CoroPromiseBase::Initial initial_suspend() const noexcept { return {this}; }
  CoroPromiseBase::Final final_suspend() const noexcept { return {}; }

  template <class U = T>
    requires sets_result<T, U>
  void return_value(U&& value) {
    this->out_->emplace(std::forward<U>(value));
  }
};

template <>
class CoroPromise<void> final : public CoroPromiseResult<void> {
 public:
  Coro<void> get_return_object(std::source_location place = std::source_location::current()) noexcept {
    where = place;
    return Coro<void>(Coro<void>::Handle::from_promise(*this));
  }
  CoroPromiseBase::Initial initial_suspend() const noexcept { return {this}; }
  CoroPromiseBase::Final final_suspend() const noexcept { return {}; }
  void return_void() noexcept { out_->emplace(); }
};

template <class T>
class CoroAwaiter {
 public:
  using hands_over = void;

  explicit CoroAwaiter(typename Coro<T>::Handle child) noexcept : child_(child) {}
  CoroAwaiter(const CoroAwaiter&) = delete;
  CoroAwaiter& operator=(const CoroAwaiter&) = delete;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> awaiter) noexcept {
    auto& promise = child_.promise();
    promise.awaiter = awaiter;
    promise.deliver_to(result_);
    this_thread.next = child_;
  }
  [[gnu::always_inline]] T await_resume() { return result_.take_last(); }

 private:
  typename Coro<T>::Handle child_;
  Result<T> result_;
};

}  // namespace detail

template <class T>
void Coro<T>::drop() noexcept {
  contract(is_new() || frame_.done(), "a coroutine that has started is not dropped before it has ended");
  frame_.destroy();
}

template <class T>
bool Coro<T>::is_new() const noexcept {
  return frame_ && !frame_.promise().is_started();
}

template <class T>
auto Coro<T>::operator co_await() {
  if (!is_new()) {
    throw InvalidStateError(frame_ ? "a Coro can be awaited once; this one was awaited before"
                                   : "this Coro is empty: it was moved from or given to a task");
  }
  return detail::CoroAwaiter<T>(frame_);
}

}  // namespace heirloop
