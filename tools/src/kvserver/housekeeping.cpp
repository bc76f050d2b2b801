#include "kvserver/housekeeping.hpp"

#include <heirloop/sched/operations.hpp>

#include <chrono>

namespace kv {

namespace hl = heirloop;
using namespace std::chrono_literals;

namespace {
constexpr std::size_t sweep_budget = 500;  // buckets and keys a step, some 50 µs
constexpr auto sweep_pause = 100ms;        // between two rounds
constexpr auto hold_pause = 2ms;
constexpr int burst_steps = 20;
constexpr auto burst_pause = 5ms;
}  // namespace

std::int64_t unix_time_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void Housekeeping::start() {
  hl::create_task(sweep(), {.name = "sweep", .priority = hl::priority::low});
  for (std::uint32_t i = 0; i < options_.housekeeping; ++i) {
    hl::create_task(work(), {.name = "housekeeping", .priority = hl::priority::low});
  }
  if (options_.hold_lock_steps > 0) {
    hl::create_task(hold_lock(), {.name = "lock holder", .priority = hl::priority::low});
  }
  for (std::uint32_t i = 0; i < options_.flood; ++i) {
    hl::create_task(flood(), {.name = "flood", .priority = hl::priority::normal});
  }
}

/// Computes for `step_us`.
void Housekeeping::step() {
  ++steps_;
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(options_.step_us);
  while (std::chrono::steady_clock::now() < end) {
  }
}

hl::Coro<void> Housekeeping::sweep() {
  for (;;) {
    auto held = co_await keys_.acquire();  // while a request waits, the sweep runs at the request's priority
    ++steps_;
    const Store::Swept swept = store_.sweep(sweep_budget, unix_time_ms());
    held.release();
    if (swept.round_done) {
      co_await hl::sleep(sweep_pause);
    } else {
      co_await hl::sleep(0);
    }
  }
}

hl::Coro<void> Housekeeping::work() {
  for (;;) {
    step();
    co_await hl::sleep(0);
  }
}

hl::Coro<void> Housekeeping::hold_lock() {
  for (;;) {
    auto held = co_await keys_.acquire();
    for (std::uint32_t i = 0; i < options_.hold_lock_steps; ++i) {
      step();
      co_await hl::sleep(0);
    }
    held.release();
    co_await hl::sleep(hold_pause);
  }
}

hl::Coro<void> Housekeeping::flood() {
  for (;;) {
    for (int i = 0; i < burst_steps; ++i) {
      step();
      co_await hl::sleep(0);
    }
    co_await hl::sleep(burst_pause);
  }
}

}  // namespace kv
