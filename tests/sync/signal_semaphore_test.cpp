// SignalSemaphore: counts, direct hand-off, what an abort gives back, wrong use.
#include <heirloop/sync/signal_semaphore.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

TEST(SignalSemaphore, goes_to_the_most_urgent_and_among_equals_to_the_first) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      SignalSemaphore permits(0);
      auto takes = [&](std::string name) -> Coro<void> {
        co_await permits.acquire();
        order.push_back(name);
      };
      auto tasks = start_six(takes);
      EXPECT_EQ(permits.waiter_count(), 6U);
      for (int i = 0; i < 6; ++i) {
        permits.release();
        co_await sleep(1ms);
        EXPECT_EQ(order.size(), static_cast<std::size_t>(i + 1));
      }
      co_await ended(tasks);
      EXPECT_EQ(permits.available(), 0U);
    }());
    EXPECT_EQ(order, six_in_order);
  });
}

TEST(SignalSemaphore, counts_what_nobody_waits_for) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    SignalSemaphore permits(2);
    co_await permits.acquire();
    EXPECT_TRUE(permits.try_acquire());
    EXPECT_FALSE(permits.try_acquire());
    permits.release(3);
    EXPECT_EQ(permits.available(), 3U);
    permits.release(0);
    EXPECT_EQ(permits.available(), 3U);
  }());
}

TEST(SignalSemaphore, released_several_times_at_once_goes_to_several) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    SignalSemaphore permits(0);
    auto takes = [&]() -> Coro<void> { co_await permits.acquire(); };
    auto a = start(takes());
    auto b = start(takes());
    permits.release(5);
    EXPECT_EQ(permits.available(), 3U);
    EXPECT_EQ(a.state(), TaskState::ready);
    EXPECT_EQ(b.state(), TaskState::ready);
    co_await a;
    co_await b;
  }());
}

TEST(SignalSemaphore, lets_nobody_barge_in_before_the_elected_runs) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      SignalSemaphore permits(0);
      auto takes = [&](std::string name) -> Coro<void> {
        co_await permits.acquire();
        order.push_back(name);
      };
      auto elected = start(takes("elected"), 10);
      permits.release();
      EXPECT_EQ(elected.state(), TaskState::ready);
      EXPECT_FALSE(permits.try_acquire());
      auto late = start(takes("late"), -10);
      EXPECT_EQ(late.state(), TaskState::blocked);
      co_await elected;
      permits.release();
      co_await late;
    }());
    EXPECT_EQ(order, (Order{"elected", "late"}));
  });
}

TEST(SignalSemaphore, of_an_elected_that_is_stopped_goes_to_the_next_in_the_same_call) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    sim.run([&]() -> Coro<void> {
      SignalSemaphore permits(0);
      auto takes = [&]() -> Coro<void> { co_await permits.acquire(); };
      auto elected = start(takes(), -10);
      auto next = start(takes(), 10);
      permits.release();
      EXPECT_EQ(next.state(), TaskState::blocked);
      co_await stop(elected, way);
      EXPECT_EQ(next.state(), TaskState::ready);
      co_await next;
      EXPECT_TRUE(was_stopped(elected));

      auto last = start(takes());
      permits.release();
      EXPECT_EQ(permits.available(), 0U);
      co_await stop(last, way);
      EXPECT_EQ(permits.available(), 1U);
      co_await sleep(0);
      EXPECT_TRUE(was_stopped(last));
    }());
  }
}

TEST(SignalSemaphore, of_one_who_leaves_before_its_turn_is_untouched) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    SignalSemaphore permits(0);
    auto takes = [&]() -> Coro<void> { co_await permits.acquire(); };
    auto leaves = start(takes());
    auto stays = start(takes());
    leaves.cancel();
    EXPECT_EQ(permits.waiter_count(), 1U);
    permits.release(2);
    EXPECT_EQ(permits.available(), 1U);
    co_await stays;
  }());
}

TEST(SignalSemaphore, is_released_by_a_handle) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    SignalSemaphore permits(0);
    sim.loop.call_soon([&] { permits.release(); });
    co_await permits.acquire();
    EXPECT_EQ(permits.available(), 0U);
  }());
}

TEST(SignalSemaphore, that_is_free_gives_way_now_and_then_and_keeps_its_permit_when_that_is_interrupted) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    SignalSemaphore permits(1);
    auto spins = [&]() -> Coro<void> {
      for (int i = 0; i < 1000; ++i) {
        co_await permits.acquire();
        sim.driver.advance(1us);
        permits.release();
      }
    };
    auto spinner = create_task(spins(), {.priority = 1});
    co_await sleep(10us);  // it runs until it gives way: to this timer, with the permit
    EXPECT_EQ(spinner.state(), TaskState::ready);
    EXPECT_EQ(permits.available(), 0U);
    spinner.cancel();
    co_await sleep(1us);
    EXPECT_TRUE(spinner.cancelled());
    EXPECT_EQ(permits.available(), 1U);
  }());
}

TEST(SignalSemaphore, refuses_a_count_that_can_not_be) {
  EXPECT_THROW(SignalSemaphore(-1), std::invalid_argument);
  EXPECT_THROW(SignalSemaphore(SignalSemaphore::max_count + 1), std::invalid_argument);
  SignalSemaphore permits(SignalSemaphore::max_count - 1, "permits");
  EXPECT_THROW(permits.release(-1), std::invalid_argument);
  EXPECT_THROW(permits.release(2), InvalidStateError);
  EXPECT_EQ(permits.available(), static_cast<std::size_t>(SignalSemaphore::max_count - 1));
  permits.release();
  EXPECT_THROW(permits.release(), InvalidStateError);
  EXPECT_THROW(permits.release(std::numeric_limits<std::ptrdiff_t>::max()), InvalidStateError);
}

TEST(SignalSemaphore, says_what_is_waited_for) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    SignalSemaphore permits(0, "slots");
    auto takes = [&]() -> Coro<void> { co_await permits.acquire(); };
    auto task = start(takes());
    EXPECT_EQ(task.get()->wait()->describe(), "a permit of SignalSemaphore 'slots'");
    permits.release();
    co_await task;
  }());
}

}  // namespace
}  // namespace heirloop::testing
