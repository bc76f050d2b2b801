#include <heirloop/sched/shield.hpp>

#include <heirloop/sched/cancel.hpp>
#include <heirloop/sched/own_cancel.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

Shield::Shield(std::int64_t span_ns) : Timer(fired), task_(detail::checked_current_task()), outer_(task_.shield_) {
  task_.shield_ = this;
  if (span_ns != TimerQueue::never) task_.loop().set_timer_after(*this, span_ns);
  if (TimeLimit* limit = task_.pending_limit_) {
    limit->stay_due();
  } else if (task_.pending_ == Task::Pending::cancel) {
    task_.pending_ = Task::Pending::nothing;
    try {
      std::rethrow_exception(std::exchange(task_.pending_error_, nullptr));
    } catch (Cancelled& cancelled) {
      hold(std::move(cancelled), outer_);
    }
  }
}

Shield::~Shield() {
  contract(task_.shield_ == this, "shields end in the order in which their blocks do");
  lift();
  task_.shield_ = outer_;
}

void Shield::lift() noexcept {
  if (!std::exchange(up_, false)) return;
  if (is_set()) task_.loop().timers().remove(*this);
  if (held_) {
    --task_.cancel_requests_;  // it was counted as it came
    const Shield* scope = held_scope_;
    CancelWalk walk(*std::exchange(held_, std::nullopt), nullptr, scope);
    task_.loop().deliver(task_, walk);
  }
  TimeLimit::go_on(task_);
}

/// Of several the one from farthest outside, of those the first.
void Shield::hold(Cancelled cancelled, const Shield* scope) noexcept {
  if (held_ && (held_scope_ == scope || held_scope_ == nullptr || (scope != nullptr && scope->is_inside(held_scope_)))) return;
  held_ = std::move(cancelled);
  held_scope_ = scope;
}

bool Shield::is_inside(const Shield* scope) const noexcept {
  const Shield* shield = this;
  while (shield != nullptr && shield != scope) shield = shield->outer_;
  return shield == scope;
}

void Shield::forget(Task& task) noexcept {
  for (Shield* shield = task.shield_; shield != nullptr; shield = shield->outer_) shield->held_.reset();
}

}  // namespace heirloop
