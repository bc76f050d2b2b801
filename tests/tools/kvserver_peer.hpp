// A client of kvserver that can also misbehave: sends any bytes, reads replies one by one, closes when it
// likes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace kvtest {

/// The longest that anything may take; a limit against tests that would hang, and no measure of speed.
constexpr std::chrono::seconds patience(60);

/// A request in the Redis protocol.
std::string request(const std::vector<std::string_view>& words);

/// One reply. Equal to another when shown the same.
struct Reply {
  char type = 0;  ///< + - : $ *, n for null, 0 for none: the connection has ended
  std::string text;
  std::vector<Reply> items;

  /// `+OK`, `-ERR …`, `:3`, `$text`, `null`, `[$a $b]`, `closed`.
  std::string shown() const;
};

/// Reads one reply at the start of `bytes` and says how long it was; nothing while it is not whole.
std::optional<std::size_t> parse_reply(std::string_view bytes, Reply& reply);

class Peer {
 public:
  /// Connects to 127.0.0.1. Errors: std::system_error.
  explicit Peer(std::uint16_t port);
  ~Peer();
  Peer(Peer&& other) noexcept;
  Peer& operator=(Peer&& other) noexcept;

  int fd() const { return fd_; }

  /// Sends all of it, while the other side reads; false when the connection is gone.
  bool send(std::string_view bytes);
  /// Sends what goes without waiting; how much that was.
  std::size_t send_some(std::string_view bytes);
  /// The next reply; of type 0 at the end of the connection. Errors: std::runtime_error when none comes.
  Reply read();
  /// The next reply if it is there already.
  std::optional<Reply> read_ready();
  /// Sends a request and reads its reply.
  Reply ask(const std::vector<std::string_view>& words);
  /// The same, shown.
  std::string shown(const std::vector<std::string_view>& words) { return ask(words).shown(); }

  /// Sends no more; replies can still come.
  void half_close();
  /// Closes; `rudely`: with a reset.
  void close(bool rudely = false);

 private:
  bool wait_for(short events);
  bool receive();

  int fd_ = -1;
  bool ended_ = false;  // nothing more comes
  bool gone_ = false;   // nothing more can be sent
  std::string unread_;
  std::size_t read_to_ = 0;
};

}  // namespace kvtest
