#include "policylab/session.hpp"

#include "common/output_file.hpp"
#include "policylab/builtin.hpp"
#include "policylab/parser.hpp"
#include "policylab/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace policylab {
namespace {

constexpr std::int64_t longest_real_ns = 2'000'000'000;

PlannedWorkload planned(std::string file, std::string text) {
  PlannedWorkload made;
  made.workload = parse_workload(text, file);
  made.file = std::move(file);
  made.text = std::move(text);
  return made;
}

PlannedWorkload named(const std::string& name) {
  for (const Builtin& each : builtin_workloads()) {
    if (each.name == name) return planned(fmt::format("built-in {}", name), std::string(each.text));
  }
  return planned(name, read_file(name));
}

Plan plan_of(const Options& options) {
  Plan plan;
  plan.seed = options.seed;
  plan.inheritance = options.inheritance;
  plan.real_time = options.real_time;
  plan.record = !options.record_path.empty();
  std::vector<std::string> names = options.workloads;
  if (names.empty()) {
    for (const Builtin& each : builtin_workloads()) names.emplace_back(each.name);
  }
  for (const std::string& name : names) {
    PlannedWorkload& each = plan.workloads.emplace_back(named(name));
    if (options.seconds) {
      each.workload.length_ns = static_cast<std::int64_t>(std::round(*options.seconds * 1e9));
    } else if (options.real_time) {
      each.workload.length_ns = std::min(each.workload.length_ns, longest_real_ns);
    }
    for (const auto policy : options.policies) each.runs.push_back({policy, std::nullopt});
  }
  return plan;
}

/// Runs of one workload stand together in a recording, as they were run.
Plan plan_of(Recording recording) {
  Plan plan;
  plan.seed = recording.seed;
  plan.inheritance = recording.inheritance;
  for (RecordedRun& run : recording.runs) {
    if (plan.workloads.empty() || plan.workloads.back().text != run.text ||
        plan.workloads.back().file != run.file) {
      plan.workloads.push_back(planned(run.file, run.text));
    }
    PlannedWorkload& each = plan.workloads.back();
    each.workload.length_ns = run.length_ns;
    const auto policy = run.policy;
    each.runs.push_back({policy, std::move(run)});
  }
  return plan;
}

RunResult replay(const Workload& workload, RunOptions options, const RecordedRun& recorded,
                 std::uint64_t& verified) {
  heirloop::testing::ScheduleReplay replay(recorded.schedule);
  options.observer = &replay;
  RunResult result = run_workload(workload, options);
  if (const auto departure = replay.departure()) {
    throw ReplayDeparted(
        fmt::format("the replay of {} under {} departs from the recording at dispatch {}: recorded is {}, "
                    "now it is {}",
                    workload.name, result.policy, departure->dispatch, departure->recorded, departure->now));
  }
  verified += replay.verified();
  return result;
}

RunResult record(const PlannedWorkload& planned, RunOptions options, Recording& recording) {
  heirloop::testing::ScheduleRecorder recorder;
  options.observer = &recorder;
  RunResult result = run_workload(planned.workload, options);
  recording.runs.push_back(
      {planned.file, planned.text, options.policy, planned.workload.length_ns, recorder.schedule()});
  return result;
}

}  // namespace

std::size_t Plan::run_count() const noexcept {
  std::size_t count = 0;
  for (const PlannedWorkload& each : workloads) count += each.runs.size();
  return count;
}

Plan prepare(const Options& options) {
  Plan plan = options.replay_path.empty() ? plan_of(options) : plan_of(read_recording(options.replay_path));
  for (const std::string* path :
       {&options.json_path, &options.csv_path, &options.html_path, &options.record_path}) {
    if (!path->empty()) tools::check_writable(*path);
  }
  return plan;
}

Outcome carry_out(const Plan& plan, const Listener& listener) {
  Outcome outcome;
  outcome.study.seed = outcome.recording.seed = plan.seed;
  outcome.study.inheritance = outcome.recording.inheritance = plan.inheritance;
  outcome.study.real_time = plan.real_time;
  for (const PlannedWorkload& planned : plan.workloads) {
    WorkloadStudy& study = outcome.study.workloads.emplace_back();
    study.workload = planned.workload;
    for (const PlannedRun& run : planned.runs) {
      listener.begins(planned.workload.name, heirloop::to_string(run.policy));
      RunOptions options;
      options.policy = run.policy;
      options.seed = plan.seed;
      options.inheritance = plan.inheritance;
      options.clock = plan.real_time ? Clock::real_time : Clock::virtual_time;
      study.runs.push_back(run.recorded  ? replay(study.workload, options, *run.recorded, outcome.verified)
                           : plan.record ? record(planned, options, outcome.recording)
                                         : run_workload(study.workload, options));
    }
    listener.ended(study);
  }
  return outcome;
}

}  // namespace policylab
