// Handles at the end of a loop: those that are there run, those that come of them don't keep it.
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

TEST(LoopEndHandles, those_that_are_there_run) {
  Sim sim;
  Order order;
  sim.run([](Order& log) -> Coro<void> {
    Loop& loop = Loop::current();
    loop.call_soon([&log] { log.push_back("handle"); });
    loop.post([&log, &loop] { log.push_back(loop.has_ended() ? "post after the end" : "post before it"); });
    EXPECT_FALSE(loop.has_ended());
    co_return;
  }(order));
  EXPECT_EQ(order, (Order{"handle", "post after the end"}));
  EXPECT_TRUE(sim.loop.has_ended());
}

TEST(LoopEndHandles, one_that_makes_another_does_not_keep_the_loop) {
  Sim sim;
  int runs = 0;
  std::function<void()> again = [&] {
    ++runs;
    sim.loop.call_soon(again);
  };
  sim.loop.call_soon(again);
  sim.run([]() -> Coro<void> { co_return; }());
  EXPECT_EQ(runs, 2);  // beside the task, and at the end
  sim.run([]() -> Coro<void> { co_return; }());
  EXPECT_EQ(runs, 4);  // the rest is kept for the next run
  again = [] {};
}

TEST(LoopEndHandles, a_task_that_one_starts_is_cancelled_as_the_others_were) {
  Sim sim;
  Order order;
  sim.run([](Order& log) -> Coro<void> {
    Loop::current().call_soon([&log] {
      create_task(
          [](Order& out) -> Coro<void> {
            try {
              co_await sleep(1h);
            } catch (const Cancelled& cancelled) {
              out.push_back(cancelled.message());
            }
          }(log),
          {.eager_start = true});
    });
    co_return;
  }(order));
  EXPECT_EQ(order, (Order{"the loop ends"}));
  EXPECT_EQ(sim.driver.now_ns(), 0);
}

}  // namespace
}  // namespace heirloop::testing
