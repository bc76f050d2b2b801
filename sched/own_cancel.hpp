// A cancel that a block sends to the task in which it runs and takes back at its end: a time limit that has passed, a group
// of which a child has failed.
//
// Owns: whether it was sent. Used by TimeLimit and TaskGroup.
//
// 1. It counts in `cancelling()` from its sending to the end of the block, as in asyncio.
// 2. What leaves the block is the block's own `Cancelled` only when nobody else has cancelled the task meanwhile.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include <heirloop/sched/shield.hpp>

namespace heirloop::detail {

/// Errors: InvalidStateError outside tasks.
Task& checked_current_task();

class OwnCancel {
 public:
  /// For the current task. Errors: InvalidStateError outside tasks.
  OwnCancel();

  Task& task() const noexcept { return task_; }

  /// What a shield must lie inside of to keep it back.
  const Shield* scope() const noexcept { return scope_; }

  /// Cancels the task; what it awaits goes first when that is a task.
  void send(std::string message);

  /// At the end of the block: a cancel of others, which the block has met, comes again. It takes the place of another block's
  /// own that is pending and would be taken back with that.
  void send_again(const Cancelled& met);

  /// Whether others have cancelled the task since the block began, and a shield has not kept it back.
  bool others_have_cancelled() const noexcept { return Shield::requests_let_through(task_) > before_ + (sent_ ? 1 : 0); }

  /// It was sent while no other was, and is not delivered yet, or what the task awaits has not answered it yet.
  bool is_pending() const noexcept;

  /// At the end of the block. True when a cancel was sent and no other is left: a `Cancelled` that leaves the block is its
  /// own. One that was not delivered is withdrawn, unless it stands for others as well.
  bool take_back() noexcept;

  /// At the end of the block, when others have cancelled too: what they sent and the task has not met goes out in place of the
  /// block's own, so that their cancel does not come twice.
  void let_others_out(const Cancelled& leaving) const;

  /// The throw that was pending as this was sent, when that was delivered; null: none.
  std::exception_ptr overtaken() noexcept { return std::exchange(overtaken_, nullptr); }

 private:
  bool is_own(const Cancelled& cancelled) const noexcept;
  bool is_own(const std::exception_ptr& error) const noexcept;

  Task& task_;
  const Shield* scope_;
  int before_;  // cancel requests as the block began
  bool sent_ = false;
  std::uint32_t requests_as_sent_ = 0;
  std::uint64_t number_ = 0;      // of what it sent, which a shield may have held; 0: another one was pending
  std::exception_ptr overtaken_;  // the throw whose place that took
};

}  // namespace heirloop::detail
