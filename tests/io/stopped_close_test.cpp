// Closes, and writes at a place of a file, stopped at every suspension and at every moment between completion
// and run (support/suspension_harness.hpp): what is closed stays closed, nothing leaks, what began is done
// whole.
#include "io/stopped_support.hpp"

#include <system_error>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

class StoppedClose : public RingTest {};

/// The stream closes behind a large write, or at once when that is stopped; what the peer got is the
/// beginning of what was written.
struct CloseStreamScene : ReadToEnd {
  static constexpr std::size_t total = 80'000;
  PriorityTask<void> writer;
  PriorityTask<void> reader;
  bool closed = false;

  Coro<void> write() {
    try {
      co_await pair.client.write(numbered_bytes(0, total));
    } catch (const std::system_error&) {
      EXPECT_FALSE(closed) << "cut off though the close was not stopped";
    }
  }
  Coro<void> read() {
    try {
      co_await take_rest();
    } catch (const std::system_error&) {
      EXPECT_FALSE(closed);
    }
  }
  Coro<void> operate() {
    co_await ready.wait();
    co_await pair.client.close();
    closed = true;
  }
  Coro<void> help() {
    pair = co_await connected_pair();
    small_buffer(pair.client);
    writer = create_task(write(), {.eager_start = true});
    ready.set();
    co_await sleep(50us);
    reader = create_task(read());
  }
  Coro<void> after() {
    if (pair.client.is_open()) co_await pair.client.close();  // the victim never came to it
    EXPECT_FALSE(pair.client.is_open());
    co_await pair.client.close();  // again: nothing happens
    co_await writer;
    co_await reader;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(closed || ending == Ending::stopped);
    EXPECT_FALSE(wrong);
    EXPECT_LE(received, total);
    EXPECT_TRUE(received == total || !closed) << received;
  }
};

TEST_F(StoppedClose, stream) { stop_on_the_ring<CloseStreamScene>(); }

/// Somebody waits in accept as the listener closes. Whatever becomes of the victim, the kernel lets go of the
/// port.
struct CloseListenerScene {
  Event ready;
  TcpListener listener;
  std::uint16_t port = 0;
  PriorityTask<void> acceptor;
  std::error_code told;

  Coro<void> accept() {
    try {
      co_await listener.accept();
    } catch (const std::system_error& error) {
      told = error.code();
    }
  }
  Coro<bool> bind_again() {
    try {
      listener = co_await TcpListener::bind("127.0.0.1", port);
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::address_in_use);
      co_return false;
    }
    co_return true;
  }
  Coro<void> operate() {
    co_await ready.wait();
    co_await listener.close();
    const bool free = co_await bind_again();
    EXPECT_TRUE(free);
    co_await listener.close();  // nobody waits in accept
  }
  Coro<void> help() {
    listener = co_await TcpListener::bind("127.0.0.1", 0);
    port = listener.local_port();
    acceptor = create_task(accept(), {.eager_start = true});
    ready.set();
    co_await sleep(50us);
  }
  Coro<void> after() {
    if (!acceptor.done()) co_await listener.close();  // the victim never came to it
    co_await acceptor;
    if (listener.is_open()) co_await listener.close();
    for (bool free = false; !free;) {
      free = co_await bind_again();
      if (!free) co_await sleep(50us);
    }
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(told, std::errc::operation_canceled);
  }
};

TEST_F(StoppedClose, listener) { stop_on_the_ring<CloseListenerScene>(); }

/// The file closes behind an append that is under way, by itself when the close is stopped.
struct CloseFileScene : OnAFile {
  static constexpr std::size_t size = 300'000;
  Event ready;
  PriorityTask<void> appender;
  bool closed = false;

  Coro<void> append() { co_await file.append(numbered_bytes(0, size)); }
  Coro<void> operate() {
    co_await ready.wait();
    co_await file.close();
    closed = true;
    EXPECT_FALSE(file.is_open());
    file = co_await File::open(path, O_RDONLY);
    co_await file.close();  // no operation is in flight
  }
  Coro<void> help() {
    file = co_await File::open(path, O_WRONLY | O_APPEND);
    appender = create_task(append(), {.eager_start = true});
    ready.set();
    co_await sleep(50us);
  }
  Coro<void> after() {
    co_await appender;
    if (file.is_open()) co_await file.close();
    File again = co_await File::open(path, O_RDONLY);
    EXPECT_EQ(co_await again.size(), size);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(closed || ending == Ending::stopped);
  }
};

TEST_F(StoppedClose, file) { stop_on_the_ring<CloseFileScene>(); }

/// A write at a place of the file is there whole or not at all, and others go on.
struct WriteAtScene : OnAFile {
  static constexpr std::uint64_t block = 3000;
  std::uint64_t written = 0;  // to the end of the blocks that are there for certain

  Coro<void> write_block() {
    co_await file.write_at(numbered_bytes(written, block), written);
    written += block;
  }
  Coro<void> operate() {
    file = co_await File::open(path, O_RDWR);
    co_await write_block();
    co_await write_block();
    co_await file.fdatasync();
    co_await file.write_at(numbered_bytes(0, 10), 0);  // what is there already
    co_await write_block();
    co_await file.fsync();
  }
  Coro<void> help() { co_await sleep(50us); }
  Coro<void> after() {
    File again = co_await File::open(path, O_RDWR);
    const std::uint64_t size = co_await again.size();
    EXPECT_TRUE(size == written || size == written + block) << size << " of " << written;
    co_await again.write_at(numbered_bytes(size, 5), size);
    std::string memory(size + 5, '\0');
    EXPECT_EQ(co_await again.read_at(std::as_writable_bytes(std::span(memory)), 0), memory.size());
    EXPECT_EQ(memory, numbered_bytes(0, memory.size()));
    if (file.is_open()) co_await file.close();
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(written == 3 * block || ending == Ending::stopped);
  }
};

TEST_F(StoppedClose, write_at_a_place_of_a_file) { stop_on_the_ring<WriteAtScene>(); }

}  // namespace
}  // namespace heirloop::testing
