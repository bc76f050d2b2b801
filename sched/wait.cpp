#include <heirloop/sched/wait.hpp>

#include <heirloop/sched/policy.hpp>

namespace heirloop {
/// Somebody waits already, and from now on not all are of one urgency.
bool WaiterQueue::push_mixing(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept {
  if (!is_mixed()) become_mixed(policy);
  admit(node);
  number(node);
  push_mixed(node, urgency, policy);
  return lend_.top() == &node;
}

bool WaiterQueue::erase_mixed(WaitNode& node) noexcept {
  const bool was_best = lend_.top() == &node;
  hand_off_.erase(node);
  lend_.erase(node);
  first_ = hand_off_.top();
  return first_ == nullptr || (was_best && lend_.top()->urgency_ != node.urgency_);
}

bool WaiterQueue::reorder(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept {
  if (node.urgency() == urgency) return false;
  const Urgency before = best();
  if (!is_mixed()) {
    if (size_ == 1) {
      alike_ = urgency;
      return true;
    }
    become_mixed(policy);
  }
  node.urgency_ = urgency;
  node.key_ = policy.key(urgency, node.since_ns_);
  hand_off_.update(node);
  lend_.update(node);
  first_ = hand_off_.top();
  return best() != before;
}

bool WaiterQueue::would_be_next(const Urgency& urgency, std::int64_t now_ns, const Policy& policy) const noexcept {
  return first_ == nullptr || policy.key(urgency, now_ns) < policy.key(first_->urgency(), first_->since_ns_);
}

void WaiterQueue::become_mixed(const Policy& policy) noexcept {
  number();
  WaitNode* node = first_;
  first_ = last_ = nullptr;
  while (node != nullptr) {
    WaitNode* following = node->hand_off_.next;
    push_mixed(*node, alike_, policy);
    node = following;
  }
}

void WaiterQueue::push_mixed(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept {
  node.urgency_ = urgency;
  node.key_ = policy.key(urgency, node.since_ns_);
  hand_off_.push(node);
  lend_.push(node);
  first_ = hand_off_.top();
}

}  // namespace heirloop
