// Steady state allocates nothing: spawns, yields, positions, priorities, locks, conditions and timers under each policy.
#include <heirloop/runtime/async_generator.hpp>
#include <heirloop/sched/context.hpp>
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/condition.hpp>

#include "support/sim.hpp"
#include "sync/counted_new.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

class Allocation : public ::testing::TestWithParam<PolicyKind> {};

Coro<int> child(int value) {
  co_await sleep(0);
  co_return value;
}

Coro<void> use(PriorityLock& lock) {
  const LockGuard held = co_await lock.acquire();
  co_await sleep(0);
}

Coro<void> wait_for(PriorityLock& lock, PriorityCondition& changed) {
  const LockGuard held = co_await lock.acquire();
  co_await changed.wait();
}

Coro<void> round_of_everything(int round) {
  PriorityLock lock("keys");
  PriorityCondition changed(lock);
  const auto lazy = create_task(child(1), {.name = "lazy", .priority = priority::low});
  const auto eager = create_task(child(2), {.eager_start = true, .deadline = loop_time() + 1ms});
  const auto a = create_task(use(lock), {.priority = priority::low, .eager_start = true});
  const auto b = create_task(use(lock), {.priority = priority::high, .eager_start = true});
  const auto c = create_task(use(lock), {.priority = static_cast<double>(round % 100)});
  const auto waiter = create_task(wait_for(lock, changed));
  task_reinsert(c, 1);
  co_await sleep_insert(2);
  if (task_is_runnable(lazy)) co_await task_switch(lazy, 1);
  lazy.set_priority(priority::normal);
  const int sum = co_await lazy + co_await eager + co_await child(3);
  EXPECT_EQ(sum, 6);
  co_await a;
  co_await b;
  co_await c;
  while (changed.waiter_count() == 0) co_await sleep(1us);
  {
    const LockGuard held = co_await lock.acquire();
    changed.notify_all();
  }
  co_await waiter;
  co_await sleep(1ms);
  co_await checkpoint();
}

TEST_P(Allocation, none_in_spawns_yields_positions_locks_and_timers) {
  Sim sim({.policy = GetParam()});
  sim.run([]() -> Coro<void> {
    for (int i = 0; i < 300; ++i) co_await round_of_everything(i);
    const std::size_t before = allocations();
    for (int i = 0; i < 1000; ++i) co_await round_of_everything(i);
    EXPECT_EQ(allocations() - before, 0U);
  }());
}

TEST_P(Allocation, none_among_more_priorities_than_rings) {
  Sim sim({.policy = GetParam()});
  sim.run([]() -> Coro<void> {
    bool stop = false;
    for (int i = 0; i < 500; ++i) {
      create_task([](const bool& end) -> Coro<void> {
        while (!end) co_await sleep(1us);
      }(stop), {.priority = static_cast<double>(i)});
    }
    co_await sleep(1ms);
    const std::size_t before = allocations();
    co_await sleep(3ms);
    EXPECT_EQ(allocations() - before, 0U);
    stop = true;
    co_await sleep(1ms);
  }());
}

AsyncGenerator<int> doubled(AsyncGenerator<int> source) {
  while (const auto value = co_await source.next()) co_yield *value * 2;
}

AsyncGenerator<int> count_to(int last) {
  for (int i = 0; i < last; ++i) {
    if (i % 16 == 0) co_await sleep(0);
    co_yield i;
  }
}

Coro<void> round_of_generators() {
  auto numbers = doubled(count_to(50));
  int sum = 0;
  while (const auto value = co_await numbers.next()) sum += *value;
  EXPECT_EQ(sum, 49 * 50);
  auto left = count_to(50);
  co_await left.next();
}

TEST_P(Allocation, none_in_generators) {
  Sim sim({.policy = GetParam()});
  sim.run([]() -> Coro<void> {
    for (int i = 0; i < 300; ++i) co_await round_of_generators();
    const std::size_t before = allocations();
    for (int i = 0; i < 300; ++i) co_await round_of_generators();
    EXPECT_EQ(allocations() - before, 0U) << "an exception comes from malloc";
  }());
}

TEST(AllocationCount, sees_what_is_allocated) {
  const std::size_t before = allocations();
  const auto value = std::make_unique<int>(1);
  EXPECT_EQ(allocations() - before, 1U) << *value;
}

INSTANTIATE_TEST_SUITE_P(Policies, Allocation, ::testing::ValuesIn(all_policies().begin(), all_policies().end()),
                         [](const auto& policy) { return std::string(to_string(policy.param)); });

Coro<void> round_in_a_context(const ContextVar<int>& depth, int round) {
  const ContextScope scope(depth, round);
  const auto lazy = create_task([](const ContextVar<int>& var) -> Coro<int> { co_return var.get(); }(depth));
  const auto eager = create_task(
      [](const ContextVar<int>& var) -> Coro<int> {
        const ContextScope mine(var, 5);
        co_await sleep(0);
        co_return var.get();
      }(depth),
      {.eager_start = true});
  Loop::current().call_soon([&depth, round] { EXPECT_EQ(depth.get(), round); });
  const Context copy = copy_context();
  const int sum = co_await lazy + co_await eager;
  EXPECT_EQ(sum, round + 5);
  EXPECT_EQ(*copy.find(depth), round);
}

TEST(ContextAllocation, none_in_sets_copies_and_spawns) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const ContextVar<int> depth("depth");
    for (int i = 0; i < 10; ++i) co_await round_in_a_context(depth, i);
    const std::size_t before = allocations();
    for (int i = 0; i < 1000; ++i) co_await round_in_a_context(depth, i);
    EXPECT_EQ(allocations(), before);
  }());
}

}  // namespace
}  // namespace heirloop::testing
