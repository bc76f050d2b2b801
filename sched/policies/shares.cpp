// `shares`: the processor divided among nested groups by weight, with latency targets first; `aging` within a group.
//
// Each node of the tree has a virtual time: what it has used, divided by its weight. At each level the ready child with
// the smallest virtual time goes next, and what it uses is charged to it and to all above it (start-time fair queueing:
// Goyal, Vin and Cheng, 1996; in a tree as in Hierarchical FSC). A group that was idle begins at its parent's present
// virtual time, so that idling earns nothing, and what it leaves unused goes to its siblings.
//
// Reading a clock costs more than a step, so a group keeps the processor for a turn of about `turn_ns`, counted in steps
// of the length that its last turns had, and is charged by the clock at the end. Between two turns the shares are exact;
// in between they are off by at most one turn, or one step if that is longer. Where steps are so short that a turn has
// `longest_turn` of them, they are not counted: the turn ends with the next refresh of the loop's clock.
//
// A group with a latency target is taken as soon as it is ready, among several the one whose first entry has the earliest
// (ready time + target), and before all that is divided by shares. It is charged like the others, but not limited.
//
// Bound: none across groups with a latency target. Below them a ready group of weight w waits for at most the turns that
// its siblings get until their virtual times pass its own, and within the group the bound of `aging` holds in its own time.
#include <algorithm>

#include <heirloop/sched/driver.hpp>
#include <heirloop/sched/group.hpp>
#include <heirloop/sched/policies/policies.hpp>
#include <heirloop/sched/ready_queue.hpp>

namespace heirloop {
namespace {

class Shares final : public Policy, public Division {
 public:
  explicit Shares(std::chrono::nanoseconds age_unit) : age_unit_ns_(static_cast<double>(age_unit.count())) {}

  std::string_view name() const noexcept override { return "shares"; }
  bool keyed_by_time() const noexcept override { return true; }
  std::int64_t offset(const Urgency& urgency) const noexcept override {
    return policies::age_offset(urgency.priority, age_unit_ns_);
  }
  Urgency urgency(const Demand& demand) const noexcept override {
    const SchedulingGroup* group = demand.group;
    if (group == nullptr && groups_ != nullptr) group = &groups_->root();
    return {demand.priority, group == nullptr ? SchedulingGroup::no_target : group->latency_target_ns(), group};
  }
  void attach(Driver& clock, const GroupTree& groups) override {
    clock_ = &clock;
    groups_ = &groups;
  }
  Division* division() noexcept override { return this; }

  void group_ready(std::size_t group) noexcept override {
    if (group >= nodes_.size()) nodes_.resize(group + 1);
    nodes_[group].ready = true;
    activate(nodes_, group);
    if (has_target(group)) targets_.push_back(group);
  }

  void group_empty(std::size_t group) noexcept override {
    nodes_[group].ready = false;
    deactivate(nodes_, group);
    std::erase(targets_, group);
    if (group == turn_ && steps_left_ != 0) {
      steps_given_ -= std::min(steps_given_, steps_left_ + 1);  // the step that `choose` gave it has not been made
      steps_left_ = 0;
    }
  }

  std::size_t choose(const ReadyQueue& queue) noexcept override {
    if (!targets_.empty()) [[unlikely]] {
      begin_turn(most_pressing(queue), 1);
    } else if (steps_left_ == 0) {
      const std::size_t next = descend(nodes_);
      begin_turn(next, next == nobody ? 0 : nodes_[next].steps_per_turn);
      if (next == nobody) return nobody;
    }
    --steps_left_;
    return turn_;
  }

  bool keeps() const noexcept override { return steps_given_ == longest_turn && targets_.empty(); }

  void maintain(ReadyQueue& queue) override {
    if (!keeps()) return;
    steps_left_ = 0;
    queue.choose_again();
  }

  bool gives_way(std::size_t running) const noexcept override {
    return std::any_of(targets_.begin(), targets_.end(),
                       [&](std::size_t group) { return target(group) < target(running); });
  }

  std::vector<std::size_t> forecast(std::span<const std::size_t> ready, const ReadyQueue& queue) const override;

 private:
  static constexpr double turn_ns = 100'000;
  static constexpr unsigned longest_turn = 64;  // steps; as many as between two refreshes

  /// A group: as one of its parent's children, and its own tasks as one of its own children.
  struct Node {
    double virtual_time = 0;
    double own_virtual_time = 0;
    double now = 0;  // virtual time of the child that was chosen last
    unsigned active = 0;  // ready children, and 1 for its own tasks
    unsigned steps_per_turn = 1;
    bool ready = false;  // tasks of its own
  };
  using Nodes = std::vector<Node>;

  std::int64_t target(std::size_t group) const noexcept { return groups_->at(group).latency_target_ns(); }
  bool has_target(std::size_t group) const noexcept { return target(group) != SchedulingGroup::no_target; }

  void activate(Nodes& nodes, std::size_t group) const noexcept;
  void deactivate(Nodes& nodes, std::size_t group) const noexcept;
  void charge(Nodes& nodes, std::size_t group, double cost) const noexcept;
  std::size_t descend(Nodes& nodes) const noexcept;
  std::size_t most_pressing(const ReadyQueue& queue) const noexcept;
  void begin_turn(std::size_t group, unsigned steps) noexcept;

  double age_unit_ns_;
  Driver* clock_ = nullptr;
  const GroupTree* groups_ = nullptr;
  Nodes nodes_;
  std::vector<std::size_t> targets_;  // ready groups with a latency target

  std::size_t turn_ = nobody;
  unsigned steps_left_ = 0;
  unsigned steps_given_ = 0;
  std::int64_t turn_began_ns_ = 0;
};

void Shares::activate(Nodes& nodes, std::size_t group) const noexcept {
  nodes[group].own_virtual_time = std::max(nodes[group].own_virtual_time, nodes[group].now);
  for (const SchedulingGroup* at = &groups_->at(group); nodes[at->index()].active++ == 0 && at->parent() != nullptr;
       at = at->parent()) {
    Node& node = nodes[at->index()];
    node.virtual_time = std::max(node.virtual_time, nodes[at->parent()->index()].now);
  }
}

void Shares::deactivate(Nodes& nodes, std::size_t group) const noexcept {
  for (const SchedulingGroup* at = &groups_->at(group); at != nullptr && --nodes[at->index()].active == 0;) {
    at = at->parent();
  }
}

void Shares::charge(Nodes& nodes, std::size_t group, double cost) const noexcept {
  nodes[group].own_virtual_time += cost;
  for (const SchedulingGroup* at = &groups_->at(group); at->parent() != nullptr; at = at->parent()) {
    nodes[at->index()].virtual_time += cost / at->weight();
  }
}

/// From the root, each time to the ready child that is furthest behind.
std::size_t Shares::descend(Nodes& nodes) const noexcept {
  if (nodes.empty() || nodes[0].active == 0) return nobody;
  for (std::size_t at = 0;;) {
    Node& node = nodes[at];
    std::size_t best = nobody;
    double least = node.own_virtual_time;
    for (const SchedulingGroup* child : groups_->at(at).children()) {
      if (child->index() >= nodes.size() || nodes[child->index()].active == 0) continue;
      const double used = nodes[child->index()].virtual_time;
      if ((best == nobody && !node.ready) || used < least) {
        best = child->index();
        least = used;
      }
    }
    node.now = least;
    if (best == nobody) return at;
    at = best;
  }
}

std::size_t Shares::most_pressing(const ReadyQueue& queue) const noexcept {
  std::size_t best = targets_.front();
  std::int64_t earliest = std::numeric_limits<std::int64_t>::max();
  for (const std::size_t group : targets_) {
    const Entry* first = queue.first_of(group);
    if (first == nullptr) return group;  // it has gone: the queue will say so
    if (const std::int64_t due = first->ready_time_ns() + target(group); due < earliest) {
      earliest = due;
      best = group;
    }
  }
  return best;
}

/// Charges the turn that ends, and gives the next one so many steps.
void Shares::begin_turn(std::size_t group, unsigned steps) noexcept {
  const std::int64_t now = clock_->now_ns();
  if (turn_ != nobody) {
    const unsigned used = std::max(1U, steps_given_ - steps_left_);
    const double spent = std::max(static_cast<double>(now - turn_began_ns_), static_cast<double>(used));
    charge(nodes_, turn_, spent);
    nodes_[turn_].steps_per_turn =
        static_cast<unsigned>(std::clamp(turn_ns * used / spent, 1.0, static_cast<double>(longest_turn)));
  }
  turn_ = group;
  turn_began_ns_ = now;
  steps_left_ = steps_given_ = steps;
}

std::vector<std::size_t> Shares::forecast(std::span<const std::size_t> ready, const ReadyQueue& queue) const {
  std::vector<std::size_t> left(ready.begin(), ready.end());
  std::vector<std::size_t> order;
  const auto take = [&](std::size_t group) {
    order.push_back(group);
    return --left[group] == 0;
  };
  std::vector<std::size_t> pressing = targets_;
  std::sort(pressing.begin(), pressing.end(), [&](std::size_t a, std::size_t b) {
    const Entry* first_a = queue.first_of(a);
    const Entry* first_b = queue.first_of(b);
    if (first_a == nullptr || first_b == nullptr) return first_b == nullptr && first_a != nullptr;
    return first_a->ready_time_ns() + target(a) < first_b->ready_time_ns() + target(b);
  });
  for (const std::size_t group : pressing) {
    while (left[group] != 0 && !take(group)) {
    }
  }
  Nodes nodes = nodes_;
  for (std::size_t group = 0; group < nodes.size(); ++group) {
    if (nodes[group].ready && left[group] == 0) {
      nodes[group].ready = false;
      deactivate(nodes, group);
    }
  }
  for (;;) {
    const std::size_t group = descend(nodes);
    if (group == nobody) return order;
    charge(nodes, group, 1);
    if (take(group)) {
      nodes[group].ready = false;
      deactivate(nodes, group);
    }
  }
}

}  // namespace

std::unique_ptr<Policy> policies::make_shares(const PolicyOptions& options) {
  return std::make_unique<Shares>(options.age_unit);
}

}  // namespace heirloop
