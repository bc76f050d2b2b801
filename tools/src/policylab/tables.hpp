// A study as text for a terminal of 100 columns. Pure functions.
#pragma once

#include "policylab/study.hpp"

#include <string>

namespace policylab {

/// What the workload is, a table of waits and latencies, a table of the rest, and the findings.
[[nodiscard]] std::string to_text(const WorkloadStudy& study);

/// What the columns mean.
[[nodiscard]] std::string legend();

/// How fast it went: in virtual time, dispatches a second of the processor's time.
[[nodiscard]] std::string speed(const Study& study);

}  // namespace policylab
