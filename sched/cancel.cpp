#include <heirloop/sched/cancel.hpp>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/loop.hpp>

namespace heirloop {

bool CancelWalk::ask(Task& task) noexcept {
  if (task.done() || &task == sender_) return false;
  if (task.asked_to_cancel_) return true;
  task.asked_to_cancel_ = true;
  task.asked_next_ = nullptr;
  (last_ != nullptr ? last_->asked_next_ : first_) = &task;
  last_ = &task;
  return true;
}

bool Loop::cancel(Task& task, std::string message, const Task* sender) {
  if (task.done()) return false;
  CancelWalk walk(std::move(message), sender);
  walk.ask(task);
  Task* ends_at_none = walk.first_;
  for (Task* asked = walk.first_; asked != nullptr; asked = asked->asked_next_) {
    ++asked->cancel_requests_;
    const bool waits = asked->state_ == TaskState::blocked && asked->pending_ == Task::Pending::nothing;
    asked->passes_cancel_on_ = waits && asked->wait_->forward(walk);
    if (!asked->passes_cancel_on_) ends_at_none = nullptr;
  }
  if (ends_at_none != nullptr) walk.last_->passes_cancel_on_ = false;
  for (Task* asked = walk.first_; asked != nullptr; asked = asked->asked_next_) {
    asked->asked_to_cancel_ = false;
    if (!asked->passes_cancel_on_) set_cancelled(*asked, walk.message_);
  }
  // What it awaits may want something in any case before it ends, and that may be the task's own.
  const bool in_vain = task.passes_cancel_on_ && task.state_ == TaskState::blocked;
  if (in_vain && detail::waits_for_ever(*task.wait_)) set_cancelled(task, std::move(walk.message_));
  return true;
}

void Loop::set_cancelled(Task& task, std::string message) {
  if (task.pending_ == Task::Pending::cancel) return;
  std::exception_ptr cause = std::exchange(task.pending_error_, nullptr);
  if (InterruptWait* interrupter = task.interrupter_) interrupter->replaced();
  task.pending_ = Task::Pending::cancel;
  task.pending_error_ = std::make_exception_ptr(Cancelled(std::move(message), std::move(cause)));
  if (task.state_ != TaskState::running) withdraw(task);
}

}  // namespace heirloop
