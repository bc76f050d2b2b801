// The workloads that the laboratory brings along, in the format of workload files.
#pragma once

#include <span>
#include <string_view>

namespace policylab {

struct Builtin {
  std::string_view name;
  std::string_view text;
};

[[nodiscard]] std::span<const Builtin> builtin_workloads() noexcept;

}  // namespace policylab
