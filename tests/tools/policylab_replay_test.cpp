// Recording a study, and running it again dispatch by dispatch.
#include "common/output_file.hpp"
#include "demo/process.hpp"
#include "kvserver_child.hpp"
#include "policylab/recording.hpp"
#include "policylab/report.hpp"
#include "policylab/session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>
#include <system_error>

namespace {

using namespace policylab;
using testing::AllOf;
using testing::HasSubstr;

const Listener nobody{[](std::string_view, std::string_view) {}, [](const WorkloadStudy&) {}};

Options short_study() {
  Options options;
  options.workloads = {"herd", "churn"};
  const auto all = heirloop::all_policies();
  options.policies.assign(all.begin(), all.end());
  options.seconds = 0.3;
  options.seed = 5;
  options.record_path = "not written here";
  return options;
}

/// The recording of a short study; made once.
const Outcome& recorded() {
  static const Outcome made = carry_out(prepare(short_study()), nobody);
  return made;
}

/// What the replay of a recording says.
std::string replay(const Recording& recording) {
  const demo::ScratchDir dir;
  Options options;
  options.replay_path = dir.path() / "recording";
  write_recording(options.replay_path, recording);
  try {
    const Outcome outcome = carry_out(prepare(options), nobody);
    std::uint64_t dispatches = 0;
    for (const RecordedRun& run : recording.runs) dispatches += run.schedule.dispatches.size();
    EXPECT_EQ(outcome.verified, dispatches);
    EXPECT_EQ(to_json(outcome.study, Detail::pictures), to_json(recorded().study, Detail::pictures));
    return "the same";
  } catch (const ReplayDeparted& departed) {
    return departed.what();
  }
}

TEST(PolicylabReplay, is_the_same_to_the_last_dispatch) {
  ASSERT_EQ(recorded().recording.runs.size(), 2 * heirloop::all_policies().size());
  for (const RecordedRun& run : recorded().recording.runs) EXPECT_GT(run.schedule.dispatches.size(), 1000U);
  EXPECT_EQ(replay(recorded().recording), "the same");
}

TEST(PolicylabReplay, says_at_which_dispatch_a_changed_program_departs) {
  Recording changed = recorded().recording;
  ++changed.runs[0].schedule.dispatches[100].time_ns;
  EXPECT_THAT(replay(changed),
              HasSubstr("the replay of herd under fifo departs from the recording at dispatch 100: "));
  changed = recorded().recording;
  changed.seed = 6;
  EXPECT_THAT(replay(changed), HasSubstr("under fifo departs from the recording at dispatch "));
  changed = recorded().recording;
  changed.runs[1].policy = heirloop::PolicyKind::fifo;
  EXPECT_THAT(replay(changed), HasSubstr("the replay of herd under fifo departs"));
}

TEST(PolicylabReplay, notices_a_recording_that_is_too_long_or_too_short) {
  Recording changed = recorded().recording;
  auto& dispatches = changed.runs[0].schedule.dispatches;
  const std::string count = std::to_string(dispatches.size());
  dispatches.push_back(dispatches.back());
  EXPECT_THAT(replay(changed),
              AllOf(HasSubstr("dispatch " + count + ": recorded is task "), HasSubstr("now it is the end")));
  dispatches.resize(dispatches.size() - 2);
  EXPECT_THAT(replay(changed), HasSubstr(": recorded is the end, now it is task "));
}

TEST(PolicylabReplay, refuses_what_is_no_recording) {
  const demo::ScratchDir dir;
  const std::string path = dir.path() / "file";
  const auto says = [&](const std::string& text) -> std::string {
    tools::write_file(path, text);
    try {
      static_cast<void>(read_recording(path));
    } catch (const RecordingFormatError& error) {
      return error.what();
    }
    return "accepted";
  };
  const std::string begin = "'" + path + "' is no recording of policylab: ";
  const std::string head = "heirloop policylab recording 1\nseed 1\ninheritance on\n";
  EXPECT_EQ(says(""), begin + "line 1: expected another line, found the end of the file");
  EXPECT_EQ(says("workload w\n"),
            begin + "line 1: expected heirloop policylab recording 1, found 'workload w'");
  EXPECT_EQ(says("heirloop policylab recording 1\nseed -1\n"),
            begin + "line 2: expected a seed, found 'seed -1'");
  EXPECT_EQ(says(head), begin + "line 4: expected another line, found the end of the file");
  EXPECT_EQ(says(head + "end\n"), begin + "line 4: expected a run, found 'end'");
  EXPECT_EQ(says(head + "run fair 1 1 w\n"), begin + "line 4: expected a policy, found 'run fair 1 1 w'");
  EXPECT_EQ(says(head + "run fifo 0 1 w\n"),
            begin + "line 4: expected the length of a run, found 'run fifo 0 1 w'");
  EXPECT_THAT(
      says(head + "run fifo 1 1 w\nworkload w\nend\n"),
      HasSubstr("in the schedule behind line 5: line 1: expected 'heirloop schedule 1', found 'end'"));
  write_recording(path, recorded().recording);
  const std::string whole = demo::read_file(path);
  EXPECT_THAT(says(whole.substr(0, whole.size() / 2)), HasSubstr("is no recording of policylab"));
  EXPECT_THROW(static_cast<void>(read_recording(dir.path() / "none")), std::system_error);
  EXPECT_THROW(static_cast<void>(read_recording(dir.path())), std::system_error);
}

TEST(PolicylabReplay, works_from_the_command_line) {
  const demo::ScratchDir dir;
  const std::string recording = dir.path() / "recording";
  const std::string first = dir.path() / "first.json";
  const std::string again = dir.path() / "again.json";
  using kvtest::run_program;
  ASSERT_EQ(run_program({HEIRLOOP_POLICYLAB, "inversion", "--seconds", "0.5", "--no-inheritance", "--record",
                         recording, "--json", first})
                .end,
            kvtest::clean_end);
  const auto replayed = run_program({HEIRLOOP_POLICYLAB, "--replay", recording, "--json", again});
  EXPECT_EQ(replayed.end, kvtest::clean_end) << replayed.err;
  EXPECT_THAT(replayed.out, HasSubstr("The replay is the recording: "));
  EXPECT_EQ(demo::read_file(first), demo::read_file(again));

  Recording changed = read_recording(recording);
  ++changed.runs[0].schedule.dispatches[20].task;
  write_recording(recording, changed);
  const auto departed = run_program({HEIRLOOP_POLICYLAB, "--replay", recording});
  EXPECT_EQ(departed.end, "exit status 1");
  EXPECT_THAT(
      departed.err,
      HasSubstr("policylab: the replay of inversion under fifo departs from the recording at dispatch 20: "));
}

}  // namespace
