// Counts what happens in a run, and measures the bound of `aging` under every policy.
//
// Called by the engine at each turn of a job's life. Everything is allocated at the beginning: nothing per
// dispatch.
//
//   arrived ──▶ ready ──▶ begins ──▶ ran ──┬──▶ ready …
//                 ▲                        ├──▶ (waits for a lock) ──▶ ready …
//                 └────────────────────────┴──▶ finished
//
// 1. The bound: no entry of priority q that became ready more than (p - q) * age_unit after one of priority p
// runs
//    before it. With keys as `aging` gives them, whatever policy rules: when a job begins a step, the
//    smallest key among the ready ones of each class is compared with its own; what is smaller was overtaken
//    later than the bound allows. Readings of time are those of the loop's clock at the push, exactly what
//    the policy itself sees.
// 2. Waits and latencies are measured by the run's own clock, from the true moment of becoming ready or
// arriving.
// 3. What has not ended when the run ends counts with its age.
#pragma once

#include <heirloop/sched/policy.hpp>

#include "common/histogram.hpp"
#include "policylab/result.hpp"
#include "policylab/waiting_jobs.hpp"
#include "policylab/workload.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace policylab {

/// What the statistics keep about a job; the engine's job derives from it.
struct JobRecord : WaitingJobs::Place {
  std::uint32_t task_class = 0;
  std::int64_t arrival_ns = 0;
  std::int64_t ready_ns = 0;       ///< by the run's clock
  std::int64_t loop_ready_ns = 0;  ///< by the loop's clock
  std::int64_t inverted_ns = 0;    ///< in the present wait for a lock
};

class Statistics {
 public:
  explicit Statistics(const Workload& workload);

  void arrived(JobRecord& job) noexcept { ++classes_[job.task_class].arrived; }
  void ready(JobRecord& job, const heirloop::Urgency& urgency, std::int64_t loop_ns, std::int64_t now_ns);
  /// The urgency of a ready job has changed.
  void urgency_changed(JobRecord& job, const heirloop::Urgency& urgency);
  void begins(JobRecord& job, const heirloop::Urgency& urgency, std::int64_t now_ns);
  /// The job had the processor.
  void ran(const JobRecord& job, std::int64_t from_ns, std::int64_t to_ns) noexcept;
  /// A wait for a lock has ended; `job.inverted_ns` of it was an inversion.
  void waited_for_lock(JobRecord& job) noexcept;
  void finished(const JobRecord& job, std::int64_t now_ns) noexcept;
  /// The run is over and this job is not.
  void unfinished(const JobRecord& job, std::int64_t now_ns) noexcept;

  [[nodiscard]] std::uint64_t dispatches() const noexcept { return dispatches_; }
  [[nodiscard]] RunResult result(std::int64_t elapsed_ns) const;

 private:
  struct PerClass {
    const TaskClass* task_class = nullptr;
    WaitingJobs waiting;
    tools::Histogram wait;
    tools::Histogram latency;
    std::uint64_t arrived = 0;
    std::uint64_t finished = 0;
    std::uint64_t unfinished = 0;
    std::int64_t busy_ns = 0;
    std::int64_t longest_step_ns = 0;
    std::int64_t late_ns = 0;
    std::uint64_t late_steps = 0;
    std::int64_t starved_ns = 0;
    std::uint64_t less_urgent_first = 0;
    std::uint64_t deadlines = 0;
    std::uint64_t missed = 0;
    std::uint64_t inversions = 0;
    std::int64_t inverted_ns = 0;
    std::int64_t longest_inversion_ns = 0;
    std::vector<std::int64_t> overview_ns;
  };

  void count_deadline(PerClass& counts, std::int64_t latency_ns, bool over) noexcept;
  std::size_t bin_of(double priority) const noexcept;
  void note_stretch(std::uint32_t task_class, std::int64_t from_ns, std::int64_t to_ns) noexcept;

  std::unique_ptr<heirloop::Policy> aging_;
  std::vector<PerClass> classes_;
  std::uint64_t dispatches_ = 0;

  std::vector<tools::Histogram> by_priority_;
  double lowest_priority_ = 0;
  double bins_per_unit_ = 0;

  std::int64_t part_ns_ = 1;        // of the overview
  std::int64_t stretches_from_ns_;  // by the run's clock
  std::vector<Stretch> stretches_;
};

}  // namespace policylab
