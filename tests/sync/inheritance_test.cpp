// Priority inheritance, case by case (DESIGN section 7). The random programs are in owners_program_test.cpp.
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/lock.hpp>

#include "sync/waiting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class Inheritance : public ::testing::TestWithParam<PolicyKind> {
 public:
  Sim sim{[] {
    LoopOptions options;
    options.policy = GetParam();
    return options;
  }()};
  Order order;
};

std::string policy_name(const ::testing::TestParamInfo<PolicyKind>& p) {
  return std::string(to_string(p.param));
}

INSTANTIATE_TEST_SUITE_P(Policies, Inheritance, ::testing::Values(PolicyKind::strict, PolicyKind::aging),
                         policy_name);

/// Takes the locks in the order given, yields `steps` times, notes its name, releases in reverse order.
Coro<void> hold(std::vector<PriorityLock*> locks, Order& order, std::string name, int steps = 0) {
  std::vector<LockGuard> held;
  for (PriorityLock* lock : locks) held.push_back(co_await lock->acquire());
  for (int i = 0; i < steps; ++i) co_await sleep(0);
  order.push_back(name);
  while (!held.empty()) held.pop_back();
}

Coro<void> note(Order& order, std::string name) {
  order.push_back(name);
  co_return;
}

Coro<void> sleep_holding(std::vector<PriorityLock*> locks) {
  std::vector<LockGuard> held;
  for (PriorityLock* lock : locks) held.push_back(co_await lock->acquire());
  co_await sleep(1h);
}

Coro<void> await_task(PriorityTask<void> task) { co_await task; }

TEST_P(Inheritance, goes_through_two_locks) {
  sim.run([](Inheritance& t) -> Coro<void> {
    PriorityLock outer("outer");
    PriorityLock inner("inner");
    auto low = start(hold({&inner}, t.order, "low", 3), 10);
    auto second = start(hold({&outer, &inner}, t.order, "second"), 5);
    auto middle = create_task(note(t.order, "middle"), {.priority = 0.0});
    EXPECT_EQ(low.effective_priority(), 5);
    auto high = start(hold({&outer}, t.order, "high"), -10);
    EXPECT_EQ(second.effective_priority(), -10);
    EXPECT_EQ(low.effective_priority(), -10);
    co_await high;
    EXPECT_EQ(low.effective_priority(), 10);
    EXPECT_EQ(second.effective_priority(), 5);
    co_await middle;
  }(*this));
  EXPECT_EQ(order, (Order{"low", "second", "high", "middle"}));
}

/// Task i holds lock i and waits for lock i − 1; task 0 sleeps.
class Chain {
 public:
  explicit Chain(std::size_t length) : locks(length) {
    tasks.push_back(start(sleep_holding({&locks[0]}), 10));
    for (std::size_t i = 1; i < length; ++i) {
      tasks.push_back(start(sleep_holding({&locks[i], &locks[i - 1]}), 10));
    }
  }

  std::vector<double> effective() const {
    std::vector<double> values;
    for (const auto& task : tasks) values.push_back(task.effective_priority());
    return values;
  }

  std::deque<PriorityLock> locks;
  std::vector<PriorityTask<void>> tasks;
};

Coro<void> chain_of(std::size_t length) {
  Chain chain(length);
  const std::vector<double> all_low(length, 10);
  const std::vector<double> all_high(length, -10);
  const std::vector<double> all_middle(length, 0);
  EXPECT_EQ(chain.effective(), all_low);
  // Every way in which a waiter at the end comes and goes moves all owners above it, before the call returns.
  auto waiter = start(sleep_holding({&chain.locks.back()}), -10);
  EXPECT_EQ(chain.effective(), all_high);
  waiter.set_priority(0);
  EXPECT_EQ(chain.effective(), all_middle);
  waiter.set_priority(-10);
  EXPECT_EQ(chain.effective(), all_high);
  waiter.cancel();
  EXPECT_EQ(chain.effective(), all_low);

  auto thrown_at = start(sleep_holding({&chain.locks.back()}), -10);
  EXPECT_EQ(chain.effective(), all_high);
  task_throw(thrown_at, InterruptException());
  EXPECT_EQ(chain.effective(), all_low);

  auto interrupted = start(sleep_holding({&chain.locks.back()}), -10);
  EXPECT_EQ(chain.effective(), all_high);
  EXPECT_EQ(co_await task_interrupt(interrupted, InterruptException()), InterruptOutcome::ended);
  EXPECT_EQ(chain.effective(), all_low);

  auto joins = start(await_task(chain.tasks.back()), -10);
  EXPECT_EQ(chain.effective(), all_high);
  auto joins_too = start(await_task(joins), priority::always_first);
  EXPECT_EQ(chain.effective(), std::vector<double>(length, priority::always_first));
  task_throw(joins_too, InterruptException());
  EXPECT_EQ(chain.effective(), all_high);

  // A link in the middle that leaves cuts what it passed on.
  const std::size_t cut = length / 2;
  task_throw(chain.tasks[cut], InterruptException());
  for (std::size_t i = 0; i < length; ++i) {
    EXPECT_EQ(chain.tasks[i].effective_priority(), i < cut ? 10 : -10) << i;
  }
  for (const auto& task : {waiter, thrown_at, joins, joins_too}) task.cancel();
  for (const auto& task : chain.tasks) task.cancel();
  while (all_tasks().size() > 1) co_await sleep(1ms);
}

TEST_P(Inheritance, is_exact_in_a_chain_of_8) {
  LogCapture log;
  sim.run(chain_of(8));
}
TEST_P(Inheritance, is_exact_in_a_chain_of_64) {
  LogCapture log;
  sim.run(chain_of(64));
}

TEST_P(Inheritance, moves_a_waiter_inside_the_next_locks_queue) {
  sim.run([](Inheritance& t) -> Coro<void> {
    PriorityLock last("last");
    PriorityLock own("own");
    auto owner = start(hold({&last}, t.order, "owner", 2), 10);
    auto first = start(hold({&last}, t.order, "first"), 5);
    auto boosted = start(hold({&own, &last}, t.order, "boosted"), 10);
    auto high = start(hold({&own}, t.order, "high"), -10);  // "boosted" now waits for `last` at −10
    co_await first;
    co_await high;
  }(*this));
  EXPECT_EQ(order, (Order{"owner", "boosted", "high", "first"}));
}

TEST_P(Inheritance, drops_in_parts_as_nested_locks_are_released) {
  sim.run([]() -> Coro<void> {
    PriorityLock a("a");
    PriorityLock b("b");
    PriorityLock c("c");
    auto holder = create_task(
        [](PriorityLock& x, PriorityLock& y, PriorityLock& z) -> Coro<void> {
          auto on_x = co_await x.acquire();
          auto on_y = co_await y.acquire();
          auto on_z = co_await z.acquire();
          co_await sleep(1s);
          on_y.release();  // not the last one acquired
          EXPECT_EQ(current_task().effective_priority(), -5);
          co_await sleep(1s);
          on_z.release();
          EXPECT_EQ(current_task().effective_priority(), 0);
          co_await sleep(1s);
          on_x.release();
          EXPECT_EQ(current_task().effective_priority(), 10);
        }(a, b, c),
        {.priority = 10.0, .eager_start = true});
    Order ignored;
    auto on_a = start(hold({&a}, ignored, "a"), 0);
    auto on_b = start(hold({&b}, ignored, "b"), -10);
    auto on_c = start(hold({&c}, ignored, "c"), -5);
    EXPECT_EQ(holder.effective_priority(), -10);
    co_await on_b;
    EXPECT_EQ(holder.effective_priority(), -5);
    co_await on_c;
    EXPECT_EQ(holder.effective_priority(), 0);
    co_await on_a;
    co_await holder;
  }());
}

TEST_P(Inheritance, keeps_what_another_waiter_of_equal_urgency_lends) {
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    auto holder = start(sleep_holding({&lock}), 10);
    auto one = start(sleep_holding({&lock}), -10);
    auto two = start(sleep_holding({&lock}), -10);
    one.cancel();
    EXPECT_EQ(holder.effective_priority(), -10);
    two.cancel();
    EXPECT_EQ(holder.effective_priority(), 10);
    holder.cancel();
    while (all_tasks().size() > 1) co_await sleep(1ms);
  }());
}

TEST_P(Inheritance, drops_through_three_tasks_to_what_each_still_has) {
  sim.run([]() -> Coro<void> {
    PriorityLock a;
    PriorityLock b;
    PriorityLock c;
    auto first = start(sleep_holding({&a}), 10);
    auto second = start(sleep_holding({&b, &a}), 8);
    auto third = start(sleep_holding({&c, &b}), 6);
    auto also_on_a = start(sleep_holding({&a}), 3);
    auto also_on_b = start(sleep_holding({&b}), 1);
    auto high = start(sleep_holding({&c}), -10);
    for (const auto& task : {first, second, third}) EXPECT_EQ(task.effective_priority(), -10);
    high.set_priority(20);
    EXPECT_EQ(third.effective_priority(), 6);
    EXPECT_EQ(second.effective_priority(), 1);
    EXPECT_EQ(first.effective_priority(), 1);
    also_on_b.set_priority(7);
    EXPECT_EQ(second.effective_priority(), 6);
    EXPECT_EQ(first.effective_priority(), 3);
    also_on_a.cancel();
    EXPECT_EQ(first.effective_priority(), 6);
    for (const auto& task : all_tasks()) {
      if (task != current_task()) task.cancel();
    }
    while (all_tasks().size() > 1) co_await sleep(1ms);
  }());
}

TEST_P(Inheritance, passes_through_awaits_of_tasks) {
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    auto holder = start(sleep_holding({&lock}), 10);
    auto waits = start(sleep_holding({&lock}), 9);
    auto joins = start(await_task(waits), 8);
    auto urgent = start(await_task(joins), -10);
    for (const auto& task : {holder, waits, joins}) EXPECT_EQ(task.effective_priority(), -10);
    urgent.set_priority(5);
    for (const auto& task : {holder, waits, joins}) EXPECT_EQ(task.effective_priority(), 5);
    task_throw(urgent, std::runtime_error("leaves"));
    for (const auto& task : {holder, waits, joins}) EXPECT_EQ(task.effective_priority(), 8);
    try {
      co_await urgent;
    } catch (const std::runtime_error&) {
    }
    holder.cancel();
    joins.cancel();
    while (all_tasks().size() > 1) co_await sleep(1ms);
  }());
}

TEST_P(Inheritance, outlasts_a_change_of_policy) {
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    auto holder = start(sleep_holding({&lock}), 10);
    auto waits = start(sleep_holding({&lock}), 9);
    auto joins = start(await_task(waits), 8);
    auto urgent = start(await_task(joins), -10);
    auto second = start(await_task(waits), 7);
    for (const PolicyKind kind : {PolicyKind::edf, PolicyKind::shares, PolicyKind::strict}) {
      Loop::current().set_policy(make_policy(kind));
      for (const auto& task : {holder, waits, joins}) EXPECT_EQ(task.effective_priority(), -10);
    }
    urgent.set_priority(9);
    for (const auto& task : {holder, waits}) EXPECT_EQ(task.effective_priority(), 7);
    EXPECT_EQ(joins.effective_priority(), 8);
    task_throw(second, std::runtime_error("leaves"));
    for (const auto& task : {holder, waits, joins}) EXPECT_EQ(task.effective_priority(), 8);
    try {
      co_await second;
    } catch (const std::runtime_error&) {
    }
    holder.cancel();
    joins.cancel();
    while (all_tasks().size() > 1) co_await sleep(1ms);
  }());
}

/// Each wait but the last began before the one that it depends on.
TEST_P(Inheritance, outlasts_a_change_of_policy_also_where_owners_began_to_wait_later) {
  sim.run([]() -> Coro<void> {
    PriorityLock first;
    PriorityLock second;
    Event go;
    const auto take = [](PriorityLock* mine, Event& at, PriorityLock* other) -> Coro<void> {
      std::vector<LockGuard> held;
      if (mine != nullptr) held.push_back(co_await mine->acquire());
      co_await at.wait();
      held.push_back(co_await other->acquire());
      co_await sleep(1h);
    };
    auto holder = start(sleep_holding({&second}), 10);
    auto owner = start(take(&first, go, &second), 9);
    auto waits = start(sleep_holding({&first}), 8);
    auto joins = start(await_task(waits), 7);
    auto urgent = start(await_task(joins), -10);
    auto joins_first = start(await_task(owner), 6);
    go.set();
    co_await sleep(1ms);
    for (const PolicyKind kind : {PolicyKind::edf, PolicyKind::shares, PolicyKind::strict}) {
      Loop::current().set_policy(make_policy(kind));
      for (const auto& task : {holder, owner, waits, joins}) EXPECT_EQ(task.effective_priority(), -10);
    }
    urgent.set_priority(9);
    for (const auto& task : {holder, owner}) EXPECT_EQ(task.effective_priority(), 6);
    for (const auto& task : {waits, joins}) EXPECT_EQ(task.effective_priority(), 7);
    for (const auto& task : {holder, owner, waits}) task.cancel();
    while (all_tasks().size() > 1) co_await sleep(1ms);
  }());
}

TEST_P(Inheritance, gives_a_ready_owner_its_place_at_once) {
  sim.run([](Inheritance& t) -> Coro<void> {
    PriorityLock lock;
    auto low = start(hold({&lock}, t.order, "low", 1), 10, "low");
    auto middle = create_task(note(t.order, "middle"), {.name = "middle", .priority = 0.0});
    const auto names = [&] {
      Order found;
      for (const TaskRef& task : ready_tasks(t.sim.loop)) found.push_back(task.name());
      return found;
    };
    EXPECT_THAT(names(), ElementsAre("middle", "low"));
    auto high = start(hold({&lock}, t.order, "high"), -10, "high");
    EXPECT_THAT(names(), ElementsAre("low", "middle"));
    high.cancel();
    EXPECT_THAT(names(), ElementsAre("high", "middle", "low"));
    co_await low;
  }(*this));
}

TEST(InheritanceOff, lends_nothing) {
  LoopOptions options;
  options.policy = PolicyKind::strict;
  options.inheritance = false;
  Sim sim(options);
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    PriorityLock lock;
    auto low = start(hold({&lock}, o, "low", 2), 10);
    auto high = start(hold({&lock}, o, "high"), -10);
    auto middle = create_task(note(o, "middle"), {.priority = 0.0});
    EXPECT_EQ(low.effective_priority(), 10);
    auto joins = start(await_task(low), -20);
    EXPECT_EQ(low.effective_priority(), 10);
    co_await middle;
    co_await high;
    co_await joins;
  }(order));
  EXPECT_EQ(order, (Order{"middle", "low", "high"}));
}

TEST_P(Inheritance, outlives_neither_the_owner_nor_the_waiter) {
  sim.run([]() -> Coro<void> {
    auto sleeper = start([]() -> Coro<void> { co_await sleep(1s); }(), 10);
    auto joins = start(await_task(sleeper), -10);
    EXPECT_EQ(sleeper.effective_priority(), -10);
    joins.cancel();  // goes to what is awaited first
    EXPECT_EQ(sleeper.effective_priority(), -10);
    co_await sleep(1ms);
    EXPECT_TRUE(sleeper.done());
    EXPECT_TRUE(joins.cancelled());
    EXPECT_EQ(sleeper.effective_priority(), 10);
  }());
}

}  // namespace
}  // namespace heirloop::testing
