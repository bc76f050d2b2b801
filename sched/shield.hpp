// A shield keeps cancels and time limits from a part of a task: what cleans up may wait.
//
// Owns: the cancel that came meanwhile. Lives in the frame of the block that it covers. Called by the loop when a cancel
// comes, and by time limits.
//
//   up ──time, lift(), end of the block──▶ down: what was kept back is delivered
//
// 1. What was set up inside the shield gets through: each cancel and limit knows the shield that was the task's when it began
//    (its scope), and only shields inside that keep it back.
// 2. A cancel that is kept back counts in `cancelling()` and nothing else sees it; a limit that is kept back stays due.
// 3. Throws and interrupts, which name their exception, get through always.
#pragma once

#include <optional>

#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/timer.hpp>

namespace heirloop {

class Shield : private Timer {
 public:
  /// Covers the current task for `span_ns`, or until it is lifted.
  /// Errors: InvalidStateError outside tasks.
  explicit Shield(std::int64_t span_ns = TimerQueue::never);
  ~Shield();

  /// From now on nothing is kept back; what was comes at the next suspension.
  void lift() noexcept;
  bool is_up() const noexcept { return up_; }

  /// What keeps a cancel from the task that belongs to this scope; null: nothing.
  static Shield* before(const Task& task, const Shield* scope) noexcept {
    Shield* shield = task.shield_;
    while (shield != scope && !shield->up_) shield = shield->outer_;
    return shield == scope ? nullptr : shield;
  }
  static const Shield* scope_of(const Task& task) noexcept { return task.shield_; }

  /// It goes down by itself.
  bool is_timed() const noexcept { return is_set(); }

  void hold(Cancelled cancelled, const Shield* scope) noexcept;

  /// What is kept back from the task is withdrawn.
  static void forget(Task& task) noexcept;

 private:
  static void fired(Timer& timer) noexcept { static_cast<Shield&>(timer).lift(); }
  bool is_inside(const Shield* scope) const noexcept;

  Task& task_;
  Shield* outer_;
  bool up_ = true;
  std::optional<Cancelled> held_;
  const Shield* held_scope_ = nullptr;
};

}  // namespace heirloop
