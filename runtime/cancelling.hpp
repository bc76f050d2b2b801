// `Cancelling`: a task or future that is cancelled when a scope ends, if it is not done then.
//
// Owns: a handle. Used by programs whose helper task has no use beyond a block. It does not wait for the end of what it
// cancels: where that matters, `with_task_group` does.
#pragma once

#include <exception>
#include <string>
#include <utility>

#include <heirloop/sched/future.hpp>
#include <heirloop/sched/task.hpp>

namespace heirloop {

namespace detail {
void log_not_cancelled(const std::exception& error) noexcept;
}

/// Cancels what it holds at the end of its scope: `const Cancelling guard(create_task(...));`. `Target`: TaskRef,
/// PriorityTask or Future. Belongs to the loop's thread.
template <class Target>
class [[nodiscard("the cancel comes at the end of its life")]] Cancelling {
 public:
  explicit Cancelling(Target target, std::string message = {}) noexcept
      : target_(std::move(target)), message_(std::move(message)) {}
  Cancelling(const Cancelling&) = delete;
  Cancelling& operator=(const Cancelling&) = delete;
  ~Cancelling() { cancel(); }

  /// What is cancelled; empty when let go.
  const Target& target() const noexcept { return target_; }

  /// Nothing is cancelled any more.
  Target let_go() noexcept { return std::exchange(target_, {}); }

 private:
  void cancel() noexcept {
    if (!target_) return;
    try {
      target_.cancel(std::move(message_));
    } catch (const std::exception& error) {
      detail::log_not_cancelled(error);
    }
  }

  Target target_;
  std::string message_;
};

}  // namespace heirloop
