// Where tasks and coroutines are: the chain of awaiting coroutines, each with function, file and line.
//
// Owns nothing: it reads what each frame has noted (`CoroPromiseBase::where`), and the links from frame to awaiter. Called by
// programs and by what shows them.
//
// 1. A frame says where its last await is; before the first one, a line of its function. Without HEIRLOOP_AWAIT_PLACES that is
//    all it ever says.
// 2. Frames are looked at in loops, so that a chain may be as deep as memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <limits>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include <heirloop/sched/coro.hpp>
#include <heirloop/sched/task.hpp>

namespace heirloop {

/// A coroutine's place. Stays valid when the coroutine has gone.
class CoroFrame {
 public:
  explicit CoroFrame(const std::source_location& where) noexcept : where_(where) {}

  /// The qualified name, without the anonymous namespaces, parameters and template arguments in it; "lambda" for a lambda.
  /// Cost: O(length of the compiler's text).
  std::string function() const;
  std::string_view file() const noexcept { return where_.file_name(); }
  std::uint32_t line() const noexcept { return where_.line(); }

 private:
  std::source_location where_;
};

namespace detail {
/// The name in what `source_location::function_name()` gives: g++ gives the text of a coroutine's frame function, clang that of
/// the coroutine.
std::string function_name(std::string_view text);
}  // namespace detail

/// The coroutines of a task that await each other, oldest first: the last is the one that runs or runs next. At most `limit`,
/// the newest. Empty when the task is done. (asyncio gives the frames of the exception then; C++ keeps none.)
/// Errors: InvalidStateError for an empty handle. Cost: O(depth); allocates once.
std::vector<CoroFrame> get_stack(const TaskRef& task, std::size_t limit = std::numeric_limits<std::size_t>::max());

/// The same as text: a line for the task, and "  FILE:LINE in FUNCTION" for each.
std::string stack_text(const TaskRef& task, std::size_t limit = std::numeric_limits<std::size_t>::max());
void print_stack(const TaskRef& task, std::ostream& out, std::size_t limit = std::numeric_limits<std::size_t>::max());

/// To std::cerr.
void print_stack(const TaskRef& task);

/// The coroutine that was given to a task, to look at; it belongs to the task.
class CoroView {
 public:
  explicit CoroView(TaskRef task) noexcept : task_(std::move(task)) {}

  bool is_new() const { return !task_.done() && !begun(); }
  bool is_suspended() const { return !task_.done() && begun() && task_.state() != TaskState::running; }
  bool is_running() const { return task_.state() == TaskState::running; }
  bool is_finished() const { return task_.done(); }

  /// Where it is, of its own frame; empty when it is finished. Cost: O(depth).
  std::optional<CoroFrame> frame() const;

 private:
  bool begun() const noexcept { return task_.get()->begun_; }

  TaskRef task_;
};

inline CoroView TaskRef::get_coro() const {
  task();
  return CoroView(*this);
}

/// True before the first await, and until then only.
template <class T>
bool coro_is_new(const Coro<T>& coro) noexcept {
  return coro.is_new();
}

/// True from its beginning to its end: what is not at work itself waits for what it awaits.
template <class T>
bool coro_is_suspended(const Coro<T>& coro) noexcept {
  return coro.is_suspended();
}

template <class T>
bool coro_is_finished(const Coro<T>& coro) noexcept {
  return coro.is_finished();
}

inline bool coro_is_new(const CoroView& coro) { return coro.is_new(); }
inline bool coro_is_suspended(const CoroView& coro) { return coro.is_suspended(); }
inline bool coro_is_finished(const CoroView& coro) { return coro.is_finished(); }

/// Where the coroutine is: file, line and function of its last await, of the function before the first. Empty when it has
/// finished, or has been given away.
template <class T>
std::optional<CoroFrame> coro_get_frame(const Coro<T>& coro) noexcept {
  if (!coro || coro.is_finished()) return std::nullopt;
  return CoroFrame(coro.frame().promise().where);
}
inline std::optional<CoroFrame> coro_get_frame(const CoroView& coro) { return coro.frame(); }

/// Whether a value is a coroutine object.
template <class T>
inline constexpr bool is_coroutine = false;
template <class T>
inline constexpr bool is_coroutine<Coro<T>> = true;

template <class T>
constexpr bool iscoroutine(const T&) noexcept {
  return is_coroutine<T>;
}

}  // namespace heirloop
