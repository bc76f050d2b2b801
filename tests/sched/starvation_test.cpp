// Promise 2: under `aging` a ready task of priority p runs before any of priority q that became ready more
// than (p − q) × age_unit after it. Under `strict` the same check fails: it can.
#include "support/property.hpp"
#include "support/queue_model.hpp"
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// How many entries that are still ready should have run before `popped`, by the promise.
std::size_t overtaken(const QueueModel& model, std::size_t popped, double unit_ns) {
  const auto& q = model.items[popped];
  std::size_t count = 0;
  for (const auto& p : model.items) {
    if (p.place == QueueModel::Item::out) continue;
    const double difference = p.priority == q.priority ? 0 : (p.priority - q.priority) * unit_ns;
    if (static_cast<double>(q.since_ns - p.since_ns) > difference) ++count;
  }
  return count;
}

constexpr double priorities[] = {-1, 0, 1, priority::always_first, priority::when_idle};

/// Every schedule of `length` pushes of one of five priorities, pops and ticks; the number of broken
/// promises.
std::size_t broken_in_all_schedules(PolicyKind kind, int length) {
  constexpr std::size_t kinds = std::size(priorities) + 2;
  std::vector<std::size_t> acts(static_cast<std::size_t>(length), 0);
  std::size_t broken = 0;
  for (bool more = true; more;) {
    QueuePair pair(kind, 1, acts.size());
    const auto pop = [&] {
      const std::size_t id = pair.pop();
      if (id == QueuePair::differ) ADD_FAILURE();
      if (id < acts.size()) broken += overtaken(pair.model, id, 1);
    };
    for (std::size_t i = 0; i < acts.size(); ++i) {
      if (acts[i] < std::size(priorities)) {
        pair.set_priority(i, priorities[acts[i]]);
        pair.push(i);
      } else if (acts[i] == std::size(priorities)) {
        pop();
      } else {
        ++pair.now_ns;
      }
    }
    while (pair.queue.size() > 0) pop();
    more = false;
    for (std::size_t& act : acts) {
      if (++act < kinds) {
        more = true;
        break;
      }
      act = 0;
    }
  }
  return broken;
}

TEST(Starvation, aging_keeps_its_bound_in_every_small_schedule) {
  EXPECT_EQ(broken_in_all_schedules(PolicyKind::aging, nightly() ? 7 : 5), 0U);
}

TEST(Starvation, strict_does_not_keep_it) { EXPECT_GT(broken_in_all_schedules(PolicyKind::strict, 5), 0U); }

TEST(Starvation, fifo_keeps_order_of_arrival_instead) {
  EXPECT_GT(broken_in_all_schedules(PolicyKind::fifo, 5), 0U) << "always_first does not come first there";
}

TEST(Starvation, aging_keeps_its_bound_in_large_random_schedules) {
  check_property(40, 100, [] {
    std::mt19937 random(*rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>()));
    const auto unit = *rc::gen::inRange<std::int64_t>(1, 1'000'000);
    const auto levels = *rc::gen::inRange(1, 200);
    constexpr std::size_t entries = 200;
    QueuePair pair(PolicyKind::aging, unit, entries);
    for (int i = 0; i < 2000; ++i) {
      const std::size_t id = random() % entries;
      switch (random() % 4) {
        case 0:
        case 1:
          if (pair.is_out(id)) {
            pair.set_priority(id, static_cast<double>(static_cast<int>(random()) % levels));
            pair.push(id);
          }
          break;
        case 2:
          pair.now_ns += static_cast<std::int64_t>(random() % 1000) * unit / 100;
          break;
        default: {
          const std::size_t popped = pair.pop();
          RC_ASSERT(popped != QueuePair::differ);
          if (popped < entries) RC_ASSERT(overtaken(pair.model, popped, static_cast<double>(unit)) == 0U);
        }
      }
    }
  });
}

/// A task of priority LOW is ready at 0 while one of priority HIGH runs steps of 1 ms without end: when LOW
/// runs.
std::optional<std::int64_t> low_runs_at_ms(PolicyKind kind, double low_priority, double high_priority) {
  LoopOptions options;
  options.policy = kind;
  Sim sim(options);
  std::optional<std::int64_t> at;
  sim.run([](Sim& s, std::optional<std::int64_t>& when, double low, double high) -> Coro<void> {
    create_task(
        [](Sim& t, std::optional<std::int64_t>& w) -> Coro<void> {
          w = t.driver.now_ns() / 1'000'000;
          co_return;
        }(s, when),
        {.priority = low});
    auto busy = create_task(
        [](Sim& t, std::optional<std::int64_t>& w) -> Coro<void> {
          for (int ms = 0; ms < 10'000 && !w; ++ms) {
            t.driver.advance(1ms);
            co_await sleep(0);
          }
        }(s, when),
        {.priority = high});
    co_await busy;
    if (when && *when >= 10'000) when.reset();
  }(sim, at, low_priority, high_priority));
  return at;
}

TEST(Starvation, low_runs_after_two_seconds_of_high_under_aging_and_never_under_strict) {
  const auto aged = low_runs_at_ms(PolicyKind::aging, priority::low, priority::high);
  ASSERT_TRUE(aged.has_value());
  EXPECT_GE(*aged, 2000);
  EXPECT_LE(*aged, 2002) << "the clock is that of the last turn: a step of 1 ms later at most";
  EXPECT_EQ(low_runs_at_ms(PolicyKind::strict, priority::low, priority::high), std::nullopt);
  EXPECT_EQ(low_runs_at_ms(PolicyKind::fifo, priority::low, priority::high), 0);
}

TEST(Starvation, infinities_are_outside_all_waiting) {
  EXPECT_EQ(low_runs_at_ms(PolicyKind::aging, priority::when_idle, priority::low), std::nullopt);
  EXPECT_EQ(low_runs_at_ms(PolicyKind::aging, priority::high, priority::always_first), std::nullopt);
  EXPECT_EQ(low_runs_at_ms(PolicyKind::aging, 1e300, priority::high), std::nullopt);
}

}  // namespace
}  // namespace heirloop::testing
