// Future and Promise.
#include <heirloop/sched/future.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

TEST(Future, gives_its_value_to_all_who_wait) {
  Sim sim;
  int sum = 0;
  sim.run([](int& total) -> Coro<void> {
    Promise<int> promise;
    const auto adds = [](Future<int> future, int& into) -> Coro<void> { into += co_await future; };
    for (int i = 0; i < 3; ++i) create_task(adds(promise.future(), total));
    co_await sleep(1ms);
    EXPECT_EQ(total, 0);
    promise.set_value(5);
    EXPECT_THROW(promise.set_value(6), InvalidStateError);
    co_await sleep(0);
    EXPECT_EQ(total, 15);
    total += co_await promise.future();
  }(sum));
  EXPECT_EQ(sum, 20);
}

TEST(Future, moves_a_move_only_value_out) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<std::unique_ptr<int>> promise;
    promise.set_value(std::make_unique<int>(3));
    auto value = co_await promise.future();
    EXPECT_EQ(*value, 3);
  }());
}

TEST(Future, throws_the_exception_that_was_set) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<void> promise;
    Future<void> future = promise.future();
    EXPECT_THROW(future.result(), InvalidStateError);
    promise.set_exception(std::out_of_range("far"));
    bool thrown = false;
    try {
      co_await future;
    } catch (const std::out_of_range&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    EXPECT_THROW(future.result(), std::out_of_range);
  }());
}

TEST(Future, is_broken_when_its_promise_goes) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Future<int> future;
    EXPECT_THROW(future.done(), InvalidStateError);
    {
      Promise<int> promise;
      future = promise.future();
      Promise<int> moved = std::move(promise);
      EXPECT_FALSE(future.done());
    }
    bool thrown = false;
    try {
      co_await future;
    } catch (const BrokenPromise&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  }());
}

TEST(Future, lends_to_its_named_owner) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    const auto sleeps = []() -> Coro<void> { co_await sleep(1s); };
    const auto waits = [](Future<int> future) -> Coro<void> { co_await future; };
    const auto first = create_task(sleeps(), {.priority = 5});
    const auto second = create_task(sleeps(), {.priority = 6});
    const auto waiter = create_task(waits(promise.future()), {.priority = -4, .eager_start = true});
    EXPECT_EQ(first.effective_priority(), 5.0);
    promise.set_owner(first);
    EXPECT_EQ(first.effective_priority(), -4.0);
    promise.set_owner(second);
    EXPECT_EQ(first.effective_priority(), 5.0);
    EXPECT_EQ(second.effective_priority(), -4.0);
    promise.set_owner({});
    EXPECT_EQ(second.effective_priority(), 6.0);
    promise.set_owner(second);
    EXPECT_THROW(promise.set_owner(waiter), DeadlockError);
    EXPECT_EQ(second.effective_priority(), -4.0);
    EXPECT_EQ(waiter.effective_priority(), -4.0);
    promise.set_value(1);
    EXPECT_EQ(second.effective_priority(), 6.0);
    co_await waiter;
  }());
}

TEST(Future, tells_who_waits_that_its_owner_died) {
  const LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    const auto ends = []() -> Coro<void> { co_await sleep(1ms); };
    const auto owner = create_task(ends(), {.name = "giver"});
    promise.set_owner(owner);
    bool thrown = false;
    try {
      co_await promise.future();
    } catch (const OwnerDied&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    EXPECT_THROW(promise.set_owner(owner), InvalidStateError);
    promise.set_value(2);
    EXPECT_EQ(co_await promise.future(), 2);
  }());
  EXPECT_EQ(log.count("giver ended and left a future"), 1U) << log.text();
}

}  // namespace
}  // namespace heirloop::testing
