// A study as files: JSON and CSV. Pure functions. In virtual time both hold nothing that depends on the
// machine.
#pragma once

#include "policylab/study.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace policylab {

enum class Detail : std::uint8_t {
  figures,   ///< what the tables show
  pictures,  ///< and what the page draws: curves, waits over priority, who ran when
};

/// {"seed", "time", "inheritance", "workloads": [{"name", …, "classes", "runs": [{"policy", …, "classes"}],
/// "findings"}]}; members in the order of their names.
[[nodiscard]] nlohmann::json to_json(const Study& study, Detail detail);

/// A line of names, then one for each workload, policy and class.
[[nodiscard]] std::string to_csv(const Study& study);

}  // namespace policylab
