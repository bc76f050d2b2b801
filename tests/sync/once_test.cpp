// Once: it is done once, who fails leaves it to the next, who waits lends.
#include <heirloop/sync/once.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

TEST(Once, is_done_by_the_first_while_the_others_wait) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      Once once;
      int times = 0;
      auto work = [&]() -> Coro<void> {
        co_await sleep(1ms);
        ++times;
      };
      auto calls = [&](std::string name) -> Coro<void> {
        co_await once.call(work);
        EXPECT_EQ(times, 1);
        order.push_back(name);
      };
      auto first = start(calls("first"), 20);
      auto tasks = start_six(calls);
      EXPECT_TRUE(once.running());
      EXPECT_EQ(once.waiter_count(), 6U);
      EXPECT_EQ(first.effective_priority(), -10) << "who waits lends to who does it";
      co_await ended(tasks);
      co_await first;
      EXPECT_TRUE(once.done());
      EXPECT_FALSE(once.running());
      co_await once.call(work);
      EXPECT_EQ(times, 1);
    }());
    ASSERT_EQ(order.size(), 7U);
    std::erase(order, "first");
    EXPECT_EQ(order, six_in_order);
  });
}

TEST(Once, takes_what_gives_nothing_too) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Once once;
    int times = 0;
    for (int i = 0; i < 3; ++i) co_await once.call([&] { ++times; });
    EXPECT_EQ(times, 1);
    EXPECT_TRUE(once.done());
  }());
}

TEST(Once, that_fails_is_begun_by_the_next) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    Once once;
    int times = 0;
    auto work = [&]() -> Coro<void> {
      co_await sleep(1ms);
      if (++times < 3) throw std::runtime_error("attempt " + std::to_string(times));
    };
    auto calls = [&](std::string name) -> Coro<void> {
      try {
        co_await once.call(work);
        order.push_back(name);
      } catch (const std::runtime_error& error) {
        order.push_back(name + " " + error.what());
      }
    };
    std::vector<PriorityTask<void>> tasks;
    for (const char* name : {"a", "b", "c", "d"}) tasks.push_back(start(calls(name)));
    co_await ended(tasks);
    EXPECT_EQ(times, 3);
  }());
  EXPECT_EQ(order, (Order{"a attempt 1", "b attempt 2", "c", "d"}));
}

TEST(Once, that_is_stopped_as_it_is_done_is_begun_by_the_next) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    sim.run([&]() -> Coro<void> {
      Once once;
      int begun = 0;
      auto work = [&]() -> Coro<void> {
        ++begun;
        co_await sleep(1ms);
      };
      auto calls = [&]() -> Coro<void> { co_await once.call(work); };
      auto first = start(calls());
      auto second = start(calls());
      co_await stop(first, way);
      co_await second;
      EXPECT_TRUE(was_stopped(first));
      EXPECT_EQ(begun, 2);
      EXPECT_TRUE(once.done());
    }());
  }
}

TEST(Once, that_calls_itself_is_a_deadlock) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Once once;
    bool deadlock = false;
    auto work = [&]() -> Coro<void> {
      try {
        co_await once.call([] {});
      } catch (const DeadlockError&) {
        deadlock = true;
      }
    };
    co_await once.call(work);
    EXPECT_TRUE(deadlock);
    EXPECT_TRUE(once.done());
  }());
}

}  // namespace
}  // namespace heirloop::testing
