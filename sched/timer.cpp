#include <heirloop/sched/timer.hpp>

#include <heirloop/sched/contract.hpp>
#include <heirloop/sched/quad_heap.hpp>

namespace heirloop {

void TimerQueue::set_after(Timer& timer, std::int64_t span_ns) noexcept {
  contract(!timer.is_set(), "a timer is set once at a time");
  timer.place_ = Timer::Place::undated;
  timer.time_ns_ = span_ns;
  timer.before_ = nullptr;
  timer.next_ = undated_;
  if (undated_ != nullptr) undated_->before_ = &timer;
  undated_ = &timer;
}

void TimerQueue::set_at(Timer& timer, std::int64_t deadline_ns) {
  contract(!timer.is_set(), "a timer is set once at a time");
  heap_.push_back({deadline_ns, &timer});
  timer.place_ = Timer::Place::dated;
  timer.time_ns_ = deadline_ns;
  timer.order_ = ++orders_;
  detail::quad_sift_up(heap_, heap_.size() - 1, before, moved);
}

void TimerQueue::remove(Timer& timer) noexcept {
  if (timer.place_ == Timer::Place::undated) {
    (timer.before_ != nullptr ? timer.before_->next_ : undated_) = timer.next_;
    if (timer.next_ != nullptr) timer.next_->before_ = timer.before_;
    timer.place_ = Timer::Place::idle;
  } else if (timer.place_ == Timer::Place::dated) {
    erase(timer);
  }
}

void TimerQueue::remove(Timer& timer, std::int64_t now_ns) noexcept {
  if (timer.is_undated()) timer.time_ns_ = deadline(now_ns, timer.time_ns_);
  remove(timer);
}

void TimerQueue::erase(Timer& timer) noexcept {
  timer.place_ = Timer::Place::idle;
  detail::quad_erase(heap_, timer.slot_, before, moved);
}

void TimerQueue::date(Timer& timer, std::int64_t now_ns) {
  set_at(timer, deadline(now_ns, timer.time_ns_));
}

std::int64_t TimerQueue::deadline_of(Timer& timer, std::int64_t now_ns) {
  if (timer.is_undated()) {
    remove(timer);
    date(timer, now_ns);
  }
  return timer.time_ns_;
}

void TimerQueue::date_all(std::int64_t now_ns) {
  // The list holds the last one set first; equal spans must fire in the order in which they were set.
  Timer* in_order = nullptr;
  while (undated_ != nullptr) {
    Timer* timer = undated_;
    undated_ = timer->next_;
    timer->next_ = in_order;
    in_order = timer;
  }
  while (in_order != nullptr) {
    Timer* timer = in_order;
    in_order = timer->next_;
    timer->place_ = Timer::Place::idle;
    date(*timer, now_ns);
  }
}

void TimerQueue::fire_due(std::int64_t now_ns) noexcept {
  while (!heap_.empty() && heap_.front().deadline_ns <= now_ns && heap_.front().deadline_ns != never) {
    Timer& timer = *heap_.front().timer;
    erase(timer);
    timer.fire_(timer);
  }
}

}  // namespace heirloop
