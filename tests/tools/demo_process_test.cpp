// The demo's children and directories: none of them outlives it, however it ends.
#include "common/output_file.hpp"
#include "demo/process.hpp"
#include "demo/resp_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <system_error>

namespace {

namespace fs = std::filesystem;
using demo::Process;
using demo::ScratchDir;
using demo::Signals;
using testing::HasSubstr;

demo::Launch shell(const ScratchDir& dir, const std::string& script) {
  return {"/bin/sh", {"-c", script}, dir.path() / "out", dir.path() / "err", std::nullopt};
}

// Waits for what the kernel and other processes do; a limit only against a test that would hang.
bool comes_true(const std::function<bool()>& condition) {
  for (int turn = 0; turn < 2000; ++turn) {
    if (condition()) return true;
    ::poll(nullptr, 0, 5);
  }
  return false;
}

bool ends(Process& process) {
  return comes_true([&] { return !process.running(); });
}

TEST(DemoProcess, runs_with_its_output_in_files_and_tells_its_status) {
  const ScratchDir dir;
  Process process(shell(dir, "echo out; echo err >&2; cat; exit 3"));
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(demo::describe_status(process.status()), "exit status 3");
  EXPECT_EQ(demo::read_file(dir.path() / "out"), "out\n");
  EXPECT_EQ(demo::read_file(dir.path() / "err"), "err\n");
}

TEST(DemoProcess, says_which_program_can_not_be_started) {
  const ScratchDir dir;
  demo::Launch launch = shell(dir, "");
  launch.program = dir.path() / "nobody";
  try {
    const Process process(launch);
    FAIL() << "it started";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("nobody"));
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
  }
}

TEST(DemoProcess, stops_by_the_gentle_signal_first) {
  const ScratchDir dir;
  Process process(shell(dir, "trap 'exit 0' TERM; echo up; while :; do read x < /dev/null; done"));
  ASSERT_TRUE(comes_true([&] { return demo::read_file(dir.path() / "out") == "up\n"; }));
  EXPECT_TRUE(process.running());
  EXPECT_TRUE(process.stop());
  EXPECT_FALSE(process.running());
}

TEST(DemoProcess, stops_what_is_deaf_to_the_gentle_signal) {
  const ScratchDir dir;
  Process process(shell(dir, "trap '' TERM; echo up; while :; do read x < /dev/null; done"));
  ASSERT_TRUE(comes_true([&] { return demo::read_file(dir.path() / "out") == "up\n"; }));
  EXPECT_FALSE(process.stop(std::chrono::milliseconds(20)));
  EXPECT_EQ(WTERMSIG(process.status()), SIGKILL);
}

TEST(DemoProcess, starts_children_with_default_signals_and_no_further_descriptor) {
  const ScratchDir dir;
  const Signals signals;
  Process process(shell(dir, "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l"));
  ASSERT_TRUE(ends(process));
  // The fourth is the one by which ls reads the directory.
  EXPECT_EQ(demo::read_file(dir.path() / "out"), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n4\n");
}

TEST(DemoProcess, tells_the_processor_time_of_a_running_child) {
  const ScratchDir dir;
  Process process(shell(dir, "while :; do :; done"));
  const auto before = process.cpu_time();
  EXPECT_TRUE(comes_true([&] { return process.cpu_time() - before > std::chrono::milliseconds(1); }));
}

TEST(DemoProcess, keeps_a_child_on_its_processor) {
  const auto cpus = demo::two_processors();
  if (!cpus) GTEST_SKIP() << "only one processor";
  const ScratchDir dir;
  demo::Launch launch = shell(dir, "grep Cpus_allowed_list /proc/self/status");
  launch.cpu = cpus->second;
  Process process(launch);
  ASSERT_TRUE(ends(process));
  EXPECT_EQ(demo::read_file(dir.path() / "out"),
            "Cpus_allowed_list:\t" + std::to_string(cpus->second) + "\n");
}

TEST(DemoSignals, turn_a_request_to_end_into_an_exception) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Signals signals;
    ::raise(signal);
    try {
      signals.pause(std::chrono::seconds(60));
      ADD_FAILURE() << "not interrupted";
    } catch (const demo::Interrupted& interrupted) {
      EXPECT_EQ(interrupted.signal, signal);
    }
  }
}

TEST(DemoSignals, end_a_pause_when_a_child_ends) {
  const ScratchDir dir;
  Signals signals;
  Process process(shell(dir, "exit 0"));
  while (process.running()) signals.pause(std::chrono::seconds(60));
}

TEST(DemoScratchDir, is_removed_with_all_that_is_in_it) {
  fs::path place;
  {
    const ScratchDir dir;
    place = dir.path();
    std::ofstream(dir.fresh("deep") / "file") << "x";
    EXPECT_TRUE(fs::exists(place / "deep" / "file"));
    EXPECT_TRUE(fs::is_empty(dir.fresh("deep")));
  }
  EXPECT_FALSE(fs::exists(place));
}

TEST(DemoScratchDir, and_children_go_even_when_the_demo_is_killed) {
  const ScratchDir outer;
  const fs::path note = outer.path() / "note";
  const pid_t victim = ::fork();
  if (victim == 0) {
    const ScratchDir dir;
    const Process process(shell(dir, "trap '' TERM INT HUP; echo $$; while :; do read x < /dev/null; done"));
    comes_true([&] { return !demo::read_file(dir.path() / "out").empty(); });
    std::ofstream(note) << dir.path().string() << "\n" << demo::read_file(dir.path() / "out") << std::flush;
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(victim, &status, 0), victim);
  std::ifstream file(note);
  std::string place;
  pid_t child = 0;
  ASSERT_TRUE(file >> place >> child);
  EXPECT_TRUE(comes_true([&] { return !fs::exists(place); }));
  // Gone, or dead and not yet reaped by whoever inherits it.
  EXPECT_TRUE(comes_true([&] {
    const std::string stat = demo::read_file(fs::path("/proc") / std::to_string(child) / "stat");
    return stat.empty() || stat.find(") Z ") != std::string::npos;
  }));
}

TEST(DemoPath, finds_programs) {
  EXPECT_TRUE(demo::find_in_path("sh").has_value());
  EXPECT_FALSE(demo::find_in_path("no-such-program-anywhere").has_value());
  EXPECT_FALSE(demo::own_directory().empty());
}

TEST(DemoLastLines, are_the_ones_that_say_something) {
  EXPECT_EQ(demo::last_lines("one\ntwo\n\n  \nthree\tx\r\n", 2), "two | three x ");
  EXPECT_EQ(demo::last_lines("", 2), "");
  EXPECT_EQ(demo::last_lines("only", 2), "only");
  EXPECT_EQ(demo::last_lines(std::string(1000, 'x')).size(), 303U);
}

TEST(DemoFreePort, is_one_that_refuses_a_connection) {
  Signals signals;
  const std::uint16_t port = demo::free_port();
  EXPECT_GT(port, 0);
  EXPECT_THROW(demo::RespClient(signals, port, std::chrono::seconds(10)), std::system_error);
}

TEST(OutputFile, is_checked_without_a_trace) {
  const ScratchDir dir;
  const std::string fresh = dir.path() / "fresh";
  tools::check_writable(fresh);
  EXPECT_FALSE(fs::exists(fresh));
  const std::string old = dir.path() / "old";
  tools::write_file(old, "a longer text");
  tools::check_writable(old);
  EXPECT_EQ(demo::read_file(old), "a longer text");
  tools::write_file(old, "short");
  EXPECT_EQ(demo::read_file(old), "short");
}

TEST(OutputFile, says_what_can_not_be_written) {
  const ScratchDir dir;
  for (const std::string& path :
       {(dir.path() / "no" / "such").string(), dir.path().string(), std::string()}) {
    EXPECT_THROW(tools::check_writable(path), std::system_error) << path;
    EXPECT_THROW(tools::write_file(path, "x"), std::system_error) << path;
  }
}

}  // namespace
