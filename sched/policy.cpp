#include <heirloop/sched/policy.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

#include <heirloop/sched/policies/policies.hpp>

namespace heirloop {
namespace {

struct Listed {
  PolicyKind kind;
  std::string_view name;
  std::unique_ptr<Policy> (*make)(const PolicyOptions&);
};
constexpr std::array policies_listed{Listed{PolicyKind::fifo, "fifo", policies::make_fifo},
                                     Listed{PolicyKind::strict, "strict", policies::make_strict},
                                     Listed{PolicyKind::aging, "aging", policies::make_aging},
                                     Listed{PolicyKind::boost, "boost", policies::make_boost},
                                     Listed{PolicyKind::edf, "edf", policies::make_edf},
                                     Listed{PolicyKind::shares, "shares", policies::make_shares}};

constexpr auto kinds = [] {
  std::array<PolicyKind, policies_listed.size()> all{};
  std::transform(policies_listed.begin(), policies_listed.end(), all.begin(), [](const Listed& p) { return p.kind; });
  return all;
}();

constexpr double finite_limit = 0x1p60;
constexpr std::int64_t infinite_offset = std::int64_t{1} << 61;

}  // namespace

std::int64_t policies::ordered_bits(double priority) noexcept {
  const auto bits = std::bit_cast<std::int64_t>(priority);
  return bits >= 0 ? bits : std::int64_t{-1} - (bits & std::int64_t{0x7fff'ffff'ffff'ffff});
}

std::int64_t policies::age_offset(double priority, double age_unit_ns) noexcept {
  if (std::isinf(priority)) return priority < 0 ? -infinite_offset : infinite_offset;
  return static_cast<std::int64_t>(std::clamp(priority * age_unit_ns, -finite_limit, finite_limit));
}

std::span<const PolicyKind> all_policies() noexcept { return kinds; }

std::unique_ptr<Policy> make_policy(PolicyKind kind, const PolicyOptions& options) {
  if (options.age_unit.count() <= 0) throw std::invalid_argument("age_unit must be longer than zero");
  for (const Listed& policy : policies_listed) {
    if (policy.kind == kind) return policy.make(options);
  }
  throw std::invalid_argument("unknown policy kind");
}

std::string_view to_string(PolicyKind kind) noexcept {
  for (const Listed& policy : policies_listed) {
    if (policy.kind == kind) return policy.name;
  }
  return "unknown";
}

PolicyKind policy_from_name(std::string_view name) {
  std::string known;
  for (const Listed& policy : policies_listed) {
    if (policy.name == name) return policy.kind;
    known.append(known.empty() ? "" : ", ").append(policy.name);
  }
  throw std::invalid_argument("unknown policy '" + std::string(name) + "'; one of: " + known);
}

}  // namespace heirloop
