// Jobs in threads whose awaiter is cancelled, thrown at or interrupted: queued, running, ended and not yet delivered; and
// the ends of pools and runs.
#include "runtime/thread_support.hpp"
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

enum class Stop { by_cancel, by_throw, by_interrupt };

/// Ends the victim's wait from outside, and returns when the exception is set; an interrupt that has to wait for the job
/// waits in a task of its own.
void stop(const TaskRef& victim, Stop how) {
  switch (how) {
    case Stop::by_cancel:
      victim.cancel("stopped");
      return;
    case Stop::by_throw:
      task_throw(victim, InterruptException("stopped"));
      return;
    case Stop::by_interrupt:
      create_task(
          [](TaskRef task) -> Coro<void> {
            const auto outcome = co_await task_interrupt(std::move(task), InterruptException("stopped"));
            EXPECT_EQ(outcome, InterruptOutcome::ended);
          }(victim),
          {.eager_start = true});
      return;
  }
}

bool was_stopped(const TaskRef& task) {
  if (task.cancelled()) return true;
  if (task.exception() == nullptr) return false;
  try {
    std::rethrow_exception(task.exception());
  } catch (const InterruptException& error) {
    return error.message() == "stopped";
  } catch (...) {
    return false;
  }
}

class StoppedJob : public ::testing::TestWithParam<Stop> {
 protected:
  static void run(Coro<void> main) { heirloop::run(std::move(main)); }
};

Coro<void> end_of(TaskRef task) {
  co_await until([&task] { return task.done(); });
}

TEST_P(StoppedJob, that_is_queued_never_runs) {
  run([](Stop how) -> Coro<void> {
    ThreadPool pool(1);
    Hold hold;
    bool ran = false;
    auto first = create_task([](ThreadPool& p, Hold& door) -> Coro<void> {
      co_await run_in_executor(p, [&door] { door.pass(); });
    }(pool, hold));
    auto victim = create_task([](ThreadPool& p, bool& it_ran) -> Coro<void> {
      co_await run_in_executor(p, [&it_ran] { it_ran = true; });
    }(pool, ran));
    co_await until([&] { return hold.arrived() && pool.queued() == 1; });
    stop(victim, how);
    EXPECT_EQ(pool.queued(), 0U);
    co_await end_of(victim);  // while the thread is held
    EXPECT_TRUE(was_stopped(victim));
    EXPECT_FALSE(first.done());
    hold.open();
    co_await first;
    co_await run_in_executor(pool, [] {});  // the thread is there for others
    EXPECT_FALSE(ran);
  }(GetParam()));
}

TEST_P(StoppedJob, that_runs_is_awaited) {
  run([](Stop how) -> Coro<void> {
    Hold hold;
    bool ran = false;
    auto victim = create_task([](Hold& door, bool& it_ran) -> Coro<void> {
      co_await to_thread([&] {
        door.pass();
        it_ran = true;
      });
    }(hold, ran));
    co_await until([&hold] { return hold.arrived(); });
    stop(victim, how);
    co_await sleep(1ms);
    EXPECT_FALSE(victim.done());
    hold.open();
    co_await end_of(victim);
    EXPECT_TRUE(ran);
    EXPECT_TRUE(was_stopped(victim));
  }(GetParam()));
}

TEST_P(StoppedJob, that_runs_and_fails_is_logged) {
  const LogCapture log;
  run([](Stop how) -> Coro<void> {
    Hold hold;
    auto victim = create_task([](Hold& door) -> Coro<void> {
      co_await to_thread([&door] {
        door.pass();
        throw std::runtime_error("in the job");
      });
    }(hold));
    co_await until([&hold] { return hold.arrived(); });
    stop(victim, how);
    hold.open();
    co_await end_of(victim);
    EXPECT_TRUE(was_stopped(victim));
  }(GetParam()));
  EXPECT_EQ(log.count("a job in a thread failed, and nobody waited for it any more: std::runtime_error: in the job"), 1U)
      << log.text();
}

TEST_P(StoppedJob, that_runs_is_left_alone_when_abandoned) {
  const LogCapture log;
  const auto captured = std::make_shared<int>(1);
  bool ran = false;
  Hold hold;
  run([](Stop how, Hold& door, std::shared_ptr<int> kept, bool& it_ran) -> Coro<void> {
    auto victim = create_task([](Hold& d, std::shared_ptr<int> k, bool& r) -> Coro<void> {
      auto job = [&d, &r, k] {
        d.pass();
        r = true;
        throw std::runtime_error("in the job");
      };
      k.reset();
      co_await to_thread(std::move(job), {.when_left = WhenLeft::abandons});
    }(door, std::move(kept), it_ran));
    co_await until([&door] { return door.arrived(); });
    stop(victim, how);
    co_await end_of(victim);  // while the job is held
    EXPECT_TRUE(was_stopped(victim));
    door.open();  // the end of the run waits for it
  }(GetParam(), hold, captured, ran));
  EXPECT_TRUE(ran);
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_EQ(log.count("nobody waited for it any more: std::runtime_error: in the job"), 1U) << log.text();
}

/// The completion is taken between two steps, and the victim, at LOW, has not run when the stopper does: a task that is
/// ready whenever the loop looks.
TEST_P(StoppedJob, that_has_ended_and_is_not_delivered_is_dropped) {
  const LogCapture log;
  RuntimeOptions options;
  options.policy = PolicyKind::strict;
  Runtime runtime(options);
  runtime.run([](Stop how) -> Coro<void> {
    Hold hold;
    auto victim = create_task(
        [](Hold& door) -> Coro<void> {
          co_await to_thread([&door] {
            door.pass();
            throw std::runtime_error("in the job");
          });
        }(hold),
        {.priority = priority::low});
    co_await until([&hold] { return hold.arrived(); });
    hold.open();
    while (victim.state() == TaskState::blocked) co_await sleep(0);
    EXPECT_EQ(victim.state(), TaskState::ready);
    stop(victim, how);
    co_await end_of(victim);
    EXPECT_TRUE(was_stopped(victim));
  }(GetParam()));
  EXPECT_EQ(log.count("nobody waited for it any more: std::runtime_error: in the job"), 1U) << log.text();
}

TEST_P(StoppedJob, is_asked_to_stop) {
  run([](Stop how) -> Coro<void> {
    Hold hold;
    bool asked = false;
    auto victim = create_task([](Hold& door, bool& it_was_asked) -> Coro<void> {
      co_await to_thread([&](std::stop_token token) {
        EXPECT_FALSE(token.stop_requested());
        door.pass();
        it_was_asked = token.stop_requested();
      });
    }(hold, asked));
    co_await until([&hold] { return hold.arrived(); });
    stop(victim, how);
    hold.open();
    co_await end_of(victim);
    EXPECT_TRUE(asked);
  }(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Stops, StoppedJob, ::testing::Values(Stop::by_cancel, Stop::by_throw, Stop::by_interrupt),
                         [](const auto& how) {
                           return how.param == Stop::by_cancel  ? "cancel"
                                  : how.param == Stop::by_throw ? "throw"
                                                                : "interrupt";
                         });

TEST(StoppedJobs, an_interrupt_waits_for_the_job_and_lends_the_victim_its_urgency) {
  run([]() -> Coro<void> {
    Hold hold;
    bool caught = false;
    auto victim = create_task(
        [](Hold& door, bool& it_caught) -> Coro<void> {
          try {
            co_await to_thread([&door] { door.pass(); });
          } catch (const InterruptException&) {
            it_caught = true;
          }
          co_await sleep(1h);
        }(hold, caught),
        {.priority = priority::low});
    co_await until([&hold] { return hold.arrived(); });
    auto caller = create_task(
        [](TaskRef task) -> Coro<InterruptOutcome> {
          co_return co_await task_interrupt(std::move(task), InterruptException());
        }(victim),
        {.priority = priority::high, .eager_start = true});
    EXPECT_EQ(victim.effective_priority(), priority::high);
    hold.open();
    EXPECT_EQ(co_await caller, InterruptOutcome::delivered);
    EXPECT_TRUE(caught);
    EXPECT_EQ(victim.effective_priority(), priority::low);
    victim.cancel();
  }());
}

TEST(StoppedJobs, a_timeout_ends_when_the_job_has) {
  run([]() -> Coro<void> {
    Hold hold;
    auto task = create_task([](Hold& door) -> Coro<void> {
      co_await timeout(1ms, [&door]() -> Coro<void> { co_await to_thread([&door] { door.pass(); }); });
    }(hold));
    co_await until([&] { return hold.arrived(); });
    co_await sleep(3ms);
    EXPECT_FALSE(task.done());
    hold.open();
    EXPECT_THROW(co_await task, TimeoutError);
  }());
}

TEST(StoppedJobs, a_task_that_has_cancelled_itself_starts_none) {
  run([]() -> Coro<void> {
    bool ran = false;
    auto task = create_task([](bool& it_ran) -> Coro<void> {
      current_task().cancel();
      co_await to_thread([&it_ran] { it_ran = true; });
    }(ran));
    co_await end_of(task);
    EXPECT_TRUE(task.cancelled());
    co_await to_thread([] {});
    EXPECT_FALSE(ran);
  }());
}

// ---- ends ----

TEST(ThreadPoolEnd, refuses_queued_jobs_and_runs_begun_ones_to_their_end) {
  run([]() -> Coro<void> {
    ThreadPool pool(1);
    Hold hold;
    bool ran = false;
    auto begun = create_task([](ThreadPool& p, Hold& door) -> Coro<int> {
      co_return co_await run_in_executor(p, [&door] {
        door.pass();
        return 5;
      });
    }(pool, hold));
    auto queued = create_task([](ThreadPool& p, bool& it_ran) -> Coro<void> {
      co_await run_in_executor(p, [&it_ran] { it_ran = true; });
    }(pool, ran));
    co_await until([&] { return hold.arrived() && pool.queued() == 1; });
    hold.open();
    pool.close();
    EXPECT_EQ(begun.state(), TaskState::ready);
    EXPECT_EQ(co_await begun, 5);
    EXPECT_THROW(co_await queued, InvalidStateError);
    EXPECT_FALSE(ran);
    std::string what;
    try {
      co_await run_in_executor(pool, [] {});
    } catch (const InvalidStateError& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "this thread pool was closed");
  }());
}

TEST(ThreadPoolEnd, the_end_of_a_run_awaits_jobs_of_tasks_that_are_left) {
  bool ran = false;
  Hold hold;
  std::jthread opener([&hold] {
    hold.wait_for_arrival();
    hold.open();
  });
  run([](Hold& door, bool& it_ran) -> Coro<void> {
    create_task([](Hold& d, bool& r) -> Coro<void> {
      co_await to_thread([&] {
        d.pass();
        r = true;
      });
    }(door, it_ran));
    co_await until([&door] { return door.arrived(); });
  }(hold, ran));
  EXPECT_TRUE(ran);
}

TEST(ThreadPoolEnd, a_job_may_call_into_its_own_loop) {
  run([]() -> Coro<void> {
    Loop& loop = Loop::current();
    const int got = co_await to_thread([&loop] {
      return run_coroutine_threadsafe(loop, []() -> Coro<int> {
               co_await sleep(1ms);
               co_return 5;
             }).get();
    });
    EXPECT_EQ(got, 5);
  }());
}

}  // namespace
}  // namespace heirloop::testing
