// The order of ready entries, as a seam: what a policy is. Each policy is one file in sched/policies/.
//
// Owns: the map from what a task demands to its urgency, and from urgency and time to an integer key; the smallest key
// runs first. Asked when an urgency is set or a level opens, by waiter queues, and now and then by the loop; never in the
// path of a switch, unless the policy divides the processor among groups.
//
// 1. key(urgency, time) = offset(urgency), plus the time of becoming ready when `keyed_by_time()`.
// 2. Entries of one level have one offset, so that arrival order is key order within a level.
// 3. `more_urgent` (priority.hpp) decides inheritance under every policy; it looks at the urgency that the policy made.
// 4. Nothing else knows which policy there is: inheritance, positions and introspection are the same under all.
//
// A policy of your own: derive from Policy, implement `name`, `keyed_by_time` and `offset`, and give it to
// RuntimeOptions::custom_policy (or to `set_policy` of a running loop). The shared suite in
// tests/sched/policy_suite_test.cpp has one as an example.
#pragma once

#include <bit>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <heirloop/sched/priority.hpp>

namespace heirloop {

class Driver;
class Entry;
class GroupTree;
class ReadyQueue;

/// What a task asks of the scheduler; every task has it, whatever the policy makes of it.
struct Demand {
  static constexpr std::int64_t no_deadline = std::int64_t{1} << 61;

  double priority = priority::normal;
  std::int64_t deadline_ns = no_deadline;  ///< of the loop's clock
  SchedulingGroup* group = nullptr;        ///< null: the root
};

/// Which entries share a ring: those whose offsets are equal, and between whom only arrival decides.
struct LevelId {
  std::int64_t rank = 0;
  std::int64_t priority_bits = 0;
  friend constexpr bool operator==(const LevelId&, const LevelId&) noexcept = default;
};

/// How a policy divides the processor among groups (SchedulingGroup::index).
class Division {
 public:
  static constexpr std::size_t nobody = ~std::size_t{0};

  virtual ~Division() = default;

  /// The first entry of a group that had none ready.
  virtual void group_ready(std::size_t group) noexcept = 0;

  /// The group that `choose` gave has no entry any more.
  virtual void group_empty(std::size_t group) noexcept = 0;

  /// Whose entry runs next, among the groups that are ready; `nobody` when none is. Asked for each step, which it may
  /// count or time, unless it `keeps`.
  virtual std::size_t choose(const ReadyQueue& queue) noexcept = 0;

  /// True after a choice that stands until another group becomes ready, or `maintain` asks the queue to `choose_again`.
  virtual bool keeps() const noexcept { return false; }

  /// True when an entry of another group should run before the one of `running` goes on.
  virtual bool gives_way(std::size_t running) const noexcept = 0;

  /// The order in which `choose` would go through so many entries of each group if all steps were equally long; for
  /// introspection. Allocates.
  virtual std::vector<std::size_t> forecast(std::span<const std::size_t> ready, const ReadyQueue& queue) const = 0;
};

class Policy {
 public:
  virtual ~Policy() = default;

  virtual std::string_view name() const noexcept = 0;

  // ---- the key ----

  virtual bool keyed_by_time() const noexcept = 0;

  /// Nanoseconds, between -2^61 and 2^61, when keyed by time; else anything but the smallest and the largest integer.
  virtual std::int64_t offset(const Urgency& urgency) const noexcept = 0;

  /// What waiting tasks lend and are compared by; priority alone unless overridden.
  virtual Urgency urgency(const Demand& demand) const noexcept { return {.priority = demand.priority}; }

  /// By default each priority of each rank is a level.
  virtual LevelId level(const Urgency& urgency) const noexcept {
    return {urgency.rank, std::bit_cast<std::int64_t>(urgency.priority)};
  }

  /// Between levels of equal key the more urgent priority runs first; false: order of arrival alone.
  virtual bool priority_breaks_ties() const noexcept { return true; }

  std::int64_t key(const Urgency& urgency, std::int64_t time_ns) const noexcept {
    return (keyed_by_time() ? time_ns : 0) + offset(urgency);
  }

  // ---- what most policies leave as it is ----

  /// Before the first question: the loop's clock and groups. Not called for a queue without a loop.
  virtual void attach([[maybe_unused]] Driver& clock, [[maybe_unused]] const GroupTree& groups) {}

  /// At least once in `Loop::refresh_interval` steps: may re-key entries with `ReadyQueue::rekey`.
  virtual void maintain([[maybe_unused]] ReadyQueue& queue) {}

  /// Non-null: entries stand by groups, and this chooses among them; keys decide within a group.
  virtual Division* division() noexcept { return nullptr; }
};

struct PolicyOptions {
  std::chrono::nanoseconds age_unit = std::chrono::milliseconds(100);  ///< waiting worth one unit of priority
  std::uint64_t seed = 1;                                              ///< of `boost`'s random numbers
};

/// How the next ready entry is chosen.
enum class PolicyKind {
  fifo,    ///< in order of becoming ready; priority decides nothing
  strict,  ///< the most urgent first, always; can starve
  aging,   ///< the most urgent first, but waiting counts: `age_unit` of waiting is worth one unit of priority
  boost,   ///< strict, with random promotion of those who wait long; no bound; to compare
  edf,     ///< the earliest deadline first, then priority; who has no deadline comes behind, by priority; can starve
  shares,  ///< the processor divided among groups by weight, latency targets first; aging within a group
};

/// All of them, in the order above.
std::span<const PolicyKind> all_policies() noexcept;

/// Errors: std::invalid_argument when `age_unit` is not positive.
std::unique_ptr<Policy> make_policy(PolicyKind kind, const PolicyOptions& options = {});

std::string_view to_string(PolicyKind kind) noexcept;

/// Errors: std::invalid_argument that lists the names, for an unknown one.
PolicyKind policy_from_name(std::string_view name);

}  // namespace heirloop
