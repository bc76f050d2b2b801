// yield/POLICY/N: one switch among N tasks that do nothing but give way. Floor: bare coroutines in a ring.
//
// N − 1 spin until told to stop; one leads for a number of rounds, and its end is the end of the measurement.
#include "floor_rows.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

Coro<void> spin(const bool& stop) {
  while (!stop) co_await sleep(0);
}

Coro<void> lead(std::int64_t rounds) {
  for (std::int64_t i = 0; i < rounds; ++i) co_await sleep(0);
}

void ours(benchmark::State& state, PolicyKind policy, std::int64_t tasks) {
  OnLoop on(policy);
  bool stop = false;
  for (std::int64_t i = 1; i < tasks; ++i) on.start(spin(stop));
  on.run(on.start(lead(2)));
  const auto leader = on.start(lead(state.max_iterations / tasks));
  timed(state, [&] { on.run(leader); });
  stop = true;
  on.run(on.start(lead(1)));
}

struct Spinner {
  asio::io_context& context;
  const bool& stop;
  void operator()() const {
    if (!stop) asio::post(context, *this);
  }
};

struct Leader {
  asio::io_context& context;
  std::int64_t rounds;
  void operator()() {
    if (rounds-- > 0) {
      asio::post(context, *this);
    } else {
      context.stop();
    }
  }
};

/// A handler that posts itself again: faster than a coroutine that awaits a post.
void on_asio(benchmark::State& state, std::int64_t tasks) {
  OnAsio on;
  bool stop = false;
  for (std::int64_t i = 1; i < tasks; ++i) asio::post(on.context(), Spinner{on.context(), stop});
  asio::post(on.context(), Leader{on.context(), 2});
  on.run();
  asio::post(on.context(), Leader{on.context(), state.max_iterations / tasks});
  timed(state, [&] { on.run(); });
  stop = true;
  on.run();
}

}  // namespace

void add_yield_rows(Rows& rows) {
  for (const PolicyKind policy : {PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging}) {
    for (const std::int64_t tasks : {2, 1'000, 100'000}) {
      rows.push_back({.name = "yield/" + std::string(to_string(policy)) + "/" + std::to_string(tasks),
                      .ours = [=](auto& state) { ours(state, policy, tasks); },
                      .floor = [=](auto& state) { floor_of_switches(state, tasks); },
                      .peers = {{"asio", [=](auto& state) { on_asio(state, tasks); }}},
                      .unit = tasks});
    }
  }
}

}  // namespace heirloop::bench
