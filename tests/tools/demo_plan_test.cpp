// How the demo shares out its time, the command lines it makes, and its own options.
#include "demo/options.hpp"
#include "demo/plan.hpp"
#include "demo/resp_client.hpp"
#include "loadgen/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(DemoPlan, shares_the_load_out_over_an_odd_number_of_rounds) {
  for (const double seconds : {0.1, 1.0, 2.9, 3.0, 5.0, 8.0, 600.0}) {
    const demo::Plan plan = demo::plan_for(seconds);
    EXPECT_EQ(plan.rounds % 2, 1);
    EXPECT_NEAR(plan.load_s * plan.rounds, seconds, 1e-9);
    EXPECT_TRUE(plan.load_s >= 0.75 || plan.rounds == 1);
    EXPECT_GT(plan.total_s, seconds * static_cast<double>(demo::variants.size()));
  }
}

TEST(DemoPlan, takes_less_than_two_minutes_by_default) {
  const demo::Plan plan = demo::plan_for(demo::default_seconds);
  EXPECT_EQ(plan.rounds, 9);
  EXPECT_LT(plan.total_s, 115);
}

TEST(DemoPlan, gives_redis_benchmark_as_many_requests_as_fit_the_time) {
  EXPECT_EQ(demo::requests_for(2, 100'000, 4), 50'000U);
  EXPECT_EQ(demo::requests_for(0.1, 10, 4), 1'000U);
  EXPECT_EQ(demo::requests_for(1e9, 1e9, 0), 1'000'000'000U);
}

TEST(DemoPlan, tells_kvserver_what_the_variant_is) {
  EXPECT_THAT(demo::kvserver_arguments(demo::variants[1], "/d"),
              ElementsAre("--port", "0", "--dir", "/d", "--policy", "fifo", "--housekeeping", "100",
                          "--step-us", "50", "--appendonly", "no"));
  const auto off = demo::kvserver_arguments(demo::variants[5], "/d");
  EXPECT_THAT(off, AllOf(Contains("--no-inheritance"), Contains("--hold-lock"), Contains("--flood")));
  EXPECT_THAT(demo::kvserver_arguments(demo::variants[4], "/d"), Not(Contains("--no-inheritance")));
}

TEST(DemoPlan, gives_both_servers_the_same_persistence) {
  for (const demo::RedisMode& mode : demo::redis_modes) {
    for (const auto& arguments :
         {demo::kvserver_arguments(mode, "/d"), demo::redis_server_arguments(mode, 4711, "/d")}) {
      EXPECT_THAT(arguments, Contains(mode.everysec ? "everysec" : "no"));
      EXPECT_EQ(testing::Value(arguments, Contains("--appendfsync")), mode.everysec);
    }
  }
}

TEST(DemoPlan, asks_of_loadgen_what_loadgen_understands) {
  const auto outcome =
      loadgen::parse_options(demo::loadgen_arguments(demo::plan_for(5), 4711, 2, "/d/x.json"));
  const auto* const options = std::get_if<loadgen::Options>(&outcome);
  ASSERT_NE(options, nullptr) << std::get<loadgen::Exit>(outcome).text;
  EXPECT_EQ(options->port, 4711);
  EXPECT_EQ(options->rate_rps, demo::offered_rps);
  EXPECT_EQ(options->connections, demo::load_connections);
  EXPECT_EQ(options->seconds, 1.0);
  EXPECT_EQ(options->warmup_seconds, demo::warmup_s);
  EXPECT_EQ(options->drain_seconds, demo::drain_s);
  EXPECT_EQ(options->seed, 3U);
  EXPECT_EQ(options->json_path, "/d/x.json");
}

TEST(DemoOptions, are_read) {
  const auto outcome = demo::parse_options({"--seconds", "2.5", "--json", "out.json"});
  const auto& options = std::get<demo::Options>(outcome);
  EXPECT_EQ(options.seconds, 2.5);
  EXPECT_EQ(options.json_path, "out.json");
  EXPECT_EQ(std::get<demo::Options>(demo::parse_options({})).seconds, demo::default_seconds);
  EXPECT_EQ(std::get<demo::Exit>(demo::parse_options({"--help"})).status, 0);
}

TEST(DemoOptions, refuse_wrong_values_in_one_line) {
  const std::vector<std::vector<std::string>> wrong{
      {"--seconds", "0"},    {"--seconds", "-1"}, {"--seconds", "nan"}, {"--seconds", "inf"},
      {"--seconds", "soon"}, {"--seconds", ""},   {"--seconds", "1e9"}, {"--seconds"},
      {"--json", ""},        {"--json"},          {"--fast"},           {"stray"},
  };
  for (const auto& arguments : wrong) {
    const auto outcome = demo::parse_options(arguments);
    const auto* const exit = std::get_if<demo::Exit>(&outcome);
    ASSERT_NE(exit, nullptr) << arguments.front();
    EXPECT_NE(exit->status, 0);
    EXPECT_THAT(exit->text, AllOf(HasSubstr("demo: "), HasSubstr(arguments.front())));
    EXPECT_EQ(exit->text.find('\n'), exit->text.size() - 1);
  }
}

TEST(DemoResp, writes_a_command_as_bulk_strings) {
  EXPECT_EQ(demo::resp_command({"CONFIG", "RESETSTAT"}), "*2\r\n$6\r\nCONFIG\r\n$9\r\nRESETSTAT\r\n");
}

TEST(DemoResp, reads_a_reply_once_it_is_complete) {
  const std::string bulk = "$5\r\na\r\nbc\r\n";
  for (std::size_t length = 0; length < bulk.size(); ++length) {
    EXPECT_FALSE(demo::parse_reply(std::string_view(bulk).substr(0, length)).has_value());
  }
  EXPECT_EQ(demo::parse_reply(bulk)->text, "a\r\nbc");
  EXPECT_EQ(demo::parse_reply("$-1\r\n")->text, "");
  EXPECT_EQ(demo::parse_reply("+OK\r\n")->text, "OK");
  EXPECT_EQ(demo::parse_reply(":12\r\n")->text, "12");
  EXPECT_TRUE(demo::parse_reply("-ERR no\r\n")->is_error);
  for (const char* text : {"HTTP/1.1", "$x\r\n", "$-2\r\n", "$\r\n", "*1\r\n"}) {
    EXPECT_THROW((void)demo::parse_reply(text), std::runtime_error) << text;
  }
}

}  // namespace
