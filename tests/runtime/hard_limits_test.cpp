// Where groups, limits, shields and cancels meet: nothing is lost, nothing comes twice, and nothing spins.
#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/runtime/wait_tasks.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/interrupt.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<void> nothing() { co_return; }
Coro<void> sleeping(std::chrono::nanoseconds span) { co_await sleep(span); }
Coro<void> fail_after(std::chrono::nanoseconds span) {
  co_await sleep(span);
  throw std::runtime_error("failed");
}

Coro<void> fails_at_once() {
  throw std::runtime_error("failed");
  co_return;
}

/// In the step in which it fails the clock goes on.
Coro<void> fails_slowly(Sim& sim, std::chrono::nanoseconds step) {
  co_await sleep(1ms);
  sim.driver.advance(step);
  throw std::runtime_error("failed");
}

Coro<std::string> ending(Coro<void> body) {
  std::string text = "value";
  try {
    co_await std::move(body);
  } catch (const TimeoutError&) {
    text = "TimeoutError";
  } catch (const ExceptionGroup&) {
    text = "ExceptionGroup";
  } catch (const std::runtime_error&) {
    text = "failure";
  } catch (const Cancelled& cancelled) {
    text = "Cancelled: " + cancelled.message();
  }
  co_return text;
}

TEST(HardLimits, a_child_that_must_see_a_shielded_task_end_which_waits_for_the_groups_owner_is_freed) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    PriorityTask<void> owner;
    const auto waits_for_owner = [](PriorityTask<void>& of) -> Coro<void> {
      co_await ensure(nothing, [&]() -> Coro<void> { co_await of; });
    };
    const auto child = [](Coro<void> inner) -> Coro<void> { co_await gather(std::move(inner)); };
    const auto main = [&]() -> Coro<void> {
      co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
        group.start_soon(child(waits_for_owner(owner)));
        co_await sleep(1ms);
      });
    };
    owner = create_task(main(), {.name = "owner"});
    co_await sleep(5ms);
    EXPECT_TRUE(owner.done());
    EXPECT_NE(owner.exception(), nullptr);
  }());
}

TEST(HardLimits, a_cancel_of_an_owner_whose_body_has_failed_comes_behind_the_failure) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto owner = [&]() -> Coro<void> {
      const auto group = [](TaskGroup& of) -> Coro<void> {
        of.start_soon(ensure([] { return sleeping(9ms); }, [] { return sleeping(2ms); }));
        co_await fail_after(1ms);
      };
      order.push_back(co_await ending(with_task_group(group)));
      order.push_back(co_await ending(sleeping(9ms)));
    };
    auto task = create_task(owner());
    co_await sleep(2ms);
    task.cancel("stop");
    co_await task;
    EXPECT_EQ(order, (Order{"failure", "Cancelled: stop"}));
  }());
}

TEST(HardLimits, a_cancel_of_something_awaited_does_not_come_again_behind_the_group) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    auto other = create_task(sleeping(9ms));
    const auto fails_in_clean_up = []() -> Coro<void> {
      co_await ensure([] { return sleeping(9ms); }, [] { return fail_after(1ms); });
    };
    const auto owner = [&]() -> Coro<void> {
      const auto group = [&](TaskGroup& of) -> Coro<void> {
        of.start_soon(fails_in_clean_up());
        co_await other;
      };
      order.push_back(co_await ending(with_task_group(group)));
      order.push_back(co_await ending(sleeping(1ms)));
    };
    auto task = create_task(owner());
    co_await sleep(1ms);
    other.cancel("not wanted");
    co_await task;
    EXPECT_EQ(order, (Order{"ExceptionGroup", "value"}));
  }());
}

TEST(HardLimits, what_runs_inside_a_shield_knows_nothing_of_a_cancel_that_is_kept_back) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto clean_up = [&]() -> Coro<void> {
      order.push_back(co_await ending(timeout(2ms, [] { return sleeping(9ms); })));
      std::vector<PriorityTask<void>> tasks{create_task(sleeping(9ms))};
      const auto waited = co_await wait(tasks, ReturnWhen::all_completed, 1ms);
      order.push_back(waited.pending.empty() ? "all done" : "pending");
      const auto group = [](TaskGroup& of) -> Coro<void> {
        of.start_soon(fail_after(1ms));
        co_await sleep(9ms);
      };
      order.push_back(co_await ending(with_task_group(group)));
      order.push_back(co_await ending(sleeping(1ms)));
    };
    const auto main = [&]() -> Coro<void> { co_await ensure(nothing, clean_up); co_await sleep(1ms); };
    const auto noted = [&]() -> Coro<void> { order.push_back(co_await ending(main())); };
    auto task = create_task(noted());
    co_await sleep(1ms);
    task.cancel("user");
    EXPECT_EQ(task.cancelling(), 1U);
    co_await task;
    EXPECT_EQ(order, (Order{"TimeoutError", "pending", "ExceptionGroup", "value", "Cancelled: user"}));
  }());
}

TEST(HardLimits, one_that_passes_while_a_groups_own_cancel_is_pending_comes_behind_the_group) {
  const auto behind_the_group = [](const auto& limited) {
    Sim sim;
    sim.run([](Sim& of, const auto& under) -> Coro<void> {
      Order order;
      const auto body = [&]() -> Coro<void> {
        const auto group = [&](TaskGroup& in) -> Coro<void> {
          in.start_soon(fails_slowly(of, 5ms));  // the limit passes in the step in which it fails
          co_await sleep(90ms);
        };
        order.push_back(co_await ending(with_task_group(group)));
        co_await sleep(90ms);
        order.push_back("not reached");
      };
      order.push_back(co_await ending(under(body)));
      EXPECT_EQ(order, (Order{"ExceptionGroup", "TimeoutError"}));
      EXPECT_EQ(current_task().cancelling(), 0U);
    }(sim, limited));
  };
  behind_the_group([](const auto& body) { return timeout(3ms, body); });
  behind_the_group([](const auto& body) { return task_timeout(3ms, body); });
}

TEST(HardLimits, an_interrupt_that_passes_while_a_users_cancel_is_pending_does_not_hit_the_clean_up) {
  Sim sim;
  sim.run([](Sim& of) -> Coro<void> {
    Order order;
    const auto clean_up = [&]() -> Coro<void> {
      order.push_back(co_await ending(with_task_group([](TaskGroup& in) -> Coro<void> {
        in.start_soon(fail_after(1ms));  // sends a cancel, and takes it back
        co_await sleep(9ms);
      })));
      co_await sleep(1ms);
      order.push_back("cleaned up");
    };
    auto task = create_task(ending(task_timeout(3ms, [&] { return ensure([] { return sleeping(90ms); }, clean_up); })));
    co_await sleep(1ms);
    of.driver.advance(5ms);  // the limit passes behind this step, before the cancel is delivered
    task.cancel("stop");
    order.push_back(co_await task);
    EXPECT_EQ(order, (Order{"ExceptionGroup", "cleaned up", "Cancelled: stop"}));
  }(sim));
}

TEST(HardLimits, a_groups_own_cancel_stays_in_the_group_when_the_body_has_swallowed_another) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto owner = [&]() -> Coro<void> {
      const auto group = [&](TaskGroup& in) -> Coro<void> {
        order.push_back(co_await ending(sleeping(9ms)));
        in.create_task(fails_at_once(), {.eager_start = true});  // its cancel is pending as the body ends
      };
      order.push_back(co_await ending(with_task_group(group)));
      order.push_back(co_await ending(sleeping(1ms)));
    };
    auto task = create_task(owner());
    co_await sleep(1ms);
    task.cancel("stop");
    co_await task;
    EXPECT_EQ(order, (Order{"Cancelled: stop", "ExceptionGroup", "value"}));
    EXPECT_EQ(task.cancelling(), 1U);
  }());
}

TEST(HardLimits, an_interrupt_in_a_group_of_exceptions_is_not_taken_for_that_of_a_later_limit) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::exception_ptr old;
    for (int round = 0; round < 2; ++round) {  // the second limit lies where the first one did
      const auto body = [&](TimeLimit& limit) -> Coro<void> {
        try {
          if (old) std::rethrow_exception(old);
          co_await sleep(9ms);
        } catch (const TimeoutInterrupt& interrupt) {
          EXPECT_EQ(limit.has_sent(interrupt), round == 0);
          old = std::current_exception();
          throw;
        }
      };
      bool foreign = false;
      try {
        co_await task_timeout(1ms, body);
      } catch (const TimeoutError&) {
      } catch (const TimeoutInterrupt&) {
        foreign = true;
      }
      EXPECT_EQ(foreign, round == 1);
    }
  }());
}

TEST(HardLimits, one_inside_a_shield_is_not_won_over_by_an_equal_one_that_the_shield_keeps_back) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto outer = [&](TimeLimit& limit) -> Coro<void> {
      const auto clean_up = [&]() -> Coro<void> {
        const auto inner = [&]() -> Coro<void> {
          limit.reschedule(loop_time() + 2ms);
          co_await sleep(90ms);
        };
        order.push_back(co_await ending(timeout_at(loop_time() + 2ms, inner)));
      };
      co_await ensure(nothing, clean_up);
      co_await sleep(90ms);
    };
    order.push_back(co_await ending(timeout(50ms, outer)));
    EXPECT_EQ(order, (Order{"TimeoutError", "TimeoutError"}));
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 2ms);
  }());
}

TEST(HardLimits, an_interrupted_gather_leaves_a_given_future_alone) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Promise<int> promise;
    const auto gatherer = [](Future<int> future) -> Coro<void> {
      try {
        co_await gather(future, sleeping(9ms));
      } catch (const InterruptException&) {
      }
    };
    auto task = create_task(gatherer(promise.future()));
    co_await sleep(1ms);
    EXPECT_EQ(co_await task_interrupt(task, InterruptException()), InterruptOutcome::ended);
    EXPECT_FALSE(promise.done());
    promise.set_value(5);
    EXPECT_EQ(co_await promise.future(), 5);
  }());
}

TEST(HardLimits, a_first_exception_is_waited_for_though_another_task_can_never_end) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityTask<void> waiter;
    const auto stuck = [](PriorityTask<void>& of) -> Coro<void> { co_await of; };
    auto never = create_task(stuck(waiter));
    auto fails = create_task(fail_after(1ms));
    std::size_t done = 0;
    const auto main = [&]() -> Coro<void> {
      std::vector<PriorityTask<void>> tasks{never, fails};
      const auto waited = co_await wait(tasks, ReturnWhen::first_exception);
      done = waited.done.size();
    };
    waiter = create_task(main());
    co_await waiter;
    EXPECT_EQ(done, 1U);
    EXPECT_NE(fails.exception(), nullptr);
  }());
}

TEST(HardLimits, a_clean_up_that_is_cancelled_keeps_the_bodys_failure_as_the_cause) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool has_cause = false;
    const auto clean_up = [](Shield& shield) -> Coro<void> {
      shield.lift();
      co_await sleep(9ms);
    };
    const auto main = [&]() -> Coro<void> {
      try {
        co_await ensure([] { return fail_after(1ms); }, clean_up);
      } catch (const Cancelled& cancelled) {
        has_cause = ExceptionGroup::holds<std::runtime_error>(cancelled.cause());
        throw;
      }
    };
    auto task = create_task(main());
    co_await sleep(2ms);
    task.cancel();
    while (!task.done()) co_await sleep(1ms);
    EXPECT_TRUE(task.cancelled());
    EXPECT_TRUE(has_cause);
  }());
}

TEST(HardLimits, a_shield_takes_any_span) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = create_task([]() -> Coro<void> {
      Shield shield(2ms);
      co_await sleep(9ms);
    }());
    co_await sleep(1ms);
    task.cancel();
    while (!task.done()) co_await sleep(500us);
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 2ms);
  }());
}

TEST(HardLimits, one_that_an_endless_shield_keeps_back_makes_no_cycle_legal) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool refused = false;
    PriorityTask<void> waiter;
    const auto on_waiter = [](PriorityTask<void>& of) -> Coro<void> { co_await of; };
    auto other = create_task(on_waiter(waiter));
    const auto body = [&]() -> Coro<void> {
      Shield endless;
      Shield timed(5ms);
      co_await sleep(1ms);
      try {
        co_await other;
      } catch (const DeadlockError&) {
        refused = true;
      }
    };
    waiter = create_task(timeout(50ms, body));
    co_await waiter;
    EXPECT_TRUE(refused);
    co_await other;
  }());
}

/// A group in which a child fails after 10 ms, in a body that goes on.
Coro<void> goes_on_behind_a_group(Order& order, double childs_priority) {
  const auto group = [&](TaskGroup& in) -> Coro<void> {
    in.start_soon(fail_after(10ms), {.priority = childs_priority});
    co_await sleep(90ms);
  };
  order.push_back(co_await ending(with_task_group(group)));
  co_await sleep(90ms);
  order.push_back("not reached");
}

TEST(HardLimits, an_interrupt_that_is_pending_as_a_child_fails_comes_behind_the_group) {
  for (const double childs_priority : {-10.0, 10.0}) {
    Sim sim;
    sim.run([](double priority) -> Coro<void> {
      Order order;
      order.push_back(co_await ending(task_timeout(10ms, [&] { return goes_on_behind_a_group(order, priority); })));
      EXPECT_EQ(order.back(), "TimeoutError");
      EXPECT_EQ(loop_time().time_since_epoch() % 1s, 10ms);
    }(childs_priority));
  }
}

TEST(HardLimits, an_interrupt_is_not_lost_behind_a_groups_own_cancel_when_the_body_has_swallowed_another) {
  Sim sim;
  sim.run([](Sim& of) -> Coro<void> {
    Order order;
    const auto body = [&]() -> Coro<void> {
      order.push_back(co_await ending(sleeping(90ms)));
      const auto group = [&](TaskGroup& in) -> Coro<void> {
        in.start_soon(fails_slowly(of, 20ms));  // the limit passes in the step in which it fails
        co_await sleep(90ms);
      };
      order.push_back(co_await ending(with_task_group(group)));
      co_await sleep(90ms);
      order.push_back("not reached");
    };
    auto task = create_task(ending(task_timeout(10ms, body)));
    co_await sleep(1ms);
    task.cancel("stop");
    order.push_back(co_await task);
    EXPECT_EQ(order, (Order{"Cancelled: stop", "ExceptionGroup", "TimeoutError"}));
  }(sim));
}

TEST(HardLimits, a_throw_whose_place_a_groups_own_cancel_took_is_among_the_groups_failures) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::size_t leaves = 0;
    const auto owner = [&]() -> Coro<void> {
      const auto group = [](TaskGroup& in) -> Coro<void> {
        in.start_soon(fail_after(10ms), {.priority = -10.0});
        co_await sleep(90ms);
      };
      try {
        co_await with_task_group(group);
      } catch (const ExceptionGroup& errors) {
        leaves = errors.leaves().size();
        EXPECT_TRUE(errors.subgroup<std::logic_error>());
      }
    };
    auto task = create_task(owner(), {.priority = 5.0});
    co_await sleep(9ms);
    call_later(1ms, [task] { task_throw(task, std::logic_error("thrown")); }, {.priority = -20.0});
    co_await task;
    EXPECT_EQ(leaves, 2U);
  }());
}

TEST(HardLimits, a_groups_own_cancel_stays_in_the_group_though_a_shield_has_held_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto owner = [&]() -> Coro<void> {
      const auto group = [&](TaskGroup& in) -> Coro<void> {
        order.push_back(co_await ending(sleeping(90ms)));
        in.create_task(fails_at_once(), {.eager_start = true});
        co_await ensure(nothing, [] { return sleeping(1ms); });
      };
      order.push_back(co_await ending(with_task_group(group)));
      order.push_back(co_await ending(sleeping(1ms)));
    };
    auto task = create_task(owner());
    co_await sleep(1ms);
    task.cancel("stop");
    co_await task;
    EXPECT_EQ(order, (Order{"Cancelled: stop", "ExceptionGroup", "value"}));
  }());
}

TEST(HardLimits, one_tells_when_it_has_passed_though_a_shield_kept_it_back) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto body = [](TimeLimit& limit) -> Coro<void> {
      co_await ensure(nothing, [] { return sleeping(50ms); });
      EXPECT_EQ(limit.when()->time_since_epoch() % 1s, 10ms);
      co_await sleep(90ms);
    };
    EXPECT_EQ(co_await ending(timeout(10ms, body)), "TimeoutError");
    EXPECT_EQ(loop_time().time_since_epoch() % 1s, 50ms);
  }());
}

TEST(HardLimits, one_that_is_set_to_the_end_of_time_is_none) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityTask<void> waiter;
    const auto on_waiter = [](PriorityTask<void>& of) -> Coro<void> { co_await of; };
    auto other = create_task(on_waiter(waiter));
    bool refused = false;
    const auto body = [&](TimeLimit& limit) -> Coro<void> {
      limit.reschedule(std::chrono::steady_clock::time_point::max());
      EXPECT_FALSE(limit.when());
      co_await sleep(1ms);
      try {
        co_await other;
      } catch (const DeadlockError&) {
        refused = true;
      }
    };
    waiter = create_task(timeout(50ms, body));
    co_await waiter;
    EXPECT_TRUE(refused);
    co_await other;
  }());
}

TEST(HardLimits, a_cancel_from_outside_is_not_lost_behind_those_of_two_groups_inside_each_other) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto owner = [&]() -> Coro<void> {
      const auto inner = [&](TaskGroup& in) -> Coro<void> {
        in.start_soon(ensure([] { return sleeping(90ms); }, [] { return sleeping(5ms); }));
        in.start_soon(fail_after(1ms));
        co_await sleep(90ms);
      };
      const auto outer = [&](TaskGroup& in) -> Coro<void> {
        in.start_soon(fail_after(2ms));
        order.push_back(co_await ending(with_task_group(inner)));
      };
      order.push_back(co_await ending(with_task_group(outer)));
      order.push_back(co_await ending(sleeping(90ms)));
    };
    auto task = create_task(owner());
    co_await sleep(1500us);  // the inner group waits for its children
    task.cancel("stop");
    co_await task;
    EXPECT_EQ(order.size(), 3U);
    EXPECT_EQ(order[0], "ExceptionGroup");
    EXPECT_EQ(order[1], "ExceptionGroup");
    EXPECT_THAT(order[2], ::testing::StartsWith("Cancelled"));
  }());
}

TEST(HardLimits, a_cancel_from_outside_outlives_two_groups_whose_own_came_while_a_shield_was_up) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto inner = [](TaskGroup& group) -> Coro<void> {
      group.create_task(fail_after(3ms));
      co_await ensure([] { return sleeping(1h); }, [] { return sleeping(10ms); });
    };
    const auto outer = [&](TaskGroup& group) -> Coro<void> {
      group.create_task(fail_after(2ms));
      EXPECT_EQ(co_await ending(with_task_group(inner)), "ExceptionGroup");
    };
    const auto task = create_task([](decltype(outer)& body) -> Coro<void> {
      EXPECT_EQ(co_await ending(with_task_group(body)), "ExceptionGroup");
      EXPECT_EQ(current_task().cancelling(), 1U);
      EXPECT_EQ(co_await ending(sleeping(1h)), "Cancelled: from outside");
      EXPECT_EQ(co_await ending(sleeping(1ms)), "value");
    }(outer));
    co_await sleep(1ms);
    task.cancel("from outside");
    co_await task;
  }());
}

TEST(HardLimits, a_cancel_that_a_clean_up_held_back_leaves_the_block_in_place_of_its_limits_own) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto cleaned_up = [] { return ensure([] { return sleeping(1h); }, [] { return sleeping(4ms); }); };
    const auto of_future = [] {
      return ensure([]() -> Coro<void> {
        Promise<int> promise;
        co_await promise.future();
      }, [] { return sleeping(4ms); });
    };
    const auto of_gather = [] { return ensure([]() -> Coro<void> { co_await gather(sleeping(1h)); }, [] { return sleeping(4ms); }); };
    const auto victim = [](auto body) -> Coro<void> {
      EXPECT_EQ(co_await ending(timeout(1ms, body)), "Cancelled: from outside");
      EXPECT_EQ(co_await ending(sleeping(1ms)), "value") << "it came once";
      EXPECT_EQ(current_task().cancelling(), 1U);
    };
    const auto check = [](PriorityTask<void> task) -> Coro<void> {
      co_await sleep(3ms);
      task.cancel("from outside");
      co_await task;
    };
    co_await check(create_task(victim(cleaned_up)));
    co_await check(create_task(victim(of_future)));
    co_await check(create_task(victim(of_gather)));
  }());
}

}  // namespace
}  // namespace heirloop::testing
