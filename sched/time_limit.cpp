#include <heirloop/sched/time_limit.hpp>

#include <utility>

#include <heirloop/sched/cancel.hpp>
#include <heirloop/sched/interrupt.hpp>

namespace heirloop {

using std::chrono::steady_clock;

namespace detail {

Task& checked_current_task() {
  Task* task = this_thread.task;
  if (task == nullptr) throw InvalidStateError("a block that can cancel its task needs one: no task runs here");
  return *task;
}

/// A cancel that is not delivered yet is to come out of the block: it does not count as one from before.
OwnCancel::OwnCancel()
    : task_(checked_current_task()), scope_(Shield::scope_of(task_)), before_(Shield::requests_let_through(task_)) {
  if (before_ > 0 && task_.pending_ == Task::Pending::cancel) --before_;
}

void OwnCancel::send(std::string message) {
  sent_ = true;
  std::exception_ptr thrown;
  if (task_.pending_ == Task::Pending::thrown && task_.pending_limit_ == nullptr) thrown = task_.pending_error_;
  Cancelled cancelled(std::move(message));
  number_ = task_.has_open_cancel() ? 0 : next_arrival();
  cancelled.number_ = number_;
  CancelWalk walk(std::move(cancelled), nullptr, scope_);
  task_.loop().deliver(task_, walk);
  if (task_.pending_ == Task::Pending::cancel) overtaken_ = std::move(thrown);
  requests_as_sent_ = task_.cancel_requests_;
}

void OwnCancel::send_again(const Cancelled& met) {
  if (task_.pending_ == Task::Pending::cancel && task_.pending_limit_ == nullptr) task_.drop_pending();
  task_.loop().set_cancelled(task_, Cancelled(met.message(), met.cause()), scope_);
}

void OwnCancel::let_others_out(const Cancelled& leaving) const {
  const bool waits_to_come = task_.pending_ == Task::Pending::cancel && task_.pending_limit_ == nullptr;
  if (waits_to_come && is_own(leaving)) Loop::resumed();
}

bool OwnCancel::is_own(const Cancelled& cancelled) const noexcept { return number_ != 0 && cancelled.number_ == number_; }

bool OwnCancel::is_own(const std::exception_ptr& error) const noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled& cancelled) {
    return is_own(cancelled);
  } catch (...) {
    return false;
  }
}

bool OwnCancel::is_pending() const noexcept {
  const bool is_cancel = task_.pending_ == Task::Pending::cancel || task_.pending_ == Task::Pending::passed_on;
  return is_cancel && number_ != 0;
}

bool OwnCancel::take_back() noexcept {
  if (!std::exchange(sent_, false)) return false;
  const bool stands_for_others = task_.cancel_requests_ > requests_as_sent_;
  if (task_.cancel_requests_ > 0) --task_.cancel_requests_;
  const bool alone = Shield::requests_let_through(task_) <= before_;
  if (task_.pending_ == Task::Pending::cancel && (alone || (!stands_for_others && is_own(task_.pending_error_)))) {
    task_.drop_pending();
  }
  if (alone) TimeLimit::cancel_taken_back(task_);
  return alone;
}

}  // namespace detail

TimeLimit::TimeLimit(Sends sends, std::int64_t time_ns, bool is_point)
    : Timer(fired), outer_(cancel_.task().time_limits_), sends_(sends) {
  Loop& loop = cancel_.task().loop();
  cancel_.task().time_limits_ = this;
  if (time_ns == TimerQueue::never) return;
  if (is_point) {
    loop.set_timer_at(*this, time_ns);
  } else {
    loop.set_timer_after(*this, time_ns);
  }
}

std::optional<steady_clock::time_point> TimeLimit::when() {
  if (!is_set() && !expired_) return std::nullopt;
  const std::int64_t deadline_ns = expired_ ? passed_ns_ : cancel_.task().loop().deadline_of(*this);
  if (deadline_ns == TimerQueue::never) return std::nullopt;
  return steady_clock::time_point(std::chrono::nanoseconds(deadline_ns));
}

void TimeLimit::reschedule(std::optional<steady_clock::time_point> deadline) {
  if (expired_ || ended_) throw InvalidStateError("a time limit that has passed, or whose block is over, can't be set again");
  Loop& loop = cancel_.task().loop();
  if (is_set()) loop.timers().remove(*this);
  if (deadline && *deadline != steady_clock::time_point::max()) {
    loop.set_timer_at(*this, std::chrono::nanoseconds(deadline->time_since_epoch()).count());
  }
}

bool TimeLimit::reaches_its_task() const noexcept {
  return !Shield::keeps_for_ever(cancel_.task(), cancel_.scope());
}

bool TimeLimit::end() noexcept {
  if (std::exchange(ended_, true)) return false;
  Task& task = cancel_.task();
  task.time_limits_ = outer_;
  if (is_set()) task.loop().timers().remove(*this);
  if (task.pending_limit_ == this && sends_ == Sends::interrupt) withdraw();
  return cancel_.take_back();
}

bool TimeLimit::end(const Cancelled& leaving) {
  if (end()) return true;
  cancel_.let_others_out(leaving);
  return false;
}

void TimeLimit::expire() noexcept {
  if (!std::exchange(expired_, true)) passed_ns_ = cancel_.task().loop().deadline_of(*this);
}

/// Of equal deadlines the outer wins alone; one that a shield keeps back waits for that.
void TimeLimit::passed() noexcept {
  const Task& task = cancel_.task();
  TimerQueue& timers = task.loop().timers();
  TimeLimit* winner = this;
  expire();
  for (TimeLimit* limit = outer_; limit != nullptr; limit = limit->outer_) {
    if (!limit->is_set() || timers.is_later(*limit, *this)) continue;
    timers.remove(*limit);
    limit->expire();
    limit->due_ = Shield::before(task, limit->cancel_.scope()) != nullptr;
    if (!limit->due_) winner = limit;
  }
  winner->go();
}

void TimeLimit::go() noexcept {
  Task& task = cancel_.task();
  due_ = Shield::before(task, cancel_.scope()) != nullptr;
  if (due_) return;
  if (TimeLimit* other = task.pending_limit_) {
    if (!other->is_inside(*this)) {
      if (task.pending_ == Task::Pending::passed_on) go_inside(*other);
      return;
    }
    other->withdraw();
  }
  due_ = task.pending_ == Task::Pending::thrown;
  if (due_) return;
  // A pending cancel goes through. When it is that of a block inside, which takes it back, the request that this adds is left, or
  // an interrupt comes then.
  if (task.pending_ == Task::Pending::cancel) {
    if (sends_ == Sends::cancel) cancel_.send("a time limit has passed");
    overtaken();
    return;
  }
  if (sends_ == Sends::cancel) {
    cancel_.send("a time limit has passed");
    if (cancel_.is_pending()) task.pending_limit_ = this;
  } else {
    number_ = detail::next_arrival();
    task.put_throw_first(std::make_exception_ptr(TimeoutInterrupt(number_)));
    task.pending_limit_ = this;
    if (task.state() != TaskState::running) task.loop().withdraw(task);
  }
}

/// What is awaited has not answered the cancel of an outer one, which wins: it is asked again, or waited for no longer.
void TimeLimit::go_inside(TimeLimit& outer) noexcept {
  Task& task = cancel_.task();
  if (sends_ == Sends::cancel) {
    std::exception_ptr outers = task.pending_error_;
    cancel_.send("a time limit has passed");
    if (task.pending_ != Task::Pending::passed_on) return;
    task.pending_error_ = std::move(outers);
    task.pending_limit_ = &outer;
  } else {
    task.pending_ = Task::Pending::cancel;
    task.loop().withdraw(task);
  }
}

bool TimeLimit::is_inside(const TimeLimit& other) const noexcept {
  const TimeLimit* limit = outer_;
  while (limit != nullptr && limit != &other) limit = limit->outer_;
  return limit != nullptr;
}

void TimeLimit::withdraw() noexcept {
  cancel_.task().drop_pending();
  cancel_.take_back();
}

void TimeLimit::stay_due() noexcept {
  withdraw();
  due_ = true;
}

void TimeLimit::go_on(Task& task) noexcept {
  for (TimeLimit* limit = task.time_limits_; limit != nullptr; limit = limit->outer_) {
    if (std::exchange(limit->due_, false)) task.loop().set_timer_after(*limit, 0);
  }
}

void TimeLimit::overtaken() noexcept {
  if (sends_ == Sends::interrupt) overtaken_with_ = Shield::requests_let_through(cancel_.task());
}

/// The one that went before was, when there are fewer requests than then.
void TimeLimit::cancel_taken_back(Task& task) noexcept {
  for (TimeLimit* limit = task.time_limits_; limit != nullptr; limit = limit->outer_) {
    if (Shield::requests_let_through(task) >= limit->overtaken_with_) continue;
    limit->overtaken_with_ = 0;
    task.loop().set_timer_after(*limit, 0);
  }
}

}  // namespace heirloop
