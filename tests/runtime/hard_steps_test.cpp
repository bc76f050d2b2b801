// What is looked at, taken out or changed at an odd moment: behind a step, between two, as a task ends.
#include <heirloop/runtime/async_generator.hpp>
#include <heirloop/sched/scheduling.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<void> nothing() { co_return; }

/// Asks for the current task as it goes.
class Asking {
 public:
  explicit Asking(int& asked) noexcept : asked_(&asked) {}
  Asking(Asking&& other) noexcept : asked_(std::exchange(other.asked_, nullptr)) {}
  Asking& operator=(Asking&&) = delete;
  ~Asking() {
    if (asked_ == nullptr) return;
    ++*asked_;
    try {
      EXPECT_TRUE(current_task());
    } catch (const InvalidStateError&) {  // the task is no more
    }
  }

 private:
  int* asked_;
};

TEST(HardSteps, the_result_of_a_task_that_nobody_holds_is_destroyed_once_whatever_its_destructor_does) {
  Sim sim;
  int asked = 0;
  sim.run([](int& count) -> Coro<void> {
    const auto gives = [](int& in) -> Coro<Asking> {
      co_await sleep(1ms);
      co_return Asking(in);
    };
    create_task(gives(count));
    const auto gives_generator = [](int& in) -> Coro<AsyncGenerator<int>> {
      auto generator = [](int& of) -> AsyncGenerator<int> {
        const Asking local(of);
        co_yield 1;
      }(in);
      co_await generator.next();
      co_return std::move(generator);
    };
    create_task(gives_generator(count));
    co_await sleep(5ms);
  }(asked));
  EXPECT_EQ(asked, 2);
}

TEST(HardSteps, a_task_that_was_taken_out_counts_as_blocked_until_a_cancel_or_a_throw_puts_it_back) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    for (const bool by_cancel : {true, false}) {
      const auto task = create_task(nothing());
      TakenEntry taken = ready_queue().remove(task);
      EXPECT_TRUE(task_is_blocked(task));
      EXPECT_FALSE(task_is_runnable(task));
      EXPECT_EQ(all_tasks().size(), runnable_tasks().size() + blocked_tasks().size() + 1);
      co_await sleep(1ms);
      EXPECT_FALSE(task.done());
      if (by_cancel) {
        task.cancel();
      } else {
        task_throw(task, std::runtime_error("thrown"));
      }
      EXPECT_TRUE(task_is_runnable(task));
      co_await sleep(1ms);
      EXPECT_TRUE(task.done());
      EXPECT_EQ(task.cancelled(), by_cancel);
      if (!by_cancel) {
        EXPECT_NE(task.exception(), nullptr);
      }
      taken = TakenEntry();
      EXPECT_TRUE(ready_queue().empty());
    }
  }());
}

TEST(HardSteps, a_policy_can_change_between_two_steps) {
  Sim sim;
  sim.run([](Sim& of) -> Coro<void> {
    const TaskRef me = current_task();
    of.driver.at(1ms, [&of] { of.loop.set_policy(make_policy(PolicyKind::strict)); });
    of.driver.advance(20ms);
    const auto first = create_task(nothing());
    const auto second = create_task(nothing());
    task_reinsert(first, 0);
    task_reinsert(second, 1);
    co_await sleep_insert(2);
    EXPECT_LE(me.get()->ready_time_ns(), Loop::current().now_ns());
    EXPECT_GE(me.get()->ready_time_ns(), 0);
    EXPECT_EQ(of.loop.policy().name(), "strict");
  }(sim));
}

TEST(HardSteps, a_pop_by_hand_makes_a_positional_entry_precede_who_has_looked_before) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto ordinary = create_task(nothing(), {.priority = 10.0});
    const auto positional = create_task(nothing(), {.priority = 10.0});
    task_reinsert(positional, 1);
    EXPECT_FALSE(should_yield());
    TakenEntry taken = ready_queue().pop();
    EXPECT_EQ(taken.task(), ordinary);
    EXPECT_TRUE(should_yield());
    ready_queue().append(std::move(taken));
    co_await positional;
    co_await ordinary;
  }());
}

struct Counting : StepObserver {
  int begun = 0;
  int ended = 0;
  void step_begins(const Entry&, std::int64_t) override { ++begun; }
  void step_ended() override {
    ++ended;
    EXPECT_LE(ended, begun);
  }
};

TEST(HardSteps, an_observer_sees_no_end_of_a_step_whose_beginning_it_has_not_seen) {
  for (const bool watched : {false, true}) {
    LoopOptions options;
    if (watched) options.slow_step = 1s;
    Sim sim(options);
    Counting one;
    Counting other;
    sim.run([](Counting& first, Counting& second) -> Coro<void> {
      Loop::current().set_observer(&first);
      co_await sleep(0);
      Loop::current().set_observer(&second);
      co_await sleep(0);
      Loop::current().set_observer(nullptr);
    }(one, other));
    EXPECT_EQ(one.begun, 1);
    EXPECT_EQ(other.begun, 1);
    EXPECT_EQ(one.ended + other.ended, 0);
  }
}

}  // namespace
}  // namespace heirloop::testing
