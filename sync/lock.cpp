#include <heirloop/sync/lock.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop {

namespace {
constexpr const char* kind = "PriorityLock";
}

std::optional<LockGuard> PriorityLock::try_acquire() {
  Task& task = detail::checked_task(*this);
  if (owner() != nullptr) return std::nullopt;
  take(task);
  return LockGuard(*this);
}

std::string PriorityLock::describe() const { return detail::kind_and_name(kind, name_); }

/// The elected owns the lock, and has inherited, before it is ready.
void PriorityLock::hand_over_to_next() noexcept {
  turn_ = ++turns_;
  heirloop::hand_over(*this, holding_);
}

void PriorityLock::owner_died(Holding&) noexcept {
  logger().error("{} ended while it held {}; {} waiting tasks get OwnerDied and the lock is free", owner()->name(),
                 describe(), waiter_count());
  turn_ = 0;
  unlink_holding(holding_);
  detail::Waiter::owner_died(waiters(), {kind, name_});
}

void LockGuard::drop_foreign() noexcept {
  logger().warn("a guard of {} is destroyed by a task that does not hold it", lock_->describe());
  // An owner that died has left the lock free or to another task; then there is nothing of ours to give back.
  if (*this) lock_->hand_over();
}

AbortResult PriorityLock::Acquire::abort() noexcept {
  if (handed_over()) lock_.hand_over();
  return AbortResult::done;
}

std::string PriorityLock::Acquire::describe() const {
  const Task* owner = lock_.owner();
  return lock_.describe() + (owner == nullptr ? std::string() : " held by " + owner->name());
}

}  // namespace heirloop
