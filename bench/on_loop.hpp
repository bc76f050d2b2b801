// A loop to measure: the real clock, so that what reads the time pays for it, and no kernel ring.
#pragma once

#include <heirloop/heirloop.hpp>

#include <ctime>
#include <stdexcept>
#include <utility>

namespace heirloop::bench {

/// Reads CLOCK_MONOTONIC. Nothing outside the program ever happens, so nothing is harvested.
class ClockDriver final : public Driver {
 public:
  ClockDriver() noexcept { keeps_real_time_ = true; }

  std::int64_t now_ns() noexcept override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000 + now.tv_nsec + skipped_ns_;
  }

  /// From here on the clock shows a later time.
  void skip(std::chrono::nanoseconds span) noexcept { skipped_ns_ += span.count(); }

  void harvest(std::int64_t) override {}
  void submit() override {}
  void wait(std::int64_t deadline_ns) override {
    if (deadline_ns == no_deadline) throw std::logic_error("nothing is ready and nothing ever will be");
    const std::int64_t until_ns = deadline_ns - skipped_ns_;
    const timespec until{until_ns / 1'000'000'000, until_ns % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  }
  void set_tick(std::int64_t) override {}
  void wake() noexcept override {}

 private:
  std::int64_t skipped_ns_ = 0;
};

class OnLoop {
 public:
  explicit OnLoop(PolicyKind policy = PolicyKind::aging) : policy_(policy), loop_(driver_, {.policy = policy}) {}
  ~OnLoop() { loop_.finish(); }

  Loop& loop() noexcept { return loop_; }
  PolicyKind policy() const noexcept { return policy_; }
  std::chrono::steady_clock::time_point began() const noexcept { return began_; }

  template <class T>
  PriorityTask<T> start(Coro<T> coro, const TaskOptions& options = {}) {
    return loop_.create_task(std::move(coro), options);
  }
  void run(const TaskRef& task) { loop_.run_until_done(task); }

  /// Runs all that is ready once more, so that what has been told to stop ends by itself: cheaper than a cancel.
  void run_all_once() {
    run(start([]() -> Coro<void> { co_await sleep(0); }(), {.priority = priority::when_idle}));
  }

  /// What sleeps for less than `span`, and is as urgent as this, wakes and runs before this returns.
  void skip(std::chrono::nanoseconds span) {
    driver_.skip(span);
    run(start([]() -> Coro<void> { co_await sleep(std::chrono::nanoseconds(1)); }()));
  }

 private:
  PolicyKind policy_;
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  ClockDriver driver_;
  Loop loop_;
};

}  // namespace heirloop::bench
