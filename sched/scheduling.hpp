// Scheduling as an operation: who runs next is decided by the program, to the last position.
//
// Positions come before all priorities and promote nobody (DESIGN section 6): an entry put in at n runs when n others,
// and those put in before it later, have run, or as soon as no entry without a position is ready.
#pragma once

#include <coroutine>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <heirloop/sched/operations.hpp>

namespace heirloop {

namespace detail {

class InsertAwaiter {
 public:
  explicit InsertAwaiter(std::size_t position) noexcept : position_(position) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) const { Loop::current().yield_at(position_, frame); }
  void await_resume() const { Loop::resumed(); }

 private:
  std::size_t position_;
};

class SwitchAwaiter {
 public:
  SwitchAwaiter(TaskRef target, std::optional<std::size_t> position) noexcept
      : target_(std::move(target)), position_(position) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) const;
  void await_resume() const { Loop::resumed(); }

 private:
  TaskRef target_;
  std::optional<std::size_t> position_;
};

template <class T, class Way>
class StartAwaiter : public Way {
 public:
  template <class... Args>
  explicit StartAwaiter(PriorityTask<T> task, Args&&... args) : Way(std::forward<Args>(args)...), task_(std::move(task)) {}
  PriorityTask<T> await_resume() const {
    Way::await_resume();
    return task_;
  }

 private:
  PriorityTask<T> task_;
};

}  // namespace detail

/// Goes on when exactly `position` others have run, or as soon as nothing else is ready.
/// Suspends: always. Interrupt: nothing was registered. Cost: O(positional entries in front).
inline detail::InsertAwaiter sleep_insert(std::size_t position) { return detail::InsertAwaiter(position); }

/// A ready task runs after `position` others, instead of where it stands.
/// Errors: InvalidStateError when it is not ready, or on another thread. Cost: O(positional entries in front).
void task_reinsert(const TaskRef& task, std::size_t position);

/// The ready `task` runs next. The caller goes to the end of its own priority, or to `insert_pos`: 1 is right after the
/// task, 0 before it.
/// Suspends: always. Interrupt: the switch has taken place. Errors: as `task_reinsert`; nothing has changed then.
/// Cost: O(positional entries in front of `insert_pos`).
inline detail::SwitchAwaiter task_switch(TaskRef task, std::optional<std::size_t> insert_pos = std::nullopt) {
  return {std::move(task), insert_pos};
}

/// Depth first: starts a task and runs it up to its first suspension, then the caller goes on. Gives the task.
/// Suspends: always. Interrupt: the task is started and goes on. Errors: as `create_task`.
template <class T>
auto create_task_descend(Coro<T> coro, TaskOptions options = {}) {
  options.eager_start = false;
  const PriorityTask<T> task = create_task(std::move(coro), options);
  return detail::StartAwaiter<T, detail::SwitchAwaiter>(task, task, 1);
}

/// Breadth first: starts a task and goes to the end of the caller's priority. Gives the task.
/// Suspends: always. Interrupt: the task is started and goes on. Errors: as `create_task`.
template <class T>
auto create_task_start(Coro<T> coro, TaskOptions options = {}) {
  options.eager_start = false;
  return detail::StartAwaiter<T, detail::YieldAwaiter>(create_task(std::move(coro), options));
}

/// True when the task waits for something that has not come, or was taken out of the ready queue. False from the wake-up on.
inline bool task_is_blocked(const TaskRef& task) {
  return task.state() == TaskState::blocked || task.get()->is_taken_out();
}

/// True when the task stands in the ready queue, from the wake-up on; false for the one that runs.
inline bool task_is_runnable(const TaskRef& task) { return task.state() == TaskState::ready && task.get()->is_ready(); }

/// The ready tasks, in the order in which they would run. Cost: O(n log n); allocates.
std::vector<TaskRef> runnable_tasks();

/// The blocked tasks, last created first. all_tasks() = runnable ∪ blocked ∪ {running}. Cost: O(n); allocates.
std::vector<TaskRef> blocked_tasks();

/// From the next step on, entries run in the order of this policy. Errors and cost: as Loop::set_policy.
inline void set_policy(PolicyKind kind, const PolicyOptions& options = {}) {
  Loop::current().set_policy(make_policy(kind, options));
}

/// A group for the policy `shares`; lives as long as the loop. Errors: std::invalid_argument for a weight or a target out
/// of range.
inline SchedulingGroup& create_group(const GroupOptions& options) { return Loop::current().create_group(options); }

// ---- the ready queue ----

/// An entry that was taken out of the ready queue, to be put in again elsewhere. Dropped, it goes back to the end of its
/// priority, so that nothing is lost. A task that is cancelled or interrupted meanwhile is back already, at the
/// end of its priority or in front, and stays there.
class TakenEntry {
 public:
  TakenEntry() noexcept = default;
  TakenEntry(TakenEntry&& other) noexcept
      : entry_(std::exchange(other.entry_, nullptr)), task_(std::move(other.task_)), loop_(other.loop_) {}
  TakenEntry& operator=(TakenEntry&& other) noexcept {
    TakenEntry old(std::move(*this));
    entry_ = std::exchange(other.entry_, nullptr);
    task_ = std::move(other.task_);
    loop_ = other.loop_;
    return *this;
  }
  ~TakenEntry() { put_back(); }

  explicit operator bool() const noexcept { return entry_ != nullptr; }

  /// Empty for a handle.
  const TaskRef& task() const noexcept { return task_; }

 private:
  friend class ReadyTasks;
  TakenEntry(Loop& loop, Entry& entry);
  Entry* give() noexcept;  // null when somebody else has put it back
  Entry* give_to_insert();
  void put_back() noexcept;

  Entry* entry_ = nullptr;
  TaskRef task_;
  Loop* loop_ = nullptr;
};

/// One entry of the ready queue, as it stood when it was looked at.
struct ReadyItem {
  TaskRef task;                      ///< empty for a handle
  double effective_priority = 0;
  bool has_position = false;
};

/// The ready queue, as a program sees and changes it. Belongs to the loop's thread.
class ReadyTasks {
 public:
  explicit ReadyTasks(Loop& loop) noexcept : loop_(&loop) {}

  /// Tasks and handles.
  std::size_t size() const noexcept { return loop_->ready().size(); }
  bool empty() const noexcept { return size() == 0; }

  /// In the order in which they would run. Cost: O(n log n); allocates.
  std::vector<ReadyItem> items() const;

  /// The first, in that order, of which `wanted(item)` is true. Cost: as `items`.
  std::optional<ReadyItem> find(const std::function<bool(const ReadyItem&)>& wanted) const;

  /// Takes out the entry that would run next; empty when nothing is ready.
  TakenEntry pop();

  /// Takes out a ready task. Errors: InvalidStateError when it is not ready. Cost: O(1), O(log n) in the heap.
  TakenEntry remove(const TaskRef& task);

  // An entry that was taken out is put in again; nothing happens with an empty one.
  // Errors: InvalidStateError when its task has been woken meanwhile, by a cancel or a throw; it stays where it is then.

  /// To the end of its own priority.
  void append(TakenEntry entry);

  /// To the end of this priority, until it runs or its own changes. Errors: std::invalid_argument for NaN.
  void append_pri(TakenEntry entry, double priority);

  /// Runs after `position` others. Cost: O(positional entries in front).
  void insert(std::size_t position, TakenEntry entry);

  /// Sets the base priority of a task; as TaskRef::set_priority.
  void reschedule(const TaskRef& task, double priority) { task.set_priority(priority); }

  /// Every entry without a position stands again where its effective urgency and the time since which it is ready put it:
  /// undoes `append_pri` and promotions. Cost: O(n log n); allocates.
  void reschedule_all();

  /// Turns the order in which entries would run: n > 0 brings the last n to the front, n < 0 the first −n to the end. The
  /// entries moved have positions then. Cost: O(size log size + n · positional entries); allocates.
  void rotate(std::ptrdiff_t n);

  /// Runs `function` as a step of its own when `position` others have run.
  template <class F>
  CallHandle call_pos(std::size_t position, F&& function, const CallOptions& options = {}) {
    return loop_->call_pos(position, std::forward<F>(function), options);
  }

 private:
  Loop* loop_;
};

/// The current loop's. Errors: InvalidStateError outside a loop.
inline ReadyTasks ready_queue() { return ReadyTasks(Loop::current()); }

}  // namespace heirloop
