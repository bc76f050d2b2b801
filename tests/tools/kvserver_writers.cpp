#include "kvserver_writers.hpp"

#include <poll.h>

#include <stdexcept>

namespace kvtest {

namespace {
constexpr std::size_t keys_of_each = 40;
}

Writer::Words Writer::next_request(std::mt19937_64& random) {
  const std::string serial = std::to_string(++serial_);
  const auto key = [&] { return prefix_ + ":" + std::to_string(random() % keys_of_each); };
  switch (random() % 8) {
    case 0:
      return {"INCRBY", prefix_ + ":sum", std::to_string(random() % 1000)};
    case 1:
      return {"APPEND", prefix_ + ":text", serial + ","};
    case 2:
      return {"DEL", key(), key()};
    case 3:
      return {"MSET", key(), "a" + serial, key(), std::string("b\0\r\n", 4) + serial};
    case 4:
      if (random() % 16 == 0) return {"SET", prefix_ + ":text", ""};
      return {"SET", key(), std::string(random() % 3000, static_cast<char>('a' + random() % 26)) + serial};
    default:
      return {"SET", key(), serial};
  }
}

void Writer::apply(const Words& words, Keys& keys) {
  const std::string& name = words[0];
  if (name == "INCRBY") {
    std::string& sum = keys[words[1]];
    sum = std::to_string((sum.empty() ? 0 : std::stoll(sum)) + std::stoll(words[2]));
  } else if (name == "APPEND") {
    keys[words[1]] += words[2];
  } else if (name == "DEL") {
    for (std::size_t i = 1; i < words.size(); ++i) keys.erase(words[i]);
  } else {  // SET and MSET
    for (std::size_t i = 1; i < words.size(); i += 2) keys[words[i]] = words[i + 1];
  }
}

void Writer::take(const Reply& reply) {
  if (reply.type == 0) return;
  if (under_way_.empty()) throw std::runtime_error("a reply to nothing: " + reply.shown());
  if (reply.type == '-') throw std::runtime_error("a write was refused: " + reply.shown());
  apply(under_way_.front(), keys_);
  under_way_.pop_front();
  ++acknowledged_;
}

void Writer::turn(std::size_t window, std::mt19937_64& random) {
  std::string bytes;
  while (under_way_.size() < window) {
    under_way_.push_back(next_request(random));
    bytes += request({under_way_.back().begin(), under_way_.back().end()});
  }
  if (!bytes.empty()) peer_->send(bytes);
  while (const auto reply = peer_->read_ready()) {
    take(*reply);
    if (reply->type == 0) return;
  }
}

void Writer::finish() {
  if (!peer_) return;
  for (Reply reply = peer_->read(); reply.type != 0; reply = peer_->read()) take(reply);
  peer_.reset();
}

std::string Writer::check(Peer& peer) {
  std::vector<std::string> names{prefix_ + ":sum", prefix_ + ":text"};
  for (std::size_t i = 0; i < keys_of_each; ++i) names.push_back(prefix_ + ":" + std::to_string(i));
  std::vector<std::string_view> words{"MGET"};
  words.insert(words.end(), names.begin(), names.end());
  const Reply values = peer.ask(words);
  if (values.items.size() != names.size()) return "MGET: " + values.shown();
  Keys found;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (values.items[i].type == '$') found[names[i]] = values.items[i].text;
  }

  std::string difference;
  for (const std::string& name : names) {
    const auto mine = keys_.find(name), theirs = found.find(name);
    const std::string expected = mine == keys_.end() ? "nothing" : "'" + mine->second.substr(0, 60) + "'";
    const std::string actual = theirs == found.end() ? "nothing" : "'" + theirs->second.substr(0, 60) + "'";
    if (expected != actual)
      difference += "\n  " + name + ": " + actual + ", after what was acknowledged " + expected;
  }
  const std::size_t more = under_way_.size();
  while (found != keys_ && !under_way_.empty()) {
    apply(under_way_.front(), keys_);
    under_way_.pop_front();
  }
  const bool agree = found == keys_;
  keys_ = std::move(found);
  under_way_.clear();
  if (agree) return "";
  return prefix_ + ": not the state after " + std::to_string(acknowledged_) + " to " +
         std::to_string(acknowledged_ + more) + " requests:" + difference;
}

Writers::Writers(std::size_t count, std::uint64_t seed) : random_(seed) {
  for (std::size_t i = 0; i < count; ++i) writers_.emplace_back("w" + std::to_string(i));
}

void Writers::load(const KvServer& server, std::size_t enough, const std::function<void()>& meanwhile) {
  std::size_t before = 0;
  for (Writer& writer : writers_) {
    writer.connect(server);
    before += writer.acknowledged();
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    std::size_t now = 0;
    bool all_wait = true;
    std::vector<pollfd> readable;
    for (Writer& writer : writers_) {
      writer.turn(1 + random_() % 16, random_);
      now += writer.acknowledged();
      all_wait = all_wait && writer.waits();
      readable.push_back({writer.fd(), POLLIN, 0});
    }
    if (now - before >= enough) return;
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("the server does not answer");
    meanwhile();
    if (all_wait) ::poll(readable.data(), readable.size(), 100);
  }
}

void Writers::finish() {
  for (Writer& writer : writers_) writer.finish();
}

std::string Writers::check(const KvServer& server) {
  Peer peer = server.connect();
  std::string complaints;
  for (Writer& writer : writers_) complaints += writer.check(peer);
  return complaints;
}

}  // namespace kvtest
