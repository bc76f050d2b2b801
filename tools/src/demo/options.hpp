// The demo's command line. Pure: parse_options() neither prints nor exits.
#pragma once

#include "demo/plan.hpp"

#include <string>
#include <variant>
#include <vector>

namespace demo {

struct Options {
  double seconds = default_seconds;  ///< of load per variant, all rounds together
  std::string json_path;             ///< empty: no JSON
};

/// What to print and how to exit instead of running.
struct Exit {
  int status = 0;    ///< 0: `text` belongs to the standard output, else to the standard error
  std::string text;  ///< complete, with its last line end
};

/// Reads the command line (`arguments` without the program's name).
[[nodiscard]] std::variant<Options, Exit> parse_options(std::vector<std::string> arguments);

}  // namespace demo
