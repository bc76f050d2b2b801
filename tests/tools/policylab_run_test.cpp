// Runs in virtual time: the same every time, and what the laboratory is to show about the policies.
#include "policylab/builtin.hpp"
#include "policylab/parser.hpp"
#include "policylab/report.hpp"
#include "policylab/run.hpp"
#include "policylab/study.hpp"
#include "policylab/tables.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <sstream>
#include <string>

namespace {

using namespace policylab;
using heirloop::PolicyKind;
using testing::HasSubstr;

Workload builtin(std::string_view name) {
  for (const Builtin& each : builtin_workloads()) {
    if (each.name == name) return parse_workload(each.text, name);
  }
  throw std::out_of_range("there is no such built-in workload");
}

RunOptions under(PolicyKind policy, std::uint64_t seed = 1) {
  RunOptions options;
  options.policy = policy;
  options.seed = seed;
  return options;
}

RunResult run(std::string_view text, PolicyKind policy) {
  const Workload workload = parse_workload(text, "test");
  return run_workload(workload, under(policy));
}

/// Every built-in workload under every policy, for at most so long.
Study study_of_all(std::int64_t longest_ns) {
  Study study;
  for (const Builtin& each : builtin_workloads()) {
    WorkloadStudy& added = study.workloads.emplace_back();
    added.workload = parse_workload(each.text, each.name);
    added.workload.length_ns = std::min(added.workload.length_ns, longest_ns);
    for (const PolicyKind policy : heirloop::all_policies()) {
      added.runs.push_back(run_workload(added.workload, under(policy)));
    }
  }
  return study;
}

const Study& everything() {
  static const Study made = study_of_all(INT64_MAX);
  return made;
}

const Study& a_second_of_everything() {
  static const Study made = study_of_all(1'000'000'000);
  return made;
}

const RunResult& run_of(const WorkloadStudy& study, PolicyKind policy) {
  return *std::ranges::find(study.runs, heirloop::to_string(policy), &RunResult::policy);
}

TEST(PolicylabRun, writes_the_same_bytes_for_the_same_seed) {
  const auto json_of = [](std::uint64_t seed) {
    Study study;
    study.seed = seed;
    for (const char* name : {"herd", "churn"}) {
      WorkloadStudy& each = study.workloads.emplace_back();
      each.workload = builtin(name);
      each.workload.length_ns = 1'000'000'000;
      for (const PolicyKind policy : heirloop::all_policies())
        each.runs.push_back(run_workload(each.workload, under(policy, seed)));
    }
    return to_json(study, Detail::pictures).dump() + to_csv(study);
  };
  const std::string first = json_of(7);
  EXPECT_EQ(first, json_of(7));
  EXPECT_NE(first, json_of(8));
}

TEST(PolicylabRun, aging_keeps_its_bound_in_every_built_in_workload) {
  for (const WorkloadStudy& each : everything().workloads) {
    const RunResult& aging = run_of(each, PolicyKind::aging);
    EXPECT_EQ(worst_late_ns(aging), 0) << each.workload.name;
    for (const ClassResult& row : aging.classes) EXPECT_EQ(row.late_steps, 0U) << each.workload.name;
  }
}

TEST(PolicylabRun, strict_and_boost_do_not_keep_it_in_one_at_least) {
  for (const PolicyKind policy : {PolicyKind::strict, PolicyKind::boost}) {
    const auto starves = [policy](const WorkloadStudy& each) {
      return std::ranges::any_of(run_of(each, policy).classes,
                                 [](const ClassResult& row) { return row.starved_ns > 50'000'000; });
    };
    EXPECT_TRUE(std::ranges::any_of(everything().workloads, starves)) << heirloop::to_string(policy);
  }
}

TEST(PolicylabRun, edf_meets_the_deadlines_that_follow_no_priority) {
  const auto& workloads = everything().workloads;
  const auto& study = *std::ranges::find(workloads, "deadlines",
                                         [](const WorkloadStudy& each) { return each.workload.name; });
  std::uint64_t missed_by_strict = 0;
  for (const ClassResult& row : run_of(study, PolicyKind::strict).classes) missed_by_strict += row.missed;
  EXPECT_GT(missed_by_strict, 0U);
  for (const ClassResult& row : run_of(study, PolicyKind::edf).classes) EXPECT_EQ(row.missed, 0U) << row.name;
}

TEST(PolicylabRun, shares_gives_groups_their_weights) {
  // Both groups want more than they get; one weighs three times as much.
  const RunResult result = run(R"(workload w
length 2 s
group heavy weight 3
group light weight 1
class a
  arrives closed 3 think fixed 0 ms
  step fixed 100 us
  priority low
  group heavy
class b
  arrives closed 3 think fixed 0 ms
  step fixed 100 us
  priority high
  group light
)",
                               PolicyKind::shares);
  EXPECT_NEAR(result.classes[0].share, 0.75, 0.01);
  EXPECT_NEAR(result.classes[1].share, 0.25, 0.01);
}

TEST(PolicylabRun, the_urgent_class_does_not_notice_aging_unless_the_backlog_is_older_than_the_gap) {
  std::size_t young = 0;
  std::size_t old = 0;
  for (const WorkloadStudy& each : everything().workloads) {
    const auto urgent = compare_urgent(each);
    ASSERT_TRUE(urgent.has_value());
    const std::string sentences = testing::PrintToString(findings(each));
    if (urgent->less_urgent_first == 0) {
      ++young;
      EXPECT_TRUE(urgent->within_one_step) << each.workload.name << " " << sentences;
      EXPECT_THAT(sentences, HasSubstr("The backlog was younger than the gap of priorities"));
    } else {
      ++old;
      EXPECT_THAT(sentences, HasSubstr("had waited for longer than the gap of priorities went first"));
    }
  }
  EXPECT_GE(young, 1U);
  EXPECT_GE(old, 1U);
}

TEST(PolicylabRun, counts_every_job_and_the_whole_processor) {
  for (const WorkloadStudy& each : a_second_of_everything().workloads) {
    for (const RunResult& result : each.runs) {
      double shares = result.idle;
      std::uint64_t steps = 0;
      for (const ClassResult& row : result.classes) {
        shares += row.share;
        steps += row.wait.count;
        EXPECT_EQ(row.arrived, row.finished + row.unfinished) << each.workload.name << " " << result.policy;
        EXPECT_EQ(row.latency.count, row.arrived);
        EXPECT_LE(row.missed, row.deadlines);
        EXPECT_LE(row.wait.p50_ns, row.wait.p99_ns);
        EXPECT_LE(row.wait.p99_ns, row.wait.p999_ns);
        EXPECT_LE(row.wait.p999_ns, row.wait.max_ns);
      }
      EXPECT_NEAR(shares, 1, 1e-9);
      EXPECT_GE(steps, result.dispatches);  // those that still waited at the end count, too
      EXPECT_GE(result.elapsed_ns, each.workload.length_ns);
      EXPECT_LE(result.elapsed_ns, each.workload.length_ns + longest_step_ns(each.workload));
    }
  }
}

TEST(PolicylabRun, the_same_jobs_arrive_under_every_policy) {
  for (const WorkloadStudy& each : a_second_of_everything().workloads) {
    for (std::size_t i = 0; i < each.workload.classes.size(); ++i) {
      if (each.workload.classes[i].arrival.kind == Arrival::Kind::closed) continue;
      const auto first = static_cast<double>(each.runs.front().classes[i].arrived);
      // The run ends behind the last step, a little later under one policy than under another.
      for (const RunResult& result : each.runs)
        EXPECT_NEAR(static_cast<double>(result.classes[i].arrived), first, 20);
    }
  }
}

TEST(PolicylabRun, a_class_more_does_not_change_when_the_others_arrive) {
  const std::string one =
      "workload w\nlength 1 s\nclass a\narrives poisson 100/s\nstep exponential 1 us max 5 us\n";
  const std::string more = "class b\narrives periodic 100 ms\nstep fixed 1 us\n";
  EXPECT_EQ(run(one, PolicyKind::fifo).classes[0].arrived,
            run(one + more, PolicyKind::fifo).classes[0].arrived);
}

TEST(PolicylabRun, measures_waits_latencies_and_deadlines_exactly) {
  // Each second: two jobs at once, each of two steps of 10 ms, first come first served in turns.
  const RunResult result = run(R"(workload w
length 10 s
class pair
  arrives burst 2 every 1 s
  steps fixed 2
  step fixed 10 ms
  deadline 35 ms
)",
                               PolicyKind::aging);
  const ClassResult& pair = result.classes[0];
  EXPECT_EQ(result.dispatches, 40U);
  EXPECT_EQ(pair.arrived, 20U);
  EXPECT_EQ(pair.finished, 20U);
  EXPECT_DOUBLE_EQ(pair.share, 0.04);
  EXPECT_DOUBLE_EQ(result.idle, 0.96);
  EXPECT_DOUBLE_EQ(pair.finished_per_s, 2);
  EXPECT_EQ(pair.latency.max_ns, 40'000'000);  // turns: 0-10, 10-20, 20-30, 30-40
  EXPECT_EQ(pair.wait.max_ns, 10'000'000);
  EXPECT_EQ(pair.deadlines, 20U);
  EXPECT_EQ(pair.missed, 10U);
}

TEST(PolicylabRun, measures_how_far_strict_starves) {
  constexpr std::string_view text = R"(workload w
length 2 s
age_unit 10 ms
class urgent
  arrives closed 1 think fixed 0 ms
  step fixed 1 ms
  priority 0
class other
  arrives periodic 10 s
  step fixed 1 ms
  priority 5
)";
  const RunResult strict = run(text, PolicyKind::strict);
  // The other is ready at 0 and may be overtaken by what becomes ready up to 50 ms later; the last is 1.998 s
  // later.
  EXPECT_EQ(strict.classes[1].wait.max_ns, 2'000'000'000);
  EXPECT_NEAR(static_cast<double>(strict.classes[1].starved_ns), 1.948e9, 2e6);
  const RunResult aging = run(text, PolicyKind::aging);
  EXPECT_EQ(aging.classes[1].starved_ns, 0);
  EXPECT_NEAR(static_cast<double>(aging.classes[1].wait.max_ns), 50e6, 2e6);
}

TEST(PolicylabRun, inheritance_ends_inversions) {
  Workload workload = builtin("inversion");
  workload.length_ns = 2'000'000'000;
  RunOptions options = under(PolicyKind::strict);
  const RunResult with = run_workload(workload, options);
  options.inheritance = false;
  const RunResult without = run_workload(workload, options);
  const auto& urgent_with = with.classes[most_urgent_class(workload)];
  const auto& urgent_without = without.classes[most_urgent_class(workload)];
  EXPECT_EQ(urgent_with.inversions, 0U);
  EXPECT_EQ(urgent_with.longest_inversion_ns, 0);
  EXPECT_GT(urgent_without.inversions, 0U);
  EXPECT_GT(urgent_without.longest_inversion_ns, 1'000'000);
  EXPECT_LE(urgent_without.longest_inversion_ns, urgent_without.inverted_ns);
}

TEST(PolicylabRun, shows_who_ran_when) {
  for (const WorkloadStudy& each : a_second_of_everything().workloads) {
    for (const RunResult& result : each.runs) {
      std::uint64_t waits = 0;  // none is left out that never ran
      for (const ClassResult& row : result.classes) waits += row.wait.count;
      for (const PriorityWaits& some : result.by_priority) waits -= some.wait.count;
      EXPECT_EQ(waits, 0U);
      EXPECT_EQ(result.overview.size(), each.workload.classes.size());
      ASSERT_FALSE(result.stretches.empty());
      std::int64_t until_ns = each.workload.length_ns / 2;
      for (const Stretch& stretch : result.stretches) {
        EXPECT_GE(stretch.from_ns, until_ns);
        EXPECT_GT(stretch.to_ns, stretch.from_ns);
        until_ns = stretch.to_ns;
      }
    }
  }
}

TEST(PolicylabTables, fit_into_100_columns) {
  std::string text = legend() + speed(a_second_of_everything());
  for (const WorkloadStudy& each : a_second_of_everything().workloads) text += to_text(each);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 100U) << line;
  EXPECT_THAT(text, HasSubstr("million a second"));
}

TEST(PolicylabReport, has_a_line_for_each_class_of_each_run) {
  std::size_t rows = 1;
  for (const WorkloadStudy& each : a_second_of_everything().workloads)
    rows += each.workload.classes.size() * each.runs.size();
  const std::string csv = to_csv(a_second_of_everything());
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(csv, '\n')), rows);
  std::istringstream lines(csv);
  std::string line;
  std::getline(lines, line);
  const auto commas = std::ranges::count(line, ',');
  while (std::getline(lines, line)) EXPECT_EQ(std::ranges::count(line, ','), commas) << line;
}

TEST(PolicylabReport, holds_no_time_of_the_machine) {
  const std::string json = to_json(a_second_of_everything(), Detail::figures).dump();
  EXPECT_EQ(json.find("real_seconds"), std::string::npos);
  EXPECT_THAT(json, HasSubstr(R"("time":"virtual")"));
}

}  // namespace
