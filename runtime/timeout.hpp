// Time limits for blocks: `timeout`.
//
// Owns nothing; the block's frame keeps the body and its limit. A limit that passes cancels the task, and what it awaits
// goes first; `Cancelled` becomes TimeoutError as it leaves the block, not before, so that clean-up inside the block is
// not hit twice.
#pragma once

#include <chrono>
#include <utility>

#include <heirloop/sched/operations.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

/// Runs `body()`, a coroutine, as part of the current task for at most `span`, and gives its value.
/// Suspends: as the body does. Interrupt: as the body; what it awaits goes on.
/// Errors: TimeoutError when the time has passed and the body ended by the cancel that this sends; what the body throws;
/// std::invalid_argument for NaN; InvalidStateError outside tasks. A body that swallows the cancel gives its value.
/// What the body awaits is cancelled first when it is a task. Of several limits that have passed the outermost throws.
/// Cost: a frame and a timer, of which nothing reaches the kernel.
template <class Rep, class Period, class Body>
auto timeout(std::chrono::duration<Rep, Period> span, Body body) -> decltype(body()) {
  TimeLimit limit(detail::span_ns(span));
  try {
    co_return co_await body();
  } catch (const Cancelled&) {
    if (!limit.end()) throw;
  }
  throw TimeoutError("the time limit of a block has passed");
}

}  // namespace heirloop
