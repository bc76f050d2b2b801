// One run: a workload under a policy, in virtual or in real time.
#pragma once

#include <heirloop/sched/loop.hpp>

#include "policylab/result.hpp"
#include "policylab/workload.hpp"

#include <cstdint>

namespace policylab {

enum class Clock : std::uint8_t { virtual_time, real_time };

struct RunOptions {
  heirloop::PolicyKind policy = heirloop::PolicyKind::aging;
  std::uint64_t seed = 1;
  bool inheritance = true;
  Clock clock = Clock::virtual_time;
  heirloop::StepObserver* observer = nullptr;  ///< sees every dispatch up to the end of the run
};

/// Runs the workload for its length. In virtual time two runs with equal arguments give equal results.
/// Errors: what the loop throws, in real time also for want of io_uring; heirloop::Interrupted after SIGINT,
/// in real time.
[[nodiscard]] RunResult run_workload(const Workload& workload, const RunOptions& options);

}  // namespace policylab
