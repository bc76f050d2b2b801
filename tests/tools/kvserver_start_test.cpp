// Starts that can't succeed: one line that says what to do, an exit status that is not 0, and no waiting.
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

namespace {

using namespace kvtest;
using testing::HasSubstr;
using testing::StartsWith;

void expect_refusal(const std::vector<std::string>& arguments, const std::vector<std::string>& says) {
  const Finished run = run_kvserver(arguments);
  std::string all;
  for (const std::string& word : arguments) all += word + " ";
  SCOPED_TRACE(all);
  EXPECT_THAT(run.end, StartsWith("exit status "));
  EXPECT_NE(run.end, clean_end);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_THAT(run.err, StartsWith("kvserver: "));
  for (const std::string& text : says) EXPECT_THAT(run.err, HasSubstr(text));
}

TEST(KvServerStart, with_a_bad_option_says_which_and_what_it_takes) {
  expect_refusal({"--port", "99999"}, {"--port", "99999", "65535"});
  expect_refusal({"--port", "abc"}, {"--port", "abc"});
  expect_refusal({"--port", "-1"}, {"--port"});
  expect_refusal({"--port", ""}, {"--port"});
  expect_refusal({"--policy", "random"}, {"--policy", "fifo", "strict", "aging"});
  expect_refusal({"--appendfsync", "sometimes"}, {"--appendfsync", "always", "everysec"});
  expect_refusal({"--appendonly", "maybe"}, {"--appendonly", "yes", "no"});
  expect_refusal({"--step-us", "nan"}, {"--step-us", "nan"});
  expect_refusal({"--step-us", "1e3"}, {"--step-us"});
  expect_refusal({"--step-us", "-5"}, {"--step-us"});
  expect_refusal({"--age-unit-ms", "nan"}, {"--age-unit-ms"});
  expect_refusal({"--age-unit-ms", "0"}, {"--age-unit-ms"});
  expect_refusal({"--maxclients", "0"}, {"--maxclients"});
  expect_refusal({"--rewrite-min-bytes", "99999999999999999999"}, {"--rewrite-min-bytes"});
  expect_refusal({"--housekeeping"}, {"--housekeeping"});
  expect_refusal({"--no-such-option"}, {"--no-such-option", "--help"});
  expect_refusal({"6379"}, {"6379"});
}

TEST(KvServerStart, shows_its_options_when_asked) {
  const Finished run = run_kvserver({"--help"});
  EXPECT_EQ(run.end, clean_end);
  for (const char* option :
       {"--port", "--policy", "--no-inheritance", "--maxclients", "--dir", "--appendfsync"}) {
    EXPECT_THAT(run.out, HasSubstr(option));
  }
}

TEST(KvServerStart, on_a_port_in_use_or_a_strange_address_says_so) {
  const demo::ScratchDir dir;
  const KvServer first(dir.fresh("first"));
  const std::string port = std::to_string(first.port());
  expect_refusal({"--port", port, "--dir", dir.fresh("second").string()},
                 {"127.0.0.1:" + port, "in use", "--port"});
  expect_refusal({"--port", port, "--appendonly", "no"}, {"127.0.0.1:" + port, "in use"});
  expect_refusal({"--port", "0", "--appendonly", "no", "--bind", "nobody"}, {"nobody", "--bind"});
  expect_refusal({"--port", "0", "--appendonly", "no", "--bind", "203.0.113.7"}, {"203.0.113.7", "--bind"});
}

TEST(KvServerStart, in_a_directory_that_it_can_not_use_says_so) {
  const demo::ScratchDir dir;
  std::ofstream(dir.path() / "file") << "text";
  for (const char* name : {"missing", "file", "file/below"}) {
    const std::string place = dir.path() / name;
    expect_refusal({"--port", "0", "--dir", place}, {"--dir", place});
  }
  // Nobody can make a file there, root neither.
  expect_refusal({"--port", "0", "--dir", "/proc"}, {"--dir", "/proc"});
  std::filesystem::create_directory(dir.path() / "odd");
  std::filesystem::create_directory(dir.path() / "odd" / "appendonly.heirloop");
  expect_refusal({"--port", "0", "--dir", dir.path() / "odd"}, {(dir.path() / "odd").string()});
}

TEST(KvServerStart, in_a_directory_that_another_one_uses_says_so) {
  const demo::ScratchDir dir;
  KvServer first(dir.path());
  EXPECT_EQ(first.connect().shown({"SET", "k", "v"}), "+OK");
  expect_refusal({"--port", "0", "--dir", dir.path()}, {"--dir", dir.path(), "in use by another kvserver"});
  EXPECT_EQ(first.connect().shown({"GET", "k"}), "$v");
  first.kill();
  KvServer second(dir.path());
  EXPECT_EQ(second.stop(), clean_end);
}

TEST(KvServerStart, without_a_file_writes_none) {
  const demo::ScratchDir dir;
  KvServer server(dir.fresh("data"), {"--appendonly", "no"});
  Peer peer = server.connect();
  EXPECT_EQ(peer.shown({"SET", "k", "v"}), "+OK");
  EXPECT_THAT(peer.shown({"BGREWRITEAOF"}), StartsWith("-ERR"));
  EXPECT_EQ(server.info("aof_enabled"), 0);
  EXPECT_EQ(server.stop(), clean_end);
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "data" / "appendonly.heirloop"));
}

}  // namespace
