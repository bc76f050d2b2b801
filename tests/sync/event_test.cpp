// Event: who waits, who goes on, and what an abort leaves.
#include <heirloop/sync/event.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

TEST(Event, wakes_all_who_wait_the_most_urgent_first) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      Event event;
      auto waits = [&](std::string name) -> Coro<void> {
        co_await event.wait();
        order.push_back(name);
      };
      auto tasks = start_six(waits);
      EXPECT_EQ(event.waiter_count(), 6U);
      event.set();
      EXPECT_EQ(event.waiter_count(), 0U);
      EXPECT_TRUE(order.empty()) << "a set runs nobody";
      co_await ended(tasks);
    }());
    EXPECT_EQ(order, six_in_order);
  });
}

TEST(Event, that_is_set_keeps_nobody_waiting) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Event event;
    EXPECT_FALSE(event.is_set());
    event.set();
    event.set();
    EXPECT_TRUE(event.is_set());
    const auto steps = sim.loop.dispatches();
    co_await event.wait();
    co_await event.wait();
    EXPECT_EQ(sim.loop.dispatches(), steps);
  }());
}

TEST(Event, lets_those_go_on_who_were_woken_before_it_was_cleared) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Event event;
    Order order;
    auto waits = [&](std::string name) -> Coro<void> {
      co_await event.wait();
      order.push_back(name);
    };
    auto before = start(waits("before"));
    event.set();
    event.clear();
    EXPECT_FALSE(event.is_set());
    auto after = start(waits("after"));
    co_await before;
    co_await sleep(1ms);
    EXPECT_EQ(order, Order{"before"});
    EXPECT_EQ(after.state(), TaskState::blocked);
    event.set();
    co_await after;
  }());
}

TEST(Event, is_set_by_a_handle) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Event event;
    sim.loop.call_soon([&] { event.set(); });
    co_await event.wait();
    EXPECT_TRUE(event.is_set());
  }());
}

/// Who waits for what is set for ever does not keep the loop.
TEST(Event, that_is_set_gives_way_now_and_then) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Event event;
    event.set();
    bool end = false;
    sim.driver.at(50us, [&] { end = true; });
    int turns = 0;
    for (; turns < 1000 && !end; ++turns) {
      co_await event.wait();
      sim.driver.advance(1us);
    }
    EXPECT_TRUE(end);
    EXPECT_LE(turns, 128);
  }());
}

TEST(Event, forgets_a_waiter_that_was_stopped) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    sim.run([&]() -> Coro<void> {
      Event event;
      auto waits = [&]() -> Coro<void> { co_await event.wait(); };
      auto blocked = start(waits());
      auto stays = start(waits());
      co_await stop(blocked, way);
      EXPECT_EQ(event.waiter_count(), 1U);
      auto elected = start(waits());
      event.set();
      co_await stop(elected, way);
      co_await stays;
      EXPECT_TRUE(was_stopped(blocked));
      co_await sleep(0);
      EXPECT_TRUE(was_stopped(elected));
    }());
  }
}

TEST(Event, says_what_is_waited_for) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Event event("ready");
    Event unnamed;
    EXPECT_EQ(unnamed.describe(), "an unnamed Event");
    auto waits = [&]() -> Coro<void> { co_await event.wait(); };
    auto task = start(waits());
    EXPECT_EQ(task.get()->wait()->describe(), "Event 'ready' to be set");
    event.set();
    co_await task;
  }());
}

}  // namespace
}  // namespace heirloop::testing
