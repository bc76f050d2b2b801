// Clean-up that may wait: ensure, and the shield around it.
#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/sched/interrupt.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Coro<void> note_after(std::chrono::milliseconds span, Order& order, std::string what) {
  co_await sleep(span);
  order.push_back(what);
}
Coro<void> fail(std::string what) {
  co_await sleep(1ms);
  throw std::runtime_error(what);
}

/// Notes each step of a body and its clean-up, of 2 ms each.
Coro<void> noted_ensure(Order& order, TimeSpan shielded) {
  try {
    co_await ensure([&] { return note_after(2ms, order, "body"); }, [&] { return note_after(2ms, order, "clean-up"); }, shielded);
    order.push_back("end");
    co_await sleep(2ms);
    order.push_back("behind");
  } catch (const Cancelled& cancelled) {
    order.push_back("cancelled: " + cancelled.message());
  } catch (const InterruptException&) {
    order.push_back("interrupted");
  }
}

TEST(Ensure, gives_the_bodys_value_behind_the_clean_up) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto body = []() -> Coro<int> { co_return 7; };
    EXPECT_EQ(co_await ensure(body, [&] { return note_after(1ms, o, "clean-up"); }), 7);
  }(order));
  EXPECT_EQ(order, Order{"clean-up"});
}

TEST(Ensure, throws_what_has_failed_and_both_when_both_have) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto good = [&] { return note_after(1ms, order, "good"); };
    EXPECT_THROW(co_await ensure([] { return fail("body"); }, good), std::runtime_error);
    EXPECT_THROW(co_await ensure(good, [] { return fail("clean-up"); }), std::runtime_error);
    EXPECT_EQ(order, (Order{"good", "good"}));
    std::string text;
    try {
      co_await ensure([] { return fail("first"); }, [] { return fail("second"); });
    } catch (const ExceptionGroup& group) {
      text = group.what();
    }
    EXPECT_THAT(text, HasSubstr("first"));
    EXPECT_THAT(text, HasSubstr("second"));
  }());
}

TEST(Ensure, a_cancel_ends_the_body_and_runs_the_clean_up) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto task = create_task(noted_ensure(o, std::nullopt));
    co_await sleep(1ms);
    task.cancel("early");
    co_await task;
  }(order));
  EXPECT_EQ(order, (Order{"clean-up", "cancelled: early"}));
}

TEST(Ensure, a_cancel_during_the_clean_up_comes_behind_it) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto task = create_task(noted_ensure(o, std::nullopt));
    co_await sleep(3ms);
    task.cancel("first");
    task.cancel("second");
    EXPECT_EQ(task.cancelling(), 2U);
    co_await task;
    EXPECT_EQ(task.cancelling(), 2U);
  }(order));
  EXPECT_EQ(order, (Order{"body", "clean-up", "end", "cancelled: first"}));
}

TEST(Ensure, is_shielded_as_long_as_it_says) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto task = create_task(noted_ensure(o, 1ms));
    co_await sleep(2ms + 500us);
    task.cancel("held for half a millisecond");
    EXPECT_EQ(task.state(), TaskState::blocked);
    co_await task;
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 3ms);
    const auto lifts = [](Order& out) -> Coro<void> {
      const auto clean_up = [&](Shield& shield) -> Coro<void> {
        co_await sleep(2ms);
        out.push_back("lifts");
        shield.lift();
        co_await sleep(2ms);
        out.push_back("not reached");
      };
      co_await ensure([&] { return note_after(1ms, out, "body"); }, clean_up);
    };
    auto other = create_task(lifts(o));
    co_await sleep(2ms);
    other.cancel();
    while (!other.done()) co_await sleep(1ms);
    EXPECT_TRUE(other.cancelled());
  }(order));
  EXPECT_EQ(order, (Order{"body", "cancelled: held for half a millisecond", "body", "lifts"}));
}

TEST(Ensure, what_the_clean_up_awaits_is_not_cancelled_from_outside) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    auto helper = create_task(note_after(3ms, order, "helper"));
    const auto main = [](PriorityTask<void> other) -> Coro<void> {
      co_await ensure([]() -> Coro<void> { co_return; }, [&]() -> Coro<void> { co_await other; });
    };
    auto task = create_task(main(helper));
    co_await sleep(1ms);
    task.cancel();
    EXPECT_EQ(helper.cancelling(), 0U);
    co_await helper;
    EXPECT_EQ(order, Order{"helper"});
  }());
}

TEST(Ensure, an_interrupt_gets_through) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto task = create_task(noted_ensure(o, std::nullopt));
    co_await sleep(3ms);
    EXPECT_EQ(co_await task_interrupt(task, InterruptException()), InterruptOutcome::ended);
  }(order));
  EXPECT_EQ(order, (Order{"body", "interrupted"}));
}

TEST(Ensure, limits_and_groups_inside_the_clean_up_work) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto clean_up = [&]() -> Coro<void> {
      EXPECT_FALSE(co_await move_on_after(1ms, [&] { return note_after(9ms, order, "too late"); }));
      bool failed = false;
      try {
        co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
          group.create_task(fail("child"));
          co_await sleep(9ms);
          order.push_back("the body was not cancelled");
        });
      } catch (const ExceptionGroup&) {
        failed = true;
      }
      EXPECT_TRUE(failed);
      order.push_back("clean");
    };
    current_task().cancel("held");
    bool cancelled = false;
    try {
      co_await ensure([]() -> Coro<void> { co_return; }, clean_up);
      co_await sleep(0);
    } catch (const Cancelled& c) {
      cancelled = c.message() == "held";
    }
    EXPECT_TRUE(cancelled);
    EXPECT_EQ(order, Order{"clean"});
  }());
}

TEST(Ensure, uncancel_withdraws_what_is_held) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto clean_up = []() -> Coro<void> {
      current_task().cancel();
      co_await sleep(1ms);
      EXPECT_EQ(current_task().uncancel(), 0U);
    };
    co_await ensure([]() -> Coro<void> { co_return; }, clean_up);
    co_await sleep(1ms);
  }());
}

TEST(Ensure, uncancel_of_one_of_two_withdraws_nothing) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool swallowed = false;
    try {
      current_task().cancel("delivered");
      co_await sleep(1ms);
    } catch (const Cancelled&) {
      swallowed = true;
    }
    EXPECT_TRUE(swallowed);
    const auto clean_up = []() -> Coro<void> {
      current_task().cancel("held");
      co_await sleep(1ms);
      EXPECT_EQ(current_task().uncancel(), 1U);
    };
    std::string message;
    try {
      co_await ensure([]() -> Coro<void> { co_return; }, clean_up);
      co_await sleep(1ms);
    } catch (const Cancelled& cancelled) {
      message = cancelled.message();
    }
    EXPECT_EQ(message, "held");
  }());
}

TEST(Ensure, shields_nest) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto inner = [&]() -> Coro<void> {
      co_await ensure([&] { return note_after(2ms, o, "inner body"); }, [&] { return note_after(2ms, o, "inner clean-up"); });
      co_await sleep(1ms);
      o.push_back("still shielded");
    };
    const auto main = [&]() -> Coro<void> {
      co_await ensure([]() -> Coro<void> { co_return; }, inner);
      co_await sleep(1ms);
      o.push_back("not reached");
    };
    auto task = create_task(main());
    co_await sleep(3ms);
    task.cancel();
    while (!task.done()) co_await sleep(1ms);
    EXPECT_TRUE(task.cancelled());
  }(order));
  EXPECT_EQ(order, (Order{"inner body", "inner clean-up", "still shielded"}));
}

}  // namespace
}  // namespace heirloop::testing
