// One connection to a RESP server on the loopback: sends a command and waits for its reply, with a time
// limit.
#pragma once

#include "demo/process.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace demo {

/// A command in RESP: an array of bulk strings.
[[nodiscard]] std::string resp_command(const std::vector<std::string_view>& words);

/// A reply that is complete: its text, and whether it is an error.
struct RespReply {
  std::string text;
  bool is_error = false;
};

/// Reads one simple string, error, integer or bulk string from the start of `bytes`; empty while it is
/// incomplete. Errors: std::runtime_error when it is none of these.
[[nodiscard]] std::optional<RespReply> parse_reply(std::string_view bytes);

class RespClient {
 public:
  /// Connects to the port on 127.0.0.1.
  /// Errors: std::system_error; Interrupted.
  RespClient(Signals& signals, std::uint16_t port, Clock::duration patience);
  ~RespClient();
  RespClient(const RespClient&) = delete;
  RespClient& operator=(const RespClient&) = delete;

  /// The reply to a command.
  /// Errors: std::runtime_error on an error reply, a lost connection or no reply in time; Interrupted.
  std::string ask(const std::vector<std::string_view>& words);

 private:
  Signals& signals_;
  Clock::duration patience_;
  int fd_ = -1;
};

/// A port of 127.0.0.1 that nobody listens on at this moment.
/// Errors: std::system_error.
[[nodiscard]] std::uint16_t free_port();

}  // namespace demo
