#include <heirloop/sched/time_limit.hpp>

#include <utility>

namespace heirloop {

namespace detail {

namespace {
Task& checked_current_task() {
  Task* task = this_thread.task;
  if (task == nullptr) throw InvalidStateError("a block that can cancel its task needs one: no task runs here");
  return *task;
}
}  // namespace

/// A cancel that is not delivered yet is to come out of the block: it does not count as one from before.
OwnCancel::OwnCancel() : task_(checked_current_task()), before_(task_.cancel_requests_) {
  if (before_ > 0 && task_.pending_ == Task::Pending::cancel) --before_;
}

void OwnCancel::send(std::string message) {
  sent_ = true;
  task_.loop().cancel(task_, std::move(message));
}

bool OwnCancel::take_back() noexcept {
  if (!std::exchange(sent_, false)) return false;
  if (task_.cancel_requests_ > 0) --task_.cancel_requests_;
  if (task_.cancel_requests_ > before_) return false;
  if (task_.pending_ == Task::Pending::cancel) {
    task_.pending_ = Task::Pending::nothing;
    task_.pending_error_ = nullptr;
  }
  return true;
}

}  // namespace detail

TimeLimit::TimeLimit(std::int64_t span_ns) : Timer(fired), outer_(cancel_.task().time_limits_) {
  Task& task = cancel_.task();
  task.time_limits_ = this;
  if (span_ns != TimerQueue::never) task.loop().set_timer_after(*this, span_ns);
}

bool TimeLimit::end() noexcept {
  if (std::exchange(ended_, true)) return false;
  Task& task = cancel_.task();
  task.time_limits_ = outer_;
  if (is_set()) task.loop().timers().remove(*this);
  return cancel_.take_back();
}

void TimeLimit::fired(Timer& timer) noexcept { static_cast<TimeLimit&>(timer).expire(); }

void TimeLimit::expire() noexcept {
  expired_ = true;
  Task& task = cancel_.task();
  waits_for_throw_ = task.pending_ == Task::Pending::thrown;
  if (!waits_for_throw_) cancel_.send("a time limit has passed");
}

}  // namespace heirloop
