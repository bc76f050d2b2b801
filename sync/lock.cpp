#include <heirloop/sync/lock.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop {

void PriorityLock::no_task() const { throw InvalidStateError(describe() + " can be acquired by tasks only"); }

std::optional<LockGuard> PriorityLock::try_acquire() {
  Task& task = checked_task();
  if (owner() != nullptr) return std::nullopt;
  take(task);
  return LockGuard(*this);
}

std::string PriorityLock::describe() const {
  return name_.empty() ? "an unnamed PriorityLock" : "PriorityLock '" + std::string(name_) + "'";
}

/// The elected owns the lock, and has inherited, before it is ready.
void PriorityLock::elect(WaitNode& node) noexcept {
  Wait& elected = node.wait();
  leave_queues(elected);
  take(*elected.task());
  elected.task()->loop().wake(elected);
}

void PriorityLock::owner_died(Holding&) noexcept {
  logger().error("{} ended while it held {}; {} waiting tasks get OwnerDied and the lock is free", owner()->name(),
                 describe(), waiter_count());
  unlink_holding(holding_);
  while (WaitNode* node = waiters().next()) {
    auto& wait = static_cast<Waiter&>(node->wait());
    wait.owner_died_ = true;
    wait.task()->loop().wake(wait);
  }
}

void LockGuard::drop_foreign() noexcept {
  logger().warn("a guard of {} is destroyed by a task that does not hold it", lock_->describe());
  // An owner that died has left the lock free or to another task; then there is nothing of ours to give back.
  if (lock_->owner() == owner_) lock_->hand_over();
}

void PriorityLock::Acquire::await_suspend(std::coroutine_handle<> frame) {
  if (yields_) return Loop::current().yield(frame);
  if (lock_.held_by_current_task()) {
    throw DeadlockError("waiting would never end: " + lock_.owner()->name() + " waits for " + describe());
  }
  Loop& loop = Loop::current();
  enter_queue(loop, node_, lock_.waiters());
  loop.block(*this, frame);
}

void PriorityLock::Waiter::finish() const {
  Loop::resumed();
  if (owner_died_) throw OwnerDied("the owner of " + lock_.describe() + " ended without releasing it");
}

AbortResult PriorityLock::Acquire::abort() noexcept {
  if (node_.queue() == nullptr && !owner_died_) lock_.hand_over();  // elected: the lock goes on to the next
  return AbortResult::done;
}

std::string PriorityLock::Acquire::describe() const {
  const Task* owner = lock_.owner();
  return lock_.describe() + (owner == nullptr ? std::string() : " held by " + owner->name());
}

}  // namespace heirloop
