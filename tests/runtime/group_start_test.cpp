// Children of a group: those that report when they are ready, eager ones, and those that close a cycle.
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// A service that is ready after 2 ms and runs for 5 more.
Coro<void> service(Order& order, TaskStatus<int> status) {
  co_await sleep(2ms);
  status.started(8080);
  order.push_back("started");
  co_await sleep(5ms);
  order.push_back("ended");
}

TEST(TaskGroupStart, returns_the_value_that_the_child_reports_and_the_child_goes_on) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
      const int port = co_await group.start<int>([&](TaskStatus<int> status) { return service(o, std::move(status)); });
      EXPECT_EQ(port, 8080);
      EXPECT_EQ(loop_time().time_since_epoch() % 1s, 2ms);
      EXPECT_EQ(group.size(), 1U);
      o.push_back("body");
      const auto quick = [](TaskStatus<> status) -> Coro<void> {
        status.started();
        co_return;
      };
      co_await group.start(quick);
      co_await group.start(quick, {.eager_start = true});
    });
  }(order));
  EXPECT_EQ(order, (Order{"started", "body", "ended"}));
}

TEST(TaskGroupStart, throws_what_the_child_throws_before_it_is_ready_and_the_group_goes_on) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
      const auto fails = [](TaskStatus<int>) -> Coro<void> {
        co_await sleep(1ms);
        throw std::runtime_error("no port");
      };
      std::string text;
      try {
        co_await group.start<int>(fails);
      } catch (const std::runtime_error& error) {
        text = error.what();
      }
      EXPECT_EQ(text, "no port");
      const auto forgets = [](TaskStatus<int>) -> Coro<void> { co_await sleep(1ms); };
      EXPECT_THROW(co_await group.start<int>(forgets, {.name = "forgetful"}), InvalidStateError);
      o.push_back("goes on");
    });
  }(order));
  EXPECT_EQ(order, Order{"goes on"});
}

TEST(TaskGroupStart, a_failure_of_a_child_that_was_ready_is_the_groups) {
  Sim sim;
  for (const bool at_once : {true, false}) {
    sim.run([](bool soon) -> Coro<void> {
      bool failed = false;
      try {
        co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
          const auto fails = [soon](TaskStatus<> status) -> Coro<void> {
            const bool now = soon;
            status.started();
            if (!now) co_await sleep(1ms);
            throw std::runtime_error("later");
          };
          co_await group.start(fails);
          co_await sleep(9ms);
          ADD_FAILURE() << "the body was not cancelled";
        });
      } catch (const ExceptionGroup& group) {
        failed = true;
        EXPECT_THAT(group.what(), HasSubstr("later"));
      }
      EXPECT_TRUE(failed);
    }(at_once));
  }
}

TEST(TaskGroupStart, who_leaves_a_start_cancels_the_child) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto owner = [](Order& out) -> Coro<void> {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        try {
          co_await group.start<int>([&](TaskStatus<int> status) { return service(out, std::move(status)); }, {.name = "child"});
        } catch (const InterruptException&) {
          out.push_back("interrupted");
        }
      });
      out.push_back("group over");
    };
    auto task = create_task(owner(o));
    co_await sleep(1ms);
    EXPECT_EQ(co_await task_interrupt(task, InterruptException()), InterruptOutcome::delivered);
    co_await task;
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 1ms);
  }(order));
  EXPECT_EQ(order, (Order{"interrupted", "group over"}));
}

TEST(TaskGroupStart, a_cancel_during_a_start_ends_the_child_and_the_group) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto owner = []() -> Coro<void> {
      co_await with_task_group([](TaskGroup& group) -> Coro<void> {
        Order order;
        co_await group.start<int>([&](TaskStatus<int> status) { return service(order, std::move(status)); });
      });
    };
    auto task = create_task(owner());
    co_await sleep(1ms);
    task.cancel();
    while (!task.done()) co_await sleep(1ms);
    EXPECT_TRUE(task.cancelled());
  }());
}

TEST(TaskGroupStart, lends_to_the_child_until_it_is_ready) {
  Sim sim({.policy = PolicyKind::strict});
  sim.run([]() -> Coro<void> {
    current_task().set_priority(priority::high);
    co_await with_task_group([](TaskGroup& group) -> Coro<void> {
      double before = 0;
      double behind = 0;
      const auto child = [&](TaskStatus<> status) -> Coro<void> {
        before = current_task().effective_priority();
        co_await sleep(1ms);
        status.started();
        behind = current_task().effective_priority();
      };
      co_await group.start(child, {.priority = priority::low});
      EXPECT_EQ(before, priority::high);
      EXPECT_EQ(behind, priority::low);
    });
  }());
}

TEST(TaskGroup, a_child_whose_eager_part_would_wait_for_the_owner_that_waits_for_the_group_is_a_deadlock) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    TaskGroup* open = nullptr;
    bool refused = false;
    const auto owner = [&]() -> Coro<void> {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        open = &group;
        group.start_soon([]() -> Coro<void> { co_await sleep(5ms); }());
        co_return;
      });
    };
    auto task = create_task(owner(), {.name = "owner"});
    co_await sleep(1ms);  // the owner waits for its group
    const auto child = [](PriorityTask<void> awaited, bool& thrown) -> Coro<void> {
      try {
        co_await awaited;
      } catch (const DeadlockError&) {
        thrown = true;
      }
    };
    open->create_task(child(task, refused), {.eager_start = true});
    EXPECT_TRUE(refused);
    co_await task;
  }());
}

TEST(TaskGroup, a_cancel_from_outside_that_meets_a_failure_comes_again) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto owner = [](Order& out) -> Coro<void> {
      try {
        co_await with_task_group([](TaskGroup& group) -> Coro<void> {
          group.start_soon([]() -> Coro<void> {
            bool stopped = false;
            try {
              co_await sleep(9ms);
            } catch (const Cancelled&) {
              stopped = true;
            }
            if (stopped) throw std::runtime_error("clean-up failed");
          }());
          co_await sleep(9ms);
        });
      } catch (const ExceptionGroup&) {
        out.push_back("group");
      }
      co_await sleep(9ms);
      out.push_back("not reached");
    };
    auto task = create_task(owner(o));
    co_await sleep(1ms);
    task.cancel("stop");
    while (!task.done()) co_await sleep(1ms);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 2ms);
  }(order));
  EXPECT_EQ(order, Order{"group"});
}

}  // namespace
}  // namespace heirloop::testing
