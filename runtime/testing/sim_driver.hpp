// The simulated driver: virtual time and events by appointment, for heirloop's tests and for users' own.
//
// Owns: a virtual clock and a queue of events. Takes the seat of the kernel's ring under a Loop.
//
// 1. Time moves only when nothing is ready, or when a test advances it inside a step to play a long one.
// 2. Events of equal time happen in the order in which they were appointed. Two runs of one program are the same.
// 3. When nothing is ready, no timer is set and no event is appointed, `wait` throws Stalled: nothing can ever happen.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <stdexcept>
#include <vector>

#include <heirloop/sched/driver.hpp>

namespace heirloop::testing {

/// Every task waits and nothing is appointed that could wake one.
class Stalled : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class SimDriver final : public Driver {
 public:
  SimDriver();

  /// Virtual time, from zero.
  std::int64_t now_ns() noexcept override { return now_ns_; }

  /// Plays a long step: time passes inside the running step; due timers and events come right after it.
  void advance(std::chrono::nanoseconds span);

  /// `event` happens at `time` of the virtual clock, as a completion would: between two steps. It may make tasks ready,
  /// it runs in no task. Allocates.
  void at(std::chrono::nanoseconds time, std::function<void()> event);

  /// From here on each event comes later than appointed by a random time below `most`, drawn from `seed`.
  void jitter(std::chrono::nanoseconds most, std::uint64_t seed);

  void harvest(std::int64_t budget_ns) override;
  void submit() override {}
  void wait(std::int64_t deadline_ns) override;
  void set_tick(std::int64_t deadline_ns) override;
  void wake() noexcept override { woken_.store(true); }

  /// How often the loop slept.
  std::uint64_t waits() const noexcept { return waits_; }

 private:
  struct Event {
    std::int64_t time_ns;
    std::uint64_t order;
    std::function<void()> happen;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const noexcept {
      return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : a.order > b.order;
    }
  };
  void look();

  std::int64_t now_ns_ = 0;
  std::int64_t tick_ns_ = no_deadline;
  std::uint64_t orders_ = 0;
  std::uint64_t waits_ = 0;
  std::int64_t jitter_ns_ = 0;
  std::mt19937_64 random_;
  std::atomic<bool> woken_{false};
  unsigned due_ = 0;  // the word that the loop looks at
  std::priority_queue<Event, std::vector<Event>, Later> events_;
};

}  // namespace heirloop::testing
