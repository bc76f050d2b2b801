// One call of the program, from the options to the study: what is run, what is recorded, what is compared.
//
// 1. Whatever can be wrong with the arguments is found by `prepare`, before the first run.
#pragma once

#include "policylab/options.hpp"
#include "policylab/recording.hpp"
#include "policylab/study.hpp"

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace policylab {

/// A replay left the recorded schedule: says in which run, at which dispatch, and how.
class ReplayDeparted : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct PlannedRun {
  heirloop::PolicyKind policy = heirloop::PolicyKind::aging;
  std::optional<RecordedRun> recorded;  ///< what it has to repeat
};

struct PlannedWorkload {
  Workload workload;
  std::string file;  ///< its name for messages
  std::string text;
  std::vector<PlannedRun> runs;
};

struct Plan {
  std::uint64_t seed = 1;
  bool inheritance = true;
  bool real_time = false;
  bool record = false;
  std::vector<PlannedWorkload> workloads;

  [[nodiscard]] std::size_t run_count() const noexcept;
};

/// Errors: ParseError for a workload, std::system_error for a file that can't be read or written,
/// std::runtime_error for what is no recording.
[[nodiscard]] Plan prepare(const Options& options);

struct Outcome {
  Study study;
  Recording recording;         ///< when the plan asks for it
  std::uint64_t verified = 0;  ///< dispatches that were the recorded ones
};

/// What a caller wants to hear meanwhile.
struct Listener {
  std::function<void(std::string_view workload, std::string_view policy)> begins;
  std::function<void(const WorkloadStudy& study)> ended;
};

/// Runs everything. Errors: as run_workload; ReplayDeparted.
[[nodiscard]] Outcome carry_out(const Plan& plan, const Listener& listener);

}  // namespace policylab
