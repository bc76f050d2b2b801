// Steady state allocates nothing: this executable counts its calls of operator new.
#include <heirloop/sync/lock.hpp>

#include "io/io_support.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<std::size_t> allocations{0};
}

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return std::malloc(size == 0 ? 1 : size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace heirloop::testing {
namespace {

class IoAllocation : public RingTest {};

Coro<void> echo(TcpStream& stream) {
  for (bool more = true; more;) {
    more = co_await stream.fill();
    const std::string_view bytes = stream.unread();
    co_await stream.write(bytes);
    stream.consume(bytes.size());
  }
}

Coro<void> rounds(TcpStream& stream, int count) {
  char memory[64] = {};
  const std::string_view message(memory, sizeof(memory));
  for (int i = 0; i < count; ++i) {
    co_await stream.write(message);
    std::size_t received = 0;
    while (received < message.size()) {
      co_await stream.fill();
      received += stream.unread().size();
      stream.consume(stream.unread().size());
    }
  }
}

TEST_F(IoAllocation, none_in_echo_round_trips) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto server = create_task(echo(pair.server));
    co_await rounds(pair.client, 100);
    const std::size_t before = allocations.load();
    co_await rounds(pair.client, 2000);
    EXPECT_EQ(allocations.load() - before, 0U);
    co_await pair.client.close();
    co_await server;
  });
}

Coro<void> give_way() { co_await sleep(0); }

Coro<void> hold_for_a_step(PriorityLock& lock) {
  auto held = co_await lock.acquire();
  co_await sleep(0);
}

/// Of everything a little: spawns, yields, a lock that is free and one that is not, timers that fire and that don't, echoes.
Coro<void> days(TcpStream& stream, PriorityLock& lock, int count) {
  for (int i = 0; i < count; ++i) {
    auto lazy = create_task(give_way());
    auto eager = create_task(hold_for_a_step(lock), {.priority = priority::low, .eager_start = true});
    co_await hold_for_a_step(lock);  // behind `eager`
    co_await lazy;
    co_await eager;
    co_await sleep(std::chrono::microseconds(10));
    TimerHandle unfired = call_later(std::chrono::hours(1), [] {});
    co_await rounds(stream, 1);
    unfired.cancel();
  }
}

TEST_F(IoAllocation, none_in_a_loop_of_spawns_yields_locks_timers_and_echo_round_trips) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto server = create_task(echo(pair.server));
    PriorityLock lock;
    co_await days(pair.client, lock, 100);
    const std::size_t before = allocations.load();
    co_await days(pair.client, lock, 2000);
    EXPECT_EQ(allocations.load() - before, 0U);
    co_await pair.client.close();
    co_await server;
  });
}

Coro<void> flood(TcpStream& to, const std::string& block, int count) {
  for (int i = 0; i < count; ++i) co_await to.write(std::string_view(block));
}

Coro<void> drain(TcpStream& from, std::size_t count) {
  while (count != 0) {
    co_await from.fill();
    const std::size_t size = std::min(count, from.unread().size());
    from.consume(size);
    count -= size;
  }
}

TEST_F(IoAllocation, none_in_writes_that_the_kernel_does_not_take_at_once) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    const int small = 512 * 1024;
    ::setsockopt(pair.client.native_handle(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    const std::string block(250'000, 'x');
    std::size_t before = 0;
    for (int warm = 0; warm < 2; ++warm) {
      before = allocations.load();
      auto writer = create_task(flood(pair.client, block, 50));
      while (writer.state() != TaskState::blocked && !writer.done()) co_await sleep(0);
      EXPECT_FALSE(writer.done()) << "the kernel took it all at once";
      co_await drain(pair.server, block.size() * 50);
      co_await writer;
    }
    EXPECT_EQ(allocations.load() - before, 0U);
  });
}

TEST_F(IoAllocation, none_in_connections_that_come_and_go) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    std::size_t before = 0;
    for (int warm = 0; warm < 2; ++warm) {
      before = allocations.load();
      for (int i = 0; i < 200; ++i) {
        auto connecting = create_task(TcpStream::connect("127.0.0.1", listener.local_port()));
        TcpStream server = co_await listener.accept();
        TcpStream client = co_await connecting;
        co_await client.write("x");
        co_await server.fill();
      }
    }
    EXPECT_EQ(allocations.load() - before, 0U);
  });
}

}  // namespace
}  // namespace heirloop::testing
