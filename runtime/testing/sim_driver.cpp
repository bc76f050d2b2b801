#include <heirloop/testing/sim_driver.hpp>

#include <algorithm>
#include <utility>

namespace heirloop::testing {

SimDriver::SimDriver() { look_ = {&due_, 0}; }

void SimDriver::advance(std::chrono::nanoseconds span) {
  if (span.count() < 0) throw std::invalid_argument("virtual time does not run backwards");
  now_ns_ += span.count();
  due_ = 1;  // timers may be due: the loop must look before the next step
}

void SimDriver::at(std::chrono::nanoseconds time, std::function<void()> event) {
  std::int64_t time_ns = std::max(time.count(), now_ns_);
  if (jitter_ns_ > 0) time_ns += static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(jitter_ns_));
  events_.push({time_ns, ++orders_, std::move(event)});
  look();
}

void SimDriver::jitter(std::chrono::nanoseconds most, std::uint64_t seed) {
  if (most.count() < 0) throw std::invalid_argument("jitter must not be negative");
  jitter_ns_ = most.count();
  random_.seed(seed);
}

void SimDriver::look() {
  if ((!events_.empty() && events_.top().time_ns <= now_ns_) || tick_ns_ <= now_ns_) due_ = 1;
}

void SimDriver::harvest(std::int64_t) {
  due_ = 0;
  bring_clock_up_to_date();
  if (tick_ns_ <= now_ns_) tick_ns_ = no_deadline;
  while (!events_.empty() && events_.top().time_ns <= now_ns_) {
    const auto happen = events_.top().happen;
    events_.pop();
    happen();
  }
}

void SimDriver::wait(std::int64_t deadline_ns) {
  ++waits_;
  if (woken_.exchange(false)) return;
  const std::int64_t event_ns = events_.empty() ? no_deadline : events_.top().time_ns;
  const std::int64_t next_ns = std::min(deadline_ns, event_ns);
  if (next_ns == no_deadline) {
    throw Stalled("nothing can ever happen: no task is ready, no timer is set and no event is appointed");
  }
  now_ns_ = std::max(now_ns_, next_ns);
  look();
}

void SimDriver::set_tick(std::int64_t deadline_ns) {
  tick_ns_ = deadline_ns;
  look();
}

}  // namespace heirloop::testing
