// Tasks and their handles.
//
// Owns: `Task` (identity, state, priority, pending exception, what it waits for and what it holds), `TaskRef` (a counted
// handle to any task) and `PriorityTask<T>` (one that knows the result).
//
//   created ──▶ ready ◀──▶ running ──▶ done
//                 ▲           │
//                 └─ blocked ◀┘
//
// 1. A blocked task has a Wait; a ready one stands in the ready queue, or has just been popped.
// 2. effective urgency = most urgent of the base priority, of the joiners and of the lending heap's top (inheritance.hpp
//    keeps it).
// 3. A task that is not done keeps itself alive; handles are counted without atomics and belong to the loop's thread.
// 4. The outcome lies in the task's block; the frame is freed as it ends.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <heirloop/sched/callback.hpp>
#include <heirloop/sched/context.hpp>
#include <heirloop/sched/coro.hpp>
#include <heirloop/sched/entry.hpp>
#include <heirloop/sched/policy.hpp>
#include <heirloop/sched/result.hpp>
#include <heirloop/sched/wait.hpp>

namespace heirloop {

class CancelWalk;
class CoroView;
class InterruptWait;
class Loop;
class Shield;
class Task;
class TimeLimit;

namespace detail {
class OwnCancel;
void end_lending(Holding& holding, Task& owner) noexcept;
void list_holding(Holding& holding, Task& owner) noexcept;
void unlist_holding(Holding& holding, Task& owner) noexcept;

/// What few tasks have.
struct TaskExtras;
}  // namespace detail

std::string_view to_string(TaskState state) noexcept;

namespace detail {
/// "file:line" of the await in which `task` waits, or of the one that the current task is beginning, behind `before`; empty when
/// unknown.
std::string place_of(const Task& task, std::string_view before = {});

/// The frame that runs or runs next; null of a task that is done.
std::coroutine_handle<> leaf_frame(const Task& task) noexcept;
}  // namespace detail

/// How `create_task` makes a task.
struct TaskOptions {
  std::string_view name{};               ///< copied; empty: "Task-N"
  std::optional<double> priority{};      ///< empty: the base priority of the creator, NORMAL outside tasks
  ContextView context{};                 ///< in which it runs; empty: a copy of the creator's
  std::optional<bool> eager_start{};     ///< run inside the call up to the first suspension; empty: as the loop does it
  /// By when it should have ended, of the loop's clock: decides under `edf`, is counted when missed under every policy.
  std::optional<std::chrono::steady_clock::time_point> deadline{};
  SchedulingGroup* group = nullptr;      ///< decides under `shares`; null: the group of the creator, the root outside tasks

  /// True when the task is to be like its creator; how it starts aside.
  bool asks_for_nothing() const noexcept {
    return name.empty() && !priority && !deadline && group == nullptr && context.holder == nullptr;
  }
};

/// A task's identity. Users hold it through `TaskRef` and `PriorityTask`.
class Task : public Entry {
 public:
  Loop& loop() const noexcept { return *loop_; }
  TaskState state() const noexcept { return standing_.state; }
  bool done() const noexcept { return state() == TaskState::done; }
  bool failed() const noexcept { return failed_; }  ///< ended with an exception, if only with `Cancelled`
  std::uint64_t id() const noexcept { return id_; }
  std::string name() const;
  double priority() const noexcept { return base_.priority; }
  bool inherits() const noexcept { return inherits_; }
  std::int64_t deadline_ns() const noexcept { return deadline_ns_; }
  SchedulingGroup* group() const noexcept { return group_; }
  Wait* wait() const noexcept { return wait_; }
  const Holding* holdings() const noexcept { return holdings_; }
  bool is_awaited() const noexcept { return !joiners_.empty(); }

  /// Taken out of the ready queue by the program, to be put in elsewhere; it counts as blocked meanwhile.
  bool is_taken_out() const noexcept { return state() == TaskState::ready && !is_ready(); }

 protected:
  /// What depends on the type of the result.
  struct Outcome {
    const std::exception_ptr* (*error)(const Task& task) noexcept;  // null: none
    bool (*cancelled)(const Task& task) noexcept;
    void (*destroy)(Task& task) noexcept;
  };

  Task(Loop& loop, const Outcome& outcome, std::coroutine_handle<> root, const TaskOptions& options);

  /// One that is like its creator.
  Task(Loop& loop, const Outcome& outcome, std::coroutine_handle<> root, const Task& creator) noexcept
      : Entry(root, creator), loop_(&loop), outcome_(&outcome), base_(creator.base_), group_(creator.group_) {
    context_.copy_of(creator.context_.word);
  }
  ~Task() {
    contract(joiners_.empty() && holdings_ == nullptr, "a task that ends is awaited by nobody and owns nothing");
    if (extras_ != nullptr) free_extras();
  }

 private:
  friend class Loop;
  friend class TaskRef;
  friend class TaskList;
  friend class JoinWait;
  friend class InterruptWait;
  friend struct Inheritance;
  friend struct DeadlockSearch;
  friend class TimeLimit;
  friend class Shield;
  friend class CancelWalk;
  friend class detail::OwnCancel;
  friend void detail::root_failed() noexcept;
  friend std::string detail::place_of(const Task& task, std::string_view before);
  friend void detail::check_first_line();
  friend class CoroView;
  friend std::coroutine_handle<> detail::leaf_frame(const Task& task) noexcept;
  friend void detail::list_holding(Holding& holding, Task& owner) noexcept;
  friend void detail::unlist_holding(Holding& holding, Task& owner) noexcept;
  friend void join(WaitNode& node, Task& awaited);
  friend bool join_alone(Wait& wait, WaitNode& node, Task& awaited) noexcept;
  friend void leave_queues(Wait& wait) noexcept;
  friend void detail::end_lending(Holding& holding, Task& owner) noexcept;
  friend detail::ContextWord& detail::current_context() noexcept;

  /// What the policy makes of this priority with the task's deadline and group.
  Urgency urgency_at(double priority) const noexcept;

  /// A child that asks for nothing else demands what this task does, and is as urgent.
  bool is_copied_by_children() const noexcept { return !has_deadline_ && !inherits_; }

  /// What the options ask for, where it is not all as in the creator.
  void apply(const TaskOptions& options);

  /// The block is given back; an exception that nobody has seen is logged before.
  [[gnu::noinline]] void last_reference_gone() noexcept {
    if (listed_as_unfetched_) [[unlikely]] never_fetched();
    outcome_->destroy(*this);
  }
  void never_fetched() noexcept;

  /// A cancel that has not been delivered, or answered by what the task awaits.
  bool has_open_cancel() const noexcept;

  /// The cancel has gone to what the task awaits.
  void note_passed_on(const Cancelled& cancelled);

  /// A throw comes before a cancel that is open, which is pending behind it.
  void put_throw_first(std::exception_ptr error);

  /// What is pending goes, and what was behind it is pending now.
  void drop_pending() noexcept;

  /// No request is left: a cancel that has not ended the task's wait is withdrawn.
  void forget_cancels() noexcept;

  void set_name(std::string_view name);
  void set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) noexcept;
  void free_extras() noexcept;
  detail::TaskExtras& make_extras();

  const std::exception_ptr* outcome_error() const noexcept { return outcome_->error(*this); }
  bool outcome_cancelled() const noexcept { return outcome_->cancelled(*this); }

  Loop* loop_;
  const Outcome* outcome_;
  std::uint32_t references_ = 2;  // one for itself until it is done, one for who makes it
  std::uint32_t cancel_requests_ : 20 = 0;
  bool begun_ : 1 = false;       // its first line has run
  bool registered_ : 1 = false;  // in all_tasks; an eager start enters after its first step
  bool collected_ : 1 = false;   // by the drop that is under way
  bool listed_ : 1 = false;      // in the worklist of inheritance
  // What few tasks have or are, so that one look tells that this one does not.
  bool failed_ : 1 = false;        // ended with an exception, if only with `Cancelled`
  bool has_extras_ : 1 = false;    // `extras_` is not the name alone
  bool has_deadline_ : 1 = false;
  bool inherits_ : 1 = false;      // its effective urgency is not its own; set where either is
  bool fetched_ : 1 = false;       // somebody has seen the exception
  bool listed_as_unfetched_ : 1 = false;
  bool asked_to_cancel_ : 1 = false;   // by the cancel that is on its way
  bool passes_cancel_on_ : 1 = false;  // and its wait had somewhere to send it
  Urgency base_;  // what the policy makes of its own demand
  std::int64_t deadline_ns_ = Demand::no_deadline;
  SchedulingGroup* group_ = nullptr;
  LendingHeap lending_;
  Holding* holdings_ = nullptr;
  Joiners joiners_;
  std::exception_ptr pending_error_;
  InterruptWait* interrupter_ = nullptr;
  TimeLimit* time_limits_ = nullptr;  // in whose blocks it is, innermost first
  void* extras_ = nullptr;  // pooled: the name, or TaskExtras when `has_extras_`; null: neither
  TimeLimit* pending_limit_ = nullptr;  // whose exception is pending
  Shield* shield_ = nullptr;            // in whose block it is, innermost
  std::uint64_t id_ = 0;
  detail::ContextSlot context_;
  // Set as it comes into the list.
  Task* before_;  // registry
  Task* behind_;
  Task* work_next_;   // worklist of inheritance
  Task* asked_next_;  // of those whom the cancel on its way has asked
};

/// Tasks linked through their registry fields; a task is in one such list at most.
class TaskList {
 public:
  Task* first() const noexcept { return first_; }
  static Task* behind(const Task& task) noexcept { return task.behind_; }

  void push_front(Task& task) noexcept {
    task.before_ = nullptr;
    task.behind_ = first_;
    if (first_ != nullptr) first_->before_ = &task;
    first_ = &task;
  }
  void erase(Task& task) noexcept {
    (task.before_ != nullptr ? task.before_->behind_ : first_) = task.behind_;
    if (task.behind_ != nullptr) task.behind_->before_ = task.before_;
  }

 private:
  Task* first_ = nullptr;
};

/// A counted handle to a task of any type. Copyable. Belongs to the loop's thread: what acts on the task throws
/// InvalidStateError on another.
class TaskRef {
 public:
  TaskRef() noexcept = default;
  explicit TaskRef(Task* task) noexcept : task_(task) { retain(); }

  /// Takes over the reference that `task` was made with.
  struct Made {};
  TaskRef(Task& task, Made) noexcept : task_(&task) {}
  TaskRef(const TaskRef& other) noexcept : task_(other.task_) { retain(); }
  TaskRef(TaskRef&& other) noexcept : task_(std::exchange(other.task_, nullptr)) {}
  TaskRef& operator=(TaskRef other) noexcept {
    std::swap(task_, other.task_);
    return *this;
  }
  [[gnu::always_inline]] ~TaskRef() {
    if (task_ != nullptr && --task_->references_ == 0) task_->last_reference_gone();
  }

  explicit operator bool() const noexcept { return task_ != nullptr; }
  Task* get() const noexcept { return task_; }
  friend bool operator==(const TaskRef& a, const TaskRef& b) noexcept { return a.task_ == b.task_; }

  bool done() const { return task().done(); }
  bool cancelled() const { return task().done() && task().outcome_cancelled(); }
  TaskState state() const { return task().state(); }
  std::string name() const { return task().name(); }
  void set_name(std::string_view name) const;

  double priority() const { return task().priority(); }
  double effective_priority() const { return task().urgency().priority; }

  /// Empty: none.
  std::optional<std::chrono::steady_clock::time_point> deadline() const;

  /// The next deadline, or none. One that has passed by now counts as missed.
  /// Errors: InvalidStateError on another thread. Cost: as `set_priority` under `edf`, else a store.
  void set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) const;

  /// Null: the root.
  SchedulingGroup* group() const { return task().group(); }

  /// Errors: InvalidStateError on another thread. Cost: as `set_priority` under `shares`, else a store.
  void set_group(SchedulingGroup* group) const;

  /// The task's coroutine, to look at (stack.hpp).
  CoroView get_coro() const;

  /// The context in which the task runs, not a copy.
  /// Errors: InvalidStateError on another thread. Cost: a recycled block the first time.
  Context context() const;

  /// Sets the base priority. What the task lends and inherits, and its place in every queue, are right on return.
  /// Errors: std::invalid_argument for NaN; InvalidStateError on another thread.
  /// Cost: O(log n) for each task whose effective priority changes.
  void set_priority(double priority) const;

  /// Asks for `Cancelled` at the task's suspension, with the message; what the task awaits is cancelled first when it is
  /// a task (it decides). False when the task was done.
  /// Errors: InvalidStateError on another thread. Cost: the exception, and a look at each task that the cancel passes; what is
  /// thrown in the task costs it a throw a frame.
  bool cancel(std::string message = {}) const;

  /// How many cancels were asked for and not taken back.
  unsigned cancelling() const { return task().cancel_requests_; }

  /// Takes one cancel request back. When none is left, a cancel that the running task was sent and has not met is
  /// withdrawn; one that was sent to a waiting task has ended its wait already, and goes through. The number left. Cost: O(1).
  unsigned uncancel() const;

  /// `function(task)`, or `function()`, runs when the task has ended: as a step of its own, never inside a call, with the base
  /// priority of who adds it; soon, when the task is done already. Functions of one task and one priority run in the order in
  /// which they were added. An exception that leaves one is logged. The handle removes it.
  /// Errors: InvalidStateError on another thread. Cost: no allocation in steady state for a function of up to 40 bytes; a task
  /// without such functions costs nothing for them.
  template <class F>
  CallHandle add_done_callback(F&& function) const {
    return add_done_callback_for(*this, std::forward<F>(function));
  }

  /// Takes back what `add_done_callback` gave, also when the task has ended and it is ready already. False when it ran, runs, was
  /// removed, or is of something else.
  /// Errors: InvalidStateError for an empty handle, or on another thread.
  bool remove_done_callback(const CallHandle& handle) const;

  /// The exception that ended the task, or null.
  /// Errors: InvalidStateError when not done; Cancelled when the task was cancelled.
  std::exception_ptr exception() const;

 protected:
  Task& task() const {
    if (task_ == nullptr) throw InvalidStateError("this task handle is empty");
    return *task_;
  }
  Task& done_task() const {
    Task& t = task();
    if (!t.done()) [[unlikely]] not_done();
    return t;
  }
  void mark_fetched() const noexcept {
    task_->fetched_ = true;
    if (task_->listed_as_unfetched_) [[unlikely]] unlist_as_unfetched();
  }

  friend class JoinWait;

  template <class Handle, class F>
  CallHandle add_done_callback_for(const Handle& handle, F&& function) const;

 private:
  void retain() const noexcept {
    if (task_ != nullptr) ++task_->references_;
  }
  [[noreturn]] void not_done() const;
  void unlist_as_unfetched() const noexcept;

  Task* task_ = nullptr;
};

namespace detail {

/// A task with room for its outcome.
template <class T>
class TaskBlock final : public Task, public Pooled {
 public:
  template <class Like>  // TaskOptions, or the creator
  TaskBlock(Loop& loop, typename Coro<T>::Handle root, const Like& like) : Task(loop, outcome, root, like) {
    root.promise().deliver_to(result);
  }

  Result<T> result;

 private:
  static const TaskBlock& block(const Task& task) noexcept { return static_cast<const TaskBlock&>(task); }

  static constexpr Outcome outcome{
      [](const Task& task) noexcept { return block(task).result.has_error() ? &block(task).result.error() : nullptr; },
      [](const Task& task) noexcept { return block(task).result.is_cancelled(); },
      [](Task& task) noexcept { delete static_cast<TaskBlock*>(&task); }};
};

}  // namespace detail

/// One task's wait for the end of another: an owned wait, by which the awaited task inherits the awaiter's urgency.
class JoinWait : public Wait {
 public:
  /// Not `forwards`: a cancel of the awaiter ends the wait, not the awaited task.
  explicit JoinWait(TaskRef awaited, bool forwards = true) noexcept
      : awaited_(std::move(awaited)), forwards_(forwards), node_(*this) {}

  bool await_ready() const noexcept { return awaited_.get()->done(); }
  void await_suspend(std::coroutine_handle<> frame);
  AbortResult abort() noexcept override { return AbortResult::done; }
  bool forward(CancelWalk& walk) noexcept override;
  bool has_swallowed_cancel() const noexcept override { return awaited_.done() && !awaited_.cancelled(); }
  std::string describe() const override;

 protected:
  ~JoinWait() = default;

  /// Behind the wait; who asks has seen its exception. Throws what is pending for the awaiting task.
  [[gnu::always_inline]] bool has_failed() const;

  const TaskRef awaited_;

 private:
  [[gnu::noinline]] void suspend_otherwise(std::coroutine_handle<> frame);

  const bool forwards_;
  WaitNode node_;
};

/// A handle that knows the type of the result.
template <class T>
class PriorityTask : public TaskRef {
 public:
  PriorityTask() noexcept = default;
  explicit PriorityTask(detail::TaskBlock<T>* block) noexcept : TaskRef(block) {}
  PriorityTask(detail::TaskBlock<T>& block, Made made) noexcept : TaskRef(block, made) {}

  /// The value, or throws what ended the task.
  /// Errors: InvalidStateError when not done; Cancelled when the task was cancelled.
  decltype(auto) result() const {
    done_task();
    mark_fetched();
    return std::as_const(block().result).peek();
  }

  /// As TaskRef::add_done_callback, with this handle for the function.
  template <class F>
  CallHandle add_done_callback(F&& function) const {
    return add_done_callback_for(*this, std::forward<F>(function));
  }

  /// The value moved out; for the last one who wants it. Errors: as `result`.
  T take() const {
    done_task();
    mark_fetched();
    return block().result.take();
  }

  /// Waits for the end and gives the value: a copy, so that there can be many awaiters; a move-only value is moved out
  /// to the first.
  /// Suspends: unless the task is done. Interrupt: the awaited task goes on; a cancel of the awaiter goes to it first.
  /// Errors: what ended the task; DeadlockError when the task waits, directly or not, for the awaiter; InvalidStateError
  /// on another thread. Cost: O(log n) in the number of awaiters.
  auto operator co_await() const { return Awaiter(*this, true); }

  /// The same, but a cancel of the awaiter does not go to the task: `co_await shield(task)`.
  auto shielded() const { return Awaiter(*this, false); }

 private:
  detail::TaskBlock<T>& block() const { return static_cast<detail::TaskBlock<T>&>(task()); }

  class Awaiter final : public JoinWait {
   public:
    Awaiter(const PriorityTask& task, bool forwards) : JoinWait(checked(task), forwards) {}
    T await_resume() {
      const bool failed = has_failed();
      auto& result = static_cast<detail::TaskBlock<T>*>(awaited_.get())->result;
      if (failed) [[unlikely]] result.rethrow_if_error();
      if constexpr (std::is_void_v<T> || std::is_reference_v<T> || !std::is_copy_constructible_v<T>) {
        return result.take_value();
      } else {
        return T(std::as_const(result).value());
      }
    }

   private:
    static const PriorityTask& checked(const PriorityTask& task) {
      task.task();
      return task;
    }
  };
};

}  // namespace heirloop
