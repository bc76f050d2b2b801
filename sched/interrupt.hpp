// Exceptions that come from outside: throw and interrupt (DESIGN section 8).
#pragma once

#include <exception>
#include <string>
#include <type_traits>
#include <utility>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/task.hpp>

namespace heirloop {

/// What became of an interrupt when its caller goes on.
enum class InterruptOutcome : std::uint8_t {
  delivered,  ///< the exception was thrown at the victim's suspension, and the victim has run since
  replaced,   ///< a later throw or a cancel took its place before it was delivered
  ended,      ///< the victim is done
};

/// The caller's side of `task_interrupt`. While the victim can't be woken at once (its wait answers `pending`), the
/// caller waits for it, and the victim inherits the caller's urgency.
class InterruptWait final : public Wait, public Resource {
 public:
  InterruptWait(TaskRef victim, std::exception_ptr error) noexcept;
  ~InterruptWait();

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame);
  InterruptOutcome await_resume();

  AbortResult abort() noexcept override;
  std::string describe() const override;
  void owner_died(Holding&) noexcept override {}

 private:
  friend class Loop;

  void victim_wakes() noexcept;
  void replaced() noexcept;
  void forget() noexcept;

  TaskRef victim_;
  std::exception_ptr error_;
  WaitNode node_;
  Holding holding_;
  InterruptOutcome outcome_ = InterruptOutcome::delivered;
};

namespace detail {
template <class E>
std::exception_ptr as_exception(E&& error) {
  if constexpr (std::is_same_v<std::decay_t<E>, std::exception_ptr>) {
    if (error == nullptr) throw std::invalid_argument("an exception to throw must not be null");
    return std::forward<E>(error);
  } else {
    static_assert(!std::is_pointer_v<std::decay_t<E>>, "throw a value or a std::exception_ptr");
    return std::make_exception_ptr(std::forward<E>(error));
  }
}
}  // namespace detail

/// Makes `task` ready with `error` pending: it is thrown at its suspension, at the first line when it has not begun.
/// A later throw replaces an undelivered one. A cancel that the task's wait has passed on, and that is not answered yet, is
/// pending behind it.
/// Errors: InvalidStateError when the task is done, is the current one or one that is starting it eagerly, has an
/// undelivered cancel, or belongs to another thread.
template <class E>
void task_throw(const TaskRef& task, E&& error);

/// Throws `error` in `task` at once: the victim runs next and the caller right after it, before anything else that is
/// ready. What the victim awaited goes on unharmed. Answers what became of it.
/// Suspends: always; only until the victim has run, unless the victim must first get back what its wait owes (a
/// condition's lock, a file operation that has started): then the caller waits and lends the victim its urgency.
/// Interrupt: an interrupted or cancelled caller leaves; the exception stays set.
/// Errors: as `task_throw`; DeadlockError when the victim can't run before the caller acts, and the exception stays set.
template <class E>
InterruptWait task_interrupt(TaskRef task, E&& error) {
  return InterruptWait(std::move(task), detail::as_exception(std::forward<E>(error)));
}

/// The checks of `task_throw`, and its action, for an exception that is at hand.
void throw_in_task(const TaskRef& task, std::exception_ptr error);

template <class E>
void task_throw(const TaskRef& task, E&& error) {
  throw_in_task(task, detail::as_exception(std::forward<E>(error)));
}

}  // namespace heirloop
