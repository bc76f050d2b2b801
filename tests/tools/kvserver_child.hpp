// A program under test as a child process, and kvserver as one: started on a free port of the loopback,
// stopped or killed, its output kept. For tests that know the program from outside alone.
//
// Invariants:
// 1. A child is killed and reaped by the destructor at the latest, and by the kernel when the test dies.
// 2. Nothing here waits for ever: what takes longer than `patience` has failed.
#pragma once

#include "demo/process.hpp"
#include "kvserver_peer.hpp"

#include <sys/resource.h>
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace kvtest {

/// Answers as soon as `condition` is true; false when it never was in all the time that it may take.
bool comes_true(const std::function<bool()>& condition, std::chrono::seconds longest = patience);

/// Whether AddressSanitizer is in this build, and so in the programs.
constexpr bool with_asan() {
#ifdef __SANITIZE_ADDRESS__
  return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
  return true;
#else
  return false;
#endif
#else
  return false;
#endif
}

struct ChildLimits {
  std::optional<rlim_t> file_bytes;  ///< soft RLIMIT_FSIZE
};

class Child {
 public:
  /// Starts `program`; its output goes to `NAME.out` and `NAME.err` in `dir`.
  Child(const std::filesystem::path& dir, const std::string& name,
        std::vector<std::string> program_and_arguments, const ChildLimits& limits = {});
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number) const;
  /// Waits for its end: `exit status 0`, or what else it was. A child that does not end is killed.
  std::string wait(std::chrono::seconds longest = patience);
  std::string out() const { return demo::read_file(out_); }
  std::string err() const { return demo::read_file(err_); }

 private:
  std::filesystem::path out_, err_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool reaped_ = false;
};

/// Runs a program to its end.
struct Finished {
  std::string end;  ///< as Child::wait() gives it
  std::string out, err;
};
Finished run_program(std::vector<std::string> program_and_arguments, std::chrono::seconds longest = patience);

/// As above, for kvserver.
Finished run_kvserver(std::vector<std::string> arguments);

/// A kvserver that is ready. A directory may have one after the other.
class KvServer {
 public:
  /// Errors: std::runtime_error with its output when it does not get ready.
  explicit KvServer(const std::filesystem::path& dir, const std::vector<std::string>& options = {},
                    const ChildLimits& limits = {});

  std::uint16_t port() const { return port_; }
  Peer connect() const { return Peer(port_); }
  Child& child() { return child_; }
  /// Asks it to end by SIGTERM; how it ended.
  std::string stop();
  /// Ends it as a crash would.
  void kill();
  /// The value in the line `name:value` of INFO.
  double info(const std::string& name) const;
  std::string info_text(const std::string& name) const;

 private:
  Child child_;
  std::uint16_t port_ = 0;
};

constexpr const char* clean_end = "exit status 0";

}  // namespace kvtest
