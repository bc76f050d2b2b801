// The cases by which people know priority inheritance, each by its name; those with several owners are in
// joint_inheritance_test.cpp, those with groups in runtime/task_group_test.cpp.
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// A little work of so many steps.
Coro<void> work(Order& order, std::string name, int steps) {
  for (int i = 0; i < steps; ++i) co_await sleep(0);
  order.push_back(name);
}

Coro<void> work_with(PriorityLock& lock, Order& order, std::string name, int steps) {
  auto held = co_await lock.acquire();
  co_await work(order, name, steps);
}

/// Mars Pathfinder's: a medium task that shares nothing with the others keeps the low one from letting go of the lock.
Order pathfinder(bool inheritance) {
  Sim sim({.policy = PolicyKind::strict, .inheritance = inheritance});
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    PriorityLock bus("information bus");
    const auto low = create_task(work_with(bus, o, "low", 3), {.priority = priority::low, .eager_start = true});
    const auto high = create_task(work_with(bus, o, "high", 1), {.priority = priority::high, .eager_start = true});
    const auto medium = create_task(work(o, "medium", 20), {.priority = 5});
    while (!low.done() || !high.done() || !medium.done()) co_await sleep(1ms);
  }(order));
  return order;
}

TEST(ClassicCases, inversion_of_three_tasks_and_one_lock) {
  EXPECT_EQ(pathfinder(true), (Order{"low", "high", "medium"}));
  EXPECT_EQ(pathfinder(false), (Order{"medium", "low", "high"})) << "without inheritance the case is no case";
}

/// asynkit's test of the lock's own priority and of its holder's: each waiter that comes raises both, none lowers them.
TEST(ClassicCases, asynkits_inversion_a_holder_has_the_best_of_its_waiters) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto holder = []() -> Coro<void> {
      PriorityLock lock;
      const TaskRef self = current_task();
      EXPECT_EQ(self.effective_priority(), 1.0);
      Order ignored;
      std::vector<PriorityTask<void>> waiters;
      {
        auto held = co_await lock.acquire();
        EXPECT_EQ(lock.effective_priority(), std::nullopt);
        double best = 1;
        for (const double priority : {0.0, -1.0, -2.0, 2.0}) {
          waiters.push_back(create_task(work_with(lock, ignored, "", 1), {.priority = priority}));
          co_await sleep(1ms);
          best = std::min(best, priority);
          EXPECT_EQ(lock.effective_priority(), best);
          EXPECT_EQ(self.effective_priority(), best);
        }
      }
      EXPECT_EQ(self.effective_priority(), 1.0);
      for (const auto& waiter : waiters) co_await waiter;
      EXPECT_EQ(lock.effective_priority(), std::nullopt);
    };
    const auto task = create_task(holder(), {.priority = 1});
    while (!task.done()) co_await sleep(1ms);  // an await would lend
  }());
}

/// asynkit's tests of the order, in which twenty tasks that come in any order get a lock and a notify, some cancelled.
TEST(ClassicCases, asynkits_order_of_twenty_waiters) {
  for (const bool conditions : {false, true}) {
    for (const bool cancels : {false, true}) {
      Sim sim({.policy = PolicyKind::strict});
      std::vector<int> results;
      sim.run([](bool by_condition, bool some_leave, std::vector<int>& got) -> Coro<void> {
        PriorityLock lock;
        PriorityCondition condition(lock);
        bool wake = false;
        const auto takes = [](PriorityLock& l, PriorityCondition& c, const bool& w, bool waits, int i,
                              std::vector<int>& out) -> Coro<void> {
          auto held = co_await l.acquire();
          if (waits) co_await c.wait_for([&] { return w; });
          out.push_back(i);
          if (waits) c.notify(1);
        };
        std::vector<int> values(20);
        std::iota(values.begin(), values.end(), 0);
        std::mt19937 random(7);
        std::shuffle(values.begin(), values.end(), random);
        LockGuard held = co_await lock.acquire();
        if (by_condition) held.release();
        std::vector<PriorityTask<void>> tasks;
        for (const int i : values) {
          tasks.push_back(create_task(takes(lock, condition, wake, by_condition, i, got),
                                      {.priority = static_cast<double>(i)}));
        }
        co_await sleep(1ms);
        EXPECT_TRUE(got.empty());
        if (some_leave) {
          tasks[8].cancel();
          co_await sleep(1ms);
          tasks[12].cancel();
        }
        if (by_condition) {
          held = co_await lock.acquire();
          wake = true;
          condition.notify(1);
        }
        held.release();
        for (const auto& task : tasks) {
          while (!task.done()) co_await sleep(1ms);
        }
        std::vector<int> expected(20);
        std::iota(expected.begin(), expected.end(), 0);
        if (some_leave) std::erase_if(expected, [&](int i) { return i == values[8] || i == values[12]; });
        EXPECT_EQ(got, expected);
      }(conditions, cancels, results));
    }
  }
}

/// The chain that asynkit does not follow: the holder of the inner lock waits for the outer one, in whose queue it must move.
TEST(ClassicCases, asynkits_chain_also_moves_the_waiter_in_the_next_locks_queue) {
  Sim sim({.policy = PolicyKind::strict});
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    PriorityLock outer("outer");
    PriorityLock inner("inner");
    const auto both = [](PriorityLock& first, PriorityLock& second, Order& out) -> Coro<void> {
      auto on_first = co_await first.acquire();
      auto on_second = co_await second.acquire();
      out.push_back("middle");
    };
    const auto owner = create_task(work_with(outer, o, "owner", 2), {.priority = 9, .eager_start = true});
    const auto other = create_task(work_with(outer, o, "other", 0), {.priority = 3, .eager_start = true});
    const auto middle = create_task(both(inner, outer, o), {.priority = 8, .eager_start = true});
    EXPECT_EQ(owner.effective_priority(), 3.0);
    const auto urgent = create_task(work_with(inner, o, "urgent", 0), {.priority = -5, .eager_start = true});
    EXPECT_EQ(middle.effective_priority(), -5.0);
    EXPECT_EQ(owner.effective_priority(), -5.0);
    while (!other.done()) co_await sleep(1ms);
    EXPECT_TRUE(urgent.done() && middle.done());
  }(order));
  EXPECT_EQ(order, (Order{"owner", "middle", "urgent", "other"}));
}

}  // namespace
}  // namespace heirloop::testing
