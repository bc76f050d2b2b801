// kvserver dies at random moments under load: what it has acknowledged is there after the restart.
#include "kvserver_child.hpp"
#include "kvserver_writers.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>

namespace {

using namespace kvtest;

/// Printed; HEIRLOOP_SEED runs the same again.
std::uint64_t seed() {
  const char* given = std::getenv("HEIRLOOP_SEED");
  const std::uint64_t value = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed: HEIRLOOP_SEED=" << value << "\n";
  return value;
}

TEST(KvServerCrash, at_20_random_moments_loses_nothing_that_was_acknowledged_under_always) {
  const demo::ScratchDir dir;
  Writers writers(6, seed());
  for (int round = 0; round < 20; ++round) {
    KvServer server(dir.path(), {"--appendfsync", "always"});
    ASSERT_EQ(writers.check(server), "") << "round " << round;
    writers.load(server, writers.random()() % 400);
    ::poll(nullptr, 0, static_cast<int>(writers.random()() % 4));
    server.kill();
    writers.finish();
  }
  KvServer server(dir.path(), {"--appendfsync", "always"});
  EXPECT_EQ(writers.check(server), "");
  EXPECT_EQ(server.stop(), clean_end);
}

/// Keys that a rewrite has to carry over, so that it takes a while.
void fill(KvServer& server, int keys) {
  Peer peer = server.connect();
  const std::string value(100, 'v');
  std::string bytes;
  for (int i = 0; i < keys; ++i) bytes += request({"SET", "still:" + std::to_string(i), value});
  ASSERT_TRUE(peer.send(bytes));
  for (int i = 0; i < keys; ++i) ASSERT_EQ(peer.read().shown(), "+OK");
}

TEST(KvServerCrash, during_rewrites_under_load_loses_nothing_that_was_acknowledged) {
  constexpr int still = 5000;
  const demo::ScratchDir dir;
  Writers writers(4, seed());
  std::size_t begun = 0, refused = 0;
  {
    KvServer server(dir.path(), {"--appendfsync", "always"});
    fill(server, still);
    EXPECT_EQ(server.stop(), clean_end);
  }
  for (int round = 0; round < 8; ++round) {
    KvServer server(dir.path(), {"--appendfsync", "always", "--rewrite-min-bytes", "20000"});
    ASSERT_EQ(writers.check(server), "") << "round " << round;
    Peer admin = server.connect();
    writers.load(server, 200 + writers.random()() % 600, [&] {
      if (writers.random()() % 8 != 0) return;
      const Reply reply = admin.ask({"BGREWRITEAOF"});
      ++(reply.type == '+' ? begun : refused);
    });
    server.kill();
    writers.finish();
  }
  EXPECT_GT(begun, 0U);
  KvServer server(dir.path(), {"--appendfsync", "always"});
  EXPECT_EQ(writers.check(server), "");
  Peer peer = server.connect();
  for (int i = 0; i < still; ++i) peer.send(request({"STRLEN", "still:" + std::to_string(i)}));
  for (int i = 0; i < still; ++i) ASSERT_EQ(peer.read().shown(), ":100") << i;
  EXPECT_EQ(server.stop(), clean_end);
}

TEST(KvServerCrash, a_rewrite_makes_the_file_shorter_by_itself_and_when_asked) {
  const demo::ScratchDir dir;
  const auto file = dir.path() / "appendonly.heirloop";
  {
    KvServer server(dir.path(), {"--rewrite-min-bytes", "100000"});
    Peer peer = server.connect();
    for (int i = 0; i < 300; ++i) ASSERT_EQ(peer.shown({"SET", "k", std::string(1000, 'x')}), "+OK");
    EXPECT_TRUE(comes_true([&] { return server.info("aof_current_size") < 90000; }));
    EXPECT_EQ(server.stop(), clean_end);
  }
  KvServer server(dir.path());
  Peer peer = server.connect();
  EXPECT_EQ(peer.shown({"STRLEN", "k"}), ":1000");
  ASSERT_EQ(peer.shown({"SET", "k", std::string(1000, 'x')}), "+OK");
  ASSERT_EQ(peer.shown({"SET", "k", "short"}), "+OK");
  EXPECT_EQ(peer.shown({"BGREWRITEAOF"}), "+Background append only file rewriting started");
  EXPECT_TRUE(comes_true([&] { return server.info("aof_current_size") < 1000; }));
  EXPECT_TRUE(comes_true([&] { return server.info("aof_rewrite_in_progress") == 0; }));
  EXPECT_LT(std::filesystem::file_size(file), 1000U);
  EXPECT_EQ(peer.shown({"GET", "k"}), "$short");
  server.kill();
  EXPECT_EQ(KvServer(dir.path()).connect().shown({"GET", "k"}), "$short");
}

TEST(KvServerCrash, an_asked_end_under_load_loses_nothing_under_everysec_and_no) {
  for (const char* sync : {"everysec", "no"}) {
    const demo::ScratchDir dir;
    Writers writers(4, seed());
    for (int round = 0; round < 4; ++round) {
      KvServer server(dir.path(), {"--appendfsync", sync, "--rewrite-min-bytes", "50000"});
      ASSERT_EQ(writers.check(server), "") << sync << " round " << round;
      writers.load(server, 200 + writers.random()() % 2000);
      server.child().signal(round % 2 == 0 ? SIGTERM : SIGINT);
      writers.finish();
      EXPECT_EQ(server.child().wait(), clean_end) << server.child().err();
    }
    KvServer server(dir.path(), {"--appendfsync", sync});
    EXPECT_EQ(writers.check(server), "") << sync;
    EXPECT_EQ(server.stop(), clean_end);
  }
}

TEST(KvServerCrash, deadlines_are_as_durable_as_values) {
  const demo::ScratchDir dir;
  {
    KvServer server(dir.path(), {"--appendfsync", "always"});
    Peer peer = server.connect();
    ASSERT_EQ(peer.shown({"SET", "long", "1", "EX", "1000"}), "+OK");
    ASSERT_EQ(peer.shown({"SET", "kept", "1", "EX", "1000"}), "+OK");
    ASSERT_EQ(peer.shown({"PERSIST", "kept"}), ":1");
    ASSERT_EQ(peer.shown({"SET", "short", "1", "PX", "1"}), "+OK");
    server.kill();
  }
  KvServer server(dir.path(), {"--appendfsync", "always"});
  Peer peer = server.connect();
  const Reply ttl = peer.ask({"TTL", "long"});
  EXPECT_EQ(ttl.type, ':');
  EXPECT_GT(std::stoi(ttl.text), 800);
  EXPECT_LE(std::stoi(ttl.text), 1000);
  EXPECT_EQ(peer.shown({"TTL", "kept"}), ":-1");
  EXPECT_EQ(peer.shown({"EXISTS", "short"}), ":0");
  EXPECT_TRUE(comes_true([&] { return peer.shown({"DBSIZE"}) == ":2"; })) << "the sweep has not removed it";
}

}  // namespace
