// Done callbacks of tasks and futures: when, in which order, as whom, and how they are removed.
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/scheduling.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<int> gives(int value) {
  co_await sleep(1ms);
  co_return value;
}
Coro<void> sleeps() { co_await sleep(1h); }

auto note(Order& order, std::string what) {
  return [&order, what = std::move(what)] { order.push_back(what); };
}

LoopOptions strict() {
  LoopOptions options;
  options.policy = PolicyKind::strict;
  return options;
}

// ---- tasks ----

TEST(AddDoneCallback, runs_on_the_loop_in_order_with_the_task) {
  Sim sim;
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    const auto task = create_task(gives(7));
    task.add_done_callback([&](const PriorityTask<int>& done) {
      EXPECT_EQ(done, task);
      EXPECT_EQ(done.result(), 7);
      EXPECT_THROW(current_task(), InvalidStateError) << "a step of its own";
      o.push_back("first");
    });
    task.add_done_callback(note(o, "second"));
    TaskRef(task).add_done_callback([&o](const TaskRef& done) { o.push_back("third of " + done.name()); });
    const auto before = s.loop.dispatches();
    EXPECT_EQ(co_await task, 7);
    EXPECT_EQ(o, Order{}) << "not inside the end of the task";
    EXPECT_EQ(ready_queue().size(), 3U);
    co_await sleep(0);
    EXPECT_EQ(o, (Order{"first", "second", "third of Task-2"}));
    EXPECT_EQ(s.loop.dispatches(), before + 3 + 4) << "each is a step";
  }(sim, order));
  EXPECT_EQ(order.size(), 3U);
}

TEST(AddDoneCallback, to_a_task_that_is_done_runs_soon_and_not_inside_the_caller) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto ended = create_task([]() -> Coro<void> { co_return; }(), {.eager_start = true});
    EXPECT_TRUE(ended.done());
    const CallHandle removed = ended.add_done_callback(note(order, "removed"));
    ended.add_done_callback(note(order, "soon"));
    EXPECT_EQ(order, Order{});
    EXPECT_TRUE(ended.remove_done_callback(removed));
    co_await sleep(0);
    EXPECT_EQ(order, Order{"soon"});
  }());
}

TEST(AddDoneCallback, has_the_base_priority_of_who_added_it) {
  Sim sim(strict());
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto task = create_task(gives(1), {.priority = priority::low});
    const auto adds = [](PriorityTask<int> t, Order& out, std::string name) -> Coro<void> {
      t.add_done_callback(note(out, name));
      co_return;
    };
    create_task(adds(task, o, "low"), {.priority = priority::low, .eager_start = true});
    create_task(adds(task, o, "normal"), {.eager_start = true});
    create_task(adds(task, o, "high"), {.priority = priority::high, .eager_start = true});
    create_task(adds(task, o, "high too"), {.priority = priority::high, .eager_start = true});
    co_await sleep(2ms);
  }(order));
  EXPECT_EQ(order, (Order{"high", "high too", "normal", "low"}));
}

TEST(AddDoneCallback, sees_failures_and_cancels) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    int seen = 0;
    const auto failing = create_task([]() -> Coro<void> {
      co_await sleep(0);
      throw std::runtime_error("seen by a callback");
    }());
    failing.add_done_callback([&seen](const TaskRef& task) { seen += task.exception() != nullptr ? 1 : 100; });
    const auto cancelled = create_task(sleeps());
    cancelled.add_done_callback([&seen](const TaskRef& task) { seen += task.cancelled() ? 10 : 100; });
    cancelled.cancel();
    co_await sleep(1ms);
    EXPECT_EQ(seen, 11);
  }());
  EXPECT_EQ(log.text(), "") << "the callback has fetched the exception";
}

TEST(AddDoneCallback, keeps_the_task_until_it_has_run) {
  LogCapture log;
  Sim sim;
  sim.run([](LogCapture& l) -> Coro<void> {
    create_task([]() -> Coro<void> { throw std::runtime_error("nobody looked"); co_return; }())
        .add_done_callback([&l](const TaskRef& task) { EXPECT_EQ(l.count("nobody looked"), 0U) << task.name(); });
    co_await sleep(1ms);
    EXPECT_EQ(l.count("nobody looked"), 1U) << "as the callback's handle went, the last one";
  }(log));
}

TEST(AddDoneCallback, that_throws_is_logged_and_the_others_run) {
  LogCapture log;
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto task = create_task(gives(1));
    task.add_done_callback([] { throw std::runtime_error("out of a callback"); });
    task.add_done_callback(note(o, "next"));
    co_await sleep(2ms);
  }(order));
  EXPECT_EQ(order, Order{"next"});
  EXPECT_EQ(log.count("out of a callback"), 1U) << log.text();
}

TEST(AddDoneCallback, to_oneself_and_in_the_eager_part) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    create_task([](Order& out) -> Coro<void> {
      current_task().add_done_callback(note(out, "of one that never blocked"));
      out.push_back("eager part");
      co_return;
    }(o), {.eager_start = true});
    o.push_back("starter");
    co_await sleep(0);
  }(order));
  EXPECT_EQ(order, (Order{"eager part", "starter", "of one that never blocked"}));
}

TEST(AddDoneCallback, at_the_end_of_the_loop_is_dropped_when_it_can_not_run_any_more) {
  const auto token = std::make_shared<int>(1);
  Order order;
  {
    Sim sim;
    sim.run([](std::shared_ptr<int> t, Order& o) -> Coro<void> {
      create_task(sleeps()).add_done_callback([t, &o] { o.push_back("cancelled by the end"); });
      current_task().add_done_callback([t, &o] { o.push_back("of main"); });
      co_await sleep(0);
    }(token, order));
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(RemoveDoneCallback, takes_it_back_before_the_end_and_before_its_run) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto task = create_task(gives(1));
    const auto other = create_task(sleeps());
    std::vector<CallHandle> handles;
    for (const char* name : {"a", "b", "c", "d", "e", "f"}) handles.push_back(task.add_done_callback(note(order, name)));
    EXPECT_FALSE(other.remove_done_callback(handles[0])) << "it is of another task";
    EXPECT_TRUE(task.remove_done_callback(handles[0])) << "the first";
    EXPECT_TRUE(task.remove_done_callback(handles[2])) << "one in the middle";
    EXPECT_TRUE(handles[5].cancel()) << "the last, by its handle";
    EXPECT_TRUE(handles[5].cancelled());
    EXPECT_FALSE(task.remove_done_callback(handles[5]));
    task.add_done_callback(note(order, "g"));
    co_await task;
    EXPECT_TRUE(task.remove_done_callback(handles[3])) << "ready, and not yet run";
    EXPECT_FALSE(other.remove_done_callback(handles[4]));
    co_await sleep(0);
    EXPECT_EQ(order, (Order{"b", "e", "g"}));
    EXPECT_FALSE(task.remove_done_callback(handles[1])) << "it has run";
    EXPECT_FALSE(task.remove_done_callback(call_soon([] {})));
    EXPECT_THROW((void)task.remove_done_callback({}), InvalidStateError);
    other.cancel();
  }());
}

TEST(RemoveDoneCallback, of_all_leaves_a_task_as_it_was) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(gives(1), {.name = "named"});
    EXPECT_TRUE(task.remove_done_callback(task.add_done_callback([] {})));
    EXPECT_EQ(task.name(), "named");
    task.set_name("renamed");
    EXPECT_EQ(task.name(), "renamed");
    EXPECT_EQ(co_await task, 1);
    EXPECT_EQ(ready_queue().size(), 0U);
    const auto unnamed = create_task(gives(2));
    unnamed.add_done_callback([] {});
    EXPECT_EQ(unnamed.name(), "Task-3");
    unnamed.set_name("later");
    EXPECT_EQ(unnamed.name(), "later");
    co_await unnamed;
  }());
}

TEST(AddDoneCallback, belongs_to_the_loops_thread) {
  Sim sim;
  PriorityTask<void> kept;
  sim.run([](PriorityTask<void>& k) -> Coro<void> {
    k = create_task([]() -> Coro<void> { co_return; }());
    co_await k;
  }(kept));
  EXPECT_THROW(kept.add_done_callback([] {}), InvalidStateError);
  EXPECT_THROW(TaskRef().add_done_callback([] {}), InvalidStateError);
}

// ---- futures ----

TEST(FutureDoneCallback, runs_on_the_loop_in_order_with_the_future) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    Promise<int> promise;
    const Future<int> future = promise.future();
    future.add_done_callback([&o](const Future<int>& done) { o.push_back("got " + std::to_string(done.result())); });
    const CallHandle removed = future.add_done_callback(note(o, "removed"));
    future.add_done_callback(note(o, "second"));
    const CallHandle late = future.add_done_callback(note(o, "removed late"));
    EXPECT_TRUE(future.remove_done_callback(removed));
    promise.set_value(4);
    EXPECT_EQ(o, Order{}) << "never inside the caller";
    EXPECT_TRUE(future.remove_done_callback(late));
    future.add_done_callback(note(o, "third"));
    const Promise<int> other;
    EXPECT_FALSE(other.future().remove_done_callback(future.add_done_callback(note(o, "fourth"))));
    co_await sleep(0);
    EXPECT_EQ(o, (Order{"got 4", "second", "third", "fourth"}));
  }(order));
}

TEST(FutureDoneCallback, has_the_base_priority_of_who_added_it) {
  Sim sim(strict());
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    Promise<void> promise;
    const auto adds = [](Future<void> f, Order& out, std::string name) -> Coro<void> {
      f.add_done_callback(note(out, name));
      co_return;
    };
    create_task(adds(promise.future(), o, "low"), {.priority = priority::low, .eager_start = true});
    create_task(adds(promise.future(), o, "high"), {.priority = priority::high, .eager_start = true});
    promise.set_value();
    co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order, (Order{"high", "low"}));
}

TEST(FutureDoneCallback, of_a_broken_promise_and_of_a_cancel_runs) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    {
      const Promise<int> promise;
      promise.future().add_done_callback([&order](const Future<int>& f) { order.push_back(f.exception() ? "broken" : "?"); });
    }
    const Promise<int> cancelled;
    cancelled.future().add_done_callback([&order](const Future<int>& f) { order.push_back(f.cancelled() ? "cancelled" : "?"); });
    cancelled.future().cancel();
    co_await sleep(0);
    EXPECT_EQ(order, (Order{"broken", "cancelled"}));
  }());
  EXPECT_EQ(log.text(), "");
}

TEST(FutureDoneCallback, runs_when_the_outcome_was_set_between_two_runs_and_is_dropped_when_the_loop_has_ended) {
  const auto token = std::make_shared<int>(1);
  Promise<int> between;
  Promise<int> after;
  Order order;
  CallHandle dropped;
  {
    Sim sim;
    sim.run([](const Promise<int>& p, const Promise<int>& q, Order& o, std::shared_ptr<int> t, CallHandle& d) -> Coro<void> {
      p.future().add_done_callback([&o, t] { o.push_back("between"); });
      d = q.future().add_done_callback([&o, t] { o.push_back("after"); });
      co_return;
    }(between, after, order, token, dropped));
    between.set_value(1);
    sim.run([]() -> Coro<void> { co_await sleep(0); }());
    EXPECT_EQ(order, Order{"between"});
  }
  EXPECT_EQ(token.use_count(), 2);
  after.set_value(1);
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_TRUE(dropped.cancelled());
  EXPECT_EQ(order, Order{"between"});
}

TEST(FutureDoneCallback, is_of_one_loop) {
  Promise<int> promise;
  EXPECT_THROW(promise.future().add_done_callback([] {}), InvalidStateError);
  Sim sim;
  const auto adds = [](const Promise<int>& p, bool refused) -> Coro<void> {
    if (refused) {
      EXPECT_THROW(p.future().add_done_callback([] {}), InvalidStateError);
    } else {
      p.future().add_done_callback([] {});
    }
    co_return;
  };
  sim.run(adds(promise, false));
  Sim other;
  other.run(adds(promise, true));
  promise.set_value(0);
}

}  // namespace
}  // namespace heirloop::testing
