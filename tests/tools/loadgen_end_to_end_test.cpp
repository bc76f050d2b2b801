// loadgen as a program, against kvserver: its figures, and what it does where it can't work.
#include "demo/resp_client.hpp"
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

namespace {

using namespace kvtest;
using testing::HasSubstr;
using testing::StartsWith;

Finished run_loadgen(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), HEIRLOOP_LOADGEN);
  return run_program(std::move(arguments));
}

void expect_refusal(const std::vector<std::string>& arguments, const std::string& says) {
  const Finished run = run_loadgen(arguments);
  EXPECT_THAT(run.end, StartsWith("exit status "));
  EXPECT_NE(run.end, clean_end);
  EXPECT_EQ(run.out, "");
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
  EXPECT_THAT(run.err, StartsWith("loadgen: "));
  EXPECT_THAT(run.err, HasSubstr(says));
}

TEST(LoadgenProgram, offers_what_it_was_asked_for_and_writes_its_figures) {
  const demo::ScratchDir dir;
  KvServer server(dir.path(), {"--appendonly", "no"});
  const std::string file = dir.path() / "figures.json";
  const Finished run =
      run_loadgen({"--port", std::to_string(server.port()), "--rate", "1000", "--seconds", "0.5", "--warmup",
                   "0.1", "--connections", "5", "--mix", "ping:1,get:2,set:2,incr:1,del:1", "--json", file});
  ASSERT_EQ(run.end, clean_end) << run.err;
  EXPECT_THAT(run.out, HasSubstr("p99.9"));
  const auto json = nlohmann::json::parse(demo::read_file(file));
  for (const char* name : {"offered_rps", "reached_rps", "requests", "errors", "p50_us", "p99_us", "p999_us",
                           "max_us", "own_delay_p99_us"}) {
    EXPECT_TRUE(json.contains(name) && json[name].is_number()) << name;
  }
  ASSERT_TRUE(json.contains("kept_pace") && json["kept_pace"].is_boolean());
  // Whether it kept its pace is the machine's affair; that it says so is its own.
  EXPECT_EQ(run.out.find("did not keep its pace") == std::string::npos, json["kept_pace"].get<bool>());
  EXPECT_EQ(json["offered_rps"], 1000);
  EXPECT_GT(json["requests"], 100);
  EXPECT_LE(json["p50_us"], json["p99_us"]);
  EXPECT_LE(json["p99_us"], json["p999_us"]);
  EXPECT_LE(json["p999_us"], json["max_us"]);
  EXPECT_GE(server.info("total_commands_processed"),
            json["requests"].get<double>() - json["errors"].get<double>());
  EXPECT_EQ(server.stop(), clean_end);
}

TEST(LoadgenProgram, says_when_it_can_not_keep_the_pace) {
  const demo::ScratchDir dir;
  KvServer server(dir.path(), {"--appendonly", "no"});
  const std::string file = dir.path() / "figures.json";
  const Finished run = run_loadgen({"--port", std::to_string(server.port()), "--rate", "3000000", "--seconds",
                                    "0.02", "--warmup", "0", "--json", file});
  ASSERT_EQ(run.end, clean_end) << run.err;
  EXPECT_THAT(run.out, HasSubstr("did not keep its pace"));
  EXPECT_EQ(nlohmann::json::parse(demo::read_file(file))["kept_pace"], false);
}

/// Takes connections and reads nothing from them.
class DeafServer {
 public:
  DeafServer() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address_), size), 0);
    EXPECT_EQ(::listen(fd_, 16), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &size), 0);
  }
  DeafServer(const DeafServer&) = delete;
  DeafServer& operator=(const DeafServer&) = delete;
  ~DeafServer() { ::close(fd_); }
  std::string port() const { return std::to_string(ntohs(address_.sin_port)); }

 private:
  int fd_;
  sockaddr_in address_{};
};

TEST(LoadgenProgram, ends_with_the_drain_also_when_the_server_takes_no_more) {
  const demo::ScratchDir dir;
  const DeafServer server;
  const std::string file = dir.path() / "figures.json";
  const Finished run =
      run_loadgen({"--port", server.port(), "--rate", "500", "--seconds", "0.2", "--warmup", "0", "--drain", "0.2",
                   "--connections", "2", "--mix", "set:1", "--value-bytes", "1048576", "--json", file});
  ASSERT_EQ(run.end, clean_end) << run.err;
  const auto json = nlohmann::json::parse(demo::read_file(file));
  EXPECT_GT(json["requests"], 50) << "what could not be sent was due all the same";
  EXPECT_EQ(json["errors"], json["requests"]);
}

TEST(LoadgenProgram, refuses_options_that_make_no_sense) {
  expect_refusal({"--port", "0"}, "--port");
  expect_refusal({"--rate", "0"}, "--rate");
  expect_refusal({"--rate", "nan"}, "--rate");
  expect_refusal({"--seconds", "-1"}, "--seconds");
  expect_refusal({"--connections", "0"}, "--connections");
  expect_refusal({"--mix", "get:80,fly:20"}, "fly");
  expect_refusal({"--json", "/proc/none/figures.json"}, "/proc/none/figures.json");
  expect_refusal({"--nonsense"}, "--nonsense");
}

TEST(LoadgenProgram, says_in_one_line_that_nobody_answers) {
  const std::string port = std::to_string(demo::free_port());
  expect_refusal({"--port", port, "--seconds", "0.2"}, "127.0.0.1:" + port);
}

}  // namespace
