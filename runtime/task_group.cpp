#include <heirloop/runtime/task_group.hpp>

#include <algorithm>

#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// The wait for the last child.
class TaskGroup::End final : public detail::Waiter {
 public:
  /// Not `looks`: a cycle that this wait closes has been reported.
  End(TaskGroup& group, bool looks) noexcept : group_(group), looks_(looks) {}

  bool await_ready() const noexcept { return group_.size() == 0; }
  void await_suspend(std::coroutine_handle<> frame) {
    if (looks_) return suspend(group_.waiters(), frame);
    Loop& loop = Loop::current();
    wait_where(loop, frame, [&] { stand_in_queue(loop, node_, group_.waiters()); });
  }
  void await_resume() const { waited(); }
  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return group_.describe(); }

 private:
  TaskGroup& group_;
  const bool looks_;
};

std::string TaskGroup::describe() const {
  return "a group of " + cancel_body_.task().name() + " with " + std::to_string(size()) + (size() == 1 ? " task" : " tasks");
}

void TaskGroup::check_open() const {
  if (detail::this_thread.drive != nullptr) throw InvalidStateError("no task can be awaited here, so that a group takes none");
  if (closed_) throw InvalidStateError("this group takes no more tasks: it is over, or cancels those that it has");
}

void TaskGroup::member_ended(Task& task, bool counts) noexcept {
  if (counts) child_ended(task);
  if (size() == 0) detail::wake_all(waiters());
}

void TaskGroup::count(const TaskRef& task) noexcept {
  if (task.done()) return child_ended(*task.get());
  Member* member = newest();
  while (member->owner != task.get()) member = member->older;
  member->own = true;
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
  for (const Member* member = newest(); member != nullptr; member = member->older) {
    member->owner->loop().cancel(*member->owner, message, &cancel_body_.task());
  }
}

/// They wait, directly or not, for the one who waits for them: what they await does not end by being cancelled. So their own
/// waits end, and those of the tasks that they have made and must see end first.
void TaskGroup::free_members() {
  const char* const why = "its group's owner would wait for it for ever";
  cancel(why);
  const auto end_wait = [&](Task& task) {
    task.loop().set_cancelled(task, Cancelled(why), Shield::scope_of(task));
    // A condition's lock is wanted in any case: then its wait ends here, and taking the lock again is refused.
    if (task.state() == TaskState::blocked && !task.wait()->ends_when_withdrawn()) task.loop().wake(*task.wait());
  };
  for (const Member* member = newest(); member != nullptr; member = member->older) {
    Task& task = *member->owner;
    end_wait(task);
    if (task.state() != TaskState::blocked) continue;
    for (const WaitNode* node = task.wait()->nodes(); node != nullptr; node = node->next_of_wait()) {
      const Resource* awaited = node->queue() != nullptr ? node->queue()->resource() : nullptr;
      if (awaited == nullptr) continue;
      for (const Holding* h = awaited->holdings(); h != nullptr; h = h->next_of_resource) {
        if (h->owner != &cancel_body_.task()) end_wait(*h->owner);
      }
    }
  }
}

namespace {
std::exception_ptr cause_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled& cancelled) {
    return cancelled.cause();
  }
}

/// Of no block: who sent it can't take it back, for it stands for others as well, and has their cause when it has none.
std::exception_ptr of_several(const std::exception_ptr& error, const std::exception_ptr& cause_of_others) {
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled& cancelled) {
    const std::exception_ptr& cause = cancelled.cause() != nullptr ? cancelled.cause() : cause_of_others;
    return std::make_exception_ptr(Cancelled(cancelled.message(), cause));
  }
}
}  // namespace

void TaskGroup::add_overtaken() {
  if (std::exception_ptr overtaken = cancel_body_.overtaken()) failures_.push_back(std::move(overtaken));
}

void TaskGroup::body_failed() noexcept {
  const std::exception_ptr error = std::current_exception();
  if (!detail::handling_cancelled()) {
    body_error_ = failures_.empty() ? error : nullptr;
    // A child's failure may come again, out of the body that awaits it.
    if (std::find(failures_.begin(), failures_.end(), error) == failures_.end()) failures_.push_back(error);
  } else {
    if (!cancel_body_.take_back()) cancelled_ = cancelled_ ? of_several(cancelled_, cause_of(error)) : error;
    add_overtaken();
  }
  if (!closed_) cancel("the body of the group has ended with an exception");
}

Coro<void> TaskGroup::children_end() {
  body_over_ = true;
  const bool was_pending = cancel_body_.is_pending();
  cancel_body_.take_back();
  if (was_pending && !cancel_body_.is_pending()) add_overtaken();  // with it the throw whose place it took
  bool looks = true;
  while (size() > 0) {
    try {
      End end(*this, looks);
      co_await end;
    } catch (const DeadlockError&) {
      body_failed();
      free_members();
      looks = false;  // until something comes: who still can't be freed is not reported again and again
    } catch (...) {
      body_failed();
      looks = true;
    }
  }
  closed_ = true;
}

/// The cancel that came from outside is not to be lost behind the failures: it comes again at the next suspension.
void TaskGroup::cancel_again() {
  if (!cancel_body_.others_have_cancelled()) return;  // it was the `Cancelled` of something awaited
  try {
    std::rethrow_exception(cancelled_);
  } catch (const Cancelled& cancelled) {
    cancel_body_.send_again(cancelled);
  }
}

void TaskGroup::rethrow() {
  if (cancelled_ && failures_.empty()) std::rethrow_exception(cancelled_);
  if (cancelled_) cancel_again();
  if (body_error_ && failures_.size() == 1) std::rethrow_exception(body_error_);
  if (!failures_.empty()) throw ExceptionGroup("tasks of a group have failed", std::move(failures_));
}

}  // namespace heirloop
