#include <heirloop/sched/shield.hpp>

#include <algorithm>

#include <heirloop/sched/cancel.hpp>
#include <heirloop/sched/own_cancel.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

Shield::Shield(std::chrono::nanoseconds span)
    : Timer(fired), task_(detail::checked_current_task()), outer_(task_.shield_) {
  task_.shield_ = this;
  if (span != std::chrono::nanoseconds::max()) task_.loop().set_timer_after(*this, std::max(span.count(), std::int64_t{0}));
  if (TimeLimit* limit = task_.pending_limit_) {
    limit->stay_due();
  } else if (task_.pending_ == Task::Pending::cancel) {
    std::exception_ptr error = std::move(task_.pending_error_);
    task_.drop_pending();
    try {
      std::rethrow_exception(std::move(error));
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
  held_requests_ = 0;
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
  ++held_requests_;
  if (held_ && (held_scope_ == scope || held_scope_ == nullptr || (scope != nullptr && scope->is_inside(held_scope_)))) return;
  held_ = std::move(cancelled);
  held_scope_ = scope;
}

bool Shield::is_inside(const Shield* scope) const noexcept {
  const Shield* shield = this;
  while (shield != nullptr && shield != scope) shield = shield->outer_;
  return shield == scope;
}

bool Shield::keeps_for_ever(const Task& task, const Shield* scope) noexcept {
  for (const Shield* shield = task.shield_; shield != scope; shield = shield->outer_) {
    if (shield->up_ && !shield->is_set()) return true;
  }
  return false;
}

int Shield::requests_let_through(const Task& task) noexcept {
  int requests = static_cast<int>(task.cancel_requests_);
  for (const Shield* shield = task.shield_; shield != nullptr; shield = shield->outer_) requests -= shield->held_requests_;
  return requests;
}

/// Those that were let through go first; what is held is withdrawn when none is left.
void Shield::take_one_back(Task& task) noexcept {
  if (task.cancel_requests_ > 0 && requests_let_through(task) >= 0) return;
  for (Shield* shield = task.shield_; shield != nullptr; shield = shield->outer_) {
    if (shield->held_requests_ == 0) continue;
    --shield->held_requests_;
    if (task.cancel_requests_ > 0) return;
    shield->held_requests_ = 0;
    shield->held_.reset();
  }
}

}  // namespace heirloop
