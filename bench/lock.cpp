// lock/uncontended: a lock taken and given back that nobody else wants. Floor: an await that is ready.
//
// lock/contended_N: N tasks take and give back the same lock in turn. Each release hands over, so each
// acquire but the first waits: an operation is a wait, a hand-off and a switch. Floor: a plain lock with a
// queue of bare coroutines.
#include "floor_rows.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

#include <asio/experimental/channel.hpp>

namespace heirloop::bench {
namespace {

Coro<void> take_and_give(PriorityLock& lock, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    const LockGuard held = co_await lock.acquire();
  }
}

void ours_uncontended(benchmark::State& state) {
  OnLoop on;
  PriorityLock lock;
  const auto task = on.start(take_and_give(lock, state.max_iterations));
  timed(state, [&] { on.run(task); });
}

/// All wait before the measurement begins, and the last one to begin is the last one to end.
void ours_contended(benchmark::State& state, std::int64_t tasks) {
  OnLoop on;
  PriorityLock lock;
  std::vector<PriorityTask<void>> all;
  const auto main = on.start([](PriorityLock& held_lock, std::vector<PriorityTask<void>>& waiters,
                                std::int64_t count, std::int64_t rounds) -> Coro<void> {
    const LockGuard held = co_await held_lock.acquire();
    for (std::int64_t i = 0; i < count; ++i) waiters.push_back(create_task(take_and_give(held_lock, rounds)));
    co_await sleep(0);
  }(lock, all, tasks, state.max_iterations / tasks));
  on.run(main);
  timed(state, [&] { on.run(all.back()); });
}

class PlainLock {
 public:
  PlainLock(Ring& ready, std::size_t most) : ready_(ready), waiters_(most) {}

  auto acquire() noexcept {
    struct Acquire {
      PlainLock& lock;
      bool await_ready() const noexcept { return !std::exchange(lock.locked_, true); }
      void await_suspend(std::coroutine_handle<> frame) const noexcept { lock.waiters_.push(frame); }
      void await_resume() const noexcept {}
    };
    return Acquire{*this};
  }
  void release() noexcept {
    if (waiters_.empty()) {
      locked_ = false;
    } else {
      ready_.push(waiters_.pop());
    }
  }

 private:
  Ring& ready_;
  Ring waiters_;
  bool locked_ = false;
};

Bare bare_take_and_give(PlainLock& lock, std::int64_t times, bool& done) {
  for (std::int64_t i = 0; i < times; ++i) {
    co_await lock.acquire();
    lock.release();
  }
  done = true;
}

Bare bare_take(PlainLock& lock) { co_await lock.acquire(); }

void floor_contended(benchmark::State& state, std::int64_t tasks) {
  const auto most = static_cast<std::size_t>(tasks);
  Ring ready(most);
  PlainLock lock(ready, most);
  const Bare holder = bare_take(lock);
  holder.frame.resume();
  std::vector<Bare> all;
  bool done = false;
  bool others = false;
  for (std::int64_t i = 0; i < tasks; ++i) {
    all.push_back(bare_take_and_give(lock, state.max_iterations / tasks, i == tasks - 1 ? done : others));
    all.back().frame.resume();
  }
  lock.release();
  timed(state, [&] { ready.run(done); });
  holder.frame.destroy();
  for (const Bare& bare : all) bare.frame.destroy();
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
                  .peers = {{"asio", asio_uncontended}}});
  for (const std::int64_t tasks : {2, 1'000}) {
    rows.push_back({.name = "lock/contended_" + std::to_string(tasks),
                    .ours = [=](auto& state) { ours_contended(state, tasks); },
                    .floor = [=](auto& state) { floor_contended(state, tasks); },
                    .peers = {{"asio", [=](auto& state) { asio_contended(state, tasks); }}},
                    .unit = tasks});
  }
}

}  // namespace heirloop::bench
