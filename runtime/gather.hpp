// `gather`: several awaitables at once, and all of their values in the order of the arguments.
//
// Owns: the tasks that it makes for coroutines. Called by tasks.
//
//   started ──all ended──▶ values
//      ├──one fails──▶ its exception at once; the others go on on their own
//      └──a cancel──▶ all are cancelled, and awaited ──▶ Cancelled
//
// 1. Waiting lends the awaiter's urgency to every task that has not ended.
// 2. An interrupt ends, and awaits, the tasks that were made for coroutines; tasks and futures that the caller gave go on.
#pragma once

#include <exception>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <heirloop/runtime/awaited.hpp>
#include <heirloop/runtime/task_set.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// What became of one of those gathered: a value or an exception.
template <class T>
class Outcome {
 public:
  using Value = detail::NonVoid<T>;
  explicit Outcome(Value value) : outcome_(std::in_place_index<0>, std::move(value)) {}
  explicit Outcome(std::exception_ptr error) : outcome_(std::in_place_index<1>, std::move(error)) {}

  bool has_value() const noexcept { return outcome_.index() == 0; }

  /// The value, or throws the exception.
  const Value& value() const& {
    if (!has_value()) std::rethrow_exception(error());
    return std::get<0>(outcome_);
  }
  Value value() && {
    if (!has_value()) std::rethrow_exception(error());
    return std::get<0>(std::move(outcome_));
  }

  /// Null when there is a value.
  std::exception_ptr error() const noexcept { return has_value() ? nullptr : std::get<1>(outcome_); }

 private:
  std::variant<Value, std::exception_ptr> outcome_;
};

/// As first argument of `gather`: exceptions are outcomes like others.
struct ReturnExceptions {};
inline constexpr ReturnExceptions return_exceptions{};

namespace detail {

/// The tasks of one `gather`.
class Gathering final : public TaskSet {
 public:
  explicit Gathering(bool exceptions_are_outcomes) noexcept
      : TaskSet(Needs::all), exceptions_are_outcomes_(exceptions_are_outcomes) {}
  ~Gathering() {
    if (!is_awaited_) cancel_own("the gather that made this task has failed");
  }

  class Wait final : public Waiter {
   public:
    explicit Wait(Gathering& gathering) noexcept : gathering_(gathering) {}
    bool await_ready() const noexcept { return gathering_.is_over(); }
    void await_suspend(std::coroutine_handle<> frame) { suspend(gathering_.waiters(), frame); }
    void await_resume() const;
    AbortResult abort() noexcept override;
    bool forward(CancelWalk& walk) noexcept override;
    std::string describe() const override { return gathering_.describe(); }

   private:
    Gathering& gathering_;
  };

  /// Suspends: until all have ended, or one has failed and that ends it. Errors: that failure; Cancelled; DeadlockError.
  Wait wait() {
    is_awaited_ = true;
    return Wait(*this);
  }

  /// `own`: an interrupt ends it.
  template <class T>
  PriorityTask<T> begin(Coro<T> coro, bool own = true) {
    Loop& loop = Loop::current();
    const TaskOptions options = loop.decided({});
    PriorityTask<T> task = make(loop, std::move(coro), options, own);
    loop.start(*task.get(), options);
    return task;
  }
  template <class T>
  PriorityTask<T> begin(PriorityTask<T> task) {
    watch(task);
    return task;
  }
  template <class A>
  PriorityTask<Awaited<A>> begin(A awaitable) {
    return begin(await_it(std::move(awaitable)), false);
  }

  std::string describe() const override;

 private:
  template <class A>
  static Coro<Awaited<A>> await_it(A awaitable) {
    co_return co_await std::move(awaitable);
  }

  void cancel_own(const std::string& message, const Task* sender = nullptr) noexcept;
  bool is_over() const noexcept { return size() == 0 || (failed_ && !cancelled_); }
  void member_ended(Task& task, bool own) noexcept override;

  const bool exceptions_are_outcomes_;
  bool is_awaited_ = false;
  TaskRef failed_;  // the first one, when that ends it all
  std::optional<Cancelled> cancelled_;
};

/// The value of a task that has ended, as `co_await` would give it.
template <class T>
NonVoid<T> value_of(const PriorityTask<T>& task) {
  if constexpr (std::is_void_v<T>) {
    task.result();
    return {};
  } else if constexpr (std::is_reference_v<T> || !std::is_copy_constructible_v<T>) {
    return task.take();
  } else {
    return task.result();
  }
}

template <class T>
Outcome<T> outcome_of(const PriorityTask<T>& task) {
  try {
    return Outcome<T>(value_of(task));
  } catch (...) {
    return Outcome<T>(std::current_exception());
  }
}

template <class T>
using Gathered = std::vector<NonVoid<T>>;

}  // namespace detail

/// Awaits all: coroutines (each becomes a task), tasks, futures. Gives their values in the order of the arguments,
/// std::monostate for void.
/// Suspends: until all have ended or one has failed. Interrupt: the tasks that were made for coroutines are cancelled and
/// awaited first; given tasks and futures go on. A cancel goes to all that have not ended, and Cancelled comes when all have.
/// Errors: the first failure, at once; the others go on, and what fails later is logged; DeadlockError when one of them can
/// never end, though another may fail.
/// Cost: a frame, and for each coroutine a task; memory is recycled.
template <class... A>
  requires(!std::ranges::range<A> && ...)
Coro<std::tuple<detail::NonVoid<detail::Awaited<A>>...>> gather(A... awaitables) {
  detail::Gathering gathering(false);
  std::tuple<PriorityTask<detail::Awaited<A>>...> tasks{gathering.begin(std::move(awaitables))...};
  co_await gathering.wait();
  co_return std::apply(
      [](auto&... task) { return std::tuple<detail::NonVoid<detail::Awaited<A>>...>{detail::value_of(task)...}; }, tasks);
}

/// The same, with an Outcome for each; only a cancel, an interrupt and a deadlock are thrown.
template <class... A>
  requires(!std::ranges::range<A> && ...) && (!std::is_reference_v<detail::Awaited<A>> && ...)  // an Outcome holds a value
Coro<std::tuple<Outcome<detail::Awaited<A>>...>> gather(ReturnExceptions, A... awaitables) {
  detail::Gathering gathering(true);
  std::tuple<PriorityTask<detail::Awaited<A>>...> tasks{gathering.begin(std::move(awaitables))...};
  co_await gathering.wait();
  co_return std::apply(
      [](auto&... task) { return std::tuple<Outcome<detail::Awaited<A>>...>{detail::outcome_of(task)...}; }, tasks);
}

/// All of a range, whose elements are moved from. Gives a vector in its order.
template <std::ranges::input_range R, class T = detail::Awaited<std::ranges::range_value_t<R>>>
Coro<detail::Gathered<T>> gather(R awaitables) {
  static_assert(!std::is_reference_v<T>, "a range of references can't be gathered: await pointers");
  detail::Gathering gathering(false);
  std::vector<PriorityTask<T>> tasks;
  for (auto& awaitable : awaitables) tasks.push_back(gathering.begin(std::move(awaitable)));
  co_await gathering.wait();
  detail::Gathered<T> values;
  values.reserve(tasks.size());
  for (const auto& task : tasks) values.push_back(detail::value_of(task));
  co_return values;
}
template <std::ranges::input_range R, class T = detail::Awaited<std::ranges::range_value_t<R>>>
Coro<std::vector<Outcome<T>>> gather(ReturnExceptions, R awaitables) {
  static_assert(!std::is_reference_v<T>, "a range of references can't be gathered: await pointers");
  detail::Gathering gathering(true);
  std::vector<PriorityTask<T>> tasks;
  for (auto& awaitable : awaitables) tasks.push_back(gathering.begin(std::move(awaitable)));
  co_await gathering.wait();
  std::vector<Outcome<T>> outcomes;
  outcomes.reserve(tasks.size());
  for (const auto& task : tasks) outcomes.push_back(detail::outcome_of(task));
  co_return outcomes;
}

}  // namespace heirloop
