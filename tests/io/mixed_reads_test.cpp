// A program reads a stream now with one call, now with another: `fill` shows what `unread` has not shown to the program,
// whatever a read has looked at on its way.
#include "io/io_support.hpp"

namespace heirloop::testing {
namespace {

/// One packet brings all into the inbox; its first line is read.
Coro<Connection> behind_a_line(std::string rest) {
  Connection pair = co_await connected_pair();
  co_await pair.client.write("line\n" + rest);
  EXPECT_EQ(co_await pair.server.read_line(), "line");
  co_return pair;
}

class MixedReads : public RingTest {};

TEST_F(MixedReads, a_fill_behind_a_line_finds_what_came_with_it) {
  run([]() -> Coro<void> {
    Connection pair = co_await behind_a_line("body");
    EXPECT_TRUE(pair.server.fill().await_ready());
    EXPECT_EQ(pair.server.unread(), "body");
    EXPECT_FALSE(pair.server.fill().await_ready()) << "the program has seen it";
  });
}

TEST_F(MixedReads, a_fill_behind_a_read_of_a_part_finds_the_rest) {
  run([]() -> Coro<void> {
    Connection pair = co_await behind_a_line("head body");
    std::byte memory[5];
    EXPECT_EQ(co_await pair.server.read_some(std::span(memory).first(2)), 2U);
    EXPECT_TRUE(pair.server.fill().await_ready());
    EXPECT_EQ(co_await pair.server.read_exactly(std::span(memory).first(3)), 3U);
    EXPECT_TRUE(pair.server.fill().await_ready());
    EXPECT_EQ(pair.server.unread(), "body");
    EXPECT_EQ(co_await pair.server.read_some(std::span(memory).first(2)), 2U);
    EXPECT_TRUE(pair.server.fill().await_ready()) << "also when the program has seen it before";
  });
}

TEST_F(MixedReads, a_fill_behind_an_interrupted_read_of_a_line_finds_its_beginning) {
  run([]() -> Coro<void> {
    Connection pair = co_await behind_a_line("no end");
    const auto read = [](TcpStream& from) -> Coro<void> { co_await from.read_line(); };
    auto reader = create_task(read(pair.server), {.eager_start = true});
    while (reader.state() != TaskState::blocked) co_await sleep(0);
    EXPECT_FALSE(pair.server.fill().await_ready()) << "the reader waits for more than that";
    EXPECT_EQ(co_await task_interrupt(reader, InterruptException("now")), InterruptOutcome::ended);
    EXPECT_NE(reader.exception(), nullptr);
    EXPECT_TRUE(pair.server.fill().await_ready());
    EXPECT_EQ(pair.server.unread(), "no end");
  });
}

}  // namespace
}  // namespace heirloop::testing
