#include <heirloop/io/address.hpp>

#include <arpa/inet.h>

#include <system_error>

namespace heirloop {

SocketAddress SocketAddress::parse(std::string_view host, std::uint16_t port, std::string_view what) {
  SocketAddress address;
  const std::string text(host == "localhost" ? std::string_view("127.0.0.1") : host);
  if (::inet_pton(AF_INET, text.c_str(), &address.storage_.v4.sin_addr) == 1) {
    address.storage_.v4.sin_family = AF_INET;
    address.storage_.v4.sin_port = htons(port);
    return address;
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.c_str(), &v6) == 1) {
    address.storage_.v6 = {};
    address.storage_.v6.sin6_family = AF_INET6;
    address.storage_.v6.sin6_addr = v6;
    address.storage_.v6.sin6_port = htons(port);
    return address;
  }
  throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                          std::string(what) + " '" + text +
                              "': names are not looked up; give a numeric address such as 127.0.0.1 or ::1, or "
                              "localhost");
}

SocketAddress SocketAddress::local(int fd) noexcept {
  SocketAddress address;
  socklen_t size = capacity;
  if (::getsockname(fd, address.data(), &size) != 0) return {};
  return address;
}

SocketAddress SocketAddress::peer(int fd) noexcept {
  SocketAddress address;
  socklen_t size = capacity;
  if (::getpeername(fd, address.data(), &size) != 0) return {};
  return address;
}

std::uint16_t SocketAddress::port() const noexcept {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

std::string SocketAddress::to_string() const {
  char text[INET6_ADDRSTRLEN];
  if (family() == AF_INET && ::inet_ntop(AF_INET, &storage_.v4.sin_addr, text, sizeof(text)) != nullptr) {
    return std::string(text) + ":" + std::to_string(port());
  }
  if (family() == AF_INET6 && ::inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof(text)) != nullptr) {
    return "[" + std::string(text) + "]:" + std::to_string(port());
  }
  return "?";
}

socklen_t SocketAddress::size() const noexcept {
  if (family() == AF_INET) return sizeof(sockaddr_in);
  if (family() == AF_INET6) return sizeof(sockaddr_in6);
  return 0;
}

}  // namespace heirloop
