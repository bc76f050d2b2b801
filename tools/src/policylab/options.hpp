// The command line. Pure: parse_options() neither prints nor exits, it answers either the options or what to
// print and the exit status.
#pragma once

#include <heirloop/sched/policy.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace policylab {

struct Options {
  std::vector<std::string> workloads;  ///< names of built-in ones, or files; empty: every built-in one
  std::vector<heirloop::PolicyKind> policies;  ///< in the order given, without repetition; never empty
  std::uint64_t seed = 1;
  std::optional<double> seconds;  ///< instead of the workload's own length
  bool real_time = false;
  bool inheritance = true;
  std::string json_path;  ///< empty: none, like the others
  std::string csv_path;
  std::string html_path;
  std::string record_path;
  std::string replay_path;  ///< given: all of the above but the paths comes from there
};

/// What to print and how to exit instead of running.
struct Exit {
  int status = 0;    ///< 0: `text` belongs to the standard output, else to the standard error
  std::string text;  ///< complete, with its last line end
};

/// Reads the command line (`arguments` without the program's name).
[[nodiscard]] std::variant<Options, Exit> parse_options(std::vector<std::string> arguments);

}  // namespace policylab
