// The demo as a program: runs to its end and writes every figure it should; what they are is not tested here.
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using namespace kvtest;
using testing::HasSubstr;
using testing::StartsWith;

TEST(DemoProgram, measures_all_variants_and_writes_their_figures) {
  const demo::ScratchDir dir;
  const std::string file = dir.path() / "figures.json";
  const Finished run = run_program({HEIRLOOP_DEMO, "--seconds", "0.3", "--json", file}, 5 * patience);
  ASSERT_EQ(run.end, clean_end) << run.err;
  const auto json = nlohmann::json::parse(demo::read_file(file));

  std::vector<std::string> names;
  for (const auto& row : json.at("runs")) {
    names.push_back(row.at("name"));
    EXPECT_TRUE(row.at("policy").is_string());
    EXPECT_TRUE(row.at("inheritance").is_boolean());
    for (const char* figure : {"offered_rps", "reached_rps", "p50_us", "p99_us", "p999_us", "max_us",
                               "housekeeping_steps_per_s", "lock_p99_us", "lock_wait_steps_max"}) {
      EXPECT_TRUE(row.contains(figure) && row.at(figure).is_number()) << names.back() << ": " << figure;
    }
    EXPECT_EQ(row.at("offered_rps"), 2000);
    EXPECT_GT(row.at("reached_rps"), 0);
    EXPECT_THAT(run.out, HasSubstr(names.back()));
  }
  EXPECT_THAT(names, testing::UnorderedElementsAre("idle", "fifo", "strict", "aging", "lock_inheritance_on",
                                                   "lock_inheritance_off"));
  for (const char* server : {"kvserver", "redis_server"}) {
    for (const char* mode : {"p1", "p16", "everysec"}) {
      for (const char* figure : {"rps", "cpu_ns"}) {
        EXPECT_GT(json.at("redis").at(server).at(mode).at(figure), 0) << server << " " << mode;
      }
    }
  }
}

TEST(DemoProgram, refuses_what_it_can_not_do_in_one_line) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--seconds", "nan"}, {"--seconds", "0"}, {"--json", "/proc/none/figures.json"}, {"--nonsense"}}) {
    std::vector<std::string> all{HEIRLOOP_DEMO};
    all.insert(all.end(), words.begin(), words.end());
    const Finished run = run_program(all);
    EXPECT_NE(run.end, clean_end) << words[0];
    EXPECT_THAT(run.err, StartsWith("demo: "));
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  }
}

}  // namespace
