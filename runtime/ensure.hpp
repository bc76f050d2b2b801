// Clean-up that may wait: `ensure`. A C++ destructor and a catch clause can't.
//
// Owns nothing; the block's frame keeps both parts, and the shield around the second.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>
#include <vector>

#include <heirloop/runtime/awaited.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/own_cancel.hpp>
#include <heirloop/sched/shield.hpp>

namespace heirloop {

namespace detail {

template <class CleanUp>
auto call_with_shield(CleanUp& clean_up, Shield& shield) {
  if constexpr (std::is_invocable_v<CleanUp&, Shield&>) {
    return clean_up(shield);
  } else {
    return clean_up();
  }
}

/// The clean-up has failed, inside a catch clause. `body`: what ended the body, or null.
[[noreturn]] void clean_up_failed(const std::exception_ptr& body);

}  // namespace detail

/// Runs `body()`, a coroutine, and then, however that ended, `clean_up()`, a coroutine too, both as part of the current task.
/// Gives the body's value. For as long as `shielded` says, or until the clean-up, called with it, lifts the Shield, no cancel and
/// no time limit from outside reaches the clean-up: they come at the next suspension behind it.
/// Suspends: as both do. Interrupt: ends the body, and the clean-up too when it comes there.
/// Errors: what ended the body; what ended the clean-up when the body had not failed, or was cancelled; when both have failed an
/// ExceptionGroup of both, or the clean-up's `Cancelled` with the body's failure as its cause. InvalidStateError outside tasks.
/// Cost: a frame; a timer when `shielded` is a span.
template <class Body, class CleanUp>
auto ensure(Body body, CleanUp clean_up, TimeSpan shielded = std::nullopt) -> std::invoke_result_t<Body&> {
  using Value = detail::Awaited<std::invoke_result_t<Body&>>;
  detail::checked_current_task();  // else the clean-up could not be shielded, and nothing is to be done
  detail::Result<Value> value;
  std::exception_ptr error;
  try {
    if constexpr (std::is_void_v<Value>) {
      co_await body();
      value.emplace();
    } else {
      value.emplace(co_await body());
    }
  } catch (...) {
    error = std::current_exception();
  }
  {
    Shield shield{std::chrono::nanoseconds(shielded.ns())};
    try {
      co_await detail::call_with_shield(clean_up, shield);
    } catch (...) {
      detail::clean_up_failed(error);
    }
  }
  if (error) std::rethrow_exception(error);
  co_return value.take();
}

}  // namespace heirloop
