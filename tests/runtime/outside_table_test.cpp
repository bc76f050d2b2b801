// The table of DESIGN section 8: what is pending and not delivered, and what comes; one test a cell. What is pending lies in a
// task that was woken for it and has not run.
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/interrupt.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// A victim in two limits; each block notes what leaves it, and goes on.
class OutsideTable : public ::testing::Test {
 public:
  Sim sim;
  Order seen;
  TimeLimit* outer = nullptr;
  TimeLimit* inner = nullptr;
  bool outer_expired = false;
  bool inner_expired = false;

  void note(const char* where) {
    try {
      throw;
    } catch (const TimeoutError&) {
      seen.push_back(std::string(where) + " TimeoutError");
    } catch (const TimeoutInterrupt&) {
      seen.push_back(std::string(where) + " TimeoutInterrupt");
    } catch (const InterruptException& interrupt) {
      seen.push_back(std::string(where) + " " + interrupt.message());
    } catch (const Cancelled& cancelled) {
      std::string cause;
      if (cancelled.cause()) {
        try {
          std::rethrow_exception(cancelled.cause());
        } catch (const InterruptException& interrupt) {
          cause = " because of " + interrupt.message();
        }
      }
      seen.push_back(std::string(where) + " cancelled " + cancelled.message() + cause);
    }
  }

  Coro<void> in_inner(TimeLimit& limit) {
    inner = &limit;
    for (int i = 0; i < 2; ++i) {
      std::exception_ptr error;
      try {
        co_await sleep(50ms);
      } catch (...) {
        inner_expired = limit.expired();
        error = std::current_exception();
        note("inside");
      }
      bool again = false;
      try {
        if (error) std::rethrow_exception(error);
      } catch (const InterruptException& interrupt) {
        again = interrupt.message() == "go on";
      } catch (...) {
      }
      if (error && !again) std::rethrow_exception(error);
    }
  }

  template <class Inner, class Outer>
  Coro<void> victim(Inner inner_block, Outer outer_block) {
    const auto in_outer = [&](TimeLimit& limit) -> Coro<void> {
      outer = &limit;
      std::exception_ptr error;
      try {
        co_await inner_block([this](TimeLimit& l) { return in_inner(l); });
      } catch (...) {
        error = std::current_exception();
        note("behind the inner");
      }
      outer_expired = limit.expired();
      if (error) std::rethrow_exception(error);
    };
    try {
      co_await outer_block(in_outer);
    } catch (...) {
      note("behind the outer");
    }
  }

  /// Runs the victim, with `what_comes(victim)` 2 ms after its beginning. Limits: 2 ms unless `none`; what was set first
  /// passes first, before `what_comes` runs.
  template <class Comes>
  void run(const char* inner_kind, const char* outer_kind, Comes what_comes) {
    sim.run([](OutsideTable& t, std::string in, std::string out, Comes comes) -> Coro<void> {
      const auto block = [](std::string kind) {
        return [kind](auto body) -> Coro<void> {
          if (kind == "cancels") return timeout(2ms, body);
          if (kind == "interrupts") return task_timeout(2ms, body);
          return timeout(std::nullopt, body);
        };
      };
      auto task = create_task(t.victim(block(in), block(out)), {.name = "victim", .priority = 5});
      co_await sleep(2ms);  // set after the limits, of higher urgency: goes on between their passing and the victim's step
      co_await comes(TaskRef(task));
      while (!task.done()) co_await sleep(1ms);
      EXPECT_FALSE(task.cancelled());
      EXPECT_EQ(task.exception(), nullptr);
    }(*this, inner_kind, outer_kind, what_comes));
  }

  /// A victim in one limit of 3 ms: `comes(victim)` happens first, then the time passes before the victim runs.
  template <class Comes>
  void run_before_limit(const char* kind, Comes comes) {
    sim.run([](OutsideTable& t, std::string of, Comes first) -> Coro<void> {
      const auto body = [&t](TimeLimit& limit) { return t.in_inner(limit); };
      const auto main = [&]() -> Coro<void> {
        try {
          if (of == "cancels") {
            co_await timeout(3ms, body);
          } else {
            co_await task_timeout(3ms, body);
          }
        } catch (...) {
          t.note("behind");
        }
      };
      auto task = create_task(main(), {.priority = 5});
      co_await sleep(1ms);
      first(task);
      const unsigned requested = task.cancelling();
      t.sim.driver.advance(5ms);
      while (!task.done()) co_await sleep(1ms);
      EXPECT_EQ(task.cancelling(), requested) << "a limit takes its own request back";
    }(*this, kind, comes));
  }
};

// ---- undelivered cancel ----

TEST_F(OutsideTable, cancel_then_cancel_is_counted_and_the_first_message_stays) {
  run("none", "none", [](TaskRef victim) -> Coro<void> {
    victim.cancel("one");
    victim.cancel("two");
    EXPECT_EQ(victim.cancelling(), 2U);
    co_return;
  });
  EXPECT_EQ(seen, (Order{"inside cancelled one", "behind the inner cancelled one", "behind the outer cancelled one"}));
}

TEST_F(OutsideTable, cancel_then_throw_or_interrupt_is_refused) {
  run("none", "none", [](TaskRef victim) -> Coro<void> {
    victim.cancel("one");
    EXPECT_THROW(task_throw(victim, InterruptException("late")), InvalidStateError);
    EXPECT_THROW(co_await task_interrupt(victim, InterruptException("late")), InvalidStateError);
  });
  EXPECT_EQ(seen, (Order{"inside cancelled one", "behind the inner cancelled one", "behind the outer cancelled one"}));
}

TEST_F(OutsideTable, cancel_then_a_timeout_marks_its_block_and_the_cancel_goes_through) {
  for (const char* kind : {"cancels", "interrupts"}) {
    SCOPED_TRACE(kind);
    seen.clear();
    run_before_limit(kind, [](const TaskRef& victim) { victim.cancel("one"); });
    EXPECT_EQ(seen, (Order{"inside cancelled one", "behind cancelled one"}));
    EXPECT_TRUE(inner_expired);
  }
}

// ---- undelivered throw ----

TEST_F(OutsideTable, throw_then_cancel_becomes_a_cancel_with_the_throw_as_cause) {
  run("none", "none", [](TaskRef victim) -> Coro<void> {
    task_throw(victim, InterruptException("thrown"));
    victim.cancel("one");
    co_return;
  });
  EXPECT_EQ(seen.at(0), "inside cancelled one because of thrown");
}

TEST_F(OutsideTable, throw_then_throw_replaces) {
  run("none", "none", [](TaskRef victim) -> Coro<void> {
    task_throw(victim, InterruptException("first"));
    task_throw(victim, InterruptException("second"));
    co_return;
  });
  EXPECT_EQ(seen.at(0), "inside second");
}

TEST_F(OutsideTable, throw_then_a_timeout_stays_due_and_comes_at_the_next_suspension) {
  for (const char* kind : {"cancels", "interrupts"}) {
    SCOPED_TRACE(kind);
    seen.clear();
    run_before_limit(kind, [](const TaskRef& victim) { task_throw(victim, InterruptException("go on")); });
    const std::string second = std::string(kind) == "cancels" ? "inside cancelled a time limit has passed" : "inside TimeoutInterrupt";
    EXPECT_EQ(seen, (Order{"inside go on", second, "behind TimeoutError"}));
  }
}

// ---- undelivered timeout ----

TEST_F(OutsideTable, timeout_then_cancel_is_a_cancel_and_the_block_is_marked) {
  for (const char* kind : {"cancels", "interrupts"}) {
    SCOPED_TRACE(kind);
    seen.clear();
    run(kind, "none", [](TaskRef victim) -> Coro<void> {
      EXPECT_EQ(victim.state(), TaskState::ready) << "its limit has passed";
      victim.cancel("one");
      co_return;
    });
    EXPECT_EQ(seen, (Order{"inside cancelled one", "behind the inner cancelled one", "behind the outer cancelled one"}));
    EXPECT_TRUE(inner_expired);
  }
}

TEST_F(OutsideTable, timeout_then_throw_is_delivered_first_and_the_timeout_stays_due) {
  for (const char* kind : {"cancels", "interrupts"}) {
    SCOPED_TRACE(kind);
    seen.clear();
    run(kind, "none", [](TaskRef victim) -> Coro<void> {
      EXPECT_EQ(victim.state(), TaskState::ready) << "its limit has passed";
      EXPECT_EQ(co_await task_interrupt(victim, InterruptException("go on")), InterruptOutcome::delivered);
    });
    const std::string second = std::string(kind) == "cancels" ? "inside cancelled a time limit has passed" : "inside TimeoutInterrupt";
    EXPECT_EQ(seen, (Order{"inside go on", second, "behind the inner TimeoutError", "behind the outer TimeoutError"}));
  }
}

TEST_F(OutsideTable, timeout_then_throw_that_leaves_the_block_ends_the_matter) {
  for (const char* kind : {"cancels", "interrupts"}) {
    SCOPED_TRACE(kind);
    seen.clear();
    run(kind, "none", [](TaskRef victim) -> Coro<void> {
      EXPECT_EQ(co_await task_interrupt(victim, InterruptException("out")), InterruptOutcome::ended);
    });
    EXPECT_EQ(seen, (Order{"inside out", "behind the inner out", "behind the outer out"}));
  }
}

TEST_F(OutsideTable, timeout_then_timeout_the_outer_wins_and_the_inner_is_marked) {
  for (const char* inner_kind : {"cancels", "interrupts"}) {
    for (const char* outer_kind : {"cancels", "interrupts"}) {
      SCOPED_TRACE(std::string(inner_kind) + " in " + outer_kind);
      seen.clear();
      sim.run([](OutsideTable& t, std::string in, std::string out) -> Coro<void> {
        const auto block = [](std::string kind, TimeSpan span) {
          return [kind, span](auto body) -> Coro<void> {
            if (kind == "cancels") return timeout(span, body);
            return task_timeout(span, body);
          };
        };
        auto task = create_task(t.victim(block(in, 2ms), block(out, 3ms)), {.priority = 5});
        co_await sleep(1ms);
        t.sim.driver.advance(5ms);  // both pass before the victim runs
        while (!task.done()) co_await sleep(1ms);
        EXPECT_EQ(task.cancelling(), 0U);
      }(*this, inner_kind, outer_kind));
      const std::string sent = std::string(outer_kind) == "cancels" ? "cancelled a time limit has passed" : "TimeoutInterrupt";
      EXPECT_EQ(seen, (Order{"inside " + sent, "behind the inner " + sent, "behind the outer TimeoutError"}));
      EXPECT_TRUE(inner_expired);
      EXPECT_TRUE(outer_expired);
    }
  }
}

}  // namespace
}  // namespace heirloop::testing
