// The state of a connected socket, shared by its handle and by the operations that are in the kernel.
//
// Owns: the descriptor, the inbox into which everything received goes, and the outbox of writes that the kernel has not
// taken whole. Called by TcpStream, by the waits below, and by the driver's completions.
//
//   kernel ──receive──▶ inbox ──unread/consume──▶ reader        writer ──send(2)──▶ kernel
//                                                                  └──what is left──▶ outbox ──send──▶ kernel
//
// 1. At most one receive and one send are in flight. Each holds a reference; the last one to go frees the state.
// 2. A receive writes only to [end, end + length) of the inbox, which stays where it is meanwhile. Whatever it brings
//    stays in the inbox, whether somebody waits or not: a reader that leaves takes nothing along and loses nothing.
// 3. A write that began goes out whole and in the order of the calls, whether its writer still waits or not, unless the
//    socket is closed or fails.
// 4. `shut` leaves nothing to wait for: what is in flight ends soon by itself, in memory that the state owns.
#pragma once

#include <heirloop/io/address.hpp>
#include <heirloop/io/buffer.hpp>
#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/operation.hpp>
#include <heirloop/io/ref.hpp>
#include <heirloop/sched/frame_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace heirloop::detail {

class FillWait;
class WriteWait;
struct PendingWrite;

class Socket final : public Pooled {
 public:
  /// How far an inbox grows by itself; a reader who asks for more gets more.
  static constexpr std::size_t inbox_limit = 64 * 1024;
  /// The most that is copied in one step, or in one operation, so that nobody waits long for a large write.
  static constexpr std::size_t longest_send = 128 * 1024;

  /// Takes the descriptor, of a connected stream socket.
  Socket(int fd, const SocketAddress& peer) noexcept : fd_(fd), peer_(peer), receive_(*this), send_(*this) {}

  int fd() const noexcept { return fd_; }
  bool is_open() const noexcept { return fd_ >= 0; }
  const SocketAddress& peer() const noexcept { return peer_; }

  std::string_view unread() noexcept {
    seen_ = end_;
    return {inbox_.data() + begin_, end_ - begin_};
  }
  void consume(std::size_t count);

  /// The same bytes, for reads that show nothing to the program.
  std::string_view peek() const noexcept { return {inbox_.data() + begin_, end_ - begin_}; }
  /// None of the unread bytes counts as shown any more.
  void hide() noexcept { seen_ = begin_; }

  /// Bytes that `unread` has not shown yet, the end of the stream, or an error.
  bool has_news() const noexcept { return end_ != seen_ || at_end_ || read_error_ != 0 || !is_open(); }
  bool at_end() const noexcept { return at_end_; }

  /// True when there are new bytes, false at the end of the stream. Errors: what the socket met.
  bool news() const;

  /// The reader waits, and a receive is armed.
  /// Errors: InvalidStateError when another reads; no_buffer_space when `limit` bytes are unread already.
  void begin_read(FillWait& reader, std::size_t limit);
  void leave_reader(const FillWait& reader) noexcept;

  /// Why nothing can be written; 0 when it can.
  int write_error() const noexcept;
  bool outbox_empty() const noexcept { return outbox_ == nullptr; }

  /// As much as the kernel takes at once. −errno on failure, which the socket keeps.
  std::ptrdiff_t send_now(std::string_view data) noexcept;

  /// Behind everything that waits already; from `text` when that is not empty, else a copy of `data`.
  PendingWrite* enqueue(WriteWait& writer, std::string_view data, std::string&& text);
  void leave_writer(const WriteWait& writer) noexcept;

  /// No more can be written; the peer sees the end of the stream. Errors: what the kernel says.
  void shutdown_write();

  /// Closes. Whoever waits gets operation_canceled.
  void shut() noexcept;

  [[noreturn]] void fail(const char* what, int error) const;

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

 private:
  class Receive final : public Operation {
   public:
    explicit Receive(Socket& socket) noexcept : Operation(OperationKind::receive), socket_(socket) {}
    void completed() noexcept override { socket_.received(); }

   private:
    friend class Socket;
    Socket& socket_;
  };
  class Send final : public Operation {
   public:
    explicit Send(Socket& socket) noexcept : Operation(OperationKind::send), socket_(socket) {}
    void completed() noexcept override { socket_.sent(); }

   private:
    friend class Socket;
    Socket& socket_;
  };

  ~Socket() = default;
  void make_room(std::size_t limit);
  void move_inbox(std::size_t capacity);
  void arm_receive(IoDriver& driver, const Urgency& urgency);
  void received() noexcept;
  void arm_send(IoDriver& driver, const Urgency& urgency);
  void sent() noexcept;
  void pop_write(int error) noexcept;
  void fail_writes(int error) noexcept;

  int fd_;
  std::uint32_t references_ = 1;
  Buffer inbox_;
  std::size_t begin_ = 0;  // of the unread bytes
  std::size_t end_ = 0;
  std::size_t seen_ = 0;  // up to here `unread` has shown them
  PendingWrite* outbox_ = nullptr;
  PendingWrite* outbox_last_ = nullptr;
  IoDriver* driver_ = nullptr;  // of the operations in flight
  int read_error_ = 0;
  int write_error_ = 0;
  bool at_end_ = false;
  bool write_shut_ = false;
  bool filled_ = false;  // the last receive filled the room it had
  std::uint8_t small_receives_ = 0;
  SocketAddress peer_;
  Receive receive_;
  Send send_;
};

using SocketRef = Ref<Socket>;

/// Waits for news in the inbox.
class FillWait final : public Wait {
 public:
  FillWait(SocketRef socket, std::size_t limit) noexcept : socket_(std::move(socket)), limit_(limit) {}

  bool await_ready() const noexcept { return socket_->has_news(); }
  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    socket_->begin_read(*this, limit_);
    loop.block(*this, frame);
  }
  bool await_resume() const {
    if (was_blocked()) Loop::resumed();
    return socket_->news();
  }

  AbortResult abort() noexcept override {
    socket_->leave_reader(*this);
    return AbortResult::done;
  }
  std::string describe() const override { return "bytes from " + socket_->peer().to_string(); }

 private:
  SocketRef socket_;
  std::size_t limit_;
};

/// Waits until the kernel has all of a write.
class WriteWait : public Wait {
 public:
  WriteWait(SocketRef socket, std::string_view data) noexcept : socket_(std::move(socket)), data_(data) {}
  WriteWait(SocketRef socket, std::string&& text) noexcept
      : socket_(std::move(socket)), text_(std::move(text)), data_(text_) {}

  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> frame);

  AbortResult abort() noexcept override;
  std::string describe() const override { return "a write to " + socket_->peer().to_string(); }

  /// Called as the write leaves the outbox.
  void ended(int error) noexcept {
    record_ = nullptr;
    error_ = error;
  }

 protected:
  ~WriteWait() = default;
  int finish() const {
    if (suspended_) Loop::resumed();
    return error_;
  }

  SocketRef socket_;

 private:
  std::string text_;
  std::string_view data_;
  PendingWrite* record_ = nullptr;
  int error_ = 0;
  bool suspended_ = false;
};

class WriteOrThrow final : public WriteWait {
 public:
  using WriteWait::WriteWait;
  void await_resume() const {
    if (const int error = finish(); error != 0) [[unlikely]]
      socket_->fail("write to", error);
  }
};

class WriteResult final : public WriteWait {
 public:
  using WriteWait::WriteWait;
  std::error_code await_resume() const { return std::error_code(finish(), std::system_category()); }
};

/// Waits until the outbox is empty, or has failed.
class DrainWait final : public WriteWait {
 public:
  explicit DrainWait(SocketRef socket) noexcept : WriteWait(std::move(socket), std::string_view()) {}
  bool await_ready() const noexcept { return socket_->outbox_empty(); }
  void await_resume() const { finish(); }
};

}  // namespace heirloop::detail
