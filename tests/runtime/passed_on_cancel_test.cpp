// A cancel that a wait has passed on to what is awaited, and what ends that wait before the answer has come: the cancel is not
// lost, it comes behind.
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/shield.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// What came out of an await, in words.
std::string caught() {
  try {
    throw;
  } catch (const TimeoutError&) {
    return "TimeoutError";
  } catch (const TimeoutInterrupt&) {
    return "TimeoutInterrupt";
  } catch (const InterruptException& interrupt) {
    return "interrupt " + interrupt.message();
  } catch (const Cancelled& cancelled) {
    return "cancelled " + cancelled.message();
  }
}

/// Takes so long for its clean-up as it is cancelled, and then ends by the cancel, or swallows it.
Coro<int> leaves_slowly(std::chrono::milliseconds clean_up, bool swallows = false) {
  std::exception_ptr error;
  try {
    co_await sleep(1h);
  } catch (const Cancelled&) {
    error = std::current_exception();
  }
  if (clean_up > 0ms) {
    const Shield shield;
    co_await sleep(clean_up);
  }
  if (error && !swallows) std::rethrow_exception(error);
  co_return 7;
}

class PassedOnCancel : public ::testing::Test {
 public:
  Sim sim;
  Order seen;

  /// Notes what comes out of `what()`, at most.
  template <class F>
  Coro<void> noted(F what) {
    bool threw = false;
    try {
      co_await what();
    } catch (...) {
      seen.push_back(caught());
      threw = true;
    }
    if (!threw) seen.push_back("a value");
  }

  /// Awaits `what()`, then sleeps twice.
  template <class F>
  Coro<void> victim(F what) {
    co_await noted(std::move(what));
    co_await noted([] { return sleep(1ms); });
    co_await noted([] { return sleep(1ms); });
  }

  /// Runs the victim, which awaits `awaits(child)`; `comes(victim, child)` happens while it waits.
  template <class Awaits, class Comes>
  void run(Coro<int> child, Awaits awaits, Comes comes) {
    sim.run([](PassedOnCancel& t, Coro<int> what, Awaits how, Comes then) -> Coro<void> {
      const auto awaited = create_task(std::move(what), {.name = "child"});
      co_await sleep(1ms);
      const auto waits = create_task(t.victim([&]() -> Coro<void> { return how(awaited); }), {.name = "victim"});
      co_await sleep(1ms);
      co_await then(TaskRef(waits), awaited);
      while (!waits.done() || !awaited.done()) co_await sleep(1ms);
      EXPECT_FALSE(waits.cancelled());
    }(*this, std::move(child), awaits, comes));
  }
};

Coro<void> awaits_it(PriorityTask<int> child) { co_await child; }

/// The interrupt comes while the child cleans up.
Coro<void> cancel_and_interrupt(TaskRef victim, PriorityTask<int> child) {
  victim.cancel("one");
  co_await sleep(1ms);
  EXPECT_EQ(co_await task_interrupt(victim, InterruptException("first")), InterruptOutcome::delivered);
  EXPECT_FALSE(child.done());
}

TEST_F(PassedOnCancel, comes_behind_a_throw_that_ends_the_wait) {
  run(leaves_slowly(5ms), awaits_it, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.cancel("one");
    EXPECT_EQ(victim.state(), TaskState::blocked) << "what it awaits goes first";
    task_throw(victim, InterruptException("first"));
    EXPECT_EQ(victim.cancelling(), 1U);
    EXPECT_FALSE(child.done());
    co_return;
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, comes_behind_an_interrupt_while_the_awaited_task_cleans_up) {
  run(leaves_slowly(5ms), awaits_it, cancel_and_interrupt);
  EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, is_not_behind_twice_when_throws_replace_each_other) {
  run(leaves_slowly(5ms), awaits_it, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    victim.cancel("one");
    task_throw(victim, InterruptException("first"));
    task_throw(victim, InterruptException("second"));
    co_return;
  });
  EXPECT_EQ(seen, (Order{"interrupt second", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, becomes_one_with_a_cancel_that_comes_behind_the_throw) {
  run(leaves_slowly(5ms), awaits_it, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    victim.cancel("one");
    task_throw(victim, InterruptException("first"));
    victim.cancel("two");
    EXPECT_EQ(victim.cancelling(), 2U);
    co_return;
  });
  EXPECT_EQ(seen, (Order{"cancelled two", "a value", "a value"}));
}

TEST_F(PassedOnCancel, comes_behind_a_throw_between_the_end_of_what_is_awaited_and_the_run) {
  run(leaves_slowly(0ms), awaits_it, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.set_priority(5);
    victim.cancel("one");
    while (!child.done()) co_await sleep(0);
    EXPECT_EQ(victim.state(), TaskState::ready);
    task_throw(victim, InterruptException("first"));
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, is_over_when_what_is_awaited_has_swallowed_it) {
  run(leaves_slowly(0ms, true), awaits_it, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.set_priority(5);
    victim.cancel("one");
    while (!child.done()) co_await sleep(0);
    task_throw(victim, InterruptException("first"));
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "a value", "a value"}));
}

TEST_F(PassedOnCancel, leaves_nothing_when_the_wait_ends_by_itself) {
  run(leaves_slowly(1ms), awaits_it, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    victim.cancel("one");
    co_await sleep(3ms);
  });
  EXPECT_EQ(seen, (Order{"cancelled one", "a value", "a value"}));
  seen.clear();
  run(leaves_slowly(1ms, true), awaits_it, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    victim.cancel("one");
    co_await sleep(3ms);
  });
  EXPECT_EQ(seen, (Order{"a value", "a value", "a value"}));
}

TEST_F(PassedOnCancel, goes_to_the_awaited_task_again_when_another_comes) {
  run(leaves_slowly(5ms), awaits_it, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.cancel("one");
    co_await sleep(1ms);
    victim.cancel("two");
    EXPECT_EQ(child.cancelling(), 2U);
    task_throw(victim, InterruptException("first"));
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, is_withdrawn_by_uncancel_before_and_behind_the_throw) {
  run(leaves_slowly(5ms), awaits_it, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    victim.cancel("one");
    EXPECT_EQ(victim.uncancel(), 0U);
    task_throw(victim, InterruptException("first"));
    co_return;
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "a value", "a value"}));
  seen.clear();
  run(leaves_slowly(5ms), awaits_it, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    victim.cancel("one");
    task_throw(victim, InterruptException("first"));
    EXPECT_EQ(victim.uncancel(), 0U);
    co_return;
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "a value", "a value"}));
}

TEST_F(PassedOnCancel, comes_behind_an_interrupt_of_a_gather) {
  const auto gathers = [](PriorityTask<int> child) -> Coro<void> { co_await gather(std::move(child), leaves_slowly(2ms)); };
  run(leaves_slowly(5ms), gathers, cancel_and_interrupt);
  EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, comes_behind_a_throw_into_a_wait_for_a_future_that_it_has_cancelled) {
  Promise<int> promise;
  const auto awaits_future = [&](PriorityTask<int>) -> Coro<void> { co_await promise.future(); };
  run(leaves_slowly(0ms), awaits_future, [&](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    child.cancel();
    victim.cancel("one");
    EXPECT_TRUE(promise.future().cancelled());
    task_throw(victim, InterruptException("first"));
    co_return;
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
}

TEST_F(PassedOnCancel, comes_behind_the_interrupt_of_a_time_limit) {
  const auto limited = [this](PriorityTask<int> child) -> Coro<void> {
    co_await noted([&] { return task_timeout(3ms, [&]() -> Coro<void> { co_await child; }); });
  };
  run(leaves_slowly(20ms), limited, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.cancel("one");
    co_await sleep(10ms);
    EXPECT_FALSE(child.done());
    EXPECT_EQ(victim.cancelling(), 1U);
  });
  EXPECT_EQ(seen, (Order{"TimeoutError", "a value", "cancelled one", "a value"}));
}

// ---- of a block's own ----

TEST_F(PassedOnCancel, of_a_limit_comes_behind_a_throw) {
  const auto limited = [this](PriorityTask<int> child) -> Coro<void> {
    co_await timeout(2ms, [&]() -> Coro<void> {
      co_await noted([&] { return awaits_it(child); });
      co_await noted([] { return sleep(1h); });
    });
  };
  run(leaves_slowly(20ms), limited, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    co_await sleep(5ms);
    EXPECT_EQ(victim.cancelling(), 1U) << "the limit has passed";
    EXPECT_EQ(child.cancelling(), 1U);
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("first")), InterruptOutcome::delivered);
    co_await sleep(1ms);
    EXPECT_EQ(victim.cancelling(), 0U) << "its block is over";
  });
  EXPECT_EQ(seen.at(0), "interrupt first");
  EXPECT_EQ(seen.at(1), "cancelled a time limit has passed");
}

/// Within 2 ms, also when an interrupt comes.
Coro<void> awaits_it_again(PriorityTask<int> child) {
  co_await timeout(2ms, [&]() -> Coro<void> {
    bool again = false;
    try {
      co_await child;
    } catch (const InterruptException&) {
      again = true;
    }
    if (again) co_await child;
  });
}

TEST_F(PassedOnCancel, of_a_limit_does_not_leave_its_block_when_what_it_has_ended_is_awaited_again) {
  run(leaves_slowly(0ms), awaits_it_again, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.set_priority(5);
    while (!child.done()) co_await sleep(1ms);
    task_throw(victim, InterruptException("first"));
  });
  EXPECT_EQ(seen, (Order{"TimeoutError", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_a_limit_is_not_sent_again_to_what_is_awaited_again) {
  run(leaves_slowly(20ms), awaits_it_again, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    co_await sleep(5ms);
    task_throw(victim, InterruptException("first"));
    co_await sleep(5ms);
    EXPECT_EQ(child.cancelling(), 1U);
  });
  EXPECT_EQ(seen, (Order{"TimeoutError", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_a_limit_is_over_when_what_is_awaited_has_swallowed_it) {
  const auto limited = [this](PriorityTask<int> child) -> Coro<void> {
    co_await timeout(2ms, [&]() -> Coro<void> {
      co_await noted([&] { return awaits_it(child); });
      co_await noted([] { return sleep(1ms); });
    });
  };
  run(leaves_slowly(0ms, true), limited, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    victim.set_priority(5);
    while (!child.done()) co_await sleep(1ms);
    task_throw(victim, InterruptException("first"));
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "a value", "a value", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_an_outer_limit_does_not_keep_an_inner_one_from_ending_the_wait) {
  const auto limited = [](PriorityTask<int> child) -> Coro<void> {
    co_await timeout(2ms, [&]() -> Coro<void> {
      co_await task_timeout(10ms, [&]() -> Coro<void> { co_await child; });
    });
  };
  run(leaves_slowly(1h), limited, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    co_await sleep(5ms);
    EXPECT_EQ(victim.cancelling(), 1U) << "the outer one has passed";
    co_await sleep(10ms);
    EXPECT_TRUE(victim.done()) << "the inner one has ended the wait";
    EXPECT_FALSE(child.done());
  });
  EXPECT_EQ(seen, (Order{"TimeoutError", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_an_outer_limit_is_followed_by_that_of_an_inner_one) {
  const auto limited = [](PriorityTask<int> child) -> Coro<void> {
    co_await timeout(2ms, [&]() -> Coro<void> {
      co_await timeout(10ms, [&]() -> Coro<void> { co_await child; });
    });
  };
  const auto stubborn = []() -> Coro<int> {
    for (int asked = 0; asked < 2;) {
      bool cancelled = false;
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        cancelled = true;
      }
      if (cancelled) ++asked;
    }
    throw Cancelled("the second");
    co_return 0;
  };
  run(stubborn(), limited, [](TaskRef victim, PriorityTask<int> child) -> Coro<void> {
    co_await sleep(5ms);
    EXPECT_EQ(child.cancelling(), 1U);
    co_await sleep(10ms);
    EXPECT_EQ(child.cancelling(), 2U);
    EXPECT_EQ(victim.cancelling(), 0U) << "both blocks are over";
  });
  EXPECT_EQ(seen, (Order{"TimeoutError", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_a_limit_is_over_when_the_throw_leaves_its_block) {
  const auto limited = [](PriorityTask<int> child) -> Coro<void> {
    co_await timeout(2ms, [&]() -> Coro<void> { co_await child; });
  };
  run(leaves_slowly(20ms), limited, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    co_await sleep(5ms);
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("first")), InterruptOutcome::delivered);
    EXPECT_EQ(victim.cancelling(), 0U);
  });
  EXPECT_EQ(seen, (Order{"interrupt first", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_a_user_is_not_lost_with_a_limits_that_comes_to_the_same_wait) {
  for (const bool user_first : {true, false}) {
    SCOPED_TRACE(user_first);
    seen.clear();
    const auto limited = [](PriorityTask<int> child) -> Coro<void> {
      co_await timeout(5ms, [&]() -> Coro<void> { co_await child; });
    };
    run(leaves_slowly(30ms), limited, [=](TaskRef victim, PriorityTask<int>) -> Coro<void> {
      if (user_first) victim.cancel("one");
      co_await sleep(8ms);
      if (!user_first) victim.cancel("one");
      EXPECT_EQ(victim.cancelling(), 2U);
      EXPECT_EQ(co_await task_interrupt(victim, InterruptException("first")), InterruptOutcome::delivered);
      EXPECT_EQ(victim.cancelling(), 1U);
    });
    EXPECT_EQ(seen, (Order{"interrupt first", "cancelled one", "a value"}));
  }
}

TEST_F(PassedOnCancel, of_a_group_is_taken_back_with_the_group) {
  const auto grouped = [](PriorityTask<int> child) -> Coro<void> {
    try {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.create_task([]() -> Coro<void> {
          co_await sleep(1ms);
          throw std::runtime_error("a child fails");
        }());
        co_await child;
      });
    } catch (const ExceptionGroup&) {
    }
  };
  run(leaves_slowly(20ms), grouped, [](TaskRef victim, PriorityTask<int>) -> Coro<void> {
    co_await sleep(5ms);
    EXPECT_EQ(victim.cancelling(), 1U) << "the group's own";
    co_await task_interrupt(victim, InterruptException("first"));
    EXPECT_EQ(victim.cancelling(), 0U);
  });
  EXPECT_EQ(seen, (Order{"a value", "a value", "a value"}));
}

TEST_F(PassedOnCancel, of_a_group_reaches_a_child_that_goes_on_after_an_interrupt) {
  sim.run([](Order& order) -> Coro<void> {
    const auto slow = create_task(leaves_slowly(20ms));
    co_await sleep(0);
    TaskRef child;
    const auto body = [&](TaskGroup& group) -> Coro<void> {
      child = group.create_task([](PriorityTask<int> awaited, Order& noted) -> Coro<void> {
        for (;;) {
          std::string what;
          try {
            co_await awaited;
            co_await sleep(1h);
          } catch (const InterruptException&) {
            what = "interrupted, goes on";
          }
          noted.push_back(what);
        }
      }(slow, order));
      co_await sleep(1ms);
      throw std::runtime_error("the body fails");
    };
    const auto group = create_task([](decltype(body)& in_group) -> Coro<void> { co_await with_task_group(in_group); }(body));
    co_await sleep(5ms);
    EXPECT_EQ(child.cancelling(), 1U);
    co_await task_interrupt(child, InterruptException("first"));
    co_await sleep(1ms);
    EXPECT_TRUE(child.cancelled());
    EXPECT_TRUE(group.done());
    group.exception();
    while (!slow.done()) co_await sleep(1ms);
  }(seen));
  EXPECT_EQ(seen, (Order{"interrupted, goes on"}));
}

}  // namespace
}  // namespace heirloop::testing
