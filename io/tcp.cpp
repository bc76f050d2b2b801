#include <heirloop/io/detached.hpp>
#include <heirloop/io/owned_fd.hpp>
#include <heirloop/io/tcp.hpp>
#include <heirloop/sched/operations.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace heirloop {
namespace {

using detail::Listener;
using detail::ListenerRef;
using detail::OwnedFd;
using detail::Socket;
using detail::SocketRef;

std::system_error failure(const char* what, const SocketAddress& address, int error) {
  return std::system_error(error, std::system_category(), std::string(what) + " " + address.to_string());
}

void set_option(int fd, int level, int option) noexcept {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof(on));
}

OwnedFd make_socket(const SocketAddress& address, const char* what) {
  OwnedFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) throw failure(what, address, errno);
  set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY);  // accepted sockets inherit it from their listener
  return fd;
}

// ---- connect ----

class Connect final : public detail::Detached {
 public:
  static constexpr const char* what = "a connection";

  Connect(OwnedFd fd, const SocketAddress& address) noexcept
      : Detached(OperationKind::connect), fd_(std::move(fd)), address_(address) {
    request_.fd = fd_.get();
    request_.memory = address_.data();
    request_.length = address_.size();
  }

  /// The connected descriptor.
  OwnedFd take() {
    if (result() < 0) throw failure("connect to", address_, -result());
    return std::move(fd_);
  }
  std::string describe() const { return "a connection to " + address_.to_string(); }

 private:
  OwnedFd fd_;
  SocketAddress address_;
};

Coro<TcpStream> connect_to(SocketAddress address) {
  OwnedFd fd = make_socket(address, "connect to");
  detail::DetachedWait<Connect> wait(std::move(fd), address);
  OwnedFd connected = (co_await wait).take();
  auto* socket = new Socket(connected.get(), address);
  connected.release();
  co_return TcpStream(SocketRef(socket));
}

// ---- reading: the coroutines hold the state, so that the handle may move meanwhile ----

std::size_t take(Socket& socket, std::span<std::byte> into) {
  const std::string_view unread = socket.peek();
  const std::size_t count = std::min(unread.size(), into.size());
  if (count != 0) std::memcpy(into.data(), unread.data(), count);
  socket.consume(count);
  socket.hide();
  return count;
}

Coro<std::size_t> read_some_of(SocketRef socket, std::span<std::byte> into) {
  if (into.empty()) co_return 0;
  co_await detail::OccasionalCheckpoint();
  while (socket->peek().empty()) {
    const bool more = co_await detail::FillWait(socket, Socket::inbox_limit);
    if (!more) co_return 0;
  }
  co_return take(*socket, into);
}

Coro<std::size_t> read_exactly_of(SocketRef socket, std::span<std::byte> into) {
  co_await detail::OccasionalCheckpoint();
  std::size_t count = take(*socket, into);
  while (count < into.size()) {
    const bool more = co_await detail::FillWait(socket, Socket::inbox_limit);
    if (!more) break;
    count += take(*socket, into.subspan(count));
  }
  co_return count;
}

std::string take_line(Socket& socket, std::string_view line, std::size_t consumed) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::string text(line);
  socket.consume(consumed);
  return text;
}

/// To wait for more than was searched is to have seen it; the program has not.
class Searching {
 public:
  explicit Searching(Socket& socket) noexcept : socket_(socket) {}
  Searching(const Searching&) = delete;
  Searching& operator=(const Searching&) = delete;
  ~Searching() { socket_.hide(); }

 private:
  Socket& socket_;
};

Coro<std::optional<std::string>> read_line_of(SocketRef socket, std::size_t max) {
  const Searching searching(*socket);
  std::size_t searched = 0;
  co_await detail::OccasionalCheckpoint();
  for (;;) {
    const std::string_view unread = socket->unread();
    const std::size_t end = unread.find('\n', searched);
    if (std::min(end, unread.size()) > max) {
      throw std::system_error(
          std::make_error_code(std::errc::message_size),
          "read a line of at most " + std::to_string(max) + " bytes from " + socket->peer().to_string());
    }
    if (end != std::string_view::npos) co_return take_line(*socket, unread.substr(0, end), end + 1);
    searched = unread.size();
    const bool more = co_await detail::FillWait(socket, max + 2);
    if (more) continue;
    if (searched == 0) co_return std::nullopt;
    co_return take_line(*socket, socket->unread(), searched);
  }
}

Coro<void> shutdown_write_of(SocketRef socket) {
  co_await detail::DrainWait(socket);
  socket->shutdown_write();
}

Coro<void> close_of(SocketRef socket) {
  struct Shut {
    explicit Shut(Socket& s) noexcept : socket(s) {}
    Shut(const Shut&) = delete;
    Shut& operator=(const Shut&) = delete;
    ~Shut() { socket.shut(); }
    Socket& socket;
  } shut(*socket);
  if (socket->is_open()) co_await detail::DrainWait(socket);
}

// ---- listening ----

ListenerRef listen_on(const SocketAddress& address, const ListenOptions& options) {
  OwnedFd fd = make_socket(address, "listen on");
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (options.reuse_port) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT);
  if (address.family() == AF_INET6) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  if (::bind(fd.get(), address.data(), address.size()) != 0 || ::listen(fd.get(), options.backlog) != 0) {
    throw failure("listen on", address, errno);
  }
  auto* listener = new Listener(fd.get(), SocketAddress::local(fd.get()));
  fd.release();
  return ListenerRef(listener);
}

/// Waits until the kernel has let go of a closed listener.
class ListenerGone final : public Wait {
 public:
  explicit ListenerGone(ListenerRef listener) noexcept : listener_(std::move(listener)) {}

  bool await_ready() const noexcept { return !listener_->lingers(); }
  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    listener_->wake_when_gone(this);
    loop.block(*this, frame);
  }
  void await_resume() const {
    if (was_blocked()) Loop::resumed();
  }
  AbortResult abort() noexcept override {
    listener_->wake_when_gone(nullptr);
    return AbortResult::done;
  }
  std::string describe() const override { return "the end of the listener on " + listener_->address().to_string(); }

 private:
  ListenerRef listener_;
};

Coro<void> close_listener(ListenerRef listener) {
  listener->shut();
  co_await ListenerGone(listener);
}

}  // namespace

Coro<TcpStream> TcpStream::connect(std::string_view host, std::uint16_t port) {
  return connect_to(SocketAddress::parse(host, port, "connect to"));
}

Coro<std::size_t> TcpStream::read_some(std::span<std::byte> into) { return read_some_of(checked(), into); }

Coro<std::size_t> TcpStream::read_exactly(std::span<std::byte> into) { return read_exactly_of(checked(), into); }

Coro<std::optional<std::string>> TcpStream::read_line(std::size_t max) { return read_line_of(checked(), max); }

Coro<void> TcpStream::shutdown_write() { return shutdown_write_of(checked()); }

Coro<void> TcpStream::close() { return close_of(checked()); }

Coro<TcpListener> TcpListener::bind(std::string_view host, std::uint16_t port, const ListenOptions& options) {
  const SocketAddress address = SocketAddress::parse(host, port, "listen on");
  return [](SocketAddress where, ListenOptions how) -> Coro<TcpListener> {
    co_return TcpListener(listen_on(where, how));
  }(address, options);
}

Coro<void> TcpListener::close() { return close_listener(checked()); }

TcpStream TcpListener::AcceptWait::await_resume() {
  const detail::Accepted accepted = finish();
  OwnedFd fd(accepted.fd);
  auto* socket = new Socket(fd.get(), accepted.peer);
  fd.release();
  return TcpStream(SocketRef(socket));
}

}  // namespace heirloop
