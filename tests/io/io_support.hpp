// A loop on a real ring, plain sockets to talk to it from outside, and the descriptors of this process.
#pragma once

#include <heirloop/io/file.hpp>
#include <heirloop/io/signals.hpp>
#include <heirloop/io/tcp.hpp>
#include <heirloop/io/uring_driver.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/operations.hpp>

#include <arpa/inet.h>
#include <dirent.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace heirloop::testing {

inline std::size_t open_descriptors() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

/// A loop on a ring.
class RingLoop {
 public:
  explicit RingLoop(const UringOptions& options = {}) : driver(options), loop(driver, {}) {}

  /// Runs `main` to its end and all that is left with it; throws what ended it.
  void run(Coro<void> main) {
    const auto task = loop.create_task(std::move(main));
    loop.run_until_done(task);
    const std::exception_ptr error = task.cancelled() ? std::make_exception_ptr(Cancelled("main")) : task.exception();
    loop.finish();
    if (error) std::rethrow_exception(error);
  }

  UringDriver driver;
  Loop loop;
};

/// Runs a coroutine function on a ring of its own and checks that no descriptor is left.
class RingTest : public ::testing::Test {
 protected:
  void SetUp() override { before_ = open_descriptors(); }
  void TearDown() override { EXPECT_EQ(open_descriptors(), before_) << "descriptors leaked"; }

  template <class Body>
  static void run(Body body, const UringOptions& options = {}) {
    RingLoop ring(options);
    ring.run(body());
  }

 private:
  std::size_t before_ = 0;
};

/// A blocking socket, for peers that heirloop does not drive.
class PlainPeer {
 public:
  explicit PlainPeer(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::system_error(errno, std::generic_category(), "connect of a test's peer");
    }
  }
  PlainPeer(PlainPeer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~PlainPeer() { close(); }

  void send(std::string_view text) const {
    EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), ssize_t(text.size()));
  }
  std::string receive() const {
    char buffer[65536];
    const ssize_t count = ::recv(fd_, buffer, sizeof(buffer), 0);
    return count > 0 ? std::string(buffer, std::size_t(count)) : std::string();
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// The other side meets ECONNRESET.
  void reset() {
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close();
  }
  int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

/// A listener, and both ends of one connection to it.
struct Connection {
  TcpStream client;
  TcpStream server;
};

inline Coro<Connection> connected_pair() {
  TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
  auto connecting = create_task(TcpStream::connect("127.0.0.1", listener.local_port()));
  Connection pair;
  pair.server = co_await listener.accept();
  pair.client = co_await connecting;
  co_return pair;
}

/// Bytes that tell where in the stream they stand.
inline char numbered_byte(std::uint64_t position) noexcept {
  return static_cast<char>((position * 0x9E3779B97F4A7C15ULL) >> 56);
}
inline std::string numbered_bytes(std::uint64_t from, std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t i = 0; i < count; ++i) bytes[i] = numbered_byte(from + i);
  return bytes;
}

/// The text of the std::system_error that `body` throws, and its code.
struct Failure {
  std::error_code code;
  std::string text;
};

template <class T>
Coro<Failure> failure_of(Coro<T> coro) {
  Failure failure;
  try {
    co_await coro;
  } catch (const std::system_error& e) {
    failure.code = e.code();
    failure.text = e.what();
  }
  co_return failure;
}

}  // namespace heirloop::testing
