// Priorities and urgency.
//
// Owns: the scale on which tasks are compared. Called by everything.
//
// 1. A priority is a double; lower is more urgent. ±infinity is allowed, NaN never gets past `checked_priority`.
// 2. An urgency is what decides inheritance. It depends neither on time nor on what has run (DESIGN section 6).
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

namespace heirloop {

/// The named priorities. Any double between or beyond them may be used; lower is more urgent.
namespace priority {
inline constexpr double high = -10.0;
inline constexpr double normal = 0.0;
inline constexpr double low = 10.0;
inline constexpr double always_first = -std::numeric_limits<double>::infinity();
inline constexpr double when_idle = std::numeric_limits<double>::infinity();
}  // namespace priority

/// Refuses NaN and folds −0 into 0, so that equal priorities have equal bits.
/// Errors: std::invalid_argument for NaN.
inline double checked_priority(double value) {
  if (std::isnan(value)) throw std::invalid_argument("a priority must be a number, not NaN: lower is more urgent");
  return value + 0.0;  // −0 + 0 is +0
}

class SchedulingGroup;

/// What a waiter lends and an owner inherits, whole. A policy makes it of a task's `Demand` (policy.hpp).
struct Urgency {
  double priority = priority::normal;
  std::int64_t rank = 0;                   ///< before priority: a deadline under `edf`, a latency target under `shares`
  const SchedulingGroup* group = nullptr;  ///< who is charged, under `shares`; null elsewhere

  /// The urgency of a queue in which nobody waits: it never improves anything.
  static constexpr Urgency none() noexcept {
    return {priority::when_idle, std::numeric_limits<std::int64_t>::max(), nullptr};
  }

  constexpr bool is_none() const noexcept { return rank == std::numeric_limits<std::int64_t>::max(); }

  /// Equal priorities have equal bits.
  friend constexpr bool operator==(const Urgency& a, const Urgency& b) noexcept {
    return std::bit_cast<std::int64_t>(a.priority) == std::bit_cast<std::int64_t>(b.priority) && a.rank == b.rank &&
           a.group == b.group;
  }
};

namespace detail {
/// True when `a` has the larger share where the ways to the two groups part.
bool heavier(const SchedulingGroup* a, const SchedulingGroup* b) noexcept;
}  // namespace detail

/// True when `a` must run before `b` as far as urgency decides: rank, priority, share.
inline bool more_urgent(const Urgency& a, const Urgency& b) noexcept {
  if (a.rank != b.rank) [[unlikely]] return a.rank < b.rank;
  if (a.priority != b.priority) return a.priority < b.priority;
  return a.group != b.group && detail::heavier(a.group, b.group);
}

inline Urgency most_urgent(const Urgency& a, const Urgency& b) noexcept { return more_urgent(b, a) ? b : a; }

}  // namespace heirloop
