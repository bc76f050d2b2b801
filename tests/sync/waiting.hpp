// What the tests of the primitives share: tasks that wait, in an order to be checked.
#pragma once

#include <heirloop/sched/operations.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heirloop::testing {

/// A loop under `strict` in virtual time, and who did what in which order.
class StrictTest : public ::testing::Test {
 public:
  Sim sim{{.policy = PolicyKind::strict}};
  Order order;
};

/// Runs up to its first suspension.
inline PriorityTask<void> start(Coro<void> coro, double priority = 0, std::string_view name = {}) {
  return create_task(std::move(coro), {.name = name, .priority = priority, .eager_start = true});
}

/// Six that wait, of three priorities: `make(name)` gives the coroutine.
template <class Make>
std::vector<PriorityTask<void>> start_six(Make& make) {
  std::vector<PriorityTask<void>> tasks;
  for (const char* name : {"n1", "n2"}) tasks.push_back(start(make(name), 0));
  for (const char* name : {"l1", "l2"}) tasks.push_back(start(make(name), 10));
  for (const char* name : {"h1", "h2"}) tasks.push_back(start(make(name), -10));
  return tasks;
}
inline const Order six_in_order{"h1", "h2", "n1", "n2", "l1", "l2"};

inline Coro<void> ended(std::vector<PriorityTask<void>>& tasks) {
  for (const auto& task : tasks) co_await task;
}

/// `test(sim)` under each policy that goes by priority.
template <class Test>
void by_priority(Test test) {
  for (const PolicyKind policy : {PolicyKind::strict, PolicyKind::aging}) {
    SCOPED_TRACE(std::string(to_string(policy)));
    LoopOptions options;
    options.policy = policy;
    Sim sim(options);
    test(sim);
  }
}

/// Stops a task that is ready or blocked, in one of three ways; the call that does it has returned then.
inline const std::vector<std::string> ways_to_stop{"cancel", "throw", "interrupt"};
inline Coro<void> stop(TaskRef task, std::string way) {
  if (way == "cancel") {
    EXPECT_TRUE(task.cancel());
  } else if (way == "throw") {
    task_throw(task, InterruptException());
  } else {
    EXPECT_EQ(co_await task_interrupt(task, InterruptException()), InterruptOutcome::ended);
  }
}

/// Marks a task that has ended by an exception as looked after.
inline bool was_stopped(const TaskRef& task) { return task.done() && (task.cancelled() || task.exception() != nullptr); }

}  // namespace heirloop::testing
