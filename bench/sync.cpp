// PRIMITIVE/uncontended: one operation and its opposite where nobody has to wait. Floor: an await that is ready.
//
// PRIMITIVE/contended_N: N tasks want it in turn, so that an operation is a wait, a hand-off and a switch. Floor: a plain
// lock with a queue of bare coroutines. Of an event and a barrier an operation is one wait; all go on together. Of queues
// and channels one item goes round among N tasks, each of which waits for it: an operation is a get and a put.
#include "contended.hpp"
#include "on_asio.hpp"

#include <asio/experimental/channel.hpp>

#include <semaphore>
#include <shared_mutex>

namespace heirloop::bench {
namespace {

/// What is done with a primitive that has permits of any kind.
template <class Primitive>
struct Use;

template <>
struct Use<Semaphore> {
  static Coro<void> repeat(Semaphore& semaphore, std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) const Permit held = co_await semaphore.acquire();
  }
  static Coro<void> hold(Semaphore& semaphore, Event& go) {
    const Permit held = co_await semaphore.acquire();
    co_await go.wait();
  }
};

template <>
struct Use<SignalSemaphore> {
  static Coro<void> repeat(SignalSemaphore& semaphore, std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) {
      co_await semaphore.acquire();
      semaphore.release();
    }
  }
  static Coro<void> hold(SignalSemaphore& semaphore, Event& go) {
    co_await semaphore.acquire();
    co_await go.wait();
    semaphore.release();
  }
};

template <>
struct Use<RWLock> {
  static Coro<void> repeat(RWLock& lock, std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) const WriteGuard held = co_await lock.write();
  }
  static Coro<void> read(RWLock& lock, std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) const ReadGuard held = co_await lock.read();
  }
  static Coro<void> hold(RWLock& lock, Event& go) {
    const WriteGuard held = co_await lock.write();
    co_await go.wait();
  }
};

template <class Primitive, class... Args>
void uncontended(benchmark::State& state, Coro<void> (*repeat)(Primitive&, std::int64_t), Args... args) {
  Primitive primitive(args...);
  OnLoop on;
  const auto task = on.start(repeat(primitive, state.max_iterations));
  timed(state, [&] { on.run(task); });
}

// ---- all go on together ----

Coro<void> wait_often(Event& event, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await event.wait();
}

/// Sets the event when all wait, and clears it at once: each of them waits again.
void event_contended(benchmark::State& state, std::int64_t tasks) {
  Event event;
  OnLoop on;
  std::vector<PriorityTask<void>> all;
  for (std::int64_t i = 0; i < tasks; ++i) all.push_back(on.start(wait_often(event, state.max_iterations / tasks)));
  const auto setter = [](Event& of, PriorityTask<void> last) -> Coro<void> {
    while (!last.done()) {
      of.set();
      of.clear();
      co_await sleep(0);
    }
  };
  on.run(on.start([]() -> Coro<void> { co_await sleep(0); }()));
  const auto main = on.start(setter(event, all.back()), {.priority = priority::low});
  timed(state, [&] { on.run(main); });
}

Coro<void> arrive_often(Barrier& barrier, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await barrier.wait();
}

void barrier_contended(benchmark::State& state, std::int64_t tasks) {
  Barrier barrier(static_cast<std::size_t>(tasks));
  OnLoop on;
  std::vector<PriorityTask<void>> all;
  for (std::int64_t i = 0; i < tasks; ++i) all.push_back(on.start(arrive_often(barrier, state.max_iterations / tasks)));
  timed(state, [&] { on.run(all.back()); });
}

/// One task with the lock notifies all who wait.
void condition_contended(benchmark::State& state, std::int64_t tasks) {
  PriorityLock lock;
  PriorityCondition condition(lock);
  OnLoop on;
  std::vector<PriorityTask<void>> all;
  const auto waits = [](PriorityLock& of, PriorityCondition& c, std::int64_t times) -> Coro<void> {
    const LockGuard held = co_await of.acquire();
    for (std::int64_t i = 0; i < times; ++i) co_await c.wait();
  };
  for (std::int64_t i = 0; i < tasks; ++i) all.push_back(on.start(waits(lock, condition, state.max_iterations / tasks)));
  const auto notifies = [](PriorityLock& of, PriorityCondition& c, PriorityTask<void> last) -> Coro<void> {
    while (!last.done()) {
      LockGuard held = co_await of.acquire();
      c.notify_all();
      held.release();
      co_await sleep(0);
    }
  };
  on.run(on.start([]() -> Coro<void> { co_await sleep(0); }()));
  const auto main = on.start(notifies(lock, condition, all.back()), {.priority = priority::low});
  timed(state, [&] { on.run(main); });
}

// ---- items ----

Coro<void> put_and_get(Queue<int>& queue, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    co_await queue.put(1);
    benchmark::DoNotOptimize(co_await queue.get());
  }
}
Coro<void> get_and_put(Queue<int>& queue, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    const int item = co_await queue.get();
    co_await queue.put(item);
  }
}
Coro<void> put_late(Queue<int>& queue, Event& go) {
  co_await go.wait();
  co_await queue.put(1);
}

Coro<void> send_and_receive(Channel<int>& channel, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    co_await channel.send(1);
    benchmark::DoNotOptimize(co_await channel.receive());
  }
}
Coro<void> receive_and_send(Channel<int>& channel, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    const std::optional<int> item = co_await channel.receive();
    co_await channel.send(item.value());
  }
}
Coro<void> send_late(Channel<int>& channel, Event& go) {
  co_await go.wait();
  co_await channel.send(1);
}

using AsioChannel = asio::experimental::channel<asio::io_context::executor_type, void(asio::error_code, int)>;

/// A handler each, which is faster than coroutines.
struct AsioPasser {
  AsioChannel* channel;
  std::int64_t rounds;
  void operator()(asio::error_code, int item) {
    channel->try_send(asio::error_code(), item);
    if (--rounds > 0) receive();
  }
  void receive() { channel->async_receive(*this); }
};

void asio_channel_contended(benchmark::State& state, std::int64_t tasks) {
  OnAsio on;
  AsioChannel channel(on.context(), 1);
  for (std::int64_t i = 0; i < tasks; ++i) AsioPasser{&channel, state.max_iterations / tasks}.receive();
  timed(state, [&] {
    channel.try_send(asio::error_code(), 1);
    on.run();
  });
}

// ---- std, which blocks threads: uncontended alone ----

template <class Take, class Give>
void std_uncontended(benchmark::State& state, Take take, Give give) {
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      take();
      benchmark::ClobberMemory();
      give();
    }
  });
}

void std_semaphore(benchmark::State& state) {
  std::counting_semaphore<> semaphore(1);
  std_uncontended(state, [&] { semaphore.acquire(); }, [&] { semaphore.release(); });
}
void std_shared_mutex(benchmark::State& state) {
  std::shared_mutex mutex;
  std_uncontended(state, [&] { mutex.lock_shared(); }, [&] { mutex.unlock_shared(); });
}

using TaskCount = std::function<void(benchmark::State&, std::int64_t)>;

void add_contended(Rows& rows, const std::string& name, const TaskCount& ours, const std::map<std::string, TaskCount>& peers = {}) {
  for (const std::int64_t tasks : contenders) {
    Row row{.name = name + "/contended_" + std::to_string(tasks),
            .ours = [=](auto& state) { ours(state, tasks); },
            .floor = [=](auto& state) { floor_of_contended_locks(state, tasks); },
            .unit = tasks};
    for (const auto& [peer, body] : peers) row.peers.emplace(peer, [=, run = body](auto& state) { run(state, tasks); });
    rows.push_back(std::move(row));
  }
}

void add_uncontended(Rows& rows, const std::string& name, Body ours, std::map<std::string, Body> peers = {}) {
  rows.push_back({.name = name + "/uncontended", .ours = std::move(ours), .floor = floor_of_ready_awaits, .peers = std::move(peers)});
}

}  // namespace

void add_sync_rows(Rows& rows) {
  add_uncontended(rows, "semaphore", [](auto& state) { uncontended<Semaphore>(state, Use<Semaphore>::repeat, 1); },
                  {{"std::counting_semaphore", std_semaphore}});
  add_uncontended(rows, "signal_semaphore",
                  [](auto& state) { uncontended<SignalSemaphore>(state, Use<SignalSemaphore>::repeat, 1); });
  add_uncontended(rows, "rw_lock_write", [](auto& state) { uncontended<RWLock>(state, Use<RWLock>::repeat); });
  add_uncontended(rows, "rw_lock_read", [](auto& state) { uncontended<RWLock>(state, Use<RWLock>::read); },
                  {{"std::shared_mutex", std_shared_mutex}});
  add_uncontended(rows, "queue", [](auto& state) { uncontended<Queue<int>>(state, put_and_get); });
  add_uncontended(rows, "channel", [](auto& state) { uncontended<Channel<int>>(state, send_and_receive, 4); });

  add_contended(rows, "semaphore", [](auto& state, auto tasks) {
    contended<Semaphore>(state, tasks, Use<Semaphore>::hold, Use<Semaphore>::repeat, false, 1);
  });
  add_contended(rows, "signal_semaphore", [](auto& state, auto tasks) {
    contended<SignalSemaphore>(state, tasks, Use<SignalSemaphore>::hold, Use<SignalSemaphore>::repeat, false, 1);
  });
  add_contended(rows, "rw_lock_write", [](auto& state, auto tasks) {
    contended<RWLock>(state, tasks, Use<RWLock>::hold, Use<RWLock>::repeat);
  });
  add_contended(rows, "condition", condition_contended);
  add_contended(rows, "event", event_contended);
  add_contended(rows, "barrier", barrier_contended);
  add_contended(rows, "queue", [](auto& state, auto tasks) { contended<Queue<int>>(state, tasks, put_late, get_and_put); });
  add_contended(rows, "channel",
                [](auto& state, auto tasks) { contended<Channel<int>>(state, tasks, send_late, receive_and_send, false, 4); },
                {{"asio", asio_channel_contended}});
}

}  // namespace heirloop::bench
