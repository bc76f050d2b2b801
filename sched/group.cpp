#include <heirloop/sched/group.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace heirloop {
namespace {

std::size_t depth(const SchedulingGroup* group) noexcept {
  std::size_t steps = 0;
  for (; group->parent() != nullptr; group = group->parent()) ++steps;
  return steps;
}

}  // namespace

bool detail::heavier(const SchedulingGroup* a, const SchedulingGroup* b) noexcept {
  if (a == nullptr || b == nullptr) return false;
  const std::size_t depth_a = depth(a);
  const std::size_t depth_b = depth(b);
  const auto up = [](const SchedulingGroup* group, std::size_t steps) {
    for (; steps > 0; --steps) group = group->parent();
    return group;
  };
  const std::size_t common = std::min(depth_a, depth_b);
  const SchedulingGroup* above_a = up(a, depth_a - common);
  const SchedulingGroup* above_b = up(b, depth_b - common);
  if (above_a == above_b) {
    // One contains the other: its own tasks have weight 1 beside the child towards the other.
    if (depth_a < depth_b) return 1.0 >= up(b, depth_b - common - 1)->weight();
    return up(a, depth_a - common - 1)->weight() > 1.0;
  }
  while (above_a->parent() != above_b->parent()) {
    above_a = above_a->parent();
    above_b = above_b->parent();
  }
  if (above_a->weight() != above_b->weight()) return above_a->weight() > above_b->weight();
  return above_a->index() < above_b->index();
}

SchedulingGroup::SchedulingGroup(std::string name, double weight, SchedulingGroup* parent,
                                 std::int64_t latency_target_ns, std::size_t index)
    : name_(std::move(name)), weight_(weight), parent_(parent), latency_target_ns_(latency_target_ns), index_(index) {
  if (parent_ != nullptr) parent_->children_.push_back(this);
}

GroupTree::GroupTree() {
  groups_.push_back(std::make_unique<SchedulingGroup>("root", 1.0, nullptr, SchedulingGroup::no_target, 0));
}

SchedulingGroup& GroupTree::create(const GroupOptions& options) {
  if (!(options.weight > 0) || options.weight > std::numeric_limits<double>::max()) {
    throw std::invalid_argument("a group's weight must be positive and finite");
  }
  if (options.latency_target && options.latency_target->count() <= 0) {
    throw std::invalid_argument("a group's latency target must be longer than zero");
  }
  SchedulingGroup* parent = options.parent == nullptr ? &root() : options.parent;
  const std::size_t index = groups_.size();
  std::string name = options.name.empty() ? "Group-" + std::to_string(index) : std::string(options.name);
  const std::int64_t target = options.latency_target ? options.latency_target->count() : parent->latency_target_ns();
  groups_.reserve(index + 1);
  groups_.push_back(std::make_unique<SchedulingGroup>(std::move(name), options.weight, parent, target, index));
  return *groups_.back();
}

}  // namespace heirloop
