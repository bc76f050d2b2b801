#include <heirloop/sched/task.hpp>

#include <algorithm>
#include <cstring>

#include <cxxabi.h>

#include <heirloop/sched/cancel.hpp>
#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/shield.hpp>

namespace heirloop {

namespace detail {

bool handling_cancelled() noexcept {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr && *type == typeid(Cancelled);
}

std::exception_ptr taken(std::exception_ptr& error) noexcept { return std::move(error); }

void root_failed() noexcept { this_thread.task->failed_ = true; }

void check_first_line() {
  this_thread.task->begun_ = true;
  Loop::resumed();
}

std::coroutine_handle<> leaf_frame(const Task& task) noexcept { return task.resume_; }

/// A name lies behind its length in a recycled block.
namespace {
char* store_name(std::string_view name) {
  const auto length = static_cast<std::uint32_t>(name.size());
  char* block = static_cast<char*>(FramePool::allocate(sizeof length + length));
  std::memcpy(block, &length, sizeof length);
  std::memcpy(block + sizeof length, name.data(), length);
  return block;
}

std::string_view stored_name(const char* block) noexcept {
  std::uint32_t length = 0;
  std::memcpy(&length, block, sizeof length);
  return {block + sizeof length, length};
}

void free_name(char* block) noexcept { FramePool::deallocate(block, sizeof(std::uint32_t) + stored_name(block).size()); }
}  // namespace

struct TaskExtras : Pooled {
  char* name = nullptr;
  CallbackList done_callbacks;
  std::exception_ptr cancel_behind;  // what is pending behind a throw
};

}  // namespace detail

static std::int64_t to_deadline_ns(std::chrono::steady_clock::time_point deadline) noexcept {
  const std::int64_t ns = std::chrono::nanoseconds(deadline.time_since_epoch()).count();
  return std::clamp(ns, -Demand::no_deadline + 1, Demand::no_deadline - 1);
}

std::string_view to_string(TaskState state) noexcept {
  switch (state) {
    case TaskState::created:
      return "created";
    case TaskState::ready:
      return "ready";
    case TaskState::running:
      return "running";
    case TaskState::blocked:
      return "blocked";
    case TaskState::done:
      return "done";
  }
  return "unknown";
}

std::string detail::place_of(const Task& task, std::string_view before) {
  if (!task.resume_) return {};
  const std::source_location& where = CoroPromiseBase::of(task.resume_).where;
  return std::string(before) + place_text(where);
}

Urgency Task::urgency_at(double priority) const noexcept {
  return loop_->policy().urgency({priority, deadline_ns_, group_});
}

void Task::apply(const TaskOptions& options) {
  group_ = options.group != nullptr ? options.group : Loop::creator_group();
  if (options.deadline) set_deadline(options.deadline);
  const double priority = options.priority ? checked_priority(*options.priority) : Loop::creator_priority();
  base_ = urgency_at(priority);
  if (!options.name.empty()) set_name(options.name);
  if (options.context.holder != nullptr) {
    context_.enter(*options.context.holder);
  } else {
    context_.copy_of_current();
  }
  loop_->ready().set_urgency(*this, base_);
}

std::string Task::name() const {
  const void* stored = has_extras_ ? static_cast<const detail::TaskExtras*>(extras_)->name : extras_;
  if (stored != nullptr) return std::string(detail::stored_name(static_cast<const char*>(stored)));
  return id_ == 0 ? "a task in its eager part" : "Task-" + std::to_string(id_);
}

void Task::set_name(std::string_view name) {
  char* stored = detail::store_name(name);
  void* old = has_extras_ ? std::exchange(static_cast<detail::TaskExtras*>(extras_)->name, stored) : std::exchange(extras_, stored);
  if (old != nullptr) detail::free_name(static_cast<char*>(old));
}

void Task::set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept {
  has_deadline_ = deadline.has_value();
  deadline_ns_ = deadline ? to_deadline_ns(*deadline) : Demand::no_deadline;
}

detail::TaskExtras& Task::make_extras() {
  if (!has_extras_) {
    auto* extras = new detail::TaskExtras();
    extras->name = static_cast<char*>(std::exchange(extras_, extras));
    has_extras_ = true;
  }
  return *static_cast<detail::TaskExtras*>(extras_);
}

void Task::free_extras() noexcept {
  void* name = extras_;
  if (has_extras_) {
    auto* extras = static_cast<detail::TaskExtras*>(extras_);
    name = extras->name;
    delete extras;
  }
  if (name != nullptr) detail::free_name(static_cast<char*>(name));
}

// ---- what comes from outside ----

bool Task::has_open_cancel() const noexcept {
  return pending_ == Pending::cancel || pending_ == Pending::passed_on ||
         (has_extras_ && static_cast<const detail::TaskExtras*>(extras_)->cancel_behind != nullptr);
}

/// Of several the first; a time limit's own gives way to any other.
void Task::note_passed_on(const Cancelled& cancelled) {
  if (pending_ == Pending::passed_on && pending_limit_ == nullptr) return;
  pending_limit_ = nullptr;
  pending_ = Pending::passed_on;
  pending_error_ = std::make_exception_ptr(cancelled);
}

void Task::put_throw_first(std::exception_ptr error) {
  if (pending_ == Pending::cancel || (pending_ == Pending::passed_on && !wait_->has_swallowed_cancel())) {
    make_extras().cancel_behind = std::move(pending_error_);
  }
  pending_ = Pending::thrown;
  pending_error_ = std::move(error);
}

void Task::drop_pending() noexcept {
  pending_limit_ = nullptr;
  pending_error_ = nullptr;
  if (has_extras_) pending_error_ = std::exchange(static_cast<detail::TaskExtras*>(extras_)->cancel_behind, nullptr);
  pending_ = pending_error_ != nullptr ? Pending::cancel : Pending::nothing;
}

void Task::forget_cancels() noexcept {
  if (pending_ == Pending::thrown) {
    if (has_extras_) static_cast<detail::TaskExtras*>(extras_)->cancel_behind = nullptr;
  } else if (pending_ == Pending::passed_on || state() == TaskState::running) {
    drop_pending();
  }
}

void Task::never_fetched() noexcept { loop_->forget_unfetched(*this); }

void TaskRef::set_name(std::string_view name) const {
  Loop::check_thread(task());
  task().set_name(name);
}

void TaskRef::set_priority(double priority) const {
  const double checked = checked_priority(priority);
  Task& t = task();
  Loop::check_thread(t);
  set_base_urgency(t, t.urgency_at(checked));
}

std::optional<std::chrono::steady_clock::time_point> TaskRef::deadline() const {
  if (!task().has_deadline_) return std::nullopt;
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(task().deadline_ns_));
}

void TaskRef::set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) const {
  Task& t = task();
  Loop::check_thread(t);
  if (t.done()) return;
  t.loop().count_deadline(t);
  t.set_deadline(deadline);
  set_base_urgency(t, t.urgency_at(t.base_.priority));
}

void TaskRef::set_group(SchedulingGroup* group) const {
  Task& t = task();
  Loop::check_thread(t);
  t.group_ = group;
  set_base_urgency(t, t.urgency_at(t.base_.priority));
}

bool TaskRef::cancel(std::string message) const {
  if (task().done()) return false;
  Loop::check_thread(task());
  return task().loop().cancel(task(), std::move(message));
}

unsigned TaskRef::uncancel() const {
  Task& t = task();
  Loop::check_thread(t);
  if (t.cancel_requests_ > 0) --t.cancel_requests_;
  if (t.shield_ != nullptr) Shield::take_one_back(t);
  if (t.cancel_requests_ == 0) t.forget_cancels();
  return t.cancel_requests_;
}

void TaskRef::not_done() const { throw InvalidStateError(task_->name() + " is not done: it has no result yet"); }

void TaskRef::unlist_as_unfetched() const noexcept {
  task_->listed_as_unfetched_ = false;
  task_->loop_->unfetched_.erase(*task_);
}

std::exception_ptr TaskRef::exception() const {
  Task& t = done_task();
  mark_fetched();
  const std::exception_ptr* error = t.outcome_error();
  if (error == nullptr) return nullptr;
  if (t.outcome_cancelled()) std::rethrow_exception(*error);
  return *error;
}

// ---- done callbacks ----

void Loop::call_when_done(Task& task, Callback& callback) {
  detail::CallbackList* callbacks = nullptr;
  try {
    callbacks = &task.make_extras().done_callbacks;
  } catch (...) {
    callback.dispose();
    throw;
  }
  if (!task.done()) return callbacks->push_back(callback);
  callbacks->adopt(callback);
  make_ready(callback);
}

void Loop::call_done_callbacks(Task& task) noexcept {
  make_all_ready(static_cast<detail::TaskExtras*>(task.extras_)->done_callbacks);
}

bool TaskRef::remove_done_callback(const CallHandle& handle) const {
  Task& t = task();
  Loop::check_thread(t);
  const Callback& callback = handle.callback();
  return t.has_extras_ && static_cast<detail::TaskExtras*>(t.extras_)->done_callbacks.has_had(callback) && handle.cancel();
}

// ---- awaiting a task ----

void JoinWait::await_suspend(std::coroutine_handle<> frame) {
  Task& awaited = *awaited_.get();
  Loop::check_thread(awaited);
  if (!join_alone(*this, node_, awaited)) return suspend_otherwise(frame);
  awaited.loop().block(*this, frame);
}

void JoinWait::suspend_otherwise(std::coroutine_handle<> frame) {
  Task& awaited = *awaited_.get();
  join(node_, awaited);
  awaited.loop().block(*this, frame);
}

bool JoinWait::forward(CancelWalk& walk) noexcept { return forwards_ && walk.ask(*awaited_.get()); }

std::string JoinWait::describe() const { return "the end of " + awaited_.name(); }

}  // namespace heirloop
