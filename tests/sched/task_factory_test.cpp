// Loops whose tasks all start eagerly, and the task factory.
#include <heirloop/sched/scheduling.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

LoopOptions eager() {
  LoopOptions options;
  options.eager_tasks = true;
  return options;
}

Coro<void> says(Order& order, std::string what) {
  order.push_back(what);
  co_await sleep(0);
  order.push_back(what + " again");
}

TEST(EagerTasks, start_inside_the_call_unless_asked_otherwise) {
  Sim sim(eager());
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    create_task(says(o, "eager"));
    o.push_back("starter");
    create_task(says(o, "lazy"), {.eager_start = false});
    o.push_back("starter again");
    co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order, (Order{"eager", "starter", "starter again", "eager again", "lazy", "lazy again"}));
}

TEST(EagerTasks, do_not_begin_before_the_loop_runs) {
  Sim sim(eager());
  Order order;
  const auto task = sim.loop.create_task(says(order, "main"));
  EXPECT_EQ(order, Order{});
  sim.loop.run_until_done(task);
  sim.loop.finish();
  EXPECT_EQ(order, (Order{"main", "main again"}));
}

TEST(EagerTasks, that_end_at_once_were_never_tasks_for_others) {
  Sim sim(eager());
  sim.run([]() -> Coro<void> {
    const auto task = create_task([]() -> Coro<int> { co_return 4; }());
    EXPECT_TRUE(task.done());
    EXPECT_EQ(all_tasks().size(), 1U);
    EXPECT_EQ(co_await task, 4);
    EXPECT_EQ(create_task([]() -> Coro<void> { co_await sleep(0); }()).name(), "Task-2");
  }());
}

TEST(EagerTasks, leave_breadth_first_and_depth_first_as_they_are) {
  Sim sim(eager());
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto first = co_await create_task_start(says(o, "breadth"));
    const auto second = co_await create_task_descend(says(o, "depth"));
    co_await sleep(1ms);
    EXPECT_TRUE(first.done() && second.done());
  }(order));
  EXPECT_EQ(order.size(), 4U);
}

TEST(TaskFactory, sees_and_changes_how_each_task_is_made) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    EXPECT_FALSE(get_task_factory());
    int made = 0;
    std::string name;
    set_task_factory([&](TaskOptions& options) {
      ++made;
      if (options.name.empty()) options.name = name = "made " + std::to_string(made);
      if (!options.priority) options.priority = made;
      if (!options.eager_start) options.eager_start = made == 2;
    });
    EXPECT_TRUE(get_task_factory());
    const auto first = create_task(says(o, "first"));
    const auto second = create_task(says(o, "second"));
    const auto third = create_task(says(o, "third"), {.name = "mine", .priority = -4});
    EXPECT_EQ(o, (Order{"second"}));
    EXPECT_EQ(first.name(), "made 1");
    EXPECT_EQ(second.name(), "made 2");
    EXPECT_EQ(third.name(), "mine");
    EXPECT_EQ(first.priority(), 1);
    EXPECT_EQ(third.priority(), -4);
    set_task_factory({});
    EXPECT_EQ(create_task(says(o, "plain")).name(), "Task-5");
    EXPECT_EQ(made, 3);
    co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order.size(), 8U);
}

TEST(TaskFactory, that_throws_makes_no_task) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    set_task_factory([](TaskOptions&) { throw std::runtime_error("no more tasks"); });
    EXPECT_THROW(create_task(says(order, "never")), std::runtime_error);
    EXPECT_EQ(all_tasks().size(), 1U);
    set_task_factory([](TaskOptions& options) { options.priority = std::nan(""); });
    EXPECT_THROW(create_task(says(order, "never")), std::invalid_argument);
    set_task_factory({});
    EXPECT_EQ(order, Order{});
    co_return;
  }());
}

TEST(TaskFactory, may_turn_eager_tasks_lazy) {
  Sim sim(eager());
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    set_task_factory([](TaskOptions& options) { options.eager_start = false; });
    create_task(says(o, "lazy"));
    o.push_back("starter");
    co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order, (Order{"starter", "lazy", "lazy again"}));
}

}  // namespace
}  // namespace heirloop::testing
