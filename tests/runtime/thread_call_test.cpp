// Calls into a loop from other threads: their outcome, their cancel at each moment, and the end of the loop.
#include "runtime/thread_support.hpp"
#include "support/property.hpp"
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Runs `other` on a thread of its own while the runtime runs, and returns when both are over.
void beside(Runtime& runtime, std::function<void()> other) {
  std::atomic<bool> over{false};
  std::jthread thread([&] {
    other();
    over = true;
  });
  runtime.run([](std::atomic<bool>& end) -> Coro<void> {
    co_await until([&end] { return end.load(); });
  }(over));
}

template <class Error, class T>
std::string error_of(const ThreadFuture<T>& future) {
  try {
    static_cast<void>(future.get());
  } catch (const Error& error) {
    if constexpr (std::is_same_v<Error, Cancelled>) {
      return error.message();
    } else {
      return error.what();
    }
  }
  return "nothing was thrown";
}

Coro<int> five() {
  co_await sleep(1us);
  co_return 5;
}

// ---- outcomes ----

TEST(ThreadsafeCoroutine, gives_its_value_and_its_exception) {
  Runtime runtime;
  beside(runtime, [&] {
    EXPECT_EQ(run_coroutine_threadsafe(runtime, five).get(), 5);
    run_coroutine_threadsafe(runtime, []() -> Coro<void> { co_return; }).get();
    const auto owned = run_coroutine_threadsafe(runtime, []() -> Coro<std::unique_ptr<int>> {
      co_return std::make_unique<int>(6);
    });
    EXPECT_EQ(*owned.get(), 6);
    const auto failing = run_coroutine_threadsafe(runtime, []() -> Coro<int> {
      co_await sleep(0);
      throw std::runtime_error("in the coroutine");
    });
    EXPECT_EQ(error_of<std::runtime_error>(failing), "in the coroutine");
    const auto text = run_coroutine_threadsafe(runtime, []() -> Coro<std::string> { co_return "x"; });
    EXPECT_EQ(text.get(), "x");
    EXPECT_EQ(text.get(), "x");
    EXPECT_TRUE(text.done());
  });
}

TEST(ThreadsafeCoroutine, can_be_waited_for_as_long_as_there_is_time) {
  Runtime runtime;
  beside(runtime, [&] {
    const auto forever = std::chrono::nanoseconds::max();
    EXPECT_TRUE(run_coroutine_threadsafe(runtime, five).wait_for(forever));
    EXPECT_TRUE(run_coroutine_threadsafe(runtime, five).wait_for(std::chrono::hours::max()));
    EXPECT_TRUE(run_coroutine_threadsafe(runtime, five).wait_for(std::chrono::duration<double>(1e300)));
  });
}

TEST(ThreadsafeCoroutine, keeps_what_its_factory_holds_until_its_end) {
  Runtime runtime;
  const auto held = std::make_shared<int>(7);
  beside(runtime, [&] {
    auto factory = [held]() -> Coro<int> {
      co_await sleep(1ms);
      co_return *held;
    };
    EXPECT_EQ(run_coroutine_threadsafe(runtime, std::move(factory)).get(), 7);
  });
  EXPECT_EQ(held.use_count(), 1);
}

const ContextVar<int> depth("depth", 0);

TEST(ThreadsafeCoroutine, has_normal_priority_and_a_fresh_context_unless_told) {
  Runtime runtime;
  const ContextScope of_the_loops_thread(depth, 1);
  beside(runtime, [&] {
    const ContextScope mine(depth, 2);
    const auto look = []() -> Coro<std::string> {
      EXPECT_EQ(depth.find(), nullptr);
      const TaskRef self = current_task();
      co_return self.name() + " at " + std::to_string(static_cast<int>(self.priority()));
    };
    EXPECT_TRUE(run_coroutine_threadsafe(runtime, look).get().ends_with(" at 0"));
    const std::string name = "look";
    EXPECT_EQ(run_coroutine_threadsafe(runtime, look, {.name = name, .priority = priority::high}).get(), "look at -10");
    EXPECT_THROW(run_coroutine_threadsafe(runtime, look, {.priority = std::nan("")}), std::invalid_argument);
  });
}

TEST(ThreadsafeFunction, gives_its_value_and_its_exception) {
  Runtime runtime;
  beside(runtime, [&] {
    const auto here = std::this_thread::get_id();
    EXPECT_NE(call_soon_threadsafe(runtime, [] { return std::this_thread::get_id(); }).get(), here);
    call_soon_threadsafe(runtime, [] {}).get();
    const auto failing = call_soon_threadsafe(runtime, []() -> int { throw std::runtime_error("in the function"); });
    EXPECT_EQ(error_of<std::runtime_error>(failing), "in the function");
    EXPECT_FALSE(failing.cancel());
  });
}

TEST(ThreadFutureTest, waits_for_a_time) {
  Runtime runtime;
  beside(runtime, [&] {
    Hold hold;
    const auto future = call_soon_threadsafe(runtime, [&hold] { hold.pass(); });
    hold.wait_for_arrival();
    EXPECT_FALSE(future.wait_for(0ms));
    EXPECT_FALSE(future.done());
    hold.open();
    EXPECT_TRUE(future.wait_for(1h));
    EXPECT_TRUE(future.done());
  });
}

TEST(ThreadFutureTest, is_refused_on_the_loops_own_thread) {
  Runtime runtime;
  runtime.run([](Runtime& own) -> Coro<void> {
    const auto future = run_coroutine_threadsafe(own, five);
    EXPECT_THROW(future.get(), InvalidStateError);
    EXPECT_THROW(future.wait_for(1h), InvalidStateError);
    co_await until([&future] { return future.done(); });
    EXPECT_EQ(future.get(), 5);
  }(runtime));
}

TEST(ThreadFutureTest, an_exception_that_nobody_fetched_is_logged) {
  const LogCapture log;
  Runtime runtime;
  beside(runtime, [&] {
    const auto fetched = call_soon_threadsafe(runtime, [] { throw std::runtime_error("fetched"); });
    EXPECT_EQ(error_of<std::runtime_error>(fetched), "fetched");
    call_soon_threadsafe(runtime, [] { throw std::runtime_error("dropped"); });
    call_soon_threadsafe(runtime, [] {}).get();
  });
  EXPECT_EQ(log.count("nobody fetched its exception: std::runtime_error: dropped"), 1U) << log.text();
  EXPECT_EQ(log.count("fetched its exception"), 1U) << log.text();
}

// ---- cancel ----

TEST(ThreadFutureCancel, before_it_began_and_it_never_runs) {
  Runtime runtime;
  bool ran = false;
  beside(runtime, [&] {
    Hold hold;
    const auto holding = call_soon_threadsafe(runtime, [&hold] { hold.pass(); });
    hold.wait_for_arrival();
    const auto function = call_soon_threadsafe(runtime, [&ran] { ran = true; });
    const auto coroutine = run_coroutine_threadsafe(runtime, [&ran]() -> Coro<void> {
      ran = true;
      co_return;
    });
    EXPECT_TRUE(function.cancel("first"));
    EXPECT_TRUE(coroutine.cancel("second"));
    EXPECT_TRUE(function.done());
    EXPECT_EQ(error_of<Cancelled>(function), "first");
    EXPECT_EQ(error_of<Cancelled>(coroutine), "second");
    EXPECT_FALSE(function.cancel());
    hold.open();
    holding.get();
    call_soon_threadsafe(runtime, [] {}).get();
  });
  EXPECT_FALSE(ran);
}

TEST(ThreadFutureCancel, while_it_runs_reaches_the_coroutine) {
  Runtime runtime;
  beside(runtime, [&] {
    std::atomic<bool> runs{false};
    const auto sleeping = [&runs]() -> Coro<int> {
      runs = true;
      runs.notify_all();
      co_await sleep(1h);
      co_return 1;
    };
    const auto future = run_coroutine_threadsafe(runtime, sleeping);
    runs.wait(false);
    EXPECT_TRUE(future.cancel("from outside"));
    EXPECT_EQ(error_of<Cancelled>(future), "from outside");
    EXPECT_FALSE(future.cancel());
  });
}

TEST(ThreadFutureCancel, of_a_coroutine_that_swallows_it_gives_its_value) {
  Runtime runtime;
  beside(runtime, [&] {
    std::atomic<bool> runs{false};
    const auto stubborn = [&runs]() -> Coro<int> {
      runs = true;
      runs.notify_all();
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
      }
      co_return 1;
    };
    const auto future = run_coroutine_threadsafe(runtime, stubborn);
    runs.wait(false);
    EXPECT_TRUE(future.cancel());
    EXPECT_EQ(future.get(), 1);
  });
}

TEST(ThreadFutureCancel, of_a_function_that_runs_is_refused) {
  Runtime runtime;
  beside(runtime, [&] {
    Hold hold;
    const auto future = call_soon_threadsafe(runtime, [&hold] {
      hold.pass();
      return 5;
    });
    hold.wait_for_arrival();
    EXPECT_FALSE(future.cancel());
    hold.open();
    EXPECT_EQ(future.get(), 5);
  });
}

TEST(ThreadFutureCancel, after_it_ended_and_not_yet_gone_is_harmless) {
  Runtime runtime;
  beside(runtime, [&] {
    Hold hold;
    std::atomic<bool> runs{false};
    // The cancel is on its way while the loop is held, and the coroutine ends before the cancel's turn comes.
    const auto ends_first = [&]() -> Coro<int> {
      runs = true;
      runs.notify_all();
      hold.pass();
      co_return 5;
    };
    const auto future = run_coroutine_threadsafe(runtime, ends_first);
    runs.wait(false);
    hold.wait_for_arrival();
    EXPECT_TRUE(future.cancel());
    hold.open();
    EXPECT_EQ(future.get(), 5);
    call_soon_threadsafe(runtime, [] {}).get();
  });
}

// ---- the end of the loop ----

TEST(ThreadFutureEnd, a_call_before_the_first_run_is_made_in_it) {
  Runtime runtime;
  const auto future = run_coroutine_threadsafe(runtime, five);
  const auto function = call_soon_threadsafe(runtime, [] { return 6; });
  runtime.run([](const auto& call) -> Coro<void> {
    co_await until([&call] { return call.done(); });
  }(future));
  EXPECT_EQ(future.get(), 5);
  EXPECT_EQ(function.get(), 6);
  EXPECT_FALSE(future.cancel());
}

TEST(ThreadFutureEnd, a_coroutine_that_runs_is_cancelled_with_the_rest) {
  Runtime runtime;
  const auto future = run_coroutine_threadsafe(runtime, []() -> Coro<void> { co_await sleep(1h); });
  runtime.run([]() -> Coro<void> { co_await sleep(1ms); }());
  EXPECT_TRUE(future.done());
  EXPECT_FALSE(future.cancel());
  EXPECT_EQ(error_of<Cancelled>(future), "the loop ends");
}

TEST(ThreadFutureEnd, a_call_after_the_run_is_broken) {
  Runtime runtime;
  runtime.run([]() -> Coro<void> { co_return; }());
  const auto future = run_coroutine_threadsafe(runtime, five);
  EXPECT_TRUE(future.done());
  EXPECT_FALSE(future.cancel());
  EXPECT_EQ(error_of<BrokenPromise>(future), "the loop ended before a call from another thread began");
  const auto function = call_soon_threadsafe(runtime, [] {});
  EXPECT_THROW(function.get(), BrokenPromise);
  // The next run makes calls again, not the broken ones.
  const auto again = [](Runtime& own) -> Coro<int> {
    const auto call = run_coroutine_threadsafe(own, five);
    co_await until([&call] { return call.done(); });
    co_return call.get();
  };
  EXPECT_EQ(runtime.run(again(runtime)), 5);
}

TEST(ThreadFutureEnd, a_call_in_the_last_step_is_broken_or_made) {
  Runtime runtime;
  std::optional<ThreadFuture<int>> coroutine;
  std::optional<ThreadFuture<int>> function;
  runtime.run([](Runtime& own, auto& first, auto& second) -> Coro<void> {
    first = run_coroutine_threadsafe(own, five);
    second = call_soon_threadsafe(own, [] { return 6; });
    co_return;
  }(runtime, coroutine, function));
  EXPECT_THROW(coroutine->get(), BrokenPromise);
  EXPECT_EQ(function->get(), 6);
}

TEST(ThreadFutureEnd, a_runtime_that_never_runs_breaks_its_calls) {
  auto runtime = std::make_unique<Runtime>();
  const auto future = run_coroutine_threadsafe(*runtime, five);
  EXPECT_FALSE(future.done());
  runtime.reset();
  EXPECT_FALSE(future.cancel());
  EXPECT_THROW(future.get(), BrokenPromise);
}

TEST(ThreadFutureEnd, a_thread_that_waits_across_the_end_is_never_left_waiting) {
  for (int round = 0; round < (nightly() ? 2000 : 50); ++round) {
    Runtime runtime({.handle_signals = false});
    std::atomic<int> calls{0};
    std::jthread thread([&] {
      for (;;) {
        const auto future = run_coroutine_threadsafe(runtime, five);
        ++calls;
        try {
          EXPECT_EQ(future.get(), 5);
        } catch (const Cancelled&) {
          return;
        } catch (const BrokenPromise&) {
          return;
        }
      }
    });
    runtime.run([](std::atomic<int>& count, int enough) -> Coro<void> {
      co_await until([&count, enough] { return count >= enough; });
    }(calls, round % 7 + 1));
    thread.join();
  }
}

TEST(ThreadFutureEnd, calls_and_cancels_of_many_threads_all_come_to_an_end) {
  Runtime runtime;
  constexpr int threads = 4;
  const int each = nightly() ? 20'000 : 500;
  std::atomic<int> left{threads};
  std::atomic<int> values{0};
  std::atomic<int> cancelled{0};
  std::vector<std::jthread> callers;
  for (int t = 0; t < threads; ++t) {
    callers.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        const auto future = run_coroutine_threadsafe(runtime, five, {.priority = static_cast<double>(i % 3)});
        if ((i + t) % 3 == 0) future.cancel();
        try {
          EXPECT_EQ(future.get(), 5);
          ++values;
        } catch (const Cancelled&) {
          ++cancelled;
        }
      }
      --left;
    });
  }
  runtime.run([](std::atomic<int>& running) -> Coro<void> {
    co_await until([&running] { return running == 0; });
  }(left));
  EXPECT_EQ(values + cancelled, threads * each);
  EXPECT_GE(values, threads * each / 2);
}

TEST(ThreadsafeCoroutine, whose_task_is_cancelled_before_its_first_line_is_done) {
  Runtime runtime;
  runtime.loop().set_task_factory([](TaskOptions& options) { options.eager_start = false; });
  const auto future = run_coroutine_threadsafe(runtime, five, {.name = "remote", .priority = priority::low});
  runtime.run([]() -> Coro<void> {
    for (bool found = false; !found;) {
      co_await sleep(0);
      for (const TaskRef& task : all_tasks()) {
        if (task.name() == "remote") found = task.cancel("too early");
      }
    }
  }());
  ASSERT_TRUE(future.done());
  EXPECT_EQ(error_of<Cancelled>(future), "the task of a call from another thread was cancelled before it began");
}

}  // namespace
}  // namespace heirloop::testing
