// The rows of table B of the features (structured concurrency and time), in its order: the names of its first
// two columns and each clause of the third, through the public headers. Those that need threads are in
// features_b_thread_test.cpp.
#include <heirloop/heirloop.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

/// Says whether it ended or was cancelled.
Coro<int> note_after(std::chrono::milliseconds span, Order& order, std::string what, int value = 0) {
  try {
    co_await sleep(span);
  } catch (const Cancelled&) {
    order.push_back(what + " cancelled");
    throw;
  }
  order.push_back(what);
  co_return value;
}
Coro<int> give_after(std::chrono::milliseconds span, int value) { co_return co_await sleep(span, value); }
Coro<int> fail_after(std::chrono::milliseconds span, std::string what) {
  co_await sleep(span);
  throw std::runtime_error(what);
}
std::chrono::nanoseconds now() { return loop_time().time_since_epoch(); }

std::vector<std::string> texts(const ExceptionGroup& group) {
  std::vector<std::string> all;
  for (const std::exception_ptr& error : group.exceptions()) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      all.emplace_back(e.what());
    }
  }
  return all;
}

// ---- TaskGroup ----

TEST(FeaturesB, TaskGroup_cancels_the_rest_and_the_body_at_the_first_failure) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    bool thrown = false;
    try {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.create_task(fail_after(1ms, "failed"));
        group.create_task(note_after(9ms, o, "child"));
        co_await note_after(9ms, o, "body");
      });
    } catch (const ExceptionGroup& failures) {
      thrown = true;
      EXPECT_THAT(texts(failures), ElementsAre("failed"));
    }
    EXPECT_TRUE(thrown);
    EXPECT_EQ(current_task().cancelling(), 0U);
    EXPECT_EQ(now(), 1ms);
  }(order));
  EXPECT_THAT(order, ::testing::UnorderedElementsAre("child cancelled", "body cancelled"));
}

TEST(FeaturesB, TaskGroup_gathers_all_failures_in_one_ExceptionGroup) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto fails_on_cancel = []() -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        throw std::runtime_error("second");
      }
    };
    std::vector<std::string> what;
    try {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.create_task(fails_on_cancel());
        group.create_task(fail_after(1ms, "first"));
        try {
          co_await sleep(1h);
        } catch (const Cancelled&) {
          throw std::runtime_error("body");
        }
      });
    } catch (const ExceptionGroup& failures) {
      what = texts(failures);
    }
    EXPECT_THAT(what, ::testing::UnorderedElementsAre("first", "second", "body"));
  }());
}

TEST(FeaturesB, TaskGroup_takes_new_tasks_until_the_block_ends) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
      group.create_task([](TaskGroup& g, Order& out) -> Coro<void> {
        co_await sleep(1ms);
        g.create_task(note_after(1ms, out, "by a child, as the body has ended"));
      }(group, o));
      o.push_back("body");
      co_return;
    });
    EXPECT_EQ(now(), 2ms) << "the block waited for the one that joined last";
    o.push_back("after");
  }(order));
  EXPECT_EQ(order, (Order{"body", "by a child, as the body has ended", "after"}));
}

// ---- TaskGroup::start, start_soon, eager variants ----

TEST(FeaturesB, start_returns_the_value_that_the_child_reported_when_ready) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto service = [&o](TaskStatus<int> status) -> Coro<void> {
      co_await sleep(2ms);
      status.started(8080);
      co_await note_after(5ms, o, "service ended");
    };
    co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
      EXPECT_EQ(co_await group.start<int>(service), 8080);
      EXPECT_EQ(now(), 2ms);
      EXPECT_EQ(group.size(), 1U) << "the child goes on";
      o.push_back("body ended");
    });
    EXPECT_EQ(now(), 7ms);
  }(order));
  EXPECT_EQ(order, (Order{"body ended", "service ended"}));
}

TEST(FeaturesB, start_soon_and_the_eager_variants_of_all_three) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto note = [](Order& out, std::string what) -> Coro<void> {
      out.push_back(what);
      co_await sleep(1ms);
    };
    const auto ready_at_once = [&o](TaskStatus<> status) -> Coro<void> {
      o.push_back("eager start");
      status.started();
      co_await sleep(1ms);
    };
    co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
      group.start_soon(note(o, "soon"));
      group.start_soon(note(o, "eager start_soon"), {.eager_start = true});
      EXPECT_EQ(group.create_task(note(o, "eager create_task"), {.eager_start = true}).state(),
                TaskState::blocked);
      co_await group.start(ready_at_once, {.eager_start = true});
      o.push_back("body");
    });
  }(order));
  EXPECT_EQ(order, (Order{"eager start_soon", "eager create_task", "eager start", "body", "soon"}));
}

// ---- sleep(delay, result), sleep(0) ----

TEST(FeaturesB, sleep_gives_its_result_after_its_delay) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    EXPECT_EQ(co_await sleep(5ms, std::string("done")), "done");
    EXPECT_EQ(now(), 5ms);
    EXPECT_EQ(*co_await sleep(0ms, std::make_unique<int>(6)), 6);
    co_await sleep(1500us);
    EXPECT_EQ(now(), 6500us);
  }());
}

TEST(FeaturesB, sleep_0_goes_to_the_end_of_its_own_priority) {
  Sim sim({.policy = PolicyKind::strict});
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto note = [](Order& out, std::string what) -> Coro<void> {
      out.push_back(what);
      co_return;
    };
    create_task(note(o, "less urgent"), {.priority = priority::low});
    create_task(note(o, "equal"));
    create_task(note(o, "another equal"));
    create_task(note(o, "more urgent"), {.priority = priority::high});
    co_await sleep(0);
    o.push_back("slept");
    co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order, (Order{"more urgent", "equal", "another equal", "slept", "less urgent"}));
}

// ---- gather ----

TEST(FeaturesB, gather_gives_results_in_argument_order_as_a_tuple_or_of_a_range) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto text = []() -> Coro<std::string> { co_return co_await sleep(1ms, std::string("text")); };
    Promise<double> promise;
    call_later(2ms, [&] { promise.set_value(1.5); });
    const auto all =
        co_await gather(give_after(3ms, 3), text(), create_task(give_after(0ms, 4)), promise.future());
    static_assert(std::is_same_v<decltype(all), const std::tuple<int, std::string, int, double>>);
    EXPECT_EQ(all, std::make_tuple(3, std::string("text"), 4, 1.5));
    EXPECT_EQ(now(), 3ms);
    std::vector<Coro<int>> range;
    for (const int value : {3, 1, 2}) range.push_back(give_after(std::chrono::milliseconds(value), value));
    EXPECT_THAT(co_await gather(std::move(range)), ElementsAre(3, 1, 2));
  }());
}

TEST(FeaturesB, gather_throws_the_first_failure_or_returns_exceptions) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto goes_on = create_task(give_after(5ms, 5));
    EXPECT_THROW(co_await gather(goes_on, fail_after(1ms, "failed")), std::runtime_error);
    EXPECT_EQ(now(), 1ms) << "at once";
    EXPECT_EQ(co_await goes_on, 5);
    const auto [value, failure] =
        co_await gather(return_exceptions, give_after(2ms, 2), fail_after(1ms, "failed"));
    EXPECT_EQ(value.value(), 2);
    EXPECT_FALSE(failure.has_value());
    EXPECT_THROW(std::rethrow_exception(failure.error()), std::runtime_error);
    std::vector<Coro<int>> range;
    range.push_back(fail_after(2ms, "failed"));
    range.push_back(give_after(1ms, 1));
    const auto outcomes = co_await gather(return_exceptions, std::move(range));
    EXPECT_FALSE(outcomes.at(0).has_value());
    EXPECT_EQ(outcomes.at(1).value(), 1);
  }());
}

// ---- shield ----

TEST(FeaturesB, shield_keeps_a_cancel_from_what_is_awaited) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto inner = create_task(note_after(5ms, o, "inner", 7));
    const auto outer = create_task([](PriorityTask<int> task) -> Coro<void> { co_await shield(task); }(inner),
                                   {.eager_start = true});
    EXPECT_TRUE(outer.cancel());
    co_await sleep(1ms);
    EXPECT_TRUE(outer.cancelled());
    EXPECT_EQ(inner.cancelling(), 0U);
    EXPECT_EQ(co_await inner, 7);
    EXPECT_EQ(co_await shield(give_after(1ms, 8)), 8) << "a coroutine becomes a task";
  }(order));
  EXPECT_EQ(order, Order{"inner"});
}

// ---- timeout, timeout_at, when, reschedule, expired ----

TEST(FeaturesB, timeout_becomes_an_error_only_outside_its_block) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto body = [&o](TimeLimit& limit) -> Coro<void> {
      EXPECT_FALSE(limit.expired());
      try {
        co_await sleep(1h);
      } catch (const TimeoutError&) {
        o.push_back("too early");
      } catch (const Cancelled&) {
        EXPECT_TRUE(limit.expired());
        o.push_back("cancelled inside");
        throw;
      }
    };
    try {
      co_await timeout(5ms, body);
    } catch (const TimeoutError&) {
      o.push_back("error outside");
    }
    EXPECT_EQ(now(), 5ms);
    EXPECT_EQ(current_task().cancelling(), 0U);
    EXPECT_THROW(co_await timeout_at(loop_time() + 2ms, body), TimeoutError);
    EXPECT_EQ(now(), 7ms);
    EXPECT_EQ(co_await timeout(1h, [] { return give_after(1ms, 3); }), 3);
  }(order));
  EXPECT_EQ(order, (Order{"cancelled inside", "error outside", "cancelled inside"}));
}

TEST(FeaturesB, timeout_says_when_and_can_be_rescheduled) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto body = [](TimeLimit& limit) -> Coro<void> {
      EXPECT_EQ(limit.when(), loop_time() + 5ms);
      co_await sleep(4ms);
      limit.reschedule(loop_time() + 4ms);
      co_await sleep(3ms);
      limit.reschedule(std::nullopt);
      EXPECT_EQ(limit.when(), std::nullopt);
      co_await sleep(1h);
      EXPECT_FALSE(limit.expired());
      limit.reschedule(loop_time() + 1ms);
      co_await sleep(1h);
    };
    EXPECT_THROW(co_await timeout(5ms, body), TimeoutError);
    EXPECT_EQ(now(), 1h + 8ms);
  }());
}

TEST(FeaturesB, timeout_nests) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto nested = [&o](std::chrono::milliseconds outer, std::chrono::milliseconds inner) -> Coro<void> {
      const auto sleeps = []() -> Coro<void> { co_await sleep(1h); };
      const auto inner_block = [&]() -> Coro<void> {
        try {
          co_await timeout(inner, sleeps);
        } catch (const TimeoutError&) {
          o.push_back("inner");
        }
        co_await sleep(5ms);
        o.push_back("inner block ended");
      };
      try {
        co_await timeout(outer, inner_block);
      } catch (const TimeoutError&) {
        o.push_back("outer");
      }
    };
    co_await nested(10ms, 2ms);
    co_await nested(2ms, 10ms);
    co_await nested(4ms, 2ms);
  }(order));
  EXPECT_EQ(order, (Order{"inner", "inner block ended", "outer", "inner", "outer"}));
}

TEST(FeaturesB, timeout_works_under_eager_start) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto limited = []() -> Coro<std::string> {
      try {
        co_await timeout(2ms, []() -> Coro<void> { co_await sleep(1h); });
      } catch (const TimeoutError&) {
        co_return "timed out";
      }
      co_return "?";
    };
    const auto task = create_task(limited(), {.eager_start = true});
    EXPECT_EQ(task.state(), TaskState::blocked);
    EXPECT_EQ(co_await task, "timed out");
    EXPECT_EQ(now(), 2ms);
  }());
}

// ---- wait_for, wait, as_completed ----

TEST(FeaturesB, wait_for_gives_the_value_in_time_and_else_cancels) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    EXPECT_EQ(co_await wait_for(give_after(1ms, 1), 2ms), 1);
    EXPECT_THROW(co_await wait_for(note_after(5ms, o, "coroutine"), 2ms), TimeoutError);
    const auto task = create_task(note_after(5ms, o, "task"));
    EXPECT_THROW(co_await wait_for(task, 2ms), TimeoutError);
    EXPECT_TRUE(task.cancelled());
    Promise<int> promise;
    EXPECT_THROW(co_await wait_for(promise.future(), 2ms), TimeoutError);
    EXPECT_TRUE(promise.cancelled());
    EXPECT_EQ(now(), 7ms);
  }(order));
  EXPECT_EQ(order, (Order{"coroutine cancelled", "task cancelled"}));
}

TEST(FeaturesB, wait_returns_at_the_first_completed_the_first_exception_or_when_all_have) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const std::vector<PriorityTask<int>> tasks{
        create_task(give_after(4ms, 4)), create_task(give_after(1ms, 1)),
        create_task(fail_after(2ms, "failed")), create_task(give_after(3ms, 3))};
    const auto first = co_await wait(tasks, ReturnWhen::first_completed);
    EXPECT_THAT(first.done, ElementsAre(tasks[1]));
    EXPECT_THAT(first.pending, ElementsAre(tasks[0], tasks[2], tasks[3]));
    EXPECT_EQ(now(), 1ms);
    const auto failed = co_await wait(first.pending, ReturnWhen::first_exception);
    EXPECT_THAT(failed.done, ElementsAre(tasks[2]));
    EXPECT_EQ(now(), 2ms);
    EXPECT_NE(tasks[2].exception(), nullptr);
    const auto in_time = co_await wait(failed.pending, ReturnWhen::all_completed, 1500us);
    EXPECT_THAT(in_time.done, ElementsAre(tasks[3]));
    EXPECT_THAT(in_time.pending, ElementsAre(tasks[0]));
    const auto all = co_await wait(tasks);
    EXPECT_EQ(all.done, tasks);
    EXPECT_EQ(now(), 4ms);
  }());
}

TEST(FeaturesB, as_completed_gives_tasks_as_they_end) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<int>> tasks;
    for (const int value : {3, 1, 2})
      tasks.push_back(create_task(give_after(std::chrono::milliseconds(value), value)));
    std::vector<int> order;
    auto completed = as_completed(tasks);
    while (const auto task = co_await completed.next()) {
      order.push_back(task.result());
      EXPECT_EQ(now(), std::chrono::milliseconds(task.result()));
    }
    EXPECT_THAT(order, ElementsAre(1, 2, 3));
    std::vector<Coro<int>> coros;
    coros.push_back(give_after(2ms, 2));
    coros.push_back(give_after(1ms, 1));
    auto of_coros = as_completed(std::move(coros));
    EXPECT_EQ((co_await of_coros.next()).result(), 1);
    EXPECT_EQ((co_await of_coros.next()).result(), 2);
    EXPECT_FALSE(co_await of_coros.next());
  }());
}

}  // namespace
}  // namespace heirloop::testing
