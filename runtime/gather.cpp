#include <heirloop/runtime/gather.hpp>

#include <heirloop/sched/cancel.hpp>

namespace heirloop::detail {

std::string Gathering::describe() const {
  return "all of " + std::to_string(size()) + (size() == 1 ? " gathered task" : " gathered tasks");
}

void Gathering::member_ended(Task& task, bool) noexcept {
  if (task.failed() && !exceptions_are_outcomes_ && !failed_) failed_ = TaskRef(&task);
  if (is_over()) wake_all(waiters());
}

void Gathering::Wait::await_resume() const {
  waited();
  if (gathering_.cancelled_) throw *gathering_.cancelled_;
  if (!gathering_.failed_) return;
  const std::exception_ptr error = gathering_.failed_.exception();  // throws the Cancelled of a task that was cancelled
  std::rethrow_exception(error);
}

void Gathering::cancel_own(const std::string& message, const Task* sender) noexcept {
  for (const Member* member = newest(); member != nullptr; member = member->older) {
    if (member->own) member->owner->loop().cancel(*member->owner, message, sender);
  }
}

bool Gathering::Wait::forward(CancelWalk& walk) noexcept {
  bool asked = false;
  for (const Member* member = gathering_.newest(); member != nullptr; member = member->older) {
    asked |= walk.ask(*member->owner);
  }
  if (asked && !gathering_.cancelled_) gathering_.cancelled_ = walk.cancelled();
  return asked;
}

AbortResult Gathering::Wait::abort() noexcept {
  if (node().queue() == nullptr) return AbortResult::done;  // over already
  gathering_.let_go_of_foreign();
  gathering_.cancelled_.emplace("the gather that made this task was interrupted");
  gathering_.cancel_own(gathering_.cancelled_->message(), task());
  return gathering_.size() == 0 ? AbortResult::done : AbortResult::pending;
}

}  // namespace heirloop::detail
