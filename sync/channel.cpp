#include <heirloop/sync/channel_core.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop::detail {

void ChannelOp::throw_closed() const { throw ChannelClosed(what_.text() + " is closed"); }

void ChannelOp::throw_owner_died() const {
  throw OwnerDied("the owner of " + what_.text() + " ended while others waited to receive");
}

void ChannelCore::set_owner(const TaskRef& task) { heirloop::set_owner(owner_, task); }

/// Only the named owner: a sender uses its right, or gives it back, before its task ends.
void ChannelCore::owner_died(Holding& holding) noexcept {
  if (!waiters().empty()) {
    logger().error("{} ended while it owned {}; {} waiting receivers get OwnerDied", holding.owner->name(), describe(),
                   waiting_receivers());
  }
  unlink_holding(holding);
  while (WaitNode* node = waiters().next()) elect(*node, ChannelOp::State::owner_died);
}

void ChannelCore::close() noexcept {
  closed_ = true;
  while (WaitNode* node = senders_.next()) elect(*node, ChannelOp::State::closed);
  settle();
}

void ChannelCore::elect(WaitNode& node, ChannelOp::State state) noexcept {
  Wait& wait = node.wait();
  auto& op = static_cast<ChannelOp&>(node);
  op.state_ = state;
  if (state != ChannelOp::State::right) op.what_ = what_;
  wait.task()->loop().wake(wait);
}

void ChannelCore::settle_receivers() noexcept {
  while (!empty() && !waiters().empty()) {
    ++given_to_receivers_;
    elect(*waiters().next(), ChannelOp::State::right);
  }
  while (is_over() && !waiters().empty()) elect(*waiters().next(), ChannelOp::State::closed);
}

void ChannelCore::settle_senders() noexcept {
  while (has_room() && !senders_.empty()) {
    ++given_to_senders_;
    auto& op = static_cast<ChannelOp&>(*senders_.next());
    Wait& wait = op.wait();
    leave_queues(wait);
    op.hold_meanwhile(*wait.task());
    elect(op, ChannelOp::State::right);
  }
}

}  // namespace heirloop::detail
