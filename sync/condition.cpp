#include <heirloop/sync/condition.hpp>

#include <exception>

namespace heirloop {

/// The first wait: for a notify, and from then on for the lock.
class PriorityCondition::Notified final : public PriorityLock::Waiter {
 public:
  explicit Notified(PriorityCondition& condition) noexcept
      : Waiter(condition.lock_), condition_(condition) {}

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) {
    condition_.lock_.release();  // first: the place in the queue is by the urgency without what the lock's waiters lent
    wait_in(condition_.waiters_, frame);
  }
  void await_resume() const { waited(); }

  /// Before the notify nothing is owed. After it the lock will be handed over, and is wanted in any case.
  AbortResult abort() noexcept override {
    return ends_when_withdrawn() ? AbortResult::done : AbortResult::pending;
  }
  bool ends_when_withdrawn() const noexcept override { return node_.queue() == &condition_.waiters_; }
  std::string describe() const override {
    return node_.queue() == &condition_.waiters_ ? "a notify" : condition_.lock_.describe() + " after a notify";
  }

 private:
  PriorityCondition& condition_;
};

/// The lock again, after the wait for the notify was withdrawn. Comes what may, it ends with the lock.
class PriorityCondition::Retake final : public PriorityLock::Waiter {
 public:
  using Waiter::Waiter;

  bool await_ready() const noexcept {
    if (lock_.locked()) return false;
    lock_.take(*detail::this_thread.task);
    return true;
  }
  void await_suspend(std::coroutine_handle<> frame) { wait_in(lock_.waiters(), frame); }
  void await_resume() const {
    if (has_waited()) Loop::resumed();  // whether the owner died is seen by who still does not hold the lock
  }

  AbortResult abort() noexcept override { return AbortResult::pending; }
  bool ends_when_withdrawn() const noexcept override { return false; }
  std::string describe() const override { return lock_.describe() + " again"; }
};

void PriorityCondition::check_held(const char* what) const {
  if (!lock_.held_by_current_task()) {
    throw InvalidStateError(std::string(what) + " needs " + lock_.describe() + " to be held by the current task");
  }
}

Coro<void> PriorityCondition::wait() {
  check_held("waiting for a notify");
  PriorityLock& lock = lock_;  // after the notify the condition may end
  const std::uint64_t turn = lock.turn_;  // the caller's guard stands for it, now and afterwards
  std::exception_ptr withdrawn;
  try {
    Notified notified(*this);
    co_await notified;
  } catch (...) {
    withdrawn = std::current_exception();
  }
  if (!withdrawn) {
    lock.turn_ = turn;
    co_return;
  }
  while (!lock.held_by_current_task()) {
    try {
      Retake retake(lock);
      co_await retake;
    } catch (const DeadlockError&) {
      throw;  // the lock's holder waits for this task: neither could ever go on
    } catch (...) {
      withdrawn = std::current_exception();  // a later interrupt replaces the first
    }
  }
  lock.turn_ = turn;
  std::rethrow_exception(withdrawn);
}

std::size_t PriorityCondition::notify(std::size_t n) {
  check_held("notifying");
  std::size_t notified = 0;
  for (; notified < n && !waiters_.empty(); ++notified) move_to_queue(*waiters_.next(), lock_.waiters());
  return notified;
}

}  // namespace heirloop
