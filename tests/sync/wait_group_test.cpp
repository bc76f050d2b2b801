// WaitGroup: who goes on at 0, and counts that can't be.
#include <heirloop/sync/wait_group.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

TEST(WaitGroup, lets_all_go_on_at_zero_the_most_urgent_first) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      WaitGroup group;
      group.add(2);
      auto waits = [&](std::string name) -> Coro<void> {
        co_await group.wait();
        order.push_back(name);
      };
      auto tasks = start_six(waits);
      group.done();
      EXPECT_EQ(group.waiter_count(), 6U);
      group.done();
      EXPECT_EQ(group.waiter_count(), 0U);
      co_await ended(tasks);
    }());
    EXPECT_EQ(order, six_in_order);
  });
}

TEST(WaitGroup, at_zero_keeps_nobody_waiting_and_is_counted_up_again) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    WaitGroup group;
    co_await group.wait();
    group.add();
    auto waits = [&]() -> Coro<void> { co_await group.wait(); };
    auto first = start(waits());
    sim.loop.call_soon([&] {
      group.done();
      group.add(3);  // before the first has run
    });
    co_await first;
    EXPECT_EQ(group.count(), 3);
    auto second = start(waits());
    EXPECT_EQ(second.state(), TaskState::blocked);
    group.add(-3);
    co_await second;
  }());
}

TEST(WaitGroup, is_not_changed_by_a_waiter_that_is_stopped) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    sim.run([&]() -> Coro<void> {
      WaitGroup group;
      group.add();
      auto waits = [&]() -> Coro<void> { co_await group.wait(); };
      auto blocked = start(waits());
      auto stays = start(waits());
      co_await stop(blocked, way);
      EXPECT_EQ(group.count(), 1);
      EXPECT_EQ(group.waiter_count(), 1U);
      group.done();
      co_await stays;
      EXPECT_TRUE(was_stopped(blocked));
    }());
  }
}

TEST(WaitGroup, refuses_a_count_that_can_not_be) {
  WaitGroup group("jobs");
  EXPECT_THROW(group.done(), InvalidStateError);
  group.add(2);
  EXPECT_THROW(group.add(-3), InvalidStateError);
  EXPECT_THROW(group.add(std::numeric_limits<std::ptrdiff_t>::max()), InvalidStateError);
  EXPECT_EQ(group.count(), 2);
}

TEST(WaitGroup, says_what_is_waited_for) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    WaitGroup group("jobs");
    group.add(2);
    auto waits = [&]() -> Coro<void> { co_await group.wait(); };
    auto task = start(waits());
    EXPECT_EQ(task.get()->wait()->describe(), "WaitGroup 'jobs' with 2 under way");
    group.add(-2);
    co_await task;
  }());
}

}  // namespace
}  // namespace heirloop::testing
