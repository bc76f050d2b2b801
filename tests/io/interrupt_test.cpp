// Interrupts and cancels at every place where io suspends: nothing is lost, nothing leaks.
#include "io/io_support.hpp"
#include "support/property.hpp"

#include <fcntl.h>

#include <cstdlib>
#include <filesystem>
#include <random>

namespace heirloop::testing {
namespace {

class IoInterrupt : public RingTest {};

using Random = std::mt19937_64;

std::size_t pick(Random& random, std::size_t below) {
  return std::uniform_int_distribution<std::size_t>(0, below - 1)(random);
}

/// Hits `victim` with interrupts, throws and cancels, at random moments, until told to stop.
Coro<int> harass(TaskRef victim, Random& random, const bool& stop) {
  int hits = 0;
  while (!stop && !victim.done()) {
    for (std::size_t i = pick(random, 6); i > 0; --i) co_await sleep(0);
    if (pick(random, 4) == 0) co_await sleep(std::chrono::microseconds(pick(random, 300)));
    if (stop || victim.done() || victim.cancelling() != 0) continue;
    ++hits;
    try {
      switch (pick(random, 3)) {
        case 0:
          co_await task_interrupt(victim, InterruptException("now"));
          break;
        case 1:
          task_throw(victim, InterruptException("soon"));
          break;
        default:
          victim.cancel();
          break;
      }
    } catch (const InvalidStateError&) {
      // done meanwhile, or a cancel is under way
    }
  }
  co_return hits;
}

/// What an interrupted or cancelled call does: it is called again.
template <class Call>
Coro<bool> until_done(Call call) {
  bool more = false;
  for (bool again = true; again;) {
    again = false;
    try {
      more = co_await call();
    } catch (const InterruptException&) {
      again = true;
    } catch (const Cancelled&) {
      again = true;
    }
    if (again) {
      while (current_task().cancelling() != 0) current_task().uncancel();
    }
  }
  co_return more;
}

Coro<void> read_numbered(TcpStream& from, std::uint64_t& position, bool& wrong) {
  const auto fill = [&from]() { return from.fill(); };
  for (;;) {
    const bool more = co_await until_done(fill);
    if (!more) co_return;
    for (const char byte : from.unread()) wrong |= byte != numbered_byte(position++);
    from.consume(from.unread().size());
  }
}

Coro<void> write_numbered(TcpStream& to, std::uint64_t total, std::uint64_t seed) {
  Random random(seed);
  std::uint64_t at = 0;
  while (at < total) {
    const std::size_t size = pick(random, 8) == 0 ? 1 + pick(random, 2 << 20) : 1 + pick(random, 3000);
    // A write that was interrupted goes out all the same: it is not repeated.
    bool called_off = false;
    try {
      co_await to.write(numbered_bytes(at, size));
    } catch (const InterruptException&) {
      called_off = true;
    } catch (const Cancelled&) {
      called_off = true;
    }
    if (called_off) {
      while (current_task().cancelling() != 0) current_task().uncancel();
    }
    at += size;
  }
  const auto finish = [&to]() -> Coro<bool> {
    co_await to.shutdown_write();
    co_return false;
  };
  co_await until_done(finish);
}

Coro<void> stream_under_fire(std::uint64_t seed, bool harass_writer, std::string& wrong) {
  Connection pair = co_await connected_pair();
  Random random(seed);
  std::uint64_t position = 0;
  bool different = false;
  bool stop = false;
  const std::uint64_t total = 3 << 20;
  auto reader = create_task(read_numbered(pair.server, position, different), {.name = "reader"});
  auto writer = create_task(write_numbered(pair.client, total, seed), {.name = "writer"});
  auto harasser = create_task(harass(reader, random, stop), {.name = "harasser"});
  PriorityTask<int> second;
  if (harass_writer) second = create_task(harass(writer, random, stop), {.name = "harasser of the writer"});
  co_await writer;
  co_await reader;
  stop = true;
  const int hits = co_await harasser;
  if (harass_writer) co_await second;
  if (different) wrong = "other bytes came than were sent";
  if (position < total) wrong = "bytes are missing";
  if (hits == 0) wrong = "nobody was interrupted";
}

TEST_F(IoInterrupt, loses_no_byte_when_the_reader_is_hit_at_random) {
  check_property(6, 100, [](std::uint64_t seed) {
    std::string wrong;
    run([&]() { return stream_under_fire(seed, false, wrong); });
    RC_ASSERT(wrong == "");
  });
}

TEST_F(IoInterrupt, loses_no_byte_when_reader_and_writer_are_hit_at_random) {
  check_property(6, 100, [](std::uint64_t seed) {
    std::string wrong;
    run([&]() { return stream_under_fire(seed, true, wrong); });
    RC_ASSERT(wrong == "");
  });
}

// ---- each wait once, by each kind of exception from outside ----

enum class Hit { interrupt, thrown, cancel };
constexpr Hit all_hits[] = {Hit::interrupt, Hit::thrown, Hit::cancel};

Coro<void> hit(const TaskRef& victim, Hit how) {
  switch (how) {
    case Hit::interrupt:
      co_await task_interrupt(victim, InterruptException("now"));
      break;
    case Hit::thrown:
      task_throw(victim, InterruptException("soon"));
      break;
    case Hit::cancel:
      victim.cancel();
      break;
  }
}

/// True when the task ended by an exception from outside.
Coro<bool> was_hit(PriorityTask<void> task) {
  try {
    co_await task;
  } catch (const InterruptException&) {
    co_return true;
  } catch (const Cancelled&) {
    co_return true;
  }
  co_return false;
}

Coro<void> settle(const TaskRef& task) {
  while (!task.done() && task.state() != TaskState::blocked) co_await sleep(0);
}

Coro<void> accept_one(TcpListener& listener, bool& got) {
  TcpStream stream = co_await listener.accept();
  got = true;
}

TEST_F(IoInterrupt, an_accept_that_is_hit_leaves_the_connection_to_the_next) {
  for (const Hit how : all_hits) {
    run([&]() -> Coro<void> {
      TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
      bool first_got = false;
      auto first = create_task(accept_one(listener, first_got));
      co_await settle(first);
      co_await hit(first, how);
      EXPECT_TRUE(co_await was_hit(first));
      EXPECT_FALSE(first_got);
      PlainPeer peer(listener.local_port());
      TcpStream stream = co_await listener.accept();
      peer.send("hello");
      EXPECT_TRUE(co_await stream.fill());
    });
  }
}

TEST_F(IoInterrupt, a_connection_that_came_for_a_waiter_who_is_hit_before_it_runs_goes_to_the_next) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    bool first_got = false;
    bool second_got = false;
    auto first = create_task(accept_one(listener, first_got), {.priority = priority::low});
    co_await settle(first);
    PlainPeer peer(listener.local_port());
    while (!first.get()->wait()->is_elected()) co_await sleep(0);
    EXPECT_TRUE(first.cancel());
    auto second = create_task(accept_one(listener, second_got));
    co_await second;
    EXPECT_TRUE(co_await was_hit(first));
    EXPECT_FALSE(first_got);
    EXPECT_TRUE(second_got);
  });
}

TEST_F(IoInterrupt, a_connect_that_is_hit_is_given_up) {
  for (const Hit how : all_hits) {
    run([&]() -> Coro<void> {
      // Nobody accepts, and the queue of the listener is full: the connect hangs.
      TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0, {.backlog = 0, .reuse_port = false});
      std::vector<PriorityTask<TcpStream>> fillers;
      for (int i = 0; i < 4; ++i)
        fillers.push_back(create_task(TcpStream::connect("127.0.0.1", listener.local_port())));
      for (auto& filler : fillers) co_await settle(filler);
      const auto connect = [](std::uint16_t port) -> Coro<void> { co_await TcpStream::connect("127.0.0.1", port); };
      auto hanging = create_task(connect(listener.local_port()));
      co_await settle(hanging);
      co_await sleep(0);
      EXPECT_FALSE(hanging.done());
      co_await hit(hanging, how);
      EXPECT_TRUE(co_await was_hit(hanging));
      for (auto& filler : fillers) filler.cancel();
    });
  }
}

TEST_F(IoInterrupt, a_read_that_is_hit_leaves_what_comes_to_the_next) {
  for (const Hit how : all_hits) {
    run([&]() -> Coro<void> {
      Connection pair = co_await connected_pair();
      const auto read = [](TcpStream& from) -> Coro<void> { co_await from.read_line(); };
      auto reader = create_task(read(pair.server));
      co_await settle(reader);
      co_await pair.client.write("half a line, ");
      while (pair.server.unread().empty()) co_await sleep(0);
      co_await settle(reader);
      co_await hit(reader, how);
      EXPECT_TRUE(co_await was_hit(reader));
      co_await pair.client.write("and the rest\nmore");
      EXPECT_EQ(co_await pair.server.read_line(), "half a line, and the rest");
    });
  }
}

TEST_F(IoInterrupt, a_write_that_is_hit_goes_out_whole_and_later_writes_follow) {
  for (const Hit how : all_hits) {
    run([&]() -> Coro<void> {
      Connection pair = co_await connected_pair();
      constexpr std::size_t large = 16 << 20;
      const auto write = [](TcpStream& to) -> Coro<void> { co_await to.write(numbered_bytes(0, large)); };
      auto writer = create_task(write(pair.client));
      co_await settle(writer);
      EXPECT_FALSE(writer.done());
      co_await hit(writer, how);
      EXPECT_TRUE(co_await was_hit(writer));
      const auto behind = [](TcpStream& to) -> Coro<void> {
        co_await to.write(numbered_bytes(large, 1000));
        co_await to.shutdown_write();
      };
      auto follower = create_task(behind(pair.client));
      std::uint64_t position = 0;
      bool wrong = false;
      co_await read_numbered(pair.server, position, wrong);
      EXPECT_FALSE(wrong);
      EXPECT_EQ(position, large + 1000);
      co_await follower;
    });
  }
}

TEST_F(IoInterrupt, a_stream_that_is_dropped_in_the_middle_of_an_interrupted_write_lets_go) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    const auto write = [](TcpStream stream) -> Coro<void> { co_await stream.write(std::string(16 << 20, 'x')); };
    auto writer = create_task(write(std::move(pair.client)));
    co_await settle(writer);
    writer.cancel();
    EXPECT_TRUE(co_await was_hit(writer));
    std::uint64_t count = 0;
    while (co_await pair.server.fill()) {
      count += pair.server.unread().size();
      pair.server.consume(pair.server.unread().size());
    }
    EXPECT_LT(count, std::uint64_t{16 << 20});
  });
}

class TemporaryFile {
 public:
  TemporaryFile() {
    std::string name = (std::filesystem::temp_directory_path() / "heirloop-XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path = name;
  }
  ~TemporaryFile() { std::filesystem::remove(path); }
  std::string path;
};

TEST_F(IoInterrupt, an_append_that_is_hit_is_in_the_file_whole_or_not_at_all) {
  for (const Hit how : all_hits) {
    for (int moment = 0; moment < 6; ++moment) {
      TemporaryFile temporary;
      run([&]() -> Coro<void> {
        File file = co_await File::open(temporary.path, O_WRONLY | O_APPEND);
        const std::string block(1 << 20, 'x');
        const auto append = [](File& to, const std::string& what) -> Coro<void> { co_await to.append(what); };
        auto appender = create_task(append(file, block));
        co_await settle(appender);
        for (int i = 0; i < moment; ++i) co_await sleep(0);
        if (!appender.done()) co_await hit(appender, how);
        static_cast<void>(co_await was_hit(appender));
        const std::uint64_t size = co_await file.size();
        EXPECT_TRUE(size == 0 || size == block.size()) << size;
        co_await file.append("after");
        EXPECT_EQ(co_await file.size(), size + 5);
      });
    }
  }
}

TEST_F(IoInterrupt, a_sync_that_is_hit_ends_by_itself) {
  for (const Hit how : all_hits) {
    TemporaryFile temporary;
    run([&]() -> Coro<void> {
      File file = co_await File::open(temporary.path, O_WRONLY | O_APPEND);
      co_await file.append(std::string(1 << 20, 'x'));
      const auto force = [](File& what) -> Coro<void> { co_await what.fdatasync(); };
      auto syncing = create_task(force(file));
      co_await settle(syncing);
      for (int i = 0; i < 3; ++i) co_await sleep(0);
      if (!syncing.done()) co_await hit(syncing, how);
      static_cast<void>(co_await was_hit(syncing));
      co_await file.fsync();
    });
  }
}

TEST_F(IoInterrupt, an_open_that_is_hit_leaves_no_descriptor) {
  for (const Hit how : all_hits) {
    TemporaryFile temporary;
    run([&]() -> Coro<void> {
      const auto open = [](std::string path) -> Coro<void> { co_await File::open(path, O_RDONLY); };
      auto opening = create_task(open(temporary.path));
      co_await settle(opening);
      if (!opening.done()) co_await hit(opening, how);
      static_cast<void>(co_await was_hit(opening));
    });
  }
}

}  // namespace
}  // namespace heirloop::testing
