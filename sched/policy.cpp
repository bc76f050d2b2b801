#include <heirloop/sched/policy.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string>

namespace heirloop {
namespace {

constexpr std::int64_t finite_limit = std::int64_t{1} << 60;
constexpr std::int64_t infinite_offset = std::int64_t{1} << 61;

class Fifo final : public Policy {
 public:
  std::string_view name() const noexcept override { return "fifo"; }
  bool keyed_by_time() const noexcept override { return true; }
  std::int64_t offset(const Urgency&) const noexcept override { return 0; }
  std::int64_t level(const Urgency&) const noexcept override { return 0; }
};

class Strict final : public Policy {
 public:
  std::string_view name() const noexcept override { return "strict"; }
  bool keyed_by_time() const noexcept override { return false; }
  bool key_is_urgency() const noexcept override { return true; }

  /// The bits of an IEEE double, as a signed integer, in the order of the doubles.
  std::int64_t offset(const Urgency& urgency) const noexcept override {
    const auto bits = std::bit_cast<std::int64_t>(urgency.priority);
    return bits >= 0 ? bits : std::int64_t{-1} - (bits & std::int64_t{0x7fff'ffff'ffff'ffff});
  }
};

class Aging final : public Policy {
 public:
  explicit Aging(std::chrono::nanoseconds age_unit) : age_unit_ns_(static_cast<double>(age_unit.count())) {}

  std::string_view name() const noexcept override { return "aging"; }
  bool keyed_by_time() const noexcept override { return true; }

  std::int64_t offset(const Urgency& urgency) const noexcept override {
    if (std::isinf(urgency.priority)) return urgency.priority < 0 ? -infinite_offset : infinite_offset;
    const double limit = static_cast<double>(finite_limit);
    return static_cast<std::int64_t>(std::clamp(urgency.priority * age_unit_ns_, -limit, limit));
  }

 private:
  double age_unit_ns_;
};

struct Named {
  PolicyKind kind;
  std::string_view name;
};
constexpr std::array<Named, 3> policies{{{PolicyKind::fifo, "fifo"},
                                         {PolicyKind::strict, "strict"},
                                         {PolicyKind::aging, "aging"}}};

}  // namespace

std::unique_ptr<Policy> make_policy(PolicyKind kind, std::chrono::nanoseconds age_unit) {
  switch (kind) {
    case PolicyKind::fifo:
      return std::make_unique<Fifo>();
    case PolicyKind::strict:
      return std::make_unique<Strict>();
    case PolicyKind::aging:
      if (age_unit.count() <= 0) throw std::invalid_argument("age_unit must be longer than zero");
      return std::make_unique<Aging>(age_unit);
  }
  throw std::invalid_argument("unknown policy kind");
}

std::string_view to_string(PolicyKind kind) noexcept {
  for (const Named& policy : policies) {
    if (policy.kind == kind) return policy.name;
  }
  return "unknown";
}

PolicyKind policy_from_name(std::string_view name) {
  std::string known;
  for (const Named& policy : policies) {
    if (policy.name == name) return policy.kind;
    known.append(known.empty() ? "" : ", ").append(policy.name);
  }
  throw std::invalid_argument("unknown policy '" + std::string(name) + "'; one of: " + known);
}

}  // namespace heirloop
