// The load generator's command line, its mix of commands and its report.
#include "loadgen/options.hpp"
#include "loadgen/report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace {

using loadgen::Command;
using loadgen::Exit;
using loadgen::Mix;
using loadgen::Options;
using testing::AllOf;
using testing::HasSubstr;

using Arguments = std::vector<std::string>;

Options accepted(const Arguments& arguments) {
  auto outcome = loadgen::parse_options(arguments);
  if (const auto* const exit = std::get_if<Exit>(&outcome)) throw std::runtime_error(exit->text);
  return std::get<Options>(std::move(outcome));
}

Exit refused(const Arguments& arguments) {
  auto outcome = loadgen::parse_options(arguments);
  if (std::holds_alternative<Options>(outcome)) return {0, "accepted"};
  return std::get<Exit>(std::move(outcome));
}

TEST(LoadgenOptions, reads_every_option) {
  const Options options = accepted({"--host",        "127.0.0.2",
                                    "--port",        "7777",
                                    "--rate",        "2500.5",
                                    "--connections", "64",
                                    "--seconds",     "1.5",
                                    "--warmup",      "0",
                                    "--drain",       "2",
                                    "--mix",         "ping:1,get:3",
                                    "--seed",        "18446744073709551615",
                                    "--keys",        "10",
                                    "--value-bytes", "0",
                                    "--json",        "out.json"});
  EXPECT_EQ(options.host, "127.0.0.2");
  EXPECT_EQ(options.port, 7777);
  EXPECT_EQ(options.rate_rps, 2500.5);
  EXPECT_EQ(options.connections, 64);
  EXPECT_EQ(options.seconds, 1.5);
  EXPECT_EQ(options.warmup_seconds, 0);
  EXPECT_EQ(options.drain_seconds, 2);
  EXPECT_EQ(options.mix.share(Command::ping), 0.25);
  EXPECT_EQ(options.seed, UINT64_MAX);
  EXPECT_EQ(options.keys, 10U);
  EXPECT_EQ(options.value_bytes, 0U);
  EXPECT_EQ(options.json_path, "out.json");
}

TEST(LoadgenOptions, stands_without_any_option) {
  const Options options = accepted({});
  EXPECT_EQ(options.mix.share(Command::get), 0.8);
  EXPECT_EQ(options.mix.share(Command::set), 0.2);
  EXPECT_TRUE(options.json_path.empty());
}

TEST(LoadgenOptions, prints_help_with_status_0) {
  const Exit exit = refused({"--help"});
  EXPECT_EQ(exit.status, 0);
  EXPECT_THAT(exit.text, AllOf(HasSubstr("--rate"), HasSubstr("--mix"), HasSubstr("--drain")));
}

TEST(LoadgenOptions, refuses_wrong_values_in_one_line_that_names_the_option) {
  const std::vector<Arguments> wrong{
      {"--rate", "0"},
      {"--rate", "-1"},
      {"--rate", "nan"},
      {"--rate", "inf"},
      {"--rate", "1e400"},
      {"--rate", "fast"},
      {"--port", "0"},
      {"--port", "99999"},
      {"--port", "-1"},
      {"--connections", "0"},
      {"--connections", "10001"},
      {"--connections", "2.5"},
      {"--seconds", "0"},
      {"--seconds", "-1"},
      {"--seconds", "nan"},
      {"--warmup", "-0.1"},
      {"--warmup", "nan"},
      {"--drain", "inf"},
      {"--mix", ""},
      {"--mix", "get:"},
      {"--mix", "get:0"},
      {"--mix", "get:-1"},
      {"--mix", "get:1.5"},
      {"--mix", "get:1,get:2"},
      {"--mix", "get:80;set:20"},
      {"--mix", "fly:1"},
      {"--mix", "get:1,"},
      {"--seed", "-1"},
      {"--keys", "0"},
      {"--value-bytes", "99999999"},
      {"--json", ""},
      {"--unknown", "1"},
      {"--seconds"},
  };
  for (const Arguments& arguments : wrong) {
    const Exit exit = refused(arguments);
    EXPECT_NE(exit.status, 0) << testing::PrintToString(arguments);
    EXPECT_THAT(exit.text, AllOf(HasSubstr("loadgen: "), HasSubstr(arguments.front())));
    EXPECT_EQ(exit.text.find('\n'), exit.text.size() - 1) << exit.text;
  }
  EXPECT_NE(refused({"stray"}).status, 0);
}

TEST(LoadgenMix, gives_each_command_its_share) {
  const Mix mix = Mix::parse("get:80,set:19,ping");
  std::array<int, 5> seen{};
  for (std::uint64_t number = 0; number < 1000; ++number) ++seen[static_cast<std::size_t>(mix.pick(number))];
  EXPECT_EQ(seen[static_cast<std::size_t>(Command::get)], 800);
  EXPECT_EQ(seen[static_cast<std::size_t>(Command::set)], 190);
  EXPECT_EQ(seen[static_cast<std::size_t>(Command::ping)], 10);
  EXPECT_EQ(mix.share(Command::incr), 0);
  EXPECT_EQ(loadgen::name_of(Command::incr), "incr");
}

loadgen::Tally some_tally() {
  loadgen::Tally tally;
  for (int request = 1; request <= 100; ++request) {
    tally.latency.record(request * 1000);
    tally.own_delay.record(2000);
  }
  tally.due = 100;
  tally.error_replies = 1;
  tally.unanswered = 2;
  tally.offered_rps = 50;
  tally.measured_seconds = 2;
  return tally;
}

TEST(LoadgenReport, makes_the_figures_of_a_tally) {
  const loadgen::Result result = summarize(some_tally());
  EXPECT_EQ(result.offered_rps, 50);
  EXPECT_EQ(result.reached_rps, 49);
  EXPECT_EQ(result.requests, 100U);
  EXPECT_EQ(result.errors, 3U);
  EXPECT_NEAR(result.p50_us, 50, 0.5);
  EXPECT_NEAR(result.p99_us, 99, 1);
  EXPECT_EQ(result.max_us, 100);
  EXPECT_NEAR(result.own_delay_p99_us, 2, 0.02);
  EXPECT_TRUE(result.kept_pace);
}

TEST(LoadgenReport, says_when_the_pace_was_not_kept) {
  loadgen::Tally late = some_tally();
  for (int request = 0; request < 5; ++request) late.own_delay.record(5'000'000);
  EXPECT_FALSE(summarize(late).kept_pace);
  EXPECT_THAT(to_table(summarize(late)), HasSubstr("did not keep its pace"));

  loadgen::Tally unwritten = some_tally();
  unwritten.due += 1;
  EXPECT_FALSE(summarize(unwritten).kept_pace);
  EXPECT_THAT(to_table(summarize(some_tally())),
              AllOf(HasSubstr("3 of 100"), testing::Not(HasSubstr("pace"))));
}

TEST(LoadgenReport, stands_an_empty_tally) {
  const loadgen::Result result = summarize(loadgen::Tally{});
  EXPECT_EQ(result.reached_rps, 0);
  EXPECT_EQ(to_json(result).at("p99_us"), 0);
}

TEST(LoadgenReport, has_exactly_the_fields_that_its_readers_know) {
  const nlohmann::json json = to_json(summarize(some_tally()));
  std::vector<std::string> names;
  for (const auto& [name, value] : json.items()) names.push_back(name);
  EXPECT_THAT(names,
              testing::UnorderedElementsAre("offered_rps", "reached_rps", "requests", "errors", "p50_us",
                                            "p99_us", "p999_us", "max_us", "own_delay_p99_us", "kept_pace"));
  EXPECT_TRUE(json.at("kept_pace").is_boolean());
}

}  // namespace
