// The end of a task as something that is waited for: the task owns it, so its awaiters lend it their urgency.
//
// Made (from recycled memory) when a task is first awaited before its end; ends with the task.
#pragma once

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/loop.hpp>

namespace heirloop {

class Joining final : public Resource, public detail::Pooled {
 public:
  explicit Joining(Task& awaited) noexcept : awaited_(awaited) {
    holding_.resource = this;
    link_holding(holding_, awaited);
  }

  /// The task has ended: all who wait for it become ready, in hand-off order.
  void ended(Loop& loop) noexcept {
    unlink_holding(holding_);
    while (WaitNode* node = waiters().next()) loop.wake(node->wait());
  }

  std::string describe() const override { return "the end of " + awaited_.name(); }
  void owner_died(Holding&) noexcept override {}

 private:
  Task& awaited_;
  Holding holding_;
};

}  // namespace heirloop
