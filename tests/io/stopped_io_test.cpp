// Everything in io that waits, stopped at every suspension and at every moment between its completion and its run
// (support/suspension_harness.hpp): what came goes to the next who asks, what began goes on, nothing leaks.
#include "io/stopped_support.hpp"

#include <csignal>
#include <optional>
#include <set>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

class StoppedIo : public RingTest {};

/// Three connections come; the victim takes two of them, if it can, and who comes after it the rest.
struct AcceptScene {
  Event ready;
  TcpListener listener;
  std::vector<TcpStream> clients;
  std::set<std::uint16_t> taken;

  Coro<void> take_one() {
    TcpStream stream = co_await listener.accept();
    EXPECT_TRUE(taken.insert(stream.peer_address().port()).second);
  }
  Coro<void> operate() {
    co_await ready.wait();
    co_await take_one();
    co_await take_one();
  }
  Coro<void> help() {
    listener = co_await TcpListener::bind("127.0.0.1", 0);
    ready.set();
    for (int i = 0; i < 3; ++i) {
      co_await sleep(50us);
      clients.push_back(co_await TcpStream::connect("127.0.0.1", listener.local_port()));
    }
  }
  Coro<void> after() {
    while (taken.size() < 3) co_await take_one();
    for (const TcpStream& client : clients) EXPECT_TRUE(taken.contains(client.local_address().port()));
    co_await listener.close();
    clients.clear();
  }
  void check(Ending ending) { EXPECT_NE(ending, Ending::other); }
};

TEST_F(StoppedIo, accept) { stop_on_the_ring<AcceptScene>(); }

/// A connect that is stopped is given up; the listener goes on.
struct ConnectScene {
  Event ready;
  TcpListener listener;
  bool connected = false;

  Coro<void> operate() {
    co_await ready.wait();
    const TcpStream stream = co_await TcpStream::connect("127.0.0.1", listener.local_port());
    connected = true;
  }
  Coro<void> help() {
    listener = co_await TcpListener::bind("127.0.0.1", 0);
    ready.set();
    co_await sleep(100us);
  }
  Coro<void> after() {
    const TcpStream own = co_await TcpStream::connect("127.0.0.1", listener.local_port());
    for (bool found = false; !found;) {
      const TcpStream stream = co_await listener.accept();
      found = stream.peer_address().port() == own.local_address().port();
    }
    co_await listener.close();
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(connected || ending == Ending::stopped);
  }
};

TEST_F(StoppedIo, connect) { stop_on_the_ring<ConnectScene>(); }

/// Numbered bytes, which the victim reads in three ways and who comes after it reads to the end.
struct ReadScene : PairScene {
  static constexpr std::uint64_t total = 9000;
  std::uint64_t position = 0;
  std::uint64_t in_span = 0;  // copied for a read_exactly that did not end
  bool wrong = false;

  void note(std::string_view bytes) {
    for (const char byte : bytes) wrong |= byte != numbered_byte(position++);
  }
  Coro<bool> take_all() {
    const bool more = co_await pair.server.fill();
    const std::string_view bytes = pair.server.unread();
    note(bytes);
    pair.server.consume(bytes.size());
    co_return more;
  }
  Coro<void> take_exactly() {
    // What a stop leaves in the span is the caller's: bytes of the stream's own that nobody else gets.
    std::string memory(1500, '\0');
    const std::string fresh = numbered_bytes(position, memory.size());
    for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<char>(~fresh[i]);
    struct Settle {
      Settle(ReadScene& s, const std::string& m, const std::string& f) noexcept : scene(s), memory(m), fresh(f) {}
      Settle(const Settle&) = delete;
      Settle& operator=(const Settle&) = delete;
      ~Settle() {
        std::size_t count = 0;
        while (count < memory.size() && memory[count] == fresh[count]) ++count;
        scene.position += count;
      }
      ReadScene& scene;
      const std::string& memory;
      const std::string& fresh;
    } settle(*this, memory, fresh);
    const std::size_t count = co_await pair.server.read_exactly(std::as_writable_bytes(std::span(memory)));
    EXPECT_EQ(count, memory.size());
  }
  Coro<void> operate() {
    co_await ready.wait();
    co_await take_all();
    std::byte memory[300];
    const std::size_t count = co_await pair.server.read_some(memory);
    note({reinterpret_cast<const char*>(memory), count});
    co_await take_exactly();
    co_await take_all();
  }
  Coro<void> help() {
    co_await set_up();
    for (std::uint64_t at = 0; at < total; at += 1000) {
      co_await pair.client.write(numbered_bytes(at, 1000));
      co_await sleep(30us);
    }
    co_await pair.client.shutdown_write();
  }
  Coro<void> after() {
    for (bool more = true; more;) more = co_await take_all();
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_FALSE(wrong);
    EXPECT_EQ(position, total);
  }
};

TEST_F(StoppedIo, read) { stop_on_the_ring<ReadScene>(); }

/// A line is read whole or not at all.
struct ReadLineScene : PairScene {
  std::vector<std::string> lines;

  Coro<bool> take_line() {
    std::optional<std::string> line = co_await pair.server.read_line();
    if (line) lines.push_back(*std::move(line));
    co_return line.has_value();
  }
  Coro<void> operate() {
    co_await ready.wait();
    for (int i = 0; i < 3; ++i) co_await take_line();
  }
  Coro<void> help() {
    co_await set_up();
    for (const char* part : {"one\ntw", "o\n", "three", "\r\nfour\nfi", "ve"}) {
      co_await pair.client.write(part);
      co_await sleep(30us);
    }
    co_await pair.client.shutdown_write();
  }
  Coro<void> after() {
    for (bool more = true; more;) more = co_await take_line();
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three", "four", "five"}));
  }
};

TEST_F(StoppedIo, read_line) { stop_on_the_ring<ReadLineScene>(); }

/// Writes that began go out whole and in order, those of the victim and those behind it.
struct WriteScene : ReadToEnd {
  std::uint64_t begun = 0;

  Coro<void> write(std::size_t size) {
    const std::uint64_t at = begun;
    begun += size;
    co_await pair.client.write(numbered_bytes(at, size));
  }
  Coro<void> write_and_look(std::size_t size) {
    const std::uint64_t at = begun;
    begun += size;
    EXPECT_FALSE(co_await pair.client.write_result(numbered_bytes(at, size)));
  }
  Coro<void> operate() {
    co_await ready.wait();
    co_await write(60'000);
    co_await write(10);
    co_await write_and_look(30'000);
  }
  Coro<void> help() {
    pair = co_await connected_pair();
    small_buffer(pair.client);
    ready.set();
    co_await sleep(50us);
    reader = create_task(take_rest(), {.name = "reader"});
  }
  Coro<void> after() {
    co_await write(1000);
    co_await pair.client.shutdown_write();
    co_await reader;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_FALSE(wrong);
    EXPECT_EQ(received, begun);
  }
  PriorityTask<void> reader;
};

TEST_F(StoppedIo, write) { stop_on_the_ring<WriteScene>(); }

/// The outgoing half is ended behind a large write, or stays open.
struct DrainScene : ReadToEnd {
  static constexpr std::size_t total = 80'000;
  PriorityTask<void> writer;
  PriorityTask<void> reader;
  bool shut = false;

  Coro<void> write() { co_await pair.client.write(numbered_bytes(0, total)); }
  Coro<void> operate() {
    co_await ready.wait();
    co_await pair.client.shutdown_write();
    shut = true;
  }
  Coro<void> help() {
    pair = co_await connected_pair();
    small_buffer(pair.client);
    writer = create_task(write(), {.eager_start = true});
    ready.set();
    co_await sleep(50us);
    reader = create_task(take_rest());
  }
  Coro<void> after() {
    if (!shut) co_await pair.client.shutdown_write();
    co_await writer;
    co_await reader;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(shut || ending == Ending::stopped);
    EXPECT_FALSE(wrong);
    EXPECT_EQ(received, total);
  }
};

TEST_F(StoppedIo, drain_of_a_stream) { stop_on_the_ring<DrainScene>(); }

/// What is appended is in the file whole or not at all, and the file goes on.
struct FileScene : OnAFile {
  static constexpr std::uint64_t block = 3000;
  std::uint64_t appended = 0;

  Coro<void> operate() {
    file = co_await File::open(path, O_RDWR | O_APPEND);
    co_await file.append(numbered_bytes(0, block));
    appended = block;
    co_await file.fsync();
    std::string memory(block, '\0');
    const std::size_t count = co_await file.read_at(std::as_writable_bytes(std::span(memory)), 0);
    EXPECT_EQ(count, block);
    EXPECT_EQ(memory, numbered_bytes(0, block));
    co_await file.append(numbered_bytes(block, block));
    appended += block;
    co_await file.fdatasync();
    co_await file.close();
  }
  Coro<void> help() { co_await sleep(50us); }
  Coro<void> after() {
    File again = co_await File::open(path, O_RDWR | O_APPEND);
    std::uint64_t size = co_await again.size();
    EXPECT_TRUE(size == appended || size == appended + block) << size << " of " << appended;
    if (file.is_open()) {
      co_await file.append(numbered_bytes(size, 5));
      size += 5;
    }
    EXPECT_EQ(co_await again.size(), size);
    std::string memory(size, '\0');
    EXPECT_EQ(co_await again.read_at(std::as_writable_bytes(std::span(memory)), 0), size);
    EXPECT_EQ(memory, numbered_bytes(0, size));
  }
  void check(Ending ending) { EXPECT_NE(ending, Ending::other); }
};

TEST_F(StoppedIo, file) { stop_on_the_ring<FileScene>(); }

/// Three signals come; the victim takes two of them, if it can, and who comes after it the rest.
struct SignalScene {
  Event ready;
  std::optional<SignalWatch> watch;
  int taken = 0;

  Coro<void> take_one() {
    EXPECT_EQ(co_await watch->next(), SIGUSR2);
    ++taken;
  }
  Coro<void> operate() {
    co_await ready.wait();
    co_await take_one();
    co_await take_one();
  }
  Coro<void> help() {
    watch.emplace(std::initializer_list<int>{SIGUSR2});
    ready.set();
    for (int i = 0; i < 3; ++i) {
      co_await sleep(50us);
      ::raise(SIGUSR2);
    }
  }
  Coro<void> after() {
    while (taken < 3) co_await take_one();
    watch.reset();
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(taken, 3);
  }
};

TEST_F(StoppedIo, signals) { stop_on_the_ring<SignalScene>(); }

}  // namespace
}  // namespace heirloop::testing
