// Internet addresses, as the kernel has them and as people write them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace heirloop {

/// An IPv4 or IPv6 address with a port.
class SocketAddress {
 public:
  /// Empty: no address.
  SocketAddress() noexcept : storage_{} {}

  /// `host` is a numeric IPv4 or IPv6 address, or "localhost" for 127.0.0.1. Names are not looked up.
  /// Errors: std::system_error (invalid_argument) that says what works; `what` comes first in its text.
  static SocketAddress parse(std::string_view host, std::uint16_t port, std::string_view what);

  /// Of the local end, of the peer. Empty when the socket has none.
  static SocketAddress local(int fd) noexcept;
  static SocketAddress peer(int fd) noexcept;

  int family() const noexcept { return storage_.any.sa_family; }
  std::uint16_t port() const noexcept;

  /// "127.0.0.1:7777", "[::1]:7777", "?" when empty.
  std::string to_string() const;

  sockaddr* data() noexcept { return &storage_.any; }
  const sockaddr* data() const noexcept { return &storage_.any; }
  socklen_t size() const noexcept;
  static constexpr socklen_t capacity = sizeof(sockaddr_in6);

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_;
};

}  // namespace heirloop
