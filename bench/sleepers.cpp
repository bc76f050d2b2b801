// sleepers/1M: one timer set and an older one taken back while a million tasks sleep; 16 such pairs a step, so that each gets its
// date among the million. Floor: push and erase in a plain 4-ary heap of the same size. bytes_per_task: what a sleeping task
// takes besides its frame.
#include "floor_rows.hpp"
#include "on_loop.hpp"
#include "row.hpp"

#include <memory>

namespace heirloop::bench {
namespace {

constexpr std::int64_t million = 1'000'000;
constexpr std::int64_t per_step = 16;
constexpr std::size_t pending = 1'024;
constexpr std::int64_t hour_ns = 3'600'000'000'000;

/// In no order: between one and three hours.
class Spans {
 public:
  std::int64_t next() noexcept {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return hour_ns + static_cast<std::int64_t>(state_ >> 21);
  }

 private:
  std::uint64_t state_ = 1;
};

Coro<void> sleeper(std::int64_t span_ns) { co_await sleep(std::chrono::nanoseconds(span_ns)); }

std::vector<Coro<void>> make_sleepers() {
  Spans spans;
  std::vector<Coro<void>> coros;
  coros.reserve(million);
  for (std::int64_t i = 0; i < million; ++i) coros.push_back(sleeper(spans.next()));
  return coros;
}

/// Returns when all sleep.
Coro<void> put_to_sleep(std::vector<Coro<void>>& coros) {
  for (Coro<void>& coro : coros) create_task(std::move(coro));
  co_await sleep(0);
  co_await sleep(0);
}

/// A loop in which a million tasks sleep. Kept from round to round.
class Asleep {
 public:
  Asleep() {
    std::vector<Coro<void>> coros = make_sleepers();
    on_.run(on_.start(put_to_sleep(coros)));
    for (std::size_t i = 0; i < pending; ++i) timers_.push_back(std::make_unique<Timer>([](Timer&) noexcept {}));
    on_.run(on_.start(set_and_remove(pending)));
  }
  Asleep(const Asleep&) = delete;
  Asleep& operator=(const Asleep&) = delete;
  ~Asleep() {
    for (const auto& timer : timers_) on_.loop().timers().remove(*timer);
    on_.skip(std::chrono::hours(4));  // they wake in time: a cancel would cost each a throw
  }

  void operator()(benchmark::State& state) {
    const auto main = on_.start(set_and_remove(state.max_iterations));
    timed(state, [&] { on_.run(main); });
  }

 private:
  Coro<void> set_and_remove(std::int64_t times) {
    Loop& loop = on_.loop();
    for (std::int64_t i = 0; i < times; ++i) {
      Timer& timer = *timers_[oldest_++ % pending];
      loop.timers().remove(timer);
      loop.set_timer_after(timer, spans_.next());
      if (oldest_ % per_step == 0) co_await sleep(0);
    }
  }

  OnLoop on_;
  Spans spans_;
  std::vector<std::unique_ptr<Timer>> timers_;
  std::size_t oldest_ = 0;
};

double bytes_per_task() {
  restart_peak_bytes();
  std::vector<Coro<void>> coros = make_sleepers();
  const std::int64_t frames = peak_bytes();
  OnLoop on;
  on.run(on.start(put_to_sleep(coros)));
  const std::int64_t all = peak_bytes();
  on.skip(std::chrono::hours(4));
  return static_cast<double>(all - frames) / static_cast<double>(million);
}

void floor(benchmark::State& state) {
  using Heap = PlainHeap<std::int64_t>;
  Heap heap;
  Spans spans;
  std::vector<Heap::Node> nodes(static_cast<std::size_t>(million) + pending);
  for (Heap::Node& node : nodes) heap.push(node, spans.next());
  timed(state, [&] {
    std::size_t oldest = 0;
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      Heap::Node& node = nodes[oldest++ % pending];
      heap.erase(node);
      heap.push(node, spans.next());
    }
  });
}

}  // namespace

void add_sleepers_rows(Rows& rows) {
  const auto ours = [kept = std::shared_ptr<Asleep>()](benchmark::State& state) mutable {
    if (kept == nullptr) kept = std::make_shared<Asleep>();
    (*kept)(state);
  };
  rows.push_back({.name = "sleepers/1M", .ours = ours, .floor = floor, .bytes_per_task = bytes_per_task});
}

}  // namespace heirloop::bench
