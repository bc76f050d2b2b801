// Child processes that never outlive the demo, and waiting that a signal ends.
//
// Everything that the demo waits for goes through Signals: SIGINT, SIGTERM and SIGHUP are taken from a
// descriptor and become the exception Interrupted, so every exit is the unwinding of the stack, and
// destructors stop the children and remove their files. Against an exit that unwinds nothing (SIGKILL, a
// crash) the kernel kills the children (PR_SET_PDEATHSIG), and a small process that waits for the demo's end
// removes its directory.
//
// Invariants:
// 1. A Process that is running is stopped and reaped by its destructor at the latest.
// 2. A child has the default signal handling, an empty signal mask and no descriptor of the demo but 0, 1
// and 2.
// 3. The demo has one thread: PR_SET_PDEATHSIG means the death of the thread that forked.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace demo {

using Clock = std::chrono::steady_clock;

/// Thrown where the demo waits when it was asked to end.
struct Interrupted {
  int signal;
};

/// Takes SIGINT, SIGTERM, SIGHUP and SIGCHLD of this process while it lives. One at a time. A broken pipe is
/// an error of the write from then on, not a signal.
class Signals {
 public:
  /// Errors: std::system_error.
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Waits until a child ended or `longest` is over, whichever comes first; may return early.
  /// Errors: Interrupted.
  void pause(Clock::duration longest);

  /// Waits until `fd` is ready for `events` (of poll) or the time is over; answers whether it is ready.
  /// Errors: Interrupted.
  bool wait_for(int fd, short events, Clock::time_point deadline);

 private:
  void take();

  int fd_ = -1;
  sigset_t mask_before_{};
};

/// A fresh directory that is removed with all that is in it.
class ScratchDir {
 public:
  /// Errors: std::system_error that names the place.
  ScratchDir();
  ~ScratchDir();
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Makes an empty directory inside; a name that was used before gets an empty one again.
  [[nodiscard]] std::filesystem::path fresh(std::string_view name) const;

 private:
  void start_guard();

  std::filesystem::path path_;
  int guard_pipe_ = -1;  // the guard's other end reads its end when this process is gone
  pid_t guard_ = -1;
};

/// What to start and where its output goes.
struct Launch {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  std::filesystem::path out;  ///< file for its standard output
  std::filesystem::path err;  ///< file for its standard error; may be the same
  std::optional<int> cpu;     ///< the one processor it may run on
};

class Process {
 public:
  /// Starts the program. It reads nothing (its standard input is empty).
  /// Errors: std::system_error that names the program.
  explicit Process(const Launch& launch);
  /// As stop().
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Whether it has not ended yet.
  [[nodiscard]] bool running();
  /// As waitpid gives it; of a process that has ended.
  [[nodiscard]] int status() const noexcept { return status_; }
  /// Asks it to end by SIGTERM, and after `patience` by SIGKILL. Answers whether it ended by itself, with
  /// status 0.
  bool stop(Clock::duration patience = std::chrono::seconds(3)) noexcept;
  /// The processor time that all its threads, also those that have ended, have used.
  /// Errors: std::system_error.
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const;

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  bool reaped_ = false;
};

/// `exit status 3` or `signal 11 (Segmentation fault)`.
[[nodiscard]] std::string describe_status(int status);

/// The program of that name in the directories of PATH.
[[nodiscard]] std::optional<std::filesystem::path> find_in_path(std::string_view name);

/// The directory of the running executable.
[[nodiscard]] std::filesystem::path own_directory();

/// Two processors for servers and clients, or none when this process may use only one.
[[nodiscard]] std::optional<std::pair<int, int>> two_processors();

[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// The last lines of a program's output that are not empty, joined into one line.
[[nodiscard]] std::string last_lines(std::string_view output, std::size_t lines = 3);

}  // namespace demo
