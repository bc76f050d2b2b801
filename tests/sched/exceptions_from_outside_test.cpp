// Cancel, throw and interrupt (the table of DESIGN section 8), for a victim in every state that it can be in.
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class Outside : public ::testing::TestWithParam<PolicyKind> {
 public:
  Sim sim{[] {
    LoopOptions options;
    options.policy = GetParam();
    return options;
  }()};
  Order order;
  LogCapture log;
};

INSTANTIATE_TEST_SUITE_P(Policies, Outside,
                         ::testing::Values(PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging),
                         [](const auto& p) { return std::string(to_string(p.param)); });

PriorityTask<void> start(Coro<void> coro, double priority = 0) {
  return create_task(std::move(coro), {.priority = priority, .eager_start = true});
}

/// Runs `body` and notes how it ended.
template <class Body>
Coro<void> noting(Order& order, std::string name, Body body) {
  try {
    co_await body();
    order.push_back(name + " ended");
  } catch (const InterruptException& error) {
    order.push_back(name + " " + error.message());
  } catch (const Cancelled& cancelled) {
    order.push_back(name + " cancelled " + cancelled.message() + (cancelled.cause() ? " with cause" : ""));
  }
}

Coro<void> sleeps() { co_await sleep(1h); }
Coro<void> yields_twice() {
  co_await sleep(0);
  co_await sleep(0);
}

template <class E>
Coro<InterruptOutcome> interrupt(TaskRef victim, E error) {
  co_return co_await task_interrupt(victim, std::move(error));
}

// ---- a victim in each state ----

TEST_P(Outside, a_new_task_gets_it_at_its_first_line) {
  sim.run([](Outside& t) -> Coro<void> {
    const auto body = [](Order& o) -> Coro<void> {
      o.push_back("began");
      co_return;
    };
    auto cancelled = create_task(body(t.order));
    EXPECT_TRUE(cancelled.cancel("early"));
    auto thrown_at = create_task(body(t.order));
    task_throw(thrown_at, std::runtime_error("early"));
    auto interrupted = create_task(body(t.order));
    EXPECT_EQ(co_await task_interrupt(interrupted, InterruptException("early")), InterruptOutcome::ended);
    EXPECT_TRUE(interrupted.done());
    EXPECT_FALSE(interrupted.cancelled());
    EXPECT_THROW(interrupted.result(), InterruptException);
    co_await sleep(1ms);
    EXPECT_TRUE(cancelled.cancelled());
    EXPECT_THROW(cancelled.result(), Cancelled);
    EXPECT_THROW(thrown_at.result(), std::runtime_error);
  }(*this));
  EXPECT_EQ(order, Order{});
}

TEST_P(Outside, a_ready_task_gets_it_where_it_gave_way) {
  sim.run([](Outside& t) -> Coro<void> {
    auto a = start(noting(t.order, "a", yields_twice));
    auto b = start(noting(t.order, "b", yields_twice));
    auto c = start(noting(t.order, "c", yields_twice));
    EXPECT_EQ(a.state(), TaskState::ready);
    a.cancel("now");
    task_throw(b, InterruptException("thrown"));
    EXPECT_EQ(co_await task_interrupt(c, InterruptException("interrupted")), InterruptOutcome::ended);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"c interrupted", "a cancelled now", "b thrown"}));
}

TEST_P(Outside, a_sleeper_leaves_its_timer_behind) {
  sim.run([](Outside& t) -> Coro<void> {
    auto a = start(noting(t.order, "a", sleeps));
    auto b = start(noting(t.order, "b", sleeps));
    auto c = start(noting(t.order, "c", sleeps));
    co_await sleep(0);
    a.cancel();
    EXPECT_EQ(a.state(), TaskState::ready);
    task_throw(b, InterruptException("thrown"));
    EXPECT_EQ(b.state(), TaskState::ready);
    co_await task_interrupt(c, InterruptException("interrupted"));
    co_await sleep(0);
    EXPECT_TRUE(t.sim.loop.timers().empty());
  }(*this));
  EXPECT_EQ(order, (Order{"c interrupted", "a cancelled ", "b thrown"}));
  EXPECT_EQ(sim.driver.now_ns(), 0);
}

TEST_P(Outside, an_elected_sleeper_gets_it_too) {
  sim.run([](Outside& t) -> Coro<void> {
    auto victim = start(noting(t.order, "victim", []() -> Coro<void> { co_await sleep(1ms); }));
    co_await sleep(0);
    t.sim.driver.advance(1ms);
    create_task(
        [](TaskRef v) -> Coro<void> {
          EXPECT_EQ(v.state(), TaskState::ready);
          EXPECT_EQ(co_await task_interrupt(v, InterruptException("late")), InterruptOutcome::ended);
        }(victim),
        {.priority = priority::always_first});
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"victim late"}));
}

TEST_P(Outside, a_task_that_awaits_a_task_leaves_it_unharmed_unless_cancelled) {
  sim.run([](Outside& t) -> Coro<void> {
    const auto joins = [](PriorityTask<void> inner) { return [inner]() -> Coro<void> { co_await inner; }; };
    const auto napping = []() -> Coro<void> { co_await sleep(1ms); };
    auto inner = start(noting(t.order, "inner", napping));
    const auto body = joins(inner);
    auto thrown_at = start(noting(t.order, "thrown_at", body));
    auto interrupted = start(noting(t.order, "interrupted", body));
    task_throw(thrown_at, InterruptException("x"));
    co_await task_interrupt(interrupted, InterruptException("y"));
    EXPECT_EQ(inner.state(), TaskState::blocked);
    co_await inner;
  }(*this));
  EXPECT_EQ(order, (Order{"interrupted y", "thrown_at x", "inner ended"}));
}

TEST_P(Outside, refuses_the_done_the_current_and_those_that_start_it) {
  sim.run([](Outside& t) -> Coro<void> {
    auto done = start([]() -> Coro<void> { co_return; }());
    EXPECT_FALSE(done.cancel());
    EXPECT_THROW(task_throw(done, InterruptException()), InvalidStateError);
    EXPECT_THROW(task_throw(current_task(), InterruptException()), InvalidStateError);
    EXPECT_THROW(task_throw(TaskRef(), InterruptException()), InvalidStateError);
    EXPECT_THROW(task_throw(done, std::exception_ptr()), std::invalid_argument);
    const TaskRef me = current_task();
    for (const TaskRef& victim : {TaskRef(done), me}) {
      bool refused = false;
      try {
        co_await task_interrupt(victim, InterruptException());
      } catch (const InvalidStateError&) {
        refused = true;
      }
      EXPECT_TRUE(refused);
    }
    auto child = start([](TaskRef starter, Order& o) -> Coro<void> {
      EXPECT_EQ(starter.state(), TaskState::running);
      EXPECT_THROW(task_throw(starter, InterruptException()), InvalidStateError);
      try {
        co_await task_interrupt(starter, InterruptException());
      } catch (const InvalidStateError& error) {
        o.push_back(error.what());
      }
    }(me, t.order));
    EXPECT_TRUE(child.done());
    t.sim.loop.call_soon([me, &t] {
      t.order.push_back("handle");
      task_throw(me, InterruptException("from a handle"));
    });
    co_await noting(t.order, "main", [] { return sleeps(); });
  }(*this));
  ASSERT_EQ(order.size(), 3U);
  EXPECT_THAT(order[0], HasSubstr("it is starting the current task eagerly"));
  EXPECT_EQ(order[1], "handle");
  EXPECT_EQ(order[2], "main from a handle");
}

// ---- undelivered, and another one comes ----

TEST_P(Outside, a_cancel_stays_with_its_first_message_and_refuses_throws) {
  sim.run([](Outside& t) -> Coro<void> {
    auto victim = start(noting(t.order, "victim", sleeps));
    EXPECT_TRUE(victim.cancel("first"));
    EXPECT_TRUE(victim.cancel("second"));
    EXPECT_EQ(victim.cancelling(), 2U);
    EXPECT_THROW(task_throw(victim, InterruptException()), InvalidStateError);
    bool refused = false;
    try {
      co_await task_interrupt(victim, InterruptException());
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    co_await victim;
  }(*this));
  EXPECT_EQ(order, (Order{"victim cancelled first"}));
}

TEST_P(Outside, a_throw_becomes_a_cancel_with_the_throw_as_cause) {
  sim.run([](Outside& t) -> Coro<void> {
    auto victim = start(noting(t.order, "victim", sleeps));
    task_throw(victim, InterruptException("lost"));
    victim.cancel("wins");
    co_await victim;
  }(*this));
  EXPECT_EQ(order, (Order{"victim cancelled wins with cause"}));
}

TEST_P(Outside, a_later_throw_or_interrupt_replaces_an_undelivered_throw) {
  sim.run([](Outside& t) -> Coro<void> {
    auto victim = start(noting(t.order, "victim", sleeps));
    task_throw(victim, InterruptException("first"));
    task_throw(victim, InterruptException("second"));
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("third")), InterruptOutcome::ended);
  }(*this));
  EXPECT_EQ(order, (Order{"victim third"}));
}

/// The starter goes on while the interrupter that it started waits for its turn.
TEST_P(Outside, an_interrupter_learns_that_it_was_replaced) {
  for (const bool by_cancel : {false, true}) {
    order.clear();
    sim.run([](Outside& t, bool cancel) -> Coro<void> {
      auto victim = start(noting(t.order, "victim", sleeps));
      auto first = create_task(interrupt(victim, InterruptException("first")), {.eager_start = true});
      EXPECT_FALSE(first.done());
      if (cancel) {
        victim.cancel("second");
      } else {
        EXPECT_EQ(co_await task_interrupt(victim, InterruptException("second")), InterruptOutcome::ended);
      }
      EXPECT_EQ(co_await first, InterruptOutcome::replaced);
    }(*this, by_cancel));
    EXPECT_EQ(order, Order{by_cancel ? "victim cancelled second with cause" : "victim second"});
  }
}

// ---- what the interrupter sees ----

TEST_P(Outside, the_interrupter_comes_back_right_after_the_victim) {
  sim.run([](Outside& t) -> Coro<void> {
    auto victim = start(
        [](Order& o) -> Coro<void> {
          for (int i = 0; i < 2; ++i) {
            try {
              co_await sleep(1h);
            } catch (const InterruptException& error) {
              o.push_back("victim " + error.message());
            }
          }
        }(t.order),
        priority::when_idle);
    for (int i = 0; i < 3; ++i) {
      create_task(
          [](Order& o) -> Coro<void> {
            o.push_back("urgent");
            co_return;
          }(t.order),
          {.priority = priority::always_first});
    }
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("1")), InterruptOutcome::delivered);
    t.order.push_back("caller");
    EXPECT_EQ(victim.state(), TaskState::blocked);
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("2")), InterruptOutcome::ended);
    t.order.push_back("caller");
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"victim 1", "caller", "victim 2", "caller", "urgent", "urgent", "urgent"}));
}

TEST_P(Outside, what_the_victim_does_to_itself_afterwards_replaces_nothing) {
  sim.run([](Outside&) -> Coro<void> {
    auto victim = start([]() -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const InterruptException&) {
      }
      current_task().cancel();
      co_await sleep(1h);
    }());
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException()), InterruptOutcome::delivered);
    co_await sleep(0);
    EXPECT_TRUE(victim.cancelled());
  }(*this));
}

TEST_P(Outside, interrupts_nest) {
  sim.run([](Outside& t) -> Coro<void> {
    auto inner = start(noting(t.order, "inner", sleeps));
    auto outer = start([](Outside& test, TaskRef next) -> Coro<void> {
      std::string message;
      try {
        co_await sleep(1h);
      } catch (const InterruptException& error) {
        message = error.message();
      }
      test.order.push_back("outer " + message);
      co_await task_interrupt(next, InterruptException("from outer"));
      test.order.push_back("outer goes on");
    }(t, inner));
    co_await task_interrupt(outer, InterruptException("from main"));
    t.order.push_back("main");
  }(*this));
  // The victim's own victim and the victim come before the first caller: each asked for the front later.
  EXPECT_EQ(order, (Order{"outer from main", "inner from outer", "outer goes on", "main"}));
}

TEST_P(Outside, an_interrupt_that_nobody_catches_fails_the_task_and_is_logged_if_unfetched) {
  sim.run([](Outside&) -> Coro<void> {
    co_await task_interrupt(start(sleeps()), InterruptException("nobody looks"));
    auto fetched = start(sleeps());
    co_await task_interrupt(fetched, InterruptException("somebody looks"));
    EXPECT_FALSE(fetched.cancelled());
    EXPECT_TRUE(fetched.exception());
  }(*this));
  EXPECT_EQ(log.count("nobody looks"), 1U) << log.text();
  EXPECT_EQ(log.count("somebody looks"), 0U);
}

TEST_P(Outside, an_interrupt_from_an_eager_child_runs_after_the_starters_step) {
  sim.run([](Outside& t) -> Coro<void> {
    auto victim = start(noting(t.order, "victim", sleeps));
    auto child = create_task(interrupt(victim, InterruptException("x")), {.eager_start = true});
    t.order.push_back("starter");
    co_await child;
  }(*this));
  EXPECT_EQ(order, (Order{"starter", "victim x"}));
}

TEST_P(Outside, any_type_of_exception_can_be_thrown) {
  struct Own : InterruptException {
    int number = 7;
  };
  sim.run([](Outside&) -> Coro<void> {
    int caught = 0;
    auto victim = start([](int& number) -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const Own& own) {
        number = own.number;
      }
    }(caught));
    const Own as_lvalue;
    co_await task_interrupt(victim, as_lvalue);
    EXPECT_EQ(caught, 7);
    auto another = start(sleeps());
    task_throw(another, std::make_exception_ptr(42));
    co_await sleep(0);
    EXPECT_THROW(another.result(), int);
  }(*this));
}

TEST_P(Outside, neither_cancel_nor_interrupt_is_a_std_exception) {
  static_assert(!std::is_base_of_v<std::exception, Cancelled>);
  static_assert(!std::is_base_of_v<std::exception, InterruptException>);
  sim.run([](Outside& t) -> Coro<void> {
    const auto careless = []() -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const std::exception&) {
        ADD_FAILURE() << "swallowed";
      }
    };
    auto a = start(noting(t.order, "a", careless));
    auto b = start(noting(t.order, "b", careless));
    a.cancel();
    task_throw(b, InterruptException("i"));
    co_await b;
  }(*this));
  EXPECT_EQ(order, (Order{"a cancelled ", "b i"}));
}

TEST(OutsideStrict, a_cancel_wakes_at_the_urgency_of_its_task_and_an_interrupt_before_all) {
  LoopOptions options;
  options.policy = PolicyKind::strict;
  Sim sim(options);
  Order order;
  sim.run([](Order& seen) -> Coro<void> {
    const auto middle = [](Order& noted) -> Coro<void> {
      noted.push_back("middle");
      co_return;
    };
    auto cancelled = start(noting(seen, "cancelled", sleeps), 5);
    auto interrupted = start(noting(seen, "interrupted", sleeps), 5);
    create_task(middle(seen), {.priority = 2});
    cancelled.cancel();
    co_await interrupt(interrupted, InterruptException("i"));
    seen.push_back("caller");
    while (!cancelled.done()) co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order, (Order{"interrupted i", "caller", "middle", "cancelled cancelled "}));
}

TEST_P(Outside, who_swallows_an_interrupt_or_waits_again_has_had_it_delivered) {
  sim.run([](Outside& t) -> Coro<void> {
    const auto goes_on = [](Order& seen, bool waits) -> Coro<void> {
      std::string caught;
      try {
        co_await sleep(1h);
      } catch (const InterruptException& error) {
        caught = error.message();
      }
      seen.push_back(caught);
      if (waits) co_await sleep(1ms);
    };
    const auto waits_again = start(goes_on(t.order, true));
    EXPECT_EQ(co_await interrupt(waits_again, InterruptException("one")), InterruptOutcome::delivered);
    EXPECT_EQ(waits_again.state(), TaskState::blocked);
    const auto ends = start(goes_on(t.order, false));
    EXPECT_EQ(co_await interrupt(ends, InterruptException("two")), InterruptOutcome::ended);
    co_await waits_again;
  }(*this));
  EXPECT_EQ(order, (Order{"one", "two"}));
}

}  // namespace
}  // namespace heirloop::testing
