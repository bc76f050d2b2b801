// What gives way and goes on by itself (sleeps, positions, starts, another context), stopped at every
// suspension and at every moment between wake-up and run (support/suspension_harness.hpp): everybody else
// runs all the same, and nothing stays behind.
#include <heirloop/sched/context.hpp>
#include <heirloop/sched/scheduling.hpp>

#include "support/suspension_harness.hpp"

#include <gtest/gtest.h>

#include <exception>
#include <memory>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

struct SleepsScene {
  Coro<void> operate() {
    const auto deadline = loop_time() + 2ms;
    co_await sleep_until(deadline);
    EXPECT_EQ(loop_time(), deadline);
    EXPECT_EQ(co_await sleep(1ms, std::string("result")), "result");
    EXPECT_EQ(co_await sleep(0ms, 5), 5);
    co_await sleep_until(deadline);  // has passed
    co_await checkpoint();
  }
  Coro<void> help() {
    for (int i = 0; i < 6; ++i) co_await sleep(500us);
  }
  void check(Ending ending) { EXPECT_NE(ending, Ending::other); }
};

TEST(StoppedScheduling, sleeps) { stop_in_both_states<SleepsScene>(); }

/// The victim goes to positions, and starts tasks, among others that are ready. Each of them runs, once.
struct PositionsScene {
  int made = 0;
  int ended = 0;

  Coro<void> other() {
    co_await sleep(0);
    ++ended;
  }
  TaskRef make() {
    ++made;
    return create_task(other(), {.priority = 1.0});
  }
  Coro<void> operate() {
    make();
    make();
    co_await sleep_insert(1);
    co_await sleep_insert(0);
    make();
    const TaskRef next = make();
    co_await task_switch(next);
    const TaskRef before = make();
    co_await task_switch(before, 1);
    const TaskRef behind = make();
    co_await task_switch(behind, 0);
    ++made;
    const auto descended = co_await create_task_descend(other());
    EXPECT_EQ(descended.state(), TaskState::ready);
    ++made;
    co_await create_task_start(other());
  }
  Coro<void> help() {
    for (int i = 0; i < 6; ++i) {
      make();
      co_await sleep(0);
    }
  }
  Coro<void> after() {
    for (int i = 0; i < 50 && ended < made; ++i) co_await sleep(0);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(ended, made);
  }
};

TEST(StoppedScheduling, positions_and_starts) {
  const StoppedCounts counts = stop_everywhere([] { return std::make_unique<PositionsScene>(); });
  EXPECT_EQ(counts.blocked, 0) << "they give way, and never block";
  EXPECT_GE(counts.ready, 9);
}

/// However the coroutine ends that runs in another context, the task is back in its own.
struct OtherContextScene {
  ContextVar<int> variable{"variable", 0};
  Context context;

  Coro<void> inside() {
    EXPECT_EQ(variable.get(), 0);
    variable.set(2);
    co_await sleep(1ms);
    EXPECT_EQ(variable.get(), 2);
    co_await sleep(0);
    variable.set(0);
  }
  Coro<void> operate() {
    variable.set(1);
    std::exception_ptr stopped;
    try {
      co_await coro_await(inside(), context);
    } catch (...) {
      stopped = std::current_exception();
    }
    EXPECT_EQ(variable.get(), 1);
    if (stopped) std::rethrow_exception(stopped);
  }
  Coro<void> help() {
    co_await sleep(500us);
    EXPECT_EQ(variable.get(), 0);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(variable.get(), 0) << "of the thread";
  }
};

TEST(StoppedScheduling, coroutine_in_another_context) { stop_in_both_states<OtherContextScene>(); }

}  // namespace
}  // namespace heirloop::testing
