// Waiting for some of several tasks: `wait`, `as_completed`, `shield`.
//
// Owns nothing but who waits: the tasks go on whatever becomes of the wait, and a cancel of the waiter does not go to them.
// Waiting lends the waiter's urgency to every task that has not ended.
#pragma once

#include <stdexcept>
#include <utility>
#include <vector>

#include <heirloop/runtime/task_set.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// When `wait` returns.
enum class ReturnWhen : std::uint8_t {
  first_completed,  ///< one has ended, in any way
  first_exception,  ///< one has failed or was cancelled, or all have ended
  all_completed,
};

template <class Handle>
struct WaitResult {
  std::vector<Handle> done;     ///< in the order in which they were given
  std::vector<Handle> pending;
};

namespace detail {

/// Tasks that somebody watches.
class Watching final : public TaskSet {
 public:
  explicit Watching(ReturnWhen when) noexcept
      : TaskSet(when == ReturnWhen::all_completed ? Needs::all : Needs::any), when_(when) {}

  void watch(const TaskRef& task);

  /// From now on the next task that ends counts.
  void again() noexcept { over_ = false; }

  class Wait final : public Waiter {
   public:
    explicit Wait(Watching& watching) noexcept : watching_(watching) {}
    bool await_ready() const noexcept { return watching_.over_ || watching_.size() == 0; }
    void await_suspend(std::coroutine_handle<> frame) { suspend(watching_.waiters(), frame); }
    void await_resume() const { waited(); }
    AbortResult abort() noexcept override { return AbortResult::done; }
    std::string describe() const override { return watching_.describe(); }

   private:
    Watching& watching_;
  };
  Wait wait() { return Wait(*this); }

  /// Those that have ended, as they did.
  const std::vector<TaskRef>& ended() const noexcept { return ended_; }

  std::string describe() const override;

 private:
  void member_ended(Task& task, bool own) noexcept override;

  const ReturnWhen when_;
  bool over_ = false;
  std::vector<TaskRef> ended_;  // has room for all
};

}  // namespace detail

/// Waits until one has ended, one has failed, or all have ended, at most for `timeout`; gives who is done and who is not.
/// Suspends: unless it is so already. Interrupt, cancel: the tasks go on.
/// Errors: std::invalid_argument without tasks; InvalidStateError for an empty handle; DeadlockError. What the tasks throw stays in them. Cost: O(n); allocates.
template <class Handle>
Coro<WaitResult<Handle>> wait(std::vector<Handle> tasks, ReturnWhen when = ReturnWhen::all_completed,
                              TimeSpan timeout = std::nullopt) {
  if (tasks.empty()) throw std::invalid_argument("wait needs at least one task");
  detail::Watching watching(when);
  for (const Handle& task : tasks) watching.watch(task);
  if (timeout.ns() == TimerQueue::never) {
    co_await watching.wait();
  } else {
    co_await move_on_after(timeout, [&]() -> Coro<void> { co_await watching.wait(); });
  }
  WaitResult<Handle> result;
  for (Handle& task : tasks) {
    (task.done() ? result.done : result.pending).push_back(std::move(task));
  }
  co_return result;
}

/// Gives tasks as they end: `auto completed = as_completed(tasks); while (auto task = co_await completed.next()) …`.
template <class T>
class AsCompleted {
 public:
  explicit AsCompleted(const std::vector<PriorityTask<T>>& tasks) : watching_(ReturnWhen::first_completed) {
    for (const auto& task : tasks) watching_.watch(task);
  }

  /// The next one that has ended, in the order in which they did; an empty handle when all have been given.
  /// Several may call it; each task is given once, to whom it finds first.
  /// Suspends: unless there is one. Interrupt, cancel: nothing is lost. Errors: DeadlockError. Cost: O(1).
  Coro<PriorityTask<T>> next() {
    while (given_ == watching_.ended().size() && watching_.size() > 0) {
      watching_.again();
      co_await watching_.wait();
    }
    if (given_ == watching_.ended().size()) co_return PriorityTask<T>();
    Task* task = watching_.ended()[given_++].get();
    co_return PriorityTask<T>(static_cast<detail::TaskBlock<T>*>(task));
  }

 private:
  detail::Watching watching_;
  std::size_t given_ = 0;
};

/// Errors: InvalidStateError for an empty handle. Cost: O(n); allocates.
template <class T>
AsCompleted<T> as_completed(const std::vector<PriorityTask<T>>& tasks) {
  return AsCompleted<T>(tasks);
}
/// The same for coroutines: each becomes a task.
template <class T>
AsCompleted<T> as_completed(std::vector<Coro<T>> coros) {
  std::vector<PriorityTask<T>> tasks;
  for (auto& coro : coros) tasks.push_back(create_task(std::move(coro)));
  return AsCompleted<T>(tasks);
}

/// Awaits a task without passing a cancel on to it: `co_await shield(task)`. What is awaited is lent to all the same.
/// Errors: as awaiting the task.
template <class T>
auto shield(const PriorityTask<T>& task) {
  return task.shielded();
}
/// The same for a coroutine, which becomes a task and goes on when the awaiter leaves.
template <class T>
auto shield(Coro<T> coro) {
  return create_task(std::move(coro)).shielded();
}

}  // namespace heirloop
