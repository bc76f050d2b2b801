// Running a program: the ring, the loop, signals, and a proper end.
//
// Owns: the driver and the loop of one thread. Called by `main`.
//
//   run(main) ──▶ main task ends ──▶ what is left is cancelled, last created first, and awaited ──▶ threads joined, ring drained
//
// 1. `run` returns when every task has ended and the kernel holds none of the program's memory.
// 2. SIGINT cancels the main task once; the second one ends the process in the default way.
// 3. SIGTERM asks for a drain: `drain_requested()` wakes. When nobody listens for it, or it comes again, the main task is
//    cancelled.
#pragma once

#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <heirloop/sched/operations.hpp>

namespace heirloop {

struct RuntimeOptions {
  PolicyKind policy = PolicyKind::aging;
  /// How much waiting is worth one unit of priority, under `aging`.
  std::chrono::nanoseconds age_unit = std::chrono::milliseconds(100);
  /// Of `boost`'s random numbers.
  std::uint64_t policy_seed = 1;
  /// A policy of your own, instead of `policy`.
  std::function<std::unique_ptr<Policy>()> custom_policy{};
  /// Off: waiting lends nothing. To compare.
  bool inheritance = true;
  /// What becomes of a wait that would close a cycle in which nobody can go on: DeadlockError in the task that closes it, or
  /// it is only logged and counted (`Loop::deadlocks`), or nobody looks. A cycle through a wait under a time limit is always
  /// only logged.
  Deadlocks deadlocks = Deadlocks::throws;
  /// A step that has run for longer gives way at its next checkpoint; also the longest harvest.
  std::chrono::nanoseconds step_budget = std::chrono::microseconds(500);
  /// While two completions or more come in this time, a loop that is busy at least half of it lets the first wait so long for
  /// others when it falls asleep: fewer wake-ups, up to so much latency. 0: never. Rounded down to microseconds.
  std::chrono::nanoseconds gather = std::chrono::microseconds(40);
  /// How deep eager starts may nest on the machine stack.
  unsigned max_nested_starts = 1000;
  /// Every task that is created inside the loop starts inside the call, unless its options say otherwise.
  bool eager_tasks = false;
  /// Steps longer than this are counted (`Loop::slow_steps`) and logged with the task and what it then waited for. Empty:
  /// nobody watches; set, it costs two clock reads a step.
  std::optional<std::chrono::nanoseconds> slow_step{};
  /// How long the end of a run waits for those whom it has cancelled. Then it names them in the log and cancels again, shielded
  /// or not; who ignores three of these ends the program, with the place named; but not who leaves already, and waits for a
  /// thread's job or a file operation to end. Empty: it waits for ever.
  std::optional<std::chrono::nanoseconds> end_deadline = std::chrono::seconds(10);
  /// At most so many threads run the jobs of `to_thread`; 0: the number of cores and four, 32 at most.
  unsigned threads = 0;
  /// SIGINT and SIGTERM are taken while `run` runs, and left as they were at its end.
  bool handle_signals = true;
};

/// A signal ended the run, and the main task did not swallow its cancel.
class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int signal);
  int signal() const noexcept { return signal_; }

 private:
  int signal_;
};

/// The ring and the loop of one thread, for several runs in a row.
class Runtime {
 public:
  /// Errors: IoUringUnavailable when the kernel refuses the ring; std::invalid_argument for options out of range;
  /// InvalidStateError when a loop runs in this thread.
  explicit Runtime(const RuntimeOptions& options = {});
  ~Runtime();
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  /// Runs `main` to its end, then cancels what is left and awaits it. Gives its value or throws what ended it.
  /// Errors: Interrupted when a signal's cancel ended it; InvalidStateError inside a loop.
  template <class T>
  T run(Coro<T> main) {
    auto task = start(std::move(main));
    dispatch(task);
    translate_signal(task);
    if constexpr (std::is_void_v<T> || std::is_reference_v<T> || std::is_copy_constructible_v<T>) {
      return task.result();
    } else {
      return task.take();
    }
  }

  Loop& loop() noexcept;

  /// Runs `function` as a step of the loop. From any thread, also before `run`.
  template <class F>
  void post(F&& function, double priority = priority::normal) {
    loop().post(std::forward<F>(function), priority);
  }

  struct Parts;

 private:
  template <class T>
  PriorityTask<T> start(Coro<T> main) {
    return loop().create_task(std::move(main));
  }
  void dispatch(const TaskRef& main);
  void translate_signal(const TaskRef& main) const;

  std::unique_ptr<Parts> parts_;
};

/// Runs `main` on a runtime of its own: `int main() { return heirloop::run(service()); }`.
/// Errors: as the constructor and `run` of Runtime.
template <class T>
T run(Coro<T> main, const RuntimeOptions& options = {}) {
  Runtime runtime(options);
  return runtime.run(std::move(main));
}

/// Waits until the program is asked to drain (SIGTERM). From then on it is ready.
/// Suspends: unless it was asked already. Interrupt: the next call sees it. Errors: InvalidStateError outside `run`.
class DrainRequest final : public Wait {
 public:
  DrainRequest() noexcept : node_(*this) {}

  bool await_ready() const;
  void await_suspend(std::coroutine_handle<> frame);
  void await_resume() const {
    if (was_blocked()) Loop::resumed();
  }
  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return "a request to drain"; }

 private:
  WaitNode node_;
};

inline DrainRequest drain_requested() { return {}; }

/// True from the request to drain on.
bool draining();

/// Asks for the drain from inside the program, as SIGTERM does.
void request_drain();

}  // namespace heirloop
