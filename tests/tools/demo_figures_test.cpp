// What the demo reads from the programs it starts, and what it makes of it.
#include "demo_figures_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using demo::FigureError;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(DemoMedian, is_the_middle_or_the_mean_of_the_middle_two) {
  EXPECT_EQ(demo::median({3}), 3);
  EXPECT_EQ(demo::median({9, 1, 5}), 5);
  EXPECT_EQ(demo::median({4, 1, 2, 100}), 3);
  EXPECT_THROW((void)demo::median({}), std::invalid_argument);
}

RC_GTEST_PROP(DemoMedian, leaves_as_many_below_as_above, (std::vector<int> drawn)) {
  RC_PRE(!drawn.empty());
  const double middle = demo::median({drawn.begin(), drawn.end()});
  const auto below = std::count_if(drawn.begin(), drawn.end(), [&](int value) { return value < middle; });
  const auto above = std::count_if(drawn.begin(), drawn.end(), [&](int value) { return value > middle; });
  RC_ASSERT(2 * below <= static_cast<long>(drawn.size()));
  RC_ASSERT(2 * above <= static_cast<long>(drawn.size()));
}

TEST(DemoMedian, is_taken_of_each_figure_by_itself) {
  std::vector<demo::Sample> rounds(3);
  for (int round = 0; round < 3; ++round) {
    demo::Sample& sample = rounds[static_cast<std::size_t>(round)];
    sample.load.p50_us = 10 + round;
    sample.load.p99_us = 100 - round;
    sample.load.requests = 1000;
    sample.load.errors = round;
    sample.load.kept_pace = round != 1;
    sample.housekeeping_steps_per_s = 19'000 + round;
    sample.lock_wait_steps_max = round == 0 ? 900 : 4;
  }
  const demo::RunFigures run = demo::medians(demo::variants[3], rounds);
  EXPECT_EQ(run.variant.name, "aging");
  EXPECT_EQ(run.p50_us, 11);
  EXPECT_EQ(run.p99_us, 99);
  EXPECT_EQ(run.housekeeping_steps_per_s, 19'001);
  EXPECT_EQ(run.lock_wait_steps_max, 4);
  EXPECT_EQ(run.rounds, 3);
  EXPECT_EQ(run.rounds_off_pace, 1);
  EXPECT_EQ(run.requests, 3000);
  EXPECT_EQ(run.errors, 3);
}

TEST(DemoReadyLine, is_read_once_it_is_complete) {
  EXPECT_EQ(demo::ready_port("ready port=4711\n"), 4711);
  EXPECT_EQ(demo::ready_port("loading\r\nready port=65535\r\nmore"), 65535);
  EXPECT_EQ(demo::ready_port("ready port=4711"), std::nullopt);
  EXPECT_EQ(demo::ready_port(""), std::nullopt);
  EXPECT_EQ(demo::ready_port("not ready port=1\n"), std::nullopt);
  EXPECT_EQ(demo::ready_port("ready port=0\nready port=65536\nready port=x\nready port=\n"), std::nullopt);
}

TEST(DemoInfo, is_read_by_name) {
  const auto info = demo::parse_info(
      "# Server\r\nversion:7.0\r\n\r\n# heirloop\r\nhousekeeping_steps:12345\r\nlock_wait_p99_us:1.5\r\n"
      "path:a:b\r\nbroken:x1\r\nnothing\r\n");
  EXPECT_EQ(demo::info_number(info, "housekeeping_steps"), 12345);
  EXPECT_EQ(demo::info_number(info, "lock_wait_p99_us"), 1.5);
  EXPECT_EQ(info.at("path"), "a:b");
  EXPECT_THROW((void)demo::info_number(info, "lock_wait_steps_max"), FigureError);
  EXPECT_THROW((void)demo::info_number(info, "broken"), FigureError);
}

const std::string load_json =
    R"({"offered_rps":2000,"reached_rps":1999.5,"requests":4000,"errors":2,"p50_us":46.5,"p99_us":92,)"
    R"("p999_us":300,"max_us":900,"own_delay_p99_us":11,"kept_pace":false})";

TEST(DemoLoadReport, is_read_whole) {
  const demo::LoadReport report = demo::parse_load_report(load_json);
  EXPECT_EQ(report.reached_rps, 1999.5);
  EXPECT_EQ(report.requests, 4000);
  EXPECT_EQ(report.errors, 2);
  EXPECT_EQ(report.p50_us, 46.5);
  EXPECT_EQ(report.p99_us, 92);
  EXPECT_EQ(report.p999_us, 300);
  EXPECT_EQ(report.max_us, 900);
  EXPECT_EQ(report.own_delay_p99_us, 11);
  EXPECT_FALSE(report.kept_pace);
}

TEST(DemoLoadReport, is_refused_when_a_figure_is_missing) {
  for (const char* name : {"reached_rps", "requests", "errors", "p50_us", "p99_us", "p999_us", "max_us",
                           "own_delay_p99_us", "kept_pace"}) {
    auto json = nlohmann::json::parse(load_json);
    json[name] = nullptr;
    EXPECT_THROW((void)demo::parse_load_report(json.dump()), FigureError) << name;
    json.erase(name);
    EXPECT_THROW((void)demo::parse_load_report(json.dump()), FigureError) << name;
  }
  for (const char* text : {"", "[]", "{", "null"}) {
    EXPECT_THROW((void)demo::parse_load_report(text), FigureError) << text;
  }
}

TEST(DemoRedisBenchmark, is_all_requests_over_all_time) {
  const demo::BenchmarkReport report = demo::parse_redis_benchmark(
      "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\"\n\"PING_INLINE\",\"50000.00\",\"0.371\",\"0."
      "144\"\n"
      "\"PING_MBULK\",\"100000.00\",\"0.307\",\"0.096\"\n\"SET\",\"100000.00\",\"0.2\",\"0.1\"\n");
  EXPECT_EQ(report.tests, 3U);
  EXPECT_NEAR(report.rps, 75'000, 0.01);
}

TEST(DemoRedisBenchmark, reads_the_form_without_headings) {
  const demo::BenchmarkReport report =
      demo::parse_redis_benchmark("\"PING_INLINE\",\"50000.00\"\n\"GET\",\"50000.00\"");
  EXPECT_EQ(report.tests, 2U);
  EXPECT_NEAR(report.rps, 50'000, 0.01);
}

TEST(DemoRedisBenchmark, is_refused_without_figures) {
  for (const char* text :
       {"", "Could not connect\n", "\"test\",\"rps\"\n", "\"GET\",\"0.00\"\n", "\"GET\",\"nan\"\n"}) {
    EXPECT_THROW((void)demo::parse_redis_benchmark(text), FigureError) << text;
  }
}

std::vector<std::string> not_met(const demo::Figures& figures) {
  std::vector<std::string> texts;
  for (const demo::Expectation& one : demo::expectations(figures)) {
    if (!one.met) texts.push_back(one.text);
  }
  return texts;
}

TEST(DemoExpectations, are_met_by_good_figures_at_their_margins) {
  demo::Figures figures = good_figures();
  EXPECT_THAT(not_met(figures), ElementsAre());
  figures.runs[2].p99_us = figures.runs[1].p99_us / 20;
  figures.runs[0].p99_us = figures.runs[2].p99_us / 3 - demo::step_us + 0.001;
  figures.runs[2].housekeeping_steps_per_s = 0.851 * figures.runs[1].housekeeping_steps_per_s;
  figures.redis[0].kvserver = {95'000, 7'800};
  figures.redis[0].redis_server = {100'000, 7'800};
  EXPECT_THAT(not_met(figures), ElementsAre());
}

TEST(DemoExpectations, name_each_one_that_is_not_met) {
  demo::Figures figures = good_figures();
  figures.runs[2].p99_us = 500;
  figures.runs[3].housekeeping_steps_per_s = 10'000;
  figures.runs[4].lock_wait_steps_max = demo::hold_lock_steps + 2;
  figures.runs[5].lock_wait_steps_max = demo::hold_lock_steps + 2;
  figures.redis[1].kvserver.cpu_ns = 7'900;
  figures.redis[2].kvserver.rps = 90'000;
  EXPECT_THAT(not_met(figures),
              ElementsAre(HasSubstr("strict: p99 is 1/14.9 of fifo's"), HasSubstr("strict: p99 is 500 us"),
                          HasSubstr("aging: housekeeping makes 50.3 %"), HasSubstr("with inheritance"),
                          HasSubstr("without inheritance"), HasSubstr("p16: kvserver takes 1.01"),
                          HasSubstr("everysec: kvserver reaches 0.91")));
}

TEST(DemoExpectations, are_not_met_by_nothing) {
  demo::Figures figures = good_figures();
  for (demo::RunFigures& run : figures.runs) run.lock_wait_steps_max = run.housekeeping_steps_per_s = 0;
  EXPECT_EQ(not_met(figures).size(), 4U);
}

TEST(DemoJson, has_exactly_the_promised_fields) {
  const nlohmann::ordered_json json = demo::to_json(good_figures());
  const auto names = [](const nlohmann::ordered_json& object) {
    std::vector<std::string> list;
    for (const auto& [name, value] : object.items()) list.push_back(name);
    return list;
  };
  EXPECT_THAT(names(json), ElementsAre("runs", "redis"));
  std::vector<std::string> runs;
  for (const auto& run : json.at("runs")) {
    EXPECT_THAT(names(run), ElementsAre("name", "policy", "inheritance", "offered_rps", "reached_rps",
                                        "p50_us", "p99_us", "p999_us", "max_us", "housekeeping_steps_per_s",
                                        "lock_p99_us", "lock_wait_steps_max"));
    EXPECT_TRUE(run.at("inheritance").is_boolean());
    runs.push_back(run.at("name"));
  }
  EXPECT_THAT(runs,
              ElementsAre("idle", "fifo", "strict", "aging", "lock_inheritance_on", "lock_inheritance_off"));
  EXPECT_EQ(json.at("runs").at(5).at("inheritance"), false);
  EXPECT_EQ(json.at("runs").at(1).at("p99_us"), 7439);
  EXPECT_THAT(names(json.at("redis")), ElementsAre("kvserver", "redis_server"));
  for (const auto& server : json.at("redis")) {
    EXPECT_THAT(names(server), ElementsAre("p1", "p16", "everysec"));
    for (const auto& mode : server) EXPECT_THAT(names(mode), ElementsAre("rps", "cpu_ns"));
  }
  EXPECT_EQ(json.at("redis").at("kvserver").at("p16").at("cpu_ns"), 6700);
  EXPECT_EQ(json.at("redis").at("redis_server").at("p1").at("rps"), 99'000);
}

}  // namespace
