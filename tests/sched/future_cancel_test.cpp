// Futures that are cancelled, by name or with a task that waits for them; exceptions of futures that nobody fetched.
#include <heirloop/sched/future.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// "value N", or what was thrown.
Coro<void> awaits(Future<int> future, Order& order) {
  try {
    order.push_back("value " + std::to_string(co_await future));
  } catch (const Cancelled& cancelled) {
    order.push_back("cancelled: " + cancelled.message());
  } catch (const std::exception& error) {
    order.push_back(error.what());
  }
}

TEST(FutureCancel, ends_all_waits_and_the_promises_right_to_set) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    Promise<int> promise;
    const Future<int> future = promise.future();
    create_task(awaits(future, order), {.eager_start = true});
    create_task(awaits(future, order), {.eager_start = true});
    EXPECT_FALSE(future.cancelled());
    EXPECT_FALSE(promise.cancelled());
    EXPECT_TRUE(future.cancel("enough"));
    EXPECT_EQ(order, Order{}) << "it makes them ready, no more";
    EXPECT_TRUE(future.done());
    EXPECT_TRUE(future.cancelled());
    EXPECT_TRUE(promise.cancelled());
    EXPECT_FALSE(future.cancel("again"));
    EXPECT_THROW(promise.set_value(1), InvalidStateError);
    EXPECT_THROW(promise.set_exception(std::runtime_error("late")), InvalidStateError);
    EXPECT_THROW(future.result(), Cancelled);
    EXPECT_THROW((void)future.exception(), Cancelled);
    co_await sleep(0);
    EXPECT_EQ(order, (Order{"cancelled: enough", "cancelled: enough"}));
    co_await awaits(future, order);
    EXPECT_EQ(order.back(), "cancelled: enough");
  }());
}

TEST(FutureCancel, has_no_effect_on_an_outcome) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    EXPECT_THROW((void)promise.future().exception(), InvalidStateError);
    promise.set_value(3);
    EXPECT_FALSE(promise.future().cancel());
    EXPECT_FALSE(promise.future().cancelled());
    EXPECT_EQ(promise.future().result(), 3);
    EXPECT_EQ(promise.future().exception(), nullptr);
    Promise<void> failed;
    failed.set_exception(std::runtime_error("that"));
    EXPECT_FALSE(failed.future().cancel());
    EXPECT_THROW(std::rethrow_exception(failed.future().exception()), std::runtime_error);
    EXPECT_THROW((void)Future<int>().cancel(), InvalidStateError);
    co_return;
  }());
}

TEST(FutureCancel, comes_first_when_a_task_that_waits_for_it_is_cancelled) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const Promise<int> promise;
    const auto first = create_task(awaits(promise.future(), order), {.eager_start = true});
    const auto second = create_task(awaits(promise.future(), order), {.eager_start = true});
    EXPECT_TRUE(first.cancel("through a task"));
    EXPECT_TRUE(promise.cancelled()) << "in the same call";
    EXPECT_EQ(first.cancelling(), 1U);
    EXPECT_EQ(second.cancelling(), 0U);
    co_await sleep(0);
    EXPECT_EQ(order, (Order{"cancelled: through a task", "cancelled: through a task"})) << "who else waits gets it too";
    EXPECT_FALSE(first.cancelled()) << "it has caught it";
  }());
}

TEST(FutureCancel, is_reached_through_a_chain_of_tasks) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const Promise<int> promise;
    const auto inner = create_task([](Future<int> f) -> Coro<int> { co_return co_await f; }(promise.future()),
                                   {.eager_start = true});
    const auto outer = create_task([](PriorityTask<int> t) -> Coro<int> { co_return co_await t; }(inner),
                                   {.eager_start = true});
    outer.cancel("down");
    EXPECT_TRUE(promise.cancelled());
    co_await sleep(1ms);
    EXPECT_TRUE(inner.cancelled());
    EXPECT_TRUE(outer.cancelled());
  }());
}

TEST(FutureCancel, by_a_task_takes_the_owners_debt_away) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    Promise<int> promise;
    const auto owner = create_task([]() -> Coro<void> { co_await sleep(1h); }(), {.priority = 5});
    promise.set_owner(owner);
    const auto waiter = create_task(awaits(promise.future(), order), {.priority = -5, .eager_start = true});
    EXPECT_EQ(owner.effective_priority(), -5);
    waiter.cancel();
    EXPECT_EQ(owner.effective_priority(), 5);
    owner.cancel();
    co_await waiter;
  }());
}

TEST(FutureCancel, is_not_what_an_interrupt_does) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    Promise<int> promise;
    const auto other = create_task(awaits(promise.future(), order), {.eager_start = true});
    const auto victim = create_task(awaits(promise.future(), order), {.eager_start = true});
    EXPECT_EQ(co_await task_interrupt(victim, std::runtime_error("interrupted")), InterruptOutcome::ended);
    EXPECT_EQ(order, Order{"interrupted"});
    EXPECT_FALSE(promise.done());
    promise.set_value(8);
    co_await other;
    EXPECT_EQ(order, (Order{"interrupted", "value 8"}));
  }());
}

TEST(FutureCancel, between_the_outcome_and_the_run_leaves_the_outcome) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    Promise<int> promise;
    const auto waiter = create_task(awaits(promise.future(), order), {.eager_start = true});
    promise.set_value(8);
    waiter.cancel("too late for the future");
    co_await waiter;
    EXPECT_EQ(order, Order{"cancelled: too late for the future"});
    EXPECT_FALSE(promise.cancelled());
    EXPECT_EQ(promise.future().result(), 8);
  }());
}

TEST(FutureCancel, is_what_a_promise_with_a_cancel_in_it_is) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    promise.set_exception(Cancelled("set"));
    EXPECT_TRUE(promise.cancelled());
    EXPECT_TRUE(promise.future().cancelled());
    co_return;
  }());
}

// ---- the await ----

TEST(FutureAwait, by_one_awaiter_is_one_wait_at_a_time) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    auto awaiter = promise.future().operator co_await();
    using Awaiter = decltype(awaiter);
    const auto by = [](Awaiter& a, Order& order) -> Coro<void> {
      try {
        order.push_back(std::to_string(co_await a));
      } catch (const InvalidStateError&) {
        order.push_back("refused");
      } catch (const Cancelled&) {
        order.push_back("cancelled");
      } catch (const InterruptException&) {
        order.push_back("interrupted");
      }
    };
    Order order;
    const auto first = create_task(by(awaiter, order), {.eager_start = true});
    create_task(by(awaiter, order), {.eager_start = true});
    EXPECT_EQ(order, Order{"refused"});
    task_throw(first, InterruptException());
    co_await sleep(0);
    const auto again = create_task(by(awaiter, order), {.eager_start = true});
    promise.set_value(6);
    co_await again;
    co_await by(awaiter, order);
    EXPECT_EQ(order, (Order{"refused", "interrupted", "6", "6"}));
  }());
}

template <class T, class... Args>
concept Settable = requires(Promise<T> promise, Args&&... args) { promise.set_value(std::forward<Args>(args)...); };

static_assert(Settable<int, int> && Settable<int, char> && !Settable<int> && !Settable<int, std::string>);
static_assert(Settable<void> && !Settable<void, int>);
static_assert(Settable<int&, int&> && !Settable<int&, int> && !Settable<int&, const int&> && !Settable<int&, char&>);
static_assert(Settable<const int&, int&> && Settable<const int&, const int&>);
static_assert(!Settable<const int&, int> && !Settable<const std::string&, const char*>,
              "a temporary would be gone before anybody looks");

TEST(FutureAwait, gives_a_reference_to_what_was_set) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int target = 1;
    Promise<int&> promise;
    promise.set_value(target);
    int& got = co_await promise.future();
    EXPECT_EQ(&got, &target);
    EXPECT_EQ(&promise.future().result(), &target);
  }());
}

// ---- exceptions that nobody fetched ----

TEST(FutureException, that_nobody_fetched_is_logged_as_the_last_handle_goes) {
  LogCapture log;
  Sim sim;
  sim.run([](LogCapture& l) -> Coro<void> {
    Future<int> kept;
    {
      Promise<int> promise;
      kept = promise.future();
      promise.set_exception(std::runtime_error("never asked"));
    }
    const Future<int> copy = kept;
    kept = {};
    EXPECT_EQ(l.text(), "");
    const_cast<Future<int>&>(copy) = {};
    EXPECT_EQ(l.count("error: a future failed, and nobody fetched its exception: "), 1U) << l.text();
    EXPECT_EQ(l.count("never asked"), 1U) << l.text();
    co_return;
  }(log));
}

TEST(FutureException, that_somebody_fetched_is_not_logged) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto failed = [] {
      Promise<int> promise;
      promise.set_exception(std::runtime_error("seen"));
      return promise.future();
    };
    co_await awaits(failed(), order);
    EXPECT_EQ(order, Order{"seen"});
    EXPECT_TRUE(failed().exception() != nullptr);
    EXPECT_THROW(failed().result(), std::runtime_error);
    const Promise<int> cancelled;
    EXPECT_TRUE(cancelled.future().cancel()) << "a cancel is no failure";
    { const Promise<int> dropped_alone; }
  }());
  EXPECT_EQ(log.text(), "");
}

TEST(FutureException, has_not_been_fetched_by_a_waiter_that_was_interrupted) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    Promise<int> promise;
    const auto waiter = create_task(awaits(promise.future(), order), {.eager_start = true});
    promise.set_exception(std::runtime_error("missed"));
    task_throw(waiter, std::logic_error("thrown between the outcome and the run"));
    co_await waiter;
    EXPECT_EQ(order, Order{"thrown between the outcome and the run"});
  }());
  EXPECT_EQ(log.count("missed"), 1U) << log.text();
}

}  // namespace
}  // namespace heirloop::testing
