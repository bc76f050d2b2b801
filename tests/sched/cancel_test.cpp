// Cancelling: messages, counts, forwarding through awaits, swallowing, cancelling oneself.
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

PriorityTask<void> start(Coro<void> coro) { return create_task(std::move(coro), {.eager_start = true}); }

Coro<void> sleeps() { co_await sleep(1h); }

template <class T>
Coro<void> joins(PriorityTask<T> inner) {
  co_await inner;
}

std::string message_of(const TaskRef& task) {
  try {
    (void)task.exception();
  } catch (const Cancelled& cancelled) {
    return cancelled.message();
  }
  return "not cancelled";
}

TEST(Cancel, ends_the_task_with_the_message) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = start(sleeps());
    EXPECT_EQ(task.cancelling(), 0U);
    EXPECT_TRUE(task.cancel("because"));
    EXPECT_FALSE(task.done());
    EXPECT_FALSE(task.cancelled());
    co_await sleep(0);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(message_of(task), "because");
    EXPECT_FALSE(task.cancel());
    EXPECT_EQ(task.cancelling(), 1U);
    EXPECT_THROW(task.result(), Cancelled);
    bool thrown = false;
    try {
      co_await task;
    } catch (const Cancelled& cancelled) {
      thrown = cancelled.message() == "because";
    }
    EXPECT_TRUE(thrown);
  }());
}

TEST(Cancel, goes_to_what_is_awaited_first_and_comes_back_through_all) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto inner = start(sleeps());
    auto middle = start(joins(inner));
    auto outer = start(joins(middle));
    auto beside = start(joins(inner));
    EXPECT_TRUE(outer.cancel("travels"));
    EXPECT_EQ(inner.state(), TaskState::ready);
    EXPECT_EQ(middle.state(), TaskState::blocked);
    EXPECT_EQ(outer.state(), TaskState::blocked);
    EXPECT_EQ(inner.cancelling(), 1U);
    EXPECT_EQ(middle.cancelling(), 1U);
    EXPECT_EQ(outer.cancelling(), 1U);
    EXPECT_EQ(beside.cancelling(), 0U);
    co_await sleep(1ms);
    for (const auto& task : {inner, middle, outer, beside}) {
      EXPECT_TRUE(task.cancelled()) << task.name();
      EXPECT_EQ(message_of(task), "travels");
    }
  }());
}

TEST(Cancel, is_decided_by_what_is_awaited) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto inner = create_task(
        []() -> Coro<int> {
          try {
            co_await sleep(1h);
          } catch (const Cancelled&) {
          }
          co_await sleep(1ms);
          co_return 5;
        }(),
        {.eager_start = true});
    int value = 0;
    auto outer = start([](PriorityTask<int> task, int& v) -> Coro<void> { v = co_await task; }(inner, value));
    outer.cancel();
    co_await outer;
    EXPECT_EQ(value, 5);
    EXPECT_FALSE(outer.cancelled());
    EXPECT_EQ(outer.cancelling(), 1U);
  }());
}

TEST(Cancel, is_delivered_again_by_a_further_one_during_clean_up) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    auto task = start([](Order& o) -> Coro<void> {
      for (int i = 0; i < 2; ++i) {
        try {
          co_await sleep(1h);
        } catch (const Cancelled& cancelled) {
          o.push_back(cancelled.message());
        }
      }
    }(order));
    task.cancel("one");
    co_await sleep(0);
    task.cancel("two");
    co_await task;
    EXPECT_EQ(order, (Order{"one", "two"}));
    EXPECT_EQ(task.cancelling(), 2U);
  }());
}

TEST(Cancel, of_oneself_comes_at_the_next_suspension) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    auto task = start([](Order& o) -> Coro<void> {
      PriorityLock lock;
      co_await sleep(0);
      EXPECT_TRUE(current_task().cancel("me"));
      {
        auto held = co_await lock.acquire();  // does not suspend
        o.push_back("went on");
      }
      auto done = start([]() -> Coro<void> { co_return; }());
      co_await done;  // nor does this
      o.push_back("and on");
      try {
        co_await sleep(1h);
        o.push_back("slept");
      } catch (const Cancelled& cancelled) {
        o.push_back("cancelled " + cancelled.message());
      }
    }(order));
    co_await task;
    EXPECT_EQ(order, (Order{"went on", "and on", "cancelled me"}));
  }());
  EXPECT_EQ(sim.driver.now_ns(), 0);
}

TEST(Cancel, is_taken_back_by_uncancel_while_undelivered) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = start([]() -> Coro<void> {
      const TaskRef me = current_task();
      me.cancel();
      me.cancel();
      EXPECT_EQ(me.cancelling(), 2U);
      EXPECT_EQ(me.uncancel(), 1U);
      EXPECT_EQ(me.uncancel(), 0U);
      EXPECT_EQ(me.uncancel(), 0U);
      co_await sleep(1ms);
    }());
    co_await task;
    EXPECT_FALSE(task.cancelled());
  }());
}

TEST(Cancel, of_a_task_that_waits_goes_through_though_it_is_uncounted) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = start(sleeps());
    task.cancel("its wait is withdrawn already");
    EXPECT_EQ(task.uncancel(), 0U);
    co_await sleep(0);
    EXPECT_TRUE(task.cancelled());
  }());
}

TEST(Cancel, that_was_swallowed_can_be_uncounted) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = start([]() -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        EXPECT_EQ(current_task().uncancel(), 0U);
      }
      co_await sleep(1ms);
    }());
    task.cancel();
    co_await task;
    EXPECT_EQ(task.cancelling(), 0U);
  }());
}

TEST(Cancel, of_a_task_that_awaits_its_canceller_comes_to_the_canceller) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto canceller = create_task([]() -> Coro<void> {
      auto child = start([](TaskRef parent) -> Coro<void> {
        co_await PriorityTask<void>(static_cast<detail::TaskBlock<void>*>(parent.get()));
      }(current_task()));
      child.cancel("round");
      EXPECT_EQ(current_task().cancelling(), 1U);
      EXPECT_EQ(child.state(), TaskState::blocked);
      co_await sleep(1h);
    }());
    bool thrown = false;
    try {
      co_await canceller;
    } catch (const Cancelled& cancelled) {
      thrown = cancelled.message() == "round";
    }
    EXPECT_TRUE(thrown);
  }());
  EXPECT_EQ(sim.driver.now_ns(), 0);
}

TEST(Cancel, of_a_task_whose_awaited_task_has_ended_comes_to_itself) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto inner = start([]() -> Coro<void> { co_await sleep(1ms); }());
    auto outer = start(joins(inner));
    co_await inner;
    EXPECT_TRUE(inner.done());
    if (!outer.done()) outer.cancel("late");
    co_await sleep(1ms);
    EXPECT_TRUE(outer.done());
    EXPECT_FALSE(inner.cancelled());
  }());
}

}  // namespace
}  // namespace heirloop::testing
