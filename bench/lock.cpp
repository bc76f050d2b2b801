// lock/uncontended: a lock taken and given back that nobody else wants. Floor: an await that is ready.
//
// lock/contended_N: N tasks take and give back the same lock in turn. Each release hands over, so each
// acquire but the first waits: an operation is a wait, a hand-off and a switch. Floor: a plain lock with a
// queue of bare coroutines.
//
// lock/distinct_N: the same with a priority for each task. Floor: the same, with 4-ary heaps for both queues.
#include "contended.hpp"
#include "on_asio.hpp"

#include <asio/experimental/channel.hpp>

#include <mutex>

namespace heirloop::bench {
namespace {

Coro<void> take_and_give(PriorityLock& lock, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    const LockGuard held = co_await lock.acquire();
  }
}

Coro<void> hold(PriorityLock& lock, Event& go) {
  const LockGuard held = co_await lock.acquire();
  co_await go.wait();
}

void ours_uncontended(benchmark::State& state) {
  PriorityLock lock;
  OnLoop on;
  const auto task = on.start(take_and_give(lock, state.max_iterations));
  timed(state, [&] { on.run(task); });
}

void std_uncontended(benchmark::State& state) {
  std::mutex mutex;
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      const std::lock_guard<std::mutex> held(mutex);
      benchmark::ClobberMemory();
    }
  });
}

/// Asio has no lock: its nearest thing is a channel that holds one token, with its bare null mutex inside. Uncontended,
/// the token is taken and given back by the calls that never suspend, the cheapest form there is; ours awaits.
using Token = asio::experimental::channel<asio::io_context::executor_type, void(asio::error_code, int)>;

AsioCoro<void> asio_take_and_give(Token& token, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    if (!token.try_receive([](asio::error_code, int) {})) co_await token.async_receive(use_asio_coro);
    token.try_send(asio::error_code(), 0);
  }
}

void asio_uncontended(benchmark::State& state) {
  OnAsio on;
  Token token(on.context(), 1);
  token.try_send(asio::error_code(), 0);
  asio::co_spawn(on.context(), asio_take_and_give(token, state.max_iterations), asio::detached);
  timed(state, [&] { on.run(); });
}

/// A handler each: faster than coroutines.
struct Contender {
  Token* token;
  std::int64_t rounds;
  void operator()(asio::error_code, int) {
    token->try_send(asio::error_code(), 0);
    if (--rounds > 0) take();
  }
  void take() { token->async_receive(*this); }
};

void asio_contended(benchmark::State& state, std::int64_t tasks) {
  OnAsio on;
  Token token(on.context(), 1);
  for (std::int64_t i = 0; i < tasks; ++i) Contender{&token, state.max_iterations / tasks}.take();
  timed(state, [&] {
    token.try_send(asio::error_code(), 0);
    on.run();
  });
}

}  // namespace

void add_lock_rows(Rows& rows) {
  rows.push_back({.name = "lock/uncontended",
                  .ours = ours_uncontended,
                  .floor = floor_of_ready_awaits,
                  .peers = {{"asio", asio_uncontended}, {"std::mutex", std_uncontended}}});
  for (const std::int64_t tasks : contenders) {
    rows.push_back({.name = "lock/contended_" + std::to_string(tasks),
                    .ours = [=](auto& state) { contended<PriorityLock>(state, tasks, hold, take_and_give); },
                    .floor = [=](auto& state) { floor_of_contended_locks(state, tasks); },
                    .peers = {{"asio", [=](auto& state) { asio_contended(state, tasks); }}},
                    .unit = tasks});
    rows.push_back(
        {.name = "lock/distinct_" + std::to_string(tasks),
         .ours = [=](auto& state) { contended<PriorityLock>(state, tasks, hold, take_and_give, true); },
         .floor = [=](auto& state) { floor_of_distinct_locks(state, tasks); },
         .unit = tasks});
  }
}

}  // namespace heirloop::bench
