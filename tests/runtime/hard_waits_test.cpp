// Waits for several whose ends, or whose watchers, are meddled with.
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/wait_tasks.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<int> give_after(std::chrono::milliseconds span, int value) {
  co_await sleep(span);
  co_return value;
}

TEST(HardWaits, a_first_exception_that_can_never_come_is_a_deadlock_when_the_last_who_could_go_on_has_ended) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    promise.set_owner(current_task());
    const auto on_promise = [](Future<int> future) -> Coro<int> { co_return co_await future; };
    const std::vector<PriorityTask<int>> tasks{create_task(on_promise(promise.future())), create_task(give_after(5ms, 1))};
    EXPECT_THROW(co_await wait(tasks, ReturnWhen::first_exception), DeadlockError);
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 5ms);
    promise.set_value(2);
    const auto waited = co_await wait(tasks, ReturnWhen::first_exception);
    EXPECT_TRUE(waited.pending.empty());
  }());
}

void cancel_all_others() {
  for (const TaskRef& task : all_tasks()) {
    if (task != current_task()) task.cancel("drain");
  }
}

TEST(HardWaits, who_cancels_all_tasks_does_not_end_the_watch_of_a_future) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    const std::vector<Future<int>> futures(1, promise.future());
    auto completed = as_completed(futures);
    cancel_all_others();
    const auto none = co_await wait(futures, ReturnWhen::first_completed, 1ms);
    EXPECT_EQ(none.pending.size(), 1U);
    cancel_all_others();
    co_await sleep(1ms);
    cancel_all_others();
    promise.set_value(7);
    EXPECT_EQ((co_await completed.next()).result(), 7);
    EXPECT_FALSE(co_await completed.next());
  }());
}

TEST(HardWaits, a_task_that_ends_as_the_time_of_as_completed_passes_is_given) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const std::vector<PriorityTask<int>> tasks{create_task(give_after(10ms, 5), {.priority = -10.0})};
    auto completed = as_completed(tasks, 10ms);
    EXPECT_EQ((co_await completed.next()).result(), 5);
  }());
}

TEST(HardWaits, a_gather_that_can_not_begin_ends_what_it_has_started) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    bool went_on = false;
    const auto notes = [](bool& on) -> Coro<int> {
      co_await sleep(2ms);
      on = true;
      co_return 1;
    };
    EXPECT_THROW(co_await gather(notes(went_on), PriorityTask<int>()), InvalidStateError);
    co_await sleep(5ms);
    EXPECT_FALSE(went_on);
    EXPECT_EQ(all_tasks().size(), 1U);
  }());
  EXPECT_EQ(log.text(), "");
}

}  // namespace
}  // namespace heirloop::testing
