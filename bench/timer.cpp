// timer/set_cancel: one timer set and an older one taken back, while a thousand are set; 16 such pairs a
// step, so that each timer gets its date. Floor: push and erase in a plain 4-ary heap of the same size.
#include "floor_rows.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

constexpr std::int64_t per_step = 16;
constexpr std::size_t pending = 1'024;

/// Spans that come in no order: between one and three hours.
class Spans {
 public:
  std::int64_t next() noexcept {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return 3'600'000'000'000 + static_cast<std::int64_t>(state_ >> 21);
  }

 private:
  std::uint64_t state_ = 1;
};

Coro<void> set_and_cancel(Loop& loop, std::vector<std::unique_ptr<Timer>>& timers, std::int64_t times) {
  Spans spans;
  std::size_t oldest = 0;
  for (std::int64_t i = 0; i < times; ++i) {
    Timer& timer = *timers[oldest++ % pending];
    loop.timers().remove(timer);
    loop.set_timer_after(timer, spans.next());
    if (oldest % per_step == 0) co_await sleep(0);
  }
}

void ours(benchmark::State& state) {
  OnLoop on;
  std::vector<std::unique_ptr<Timer>> timers;
  for (std::size_t i = 0; i < pending; ++i) timers.push_back(std::make_unique<Timer>([](Timer&) noexcept {}));
  on.run(on.start(set_and_cancel(on.loop(), timers, pending)));
  const auto main = on.start(set_and_cancel(on.loop(), timers, state.max_iterations));
  timed(state, [&] { on.run(main); });
  for (const auto& timer : timers) on.loop().timers().remove(*timer);
}

void floor(benchmark::State& state) {
  PlainHeap<std::int64_t> heap;
  Spans spans;
  std::vector<std::unique_ptr<PlainHeap<std::int64_t>::Node>> timers;
  for (std::size_t i = 0; i < pending; ++i) {
    timers.push_back(std::make_unique<PlainHeap<std::int64_t>::Node>());
    heap.push(*timers.back(), spans.next());
  }
  timed(state, [&] {
    std::size_t oldest = 0;
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      PlainHeap<std::int64_t>::Node& timer = *timers[oldest++ % pending];
      heap.erase(timer);
      heap.push(timer, spans.next());
    }
  });
}

using AsioTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                               asio::io_context::executor_type>;

/// expires_after takes the wait back that is under way; its handler runs later, as every cancelled one does.
struct Setter {
  asio::io_context& context;
  std::vector<AsioTimer>& timers;
  std::int64_t left;
  Spans spans{};
  std::size_t oldest = 0;

  void operator()() {
    for (std::int64_t i = 0; i < per_step && left > 0; ++i, --left) {
      AsioTimer& timer = timers[oldest++ % pending];
      timer.expires_after(std::chrono::nanoseconds(spans.next()));
      timer.async_wait([](asio::error_code) {});
    }
    if (left > 0) {
      asio::post(context, [this] { (*this)(); });
    } else {
      context.stop();
    }
  }
};

void on_asio(benchmark::State& state) {
  OnAsio on;
  std::vector<AsioTimer> timers;
  for (std::size_t i = 0; i < pending; ++i) timers.emplace_back(on.context());
  Setter warm{on.context(), timers, pending};
  asio::post(on.context(), [&] { warm(); });
  on.run();
  Setter setter{on.context(), timers, state.max_iterations};
  asio::post(on.context(), [&] { setter(); });
  timed(state, [&] { on.run(); });
}

}  // namespace

void add_timer_rows(Rows& rows) {
  rows.push_back({.name = "timer/set_cancel",
                  .ours = ours,
                  .floor = floor,
                  .peers = {{"asio", on_asio}},
                  .unit = per_step});
}

}  // namespace heirloop::bench
