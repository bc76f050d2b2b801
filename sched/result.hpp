// The outcome of a coroutine: nothing yet, a value, or an exception.
//
// Lives where it is wanted (in the awaiter of a child, in the block of a task), so that it is written once.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

#include <heirloop/sched/errors.hpp>

namespace heirloop::detail {

struct Unit {};

template <class T>
using Stored = std::conditional_t<std::is_void_v<T>, Unit,
                                  std::conditional_t<std::is_reference_v<T>, std::add_pointer_t<T>, T>>;

/// Whether a T can be made of a U; a reference only of what is there still when the call is over.
template <class T, class U>
inline constexpr bool sets_result = std::is_constructible_v<T, U&&>;
template <class T, class U>
  requires std::is_reference_v<T>
inline constexpr bool sets_result<T, U> = (std::is_lvalue_reference_v<U> || std::is_rvalue_reference_v<T>) &&
                                          std::is_convertible_v<std::add_pointer_t<U>, std::add_pointer_t<T>>;

/// True when the exception being handled is `Cancelled`.
bool handling_cancelled() noexcept;

/// Moved out. What calls it is cold, and lies apart: the unwinder then has less to read.
[[gnu::cold]] std::exception_ptr taken(std::exception_ptr& error) noexcept;

template <class T>
class Result {
  enum class State : unsigned char { empty, value, error, cancelled };

 public:
  Result() noexcept {}
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() { clear(); }

  bool has_value() const noexcept { return state_ == State::value; }
  bool has_error() const noexcept { return state_ == State::error || state_ == State::cancelled; }
  bool is_cancelled() const noexcept { return state_ == State::cancelled; }

  template <class... Args>
  void emplace(Args&&... args) {
    if constexpr (std::is_reference_v<T>) {
      value_ = std::addressof(args...);
    } else {
      std::construct_at(std::addressof(value_), std::forward<Args>(args)...);
    }
    state_ = State::value;
  }

  /// Inside a catch clause.
  void catch_current() noexcept { catch_as(handling_cancelled() ? State::cancelled : State::error); }

  /// The same where nobody asks whether it is `Cancelled`.
  void catch_current_to_pass_on() noexcept { catch_as(State::error); }

  /// Of what has no outcome yet.
  void set_cancelled(std::exception_ptr error) noexcept {
    std::construct_at(std::addressof(error_), std::move(error));
    state_ = State::cancelled;
  }

  const std::exception_ptr& error() const noexcept { return error_; }

  void rethrow_if_error() const {
    if (has_error()) [[unlikely]] std::rethrow_exception(error_);
  }

  decltype(auto) peek() const {
    rethrow_if_error();
    return value();
  }

  /// Of what has one.
  decltype(auto) value() const noexcept {
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else {
      return static_cast<const T&>(value_);
    }
  }

  /// `take` for the only one who does. A throw is part of the caller, as in `Loop::resumed`.
  [[gnu::always_inline]] T take_last() {
    if (has_error()) [[unlikely]] std::rethrow_exception(taken(error_));
    return take();
  }

  T take() {
    rethrow_if_error();
    return take_value();
  }

  /// `value`, moved out.
  T take_value() {
    if constexpr (std::is_void_v<T>) {
      return;
    } else if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(*value_);
    } else {
      return std::move(value_);
    }
  }

 private:
  void catch_as(State state) noexcept {
    clear();
    std::construct_at(std::addressof(error_), std::current_exception());
    state_ = state;
  }

  void clear() noexcept {
    if (state_ == State::value) {
      std::destroy_at(std::addressof(value_));
    } else if (has_error()) {
      std::destroy_at(std::addressof(error_));
    }
    state_ = State::empty;
  }

  union {
    Stored<T> value_;
    std::exception_ptr error_;
  };
  State state_ = State::empty;
};

}  // namespace heirloop::detail
