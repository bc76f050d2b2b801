// Recorded schedules: which entry ran at each dispatch, and when.
//
// Owns: the recording, its text form, and the comparison of a run with it. Sits in the loop's observer seat.
//
// 1. Under the simulated driver a program's schedule is a function of the program and its seeds: a replay is the same
//    program again, compared dispatch by dispatch.
// 2. A task is known by its number and its name, a handle by its priority.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <heirloop/sched/loop.hpp>

namespace heirloop::testing {

/// A text that is no schedule. `what()` names the line and what was expected there.
class ScheduleFormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The dispatches of one run.
struct Schedule {
  struct Dispatch {
    std::int64_t time_ns = 0;     ///< the loop's clock
    std::uint64_t task = 0;       ///< its number; 0 for a handle
    double priority = 0;          ///< effective
    friend bool operator==(const Dispatch&, const Dispatch&) noexcept = default;
  };

  std::vector<Dispatch> dispatches;
  std::vector<std::string> names;  ///< by the number of the task; empty where it never ran

  /// One line a dispatch. Errors: std::ios_base::failure when the stream throws; else look at its state.
  void save(std::ostream& out) const;

  /// Errors: ScheduleFormatError.
  static Schedule load(std::istream& in);

  /// "task 3 'sweep' at 1.5 ms, priority 10".
  std::string describe(const Dispatch& dispatch) const;
};

/// Records what runs. Costs some ns a dispatch, and memory: 24 bytes each.
class ScheduleRecorder final : public StepObserver {
 public:
  void step_begins(const Entry& entry, std::int64_t now_ns) override;
  void step_ended() override {}

  const Schedule& schedule() const noexcept { return schedule_; }

 private:
  Schedule schedule_;
};

/// Where a run first differs from a recording.
struct Departure {
  std::size_t dispatch = 0;  ///< counted from 0
  std::string recorded;      ///< what ran then; "the end" when nothing did
  std::string now;           ///< what ran instead
};

/// Compares what runs with a recording.
class ScheduleReplay final : public StepObserver {
 public:
  explicit ScheduleReplay(Schedule recorded) : recorded_(std::move(recorded)) {}

  void step_begins(const Entry& entry, std::int64_t now_ns) override;
  void step_ended() override {}

  /// The first difference so far; after the run also when it ended early. Empty: none.
  std::optional<Departure> departure(bool run_has_ended = true) const;

  /// Dispatches that were the same, up to the first that was not.
  std::size_t verified() const noexcept { return verified_; }

 private:
  Schedule recorded_;
  Schedule now_;  // its last dispatch only, and the names
  std::size_t verified_ = 0;
  std::optional<Departure> departure_;
};

}  // namespace heirloop::testing
