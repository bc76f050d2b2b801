// task_interrupt and task_throw reach a task in every state and in every kind of wait: the exception has been raised in the
// target when the interrupt returns, nothing else ran in between, and what the target awaited goes on.
#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/runtime/wait_tasks.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/channel.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/once.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/select.hpp>
#include <heirloop/sync/semaphore.hpp>
#include <heirloop/sync/signal_semaphore.hpp>
#include <heirloop/sync/wait_group.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Everything that a victim can wait for; nobody ever lets it have it.
struct World {
  Lock lock{"lock"};
  Lock of_condition{"lock of the condition"};
  Condition condition{of_condition};
  Semaphore permits{1};
  SignalSemaphore signals{0};
  Event event;
  Barrier barrier{2};
  Queue<int> empty;
  Queue<int> full{1};
  Channel<int> channel{0};
  RWLock rw;
  WaitGroup group;
  Promise<void> promise;
  PriorityTask<void> other;
};

Coro<void> sleep_long() { co_await sleep(1h); }

/// A wait by its name.
struct Kind {
  const char* name;
  std::function<Coro<void>(World&)> wait;
};
std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

std::vector<Kind> kinds() {
  return {
      {"sleep", [](World&) { return sleep_long(); }},
      {"a_time_limit", [](World&) -> Coro<void> { co_await timeout(2h, sleep_long); }},
      {"a_task_timeout", [](World&) -> Coro<void> { co_await task_timeout(2h, sleep_long); }},
      {"a_clean_up", [](World&) -> Coro<void> { co_await ensure([]() -> Coro<void> { co_return; }, sleep_long); }},
      {"another_task", [](World& w) -> Coro<void> { co_await w.other; }},
      {"a_shielded_task", [](World& w) -> Coro<void> { co_await shield(w.other); }},
      {"a_group",
       [](World&) -> Coro<void> {
         co_await with_task_group([](TaskGroup& group) -> Coro<void> {
           group.start_soon(sleep_long());
           co_return;
         });
       }},
      {"the_body_of_a_group",
       [](World&) -> Coro<void> {
         co_await with_task_group([](TaskGroup& group) -> Coro<void> {
           group.start_soon(sleep_long());
           co_await sleep_long();
         });
       }},
      {"gather", [](World& w) -> Coro<void> { co_await gather(w.other, sleep_long()); }},
      {"wait",
       [](World& w) -> Coro<void> {
         std::vector<TaskRef> tasks{w.other};
         co_await wait(tasks);
       }},
      {"as_completed",
       [](World& w) -> Coro<void> {
         auto completed = as_completed(std::vector<PriorityTask<void>>{w.other});
         co_await completed.next();
       }},
      {"a_future", [](World& w) -> Coro<void> { co_await w.promise.future(); }},
      {"a_lock", [](World& w) -> Coro<void> { auto held = co_await w.lock.acquire(); }},
      {"a_condition",
       [](World& w) -> Coro<void> {
         auto held = co_await w.of_condition.acquire();
         co_await w.condition.wait();
       }},
      {"a_semaphore", [](World& w) -> Coro<void> { auto held = co_await w.permits.acquire(); }},
      {"a_signal_semaphore", [](World& w) -> Coro<void> { co_await w.signals.acquire(); }},
      {"an_event", [](World& w) -> Coro<void> { co_await w.event.wait(); }},
      {"a_barrier", [](World& w) -> Coro<void> { co_await w.barrier.wait(); }},
      {"an_empty_queue", [](World& w) -> Coro<void> { co_await w.empty.get(); }},
      {"a_full_queue", [](World& w) -> Coro<void> { co_await w.full.put(2); }},
      {"a_send", [](World& w) -> Coro<void> { co_await w.channel.send(1); }},
      {"a_receive", [](World& w) -> Coro<void> { co_await w.channel.receive(); }},
      {"a_reader", [](World& w) -> Coro<void> { auto held = co_await w.rw.read(); }},
      {"a_writer", [](World& w) -> Coro<void> { auto held = co_await w.rw.write(); }},
      {"a_wait_group", [](World& w) -> Coro<void> { co_await w.group.wait(); }},
  };
}

class InterruptEverything : public ::testing::TestWithParam<Kind> {};
INSTANTIATE_TEST_SUITE_P(Waits, InterruptEverything, ::testing::ValuesIn(kinds()),
                         [](const auto& kind) { return std::string(kind.param.name); });

enum class State { created, half_started, blocked };

Coro<void> victim(const Kind& kind, World& world, Order& order) {
  try {
    co_await kind.wait(world);
    order.push_back("value");
  } catch (const InterruptException& interrupt) {
    order.push_back(interrupt.message());
  }
}

Coro<void> interrupt_it(const Kind& kind, State state, bool by_throw) {
  World world;
  Order order;
  world.other = create_task(sleep_long(), {.eager_start = true});
  auto lock = co_await world.lock.acquire();
  auto permit = co_await world.permits.acquire();
  auto writer = co_await world.rw.write();
  co_await world.full.put(1);
  world.group.add(1);

  auto task = create_task(victim(kind, world, order), {.name = "victim", .priority = 5, .eager_start = state == State::half_started});
  if (state == State::blocked) co_await sleep(1ms);
  EXPECT_EQ(task.state(), state == State::created ? TaskState::ready : TaskState::blocked);
  const auto note = [](Order& of) -> Coro<void> {
    of.push_back("others");
    co_return;
  };
  create_task(note(order), {.priority = priority::always_first});
  if (by_throw) {
    task_throw(task, InterruptException("hit"));
    EXPECT_EQ(task.state(), kind.name == std::string("gather") ? TaskState::blocked : TaskState::ready);
    EXPECT_EQ(order, Order());
    while (!task.done()) co_await sleep(1ms);
    EXPECT_EQ(order.size(), 2U);
  } else {
    // A group's or gather's own tasks end first: there the caller waits, and others may run.
    const bool at_once = state == State::created || (kind.name != std::string("a_group") &&
                                                     kind.name != std::string("the_body_of_a_group") && kind.name != std::string("gather"));
    const InterruptOutcome outcome = co_await task_interrupt(task, InterruptException("hit"));
    if (state == State::created) {
      EXPECT_EQ(order, Order()) << "it never came to its first line, and nothing else ran";
      EXPECT_EQ(outcome, InterruptOutcome::ended);
      EXPECT_NE(task.exception(), nullptr);
    } else if (at_once) {
      EXPECT_EQ(order, Order{"hit"});
      EXPECT_EQ(outcome, InterruptOutcome::ended);
    }
    while (!task.done()) co_await sleep(1ms);
    if (state != State::created) {
      EXPECT_EQ(std::count(order.begin(), order.end(), "hit"), 1);
    }
  }
  static_cast<void>(task.exception());
  EXPECT_FALSE(world.other.done()) << "what it awaited goes on";
  EXPECT_EQ(world.other.cancelling(), 0U);
  EXPECT_FALSE(world.of_condition.locked());
  world.channel.close();
  world.promise.set_value();
}

TEST_P(InterruptEverything, by_task_interrupt) {
  for (const State state : {State::created, State::half_started, State::blocked}) {
    for (const PolicyKind policy : {PolicyKind::strict, PolicyKind::aging, PolicyKind::fifo}) {
      SCOPED_TRACE(std::string(to_string(policy)) + ", state " + std::to_string(static_cast<int>(state)));
      Sim sim({.policy = policy});
      sim.run(interrupt_it(GetParam(), state, false));
    }
  }
}

TEST_P(InterruptEverything, by_task_throw) {
  for (const State state : {State::half_started, State::blocked}) {
    SCOPED_TRACE(static_cast<int>(state));
    Sim sim;
    sim.run(interrupt_it(GetParam(), state, true));
  }
}

}  // namespace
}  // namespace heirloop::testing
