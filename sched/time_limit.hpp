// A time limit for a block of a task: what is under `timeout`, `move_on_after` and `task_timeout`.
//
// Owns: the timer, and what it sends: a cancel, which goes to what the task awaits first, or a TimeoutInterrupt, which leaves
// that alone. Lives in the frame of the block. Called by the timer queue, and by the loop when what kept it back has gone.
//
//   armed ──time──▶ expired: sent ──end of the block──▶ over
//                      ▲  │ a throw comes before it is delivered, or
//                      │  ▼ one is pending, or a shield is up, as the time passes
//                      └─ due
//
// The rows and columns "timeout" of the table in DESIGN section 8:
// 1. Until it has passed its task is under a time limit: no wait of it that a cancel ends is a deadlock.
// 2. It is delivered at most once, and never after its block was left.
// 3. A pending cancel goes through, a pending throw goes first; of two limits the outer wins, of equal ones alone. All that
//    have passed say so by `expired()`. A cancel that a block inside sent itself, and takes back, does not use a limit up.
// 4. A cancel that the wait passes on is open until what is awaited has ended: it comes behind a throw that comes before, and a
//    limit inside that passes meanwhile asks again, or ends the wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include <heirloop/sched/own_cancel.hpp>
#include <heirloop/sched/timer.hpp>

namespace heirloop {

class TimeLimit : private Timer {
 public:
  /// What it does to its task when it has passed.
  enum class Sends : std::uint8_t { cancel, interrupt };

  /// Begins for the current task, so many ns from now, or at a point of the loop's clock; `TimerQueue::never`: no limit yet.
  /// Errors: InvalidStateError outside tasks.
  TimeLimit(Sends sends, std::int64_t time_ns, bool is_point = false);
  ~TimeLimit() { end(); }

  /// From the passing of the time on.
  bool expired() const noexcept { return expired_; }

  /// The deadline by the loop's clock; empty: none. Reads the clock when the limit was set by a span in this step.
  std::optional<std::chrono::steady_clock::time_point> when();

  /// Another deadline, one that has passed included; empty, or the end of time: none.
  /// Errors: InvalidStateError when the limit has expired, or its block is over.
  void reschedule(std::optional<std::chrono::steady_clock::time_point> deadline);

  /// It is still going to be sent: it has a date, or waits for what keeps it back.
  bool is_pending() const noexcept { return is_set() || due_; }

  /// Whether this interrupt is the one that it has sent.
  bool has_sent(const TimeoutInterrupt& interrupt) const noexcept { return interrupt.number() == number_; }

  /// No shield that stays up keeps it from its task.
  bool reaches_its_task() const noexcept;

  /// Of the block around this one that has a limit; null when there is none.
  const TimeLimit* outer() const noexcept { return outer_; }

  /// The end of the block. True when a cancel was sent, and nobody else has cancelled the task: a `Cancelled` that leaves the block
  /// is the limit's own.
  bool end() noexcept;

  /// The same, as this leaves the block. A cancel of others that the task has not met yet takes the place of the limit's own: it is
  /// thrown.
  bool end(const Cancelled& leaving);

 private:
  friend class Loop;
  friend class Shield;
  friend class detail::OwnCancel;
  static void fired(Timer& timer) noexcept { static_cast<TimeLimit&>(timer).passed(); }
  void passed() noexcept;
  void expire() noexcept;
  void go() noexcept;
  void go_inside(TimeLimit& outer) noexcept;
  bool is_inside(const TimeLimit& other) const noexcept;

  /// A cancel goes before its interrupt, for good unless that is a block's own.
  void overtaken() noexcept;

  /// It is pending in its task, and is not to be delivered now.
  void withdraw() noexcept;
  void stay_due() noexcept;

  /// What kept the task's limits back has gone.
  static void go_on(Task& task) noexcept;

  /// A block has taken back a cancel of its own: what it overtook goes on.
  static void cancel_taken_back(Task& task) noexcept;

  detail::OwnCancel cancel_;
  TimeLimit* outer_;
  Sends sends_;
  bool expired_ = false;
  bool due_ = false;
  bool ended_ = false;
  int overtaken_with_ = 0;  // so many cancel requests, as a cancel went before its interrupt; 0: none has
  std::uint64_t number_ = 0;    // of the interrupt that it has sent; 0: none
  std::int64_t passed_ns_ = 0;  // the deadline that has passed
};

}  // namespace heirloop
