// The facts about scheduling that users rely on, under virtual time.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <heirloop/heirloop.hpp>
#include <heirloop/testing/sim_driver.hpp>

namespace hl = heirloop;
using namespace std::chrono_literals;

namespace {

using Order = std::vector<std::string>;

class Facts : public ::testing::TestWithParam<hl::PolicyKind> {
 public:
  hl::testing::SimDriver driver;
  hl::Loop loop{driver, {.policy = GetParam()}};
  Order order;

  void run(hl::Coro<void> main) {
    auto task = loop.create_task(std::move(main), {.name = "main"});
    loop.run_until_done(task);
    loop.finish();
    task.result();
  }
};

class FactsByPriority : public Facts {};

hl::Coro<void> hold(hl::PriorityLock& lock, Order& order, std::string name, int steps) {
  auto held = co_await lock.acquire();
  for (int i = 0; i < steps; ++i) co_await hl::sleep(0);
  order.push_back(name);
}

hl::Coro<void> note(Order& order, std::string name) {
  order.push_back(std::move(name));
  co_return;
}

TEST_P(FactsByPriority, low_holds_middle_is_ready_high_waits) {
  run([](FactsByPriority& t) -> hl::Coro<void> {
    hl::PriorityLock lock("keys");
    auto low = hl::create_task(hold(lock, t.order, "low", 3), {.name = "low", .priority = hl::priority::low, .eager_start = true});
    EXPECT_TRUE(lock.locked());
    auto middle = hl::create_task(note(t.order, "middle"), {.priority = hl::priority::normal});
    EXPECT_EQ(low.effective_priority(), hl::priority::low);
    auto high = hl::create_task(hold(lock, t.order, "high", 0), {.priority = hl::priority::high, .eager_start = true});
    EXPECT_EQ(low.effective_priority(), hl::priority::high);
    co_await high;
    EXPECT_EQ(low.effective_priority(), hl::priority::low);
    co_await low;
    co_await middle;
  }(*this));
  EXPECT_EQ(order, (Order{"low", "high", "middle"}));
}

INSTANTIATE_TEST_SUITE_P(Policies, FactsByPriority, ::testing::Values(hl::PolicyKind::strict, hl::PolicyKind::aging),
                         [](const auto& policy) { return std::string(hl::to_string(policy.param)); });

TEST_P(Facts, equal_priorities_are_first_in_first_out) {
  run([](Facts& t) -> hl::Coro<void> {
    for (const char* name : {"a", "b", "c", "d"}) hl::create_task(note(t.order, name));
    co_await hl::sleep(0);
  }(*this));
  EXPECT_EQ(order, (Order{"a", "b", "c", "d"}));
}

hl::Coro<void> sleeper(Order& order) {
  try {
    co_await hl::sleep(10s);
  } catch (const hl::InterruptException&) {
    order.push_back("victim");
  }
}

TEST_P(Facts, an_interrupt_runs_the_victim_then_the_caller_before_anything_else) {
  run([](Facts& t) -> hl::Coro<void> {
    auto victim = hl::create_task(sleeper(t.order), {.priority = hl::priority::low, .eager_start = true});
    hl::create_task(note(t.order, "urgent"), {.priority = hl::priority::high});
    const auto outcome = co_await hl::task_interrupt(victim, hl::InterruptException("now"));
    t.order.push_back("caller");
    EXPECT_EQ(outcome, hl::InterruptOutcome::ended);
    co_await hl::sleep(0);
  }(*this));
  EXPECT_EQ(order, (Order{"victim", "caller", "urgent"}));
  EXPECT_EQ(driver.now_ns(), 0);
}

TEST_P(Facts, sleeps_end_in_order_of_their_deadlines) {
  run([](Facts& t) -> hl::Coro<void> {
    auto after = [](Order& o, std::chrono::milliseconds d, std::string n) -> hl::Coro<void> {
      co_await hl::sleep(d);
      o.push_back(n);
    };
    auto a = hl::create_task(after(t.order, 20ms, "20"));
    auto b = hl::create_task(after(t.order, 10ms, "10"));
    co_await a;
    co_await b;
  }(*this));
  EXPECT_EQ(order, (Order{"10", "20"}));
  EXPECT_EQ(driver.now_ns(), 20'000'000);
}

INSTANTIATE_TEST_SUITE_P(Policies, Facts,
                         ::testing::Values(hl::PolicyKind::fifo, hl::PolicyKind::strict, hl::PolicyKind::aging),
                         [](const auto& policy) { return std::string(hl::to_string(policy.param)); });

}  // namespace
