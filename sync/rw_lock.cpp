#include <heirloop/sync/rw_lock.hpp>

namespace heirloop {

/// Somebody waits already.
bool RWLock::lets_pass(const Task& task) noexcept {
  admit();
  const Loop& loop = task.loop();
  return writer_ == nullptr && waiters().would_be_next(task.urgency(), loop.now_ns(), loop.policy());
}

std::optional<ReadGuard> RWLock::try_read() {
  Task& task = detail::checked_task(*this);
  if (!lets_read(task)) return std::nullopt;
  return ReadGuard(own(task));
}

std::optional<WriteGuard> RWLock::try_write() {
  Task& task = detail::checked_task(*this);
  if (!lets_write()) return std::nullopt;
  return WriteGuard(own_to_write(task));
}

/// All who go in leave the queue before the first of them owns a share: it need not inherit from those who go in with it.
void RWLock::admit() noexcept {
  Waiter* first = nullptr;
  Waiter** last = &first;
  while (WaitNode* node = waiters().next()) {
    auto& waiter = static_cast<Waiter&>(node->wait());
    if (writer_ != nullptr || (waiter.writes_ && (holdings() != nullptr || first != nullptr))) break;
    leave_queues(waiter);
    waiter.behind_ = nullptr;
    *last = &waiter;
    last = &waiter.behind_;
    if (waiter.writes_) break;
  }
  for (Waiter* waiter = first; waiter != nullptr; waiter = waiter->behind_) {
    const detail::Share& share = waiter->link();
    if (waiter->writes_) writer_ = &share;
    waiter->task()->loop().wake_left(*waiter);
  }
}

void RWLock::downgrade() noexcept {
  writer_ = nullptr;
  admit();
}

ReadGuard WriteGuard::downgrade() {
  check_owned();
  static_cast<RWLock&>(resource()).downgrade();
  return ReadGuard(std::move(share_));
}

}  // namespace heirloop
