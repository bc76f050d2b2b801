#include "kvserver_peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace kvtest {

std::string request(const std::vector<std::string_view>& words) {
  std::string bytes = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string_view word : words) {
    bytes += "$" + std::to_string(word.size()) + "\r\n";
    bytes += word;
    bytes += "\r\n";
  }
  return bytes;
}

std::string Reply::shown() const {
  if (type == 0) return "closed";
  if (type == 'n') return "null";
  if (type != '*') return type + text;
  std::string all = "[";
  for (const Reply& item : items) all += (all.size() > 1 ? " " : "") + item.shown();
  return all + "]";
}

std::optional<std::size_t> parse_reply(std::string_view bytes, Reply& reply) {
  const std::size_t line_end = bytes.find("\r\n");
  if (line_end == std::string_view::npos) return std::nullopt;
  reply.type = bytes[0];
  const std::string_view line = bytes.substr(1, line_end - 1);
  std::size_t at = line_end + 2;
  if (reply.type == '+' || reply.type == '-' || reply.type == ':') {
    reply.text = line;
    return at;
  }
  std::int64_t count = 0;
  const auto [stop, error] = std::from_chars(line.data(), line.data() + line.size(), count);
  if ((reply.type != '$' && reply.type != '*') || error != std::errc() || stop != line.data() + line.size()) {
    throw std::runtime_error("no reply in the Redis protocol: " + std::string(bytes.substr(0, 80)));
  }
  if (count < 0) {
    reply.type = 'n';
    return at;
  }
  const auto size = static_cast<std::size_t>(count);
  if (reply.type == '$') {
    if (bytes.size() < at + size + 2) return std::nullopt;
    reply.text = bytes.substr(at, size);
    return at + size + 2;
  }
  for (std::size_t i = 0; i < size; ++i) {
    Reply item;
    const auto used = parse_reply(bytes.substr(at), item);
    if (!used) return std::nullopt;
    at += *used;
    reply.items.push_back(std::move(item));
  }
  return at;
}

Peer::Peer(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fd_ < 0 || ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int error = errno;
    close();
    throw std::system_error(error, std::generic_category(), "connect to port " + std::to_string(port));
  }
}

Peer::~Peer() { close(); }

Peer::Peer(Peer&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      ended_(other.ended_),
      gone_(other.gone_),
      unread_(std::move(other.unread_)),
      read_to_(std::exchange(other.read_to_, 0)) {}

Peer& Peer::operator=(Peer&& other) noexcept {
  close();
  fd_ = std::exchange(other.fd_, -1);
  ended_ = other.ended_;
  gone_ = other.gone_;
  unread_ = std::move(other.unread_);
  read_to_ = std::exchange(other.read_to_, 0);
  return *this;
}

bool Peer::wait_for(short events) {
  pollfd ready{fd_, events, 0};
  const int longest = static_cast<int>(std::chrono::milliseconds(patience).count());
  int count = 0;
  while ((count = ::poll(&ready, 1, longest)) < 0 && errno == EINTR) {
  }
  return count > 0;
}

std::size_t Peer::send_some(std::string_view bytes) {
  const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count >= 0) return static_cast<std::size_t>(count);
  if (errno != EAGAIN && errno != EINTR) gone_ = true;  // what it sent before can still be read
  return 0;
}

bool Peer::send(std::string_view bytes) {
  while (!bytes.empty()) {
    bytes.remove_prefix(send_some(bytes));
    if (gone_) return false;
    if (!bytes.empty() && !wait_for(POLLOUT)) throw std::runtime_error("the server does not read");
  }
  return true;
}

/// Takes what has arrived; false when nothing has.
bool Peer::receive() {
  if (read_to_ > unread_.size() / 2) {
    unread_.erase(0, read_to_);
    read_to_ = 0;
  }
  char block[256 * 1024];
  const ssize_t count = ::recv(fd_, block, sizeof block, MSG_DONTWAIT);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (count <= 0) {
    ended_ = true;
  } else {
    unread_.append(block, static_cast<std::size_t>(count));
  }
  return true;
}

std::optional<Reply> Peer::read_ready() {
  for (;;) {
    Reply reply;
    const std::string_view unread = std::string_view(unread_).substr(read_to_);
    if (const auto used = unread.empty() ? std::nullopt : parse_reply(unread, reply)) {
      read_to_ += *used;
      return reply;
    }
    if (ended_) return Reply{};
    if (!receive()) return std::nullopt;
  }
}

Reply Peer::read() {
  for (;;) {
    if (auto reply = read_ready()) return std::move(*reply);
    if (!wait_for(POLLIN)) throw std::runtime_error("no reply");
  }
}

Reply Peer::ask(const std::vector<std::string_view>& words) {
  send(request(words));
  return read();
}

void Peer::half_close() { ::shutdown(fd_, SHUT_WR); }

void Peer::close(bool rudely) {
  if (fd_ < 0) return;
  const linger reset{1, 0};
  if (rudely) ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  ::close(std::exchange(fd_, -1));
}

}  // namespace kvtest
