#include "demo/resp_client.hpp"

#include "common/resp.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace demo {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

[[noreturn]] void fail(const std::string& what, int error = errno) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace

std::string resp_command(const std::vector<std::string_view>& words) {
  std::string text;
  tools::resp::put_bulks(text, words);
  return text;
}

std::optional<RespReply> parse_reply(std::string_view bytes) {
  const std::size_t length = tools::resp::reply_length(bytes);
  if (length == 0) return std::nullopt;
  const std::size_t begin = bytes[0] == '$' ? bytes.find("\r\n") + 2 : 1;
  if (begin == length) return RespReply{};  // null
  return RespReply{std::string(bytes.substr(begin, length - begin - 2)), bytes[0] == '-'};
}

RespClient::RespClient(Signals& signals, std::uint16_t port, Clock::duration patience)
    : signals_(signals), patience_(patience) {
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) fail("can't make a socket");
  try {
    const sockaddr_in address = loopback(port);
    const int done = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (done == 0) return;
    const std::string what = fmt::format("can't connect to 127.0.0.1:{}", port);
    if (errno != EINPROGRESS) fail(what);
    if (!signals_.wait_for(fd_, POLLOUT, Clock::now() + patience_)) fail(what, ETIMEDOUT);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) fail(what, error);
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

RespClient::~RespClient() { ::close(fd_); }

std::string RespClient::ask(const std::vector<std::string_view>& words) {
  const std::string what = fmt::format("{}", fmt::join(words, " "));
  const Clock::time_point deadline = Clock::now() + patience_;
  const std::string command = resp_command(words);
  // Short enough for any socket buffer.
  if (::send(fd_, command.data(), command.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(command.size())) {
    fail(fmt::format("can't send '{}'", what));
  }
  std::string received;
  std::array<char, 16384> block{};
  while (true) {
    if (const auto reply = parse_reply(received)) {
      if (reply->is_error)
        throw std::runtime_error(fmt::format("'{}' was answered by: {}", what, reply->text));
      return reply->text;
    }
    if (!signals_.wait_for(fd_, POLLIN, deadline))
      throw std::runtime_error(fmt::format("no reply to '{}'", what));
    const ssize_t count = ::recv(fd_, block.data(), block.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (count < 0) fail(fmt::format("no reply to '{}'", what));
    if (count == 0)
      throw std::runtime_error(fmt::format("the connection was closed before the reply to '{}'", what));
    received.append(block.data(), static_cast<std::size_t>(count));
  }
}

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("can't make a socket");
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const bool found = ::bind(fd, generic, size) == 0 && ::getsockname(fd, generic, &size) == 0;
  const int error = errno;
  ::close(fd);
  if (!found) fail("can't find a free port", error);
  return ntohs(address.sin_port);
}

}  // namespace demo
