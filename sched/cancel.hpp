// One cancel on its way: from the task that was asked to those on which it ends.
//
// Owns: the list of those asked. Made by `Loop::cancel`; each wait on the way says where it goes next (`Wait::forward`).
//
// 1. A task is asked at most once, and every task asked counts the request.
// 2. The cancel ends at each task whose wait passes it on to nobody, or at what is no task; where the waits lead round in a
//    ring, at the one asked last. So it always ends somewhere.
// 3. A shielded task passes nothing on: the shield holds the cancel.
// 4. Nothing is recursive, nothing allocates but the exception: those asked are linked through their blocks.
#pragma once

#include <utility>

#include <heirloop/sched/task.hpp>

namespace heirloop {

class Shield;

class CancelWalk {
 public:
  /// It does not come back to `sender`, if any; shields outside of `scope` let it through to the task that is asked first.
  explicit CancelWalk(Cancelled cancelled, const Task* sender = nullptr, const Shield* scope = nullptr) noexcept
      : cancelled_(std::move(cancelled)), sender_(sender), scope_(scope) {}

  /// What travels with it.
  const Cancelled& cancelled() const noexcept { return cancelled_; }

  /// The cancel goes to this task first. False when that has no use, for it is done or is the one who cancels.
  bool ask(Task& task) noexcept;

  /// It has ended at something that is no task.
  void has_ended() noexcept { ended_ = true; }

 private:
  friend class Loop;

  Cancelled cancelled_;
  const Task* sender_;
  const Shield* scope_;
  bool ended_ = false;
  Task* first_ = nullptr;
  Task* last_ = nullptr;
};

}  // namespace heirloop
