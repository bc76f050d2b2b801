// A time limit for a block of a task: what is under every `timeout`.
//
// Owns: the timer, and the cancel that it sends. Lives in the frame of the block. Called by the timer queue, and by the
// loop when an exception has been delivered for which the limit had to wait.
//
//   armed ──time──▶ expired ──end of the block──▶ over
//                      ▲
//   due (a throw is not delivered yet) ──delivered──┘
//
// 1. Until it has passed its task is under a time limit: no wait of it that a cancel ends is a deadlock.
// 2. It cancels at most once, and never after its block was left.
#pragma once

#include <chrono>
#include <cstdint>

#include <heirloop/sched/own_cancel.hpp>
#include <heirloop/sched/timer.hpp>

namespace heirloop {

class TimeLimit : private Timer {
 public:
  /// Begins for the current task. Errors: InvalidStateError outside tasks.
  explicit TimeLimit(std::int64_t span_ns);
  ~TimeLimit() { end(); }

  /// From the passing of the time on.
  bool expired() const noexcept { return expired_; }

  /// It is still going to cancel: it has a date, or waits for a throw to be delivered.
  bool is_pending() const noexcept { return is_set() || waits_for_throw_; }

  /// Of the block around this one that has a limit; null when there is none.
  const TimeLimit* outer() const noexcept { return outer_; }

  /// The end of the block. True when a `Cancelled` that leaves it is the limit's own.
  bool end() noexcept;

 private:
  friend class Loop;
  static void fired(Timer& timer) noexcept;
  void expire() noexcept;

  detail::OwnCancel cancel_;
  TimeLimit* outer_;
  bool expired_ = false;
  bool waits_for_throw_ = false;
  bool ended_ = false;
};

}  // namespace heirloop
