#include <heirloop/sched/interrupt.hpp>

#include <heirloop/sched/loop.hpp>

namespace heirloop {

void throw_in_task(const TaskRef& task, std::exception_ptr error) {
  if (!task) throw InvalidStateError("a throw needs a task; this handle is empty");
  Loop::set_thrown(*task.get(), std::move(error));
  task.get()->loop().withdraw(*task.get());
}

InterruptWait::InterruptWait(TaskRef victim, std::exception_ptr error) noexcept
    : victim_(std::move(victim)), error_(std::move(error)), node_(*this) {
  holding_.resource = this;
}

InterruptWait::~InterruptWait() { forget(); }

void InterruptWait::await_suspend(std::coroutine_handle<> frame) {
  if (!victim_) throw InvalidStateError("an interrupt needs a task; this handle is empty");
  Task& victim = *victim_.get();
  Loop& loop = Loop::current();
  Task& caller = *loop.current_task();
  Loop::set_thrown(victim, std::move(error_));
  victim.interrupter_ = this;
  if (loop.withdraw(victim)) {
    loop.yield_behind(victim, caller, frame);
    return;
  }
  begin_owning(holding_, victim);
  enter_queue(loop, node_, waiters());  // a DeadlockError leaves the exception set; ~InterruptWait forgets the victim
  loop.block(*this, frame);
}

InterruptOutcome InterruptWait::await_resume() {
  Loop::resumed();
  if (outcome_ == InterruptOutcome::delivered && victim_.done()) return InterruptOutcome::ended;
  return outcome_;
}

AbortResult InterruptWait::abort() noexcept {
  forget();
  return AbortResult::done;
}

std::string InterruptWait::describe() const { return victim_.name() + " to be interrupted"; }

/// The victim's wake-up has come: it runs next, its interrupter right after it.
void InterruptWait::victim_wakes() noexcept {
  if (!is_blocked()) return;
  end_owning(holding_);
  Loop& loop = victim_.get()->loop();
  loop.wake(*this);
  loop.to_front(*task());
  loop.to_front(*victim_.get());
}

/// The exception was replaced before it was delivered: its caller need not wait for the victim any more.
void InterruptWait::replaced() noexcept {
  outcome_ = InterruptOutcome::replaced;
  const bool waits = is_blocked();
  forget();
  if (waits) victim_.get()->loop().wake(*this);
}

void InterruptWait::forget() noexcept {
  if (holding_.owner != nullptr) end_owning(holding_);
  if (victim_ && victim_.get()->interrupter_ == this) victim_.get()->interrupter_ = nullptr;
}

}  // namespace heirloop
