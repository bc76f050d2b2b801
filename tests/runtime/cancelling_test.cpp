// Cancelling: a task or future that is cancelled as a scope ends.
#include <heirloop/runtime/cancelling.hpp>
#include <heirloop/sched/scheduling.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<int> sleeps() {
  co_await sleep(1h);
  co_return 1;
}

TEST(Cancelling, cancels_a_task_at_the_end_of_its_scope) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityTask<int> task;
    {
      const Cancelling guard(create_task(sleeps()), "the scope ended");
      task = guard.target();
      co_await sleep(1ms);
      EXPECT_EQ(task.cancelling(), 0U);
    }
    EXPECT_EQ(task.cancelling(), 1U);
    std::string message;
    try {
      co_await task;
    } catch (const Cancelled& cancelled) {
      message = cancelled.message();
    }
    EXPECT_EQ(message, "the scope ended");
  }());
}

TEST(Cancelling, cancels_as_an_exception_leaves_the_scope) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(sleeps());
    try {
      const Cancelling guard{TaskRef(task)};
      co_await sleep(1ms);
      throw std::runtime_error("out");
    } catch (const std::runtime_error&) {
    }
    co_await sleep(0);
    EXPECT_TRUE(task.cancelled());
  }());
}

TEST(Cancelling, leaves_what_is_done_and_what_was_let_go) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto done = create_task([]() -> Coro<int> { co_return 3; }());
    const auto kept = create_task(sleeps());
    {
      const Cancelling over(done);
      Cancelling guard(kept);
      EXPECT_EQ(guard.let_go(), kept);
      EXPECT_FALSE(guard.target());
      const Cancelling nothing{TaskRef()};
      co_await sleep(1ms);
    }
    EXPECT_EQ(done.result(), 3);
    EXPECT_EQ(done.cancelling(), 0U);
    EXPECT_EQ(kept.cancelling(), 0U);
    kept.cancel();
  }());
}

TEST(Cancelling, cancels_a_future) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const Promise<int> promise;
    { const Cancelling guard(promise.future()); }
    EXPECT_TRUE(promise.cancelled());
    co_return;
  }());
}

TEST(Cancelling, outside_the_loop_is_logged) {
  LogCapture log;
  Sim sim;
  const auto task = sim.loop.create_task(sleeps());
  { const Cancelling guard(task); }
  EXPECT_EQ(log.count("a scope could not cancel what it holds"), 1U) << log.text();
  sim.loop.finish();
}

}  // namespace
}  // namespace heirloop::testing
