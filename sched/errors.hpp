// The exceptions of the scheduler.
//
// What a program does wrong derives from std::exception. What comes from outside to end a wait or a coroutine (`Cancelled`,
// `InterruptException`, `GeneratorExit`) does not, so that `catch (const std::exception&)` can't swallow it.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace heirloop {

namespace detail {
class OwnCancel;
}  // namespace detail

/// A call that the present state forbids: result of a task that is not done, a throw at oneself, a second await,
/// release of a lock by a stranger. The state is unchanged.
class InvalidStateError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// A wait that would close a cycle in which nobody can go on. `what()` names each task and what it waits for. The
/// state before the wait stays intact.
class DeadlockError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// The owner of what was waited for ended without releasing it.
class OwnerDied : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The time limit of a block has passed, and the block ended by it.
class TimeoutError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The promise went without a value or an exception.
class BrokenPromise : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Several exceptions that came together, of any type. `what()` is a tree of all of them.
class ExceptionGroup : public std::exception {
 public:
  /// Errors: std::invalid_argument when `exceptions` is empty.
  ExceptionGroup(std::string message, std::vector<std::exception_ptr> exceptions);

  const char* what() const noexcept override { return text_.c_str(); }
  const std::string& message() const noexcept { return message_; }
  const std::vector<std::exception_ptr>& exceptions() const noexcept { return exceptions_; }

  /// All exceptions of the tree that are no groups, from left to right.
  std::vector<std::exception_ptr> leaves() const;

  using Wanted = std::function<bool(const std::exception_ptr&)>;
  using Part = std::optional<ExceptionGroup>;

  /// The tree parted in two of the same shape, by its leaves: those that are wanted, and the rest. A part without a leaf is
  /// empty.
  std::pair<Part, Part> split(const Wanted& wanted) const;

  /// The first part of `split`.
  Part subgroup(const Wanted& wanted) const { return split(wanted).first; }

  // By type: `split<std::system_error>()`. What derives from E is an E; `const E&` catches it.
  template <class E>
  std::pair<Part, Part> split() const {
    return split(holds<E>);
  }
  template <class E>
  Part subgroup() const {
    return subgroup(holds<E>);
  }

  template <class E>
  static bool holds(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const E&) {
      return true;
    } catch (...) {
      return false;
    }
  }

 private:
  std::string message_;
  std::vector<std::exception_ptr> exceptions_;
  std::string text_;
};

/// Thrown at the suspension of a task that was cancelled. Not a std::exception.
class Cancelled {
 public:
  Cancelled() = default;
  explicit Cancelled(std::string message, std::exception_ptr cause = nullptr)
      : message_(std::move(message)), cause_(std::move(cause)) {}

  /// The message of the first cancel that was not yet delivered; empty when none was given.
  const std::string& message() const noexcept { return message_; }

  /// The undelivered throw or interrupt that this cancel took the place of, or null.
  const std::exception_ptr& cause() const noexcept { return cause_; }

 private:
  friend class detail::OwnCancel;
  friend class Loop;

  std::string message_;
  std::exception_ptr cause_;
  std::uint64_t number_ = 0;  // of the block that has sent it to its own task
};

/// The usual thing to throw with `task_interrupt`. Not a std::exception. Derive from it to tell interrupts apart.
class InterruptException {
 public:
  InterruptException() = default;
  explicit InterruptException(std::string message) : message_(std::move(message)) {}
  virtual ~InterruptException() = default;
  InterruptException(const InterruptException&) = default;
  InterruptException& operator=(const InterruptException&) = default;

  const std::string& message() const noexcept { return message_; }

 private:
  std::string message_;
};

/// A time limit of `task_timeout` has passed. It becomes TimeoutError as it leaves its block.
class TimeoutInterrupt : public InterruptException {
 public:
  explicit TimeoutInterrupt(std::uint64_t number) : InterruptException("a time limit has passed"), number_(number) {}

  /// By which its limit knows it (`TimeLimit::has_sent`), also in an ExceptionGroup that outlives the limit.
  std::uint64_t number() const noexcept { return number_; }

 private:
  std::uint64_t number_;
};

/// Thrown at the suspension of a coroutine that its holder closes, such as a generator, to make it end. Who waits or yields
/// in answer gets an error that names the place, unless the close can wait for that. Not a std::exception.
class GeneratorExit final {};

/// A readable text for any exception, whatever its type; for logs.
std::string describe_exception(const std::exception_ptr& error);

}  // namespace heirloop
