#include <heirloop/sched/cancel.hpp>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/shield.hpp>
#include <heirloop/sched/time_limit.hpp>

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
  CancelWalk walk(Cancelled(std::move(message)), sender);
  return deliver(task, walk);
}

bool Loop::deliver(Task& first, CancelWalk& walk) {
  if (!walk.ask(first)) return false;
  const auto scope = [&](const Task& asked) { return &asked == &first ? walk.scope_ : nullptr; };
  Task* ends_at_none = &first;
  for (Task* asked = &first; asked != nullptr; asked = asked->asked_next_) {
    ++asked->cancel_requests_;
    const bool waits = asked->state() == TaskState::blocked &&
                       (asked->pending_ == Task::Pending::nothing || asked->pending_ == Task::Pending::passed_on);
    asked->passes_cancel_on_ = waits && Shield::before(*asked, scope(*asked)) == nullptr && asked->wait_->forward(walk);
    if (!asked->passes_cancel_on_) ends_at_none = nullptr;
  }
  if (ends_at_none != nullptr && !walk.ended_) walk.last_->passes_cancel_on_ = false;
  for (Task* asked = &first; asked != nullptr; asked = asked->asked_next_) {
    asked->asked_to_cancel_ = false;
    if (asked->passes_cancel_on_) {
      asked->note_passed_on(walk.cancelled_);
    } else {
      set_cancelled(*asked, walk.cancelled_, scope(*asked));
    }
  }
  // What it awaits may want something in any case before it ends, and that may be the task's own.
  const bool in_vain = first.passes_cancel_on_ && first.state() == TaskState::blocked;
  if (in_vain && detail::waits_for_ever(*first.wait_)) set_cancelled(first, std::move(walk.cancelled_), walk.scope_);
  return true;
}

/// A cancel takes the place of what else is pending: of a throw as what caused it, of a cancel that was passed on as another
/// request, of a time limit without a trace, unless it is a block's own and is taken back.
void Loop::set_cancelled(Task& task, Cancelled cancelled, const Shield* scope) {
  if (Shield* shield = Shield::before(task, scope)) return shield->hold(std::move(cancelled), scope);
  TimeLimit* const limit = std::exchange(task.pending_limit_, nullptr);
  const bool of_limit = limit != nullptr;
  if (of_limit) limit->overtaken();
  if (task.pending_ == Task::Pending::cancel && !of_limit) return;
  if (task.pending_ == Task::Pending::thrown && !of_limit) cancelled.cause_ = task.pending_error_;
  if (InterruptWait* interrupter = task.interrupter_) interrupter->replaced();
  task.drop_pending();
  task.pending_ = Task::Pending::cancel;
  task.pending_error_ = std::make_exception_ptr(std::move(cancelled));
  if (task.state() != TaskState::running) withdraw(task);
}

}  // namespace heirloop
