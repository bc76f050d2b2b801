// What one run has shown. Plain data: statistics.hpp makes it, the tables, files and pictures are made from
// it.
//
// 1. Times are nanoseconds of the run's clock (virtual, or real with --real), spans or counted from the run's
// begin.
// 2. Nothing in it depends on the machine's speed when the run was in virtual time, but `real_seconds` and
//    `cpu_seconds`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace policylab {

/// A distribution of times: its main quantiles, and more of them for a picture.
struct Spread {
  std::uint64_t count = 0;
  std::int64_t p50_ns = 0;
  std::int64_t p99_ns = 0;
  std::int64_t p999_ns = 0;
  std::int64_t max_ns = 0;
  std::vector<std::int64_t> curve;  ///< at `curve_quantiles()`
};

/// The quantiles of `Spread::curve`: dense towards 1, where the tail is.
[[nodiscard]] const std::vector<double>& curve_quantiles();

struct ClassResult {
  std::string name;
  double priority = 0;

  std::uint64_t arrived = 0;
  std::uint64_t finished = 0;
  std::uint64_t unfinished = 0;  ///< at the end of the run; they count in the spreads with their age
  double finished_per_s = 0;
  double share = 0;  ///< of the processor, 0 to 1
  std::int64_t longest_step_ns = 0;

  Spread wait;     ///< from ready to run, each step
  Spread latency;  ///< from arrival to end, each job

  /// How much later than the bound of `aging` allows something became ready that ran before a job of this
  /// class; 0 when the bound was kept. And how many steps did so.
  std::int64_t late_ns = 0;
  std::uint64_t late_steps = 0;
  /// The same of those only that were at least as urgent: how far the class was starved.
  std::int64_t starved_ns = 0;
  /// Steps of less urgent tasks that ran while a job of this class was ready.
  std::uint64_t less_urgent_first = 0;

  std::uint64_t deadlines = 0;  ///< that passed or were met within the run
  std::uint64_t missed = 0;

  /// Waits of this class for a lock during which a less urgent task ran that did not hold it up.
  std::uint64_t inversions = 0;
  std::int64_t inverted_ns = 0;
  std::int64_t longest_inversion_ns = 0;
};

/// A stretch of time in which one class had the processor.
struct Stretch {
  std::uint32_t task_class = 0;
  std::int64_t from_ns = 0;
  std::int64_t to_ns = 0;
};

/// Waits from ready to run of what ran at about one effective priority.
struct PriorityWaits {
  double priority = 0;
  Spread wait;
};

struct RunResult {
  std::string policy;
  std::int64_t elapsed_ns = 0;
  std::uint64_t dispatches = 0;
  double idle = 0;  ///< part of the time in which nothing ran
  std::vector<ClassResult> classes;
  std::vector<PriorityWaits> by_priority;

  /// Part of the processor that each class had in each of equal parts of the run: [class][part].
  std::vector<std::vector<double>> overview;
  /// Who ran when, from the middle of the run on.
  std::vector<Stretch> stretches;

  double real_seconds = 0;  ///< that the run took; for the terminal alone
  double cpu_seconds = 0;   ///< of them on the processor
};

}  // namespace policylab
