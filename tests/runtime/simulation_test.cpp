// The public test support: virtual time, seeds, recorded schedules.
#include <heirloop/testing/simulation.hpp>

#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Three workers of one priority around a lock, and arrivals from outside; `extra` makes one of them sleep a little longer.
Coro<int> service(SimDriver& driver, std::vector<int>& order, bool extra = false) {
  PriorityLock lock("keys");
  for (int id = 0; id < 3; ++id) {
    create_task([](PriorityLock& l, std::vector<int>& noted, int me, bool longer) -> Coro<void> {
      for (int i = 0; i < 3; ++i) {
        const LockGuard held = co_await l.acquire();
        noted.push_back(me);
        co_await sleep(longer && me == 2 && i == 1 ? 2us : 1us);
      }
    }(lock, order, id, extra), {.name = "worker " + std::to_string(id)});
  }
  for (int i = 0; i < 3; ++i) {
    driver.at(std::chrono::microseconds(10 * i), [&order, i] { Loop::current().call_soon([&order, i] { order.push_back(100 + i); }); });
  }
  co_await sleep(1ms);
  co_return 7;
}

TEST(SimulationTest, runs_a_program_under_virtual_time_and_gives_its_value) {
  Simulation simulation;
  std::vector<int> order;
  EXPECT_EQ(simulation.run(service(simulation.driver(), order)), 7);
  EXPECT_EQ(order.size(), 12U);
  EXPECT_EQ(simulation.driver().now_ns(), 1'000'000);
}

TEST(SimulationTest, a_stall_ends_the_run_and_cancels_what_waits) {
  Simulation simulation;
  bool cancelled = false;
  EXPECT_THROW(simulation.run([](bool& told) -> Coro<void> {
    PriorityLock lock;
    PriorityCondition never(lock);
    const LockGuard held = co_await lock.acquire();
    try {
      co_await never.wait();
    } catch (const Cancelled&) {
      told = true;
      throw;
    }
  }(cancelled)), Stalled);
  EXPECT_TRUE(cancelled);
}

TEST(SimulationTest, a_seed_of_ties_gives_another_order_of_equals_and_the_same_one_again) {
  const auto order_of = [](std::optional<std::uint64_t> seed) {
    Simulation simulation({.loop = {.tie_seed = seed}});
    std::vector<int> order;
    simulation.run([](std::vector<int>& noted) -> Coro<void> {
      for (int i = 0; i < 20; ++i) {
        create_task([](std::vector<int>& o, int id) -> Coro<void> {
          o.push_back(id);
          co_return;
        }(noted, i), {.priority = static_cast<double>(i / 10)});
      }
      co_await sleep(1ms);
    }(order));
    return order;
  };
  const std::vector<int> fifo = order_of(std::nullopt);
  EXPECT_TRUE(std::is_sorted(fifo.begin(), fifo.end()));
  std::vector<int> shaken = order_of(1);
  EXPECT_EQ(shaken, order_of(1));
  EXPECT_NE(shaken, fifo);
  EXPECT_NE(shaken, order_of(2));
  for (int i = 0; i < 10; ++i) EXPECT_LT(shaken[static_cast<std::size_t>(i)], 10);  // priorities still decide
  std::sort(shaken.begin(), shaken.end());
  EXPECT_EQ(shaken, fifo);
}

TEST(SimulationTest, jitter_delays_arrivals_by_its_seed) {
  const auto times = [](std::uint64_t seed) {
    Simulation simulation({.arrival_jitter = 5us, .jitter_seed = seed});
    std::vector<std::int64_t> arrived;
    for (int i = 0; i < 20; ++i) {
      simulation.driver().at(std::chrono::microseconds(10 * i), [&] { arrived.push_back(simulation.driver().now_ns()); });
    }
    simulation.run([]() -> Coro<void> { co_await sleep(1ms); }());
    return arrived;
  };
  const auto once = times(4);
  EXPECT_EQ(once, times(4));
  EXPECT_NE(once, times(5));
  ASSERT_EQ(once.size(), 20U);
  for (std::size_t i = 0; i < once.size(); ++i) {
    EXPECT_GE(once[i], static_cast<std::int64_t>(10'000 * i));
    EXPECT_LT(once[i], static_cast<std::int64_t>(10'000 * i + 5'000));
  }
  EXPECT_THROW(Simulation({.arrival_jitter = -1ns}), std::invalid_argument);
}

TEST(ScheduleTest, a_recording_replays_to_the_last_dispatch) {
  std::vector<int> order;
  Simulation first;
  const Schedule recorded = first.record(service(first.driver(), order));
  EXPECT_EQ(recorded.dispatches.size(), first.loop().dispatches());
  EXPECT_EQ(recorded.names[2], "worker 0");
  Simulation second;
  EXPECT_FALSE(second.replay(service(second.driver(), order), recorded));
}

TEST(ScheduleTest, a_changed_program_departs_at_a_dispatch_that_is_named) {
  std::vector<int> order;
  Simulation first;
  const Schedule recorded = first.record(service(first.driver(), order));
  Simulation second;
  const auto departure = second.replay(service(second.driver(), order, true), recorded);
  ASSERT_TRUE(departure);
  EXPECT_GT(departure->dispatch, 5U);
  EXPECT_LT(departure->dispatch, recorded.dispatches.size());
  EXPECT_EQ(departure->recorded, recorded.describe(recorded.dispatches[departure->dispatch]));
  EXPECT_NE(departure->now, departure->recorded);
}

TEST(ScheduleTest, an_earlier_or_later_end_is_a_departure) {
  const auto spin = [](int steps) -> Coro<void> {
    for (int i = 0; i < steps; ++i) co_await sleep(0);
  };
  Simulation first;
  const Schedule recorded = first.record(spin(5));
  Simulation shorter;
  const auto early = shorter.replay(spin(3), recorded);
  ASSERT_TRUE(early);
  EXPECT_EQ(early->now, "the end");
  Simulation longer;
  const auto late = longer.replay(spin(6), recorded);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->recorded, "the end");
  EXPECT_EQ(late->dispatch, recorded.dispatches.size());
}

TEST(ScheduleTest, is_the_same_after_a_round_trip_through_text) {
  std::vector<int> order;
  Simulation first({.loop = {.policy = PolicyKind::boost, .tie_seed = 3}});
  const Schedule recorded = first.record(service(first.driver(), order));
  std::stringstream text;
  recorded.save(text);
  const Schedule loaded = Schedule::load(text);
  EXPECT_EQ(loaded.dispatches, recorded.dispatches);
  EXPECT_EQ(loaded.names, recorded.names);
}

TEST(ScheduleTest, a_malformed_text_is_refused_with_its_line) {
  const auto error = [](const std::string& text) -> std::string {
    std::istringstream in(text);
    try {
      Schedule::load(in);
    } catch (const ScheduleFormatError& refused) {
      return refused.what();
    }
    return "accepted";
  };
  EXPECT_THAT(error(""), HasSubstr("line 1: expected 'heirloop schedule 1'"));
  EXPECT_THAT(error("something\n"), HasSubstr("line 1"));
  EXPECT_THAT(error("heirloop schedule 1\n5 1 0\n"), HasSubstr("line 3: expected 'end'"));
  EXPECT_THAT(error("heirloop schedule 1\n5 one 0\nend\n"), HasSubstr("line 2: expected the number of a task"));
  EXPECT_THAT(error("heirloop schedule 1\n5 1 0 9\nend\n"), HasSubstr("line 2: expected the end of the line"));
  EXPECT_THAT(error("heirloop schedule 1\n5\nend\n"), HasSubstr("line 2"));
  EXPECT_THAT(error("heirloop schedule 1\ntask x y\nend\n"), HasSubstr("line 2: expected the number of a task"));
  EXPECT_EQ(error("heirloop schedule 1\nend\n"), "accepted");
}

}  // namespace
}  // namespace heirloop::testing
