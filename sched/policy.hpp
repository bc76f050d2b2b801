// The order of ready entries.
//
// Owns: the map from urgency and time to an integer key; the smallest key runs first. Asked by the ready queue when an
// urgency is set or a level opens, and by waiter queues; never in the path of a switch.
//
// 1. key(urgency, time) = offset(urgency), plus the time of becoming ready when `keyed_by_time()`.
// 2. Entries of one level have one offset, so that arrival order is key order within a level.
// 3. `more_urgent` (priority.hpp) decides inheritance under every policy.
//
// The bound of `aging` (promise 2). Let p and q be priorities, P ready since t with key t + p·u, where u is `age_unit`
// in nanoseconds, and let Q become ready at s > t + (p − q)·u. Then key(Q) = s + q·u > t + p·u = key(P), and the queue
// runs the smaller key first. Keys don't change while an entry waits, except by inheritance, which can only make P's
// smaller. So no entry of priority q that became ready more than (p − q)·u after P runs before P; P waits for finitely
// many entries, one step each. t and s are readings of the loop's cached clock, which is refreshed by every harvest and
// wait and at least once in `Loop::refresh_interval` steps: that is the resolution. Offsets are clamped to ±2^60 ns
// (36 years) in double before the cast; the infinities lie outside all clamped values, at ±2^61, and key arithmetic
// can't overflow while time stays below 2^60.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include <heirloop/sched/priority.hpp>

namespace heirloop {

class Policy {
 public:
  virtual ~Policy() = default;

  virtual std::string_view name() const noexcept = 0;
  virtual bool keyed_by_time() const noexcept = 0;
  virtual std::int64_t offset(const Urgency& urgency) const noexcept = 0;

  /// Entries of equal level share a ring. By default each priority is a level.
  virtual std::int64_t level(const Urgency& urgency) const noexcept {
    return std::bit_cast<std::int64_t>(urgency.priority);
  }

  /// True when a smaller key always means at least the same urgency: waiter queues then keep one order, not two.
  virtual bool key_is_urgency() const noexcept { return false; }

  std::int64_t key(const Urgency& urgency, std::int64_t time_ns) const noexcept {
    return (keyed_by_time() ? time_ns : 0) + offset(urgency);
  }
};

/// How the next ready entry is chosen.
enum class PolicyKind {
  fifo,    ///< in order of becoming ready; priority decides nothing
  strict,  ///< the most urgent first, always; can starve
  aging,   ///< the most urgent first, but waiting counts: `age_unit` of waiting is worth one unit of priority
};

/// Errors: std::invalid_argument when `age_unit` is not positive.
std::unique_ptr<Policy> make_policy(PolicyKind kind, std::chrono::nanoseconds age_unit);

std::string_view to_string(PolicyKind kind) noexcept;

/// Errors: std::invalid_argument that lists the names, for an unknown one.
PolicyKind policy_from_name(std::string_view name);

}  // namespace heirloop
