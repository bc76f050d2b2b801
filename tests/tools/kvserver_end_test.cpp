// The ways in which kvserver ends: SIGTERM and SIGINT drain it, SHUTDOWN and QUIT are a client's.
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

namespace {

using namespace kvtest;
using testing::HasSubstr;

class KvServerEnd : public testing::TestWithParam<int> {};

INSTANTIATE_TEST_SUITE_P(By, KvServerEnd, testing::Values(SIGTERM, SIGINT), [](const auto& which) {
  return std::string(which.param == SIGTERM ? "SIGTERM" : "SIGINT");
});

TEST_P(KvServerEnd, lets_requests_under_way_have_their_replies) {
  constexpr int clients = 8, requests = 50;
  const demo::ScratchDir dir;
  std::size_t answered = 0;
  {
    KvServer server(dir.path(), {"--appendfsync", "always"});
    std::vector<Peer> peers;
    for (int i = 0; i < clients; ++i) peers.push_back(server.connect());
    for (Peer& peer : peers) ASSERT_EQ(peer.shown({"INCR", "n"}), ":" + std::to_string(++answered));
    std::string bytes;
    for (int i = 0; i < requests; ++i) bytes += request({"INCR", "n"});
    for (Peer& peer : peers) ASSERT_TRUE(peer.send(bytes));
    // Replies to one mean that the requests of that one are under way: each of them is answered.
    ASSERT_EQ(peers[0].read().type, ':');
    server.child().signal(GetParam());
    for (int i = 0; i < clients; ++i) {
      int replies = i == 0 ? 1 : 0;
      for (Reply reply = peers[static_cast<std::size_t>(i)].read(); reply.type == ':'; ++replies) {
        reply = peers[static_cast<std::size_t>(i)].read();
      }
      EXPECT_TRUE(replies == requests || (i != 0 && replies == 0)) << i << ": " << replies;
      answered += static_cast<std::size_t>(replies);
    }
    EXPECT_EQ(server.child().wait(), clean_end) << server.child().err();
  }
  KvServer server(dir.path());
  EXPECT_EQ(server.connect().shown({"GET", "n"}), "$" + std::to_string(answered));
}

TEST_P(KvServerEnd, sends_large_replies_to_their_end) {
  const demo::ScratchDir dir;
  KvServer server(dir.path());
  Peer peer = server.connect();
  const std::string value(3'000'000, 'x');
  ASSERT_EQ(peer.shown({"SET", "big", value}), "+OK");
  peer.send(request({"PING"}) + request({"GET", "big"}) + request({"GET", "big"}));
  ASSERT_EQ(peer.read().shown(), "+PONG");
  server.child().signal(GetParam());
  EXPECT_TRUE(peer.read().text == value);
  EXPECT_TRUE(peer.read().text == value);
  EXPECT_EQ(peer.read().shown(), "closed");
  EXPECT_EQ(server.child().wait(), clean_end);
}

TEST_P(KvServerEnd, comes_with_idle_clients_and_housekeeping_at_work) {
  for (const char* policy : {"fifo", "strict", "aging"}) {
    const demo::ScratchDir dir;
    KvServer server(dir.path(),
                    {"--policy", policy, "--housekeeping", "20", "--hold-lock", "3", "--flood", "5"});
    std::vector<Peer> peers;
    for (int i = 0; i < 20; ++i) peers.push_back(server.connect());
    ASSERT_EQ(peers[0].shown({"SET", "k", "v"}), "+OK");
    server.child().signal(GetParam());
    EXPECT_EQ(server.child().wait(), clean_end) << policy << server.child().err();
    EXPECT_EQ(peers[19].read().shown(), "closed");
  }
}

TEST(KvServerEndByClient, shutdown_ends_the_server_and_saves_all) {
  const demo::ScratchDir dir;
  {
    KvServer server(dir.path(), {"--appendfsync", "no"});
    Peer peer = server.connect(), other = server.connect();
    ASSERT_EQ(other.shown({"PING"}), "+PONG");
    peer.send(request({"SET", "k", "v"}) + request({"SHUTDOWN"}) + request({"SET", "k", "late"}));
    EXPECT_EQ(peer.read().shown(), "+OK");
    EXPECT_EQ(peer.read().shown(), "closed");
    EXPECT_EQ(other.read().shown(), "closed");
    EXPECT_EQ(server.child().wait(), clean_end) << server.child().err();
  }
  KvServer server(dir.path());
  EXPECT_EQ(server.connect().shown({"GET", "k"}), "$v");
  EXPECT_EQ(server.stop(), clean_end);
}

TEST(KvServerEndByClient, quit_ends_the_connection_alone) {
  const demo::ScratchDir dir;
  KvServer server(dir.path());
  Peer peer = server.connect();
  peer.send(request({"PING"}) + request({"QUIT"}) + request({"SET", "k", "late"}));
  EXPECT_EQ(peer.read().shown(), "+PONG");
  EXPECT_EQ(peer.read().shown(), "+OK");
  EXPECT_EQ(peer.read().shown(), "closed");
  EXPECT_EQ(server.connect().shown({"GET", "k"}), "null");
  EXPECT_EQ(server.stop(), clean_end);
}

}  // namespace
