// The end of a loop: what is left is cancelled, once each, last created first, and awaited.
#include <heirloop/sched/shield.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<void> sleep_long(Order& order, std::string name) {
  try {
    co_await sleep(1h);
  } catch (const Cancelled& cancelled) {
    order.push_back(name + ": " + cancelled.message());
    throw;
  }
}

TEST(LoopEnd, cancels_what_is_left_last_created_first) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    create_task(sleep_long(o, "first"), {.eager_start = true});
    create_task(sleep_long(o, "second"), {.eager_start = true});
    co_return;
  }(order));
  EXPECT_EQ(order, (Order{"second: the loop ends", "first: the loop ends"}));
  EXPECT_EQ(sim.driver.now_ns(), 0);
}

TEST(LoopEnd, cancels_a_task_that_has_swallowed_a_cancel_before) {
  Sim sim;
  Order order;
  const auto stubborn = [](Order& o) -> Coro<void> {
    try {
      co_await sleep(1h);
    } catch (const Cancelled&) {
      o.push_back("swallowed");
    }
    co_await sleep_long(o, "then");
  };
  sim.run([](auto& body, Order& o) -> Coro<void> {
    auto task = create_task(body(o), {.eager_start = true});
    task.cancel("early");
    co_await sleep(1s);
    EXPECT_EQ(task.cancelling(), 1U);
    EXPECT_FALSE(task.done());
  }(stubborn, order));
  EXPECT_EQ(order, (Order{"swallowed", "then: the loop ends"}));
}

TEST(LoopEnd, cancels_what_is_created_during_the_end) {
  Sim sim;
  Order order;
  const auto spawner = [](Order& o) -> Coro<void> {
    try {
      co_await sleep(1h);
    } catch (const Cancelled&) {
      create_task(sleep_long(o, "late"));
    }
  };
  sim.run([](auto& body, Order& o) -> Coro<void> {
    create_task(body(o), {.eager_start = true});
    co_return;
  }(spawner, order));
  EXPECT_TRUE(order.empty()) << "a task that is cancelled before its first line does not begin";
}

TEST(LoopEnd, awaits_clean_up_that_takes_time) {
  Sim sim;
  bool cleaned = false;
  const auto slow = [](bool& done) -> Coro<void> {
    std::exception_ptr error;
    try {
      co_await sleep(1h);
    } catch (...) {
      error = std::current_exception();
    }
    co_await sleep(5s);
    done = true;
    std::rethrow_exception(error);
  };
  sim.run([](auto& body, bool& done) -> Coro<void> {
    create_task(body(done), {.eager_start = true});
    co_return;
  }(slow, cleaned));
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(sim.driver.now_ns(), 5'000'000'000);
}

Coro<void> ignore_cancels(int times) {
  for (int i = 0; i < times; ++i) {
    try {
      co_await sleep(1h);
    } catch (const Cancelled&) {
    }
  }
}

TEST(LoopEnd, names_who_has_not_ended_by_the_deadline_and_cancels_again) {
  LogCapture log;
  Sim sim({.end_deadline = 2s});
  sim.run([]() -> Coro<void> {
    create_task(ignore_cancels(3), {.name = "deaf", .eager_start = true});
    co_return;
  }());
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 4s);
  EXPECT_EQ(log.count("deaf has not ended"), 2U) << log.text();
  EXPECT_EQ(log.count("deaf has not ended 2s after its cancel by the end of the loop: it is waiting for a sleep at "), 1U)
      << log.text();
}

TEST(LoopEnd, a_shield_holds_until_the_deadline) {
  LogCapture log;
  Sim sim({.end_deadline = 2s});
  const auto shielded = []() -> Coro<void> {
    Shield shield;
    co_await sleep(1h);
  };
  sim.run([](auto& body) -> Coro<void> {
    create_task(body(), {.name = "shielded", .eager_start = true});
    co_return;
  }(shielded));
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 2s);
  EXPECT_EQ(log.count("shielded has not ended"), 1U) << log.text();
}

TEST(LoopEndDeathTest, who_never_ends_ends_the_program_with_the_place_named) {
  const auto deaf = [] {
    Sim sim({.end_deadline = 2s});
    sim.run([]() -> Coro<void> {
      create_task(ignore_cancels(9), {.name = "deaf", .eager_start = true});
      co_return;
    }());
  };
  EXPECT_DEATH(deaf(), "every task ends when it is cancelled");
}

}  // namespace
}  // namespace heirloop::testing
