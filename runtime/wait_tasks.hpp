// Waiting for some of several tasks or futures: `wait`, `as_completed`, `shield`.
//
// Owns: a task for each future that is watched, which ends with the wait. What is waited for goes on whatever becomes of the
// wait, and a cancel of the waiter does not go to it. Waiting lends the waiter's urgency to every task that has not ended, and to
// the named owners of futures.
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <heirloop/runtime/task_set.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// When `wait` returns.
enum class ReturnWhen : std::uint8_t {
  first_completed,  ///< one has ended, in any way
  first_exception,  ///< one has failed, other than by a cancel, or all have ended
  all_completed,
};

template <class Handle>
struct WaitResult {
  std::vector<Handle> done;     ///< in the order in which they were given
  std::vector<Handle> pending;
};

namespace detail {

/// Ends when the future has its outcome, which stays unseen, or when it is not wanted any more, whoever else cancels it.
template <class T>
Coro<Future<T>> watch_outcome(Future<T> future, std::shared_ptr<const bool> wanted) {
  while (!future.done() && *wanted) {
    try {
      co_await future.until_done();
    } catch (const OwnerDied&) {  // others may set it yet
    } catch (const Cancelled&) {
    }
  }
  co_return future;
}

/// The handle of what has ended, by the task that is or has watched it.
template <class T>
PriorityTask<T> watched(Task& task, std::type_identity<PriorityTask<T>>) {
  return PriorityTask<T>(static_cast<TaskBlock<T>*>(&task));
}
template <class T>
const Future<T>& watched(const Task& task, std::type_identity<Future<T>>) {
  return static_cast<const TaskBlock<Future<T>>&>(task).result.peek();
}

template <class T>
bool watched_failed(const Task& task) {
  return watched(task, std::type_identity<Future<T>>()).failed();
}

/// Tasks and futures that somebody watches.
class Watching final : public TaskSet {
 public:
  explicit Watching(ReturnWhen when) noexcept
      : TaskSet(when == ReturnWhen::all_completed ? Needs::all : Needs::any), when_(when) {}
  ~Watching();

  void watch(const TaskRef& task);
  template <class T>
  void watch(const Future<T>& future) {
    make_room();
    outcome_failed_ = watched_failed<T>;
    if (wanted_ == nullptr) wanted_ = std::make_shared<bool>(true);
    Loop& loop = Loop::current();
    const TaskOptions options{.name = "watches a future", .eager_start = true};
    loop.start(*make(loop, watch_outcome(future, wanted_), options, true).get(), options);
  }

  bool is_over() const noexcept { return over_ || size() == 0; }

  /// From now on the next one that ends counts.
  void again() noexcept { over_ = false; }

  class Wait final : public Waiter {
   public:
    explicit Wait(Watching& watching) noexcept : watching_(watching) {}
    bool await_ready() const noexcept { return watching_.is_over(); }
    void await_suspend(std::coroutine_handle<> frame) { suspend(watching_.waiters(), frame); }
    void await_resume() const {
      waited();
      if (watching_.refused_) std::rethrow_exception(watching_.refused_);
    }
    AbortResult abort() noexcept override { return AbortResult::done; }
    std::string describe() const override { return watching_.describe(); }

   private:
    Watching& watching_;
  };

  /// Until it is over. When one of any has ended, the wait for the others is a new one: they may not be able to go on.
  Coro<void> until_over() {
    while (!is_over()) {
      Wait wait(*this);
      co_await wait;
    }
  }

  /// Those that have ended, as they did; for a future, the task that has watched it.
  const std::vector<TaskRef>& ended() const noexcept { return ended_; }

  std::string describe() const override;

 private:
  void make_room();
  void member_ended(Task& task, bool own) noexcept override;

  const ReturnWhen when_;
  bool over_ = false;
  std::vector<TaskRef> ended_;        // has room for all
  std::shared_ptr<bool> wanted_;      // what the tasks that watch futures look at, which may outlive this
  bool (*outcome_failed_)(const Task& task) = nullptr;  // of the task that has watched a future
  std::exception_ptr refused_;                          // a future whose outcome depends on who waits here
};

}  // namespace detail

/// Waits until one has ended, one has failed, or all have ended, at most for `timeout`; gives who is done and who is not.
/// `Handle`: PriorityTask, TaskRef or Future.
/// Suspends: unless it is so already. Interrupt, cancel: the tasks and futures go on.
/// Errors: std::invalid_argument without tasks; InvalidStateError for an empty handle; DeadlockError. What the tasks throw stays
/// in them. Cost: O(n); allocates; for a future a task.
template <class Handle>
Coro<WaitResult<Handle>> wait(std::vector<Handle> tasks, ReturnWhen when = ReturnWhen::all_completed,
                              TimeSpan timeout = std::nullopt) {
  if (tasks.empty()) throw std::invalid_argument("wait needs at least one task or future");
  detail::Watching watching(when);
  for (const Handle& task : tasks) watching.watch(task);
  if (timeout.ns() == TimerQueue::never) {
    co_await watching.until_over();
  } else {
    co_await move_on_after(timeout, [&] { return watching.until_over(); });
  }
  WaitResult<Handle> result;
  for (Handle& task : tasks) {
    (task.done() ? result.done : result.pending).push_back(std::move(task));
  }
  co_return result;
}

/// Gives tasks or futures as they end:
/// `auto completed = as_completed(tasks); while (auto task = co_await completed.next()) …`.
/// `Handle`: PriorityTask or Future.
template <class Handle>
class AsCompleted {
 public:
  /// Counts the time from now on. Errors: InvalidStateError for an empty handle, or outside a loop. Cost: O(n); allocates.
  explicit AsCompleted(const std::vector<Handle>& handles, TimeSpan timeout = std::nullopt)
      : watching_(ReturnWhen::first_completed), until_(point_after(timeout)) {
    for (const Handle& handle : handles) watching_.watch(handle);
  }

  /// The next one that has ended, in the order in which they did; an empty handle when all have been given.
  /// Several may call it; each is given once, to whom it finds first.
  /// Suspends: unless there is one. Interrupt, cancel: nothing is lost.
  /// Errors: TimeoutError when the time has passed and nobody has ended; DeadlockError. Cost: O(1).
  Coro<Handle> next() {
    if (until_ && is_waited_for()) {
      co_await move_on_at(until_, [this] { return one_ends(); });
      if (is_waited_for()) throw TimeoutError("the time limit of as_completed has passed");
    } else {
      co_await one_ends();
    }
    if (given_ == watching_.ended().size()) co_return Handle();
    co_return detail::watched(*watching_.ended()[given_++].get(), std::type_identity<Handle>());
  }

 private:
  static TimePoint point_after(const TimeSpan& span) {
    if (span.ns() == TimerQueue::never) return std::nullopt;
    return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(TimerQueue::deadline(Loop::current().driver().now_ns(), span.ns())));
  }
  bool is_waited_for() const noexcept { return given_ == watching_.ended().size() && watching_.size() > 0; }
  Coro<void> one_ends() {
    while (is_waited_for()) {
      watching_.again();
      co_await watching_.until_over();
    }
  }

  detail::Watching watching_;
  const TimePoint until_;
  std::size_t given_ = 0;
};

/// For a vector of tasks or of futures. Errors and cost: as the constructor.
template <class Handle>
AsCompleted<Handle> as_completed(const std::vector<Handle>& handles, TimeSpan timeout = std::nullopt) {
  return AsCompleted<Handle>(handles, timeout);
}
/// The same for coroutines: each becomes a task.
template <class T>
AsCompleted<PriorityTask<T>> as_completed(std::vector<Coro<T>> coros, TimeSpan timeout = std::nullopt) {
  std::vector<PriorityTask<T>> tasks;
  for (auto& coro : coros) tasks.push_back(create_task(std::move(coro)));
  return AsCompleted<PriorityTask<T>>(tasks, timeout);
}

/// Awaits a task or a future without passing a cancel on to it: `co_await shield(task)`. What is awaited is lent to all the same.
/// Suspends, interrupt, errors, cost: as awaiting the task.
template <class T>
auto shield(const PriorityTask<T>& task) {
  return task.shielded();
}
template <class T>
auto shield(const Future<T>& future) {
  return future.shielded();
}
/// The same for a coroutine, which becomes a task and goes on when the awaiter leaves.
template <class T>
auto shield(Coro<T> coro) {
  return create_task(std::move(coro)).shielded();
}

}  // namespace heirloop
