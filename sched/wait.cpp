#include <heirloop/sched/wait.hpp>

#include <heirloop/sched/policy.hpp>

namespace heirloop {
namespace {
std::uint64_t next_arrival() noexcept {
  static thread_local std::uint64_t arrivals = 0;
  return ++arrivals;
}
}  // namespace

void WaiterQueue::push(WaitNode& node, const Urgency& urgency, std::int64_t now_ns, const Policy& policy) noexcept {
  node.since_ns_ = now_ns;
  node.arrival_ = next_arrival();
  push_again(node, urgency, policy);
}

void WaiterQueue::push_again(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept {
  node.queue_ = this;
  node.urgency_ = urgency;
  ++size_;
  if (!mixed_ && first_ != nullptr && first_->urgency_ != urgency) become_mixed(policy);
  if (mixed_) {
    push_mixed(node, policy);
    return;
  }
  node.hand_off_ = {nullptr, nullptr, last_};
  (last_ != nullptr ? last_->hand_off_.next : first_) = &node;
  last_ = &node;
}

void WaiterQueue::erase(WaitNode& node) noexcept {
  node.queue_ = nullptr;
  --size_;
  if (mixed_) {
    hand_off_.erase(node);
    lend_.erase(node);
    first_ = hand_off_.top();
    if (first_ == nullptr) mixed_ = false;
    return;
  }
  auto& hook = node.hand_off_;
  (hook.prev != nullptr ? hook.prev->hand_off_.next : first_) = hook.next;
  (hook.next != nullptr ? hook.next->hand_off_.prev : last_) = hook.prev;
  hook = {};
}

void WaiterQueue::reorder(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept {
  if (node.urgency_ == urgency) return;
  if (!mixed_ && size_ > 1) become_mixed(policy);
  node.urgency_ = urgency;
  if (!mixed_) return;
  node.key_ = policy.key(urgency, node.since_ns_);
  hand_off_.update(node);
  lend_.update(node);
  first_ = hand_off_.top();
}

void WaiterQueue::become_mixed(const Policy& policy) noexcept {
  mixed_ = true;
  WaitNode* node = first_;
  first_ = last_ = nullptr;
  while (node != nullptr) {
    WaitNode* following = node->hand_off_.next;
    push_mixed(*node, policy);
    node = following;
  }
}

void WaiterQueue::push_mixed(WaitNode& node, const Policy& policy) noexcept {
  node.key_ = policy.key(node.urgency_, node.since_ns_);
  hand_off_.push(node);
  lend_.push(node);
  first_ = hand_off_.top();
}

}  // namespace heirloop
