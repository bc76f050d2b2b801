// A recording: all that a study was made from, and the schedule of each of its runs. It needs no other file.
//
// The file is text, in lines: what it is; `seed N`; `inheritance on|off`; then for each run `run POLICY
// LENGTH_NS LINES FILE`, so many lines of its workload, and its schedule as heirloop/testing/schedule.hpp
// writes it; at last `end`.
#pragma once

#include <heirloop/sched/policy.hpp>
#include <heirloop/testing/schedule.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace policylab {

struct RecordedRun {
  std::string file;  ///< the workload's name for messages
  std::string text;  ///< of the workload
  heirloop::PolicyKind policy = heirloop::PolicyKind::aging;
  std::int64_t length_ns = 0;
  heirloop::testing::Schedule schedule;
};

struct Recording {
  std::uint64_t seed = 1;
  bool inheritance = true;
  std::vector<RecordedRun> runs;
};

/// A file that is no recording. Says which file, which line and what was expected there.
class RecordingFormatError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Errors: std::system_error with the path.
void write_recording(const std::string& path, const Recording& recording);

/// Errors: std::system_error with the path when it can't be read; RecordingFormatError.
[[nodiscard]] Recording read_recording(const std::string& path);

}  // namespace policylab
