// The rows of table B of the features that need threads (features_b_test.cpp has the others): the names of
// its first two columns and each clause of the third, through the public headers.
#include "runtime/thread_support.hpp"
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

const ContextVar<std::string> user("user", "nobody");

// ---- to_thread, run_in_executor ----

TEST(FeaturesBThread, to_thread_and_run_in_executor_give_what_the_function_gives) {
  run([]() -> Coro<void> {
    const auto here = std::this_thread::get_id();
    const auto there = co_await to_thread([] { return std::this_thread::get_id(); });
    EXPECT_NE(there, here);
    EXPECT_THROW(co_await to_thread([] { throw std::runtime_error("in the job"); }), std::runtime_error);
    ThreadPool pool(2);
    EXPECT_EQ(co_await run_in_executor(pool, [] { return 5; }), 5);
  }());
}

TEST(FeaturesBThread, to_thread_takes_the_context_along) {
  run([]() -> Coro<void> {
    user.set("ann");
    EXPECT_EQ(co_await to_thread([] {
                std::string seen = user.get();
                user.set("bob");
                return seen;
              }),
              "ann");
    EXPECT_EQ(user.get(), "ann") << "a copy of it";
    ThreadPool pool(1);
    EXPECT_EQ(co_await run_in_executor(pool, [] { return user.get(); }), "ann");
  }());
}

Coro<void> job(ThreadPool& pool, Order& order, std::string name) {
  co_await run_in_executor(pool, [&] { order.push_back(name); });
}
Coro<void> hold_the_thread(ThreadPool& pool, Hold& hold) {
  co_await run_in_executor(pool, [&hold] { hold.pass(); });
}

TEST(FeaturesBThread, run_in_executor_lets_a_queued_job_follow_the_priority_of_its_awaiter) {
  Order order;  // of the one thread
  run(
      [](Order& o) -> Coro<void> {
        ThreadPool pool(1);
        Hold hold;
        const auto holder = create_task(hold_the_thread(pool, hold));
        co_await until([&hold] { return hold.arrived(); });
        const auto falls = create_task(job(pool, o, "falls"), {.priority = -5});
        const auto stays = create_task(job(pool, o, "stays"), {.priority = 2});
        const auto rises = create_task(job(pool, o, "rises"), {.priority = 5});
        const auto inherits = create_task(job(pool, o, "inherits"), {.priority = 6});
        co_await until([&pool] { return pool.queued() == 4; });
        falls.set_priority(9);
        rises.set_priority(-1);
        const auto urgent = create_task(
            [](TaskRef, PriorityTask<void> task) -> Coro<void> { co_await task; }(inherits, inherits),
            {.priority = -3, .eager_start = true});
        EXPECT_EQ(inherits.effective_priority(), -3);
        hold.open();
        co_await until(
            [&] { return holder.done() && falls.done() && stays.done() && rises.done() && urgent.done(); });
      }(order),
      {.policy = PolicyKind::strict});
  EXPECT_EQ(order, (Order{"inherits", "rises", "stays", "falls"}));
}

// ---- run_coroutine_threadsafe, call_soon_threadsafe ----

/// Runs `other` on a thread of its own beside the loop.
template <class Other>
void beside(Runtime& runtime, Other other) {
  std::atomic<bool> over{false};
  std::jthread thread([&] {
    other();
    over = true;
  });
  runtime.run(until([&over] { return over.load(); }));
}

TEST(FeaturesBThread, run_coroutine_threadsafe_and_call_soon_threadsafe_give_a_result_for_the_other_thread) {
  Runtime runtime;
  const auto loops_thread = std::this_thread::get_id();
  beside(runtime, [&] {
    const ThreadFuture<int> five =
        run_coroutine_threadsafe(runtime, []() -> Coro<int> { co_return co_await sleep(1us, 5); });
    EXPECT_EQ(five.get(), 5);
    EXPECT_EQ(five.get(), 5) << "as often as one likes";
    EXPECT_TRUE(five.done());
    EXPECT_TRUE(five.wait_for(0s));
    const auto failing = run_coroutine_threadsafe(runtime, []() -> Coro<int> {
      throw std::runtime_error("inside");
      co_return 0;
    });
    EXPECT_THROW((void)failing.get(), std::runtime_error);
    EXPECT_EQ(call_soon_threadsafe(runtime, [] { return std::this_thread::get_id(); }).get(), loops_thread);
    EXPECT_THROW(
        (void)call_soon_threadsafe(runtime, []() -> int { throw std::runtime_error("inside"); }).get(),
        std::runtime_error);
  });
}

TEST(FeaturesBThread, run_coroutine_threadsafe_can_be_cancelled_by_the_other_thread) {
  Runtime runtime;
  std::atomic<bool> begun{false};
  std::atomic<bool> unwound{false};
  beside(runtime, [&] {
    const auto call = run_coroutine_threadsafe(runtime, [&]() -> Coro<void> {
      begun = true;
      begun.notify_all();
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        unwound = true;
        throw;
      }
    });
    begun.wait(false);
    EXPECT_FALSE(call.done());
    EXPECT_TRUE(call.cancel("from outside"));
    EXPECT_THROW(call.get(), Cancelled);
    EXPECT_TRUE(unwound);
    EXPECT_FALSE(call.cancel()) << "it is done";
  });
}

TEST(FeaturesBThread, call_soon_threadsafe_can_be_cancelled_by_the_other_thread_before_it_begins) {
  Runtime runtime;
  bool ran = false;
  const auto call = call_soon_threadsafe(runtime, [&ran] { ran = true; });  // waits for a run
  std::jthread([&call] { EXPECT_TRUE(call.cancel()); }).join();
  runtime.run(until([] { return true; }));
  EXPECT_THROW(call.get(), Cancelled);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace heirloop::testing
