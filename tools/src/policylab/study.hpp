// A study: workloads, each run under several policies, and what the comparison says.
#pragma once

#include "policylab/result.hpp"
#include "policylab/workload.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace policylab {

struct WorkloadStudy {
  Workload workload;
  std::vector<RunResult> runs;  ///< one for each policy
};

struct Study {
  std::uint64_t seed = 1;
  bool inheritance = true;
  bool real_time = false;
  std::vector<WorkloadStudy> workloads;
};

/// How `aging` treats the most urgent class, beside `strict`.
struct UrgentComparison {
  std::string task_class;
  std::int64_t strict_p99_ns = 0;  ///< from ready to run
  std::int64_t aging_p99_ns = 0;
  std::int64_t longest_step_ns = 0;  ///< that was run in either
  std::uint64_t less_urgent_first =
      0;  ///< steps that `aging` let go first: 0 when the backlog was young enough
  bool within_one_step = false;
};

/// Nothing when one of the two policies was not run.
[[nodiscard]] std::optional<UrgentComparison> compare_urgent(const WorkloadStudy& study);

/// The largest violation of the bound in a run, over all classes; 0: the bound was kept.
[[nodiscard]] std::int64_t worst_late_ns(const RunResult& run);

/// What the runs of a workload show, in sentences.
[[nodiscard]] std::vector<std::string> findings(const WorkloadStudy& study);

}  // namespace policylab
