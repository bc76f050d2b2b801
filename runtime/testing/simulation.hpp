// A program under virtual time, for tests of your own: the simulated driver, a loop on it, and the seeds that shake it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include <heirloop/sched/scheduling.hpp>
#include <heirloop/testing/schedule.hpp>
#include <heirloop/testing/sim_driver.hpp>

namespace heirloop::testing {

struct SimulationOptions {
  LoopOptions loop{};
  /// Events appointed with `SimDriver::at` come later by a random time below this. Zero: as appointed.
  std::chrono::nanoseconds arrival_jitter{0};
  std::uint64_t jitter_seed = 1;
};

/// One loop under virtual time. Two runs of one program with equal options are the same, to the last dispatch.
///
///   heirloop::testing::Simulation simulation({.loop = {.tie_seed = seed}});
///   simulation.run(service());
class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options = {}) : loop_(driver_, options.loop) {
    driver_.jitter(options.arrival_jitter, options.jitter_seed);
  }

  SimDriver& driver() noexcept { return driver_; }
  Loop& loop() noexcept { return loop_; }

  /// Runs `main` to its end, then cancels what is left and awaits it. Gives its value or throws what ended it.
  /// Errors: Stalled when every task waits and nothing can happen any more: they are cancelled first.
  template <class T>
  T run(Coro<T> main) {
    auto task = loop_.create_task(std::move(main), {.name = "main"});
    try {
      loop_.run_until_done(task);
    } catch (...) {
      loop_.finish();
      throw;
    }
    loop_.finish();
    return task.take();
  }

  /// As `run`, and gives the schedule.
  template <class T>
  Schedule record(Coro<T> main) {
    ScheduleRecorder recorder;
    run_observed(std::move(main), recorder);
    return recorder.schedule();
  }

  /// As `run`, compared with a recording. Empty: the same to the last dispatch.
  template <class T>
  std::optional<Departure> replay(Coro<T> main, Schedule recorded) {
    ScheduleReplay replay(std::move(recorded));
    run_observed(std::move(main), replay);
    return replay.departure();
  }

 private:
  template <class T>
  void run_observed(Coro<T> main, StepObserver& observer) {
    struct Seat {
      Loop& loop;
      ~Seat() { loop.set_observer(nullptr); }
    } seat{loop_};
    loop_.set_observer(&observer);
    static_cast<void>(run(std::move(main)));
  }

  SimDriver driver_;
  Loop loop_;
};

}  // namespace heirloop::testing
