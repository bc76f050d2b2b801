// Workload files: everything that can stand in one, and every mistake with its line.
#include "policylab/builtin.hpp"
#include "policylab/parser.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace {

using namespace policylab;
using testing::HasSubstr;

constexpr std::string_view head = "workload w\nlength 1 s\nlock a\nlock b\ngroup g weight 2\n";  // five lines
constexpr std::string_view tail = "arrives periodic 1 ms\nstep fixed 1 us\n";

std::string error_of(std::string_view text) {
  try {
    static_cast<void>(parse_workload(text, "file"));
  } catch (const ParseError& error) {
    return error.what();
  }
  return "accepted";
}

/// The complaint about a line in a class that is otherwise right; it is line 7.
std::string class_error(std::string_view line) {
  return error_of(std::string(head) + "class c\n" + std::string(line) + "\n" + std::string(tail));
}

TEST(PolicylabParser, reads_everything_that_can_stand_in_a_file) {
  const Workload workload = parse_workload(R"(# a comment
workload all-of_it
about one line   # and its comment
about and another
length 1.5s
age_unit 20 ms
lock keys
lock log
group top weight 3
group sub weight 0.5 under top target 2 ms

class one
  arrives poisson 2500.5/s
  steps uniform 2 5
  step pareto 10us 1.5 max 2 ms
  priority -2.5
  churn every 5 ms from high to low
  group sub
  deadline 3 ms
  takes log before step 2 for 1
  takes keys before step 1 for 3

class two
  arrives closed 7 think exponential 1 ms max 1 s
  step uniform 1 us 2 us

class three
  arrives burst 12 every 500 ms offset 10 ms
  steps exponential 3 max 10
  step fixed 250 ns
  priority low
)",
                                           "file");
  EXPECT_EQ(workload.name, "all-of_it");
  EXPECT_EQ(workload.about, "one line and another");
  EXPECT_EQ(workload.length_ns, 1'500'000'000);
  EXPECT_EQ(workload.age_unit_ns, 20'000'000);
  ASSERT_EQ(workload.groups.size(), 2U);
  EXPECT_EQ(workload.groups[1].weight, 0.5);
  EXPECT_EQ(workload.groups[1].parent, 0U);
  EXPECT_EQ(workload.groups[1].target_ns, 2'000'000);
  ASSERT_EQ(workload.classes.size(), 3U);

  const TaskClass& one = workload.classes[0];
  EXPECT_EQ(one.arrival.kind, Arrival::Kind::poisson);
  EXPECT_EQ(one.arrival.rate_per_s, 2500.5);
  EXPECT_EQ(one.steps.shape, Distribution::Shape::uniform);
  EXPECT_EQ(one.step.shape, Distribution::Shape::pareto);
  EXPECT_EQ(one.step.low, 10'000);
  EXPECT_EQ(one.step.alpha, 1.5);
  EXPECT_EQ(one.step.high, 2'000'000);
  EXPECT_EQ(one.priority, -2.5);
  ASSERT_TRUE(one.churn.has_value());
  EXPECT_EQ(one.churn->from, -10);
  EXPECT_EQ(one.churn->to, 10);
  EXPECT_EQ(one.group, 1U);
  EXPECT_EQ(one.deadline_ns, 3'000'000);
  ASSERT_EQ(one.holds.size(), 2U);
  EXPECT_EQ(one.holds[0].lock, 0U) << "in the order of taking";
  EXPECT_EQ(one.holds[1].lock, 1U);
  EXPECT_EQ(one.holds[1].first, 2U);

  const TaskClass& two = workload.classes[1];
  EXPECT_EQ(two.arrival.kind, Arrival::Kind::closed);
  EXPECT_EQ(two.arrival.count, 7U);
  EXPECT_EQ(two.arrival.think.high, 1e9);
  EXPECT_EQ(two.steps.high, 1);
  EXPECT_EQ(two.priority, 0);
  EXPECT_FALSE(two.deadline_ns || two.group || two.churn);

  const TaskClass& three = workload.classes[2];
  EXPECT_EQ(three.arrival.kind, Arrival::Kind::burst);
  EXPECT_EQ(three.arrival.count, 12U);
  EXPECT_EQ(three.arrival.every_ns, 500'000'000);
  EXPECT_EQ(three.arrival.offset_ns, 10'000'000);
  EXPECT_EQ(three.step.low, 250);
}

TEST(PolicylabParser, reads_the_built_in_workloads) {
  ASSERT_GE(builtin_workloads().size(), 5U);
  for (const Builtin& each : builtin_workloads()) {
    EXPECT_EQ(parse_workload(each.text, each.name).name, each.name);
  }
}

TEST(PolicylabParser, says_what_is_missing_in_a_file) {
  EXPECT_EQ(error_of(""), "file:1: expected a line 'workload NAME', found the end of the file");
  EXPECT_EQ(error_of("length 1 s\n"), "file:1: expected 'workload', found 'length'");
  EXPECT_THAT(error_of("workload\n"),
              HasSubstr("file:1: expected the workload's name of at most 16 letters"));
  EXPECT_EQ(error_of("workload w\n\nlength 1 s\n"), "file:3: expected a class, found the end of the file");
  EXPECT_EQ(error_of("workload w\nclass c\n" + std::string(tail)),
            "file:4: expected a line 'length TIME' before the classes, found the end of the file");
  EXPECT_EQ(error_of("workload w\nlength 1 s\nclass c\nstep fixed 1 us\nclass d\n"),
            "file:3: expected a line 'arrives' in this class, found none");
  EXPECT_EQ(error_of("workload w\nlength 1 s\nclass c\narrives poisson 1/s\n"),
            "file:3: expected a line 'step' in this class, found none");
}

TEST(PolicylabParser, refuses_what_it_does_not_know) {
  EXPECT_EQ(error_of("workload w\nlenght 1 s\n"),
            "file:2: expected 'about', 'length', 'age_unit', 'lock', 'group' or 'class', found 'lenght'");
  EXPECT_EQ(class_error("prioriy 3"),
            "file:7: expected 'class' or a line of class 'c' (arrives, steps, step, priority, churn, group, "
            "deadline, "
            "takes), found 'prioriy'");
  EXPECT_EQ(class_error("deadline 1 ms soon"), "file:7: expected nothing more on this line, found 'soon'");
  EXPECT_EQ(class_error("takes c before step 1 for 1"),
            "file:7: expected the name of a lock that was declared above, found 'c'");
  EXPECT_EQ(class_error("group h"),
            "file:7: expected the name of a group that was declared above, found 'h'");
  EXPECT_EQ(error_of("workload w\ngroup g weight 1 under h\n"),
            "file:2: expected the name of a group that was declared above, found 'h'");
  EXPECT_EQ(
      class_error("steps normal 3"),
      "file:7: expected a distribution of counts (fixed, uniform, exponential, pareto), found 'normal'");
}

TEST(PolicylabParser, refuses_what_is_there_already) {
  EXPECT_EQ(error_of("workload w\nlength 1 s\nlength 2 s\n"),
            "file:3: expected 'length' once, found 'length'");
  EXPECT_EQ(error_of("workload w\nage_unit 1 s\nage_unit 1 s\n"),
            "file:3: expected 'age_unit' once, found 'age_unit'");
  EXPECT_EQ(error_of("workload w\nlock a\nlock a\n"),
            "file:3: expected a lock's name that is not taken, found 'a'");
  EXPECT_EQ(error_of("workload w\ngroup g weight 1\ngroup g weight 1\n"),
            "file:3: expected a group's name that is not taken, found 'g'");
  EXPECT_EQ(error_of(std::string(head) + "class c\n" + std::string(tail) + "class c\n"),
            "file:9: expected a class's name that is not taken, found 'c'");
  EXPECT_EQ(error_of(std::string(head) + "class c\n" + std::string(tail) + "step fixed 2 us\n"),
            "file:9: expected 'step' once in a class, found 'step'");
}

TEST(PolicylabParser, refuses_times_that_are_none) {
  const std::string expected =
      "file:7: expected a time from 1 ns to 3600 s with its unit (ns, us, ms or s), found ";
  EXPECT_EQ(class_error("deadline 5"), expected + "'5'");
  EXPECT_EQ(class_error("deadline 5 m"), expected + "'m'");
  EXPECT_EQ(class_error("deadline 5h"), expected + "'5h'");
  EXPECT_EQ(class_error("deadline nan ms"), expected + "'nan'");
  EXPECT_EQ(class_error("deadline inf ms"), expected + "'inf'");
  EXPECT_EQ(class_error("deadline -1 ms"), expected + "'-1'");
  EXPECT_EQ(class_error("deadline 0 ms"), expected + "'0'");
  EXPECT_EQ(class_error("deadline 1e30 s"), expected + "'1e30'");
  EXPECT_EQ(class_error("deadline"), expected + "the end of the line");
}

TEST(PolicylabParser, refuses_numbers_out_of_range) {
  EXPECT_THAT(class_error("priority nan"),
              HasSubstr("file:7: expected a priority: high, normal, low or a number from"));
  EXPECT_THAT(class_error("priority 1e9"), HasSubstr("found '1e9'"));
  EXPECT_THAT(class_error("priority urgent"), HasSubstr("found 'urgent'"));
  EXPECT_THAT(class_error("steps fixed 0"),
              HasSubstr("expected a count, a whole number from 1 to 1000000, found '0'"));
  EXPECT_THAT(class_error("steps fixed -3"), HasSubstr("found '-3'"));
  EXPECT_THAT(class_error("steps fixed 2.5"), HasSubstr("found '2.5'"));
  EXPECT_THAT(class_error("steps uniform 5 2"),
              HasSubstr("a largest value that is not below the first one, found '2'"));
  EXPECT_THAT(class_error("steps exponential 5"), HasSubstr("expected 'max', found the end of the line"));
  EXPECT_THAT(class_error("steps pareto 5 nan max 9"),
              HasSubstr("expected the exponent of the tail from 0.1 to 100"));
  EXPECT_THAT(class_error("churn every 1 ms from low to high"),
              HasSubstr("a second priority that is not below the first"));
  EXPECT_THAT(error_of("workload w\ngroup g weight -1\n"),
              HasSubstr("file:2: expected a weight from 0.001 to 1e+06"));
  EXPECT_THAT(error_of("workload w\ngroup g weight nan\n"), HasSubstr("found 'nan'"));
  EXPECT_THAT(error_of("workload w\nlength 0 s\n"), HasSubstr("file:2: expected a time from 1 ms to 3600 s"));
  EXPECT_THAT(error_of("workload a/b\n"), HasSubstr("found 'a/b'"));
}

TEST(PolicylabParser, refuses_arrivals_that_make_no_sense) {
  const auto refused = [](const std::string& line) {
    return error_of(std::string(head) + "class c\nstep fixed 1 us\narrives " + line + "\n");
  };
  EXPECT_THAT(
      refused("hourly"),
      HasSubstr("file:8: expected an arrival process (periodic, poisson, burst, closed), found 'hourly'"));
  EXPECT_THAT(refused("poisson 100"),
              HasSubstr("expected a rate from 0.001/s to 1000000/s, as 2000/s, found '100'"));
  EXPECT_THAT(refused("poisson nan/s"), HasSubstr("found 'nan/s'"));
  EXPECT_THAT(refused("poisson -3/s"), HasSubstr("found '-3/s'"));
  EXPECT_THAT(refused("burst 5 1 s"), HasSubstr("expected 'every', found '1'"));
  EXPECT_THAT(refused("closed 0 think fixed 1 ms"), HasSubstr("expected the number of clients"));
  EXPECT_THAT(refused("closed 5"), HasSubstr("expected 'think'"));
  EXPECT_THAT(refused("burst 1000000 every 1 us"), HasSubstr("expected at most 5000000 jobs in a run"));
}

TEST(PolicylabParser, refuses_locks_that_could_end_in_a_deadlock) {
  const auto with = [](std::string_view first, std::string_view second) {
    return error_of(std::string(head) + "class c\n" + std::string(tail) + "takes a before step 1 for 3\n" +
                    std::string(first) + "\nclass d\n" + std::string(tail) + "takes b before step 1 for 3\n" +
                    std::string(second) + "\n");
  };
  EXPECT_EQ(with("takes b before step 2 for 1", "takes a before step 2 for 1"),
            "file:15: expected the locks in the order in which they are taken above (no deadlocks), found "
            "'a' together "
            "with 'b'");
  EXPECT_EQ(with("takes b before step 2 for 1", "takes a before step 4 for 1"), "accepted")
      << "not at the same time";
  EXPECT_THAT(with("takes a before step 2 for 1", ""),
              HasSubstr("file:10: expected a lock that the class does not hold at that time, found 'a'"));
  EXPECT_EQ(error_of("workload w\nlength 1 s\nlock a\nlock b\nlock c\n"
                     "class x\n" +
                     std::string(tail) +
                     "takes a before step 1 for 2\ntakes b before step 2 for 1\n"
                     "class y\n" +
                     std::string(tail) +
                     "takes b before step 1 for 2\ntakes c before step 2 for 1\n"
                     "class z\n" +
                     std::string(tail) + "takes c before step 1 for 2\ntakes a before step 2 for 1\n"),
            "file:20: expected the locks in the order in which they are taken above (no deadlocks), found "
            "'a' together "
            "with 'c'");
}

TEST(PolicylabParser, names_the_file_that_it_can_not_read) {
  try {
    static_cast<void>(read_file("/nowhere/at/all"));
    FAIL() << "it was read";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), HasSubstr("can't read '/nowhere/at/all'"));
  }
  EXPECT_THROW(static_cast<void>(read_file(std::filesystem::temp_directory_path())), std::system_error);
}

}  // namespace
