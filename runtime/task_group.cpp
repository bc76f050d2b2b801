#include <heirloop/runtime/task_group.hpp>

#include <algorithm>

#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// A task's membership: the group's share that it holds until it ends.
struct TaskGroup::Member : Holding, detail::Pooled {
  Member* older = nullptr;
  Member* newer = nullptr;
};

/// The wait for the last child.
class TaskGroup::End final : public detail::Waiter {
 public:
  explicit End(TaskGroup& group) noexcept : group_(group) {}

  bool await_ready() const noexcept { return group_.size_ == 0; }
  void await_suspend(std::coroutine_handle<> frame) { suspend(group_.waiters(), frame); }
  void await_resume() const { waited(); }
  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return group_.describe(); }

 private:
  TaskGroup& group_;
};

std::string TaskGroup::describe() const {
  return "a group of " + cancel_body_.task().name() + " with " + std::to_string(size_) + (size_ == 1 ? " task" : " tasks");
}

void TaskGroup::check_open() const {
  if (closed_) throw InvalidStateError("this group takes no more tasks: it is over, or cancels those that it has");
}

void TaskGroup::add(Task& task) {
  if (task.done()) return child_ended(task);
  auto* member = new Member;
  member->resource = this;
  member->older = members_;
  if (members_ != nullptr) members_->newer = member;
  members_ = member;
  ++size_;
  link_holding(*member, task);
  if (closed_) task.loop().cancel(task, "its group cancels its tasks");  // in its eager part something failed
}

void TaskGroup::owner_died(Holding& holding) noexcept {
  auto* member = static_cast<Member*>(&holding);
  Task& task = *member->owner;
  unlink_holding(*member);
  (member->newer != nullptr ? member->newer->older : members_) = member->older;
  if (member->older != nullptr) member->older->newer = member->newer;
  delete member;
  --size_;
  child_ended(task);
  if (size_ == 0) detail::wake_all(waiters());
}

void TaskGroup::child_ended(Task& task) noexcept {
  const TaskRef child(&task);
  if (child.cancelled()) return;
  const std::exception_ptr error = child.exception();
  if (!error) return;
  failures_.push_back(error);
  if (!closed_) cancel("a task of the group has failed");
  if (!body_over_ && failures_.size() == 1) cancel_body_.send("a task of the group has failed");
}

void TaskGroup::cancel(const std::string& message) {
  closed_ = true;
  for (const Member* member = members_; member != nullptr; member = member->older) {
    Task& task = *member->owner;
    task.loop().cancel(task, message, &cancel_body_.task());
  }
}

/// They wait, directly or not, for the one who waits for them: what they await does not end by being cancelled.
void TaskGroup::free_members() {
  cancel("its group's owner would wait for it for ever");
  for (const Member* member = members_; member != nullptr; member = member->older) {
    Task& task = *member->owner;
    task.loop().set_cancelled(task, "its group's owner would wait for it for ever");
    // A condition's lock is wanted in any case: then its wait ends here, and taking the lock again is refused.
    if (task.state() == TaskState::blocked && !task.wait()->ends_when_withdrawn()) task.loop().wake(*task.wait());
  }
}

void TaskGroup::body_failed() noexcept {
  const std::exception_ptr error = std::current_exception();
  if (!detail::handling_cancelled()) {
    body_error_ = failures_.empty() ? error : nullptr;
    // A child's failure may come again, out of the body that awaits it.
    if (std::find(failures_.begin(), failures_.end(), error) == failures_.end()) failures_.push_back(error);
  } else if (!cancel_body_.take_back()) {
    cancelled_ = error;
  }
  if (!closed_) cancel("the body of the group has ended with an exception");
}

Coro<void> TaskGroup::children_end() {
  body_over_ = true;
  cancel_body_.take_back();
  while (size_ > 0) {
    try {
      End end(*this);
      co_await end;
    } catch (const DeadlockError&) {
      body_failed();
      free_members();
    } catch (...) {
      body_failed();
    }
  }
  closed_ = true;
}

void TaskGroup::rethrow() {
  if (body_error_ && failures_.size() == 1) std::rethrow_exception(body_error_);
  if (!failures_.empty()) throw ExceptionGroup("tasks of a group have failed", std::move(failures_));
  if (cancelled_) std::rethrow_exception(cancelled_);
}

}  // namespace heirloop
