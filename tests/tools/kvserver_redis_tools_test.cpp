// The programs that come with Redis, from the package redis-tools, against kvserver.
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using namespace kvtest;
using testing::HasSubstr;

class KvServerRedisTools : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"redis-cli", "redis-benchmark"}) {
      ASSERT_TRUE(demo::find_in_path(name)) << name << " is missing: install redis-tools (tools/test does)";
    }
  }
  void TearDown() override { EXPECT_EQ(server_.stop(), clean_end); }

  Finished run(const std::string& program, std::vector<std::string> words) {
    words.insert(words.begin(), {program, "-p", std::to_string(server_.port())});
    return run_program(std::move(words));
  }
  std::string cli(std::vector<std::string> words) {
    const Finished run_of = run("redis-cli", std::move(words));
    EXPECT_EQ(run_of.end, clean_end) << run_of.err;
    return run_of.out;
  }

  demo::ScratchDir dir_;
  KvServer server_{dir_.path()};
};

TEST_F(KvServerRedisTools, redis_cli_talks_to_it) {
  EXPECT_EQ(cli({"PING"}), "PONG\n");
  EXPECT_EQ(cli({"SET", "key", "a value"}), "OK\n");
  EXPECT_EQ(cli({"GET", "key"}), "a value\n");
  EXPECT_EQ(cli({"GET", "none"}), "\n");
  EXPECT_THAT(cli({"HELLO", "2"}), HasSubstr("proto\n2\n"));
  EXPECT_THAT(cli({"INFO"}), HasSubstr("redis_version:"));
  EXPECT_THAT(cli({"INFO", "keyspace"}), HasSubstr("db0:keys=1"));
  EXPECT_EQ(cli({"CONFIG", "GET", "appendonly"}), "appendonly\nyes\n");
  for (int i = 0; i < 20; ++i) cli({"SET", "many:" + std::to_string(i), "v"});
  const std::string keys = cli({"--scan", "--pattern", "many:*"});
  EXPECT_EQ(std::count(keys.begin(), keys.end(), '\n'), 20) << keys;
}

TEST_F(KvServerRedisTools, redis_benchmark_runs_to_its_end) {
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"-P", "16"}, {"-r", "1000", "-d", "5000"}}) {
    std::vector<std::string> words{"-t", "ping,set,get", "-n", "2000", "--csv"};
    words.insert(words.end(), more.begin(), more.end());
    const Finished bench = run("redis-benchmark", words);
    EXPECT_EQ(bench.end, clean_end) << bench.err;
    for (const char* test : {"PING_INLINE", "PING_MBULK", "SET", "GET"}) {
      EXPECT_THAT(bench.out, HasSubstr("\"" + std::string(test) + "\"")) << bench.err;
    }
    EXPECT_THAT(bench.err, testing::Not(HasSubstr("rror"))) << bench.err;
  }
}

}  // namespace
