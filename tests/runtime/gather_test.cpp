// gather, shield, wait, as_completed: several tasks at once.
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/wait_tasks.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <variant>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

template <class T>
Coro<T> give_after(std::chrono::milliseconds span, T value) {
  co_await sleep(span);
  co_return value;
}
Coro<void> note_after(std::chrono::milliseconds span, Order& order, std::string what) {
  try {
    co_await sleep(span);
    order.push_back(what);
  } catch (const Cancelled& cancelled) {
    order.push_back(what + " cancelled: " + cancelled.message());
    throw;
  }
}
Coro<int> fail_after(std::chrono::milliseconds span, std::string what) {
  co_await sleep(span);
  throw std::runtime_error(what);
}

TEST(Gather, gives_values_of_all_types_in_the_order_of_the_arguments) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    auto task = create_task(give_after(1ms, std::string("task")));
    auto [number, nothing, text, only] =
        co_await gather(give_after(3ms, 7), note_after(2ms, order, "noted"), task, give_after(1ms, std::make_unique<int>(5)));
    EXPECT_EQ(number, 7);
    EXPECT_EQ(nothing, std::monostate{});
    EXPECT_EQ(text, "task");
    EXPECT_EQ(*only, 5);
    EXPECT_EQ(order, Order{"noted"});
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 3ms);
  }());
}

TEST(Gather, of_a_range_gives_a_vector) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<Coro<int>> coros;
    for (int i = 0; i < 5; ++i) coros.push_back(give_after(std::chrono::milliseconds(5 - i), i));
    const std::vector<int> values = co_await gather(std::move(coros));
    EXPECT_EQ(values, (std::vector{0, 1, 2, 3, 4}));
    const auto none = co_await gather(std::vector<Coro<void>>());
    EXPECT_TRUE(none.empty());
    const auto nothing = co_await gather();
    EXPECT_EQ(nothing, std::tuple<>());
  }());
}

TEST(Gather, throws_the_first_failure_at_once_and_the_others_go_on) {
  Sim sim;
  LogCapture log;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    try {
      co_await gather(note_after(5ms, o, "late"), fail_after(2ms, "second"), fail_after(1ms, "first"));
      o.push_back("not reached");
    } catch (const std::runtime_error& error) {
      o.push_back(error.what());
    }
    co_await sleep(9ms);
  }(order));
  EXPECT_EQ(order, (Order{"first", "late"}));
  EXPECT_EQ(log.count("second"), 1U) << "a failure that nobody sees is logged: " << log.text();
}

TEST(Gather, return_exceptions_makes_them_outcomes) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto cancelled = create_task(give_after(9ms, 1));
    cancelled.cancel("early");
    auto [value, error, stopped] = co_await gather(return_exceptions, give_after(2ms, 7), fail_after(1ms, "failed"), cancelled);
    EXPECT_EQ(value.value(), 7);
    EXPECT_EQ(value.error(), nullptr);
    EXPECT_THROW(error.value(), std::runtime_error);
    EXPECT_THROW(stopped.value(), Cancelled);
    std::vector<Coro<int>> coros;
    coros.push_back(give_after(1ms, 1));
    coros.push_back(fail_after(1ms, "failed"));
    const auto outcomes = co_await gather(return_exceptions, std::move(coros));
    EXPECT_TRUE(outcomes.at(0).has_value());
    EXPECT_FALSE(outcomes.at(1).has_value());
  }());
}

TEST(Gather, takes_one_task_several_times_and_tasks_that_are_done) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = create_task(give_after(1ms, 3));
    const auto twice = co_await gather(task, task);
    EXPECT_EQ(twice, std::make_tuple(3, 3));
    const auto again = co_await gather(task, give_after(1ms, 4));
    EXPECT_EQ(again, std::make_tuple(3, 4));
    auto failed = create_task(fail_after(1ms, "before"));
    while (!failed.done()) co_await sleep(1ms);
    std::string text;
    try {
      co_await gather(failed, give_after(1ms, 4));
    } catch (const std::runtime_error& error) {
      text = error.what();
    }
    EXPECT_EQ(text, "before");
  }());
}

TEST(Gather, a_cancel_goes_to_all_and_comes_back_when_all_have_ended) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto given = create_task(note_after(9ms, o, "given"));
    auto slow_to_end = [](Order& out) -> Coro<void> {
      try {
        co_await sleep(9ms);
      } catch (const Cancelled&) {
      }
      co_await sleep(1ms);
      out.push_back("swallowed");
    };
    auto waiter = create_task([](Order& out, PriorityTask<void> task, Coro<void> slow) -> Coro<void> {
      try {
        co_await gather(note_after(9ms, out, "made"), task, std::move(slow));
      } catch (const Cancelled& cancelled) {
        out.push_back("gather: " + cancelled.message());
        throw;
      }
    }(o, given, slow_to_end(o)));
    co_await sleep(1ms);
    EXPECT_TRUE(waiter.cancel("enough"));
    EXPECT_EQ(waiter.cancelling(), 1U);
    EXPECT_EQ(given.cancelling(), 1U);
    while (!waiter.done()) co_await sleep(1ms);
    EXPECT_TRUE(waiter.cancelled());
  }(order));
  EXPECT_EQ(order, (Order{"given cancelled: enough", "made cancelled: enough", "swallowed", "gather: enough"}));
}

TEST(Gather, an_interrupt_ends_what_was_made_here_and_lets_given_tasks_be) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto given = create_task(note_after(3ms, o, "given"));
    auto waiter = create_task([](Order& out, PriorityTask<void> task) -> Coro<void> {
      try {
        co_await gather(note_after(9ms, out, "made"), task);
      } catch (const InterruptException&) {
        out.push_back("interrupted");
      }
    }(o, given));
    co_await sleep(1ms);
    EXPECT_EQ(co_await task_interrupt(waiter, InterruptException()), InterruptOutcome::ended);
    o.push_back("caller");
    co_await given;
  }(order));
  EXPECT_EQ(order, (Order{"made cancelled: the gather that made this task was interrupted", "interrupted", "caller", "given"}));
}

TEST(Gather, lends_to_all_and_finds_cycles) {
  Sim sim({.policy = PolicyKind::strict});
  sim.run([]() -> Coro<void> {
    auto slow = create_task(give_after(5ms, 1), {.priority = priority::low});
    auto quick = create_task(give_after(2ms, 1), {.priority = priority::low});
    auto waiter = create_task([](PriorityTask<int> a, PriorityTask<int> b) -> Coro<void> { co_await gather(a, b); }(slow, quick),
                              {.priority = priority::high});
    co_await sleep(1ms);
    EXPECT_EQ(slow.effective_priority(), priority::high);
    EXPECT_EQ(quick.effective_priority(), priority::high);
    co_await sleep(2ms);
    waiter.set_priority(priority::normal);
    EXPECT_EQ(slow.effective_priority(), priority::normal);
    co_await waiter;

  }());
}

TEST(Gather, a_task_that_waits_for_who_gathers_it_is_a_deadlock) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityTask<void> gatherer;
    auto on_gatherer = [](PriorityTask<void>& awaited) -> Coro<void> {
      co_await sleep(1ms);
      co_await awaited;
    };
    gatherer = create_task([](Coro<void> child) -> Coro<void> { co_await gather(std::move(child)); }(on_gatherer(gatherer)));
    std::exception_ptr error;
    try {
      co_await gatherer;
    } catch (const DeadlockError&) {
      error = std::current_exception();
    }
    EXPECT_NE(error, nullptr);
  }());
}

TEST(Sleep, gives_the_result_that_it_was_given) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    EXPECT_EQ(co_await sleep(1ms, 5), 5);
    EXPECT_EQ(*co_await sleep(0ms, std::make_unique<int>(6)), 6);
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 1ms);
  }());
}

TEST(Shield, keeps_a_cancel_from_the_task_and_lends_all_the_same) {
  Sim sim({.policy = PolicyKind::strict});
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto inner = create_task(note_after(5ms, o, "inner"), {.priority = priority::low});
    auto outer = create_task([](PriorityTask<void> task) -> Coro<void> { co_await shield(task); }(inner),
                             {.priority = priority::high});
    co_await sleep(1ms);
    EXPECT_EQ(inner.effective_priority(), priority::high);
    outer.cancel();
    EXPECT_EQ(inner.effective_priority(), priority::low);
    co_await sleep(1ms);
    EXPECT_TRUE(outer.cancelled());
    EXPECT_EQ(inner.cancelling(), 0U);
    co_await inner;
    co_await shield(note_after(1ms, o, "made"));
  }(order));
  EXPECT_EQ(order, (Order{"inner", "made"}));
}

TEST(Wait, returns_when_it_is_told_to) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<int>> tasks;
    tasks.push_back(create_task(give_after(3ms, 3)));
    tasks.push_back(create_task(give_after(1ms, 1)));
    tasks.push_back(create_task(fail_after(2ms, "two")));
    tasks.push_back(create_task(give_after(4ms, 4)));
    auto first = co_await wait(tasks, ReturnWhen::first_completed);
    EXPECT_EQ(first.done, std::vector{tasks[1]});
    EXPECT_EQ(first.pending, (std::vector{tasks[0], tasks[2], tasks[3]}));
    auto failed = co_await wait(first.pending, ReturnWhen::first_exception);
    EXPECT_EQ(failed.done, std::vector{tasks[2]});
    EXPECT_THROW(failed.done[0].result(), std::runtime_error);
    auto in_time = co_await wait(failed.pending, ReturnWhen::all_completed, 1ms + 500us);
    EXPECT_EQ(in_time.done, std::vector{tasks[0]});
    EXPECT_EQ(in_time.pending, std::vector{tasks[3]});
    auto all = co_await wait(tasks);
    EXPECT_EQ(all.done, tasks);
    EXPECT_TRUE(all.pending.empty());
    EXPECT_THROW(co_await wait(std::vector<TaskRef>()), std::invalid_argument);
  }());
  EXPECT_EQ(log.text(), "");
}

TEST(Wait, for_a_first_exception_does_not_return_for_a_cancelled_task) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<int>> tasks{create_task(give_after(9ms, 1)), create_task(fail_after(3ms, "two")),
                                         create_task(give_after(9ms, 3))};
    tasks[0].cancel();
    const auto waited = co_await wait(tasks, ReturnWhen::first_exception);
    EXPECT_EQ(waited.done, (std::vector{tasks[0], tasks[1]}));
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 3ms);
    EXPECT_THROW(tasks[1].result(), std::runtime_error);
  }());
}

struct Futures {
  Promise<int> one;
  Promise<int> two;
  std::vector<Future<int>> all{one.future(), two.future()};
};

TEST(Wait, for_futures_ends_as_for_tasks_and_leaves_their_outcomes_unseen) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    Futures futures;
    const auto set = [](Promise<int>& one, Promise<int>& two) -> Coro<void> {
      co_await sleep(1ms);
      one.set_value(1);
      co_await sleep(1ms);
      two.set_exception(std::runtime_error("two"));
    };
    auto setting = create_task(set(futures.one, futures.two));
    auto waited = co_await wait(futures.all, ReturnWhen::first_completed);
    EXPECT_EQ(waited.done.size(), 1U);
    EXPECT_EQ(waited.done[0].result(), 1);
    waited = co_await wait(futures.all, ReturnWhen::first_exception, 500us);
    EXPECT_EQ(waited.pending.size(), 1U);
    waited = co_await wait(futures.all, ReturnWhen::first_exception);
    EXPECT_EQ(waited.done.size(), 2U);
    EXPECT_EQ(all_tasks().size(), 1U);  // who watched has gone
    co_await setting;
  }());
  EXPECT_NE(log.text().find("a future failed, and nobody fetched its exception: "), std::string::npos) << log.text();
}

TEST(Wait, for_futures_leaves_them_alone_when_it_is_cancelled_and_lends_to_their_owners) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Futures futures;
    auto owner = create_task(give_after(5ms, 0), {.priority = priority::low});
    futures.two.set_owner(owner);
    auto waiter = create_task([](std::vector<Future<int>> of) -> Coro<void> { co_await wait(std::move(of)); }(futures.all),
                              {.priority = priority::high});
    co_await sleep(1ms);
    EXPECT_EQ(owner.effective_priority(), priority::high);
    waiter.cancel();
    co_await sleep(1ms);
    EXPECT_TRUE(waiter.cancelled());
    EXPECT_EQ(owner.effective_priority(), priority::low);
    EXPECT_FALSE(futures.all[1].done());
    futures.one.set_value(1);
    futures.two.set_value(2);
    EXPECT_EQ(co_await shield(futures.all[1]), 2);
  }());
}

TEST(Wait, for_a_future_that_depends_on_who_waits_is_a_deadlock) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    promise.set_owner(current_task());
    const std::vector<Future<int>> futures(1, promise.future());
    EXPECT_THROW(co_await wait(futures), DeadlockError);
    auto completed = as_completed(futures);
    EXPECT_THROW(co_await completed.next(), DeadlockError);
    promise.set_value(1);
  }());
}

TEST(Shield, of_a_future_keeps_a_cancel_from_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    auto waiter = create_task([](Future<int> of) -> Coro<void> { co_await shield(of); }(promise.future()));
    co_await sleep(1ms);
    waiter.cancel();
    co_await sleep(1ms);
    EXPECT_TRUE(waiter.cancelled());
    EXPECT_FALSE(promise.cancelled());
    promise.set_value(1);
    EXPECT_EQ(co_await shield(promise.future()), 1);
  }());
}

TEST(Wait, does_not_pass_a_cancel_on) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<int>> tasks{create_task(give_after(3ms, 3))};
    auto waiter = create_task([](std::vector<PriorityTask<int>> of) -> Coro<void> { co_await wait(std::move(of)); }(tasks));
    co_await sleep(1ms);
    waiter.cancel();
    co_await sleep(1ms);
    EXPECT_TRUE(waiter.cancelled());
    EXPECT_EQ(co_await tasks[0], 3);
  }());
}

TEST(AsCompleted, gives_tasks_as_they_end) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<Coro<int>> coros;
    for (const int span : {3, 1, 4, 2}) coros.push_back(give_after(std::chrono::milliseconds(span), span));
    std::vector<int> order;
    auto completed = as_completed(std::move(coros));
    while (auto task = co_await completed.next()) {
      order.push_back(task.result());
      if (task.result() == 2) co_await sleep(5ms);  // the others end meanwhile
    }
    EXPECT_EQ(order, (std::vector{1, 2, 3, 4}));
    auto none = as_completed(std::vector<PriorityTask<int>>());
    EXPECT_FALSE(co_await none.next());
  }());
}

TEST(AsCompleted, gives_futures_as_they_are_set) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Futures futures;
    const auto set = [](Promise<int>& first, Promise<int>& second) -> Coro<void> {
      co_await sleep(1ms);
      first.set_value(2);
      second.set_value(1);
    };
    auto setting = create_task(set(futures.two, futures.one));
    std::vector<int> order;
    auto completed = as_completed(futures.all);
    while (auto future = co_await completed.next()) order.push_back(future.result());
    EXPECT_EQ(order, (std::vector{2, 1}));
    co_await setting;
  }());
}

TEST(AsCompleted, under_a_timeout_gives_those_that_were_in_time) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<int>> tasks{create_task(give_after(9ms, 9)), create_task(give_after(1ms, 1)),
                                         create_task(give_after(2ms, 2))};
    auto completed = as_completed(tasks, 5ms);
    EXPECT_EQ((co_await completed.next()).result(), 1);
    co_await sleep(6ms);
    EXPECT_EQ((co_await completed.next()).result(), 2);
    EXPECT_THROW(co_await completed.next(), TimeoutError);
    EXPECT_EQ(co_await tasks[0], 9);  // goes on
    EXPECT_EQ((co_await completed.next()).result(), 9);
    EXPECT_FALSE(co_await completed.next());
  }());
}

TEST(AsCompleted, a_wait_that_is_cancelled_loses_nothing) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<int>> tasks{create_task(give_after(2ms, 1)), create_task(give_after(3ms, 2))};
    auto completed = as_completed(tasks);
    auto waiter = create_task([](AsCompleted<PriorityTask<int>>& of) -> Coro<void> { co_await of.next(); }(completed));
    co_await sleep(1ms);
    waiter.cancel();
    co_await sleep(5ms);
    EXPECT_TRUE(waiter.cancelled());
    EXPECT_EQ((co_await completed.next()).result(), 1);
    EXPECT_EQ((co_await completed.next()).result(), 2);
    EXPECT_FALSE(co_await completed.next());
  }());
}

}  // namespace
}  // namespace heirloop::testing
