// Structured concurrency: `with_task_group` runs a body and the tasks that it starts, and ends when all of them have ended.
//
// Owns: who is in the group, what has failed. Lives in the frame of the block. Called by the body and by children.
//
//   body runs ──ends──▶ waits for the children ──all ended──▶ over
//       └──── a child or the body fails ────┴──▶ the rest is cancelled, and awaited
//
// 1. A child is a joint owner of the group (a Holding), so that whoever waits for the group lends to every child.
// 2. No child outlives the block.
// 3. The first failure cancels the rest; all failures come out in one ExceptionGroup.
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/sched/own_cancel.hpp>

namespace heirloop {

class TaskGroup final : private Resource {
 public:
  TaskGroup() = default;
  ~TaskGroup() { contract(members_ == nullptr, "a group ends when its tasks have ended"); }

  /// Starts a task that belongs to the group. Its base priority is that of the current task unless given.
  /// Errors: InvalidStateError when the group is over or cancels its tasks; else as `heirloop::create_task`.
  template <class T>
  PriorityTask<T> create_task(Coro<T> coro, const TaskOptions& options = {}) {
    check_open();
    PriorityTask<T> task = heirloop::create_task(std::move(coro), options);
    add(*task.get());
    return task;
  }

  /// Tasks that have not ended.
  std::size_t size() const noexcept { return size_; }

  /// Cancels every task of the group, last created first; what it awaits goes first when that is a task. The group takes no
  /// more.
  void cancel(const std::string& message = {});

  std::string describe() const override;

 private:
  template <class Body>
  friend auto with_task_group(Body body) -> std::invoke_result_t<Body&, TaskGroup&>;

  struct Member;
  class End;

  void check_open() const;
  void add(Task& task);
  void free_members();
  void child_ended(Task& task) noexcept;
  void owner_died(Holding& holding) noexcept override;

  /// An exception that came out of the body, or to the wait for the children. Inside a catch clause.
  void body_failed() noexcept;
  Coro<void> children_end();
  void rethrow();

  detail::OwnCancel cancel_body_;
  Member* members_ = nullptr;  // last created first
  std::size_t size_ = 0;
  bool closed_ = false;      // cancels its tasks, or is over
  bool body_over_ = false;
  std::vector<std::exception_ptr> failures_;
  std::exception_ptr cancelled_;    // what cancelled the body or the wait for the children from outside
  std::exception_ptr body_error_;   // what failed first, when that was the body or the wait for the children
};

/// Runs `body(group)`, a coroutine, as part of the current task; when it has ended, waits for the group's tasks, which
/// inherit the urgency of the current task meanwhile. Gives the body's value.
/// Suspends: as the body does, and until the last task has ended. Interrupt: while it waits for the tasks they are
/// cancelled and awaited first; the exception comes out as it is when nothing else failed.
/// Errors: what the body threw when nothing else failed; an ExceptionGroup of all failures otherwise; `Cancelled` when the
/// current task was cancelled and nothing failed; DeadlockError when a task of the group waits for the current task.
template <class Body>
auto with_task_group(Body body) -> std::invoke_result_t<Body&, TaskGroup&> {
  using Awaited = decltype(std::declval<std::invoke_result_t<Body&, TaskGroup&>&>().operator co_await().await_resume());
  TaskGroup group;
  detail::Result<Awaited> value;
  try {
    if constexpr (std::is_void_v<Awaited>) {
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
