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

#include <chrono>
#include <optional>

#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/timer.hpp>

namespace heirloop {

class Shield : private Timer {
 public:
  /// Covers the current task for `span`, or until it is lifted.
  /// Errors: InvalidStateError outside tasks.
  explicit Shield(std::chrono::nanoseconds span = std::chrono::nanoseconds::max());
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

  /// Some shield that is up, and does not go down by itself, keeps what belongs to this scope from the task.
  static bool keeps_for_ever(const Task& task, const Shield* scope) noexcept;

  void hold(Cancelled cancelled, const Shield* scope) noexcept;

  /// Cancel requests that the task can have seen: those that its shields hold aside.
  static int requests_let_through(const Task& task) noexcept;

  /// One request was taken back.
  static void take_one_back(Task& task) noexcept;

 private:
  static void fired(Timer& timer) noexcept { static_cast<Shield&>(timer).lift(); }
  bool is_inside(const Shield* scope) const noexcept;

  Task& task_;
  Shield* outer_;
  bool up_ = true;
  int held_requests_ = 0;
  std::optional<Cancelled> held_;  // one of them
  const Shield* held_scope_ = nullptr;
};

}  // namespace heirloop
