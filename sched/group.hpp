// Groups of tasks among which the policy `shares` divides the processor.
//
// Owns: the tree of groups of one loop, and each group's place in the division. Made by `create_group`, named in
// TaskOptions, read by the policy and by the ready queue. Under every other policy groups decide nothing.
//
// 1. A group lives as long as its loop; its weight, parent and latency target never change.
// 2. Siblings share what their parent gets by their weights; a parent's own tasks count as one sibling of weight 1.
// 3. The share of a group without ready tasks goes to its siblings.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <heirloop/sched/priority.hpp>

namespace heirloop {

class SchedulingGroup;

struct GroupOptions {
  std::string_view name{};  ///< copied; empty: "Group-N"
  double weight = 1;        ///< beside its siblings; positive and finite
  SchedulingGroup* parent = nullptr;  ///< null: the root, in which tasks without a group are
  /// The group's ready tasks come before all that is divided by shares, earliest (ready time + target) first: for short
  /// work that must be answered in this time. What it uses is not limited.
  std::optional<std::chrono::nanoseconds> latency_target{};
};

class SchedulingGroup {
 public:
  static constexpr std::int64_t no_target = std::numeric_limits<std::int64_t>::max() / 2;

  SchedulingGroup(std::string name, double weight, SchedulingGroup* parent, std::int64_t latency_target_ns,
                  std::size_t index);
  SchedulingGroup(const SchedulingGroup&) = delete;
  SchedulingGroup& operator=(const SchedulingGroup&) = delete;

  const std::string& name() const noexcept { return name_; }
  double weight() const noexcept { return weight_; }
  SchedulingGroup* parent() const noexcept { return parent_; }
  const std::vector<SchedulingGroup*>& children() const noexcept { return children_; }

  /// Its own, or the nearest ancestor's; `no_target`, ns.
  std::int64_t latency_target_ns() const noexcept { return latency_target_ns_; }

  /// Position among the loop's groups, in order of creation; the root is 0.
  std::size_t index() const noexcept { return index_; }

 private:
  std::string name_;
  double weight_;
  SchedulingGroup* parent_;
  std::int64_t latency_target_ns_;
  std::size_t index_;
  std::vector<SchedulingGroup*> children_;
};

/// The groups of one loop.
class GroupTree {
 public:
  GroupTree();

  SchedulingGroup& root() const noexcept { return *groups_.front(); }
  std::size_t size() const noexcept { return groups_.size(); }
  SchedulingGroup& at(std::size_t index) const noexcept { return *groups_[index]; }

  /// Errors: std::invalid_argument for a weight that is not positive and finite, or a target that is not positive.
  SchedulingGroup& create(const GroupOptions& options);

 private:
  std::vector<std::unique_ptr<SchedulingGroup>> groups_;
};

}  // namespace heirloop
