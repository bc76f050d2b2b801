// Load for tests of durability: connections that write without a pause, each to keys of its own, and what the
// server must have of that after it died.
//
// A connection's requests are carried out in the order in which they were sent. So after a restart its keys
// are as its first n requests leave them, where n is at least the number of replies that it got.
#pragma once

#include "kvserver_child.hpp"

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace kvtest {

class Writer {
 public:
  explicit Writer(std::string prefix) : prefix_(std::move(prefix)) {}

  void connect(const KvServer& server) { peer_.emplace(server.connect()); }
  /// Keeps `window` requests under way; takes the replies that have come.
  void turn(std::size_t window, std::mt19937_64& random);
  /// Takes the replies that came before the server was gone.
  void finish();
  std::size_t acknowledged() const { return acknowledged_; }
  bool waits() const { return !under_way_.empty(); }
  int fd() const { return peer_->fd(); }

  /// Compares the server's keys with what was acknowledged and what was under way, and takes them as the
  /// state to go on from. Empty when they agree.
  std::string check(Peer& peer);

 private:
  using Keys = std::map<std::string, std::string>;
  using Words = std::vector<std::string>;

  Words next_request(std::mt19937_64& random);
  void take(const Reply& reply);
  static void apply(const Words& words, Keys& keys);

  std::string prefix_;
  std::optional<Peer> peer_;
  std::uint64_t serial_ = 0;
  Keys keys_;  // with all that was acknowledged
  std::deque<Words> under_way_;
  std::size_t acknowledged_ = 0;
};

/// The writers of one server.
class Writers {
 public:
  Writers(std::size_t count, std::uint64_t seed);

  /// Loads the server until `enough` requests were acknowledged, and leaves requests under way.
  /// `meanwhile` is called between turns.
  void load(
      const KvServer& server, std::size_t enough, const std::function<void()>& meanwhile = [] {});
  /// After the server's end: takes what was acknowledged before.
  void finish();
  /// What is wrong with the keys of a restarted server; empty when nothing is.
  std::string check(const KvServer& server);

  std::mt19937_64& random() { return random_; }

 private:
  std::vector<Writer> writers_;
  std::mt19937_64 random_;
};

}  // namespace kvtest
