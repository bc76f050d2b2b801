#include <heirloop/sync/channel_core.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop::detail {

std::string ChannelCore::describe() const { return kind_and_name("Channel", name_); }

void ChannelCore::throw_closed() const { throw ChannelClosed(describe() + " is closed"); }

void ChannelCore::close() noexcept {
  closed_ = true;
  while (WaitNode* node = senders_.next()) elect(*node, ChannelOp::State::closed);
  settle();
}

void ChannelCore::elect(WaitNode& node, ChannelOp::State state) noexcept {
  Wait& wait = node.wait();
  static_cast<ChannelOp&>(node).state_ = state;
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
