// Sockets over a real ring: streams, ends, errors, many connections.
#include <heirloop/io/tcp.hpp>

#include "io/io_support.hpp"

#include <gmock/gmock.h>

namespace heirloop::testing {
namespace {

using ::testing::HasSubstr;

class Tcp : public RingTest {};

Coro<void> echo(TcpStream stream) {
  while (co_await stream.fill()) {
    std::string bytes(stream.unread());
    stream.consume(bytes.size());
    co_await stream.write(std::move(bytes));
  }
}

Coro<std::string> read_all(TcpStream& stream) {
  std::string all;
  while (co_await stream.fill()) {
    all += stream.unread();
    stream.consume(stream.unread().size());
  }
  co_return all;
}

TEST_F(Tcp, echoes) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    auto client = create_task(TcpStream::connect("localhost", listener.local_port()));
    TcpStream accepted = co_await listener.accept();
    EXPECT_EQ(accepted.local_address().port(), listener.local_port());
    auto server = create_task(echo(std::move(accepted)));
    TcpStream stream = co_await client;
    EXPECT_EQ(stream.peer_address().to_string(), "127.0.0.1:" + std::to_string(listener.local_port()));
    for (int i = 0; i < 100; ++i) {
      const std::string message = "message " + std::to_string(i);
      co_await stream.write(std::string_view(message));
      std::string answer(message.size(), '\0');
      const std::size_t count = co_await stream.read_exactly(std::as_writable_bytes(std::span(answer)));
      EXPECT_EQ(count, message.size());
      EXPECT_EQ(answer, message);
    }
    co_await stream.close();
    co_await server;
  });
}

Coro<void> send_numbered(TcpStream& stream, std::uint64_t total, std::size_t chunk) {
  for (std::uint64_t at = 0; at < total; at += chunk) {
    co_await stream.write(numbered_bytes(at, chunk));
  }
  co_await stream.shutdown_write();
}

Coro<std::uint64_t> expect_numbered(TcpStream& stream) {
  std::uint64_t at = 0;
  while (co_await stream.fill()) {
    for (const char byte : stream.unread()) {
      if (byte != numbered_byte(at)) {
        ADD_FAILURE() << "another byte than was sent at " << at;
        co_return at;
      }
      ++at;
    }
    stream.consume(stream.unread().size());
  }
  co_return at;
}

/// Reads of what is there already count as checkpoints: who never waits for bytes does not keep the loop.
TEST_F(Tcp, reads_that_need_not_wait_give_way_now_and_then) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    std::string text;
    for (int i = 0; i < 1000; ++i) text += "x\n";
    co_await pair.client.write(std::string_view(text));
    while (pair.server.unread().size() < text.size()) co_await pair.server.fill();
    int lines = 0;
    int lines_when_urgent_ran = -1;
    create_task([](const int& read, int& seen) -> Coro<void> {
      seen = read;
      co_return;
    }(lines, lines_when_urgent_ran), {.priority = priority::high});
    for (; lines < 1000; ++lines) co_await pair.server.read_line();
    EXPECT_GE(lines_when_urgent_ran, 0);
    EXPECT_LE(lines_when_urgent_ran, 64);
  });
}

TEST_F(Tcp, moves_much_both_ways_at_once) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    constexpr std::uint64_t total = 24 << 20;
    auto up = create_task(send_numbered(pair.client, total, 1 << 20));
    auto down = create_task(send_numbered(pair.server, total, 3 << 18));
    auto at_server = create_task(expect_numbered(pair.server));
    auto at_client = create_task(expect_numbered(pair.client));
    EXPECT_EQ(co_await at_server, total);
    EXPECT_EQ(co_await at_client, total);
    co_await up;
    co_await down;
  });
}

TEST_F(Tcp, reads_on_after_ending_its_own_half) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    co_await pair.client.write("question");
    co_await pair.client.shutdown_write();
    EXPECT_EQ(co_await read_all(pair.server), "question");
    co_await pair.server.write("answer");
    co_await pair.server.close();
    EXPECT_EQ(co_await read_all(pair.client), "answer");
    const std::error_code after = co_await pair.client.write_result("more");
    EXPECT_EQ(after, std::errc::broken_pipe);
  });
}

TEST_F(Tcp, says_what_happened_and_with_whom_when_the_peer_resets) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    PlainPeer peer(listener.local_port());
    TcpStream stream = co_await listener.accept();
    peer.send("last words");
    EXPECT_TRUE(co_await stream.fill());
    auto reading = create_task([](TcpStream& from) -> Coro<void> {
      EXPECT_EQ(from.unread(), "last words");
      co_await from.fill();
    }(stream));
    co_await sleep(0);
    peer.reset();
    const Failure failure = co_await failure_of([](auto task) -> Coro<void> { co_await task; }(reading));
    EXPECT_EQ(failure.code, std::errc::connection_reset);
    EXPECT_THAT(failure.text, HasSubstr("read from " + stream.peer_address().to_string()));
    const std::error_code written = co_await stream.write_result("x");
    EXPECT_TRUE(written) << "a write to a connection that is gone";
  });
}

TEST_F(Tcp, delivers_what_came_before_the_reset) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    PlainPeer peer(listener.local_port());
    TcpStream stream = co_await listener.accept();
    peer.send("kept");
    EXPECT_TRUE(co_await stream.fill());
    peer.reset();
    EXPECT_EQ(stream.unread(), "kept");
    const Failure failure = co_await failure_of([](TcpStream& from) -> Coro<void> { co_await from.fill(); }(stream));
    EXPECT_EQ(failure.code, std::errc::connection_reset);
    EXPECT_EQ(stream.unread(), "kept");
  });
}

TEST_F(Tcp, names_the_peer_that_refuses) {
  run([]() -> Coro<void> {
    std::uint16_t free_port = 0;
    {
      TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
      free_port = listener.local_port();
      co_await listener.close();
    }
    const Failure failure = co_await failure_of(TcpStream::connect("127.0.0.1", free_port));
    EXPECT_EQ(failure.code, std::errc::connection_refused);
    EXPECT_THAT(failure.text, HasSubstr("connect to 127.0.0.1:" + std::to_string(free_port)));
  });
}

TEST_F(Tcp, names_the_port_that_is_in_use_and_takes_it_when_it_is_free) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    const std::uint16_t port = listener.local_port();
    const Failure failure = co_await failure_of(TcpListener::bind("127.0.0.1", port));
    EXPECT_EQ(failure.code, std::errc::address_in_use);
    EXPECT_THAT(failure.text, HasSubstr("listen on 127.0.0.1:" + std::to_string(port)));
    co_await listener.close();
    TcpListener again = co_await TcpListener::bind("127.0.0.1", port);
    EXPECT_EQ(again.local_port(), port);
  });
}

TEST_F(Tcp, shares_a_port_when_asked) {
  run([]() -> Coro<void> {
    const ListenOptions shared{.backlog = 16, .reuse_port = true};
    TcpListener one = co_await TcpListener::bind("127.0.0.1", 0, shared);
    TcpListener two = co_await TcpListener::bind("127.0.0.1", one.local_port(), shared);
    EXPECT_EQ(one.local_port(), two.local_port());
  });
}

TEST_F(Tcp, says_that_names_are_not_looked_up) {
  try {
    static_cast<void>(TcpStream::connect("example.org", 80));
    FAIL() << "a name was taken";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::invalid_argument);
    EXPECT_THAT(e.what(), HasSubstr("'example.org': names are not looked up"));
  }
}

TEST_F(Tcp, works_over_ipv6) {
  const int probe = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  const bool usable = probe >= 0 && ::bind(probe, reinterpret_cast<sockaddr*>(&loopback), sizeof(loopback)) == 0;
  if (probe >= 0) ::close(probe);
  if (!usable) GTEST_SKIP() << "this host has no IPv6 loopback";
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("::1", 0);
    auto client = create_task(TcpStream::connect("::1", listener.local_port()));
    TcpStream accepted = co_await listener.accept();
    TcpStream stream = co_await client;
    EXPECT_EQ(stream.peer_address().to_string(), "[::1]:" + std::to_string(listener.local_port()));
    co_await stream.write("six");
    EXPECT_TRUE(co_await accepted.fill());
    EXPECT_EQ(accepted.unread(), "six");
  });
}

TEST_F(Tcp, reads_lines) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    co_await pair.client.write("one\ntwo\r\n\nfour is cut short");
    co_await pair.client.close();
    TcpStream& from = pair.server;
    std::vector<std::string> lines;
    while (auto line = co_await from.read_line()) lines.push_back(*line);
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "", "four is cut short"}));
  });
}

TEST_F(Tcp, refuses_a_line_that_is_too_long_and_consumes_nothing) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    co_await pair.client.write(std::string(200, 'x') + "\n");
    const Failure failure = co_await failure_of(pair.server.read_line(100));
    EXPECT_EQ(failure.code, std::errc::message_size);
    const auto line = co_await pair.server.read_line(200);
    EXPECT_EQ(line, std::string(200, 'x'));
  });
}

TEST_F(Tcp, holds_no_more_unread_than_the_limit) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto writing = create_task(send_numbered(pair.client, 1 << 20, 1 << 20));
    TcpStream& from = pair.server;
    while (from.unread().size() < 10'000) co_await from.fill(10'000);
    const Failure full = co_await failure_of([](TcpStream& s) -> Coro<void> { co_await s.fill(10'000); }(from));
    EXPECT_EQ(full.code, std::errc::no_buffer_space);
    while (from.unread().size() < 300'000) co_await from.fill(300'000);
    EXPECT_EQ(from.unread().substr(0, 300'000), numbered_bytes(0, 300'000));
    from.consume(299'999);
    EXPECT_EQ(from.unread()[0], numbered_byte(299'999));
    EXPECT_THROW(from.consume(10 << 20), std::invalid_argument);
    do {
      from.consume(from.unread().size());
    } while (co_await from.fill());
    co_await writing;
  });
}

TEST_F(Tcp, lets_one_task_read_at_a_time) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto first = create_task(read_all(pair.server));
    co_await sleep(0);
    bool refused = false;
    try {
      co_await pair.server.fill();
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    co_await pair.client.write("for the first");
    co_await pair.client.close();
    EXPECT_EQ(co_await first, "for the first");
  });
}

Coro<void> write_block(TcpStream& stream, char letter, std::size_t size) {
  co_await stream.write(std::string(size, letter));
}

TEST_F(Tcp, sends_the_writes_of_several_tasks_in_the_order_of_their_calls) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    constexpr std::size_t size = 5 << 20;
    std::vector<PriorityTask<void>> writers;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      writers.push_back(create_task(write_block(pair.client, letter, size)));
      co_await sleep(0);
    }
    TcpStream& from = pair.server;
    for (const char letter : {'a', 'b', 'c', 'd'}) {
      std::string block(size, '\0');
      const std::size_t count = co_await from.read_exactly(std::as_writable_bytes(std::span(block)));
      EXPECT_EQ(count, size);
      EXPECT_EQ(block, std::string(size, letter));
    }
    for (auto& writer : writers) co_await writer;
  });
}

TEST_F(Tcp, wakes_reader_and_writers_of_a_stream_that_is_closed_by_another_task) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto stream = std::make_unique<TcpStream>(std::move(pair.server));
    auto reader = create_task(failure_of([](TcpStream& s) -> Coro<void> { co_await s.fill(); }(*stream)));
    auto writer = create_task(failure_of(write_block(*stream, 'x', 32 << 20)));
    auto behind = create_task(failure_of(write_block(*stream, 'y', 1)));
    co_await sleep(0);
    co_await sleep(0);
    stream.reset();
    EXPECT_EQ((co_await reader).code, std::errc::operation_canceled);
    EXPECT_EQ((co_await writer).code, std::errc::operation_canceled);
    EXPECT_EQ((co_await behind).code, std::errc::operation_canceled);
  });
}

TEST_F(Tcp, sends_everything_before_close_returns) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto reading = create_task(expect_numbered(pair.client));
    auto writing =
        create_task([](TcpStream& s) -> Coro<void> { co_await s.write(numbered_bytes(0, 16 << 20)); }(pair.server));
    co_await sleep(0);
    co_await pair.server.close();
    EXPECT_FALSE(pair.server.is_open());
    EXPECT_TRUE(writing.done());
    EXPECT_EQ(co_await reading, std::uint64_t{16 << 20});
  });
}

TEST_F(Tcp, serves_a_thousand_connections) {
  run([]() -> Coro<void> {
    constexpr int count = 1000;
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0, {.backlog = count, .reuse_port = false});
    auto server = create_task([](TcpListener& from) -> Coro<void> {
      for (int i = 0; i < count; ++i) create_task(echo(co_await from.accept()));
    }(listener));
    std::vector<PriorityTask<int>> clients;
    for (int i = 0; i < count; ++i) {
      clients.push_back(create_task([](std::uint16_t port, int number) -> Coro<int> {
        TcpStream stream = co_await TcpStream::connect("127.0.0.1", port);
        int good = 0;
        for (int round = 0; round < 3; ++round) {
          const std::string line = std::to_string(number) + ":" + std::to_string(round);
          co_await stream.write(line + "\n");
          const auto answer = co_await stream.read_line();
          if (answer == line) ++good;
        }
        co_return good;
      }(listener.local_port(), i)));
    }
    int good = 0;
    for (auto& client : clients) good += co_await client;
    EXPECT_EQ(good, 3 * count);
    co_await server;
  });
}

TEST_F(Tcp, serves_the_most_urgent_that_waits_for_a_connection) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    std::vector<std::string> order;
    const auto take = [](TcpListener& from, std::vector<std::string>& to, std::string name) -> Coro<void> {
      TcpStream stream = co_await from.accept();
      to.push_back(name);
    };
    auto low = create_task(take(listener, order, "low"), {.priority = priority::low});
    auto high = create_task(take(listener, order, "high"), {.priority = priority::high});
    co_await sleep(0);
    while (low.state() != TaskState::blocked) co_await sleep(std::chrono::microseconds(1));
    PlainPeer one(listener.local_port());
    co_await high;
    PlainPeer two(listener.local_port());
    co_await low;
    EXPECT_EQ(order, (std::vector<std::string>{"high", "low"}));
  });
}

TEST_F(Tcp, refuses_the_calls_of_empty_handles) {
  run([]() -> Coro<void> {
    TcpStream stream;
    TcpListener listener;
    EXPECT_THROW(stream.unread(), InvalidStateError);
    EXPECT_THROW(stream.fill(), InvalidStateError);
    EXPECT_THROW(listener.accept(), InvalidStateError);
    EXPECT_EQ(stream.native_handle(), -1);
    co_return;
  });
}

TEST_F(Tcp, closes_what_outlives_the_loop_and_the_ring) {
  auto left = std::make_unique<Connection>();
  auto listener = std::make_unique<TcpListener>();
  {
    RingLoop ring;
    ring.run([](Connection& pair, TcpListener& to) -> Coro<void> {
      pair = co_await connected_pair();
      to = co_await TcpListener::bind("127.0.0.1", 0);
      auto reader = create_task(read_all(pair.server));
      auto taker = create_task([](TcpListener& from) -> Coro<void> { co_await from.accept(); }(to));
      co_await sleep(0);
      co_await sleep(0);
      reader.cancel();
      taker.cancel();
    }(*left, *listener));
    EXPECT_EQ(ring.driver.in_flight(), 2U) << "a receive and an accept are still armed";
  }
  EXPECT_TRUE(left->server.is_open());
  left.reset();
  listener.reset();
}

}  // namespace
}  // namespace heirloop::testing
