#include <heirloop/sched/task.hpp>

#include <algorithm>
#include <cstring>

#include <cxxabi.h>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/joining.hpp>
#include <heirloop/sched/loop.hpp>

namespace heirloop {

namespace detail {

bool handling_cancelled() noexcept {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr && *type == typeid(Cancelled);
}

void root_ended(std::coroutine_handle<> frame) noexcept {
  Task& task = *this_thread.task;
  task.resume_ = frame;
  task.state_ = TaskState::done;
}

void check_first_line() { Loop::resumed(); }

namespace {

// A name is stored behind its length in a pooled block.
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

void free_name(char* block) noexcept {
  if (block != nullptr) FramePool::deallocate(block, sizeof(std::uint32_t) + stored_name(block).size());
}

}  // namespace
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

Task::Task(Loop& loop, const Outcome& outcome, std::coroutine_handle<> root, const TaskOptions& options)
    : Entry(Kind::task),
      loop_(&loop),
      outcome_(&outcome),
      group_(options.group != nullptr ? options.group : Loop::creator_group()) {
  resume_ = root;
  if (options.deadline) deadline_ns_ = to_deadline_ns(*options.deadline);
  const Task* creator = detail::this_thread.task;
  if (creator != nullptr && !options.priority && creator->deadline_ns_ == deadline_ns_ && creator->group_ == group_) {
    base_ = creator->base_;
  } else {
    const double priority = options.priority ? checked_priority(*options.priority) : Loop::creator_priority();
    base_ = loop.policy().urgency({priority, deadline_ns_, group_});
  }
  if (!options.name.empty()) name_ = detail::store_name(options.name);
  if (creator != nullptr && creator->urgency() == base_) {
    ReadyQueue::copy_urgency(*this, *creator);
  } else {
    loop.ready().set_urgency(*this, base_);
  }
}

Task::~Task() {
  contract(joining_ == nullptr && holdings_ == nullptr, "a task that ends is awaited by nobody and owns nothing");
  detail::free_name(name_);
}

std::string Task::name() const {
  if (name_ != nullptr) return std::string(detail::stored_name(name_));
  return id_ == 0 ? "a task in its eager part" : "Task-" + std::to_string(id_);
}

void Task::last_reference_gone() noexcept {
  if (listed_as_unfetched_) loop_->forget_unfetched(*this);
  outcome_->destroy(*this);
}

void TaskList::push_front(Task& task) noexcept {
  task.before_ = nullptr;
  task.behind_ = first_;
  if (first_ != nullptr) first_->before_ = &task;
  first_ = &task;
}

void TaskList::erase(Task& task) noexcept {
  (task.before_ != nullptr ? task.before_->behind_ : first_) = task.behind_;
  if (task.behind_ != nullptr) task.behind_->before_ = task.before_;
  task.before_ = task.behind_ = nullptr;
}

Task* TaskList::behind(const Task& task) noexcept { return task.behind_; }

void TaskRef::set_name(std::string_view name) const {
  Loop::check_thread(task());
  char* stored = detail::store_name(name);
  detail::free_name(task().name_);
  task().name_ = stored;
}

void TaskRef::set_priority(double priority) const {
  const double checked = checked_priority(priority);
  Task& t = task();
  Loop::check_thread(t);
  set_base_urgency(t, t.loop().policy().urgency({checked, t.deadline_ns_, t.group_}));
}

std::optional<std::chrono::steady_clock::time_point> TaskRef::deadline() const {
  if (task().deadline_ns_ == Demand::no_deadline) return std::nullopt;
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(task().deadline_ns_));
}

void TaskRef::set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) const {
  Task& t = task();
  Loop::check_thread(t);
  if (t.done()) return;
  t.loop().count_deadline(t);
  t.deadline_ns_ = deadline ? to_deadline_ns(*deadline) : Demand::no_deadline;
  set_base_urgency(t, t.loop().policy().urgency({t.base_.priority, t.deadline_ns_, t.group_}));
}

void TaskRef::set_group(SchedulingGroup* group) const {
  Task& t = task();
  Loop::check_thread(t);
  t.group_ = group;
  set_base_urgency(t, t.loop().policy().urgency({t.base_.priority, t.deadline_ns_, t.group_}));
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
  // While the task does not run its wait is withdrawn already, so the cancel goes through.
  if (t.cancel_requests_ == 0 && t.state_ == TaskState::running && t.pending_ == Task::Pending::cancel) {
    t.pending_ = Task::Pending::nothing;
    t.pending_error_ = nullptr;
  }
  return t.cancel_requests_;
}

Task& TaskRef::done_task() const {
  Task& t = task();
  if (!t.done()) throw InvalidStateError(t.name() + " is not done: it has no result yet");
  return t;
}

void TaskRef::mark_fetched() const noexcept {
  Task& t = *task_;
  if (t.fetched_) return;
  t.fetched_ = true;
  if (t.outcome_error() != nullptr && !t.outcome_cancelled() && t.listed_as_unfetched_) {
    t.listed_as_unfetched_ = false;
    t.loop_->unfetched_.erase(t);
  }
}

std::exception_ptr TaskRef::exception() const {
  Task& t = done_task();
  mark_fetched();
  const std::exception_ptr* error = t.outcome_error();
  if (error == nullptr) return nullptr;
  if (t.outcome_cancelled()) std::rethrow_exception(*error);
  return *error;
}

// ---- awaiting a task ----

void JoinWait::await_suspend(std::coroutine_handle<> frame) {
  Task& awaited = *awaited_.get();
  Loop::check_thread(awaited);
  Loop& loop = awaited.loop();
  if (awaited.joining_ == nullptr) awaited.joining_ = new Joining(awaited);
  enter_queue(loop, node_, awaited.joining_->waiters());
  loop.block(*this, frame);
}

void JoinWait::joined() {
  if (task() != nullptr) Loop::resumed();
  awaited_.mark_fetched();
}

std::string JoinWait::describe() const { return "the end of " + awaited_.name(); }

}  // namespace heirloop
