#include <heirloop/sched/future.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop::detail {

std::string FutureBase::describe() const {
  return owner_.owner == nullptr ? "a future" : "a future of " + owner_.owner->name();
}

void FutureBase::set_owner(const TaskRef& task) {
  heirloop::set_owner(owner_, task);
  if (done_ && owner_.owner != nullptr) unlink_holding(owner_);  // nobody waits any more
}

void FutureBase::owner_died(Holding& holding) noexcept {
  logger().error("{} ended and left {} without an outcome; {} waiting tasks get OwnerDied", holding.owner->name(), describe(),
                 waiters().size());
  unlink_holding(holding);
  while (WaitNode* node = waiters().next()) {
    auto& wait = static_cast<Wait&>(node->wait());
    wait.owner_died_ = true;
    wait.task()->loop().wake(wait);
  }
}

void FutureBase::check_not_done() const {
  if (done_) throw InvalidStateError("this future has its outcome already");
}

void FutureBase::set_done() noexcept {
  done_ = true;
  if (owner_.owner != nullptr) unlink_holding(owner_);
  while (WaitNode* node = waiters().next()) node->wait().task()->loop().wake(node->wait());
}

void FutureBase::Wait::await_suspend(std::coroutine_handle<> frame) {
  Loop& loop = Loop::current();
  enter_queue(loop, node_, future_.waiters());
  loop.block(*this, frame);
}

void FutureBase::Wait::await_resume() const {
  if (task() != nullptr) Loop::resumed();
  if (owner_died_) throw OwnerDied("the task that was to set the outcome of a future ended without it");
}

}  // namespace heirloop::detail
