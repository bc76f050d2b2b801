// Barrier: rounds, places, what breaks it and what does not.
#include <heirloop/sync/barrier.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Notes the place that it was given, or that the barrier broke.
Coro<void> comes(Barrier& barrier, Order& order, std::string name) {
  try {
    const std::size_t place = co_await barrier.wait();
    order.push_back(name + " " + std::to_string(place));
  } catch (const BrokenBarrier&) {
    order.push_back(name + " broken");
  }
}

TEST(Barrier, opens_for_all_as_the_last_comes_the_most_urgent_first) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      Barrier barrier(7);
      auto make = [&](std::string name) { return comes(barrier, order, name); };
      auto tasks = start_six(make);
      EXPECT_EQ(barrier.n_waiting(), 6U);
      EXPECT_EQ(barrier.parties(), 7U);
      co_await sleep(1ms);
      EXPECT_TRUE(order.empty());
      EXPECT_EQ(co_await barrier.wait(), 6U);
      EXPECT_EQ(barrier.n_waiting(), 0U);
      co_await ended(tasks);
    }());
    EXPECT_EQ(order, (Order{"h1 4", "h2 5", "n1 0", "n2 1", "l1 2", "l2 3"}));
  });
}

TEST(Barrier, of_one_never_waits) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(1);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(co_await barrier.wait(), 0U);
  }());
}

/// Those of the next round come, fill it and open it before any of the first has run.
TEST(Barrier, lets_nobody_of_the_next_round_disturb_those_who_were_let_through) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(2);
    auto a1 = start(comes(barrier, order, "a1"), 5);
    auto a2 = start(comes(barrier, order, "a2"), 5);
    EXPECT_EQ(a1.state(), TaskState::ready);
    auto b1 = start(comes(barrier, order, "b1"), 5);
    EXPECT_EQ(b1.state(), TaskState::blocked);
    EXPECT_EQ(barrier.n_waiting(), 1U);
    auto b2 = start(comes(barrier, order, "b2"), 5);
    auto c1 = start(comes(barrier, order, "c1"), 5);
    barrier.abort();
    EXPECT_TRUE(barrier.broken());
    for (const auto& task : {a1, a2, b1, b2, c1}) co_await task;
  }());
  EXPECT_EQ(order, (Order{"a2 1", "b2 1", "a1 0", "b1 0", "c1 broken"}));
}

TEST(Barrier, goes_round_and_round) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(3);
    int inside = 0;
    auto rounds = [&]() -> Coro<void> {
      for (int round = 0; round < 20; ++round) {
        EXPECT_EQ(inside / 3, round);
        ++inside;
        co_await barrier.wait();
        EXPECT_GE(inside, 3 * (round + 1));
        co_await barrier.wait();
      }
    };
    std::vector<PriorityTask<void>> tasks;
    for (const double priority : {3.0, 1.0, 2.0}) tasks.push_back(start(rounds(), priority));
    co_await ended(tasks);
    EXPECT_EQ(inside, 60);
  }());
}

TEST(Barrier, is_left_unbroken_by_a_waiter_that_is_stopped_and_the_places_close_up) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    Order order;
    sim.run([&]() -> Coro<void> {
      Barrier barrier(3);
      auto leaves = start(comes(barrier, order, "leaves"));
      auto stays = start(comes(barrier, order, "stays"));
      co_await stop(leaves, way);
      EXPECT_EQ(barrier.n_waiting(), 1U);
      EXPECT_FALSE(barrier.broken());
      auto comes_later = start(comes(barrier, order, "later"));
      EXPECT_EQ(barrier.n_waiting(), 2U);
      EXPECT_EQ(co_await barrier.wait(), 2U);
      co_await stays;
      co_await comes_later;
      EXPECT_TRUE(was_stopped(leaves));
    }());
    EXPECT_EQ(order, (Order{"stays 0", "later 1"})) << way;
  }
}

TEST(Barrier, stays_open_for_the_others_when_one_is_stopped_that_was_let_through) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    Order order;
    sim.run([&]() -> Coro<void> {
      Barrier barrier(3);
      auto a = start(comes(barrier, order, "a"));
      auto b = start(comes(barrier, order, "b"));
      EXPECT_EQ(co_await barrier.wait(), 2U);
      co_await stop(a, way);
      EXPECT_EQ(barrier.n_waiting(), 0U);
      co_await b;
      EXPECT_TRUE(was_stopped(a));
    }());
    EXPECT_EQ(order, Order{"b 1"}) << way;
  }
}

TEST(Barrier, that_is_aborted_breaks_for_those_there_and_those_who_come) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(3);
    auto there = start(comes(barrier, order, "there"));
    sim.loop.call_soon([&] { barrier.abort(); });
    co_await there;
    EXPECT_TRUE(barrier.broken());
    co_await comes(barrier, order, "late");
    EXPECT_EQ(barrier.n_waiting(), 0U);
    barrier.reset();
    EXPECT_FALSE(barrier.broken());
    auto a = start(comes(barrier, order, "a"));
    auto b = start(comes(barrier, order, "b"));
    EXPECT_EQ(co_await barrier.wait(), 2U);
    co_await a;
    co_await b;
  }());
  EXPECT_EQ(order, (Order{"there broken", "late broken", "a 0", "b 1"}));
}

TEST(Barrier, that_is_reset_breaks_for_those_there_only) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(2);
    auto there = start(comes(barrier, order, "there"));
    barrier.reset();
    EXPECT_FALSE(barrier.broken());
    auto next = start(comes(barrier, order, "next"));
    EXPECT_EQ(barrier.n_waiting(), 1U);
    EXPECT_EQ(co_await barrier.wait(), 1U);
    co_await there;
    co_await next;
  }());
  EXPECT_EQ(order, (Order{"there broken", "next 0"}));
}

TEST(Barrier, that_is_broken_gives_way_now_and_then) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(2);
    barrier.abort();
    bool end = false;
    sim.driver.at(50us, [&] { end = true; });
    for (int i = 0; i < 1000 && !end; ++i) {
      co_await comes(barrier, order, "x");
      sim.driver.advance(1us);
    }
    EXPECT_TRUE(end);
  }());
  EXPECT_LE(order.size(), 128U);
}

TEST(Barrier, needs_a_party) { EXPECT_THROW(Barrier(0), std::invalid_argument); }

TEST(Barrier, says_what_is_waited_for) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    Barrier barrier(2, "start");
    auto task = start(comes(barrier, order, "x"));
    EXPECT_EQ(task.get()->wait()->describe(), "Barrier 'start' with 1 of 2 there");
    barrier.abort();
    co_await task;
  }());
}

}  // namespace
}  // namespace heirloop::testing
