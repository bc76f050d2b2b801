// TaskGroup and timeout: the core of structured concurrency.
#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Coro<void> note_after(std::chrono::milliseconds span, Order& order, std::string what) {
  co_await sleep(span);
  order.push_back(what);
}
Coro<void> fail_after(std::chrono::milliseconds span, std::string what) {
  co_await sleep(span);
  throw std::runtime_error(what);
}

Coro<void> sleeps(std::chrono::milliseconds span) { co_await sleep(span); }

TEST(TaskGroup, ends_when_all_of_its_tasks_have_ended) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const int value = co_await with_task_group([&](TaskGroup& group) -> Coro<int> {
      group.create_task(note_after(2ms, o, "late"));
      group.create_task(note_after(1ms, o, "early"));
      EXPECT_EQ(group.size(), 2U);
      o.push_back("body");
      co_return 7;
    });
    EXPECT_EQ(value, 7);
    o.push_back("after");
  }(order));
  EXPECT_EQ(order, (Order{"body", "early", "late", "after"}));
}

TEST(TaskGroup, the_first_failure_cancels_the_rest_and_the_body) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    bool thrown = false;
    try {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.create_task(fail_after(1ms, "first"));
        group.create_task(note_after(9ms, o, "never"));
        try {
          co_await sleep(5ms);
        } catch (const Cancelled&) {
          o.push_back("body cancelled");
          EXPECT_EQ(current_task().cancelling(), 1U);
          throw;
        }
      });
    } catch (const ExceptionGroup& group) {
      thrown = true;
      EXPECT_EQ(group.exceptions().size(), 1U);
      EXPECT_THAT(group.what(), HasSubstr("first"));
    }
    EXPECT_TRUE(thrown);
    EXPECT_EQ(current_task().cancelling(), 0U);
    co_await sleep(1ms);  // nothing is left that would cancel it
  }(order));
  EXPECT_EQ(order, Order{"body cancelled"});
}

TEST(TaskGroup, all_failures_come_out_together) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool thrown = false;
    try {
      co_await with_task_group([](TaskGroup& group) -> Coro<void> {
        const auto stubborn = []() -> Coro<void> {
          try {
            co_await sleep(1s);
          } catch (const Cancelled&) {
            throw std::runtime_error("second");
          }
        };
        group.create_task(fail_after(1ms, "first"));
        group.create_task(stubborn());
        co_return;
      });
    } catch (const ExceptionGroup& group) {
      thrown = true;
      EXPECT_EQ(group.exceptions().size(), 2U);
      EXPECT_THAT(group.what(), HasSubstr("first"));
      EXPECT_THAT(group.what(), HasSubstr("second"));
    }
    EXPECT_TRUE(thrown);
  }());
}

TEST(TaskGroup, the_bodys_own_exception_comes_out_as_it_is) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    bool thrown = false;
    try {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.create_task(note_after(9ms, o, "never"));
        co_await sleep(0);
        throw std::out_of_range("body");
      });
    } catch (const std::out_of_range&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
  }(order));
  EXPECT_TRUE(order.empty());
}

TEST(TaskGroup, a_cancel_from_outside_ends_the_children_first) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto clean = [](Order& inner) -> Coro<void> {
      try {
        co_await sleep(1s);
      } catch (const Cancelled&) {
        inner.push_back("child cancelled");
        throw;
      }
    };
    const auto main = [](Order& inner, auto make) -> Coro<void> {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.create_task(make(inner));
        co_return;
      });
    };
    const auto task = create_task(main(o, clean));
    co_await sleep(1ms);
    task.cancel("enough");
    bool cancelled = false;
    try {
      co_await task;
    } catch (const Cancelled& error) {
      cancelled = true;
      EXPECT_EQ(error.message(), "enough");
    }
    EXPECT_TRUE(cancelled);
    o.push_back("task cancelled");
  }(order));
  EXPECT_EQ(order, (Order{"child cancelled", "task cancelled"}));
}

TEST(TaskGroup, who_waits_for_the_group_lends_to_every_child) {
  Sim sim({.policy = PolicyKind::strict});
  sim.run([]() -> Coro<void> {
    const auto group_of_two = []() -> Coro<void> {
      co_await with_task_group([](TaskGroup& group) -> Coro<void> {
        const auto child = [](std::chrono::milliseconds span) -> Coro<void> { co_await sleep(span); };
        auto a = group.create_task(child(2ms), {.name = "a", .priority = 5});
        auto b = group.create_task(child(4ms), {.name = "b", .priority = -3});
        co_await sleep(1ms);
        EXPECT_EQ(a.effective_priority(), 5.0) << "the body awaits something else";
      });
    };
    const auto owner = create_task(group_of_two(), {.name = "owner", .priority = 1});
    co_await sleep(1500us);
    TaskRef a;
    TaskRef b;
    for (const TaskRef& task : all_tasks()) {
      if (task.name() == "a") a = task;
      if (task.name() == "b") b = task;
    }
    EXPECT_EQ(a.effective_priority(), 1.0);
    EXPECT_EQ(b.effective_priority(), -3.0);
    const auto waiter = create_task([](TaskRef) -> Coro<void> { co_return; }(owner));
    const auto joins = [](PriorityTask<void> task) -> Coro<void> { co_await task; };
    const auto urgent = create_task(joins(owner), {.priority = -9, .eager_start = true});
    EXPECT_EQ(a.effective_priority(), -9.0);
    EXPECT_EQ(b.effective_priority(), -9.0);
    co_await sleep(1ms);
    EXPECT_TRUE(a.done());
    EXPECT_EQ(b.effective_priority(), -9.0);
    owner.set_priority(-20);
    EXPECT_EQ(b.effective_priority(), -20.0);
    owner.set_priority(7);
    EXPECT_EQ(b.effective_priority(), -9.0);
    urgent.cancel();
    co_await sleep(5ms);
  }());
}

TEST(TaskGroup, a_child_that_waits_for_the_owner_of_its_group_is_a_deadlock) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock("keys");
    int deadlocks = 0;
    const auto owner = [](PriorityLock& keys, int& count) -> Coro<void> {
      auto held = co_await keys.acquire();
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        const auto can_run = []() -> Coro<void> { co_await sleep(3ms); };
        const auto cannot = [](PriorityLock& wanted, int& found) -> Coro<void> {
          co_await sleep(1ms);
          try {
            auto never = co_await wanted.acquire();
            ADD_FAILURE();
          } catch (const DeadlockError& error) {
            ++found;
            EXPECT_THAT(error.what(), HasSubstr("keys"));
            EXPECT_THAT(error.what(), HasSubstr("group of owner"));
            EXPECT_THAT(error.what(), HasSubstr("task_group_test.cpp:"));
          }
        };
        group.create_task(can_run());
        group.create_task(cannot(keys, count));
        co_return;
      });
    };
    co_await create_task(owner(lock, deadlocks), {.name = "owner"});
    EXPECT_EQ(deadlocks, 1);
  }());
}

TEST(TaskGroup, an_owner_that_closes_the_cycle_cancels_its_children) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock("keys");
    const auto owner = [](PriorityLock& keys) -> Coro<void> {
      auto held = co_await keys.acquire();
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        const auto child = [](PriorityLock& wanted) -> Coro<void> { auto never = co_await wanted.acquire(); };
        group.create_task(child(keys));
        co_await sleep(1ms);
      });
    };
    const auto task = create_task(owner(lock), {.name = "owner"});
    bool thrown = false;
    try {
      co_await task;
    } catch (const DeadlockError&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    EXPECT_FALSE(lock.locked());
  }());
}

/// Failures in the order in which they came, by their kind.
std::string kinds(const ExceptionGroup& errors) {
  std::string text;
  for (const auto& error : errors.leaves()) {
    try {
      std::rethrow_exception(error);
    } catch (const InterruptException& interrupt) {
      text += "interrupt " + interrupt.message() + ";";
    } catch (const std::runtime_error&) {
      text += "failure;";
    }
  }
  return text;
}

TEST(TaskGroup, a_throw_whose_place_its_own_cancel_took_is_a_failure_also_when_another_group_has_cancelled) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::string inside;
    std::string outside;
    const auto victim = create_task([](std::string& seen, std::string& outside_of_all) -> Coro<void> {
      const auto inner = [](TaskGroup& group) -> Coro<void> {
        group.create_task(fail_after(3ms, "failed"));
        const auto slow = []() -> Coro<void> { co_await ensure([] { return sleeps(1h); }, [] { return sleeps(10ms); }); };
        co_await gather(slow());
      };
      const auto outer = [&](TaskGroup& group) -> Coro<void> {
        group.create_task(fail_after(2ms, "failed"));
        try {
          co_await with_task_group(inner);
        } catch (const ExceptionGroup& errors) {
          seen = kinds(errors);
        }
      };
      try {
        co_await with_task_group(outer);
      } catch (const ExceptionGroup& errors) {
        outside_of_all = kinds(errors);
      }
    }(inside, outside));
    co_await sleep(1ms);
    task_throw(victim, InterruptException("first"));  // the gather ends its own task before it comes out
    co_await victim;
    EXPECT_EQ(inside, "failure;");
    EXPECT_EQ(outside, "failure;interrupt first;") << "the outer group's cancel came first";
  }());
}

TEST(TaskGroup, the_first_of_several_cancels_comes_out_of_it_with_what_caused_any) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto victim = create_task([]() -> Coro<void> {
      const auto body = [](TaskGroup& group) -> Coro<void> {
        group.create_task([]() -> Coro<void> { co_await ensure([] { return sleeps(1h); }, [] { return sleeps(10ms); }); }());
        co_return;
      };
      co_await with_task_group(body);
    }());
    co_await sleep(1ms);
    victim.cancel("one");
    co_await sleep(1ms);
    task_throw(victim, InterruptException("first"));
    victim.cancel("two");
    std::string message;
    std::exception_ptr cause;
    try {
      co_await victim;
    } catch (const Cancelled& cancelled) {
      message = cancelled.message();
      cause = cancelled.cause();
    }
    EXPECT_EQ(message, "one");
    EXPECT_NE(cause, nullptr) << "of the throw that the second one took the place of";
    if (cause != nullptr) {
      EXPECT_THROW(std::rethrow_exception(cause), InterruptException);
    }
  }());
}

TEST(TaskGroup, children_have_the_base_priority_of_their_creator_unless_another_is_given) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    current_task().set_priority(3);
    Order noted;
    const auto body = [&](TaskGroup& group) -> Coro<void> {
      const auto as_creator = group.create_task(note_after(1ms, noted, ""));
      EXPECT_EQ(as_creator.priority(), 3);
      const auto given = group.create_task(note_after(1ms, noted, ""), {.priority = 7});
      EXPECT_EQ(given.priority(), 7);
      double soon = 0;
      const auto note = [](double& priority) -> Coro<void> {
        priority = current_task().priority();
        co_return;
      };
      group.start_soon(note(soon));
      double started = 0;
      const auto starts = [&](TaskStatus<void> status) -> Coro<void> {
        started = current_task().priority();
        status.started();
        co_return;
      };
      co_await group.start(starts);
      EXPECT_EQ(soon, 3);
      EXPECT_EQ(started, 3);
    };
    co_await with_task_group(body);
  }());
}

TEST(Timeout, becomes_an_error_as_it_leaves_its_block) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool cleaned = false;
    bool thrown = false;
    try {
      co_await timeout(2ms, [&]() -> Coro<void> {
        try {
          co_await sleep(1s);
        } catch (const Cancelled&) {
          cleaned = true;
          throw;
        }
      });
    } catch (const TimeoutError&) {
      thrown = true;
    }
    EXPECT_TRUE(cleaned);
    EXPECT_TRUE(thrown);
    EXPECT_EQ(current_task().cancelling(), 0U);
    const int value = co_await timeout(2ms, []() -> Coro<int> {
      co_await sleep(1ms);
      co_return 4;
    });
    EXPECT_EQ(value, 4);
    co_await sleep(5ms);  // the limit of a block that was left does nothing
  }());
}

TEST(Timeout, of_two_that_have_passed_the_outer_throws) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    try {
      co_await timeout(2ms, [&]() -> Coro<void> {
        try {
          co_await timeout(2ms, []() -> Coro<void> { co_await sleep(1s); });
        } catch (const TimeoutError&) {
          order.push_back("inner");
        }
      });
    } catch (const TimeoutError&) {
      order.push_back("outer");
    }
    EXPECT_EQ(order, Order{"outer"});
  }());
}

TEST(Timeout, a_cancel_from_outside_goes_through) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto limited = []() -> Coro<void> { co_await timeout(2ms, []() -> Coro<void> { co_await sleep(1s); }); };
    const auto early = create_task(limited());
    co_await sleep(1ms);
    early.cancel("outside");
    co_await sleep(5ms);
    EXPECT_TRUE(early.cancelled());
    const auto late = create_task(limited());
    co_await sleep(3ms);
    EXPECT_TRUE(late.done());
    EXPECT_FALSE(late.cancelled());
    EXPECT_NE(late.exception(), nullptr);
  }());
}

TEST(Timeout, a_cycle_through_it_is_logged_and_ends_with_it) {
  const LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock a("a");
    PriorityLock b("b");
    const auto first = [](PriorityLock& own, PriorityLock& wanted) -> Coro<void> {
      auto held = co_await own.acquire();
      co_await sleep(1ms);
      try {
        co_await timeout(3ms, [&]() -> Coro<void> { auto both = co_await wanted.acquire(); });
        ADD_FAILURE();
      } catch (const TimeoutError&) {
      }
    };
    const auto second = [](PriorityLock& own, PriorityLock& wanted) -> Coro<void> {
      auto held = co_await own.acquire();
      co_await sleep(2ms);
      auto both = co_await wanted.acquire();
    };
    const auto x = create_task(first(a, b));
    const auto y = create_task(second(b, a));
    co_await x;
    co_await y;
  }());
  EXPECT_EQ(sim.loop.deadlocks(), 0U);
  EXPECT_EQ(sim.loop.timed_cycles(), 1U);
  EXPECT_EQ(log.count("waiting would never end"), 1U) << log.text();
}

}  // namespace
}  // namespace heirloop::testing
