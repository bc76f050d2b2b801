// One list of everything that a program can await, each with the tests that stop it at every suspension and
// at every moment between wake-up and run (support/suspension_harness.hpp), and proof that the list is whole:
// what a header's comment says suspends is in it.
#include "layout/layout_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heirloop::layout {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

struct Awaitable {
  std::string header;
  std::string name;  // "co_await": of objects of the header's class
  std::vector<std::string> tests;
};

const std::vector<Awaitable>& awaitables() {
  static const std::vector<Awaitable> all = {
      {"sched/coro.hpp",
       "co_await",
       {"StoppedEverywhere.lock", "StoppedScheduling.coroutine_in_another_context"}},
      {"sched/context.hpp", "coro_await", {"StoppedScheduling.coroutine_in_another_context"}},
      {"sched/task.hpp", "co_await", {"StoppedEverywhere.await_of_a_task"}},
      {"sched/future.hpp", "co_await", {"StoppedGroups.future"}},
      {"sched/interrupt.hpp",
       "task_interrupt",
       {"StoppedEverywhere.interrupt_of_one_that_has_to_take_its_lock_first"}},
      {"sched/operations.hpp", "sleep", {"StoppedEverywhere.sleep", "StoppedScheduling.sleeps"}},
      {"sched/operations.hpp", "sleep_until", {"StoppedScheduling.sleeps"}},
      {"sched/operations.hpp", "checkpoint", {"StoppedEverywhere.sleep", "StoppedScheduling.sleeps"}},
      {"sched/scheduling.hpp", "sleep_insert", {"StoppedScheduling.positions_and_starts"}},
      {"sched/scheduling.hpp", "task_switch", {"StoppedScheduling.positions_and_starts"}},
      {"sched/scheduling.hpp", "create_task_descend", {"StoppedScheduling.positions_and_starts"}},
      {"sched/scheduling.hpp", "create_task_start", {"StoppedScheduling.positions_and_starts"}},

      {"sync/lock.hpp", "acquire", {"StoppedEverywhere.lock"}},
      {"sync/condition.hpp", "wait", {"StoppedEverywhere.condition"}},
      {"sync/condition.hpp", "wait_for", {"StoppedEverywhere.condition"}},
      {"sync/semaphore.hpp", "acquire", {"StoppedOwned.semaphore"}},
      {"sync/rw_lock.hpp", "read", {"StoppedOwned.reader_writer_lock"}},
      {"sync/rw_lock.hpp", "write", {"StoppedOwned.reader_writer_lock"}},
      {"sync/shared.hpp", "lock", {"StoppedOwned.shared_value"}},
      {"sync/shared.hpp", "read", {"StoppedOwned.shared_value_of_readers_and_writers"}},
      {"sync/shared.hpp", "write", {"StoppedOwned.shared_value_of_readers_and_writers"}},
      {"sync/event.hpp", "wait", {"StoppedPrimitives.event"}},
      {"sync/signal_semaphore.hpp", "acquire", {"StoppedPrimitives.signal_semaphore"}},
      {"sync/barrier.hpp", "wait", {"StoppedPrimitives.barrier"}},
      {"sync/wait_group.hpp", "wait", {"StoppedPrimitives.wait_group"}},
      {"sync/once.hpp", "call", {"StoppedPrimitives.once"}},
      {"sync/queue.hpp",
       "put",
       {"StoppedPrimitives.queue", "StoppedPrimitives.priority_queue", "StoppedPrimitives.lifo_queue"}},
      {"sync/queue.hpp",
       "get",
       {"StoppedPrimitives.queue", "StoppedPrimitives.priority_queue", "StoppedPrimitives.lifo_queue"}},
      {"sync/queue.hpp", "join", {"StoppedPrimitives.queue"}},
      {"sync/channel.hpp",
       "send",
       {"StoppedChannel.send", "StoppedChannel.send_in_a_rendezvous", "StoppedChannel.pipe"}},
      {"sync/channel.hpp", "send_from", {"StoppedChannel.send", "StoppedChannel.send_in_a_rendezvous"}},
      {"sync/channel.hpp", "receive", {"StoppedChannel.receive", "StoppedChannel.receive_in_a_rendezvous"}},
      {"sync/select.hpp", "select", {"StoppedChannel.select"}},

      {"io/tcp.hpp", "connect", {"StoppedIo.connect"}},
      {"io/tcp.hpp", "fill", {"StoppedIo.read"}},
      {"io/tcp.hpp", "read_some", {"StoppedIo.read"}},
      {"io/tcp.hpp", "read_exactly", {"StoppedIo.read"}},
      {"io/tcp.hpp", "read_line", {"StoppedIo.read_line"}},
      {"io/tcp.hpp", "write", {"StoppedIo.write"}},
      {"io/tcp.hpp", "write_result", {"StoppedIo.write"}},
      {"io/tcp.hpp", "shutdown_write", {"StoppedIo.drain_of_a_stream"}},
      {"io/tcp.hpp", "accept", {"StoppedIo.accept"}},
      {"io/tcp.hpp", "close", {"StoppedClose.stream", "StoppedClose.listener"}},
      {"io/file.hpp", "open", {"StoppedIo.file"}},
      {"io/file.hpp", "append", {"StoppedIo.file"}},
      {"io/file.hpp", "write_at", {"StoppedClose.write_at_a_place_of_a_file"}},
      {"io/file.hpp", "read_at", {"StoppedIo.file"}},
      {"io/file.hpp", "fsync", {"StoppedIo.file", "StoppedClose.write_at_a_place_of_a_file"}},
      {"io/file.hpp", "fdatasync", {"StoppedIo.file", "StoppedClose.write_at_a_place_of_a_file"}},
      {"io/file.hpp", "close", {"StoppedClose.file", "StoppedIo.file"}},
      {"io/signals.hpp", "next", {"StoppedIo.signals"}},

      {"runtime/task_group.hpp", "with_task_group", {"StoppedGroups.group"}},
      {"runtime/task_group.hpp", "start", {"StoppedGroups.start_of_a_child_that_reports"}},
      {"runtime/gather.hpp",
       "gather",
       {"StoppedGroups.gather_of_coroutines", "StoppedGroups.gather_of_tasks",
        "StoppedGroups.gather_of_outcomes_futures_and_ranges"}},
      {"runtime/gather.hpp", "wait", {"StoppedGroups.gather_of_coroutines"}},  // inside gather
      {"runtime/timeout.hpp", "timeout", {"StoppedGroups.limits_of_both_kinds"}},
      {"runtime/timeout.hpp", "timeout_at", {"StoppedGroups.limits_at_points_in_time_and_of_single_waits"}},
      {"runtime/timeout.hpp", "move_on_after", {"StoppedGroups.limits_of_both_kinds"}},
      {"runtime/timeout.hpp", "move_on_at", {"StoppedGroups.limits_at_points_in_time_and_of_single_waits"}},
      {"runtime/timeout.hpp", "task_timeout", {"StoppedGroups.limits_of_both_kinds"}},
      {"runtime/timeout.hpp",
       "task_timeout_at",
       {"StoppedGroups.limits_at_points_in_time_and_of_single_waits"}},
      {"runtime/timeout.hpp",
       "wait_for",
       {"StoppedGroups.limits_of_both_kinds", "StoppedGroups.limits_at_points_in_time_and_of_single_waits"}},
      {"runtime/wait_tasks.hpp",
       "wait",
       {"StoppedGroups.wait_for_tasks_that_go_on", "StoppedGroups.futures_that_are_only_watched"}},
      {"runtime/wait_tasks.hpp",
       "next",
       {"StoppedGroups.as_completed", "StoppedGroups.futures_that_are_only_watched"}},
      {"runtime/wait_tasks.hpp",
       "shield",
       {"StoppedGroups.shield", "StoppedGroups.futures_that_are_only_watched"}},
      {"runtime/async_generator.hpp", "next", {"AsyncGeneratorStopped.at_every_suspension_inside_next"}},
      {"runtime/async_generator.hpp", "athrow", {"AsyncGeneratorStopped.at_every_suspension_inside_athrow_and_aclose"}},
      {"runtime/async_generator.hpp", "aclose", {"AsyncGeneratorStopped.at_every_suspension_inside_athrow_and_aclose"}},
      {"runtime/ensure.hpp", "ensure", {"StoppedGroups.ensure"}},
      {"runtime/threads.hpp",
       "run_in_executor",
       {"StoppedJobsEverywhere.awaited", "StoppedJobsEverywhere.abandoned"}},
      {"runtime/threads.hpp",
       "to_thread",
       {"StoppedJob.that_runs_is_awaited"}},  // run_in_executor on the runtime's own pool
      {"runtime/run.hpp", "drain_requested", {"StoppedGroups.request_to_drain"}},
      {"runtime/run.hpp", "DrainRequest", {"StoppedGroups.request_to_drain"}},  // what it gives
  };
  return all;
}

std::vector<File> files_below(const std::string& folder, std::string_view ending) {
  const fs::path top = HEIRLOOP_SOURCE_DIR;
  std::vector<File> files;
  for (const auto& entry : fs::recursive_directory_iterator(top / folder)) {
    const std::string path = entry.path().lexically_relative(top).generic_string();
    if (!path.ends_with(ending)) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    files.push_back({path, std::string(std::istreambuf_iterator<char>(in), {})});
  }
  return files;
}

std::vector<File> headers() {
  std::vector<File> all;
  for (const char* folder : {"sched", "sync", "io", "runtime"}) {
    for (File& file : files_below(folder, ".hpp")) all.push_back(std::move(file));
  }
  return all;
}

/// The functions, and classes, whose comment says that they suspend.
std::set<std::string> what_suspends(const std::string& text) {
  static const std::regex says("Suspends(?!: never)");
  static const std::regex skipped("^\\s*(template|requires)\\b");
  static const std::regex named("\\boperator (co_await)\\b|\\bclass (\\w+) final\\b|(\\w+)\\(");
  std::set<std::string> names;
  std::istringstream lines(text);
  bool suspends = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("///") != std::string::npos) {
      suspends = suspends || std::regex_search(line, says);
    } else if (suspends && !std::regex_search(line, skipped)) {
      suspends = false;
      std::smatch match;
      if (!std::regex_search(line, match, named)) {
        names.insert("?: " + line);
        continue;
      }
      for (std::size_t i = 1; i < match.size(); ++i) {
        if (match[i].matched) names.insert(match[i].str());
      }
    }
  }
  return names;
}

TEST(AwaitablesRules, what_suspends_is_found_however_it_is_declared) {
  EXPECT_EQ(what_suspends("/// Waits.\n/// Suspends: always.\n[[nodiscard]] Acquire acquire();\n"),
            std::set<std::string>{"acquire"});
  EXPECT_EQ(
      what_suspends("/// Suspends: always.\ntemplate <class T>\n  requires true\nCoro<A<T>> gather(T t) {\n"),
      std::set<std::string>{"gather"});
  EXPECT_EQ(what_suspends("  /// Suspends, Errors: as that.\n  auto operator co_await() const;\n"),
            std::set<std::string>{"co_await"});
  EXPECT_EQ(what_suspends("/// Suspends: always.\nclass Request final : public Wait {\n"),
            std::set<std::string>{"Request"});
  EXPECT_EQ(what_suspends("/// Suspends: never.\nCoro<void> bind();\n"), std::set<std::string>{});
  EXPECT_EQ(what_suspends("/// Errors: none.\nCoro<void> bind();\n"), std::set<std::string>{});
}

TEST(Awaitables, everything_that_suspends_is_in_the_list) {
  std::vector<std::string> missing;
  for (const File& header : headers()) {
    for (const std::string& name : what_suspends(header.text)) {
      const bool listed =
          std::any_of(awaitables().begin(), awaitables().end(), [&](const Awaitable& awaitable) {
            return awaitable.header == header.path && awaitable.name == name;
          });
      if (!listed) missing.push_back(header.path + ": " + name);
    }
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(Awaitables, everything_in_the_list_is_there_and_has_its_tests) {
  const std::vector<File> all_headers = headers();
  std::set<std::string> tests;
  static const std::regex test("\\bTEST(?:_F|_P)?\\((\\w+), (\\w+)\\)");
  for (const File& file : files_below("tests", "_test.cpp")) {
    for (auto it = std::sregex_iterator(file.text.begin(), file.text.end(), test);
         it != std::sregex_iterator(); ++it) {
      tests.insert((*it)[1].str() + '.' + (*it)[2].str());
    }
  }
  std::vector<std::string> missing;
  for (const Awaitable& awaitable : awaitables()) {
    const auto header = std::find_if(all_headers.begin(), all_headers.end(),
                                     [&](const File& file) { return file.path == awaitable.header; });
    if (header == all_headers.end() || header->text.find(awaitable.name) == std::string::npos) {
      missing.push_back(awaitable.header + ": " + awaitable.name);
    }
    EXPECT_THAT(awaitable.tests, ::testing::Not(IsEmpty())) << awaitable.name;
    for (const std::string& name : awaitable.tests) {
      if (!tests.contains(name)) missing.push_back(name);
    }
  }
  EXPECT_THAT(missing, IsEmpty());
}

}  // namespace
}  // namespace heirloop::layout
