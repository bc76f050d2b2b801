// One cancel on its way: from the task that was asked to those on which it ends.
//
// Owns: the list of those asked. Made by `Loop::cancel`; each wait on the way says where it goes next (`Wait::forward`).
//
// 1. A task is asked at most once, and every task asked counts the request.
// 2. The cancel ends at each task whose wait passes it on to nobody; where the waits lead round in a ring, at the one asked
//    last. So it always ends somewhere.
// 3. Nothing is recursive, nothing allocates but the exception: those asked are linked through their blocks.
#pragma once

#include <string>

#include <heirloop/sched/task.hpp>

namespace heirloop {

class CancelWalk {
 public:
  /// What travels with the exception.
  const std::string& message() const noexcept { return message_; }

  /// The cancel goes to this task first. False when that has no use, for it is done or is the one who cancels.
  bool ask(Task& task) noexcept;

 private:
  friend class Loop;
  CancelWalk(std::string message, const Task* sender) noexcept : message_(std::move(message)), sender_(sender) {}

  std::string message_;
  const Task* sender_;
  Task* first_ = nullptr;
  Task* last_ = nullptr;
};

}  // namespace heirloop
