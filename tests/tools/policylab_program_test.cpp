// policylab as a program: what it prints and writes, and how it refuses.
#include "common/output_file.hpp"
#include "demo/process.hpp"
#include "kvserver_child.hpp"
#include "policylab/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <variant>
#include <vector>

namespace {

using kvtest::Finished;
using testing::HasSubstr;
using testing::StartsWith;

Finished run_policylab(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), HEIRLOOP_POLICYLAB);
  return kvtest::run_program(std::move(arguments));
}

void expect_refusal(const std::vector<std::string>& arguments, const std::string& says) {
  const Finished run = run_policylab(arguments);
  EXPECT_EQ(run.end, "exit status 2");
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_THAT(run.err, StartsWith("policylab: "));
  EXPECT_THAT(run.err, HasSubstr(says));
}

TEST(PolicylabProgram, runs_a_workload_under_policies_and_writes_files) {
  const demo::ScratchDir dir;
  const std::string json_path = dir.path() / "figures.json";
  const std::string csv_path = dir.path() / "figures.csv";
  const Finished run = run_policylab({"requests", "--policy", "strict,aging,strict", "--seconds", "0.5",
                                      "--seed", "3", "--json", json_path, "--csv", csv_path});
  ASSERT_EQ(run.end, kvtest::clean_end) << run.err;
  EXPECT_THAT(run.out, HasSubstr("p99.9"));
  const auto json = nlohmann::json::parse(demo::read_file(json_path));
  EXPECT_EQ(json["seed"], 3);
  ASSERT_EQ(json["workloads"].size(), 1U);
  ASSERT_EQ(json["workloads"][0]["runs"].size(), 2U);
  EXPECT_EQ(json["workloads"][0]["runs"][1]["policy"], "aging");
  EXPECT_THAT(demo::read_file(csv_path), HasSubstr("\nrequests,strict,request,-10,"));
}

TEST(PolicylabProgram, runs_in_real_time) {
  const Finished run = run_policylab({"requests", "--policy", "aging", "--seconds", "0.05", "--real"});
  ASSERT_EQ(run.end, kvtest::clean_end) << run.err;
  EXPECT_THAT(run.out, HasSubstr("of real time"));
}

TEST(PolicylabProgram, shows_its_workloads) {
  const demo::ScratchDir dir;
  EXPECT_THAT(run_policylab({"--list"}).out, HasSubstr("requests\n"));
  const Finished shown = run_policylab({"--show", "herd"});
  EXPECT_THAT(shown.out, StartsWith("workload herd\n"));
  const std::string path = dir.path() / "own";
  tools::write_file(path, shown.out);
  EXPECT_EQ(run_policylab({path, "--policy", "fifo", "--seconds", "0.1"}).end, kvtest::clean_end);
}

TEST(PolicylabProgram, refuses_a_malformed_file_with_its_line) {
  const demo::ScratchDir dir;
  const std::string path = dir.path() / "own";
  tools::write_file(path, "workload own\nlength 1\n");
  expect_refusal({path},
                 path + ":2: expected a time from 1 ms to 3600 s with its unit (ns, us, ms or s), found '1'");
  expect_refusal({dir.path() / "none"}, "can't read '" + (dir.path() / "none").string() + "'");
}

TEST(PolicylabProgram, refuses_files_that_can_not_be_written_before_it_runs) {
  expect_refusal({"requests", "--json", "/proc/none/figures.json"}, "/proc/none/figures.json");
  expect_refusal({"requests", "--csv", "/"}, "can't write '/'");
  expect_refusal({"requests", "--json", "same", "--csv", "same"},
                 "--csv: 'same' is to hold something else already");
  expect_refusal({"requests", "--json", ""}, "--json: the path is empty");
}

TEST(PolicylabProgram, refuses_options_that_make_no_sense) {
  expect_refusal({"--policy", "fair"}, "--policy: unknown policy 'fair'; one of: fifo, strict, aging");
  expect_refusal({"--policy", "aging,"}, "--policy: unknown policy ''");
  expect_refusal({"--seed", "-1"}, "--seed");
  expect_refusal({"--seconds", "nan"}, "--seconds");
  expect_refusal({"--seconds", "0"}, "--seconds");
  expect_refusal({"--show", "nothing"}, "--show: there is no built-in workload 'nothing'");
  expect_refusal({"--nonsense"}, "--nonsense");
  expect_refusal({"--record", "file", "--real"}, "--record: no run in real time is the same again");
  expect_refusal({"--replay", "file", "--seed", "3"}, "--replay: the recording says it; leave --seed out");
  expect_refusal({"requests", "--replay", "file"}, "leave WORKLOAD out");
}

}  // namespace
