// From the text of a workload file to a `Workload`. The format is described in this folder's README.md.
#pragma once

#include "policylab/words.hpp"
#include "policylab/workload.hpp"

#include <string>
#include <string_view>

namespace policylab {

/// Reads a workload. `file` is the name for messages.
/// Errors: ParseError for the first thing that is wrong.
[[nodiscard]] Workload parse_workload(std::string_view text, std::string_view file);

/// The text of a file. Errors: std::system_error with the path.
[[nodiscard]] std::string read_file(const std::string& path);

}  // namespace policylab
