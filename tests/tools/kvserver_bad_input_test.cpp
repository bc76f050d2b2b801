// What comes from peers that are broken, hostile or silent: an error reply or a clean close, and the others
// are served all the while.
#include "kvserver_child.hpp"
#include "support/property.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace kvtest;
using testing::StartsWith;

std::uint64_t resident_bytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// A server without a file, and a client that behaves, whose requests are to be answered whatever others do.
class KvServerBadInput : public testing::Test {
 protected:
  void expect_healthy() {
    const std::string value = std::to_string(++serial_);
    ASSERT_EQ(good_.shown({"SET", "healthy", value}), "+OK");
    ASSERT_EQ(good_.shown({"GET", "healthy"}), "$" + value);
  }
  void TearDown() override {
    if (stopped_) return;
    // What a peer sent before it closed may be a FLUSHALL, and is answered in its turn.
    EXPECT_TRUE(comes_true([&] { return server_.info("connected_clients") <= 2; }));
    stop();
  }
  void stop() {
    stopped_ = true;
    expect_healthy();
    EXPECT_EQ(server_.stop(),
              clean_end);  // of a build with AddressSanitizer this is also: nothing has leaked
  }

  demo::ScratchDir dir_;
  KvServer server_{dir_.path(), {"--appendonly", "no", "--maxclients", "20000"}};
  Peer good_ = server_.connect();
  int serial_ = 0;
  bool stopped_ = false;
};

TEST_F(KvServerBadInput, gets_an_error_and_a_close) {
  for (const char* bytes : {
           "*1000000000\r\n",
           "*1048577\r\n",
           "*99999999999999999999999\r\n",
           "*x\r\n",
           "*1\r\n$999999999999\r\n",
           "*1\r\n$536870913\r\n",
           "*1\r\n$-5\r\n",
           "*1\r\n$\r\n",
           "*1\r\nPING\r\n",
           "*2\r\n$4\r\nPING\r\n:3\r\n",
           "*1\r\n*1\r\n",
           "*1\r\n$4\r\nPINGxx",
           "SET k \"open\r\n",
           "SET k 'a'b\r\n",
       }) {
    SCOPED_TRACE(bytes);
    Peer peer = server_.connect();
    peer.send(bytes);
    EXPECT_THAT(peer.read().shown(), StartsWith("-ERR Protocol error"));
    EXPECT_EQ(peer.read().shown(), "closed");
  }
  expect_healthy();
}

TEST_F(KvServerBadInput, after_good_requests_takes_nothing_from_them) {
  Peer peer = server_.connect();
  peer.send(request({"SET", "a", "1"}) + request({"GET", "a"}) + "*1\r\n!3\r\n" + request({"SET", "a", "2"}));
  EXPECT_EQ(peer.read().shown(), "+OK");
  EXPECT_EQ(peer.read().shown(), "$1");
  EXPECT_THAT(peer.read().shown(), StartsWith("-ERR Protocol error"));
  EXPECT_EQ(peer.read().shown(), "closed");
  EXPECT_EQ(good_.shown({"GET", "a"}), "$1");
}

TEST_F(KvServerBadInput, without_an_end_is_refused_when_it_gets_too_long) {
  Peer peer = server_.connect();
  const std::string line(70'000, 'x');
  peer.send(line);
  EXPECT_EQ(peer.read().shown(), "-ERR Protocol error: too big inline request");
  EXPECT_EQ(peer.read().shown(), "closed");
}

TEST_F(KvServerBadInput, in_halves_waits_for_the_rest_and_ends_with_the_peer) {
  const std::string whole = request({"SET", "half", "value"});
  for (std::size_t size = 1; size < whole.size(); ++size) {
    Peer gone = server_.connect(), rude = server_.connect(), quiet = server_.connect(),
         slow = server_.connect();
    for (Peer* peer : {&gone, &rude, &quiet, &slow}) ASSERT_TRUE(peer->send(whole.substr(0, size)));
    gone.close();
    rude.close(true);
    quiet.half_close();
    EXPECT_EQ(quiet.read().shown(), "closed");
    EXPECT_FALSE(slow.read_ready().has_value());
    slow.send(whole.substr(size));
    EXPECT_EQ(slow.read().shown(), "+OK");
  }
  EXPECT_EQ(good_.shown({"GET", "half"}), "$value");
  EXPECT_TRUE(comes_true([&] { return server_.info("connected_clients") <= 2; }));
}

TEST_F(KvServerBadInput, of_announced_sizes_takes_no_memory) {
  const std::uint64_t before = resident_bytes(server_.child().pid());
  std::vector<Peer> peers;
  for (int i = 0; i < 200; ++i) {
    peers.push_back(server_.connect());
    peers.back().send(i % 2 == 0 ? "*1048576\r\n$1\r\nx\r\n" : "*2\r\n$3\r\nGET\r\n$536870912\r\nxxx");
  }
  expect_healthy();
  EXPECT_LT(resident_bytes(server_.child().pid()), before + (with_asan() ? 256 : 64) * 1024 * 1024);
}

TEST_F(KvServerBadInput, replies_come_after_a_half_close) {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) bytes += request({"ECHO", std::to_string(i)});
  Peer peer = server_.connect();
  ASSERT_TRUE(peer.send(bytes));
  peer.half_close();
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(peer.read().shown(), "$" + std::to_string(i));
  EXPECT_EQ(peer.read().shown(), "closed");
}

TEST_F(KvServerBadInput, peers_that_leave_before_their_replies_harm_nobody) {
  good_.ask({"SET", "big", std::string(1'000'000, 'b')});
  std::string bytes;
  for (int i = 0; i < 50; ++i) bytes += request({"GET", "big"});
  for (int i = 0; i < 20; ++i) {
    Peer peer = server_.connect();
    peer.send(bytes);
    if (i % 4 >= 2) peer.read();
    peer.close(i % 2 == 1);
  }
  expect_healthy();
  EXPECT_TRUE(comes_true([&] { return server_.info("connected_clients") <= 2; }));
}

TEST_F(KvServerBadInput, who_never_reads_is_not_read_from_either) {
  good_.ask({"SET", "big", std::string(100'000, 'b')});
  expect_healthy();
  const std::uint64_t before = resident_bytes(server_.child().pid());
  Peer deaf = server_.connect();
  std::string bytes;
  for (int i = 0; i < 5000; ++i) bytes += request({"GET", "big"});
  std::size_t sent = 0, at = 0;
  pollfd writable{deaf.fd(), POLLOUT, 0};
  // Until nothing has gone for a while; if the server read on, it would be gigabytes until then.
  while (sent < 100'000'000 && ::poll(&writable, 1, 300) > 0) {
    const std::size_t count = deaf.send_some(std::string_view(bytes).substr(at));
    sent += count;
    at = (at + count) % bytes.size();
  }
  EXPECT_LT(sent, 100'000'000U);
  expect_healthy();
  EXPECT_LT(resident_bytes(server_.child().pid()), before + (with_asan() ? 512 : 32) * 1024 * 1024);
  deaf.close(true);
  EXPECT_TRUE(comes_true([&] { return server_.info("connected_clients") <= 2; }));
}

/// Bytes at random, or requests with some bytes changed, left out or doubled.
std::string strange_bytes(std::mt19937_64& random) {
  std::string bytes;
  if (random() % 4 == 0) {
    const std::size_t size = random() % 2000;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(random());
    return bytes;
  }
  static const std::vector<std::vector<std::string_view>> samples{{"SET", "k", "v", "PX", "100"},
                                                                  {"GET", "k"},
                                                                  {"MSET", "a", "1", "b", "2"},
                                                                  {"APPEND", "k", "xyz"},
                                                                  {"SCAN", "0", "COUNT", "100"},
                                                                  {"INCRBY", "n", "5"},
                                                                  {"EXPIRE", "k", "1"},
                                                                  {"INFO"},
                                                                  {"CONFIG", "GET", "*[a-z]*?"},
                                                                  {"CLIENT", "LIST"},
                                                                  {"HELLO", "2"},
                                                                  {"COMMAND"},
                                                                  {"SCAN", "123", "MATCH", "*\\"},
                                                                  {"DEL", "a", "b"},
                                                                  {"FLUSHALL"},
                                                                  {"PERSIST", "k"},
                                                                  {"SET", "k", "", "NX", "GET"},
                                                                  {"PING", "\r\n$5\r\n"},
                                                                  {"TYPE", "k"},
                                                                  {"DBSIZE"}};
  const std::size_t count = 1 + random() % 20;
  for (std::size_t i = 0; i < count; ++i) {
    const auto& words = samples[random() % samples.size()];
    if (random() % 5 != 0) {
      bytes += request(words);
      continue;
    }
    for (const std::string_view word : words) bytes.append(word).append(random() % 9 == 0 ? " \"" : " ");
    bytes += "\r\n";
  }
  for (std::size_t change = random() % 6; change > 0 && !bytes.empty(); --change) {
    const std::size_t at = random() % bytes.size();
    switch (random() % 4) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
        break;
      case 2:
        bytes.erase(at, random() % 8);
        break;
      default:
        bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 30));
        break;
    }
  }
  return bytes;
}

TEST_F(KvServerBadInput, at_random_crashes_nothing) {
  const char* given = std::getenv("HEIRLOOP_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "seed: HEIRLOOP_SEED=" << seed << "\n";
  std::mt19937_64 random(seed);
#ifdef __SANITIZE_ADDRESS__
  constexpr bool watched = true;  // so is the server: a minute in each run
#else
  constexpr bool watched = false;
#endif
  const auto time = std::chrono::seconds(watched || heirloop::testing::nightly() ? 60 : 2);
  const auto end = std::chrono::steady_clock::now() + time;
  std::uint64_t bursts = 0;
  std::vector<Peer> peers;
  while (std::chrono::steady_clock::now() < end) {
    if (peers.size() < 20) peers.push_back(server_.connect());
    const std::size_t at = random() % peers.size();
    Peer& peer = peers[at];
    peer.send_some(strange_bytes(random));
    ++bursts;
    try {
      while (const auto reply = peer.read_ready()) {
        if (reply->type == 0) break;
      }
    } catch (const std::runtime_error& error) {
      FAIL() << error.what();
    }
    if (random() % 8 == 0) {
      if (random() % 4 == 0) peer.half_close();
      peer.close(random() % 2 == 0);
      peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (bursts % 16 == 0) {
      ASSERT_EQ(good_.shown({"ECHO", "still here"}), "$still here") << server_.child().err();
    }
  }
  EXPECT_GT(bursts, 16U);
  peers.clear();
}

TEST_F(KvServerBadInput, ten_thousand_who_say_nothing_keep_nobody_waiting) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  // The server has the same limit, and a few descriptors of its own.
  const std::size_t count = std::min<std::size_t>(10'000, limit.rlim_max - 100);
  std::cout << count << " silent connections\n";
  std::vector<Peer> silent;
  silent.reserve(count);
  while (silent.size() < count) {
    silent.push_back(server_.connect());
    // Also keeps the server's queue of new connections short.
    if (silent.size() % 50 == 0) expect_healthy();
  }
  EXPECT_TRUE(comes_true([&] { return server_.info("connected_clients") >= static_cast<double>(count); }));
  for (int i = 0; i < 100; ++i) expect_healthy();
  EXPECT_EQ(silent[count / 2].shown({"PING"}), "+PONG");
  for (std::size_t i = 0; i < count / 2; ++i) silent[i].close(i % 2 == 0);
  EXPECT_TRUE(
      comes_true([&] { return server_.info("connected_clients") <= static_cast<double>(count / 2 + 3); }));
  stop();  // with the other half still there
  EXPECT_EQ(silent.back().read().shown(), "closed");
}

TEST(KvServerMaxClients, refuses_one_too_many_with_a_text_and_takes_the_next_when_one_has_left) {
  const demo::ScratchDir dir;
  KvServer server(dir.path(), {"--maxclients", "2"});
  Peer first = server.connect(), second = server.connect();
  EXPECT_EQ(first.shown({"PING"}), "+PONG");
  EXPECT_EQ(second.shown({"PING"}), "+PONG");
  for (int i = 0; i < 3; ++i) {
    Peer third = server.connect();
    EXPECT_EQ(third.read().shown(), "-ERR max number of clients reached");
    EXPECT_EQ(third.read().shown(), "closed");
  }
  second.close();
  EXPECT_TRUE(comes_true([&] { return server.connect().shown({"PING"}) == "+PONG"; }));
  EXPECT_EQ(first.shown({"PING"}), "+PONG");
  EXPECT_EQ(server.stop(), clean_end);
}

TEST(KvServerDescriptors, that_run_out_keep_new_clients_waiting_and_the_others_served) {
  // UBSan looks at an object's type through a pipe; without a descriptor for it, every exception looks wrong
  // to it.
  if (with_asan()) GTEST_SKIP() << "sanitizers need descriptors themselves";
  const demo::ScratchDir dir;
  KvServer server(dir.path(), {"--appendonly", "no"});
  Peer first = server.connect();
  EXPECT_EQ(first.shown({"PING"}), "+PONG");
  const rlimit few{24, 24};
  ASSERT_EQ(::prlimit(server.child().pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  std::vector<Peer> peers;
  for (int i = 0; i < 40; ++i) peers.push_back(server.connect());
  EXPECT_TRUE(comes_true([&] { return server.child().err().find("can't accept") != std::string::npos; }));
  EXPECT_EQ(first.shown({"PING"}), "+PONG");
  const Peer last = std::move(peers.back());
  peers.clear();
  Peer late = server.connect();
  EXPECT_EQ(late.shown({"PING"}), "+PONG");
  EXPECT_EQ(server.stop(), clean_end);
}

}  // namespace
