// A recording: all that a study was made from, and the schedule of each of its runs. It needs no other file.
//
// The file is CBOR: {"format", "version", "seed", "inheritance", "runs": [{"file", "text", "policy",
// "length_ns", "dispatches", "schedule"}]}; `schedule` is what ScheduleWriter wrote.
#pragma once

#include <heirloop/sched/policy.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace policylab {

struct RecordedRun {
  std::string file;  ///< the workload's name for messages
  std::string text;  ///< of the workload
  heirloop::PolicyKind policy = heirloop::PolicyKind::aging;
  std::int64_t length_ns = 0;
  std::uint64_t dispatches = 0;
  std::vector<std::uint8_t> schedule;
};

struct Recording {
  std::uint64_t seed = 1;
  bool inheritance = true;
  std::vector<RecordedRun> runs;
};

/// Errors: std::system_error with the path.
void write_recording(const std::string& path, const Recording& recording);

/// Errors: std::system_error with the path when it can't be read, std::runtime_error with it when it is no
/// recording.
[[nodiscard]] Recording read_recording(const std::string& path);

}  // namespace policylab
