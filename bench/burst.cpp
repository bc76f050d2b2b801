// burst/1M: a million tasks at once, each gives way once, all are joined; per task. Floor: a million plain
// frames created, queued, resumed, queued and resumed once more, destroyed; frames recycled as the tasks are.
#include "floors.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

constexpr std::int64_t million = 1'000'000;

Coro<void> once() { co_await sleep(0); }

Coro<void> burst(std::int64_t times) {
  std::vector<PriorityTask<void>> tasks;
  tasks.reserve(static_cast<std::size_t>(times));
  for (std::int64_t i = 0; i < times; ++i) tasks.push_back(create_task(once()));
  for (const auto& task : tasks) co_await task;
}

void ours(benchmark::State& state) {
  OnLoop on;
  timed(state, [&] {
    for (std::int64_t done = 0; done < state.max_iterations; done += million)
      on.run(on.start(burst(million)));
  });
}

double bytes_per_task() {
  restart_peak_bytes();
  OnLoop on;
  on.run(on.start(burst(million)));
  return static_cast<double>(peak_bytes()) / static_cast<double>(million);
}

Bare bare_once(Ring& ring) { co_await ring.yield(); }

void floor(benchmark::State& state) {
  Ring ring(million);
  timed(state, [&] {
    for (std::int64_t done = 0; done < state.max_iterations; done += million) {
      for (std::int64_t i = 0; i < million; ++i) ring.push(bare_once(ring).frame);
      while (!ring.empty()) {
        const auto frame = ring.pop();
        frame.resume();
        if (frame.done()) frame.destroy();
      }
    }
  });
}

struct Once {
  asio::io_context* context;
  std::int64_t* left;
  bool yielded = false;
  void operator()() {
    if (!std::exchange(yielded, true)) {
      asio::post(*context, *this);
    } else {
      --*left;
    }
  }
};

void on_asio(benchmark::State& state) {
  OnAsio on;
  std::int64_t left = state.max_iterations;
  timed(state, [&] {
    while (left > 0) {
      for (std::int64_t i = 0; i < million; ++i) asio::post(on.context(), Once{&on.context(), &left});
      on.run();
    }
  });
}

}  // namespace

void add_burst_rows(Rows& rows) {
  rows.push_back({.name = "burst/1M",
                  .ours = ours,
                  .floor = floor,
                  .peers = {{"asio", on_asio}},
                  .unit = million,
                  .bytes_per_task = bytes_per_task});
}

}  // namespace heirloop::bench
