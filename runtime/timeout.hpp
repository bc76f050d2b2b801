// Time limits for blocks: `timeout`, `move_on_after`, `wait_for`, `task_timeout`.
//
// Owns nothing; the block's frame keeps the body and its limit. There are two kinds. `timeout`, `move_on_after` and `wait_for`
// cancel: what the body awaits goes first, and `Cancelled` becomes what the caller sees as it leaves the block, not before, so
// that clean-up inside the block is not hit twice. `task_timeout` interrupts: what the body awaits goes on.
//
// A body is called with the limit, `[](TimeLimit& limit) -> Coro<T>`, or with nothing.
#pragma once

#include <chrono>
#include <optional>
#include <type_traits>
#include <utility>

#include <heirloop/runtime/awaited.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

/// How long: any std::chrono duration; zero or less: at once; `std::nullopt`: for ever.
class TimeSpan {
 public:
  /// Errors: std::invalid_argument for NaN.
  template <class Rep, class Period>
  TimeSpan(std::chrono::duration<Rep, Period> span) : ns_(detail::span_ns(span)) {}  // NOLINT(google-explicit-constructor)
  TimeSpan(std::nullopt_t) noexcept : ns_(TimerQueue::never) {}                      // NOLINT(google-explicit-constructor)

  std::int64_t ns() const noexcept { return ns_; }

 private:
  std::int64_t ns_;
};

/// When: of the loop's clock (std::chrono::steady_clock; virtual in tests), or never.
using TimePoint = std::optional<std::chrono::steady_clock::time_point>;

namespace detail {

template <class Body>
auto call_with_limit(Body& body, TimeLimit& limit) {
  if constexpr (std::is_invocable_v<Body&, TimeLimit&>) {
    return body(limit);
  } else {
    return body();
  }
}

template <class Body>
using Limited = decltype(call_with_limit(std::declval<Body&>(), std::declval<TimeLimit&>()));

inline std::int64_t point_ns(const TimePoint& point) noexcept {
  return point ? std::chrono::nanoseconds(point->time_since_epoch()).count() : TimerQueue::never;
}

/// A limit's time: a span, or a point of the loop's clock.
struct Until {
  std::int64_t ns;
  bool is_point;
};

template <class Body>
Limited<Body> timeout(Until until, Body body) {
  TimeLimit limit(TimeLimit::Sends::cancel, until.ns, until.is_point);
  try {
    co_return co_await call_with_limit(body, limit);
  } catch (const Cancelled& cancelled) {
    if (!limit.end(cancelled)) throw;
  }
  throw TimeoutError("the time limit of a block has passed");
}

template <class Body>
Limited<Body> task_timeout(Until until, Body body) {
  TimeLimit limit(TimeLimit::Sends::interrupt, until.ns, until.is_point);
  try {
    co_return co_await call_with_limit(body, limit);
  } catch (const TimeoutInterrupt& interrupt) {
    if (!limit.has_sent(interrupt)) throw;
  }
  throw TimeoutError("the time limit of a block has passed");
}

/// Whether the body came to its end, or its value if it did.
template <class Body, class T = Awaited<Limited<Body>>>
  requires(!std::is_reference_v<T>)  // there is no optional of a reference: give a pointer
auto move_on(Until until, Body body) -> Coro<std::conditional_t<std::is_void_v<T>, bool, std::optional<T>>> {
  TimeLimit limit(TimeLimit::Sends::cancel, until.ns, until.is_point);
  try {
    if constexpr (std::is_void_v<T>) {
      co_await call_with_limit(body, limit);
      co_return true;
    } else {
      co_return co_await call_with_limit(body, limit);
    }
  } catch (const Cancelled& cancelled) {
    if (!limit.end(cancelled)) throw;
  }
  if constexpr (std::is_void_v<T>) {
    co_return false;
  } else {
    co_return std::nullopt;
  }
}

}  // namespace detail

/// Runs `body`, a function that gives a coroutine, as part of the current task for at most `span`, and gives its value.
/// Suspends: as the body does. Interrupt: as the body; what it awaits goes on.
/// Errors: TimeoutError when the time has passed and the body ended by the cancel that this sends; what the body throws;
/// InvalidStateError outside tasks. A body that swallows the cancel, or never suspends, gives its value.
/// What the body awaits is cancelled first when it can be. Of several limits that have passed the outermost throws.
/// Cost: a frame and a timer, of which nothing reaches the kernel.
template <class Body>
auto timeout(TimeSpan span, Body body) {
  return detail::timeout(detail::Until{span.ns(), false}, std::move(body));
}

/// The same until a point in time.
template <class Body>
auto timeout_at(TimePoint when, Body body) {
  return detail::timeout(detail::Until{detail::point_ns(when), true}, std::move(body));
}

/// As `timeout`, for who wants no exception: gives whether the body came to its end; the body's value in an optional when it
/// has one.
template <class Body>
auto move_on_after(TimeSpan span, Body body) {
  return detail::move_on(detail::Until{span.ns(), false}, std::move(body));
}
template <class Body>
auto move_on_at(TimePoint when, Body body) {
  return detail::move_on(detail::Until{detail::point_ns(when), true}, std::move(body));
}

/// As `timeout`, by an interrupt: what the body awaits goes on unharmed, and `Cancelled` plays no part. The body sees
/// TimeoutInterrupt, the caller TimeoutError; behind a group in which something else failed too, its ExceptionGroup.
template <class Body>
auto task_timeout(TimeSpan span, Body body) {
  return detail::task_timeout(detail::Until{span.ns(), false}, std::move(body));
}
template <class Body>
auto task_timeout_at(TimePoint when, Body body) {
  return detail::task_timeout(detail::Until{detail::point_ns(when), true}, std::move(body));
}

/// Awaits a coroutine (as part of the current task), a task or a future for at most `span`, and gives its value; a task and a
/// future are cancelled when the time has passed. Suspends, interrupt, errors, cost: as `timeout`.
template <class Awaitable>
auto wait_for(Awaitable awaitable, TimeSpan span) -> Coro<detail::Awaited<Awaitable>> {
  TimeLimit limit(TimeLimit::Sends::cancel, span.ns());
  try {
    co_return co_await std::move(awaitable);
  } catch (const Cancelled& cancelled) {
    if (!limit.end(cancelled)) throw;
  }
  throw TimeoutError("the time limit of a wait has passed");
}

}  // namespace heirloop
