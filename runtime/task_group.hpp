// Structured concurrency: `with_task_group` runs a body and the tasks that it starts, and ends when all of them have ended.
//
// Owns: who is in the group, what has failed. Lives in the frame of the block. Called by the body and by children.
//
//   body runs ──ends──▶ waits for the children ──all ended──▶ over
//       └──── a child or the body fails ────┴──▶ the rest is cancelled, and awaited
//
// 1. A child belongs to the group before its first line and until its end; whoever waits for the group lends to every child.
// 2. No child outlives the block.
// 3. The first failure cancels the rest; all failures come out in one ExceptionGroup.
// 4. What a child does before it has reported to `start` concerns `start` alone.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <heirloop/runtime/awaited.hpp>
#include <heirloop/runtime/task_set.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/sched/own_cancel.hpp>

namespace heirloop {

/// With what a child that was started by `TaskGroup::start` says that it is ready.
template <class T = void>
class TaskStatus {
 public:
  explicit TaskStatus(Promise<T> ready) noexcept : ready_(std::move(ready)) {}

  /// `start` returns with this value. Errors: InvalidStateError the second time.
  template <class... Args>
    requires(sizeof...(Args) == (std::is_void_v<T> ? 0 : 1))
  void started(Args&&... args) {
    if (!ready_.cancelled()) ready_.set_value(std::forward<Args>(args)...);  // else nobody waits for it any more
  }

 private:
  Promise<T> ready_;
};

class TaskGroup final : private detail::TaskSet {
 public:
  TaskGroup() : TaskSet(Needs::all) {}
  ~TaskGroup() { contract(size() == 0, "a group ends when its tasks have ended"); }

  /// Starts a task that belongs to the group. Its base priority is that of the current task unless given.
  /// Errors: InvalidStateError when the group is over or cancels its tasks, and where nothing may wait (in what a dropped
  /// generator runs); else as `heirloop::create_task`.
  /// Cost: as that, and a recycled block.
  template <class T>
  PriorityTask<T> create_task(Coro<T> coro, const TaskOptions& options = {}) {
    Loop& loop = Loop::current();
    const TaskOptions decided = loop.decided(options);
    PriorityTask<T> task = make(loop, std::move(coro), decided, true);
    loop.start(*task.get(), decided);
    return task;
  }

  /// The same for who does not want the handle.
  template <class T>
  void start_soon(Coro<T> coro, const TaskOptions& options = {}) {
    create_task(std::move(coro), options);
  }

  /// Starts `function(status)`, a coroutine, as a task of the group, waits until it calls `status.started(value)` and gives
  /// that value; the task goes on. It inherits the caller's urgency meanwhile. The task is made as this is awaited: what the
  /// options refer to must live until then.
  /// Suspends: until then, unless an eager start gets so far. Interrupt: the task is cancelled; the group awaits its end.
  /// Errors: what ends the task before it has called (it is no failure of the group then); InvalidStateError when it ends
  /// without a call; else as `create_task`. Cost: as that, two frames and a future, all recycled.
  template <class T = void, class Function>
  Coro<T> start(Function function, TaskOptions options = {}) {
    Loop& loop = Loop::current();
    options = loop.decided(options);
    Promise<T> promise;
    Future<T> ready = promise.future();
    PriorityTask<void> task = make(loop, run_starting(std::move(function), promise), options, false);
    promise.set_owner(task);
    loop.start(*task.get(), options);
    try {
      if constexpr (std::is_void_v<T>) {
        co_await ready;
        count(task);
        co_return;
      } else {
        T value = co_await ready;
        count(task);
        co_return value;
      }
    } catch (const OwnerDied&) {
    } catch (const BrokenPromise&) {
    } catch (...) {
      task.cancel("its start was not waited for");
      count(task);
      throw;
    }
    if (!task.done()) count(task);
    if (task.done()) task.result();
    throw InvalidStateError(task.name() + " ended, or let go of its status, without having called started()");
  }

  /// Tasks that have not ended.
  std::size_t size() const noexcept { return TaskSet::size(); }

  /// Cancels every task of the group, last created first; what it awaits goes first when that is a task. The group takes no
  /// more. Cost: a cancel each.
  void cancel(const std::string& message = {});

  std::string describe() const override;

 private:
  template <class Body>
  friend auto with_task_group(Body body) -> std::invoke_result_t<Body&, TaskGroup&>;

  class End;

  template <class T>
  PriorityTask<T> make(Loop& loop, Coro<T> coro, const TaskOptions& options, bool counts) {
    check_open();
    return TaskSet::make(loop, std::move(coro), options, counts);
  }

  /// `start` waits in the frame that has `slot`, at least until the first line of this.
  template <class T, class Function>
  static Coro<void> run_starting(Function function, Promise<T>& slot) {
    Promise<T> promise = std::move(slot);
    TaskStatus<T> status(std::move(promise));
    co_await function(std::move(status));
  }

  /// From now on what becomes of the task concerns the group.
  void count(const TaskRef& task) noexcept;

  void check_open() const;
  void free_members();
  void child_ended(Task& task) noexcept;
  void member_ended(Task& task, bool counts) noexcept override;

  /// An exception that came out of the body, or to the wait for the children. Inside a catch clause.
  void body_failed() noexcept;

  /// The throw whose place the group's own cancel took is a failure.
  void add_overtaken();
  Coro<void> children_end();
  void rethrow();
  void cancel_again();

  detail::OwnCancel cancel_body_;
  bool closed_ = false;      // cancels its tasks, or is over
  bool body_over_ = false;
  std::vector<std::exception_ptr> failures_;
  std::exception_ptr cancelled_;   // what cancelled the body or the wait for the children from outside
  std::exception_ptr body_error_;  // what failed first, when that was the body or the wait for the children
};

/// Runs `body(group)`, a coroutine, as part of the current task; when it has ended, waits for the group's tasks, which
/// inherit the urgency of the current task meanwhile. Gives the body's value.
/// Suspends: as the body does, and until the last task has ended. Interrupt: while it waits for the tasks they are
/// cancelled and awaited first; the exception comes out as it is when nothing else failed.
/// Errors: what the body threw when nothing else failed; an ExceptionGroup of all failures otherwise; `Cancelled` when the
/// current task was cancelled and nothing failed; DeadlockError when a task of the group waits for the current task.
/// Cost: two frames, and O(log n) for each child that ends in the number of what it holds; nothing allocates in steady state.
template <class Body>
auto with_task_group(Body body) -> std::invoke_result_t<Body&, TaskGroup&> {
  using Value = detail::Awaited<std::invoke_result_t<Body&, TaskGroup&>>;
  TaskGroup group;
  detail::Result<Value> value;
  try {
    if constexpr (std::is_void_v<Value>) {
      co_await body(group);
      value.emplace();
    } else {
      value.emplace(co_await body(group));
    }
  } catch (...) {
    group.body_failed();
  }
  co_await group.children_end();
  group.rethrow();
  co_return value.take();
}

}  // namespace heirloop
