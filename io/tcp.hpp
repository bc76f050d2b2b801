// TCP: listeners and streams.
//
// Owns: handles. The state of a stream is detail::Socket, that of a listener detail::Listener; both outlive their handle
// by as long as the kernel needs.
//
// 1. Nothing received is lost: bytes wait in the stream's inbox, accepted connections in the listener, whatever becomes
//    of the task that waited for them.
// 2. A handle that goes away closes at once, without waiting, and leaks nothing.
#pragma once

#include <heirloop/io/listener.hpp>
#include <heirloop/io/socket.hpp>
#include <heirloop/sched/coro.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace heirloop {

/// A connected TCP stream, with TCP_NODELAY. Movable. One task reads at a time; writes of several tasks go out in the
/// order of their calls. Errors of all its calls are std::system_error with the operation and the peer in the text.
class TcpStream {
 public:
  TcpStream() noexcept = default;
  explicit TcpStream(detail::SocketRef socket) noexcept : socket_(std::move(socket)) {}
  TcpStream(TcpStream&& other) noexcept = default;
  TcpStream& operator=(TcpStream&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  /// Closes: the peer sees the end of the stream; a write that did not end is cut off.
  ~TcpStream() {
    if (socket_) socket_->shut();
  }

  /// Connects. `host` is a numeric address or "localhost"; names are not looked up.
  /// Suspends: always. Interrupt: the attempt is given up. Errors: what the kernel says; invalid_argument for a name.
  static Coro<TcpStream> connect(std::string_view host, std::uint16_t port);

  /// Waits for bytes that `unread` has not shown yet: true; false at the end of the stream. What a `read…` left counts as
  /// not shown. At most `limit` bytes wait unread in the stream, the rest in the socket.
  /// Suspends: when there is nothing new. Interrupt: nothing is lost; what comes meanwhile waits in the stream.
  /// Errors: what the connection met; no_buffer_space when `limit` bytes are unread; InvalidStateError when another
  /// task reads. Cost: no allocation in steady state; none but the first wait copies anything.
  detail::FillWait fill(std::size_t limit = detail::Socket::inbox_limit) { return detail::FillWait(checked(), limit); }

  /// What has been received and not consumed. Valid until the next `fill`, `read…` or `close`.
  std::string_view unread() { return checked()->unread(); }

  /// Takes `count` bytes off the front of `unread`. Errors: std::invalid_argument when there are fewer.
  void consume(std::size_t count) { checked()->consume(count); }

  /// As many bytes as are there, at most the span's: 0 at the end of the stream.
  /// Suspends: when nothing is unread. Interrupt and errors: as `fill`.
  Coro<std::size_t> read_some(std::span<std::byte> into);

  /// Fills the span; fewer bytes only at the end of the stream.
  /// Suspends: until the span is full. Interrupt: what was copied into the span is the caller's; nothing else is taken.
  Coro<std::size_t> read_exactly(std::span<std::byte> into);

  /// The next line without its end (\n or \r\n), also one that the end of the stream cuts short; empty at the end.
  /// Suspends: until the line is there. Interrupt: nothing is consumed. Errors: as `fill`; message_size when the line is
  /// longer than `max` bytes, and nothing is consumed.
  Coro<std::optional<std::string>> read_line(std::size_t max = detail::Socket::inbox_limit);

  /// Writes all of it. What the kernel takes at once goes out inside the call, the rest from memory of the stream: a
  /// string given by rvalue moves there, anything else is copied.
  /// Suspends: until the kernel has all of it; where `checkpoint` would. Interrupt: the write goes on and ends by
  /// itself; later writes follow it. Errors: what the connection met. Cost: one send(2) when the kernel takes it all.
  detail::WriteOrThrow write(std::string_view data) { return detail::WriteOrThrow(checked(), data); }
  detail::WriteOrThrow write(const char* text) { return write(std::string_view(text)); }
  detail::WriteOrThrow write(std::string&& text) { return detail::WriteOrThrow(checked(), std::move(text)); }
  detail::WriteOrThrow write(std::span<const std::byte> data) { return write(as_text(data)); }

  /// The same; gives the error instead of throwing it.
  detail::WriteResult write_result(std::string_view data) { return detail::WriteResult(checked(), data); }
  detail::WriteResult write_result(const char* text) { return write_result(std::string_view(text)); }
  detail::WriteResult write_result(std::string&& text) { return detail::WriteResult(checked(), std::move(text)); }

  /// Ends the outgoing half, behind all writes: the peer reads the end of the stream. Reading goes on.
  /// Suspends: while writes are on their way. Interrupt: the half stays open.
  Coro<void> shutdown_write();

  /// Closes behind all writes.
  /// Suspends: while writes are on their way. Interrupt: closed at once, and what was on its way is cut off.
  /// Errors: none; a write's error is its writer's.
  Coro<void> close();

  bool is_open() const noexcept { return socket_ && socket_->is_open(); }
  SocketAddress peer_address() const { return checked()->peer(); }
  SocketAddress local_address() const { return SocketAddress::local(checked()->fd()); }

  /// For setsockopt and the like; stays the stream's. −1 when closed.
  int native_handle() const noexcept { return socket_ ? socket_->fd() : -1; }

 private:
  static std::string_view as_text(std::span<const std::byte> data) noexcept {
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }
  const detail::SocketRef& checked() const {
    if (!socket_) throw InvalidStateError("this TcpStream is empty: it was moved from, or never connected");
    return socket_;
  }

  detail::SocketRef socket_;
};

struct ListenOptions {
  int backlog = 1024;
  bool reuse_port = false;  ///< several processes share the port; the kernel spreads connections
};

/// Accepts TCP connections. Movable. Any number of tasks may wait in `accept`; the most urgent is served first.
class TcpListener {
 public:
  TcpListener() noexcept = default;
  TcpListener(TcpListener&& other) noexcept = default;
  TcpListener& operator=(TcpListener&& other) noexcept {
    std::swap(listener_, other.listener_);
    return *this;
  }
  /// Closes: who waits in `accept` gets operation_canceled, connections that nobody took are closed.
  ~TcpListener() {
    if (listener_) listener_->shut();
  }

  /// Listens on a numeric address ("0.0.0.0" for all) or "localhost"; port 0 takes a free one.
  /// Suspends: never. Errors: std::system_error: address in use, no permission; invalid_argument for a name.
  static Coro<TcpListener> bind(std::string_view host, std::uint16_t port, const ListenOptions& options = {});

  class AcceptWait;

  /// The next connection.
  /// Suspends: unless one waits in the listener. Interrupt: a connection that came goes to the next who waits, or to the
  /// next `accept`. Errors: too many open files and the like; operation_canceled when the listener is closed meanwhile.
  AcceptWait accept();

  /// Closes. Suspends: until the kernel has let go of the port. Interrupt: it will let go by itself.
  Coro<void> close();

  bool is_open() const noexcept { return listener_ && listener_->is_open(); }
  std::uint16_t local_port() const { return checked()->address().port(); }
  SocketAddress local_address() const { return checked()->address(); }
  int native_handle() const noexcept { return listener_ ? listener_->fd() : -1; }

 private:
  explicit TcpListener(detail::ListenerRef listener) noexcept : listener_(std::move(listener)) {}
  const detail::ListenerRef& checked() const {
    if (!listener_) throw InvalidStateError("this TcpListener is empty: it was moved from, or never bound");
    return listener_;
  }

  detail::ListenerRef listener_;
};

class TcpListener::AcceptWait final : public detail::AcceptWaitBase {
 public:
  using AcceptWaitBase::AcceptWaitBase;
  TcpStream await_resume();
};

inline TcpListener::AcceptWait TcpListener::accept() { return AcceptWait(checked()); }

}  // namespace heirloop
