// Time limits for blocks, of both kinds: what the caller and the body see of one that passes, alone, nested, and at odd times.
#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/interrupt.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<int> give_after(std::chrono::nanoseconds span, int value) {
  co_await sleep(span);
  co_return value;
}
Coro<int> give_at_once(int value) { co_return value; }

/// What `body` ends with.
template <class T>
Coro<std::string> ending(Coro<T> body) {
  std::string text;
  try {
    co_await std::move(body);
    text = "value";
  } catch (const TimeoutError&) {
    text = "TimeoutError";
  } catch (const TimeoutInterrupt&) {
    text = "TimeoutInterrupt";
  } catch (const InterruptException&) {
    text = "InterruptException";
  } catch (const Cancelled& cancelled) {
    text = "Cancelled: " + cancelled.message();
  }
  co_return text;
}

/// The two kinds, by one name.
enum class Kind { cancels, interrupts };
template <class Body>
auto limit_block(Kind kind, TimeSpan span, Body body) {
  return kind == Kind::cancels ? timeout(span, body) : task_timeout(span, body);
}

class BothKinds : public ::testing::TestWithParam<Kind> {
 public:
  Sim sim;
};
INSTANTIATE_TEST_SUITE_P(Kinds, BothKinds, ::testing::Values(Kind::cancels, Kind::interrupts),
                         [](const auto& kind) { return kind.param == Kind::cancels ? "timeout" : "task_timeout"; });

TEST_P(BothKinds, spans_of_every_size) {
  sim.run([](Kind kind) -> Coro<void> {
    const auto slow = []() { return give_after(1ms, 1); };
    const auto quick = []() { return give_at_once(1); };
    EXPECT_EQ(co_await ending(limit_block(kind, 0ms, slow)), "TimeoutError");
    EXPECT_EQ(co_await ending(limit_block(kind, -5ms, slow)), "TimeoutError");
    EXPECT_EQ(co_await ending(limit_block(kind, 1ns, slow)), "TimeoutError");
    EXPECT_EQ(co_await ending(limit_block(kind, 2ms, slow)), "value");
    EXPECT_EQ(co_await ending(limit_block(kind, std::nullopt, slow)), "value");
    EXPECT_EQ(co_await ending(limit_block(kind, std::chrono::hours::max(), slow)), "value");
    EXPECT_EQ(co_await ending(limit_block(kind, 0ms, quick)), "value") << "a body that never suspends";
    EXPECT_EQ(co_await ending(limit_block(kind, -5ms, quick)), "value");
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_THROW(co_await limit_block(kind, std::chrono::duration<double>(nan), slow), std::invalid_argument);
    EXPECT_EQ(current_task().cancelling(), 0U);
  }(GetParam()));
}

TEST_P(BothKinds, of_two_nested_the_one_that_passes_first_throws) {
  sim.run([](Kind kind) -> Coro<void> {
    std::string inner;
    const auto nested = [&](std::chrono::milliseconds inside) -> Coro<void> {
      inner = co_await ending(limit_block(kind, inside, [] { return give_after(9ms, 1); }));
      if (inner == "TimeoutInterrupt") throw InterruptException();
      if (inner.starts_with("Cancelled")) throw Cancelled();
    };
    std::string outer = co_await ending(limit_block(kind, 4ms, [&] { return nested(2ms); }));
    EXPECT_EQ(inner, "TimeoutError");
    EXPECT_EQ(outer, "value");
    const auto through = [&]() -> Coro<void> {
      co_await limit_block(kind, 4ms, [] { return give_after(9ms, 1); });
    };
    EXPECT_EQ(co_await ending(limit_block(kind, 2ms, through)), "TimeoutError");
    EXPECT_EQ(current_task().cancelling(), 0U);
  }(GetParam()));
}

TEST_P(BothKinds, of_equal_deadlines_the_outer_wins_alone) {
  sim.run([](Kind kind) -> Coro<void> {
    for (const Kind other : {Kind::cancels, Kind::interrupts}) {
      std::string inner;
      bool inner_expired = false;
      const auto through = [&]() -> Coro<void> {
        const auto block = [&](TimeLimit& limit) -> Coro<void> {
          try {
            co_await sleep(9ms);
          } catch (...) {
            inner_expired = limit.expired();
            throw;
          }
        };
        co_await limit_block(other, 2ms, block);
      };
      const auto seen = [&]() -> Coro<void> {
        try {
          co_await through();
        } catch (const TimeoutError&) {
          inner = "TimeoutError";
          throw;
        }
      };
      EXPECT_EQ(co_await ending(limit_block(kind, 2ms, seen)), "TimeoutError");
      EXPECT_EQ(inner, "") << "the inner block let it through";
      EXPECT_TRUE(inner_expired);
    }
    EXPECT_EQ(current_task().cancelling(), 0U);
  }(GetParam()));
}

TEST_P(BothKinds, says_when_and_can_be_set_again) {
  sim.run([](Kind kind) -> Coro<void> {
    const auto began = loop_time();
    const auto body = [&](TimeLimit& limit) -> Coro<void> {
      EXPECT_EQ(limit.when(), began + 2ms);
      co_await sleep(1ms);
      limit.reschedule(began + 5ms);
      EXPECT_EQ(limit.when(), began + 5ms);
      co_await sleep(2ms);
      limit.reschedule(std::nullopt);
      EXPECT_EQ(limit.when(), std::nullopt);
      co_await sleep(5ms);
      EXPECT_FALSE(limit.expired());
      limit.reschedule(loop_time() - 1ms);
      try {
        co_await sleep(1ms);
      } catch (...) {
        EXPECT_TRUE(limit.expired());
        EXPECT_THROW(limit.reschedule(began + 90ms), InvalidStateError);
        throw;
      }
    };
    EXPECT_EQ(co_await ending(limit_block(kind, 2ms, body)), "TimeoutError");
    EXPECT_EQ(loop_time(), began + 8ms);
  }(GetParam()));
}

TEST_P(BothKinds, does_not_pass_while_a_clean_up_runs_that_is_shielded) {
  sim.run([](Kind kind) -> Coro<void> {
    Order order;
    const auto body = [&]() -> Coro<void> {
      const auto work = []() -> Coro<void> { co_await sleep(1ms); };
      const auto clean_up = [&]() -> Coro<void> {
        co_await sleep(5ms);
        order.push_back("clean");
      };
      co_await ensure(work, clean_up);
      order.push_back("behind it");
      co_await sleep(1ms);
      order.push_back("not reached");
    };
    EXPECT_EQ(co_await ending(limit_block(kind, 2ms, body)), "TimeoutError");
    EXPECT_EQ(order, (Order{"clean", "behind it"}));
  }(GetParam()));
}

TEST_P(BothKinds, passes_in_a_clean_up_that_is_inside_and_not_shielded) {
  sim.run([](Kind kind) -> Coro<void> {
    bool cleaned_up = false;
    std::string in_clean_up;
    const auto body = [&]() -> Coro<void> {
      std::exception_ptr error;
      try {
        co_await sleep(1ms);
        throw std::runtime_error("failed");
      } catch (...) {
        error = std::current_exception();
      }
      in_clean_up = co_await ending([]() -> Coro<void> { co_await sleep(5ms); }());
      cleaned_up = true;
      std::rethrow_exception(error);
    };
    const auto began = loop_time();
    std::string out;
    try {
      co_await limit_block(kind, 2ms, body);
    } catch (const TimeoutError&) {
      out = "TimeoutError";
    } catch (const std::runtime_error& failure) {
      out = failure.what();
    }
    EXPECT_EQ(loop_time() - began, 2ms);
    EXPECT_TRUE(cleaned_up);
    EXPECT_NE(in_clean_up, "value");
    EXPECT_EQ(out, "failed") << "the body's own, for it has met the limit and gone on";
    EXPECT_EQ(current_task().cancelling(), 0U);
  }(GetParam()));
}

TEST_P(BothKinds, that_has_passed_is_not_delivered_behind_its_block) {
  sim.run([](Kind kind) -> Coro<void> {
    const auto swallows = []() -> Coro<int> {
      try {
        co_await sleep(9ms);
      } catch (...) {
      }
      co_return 7;
    };
    EXPECT_EQ(co_await limit_block(kind, 1ms, swallows), 7);
    EXPECT_EQ(current_task().cancelling(), 0U);
    co_await sleep(5ms);
  }(GetParam()));
}

TEST_P(BothKinds, works_in_an_eager_start) {
  sim.run([](Kind kind) -> Coro<void> {
    const auto main = [](Kind of) -> Coro<std::string> {
      co_return co_await ending(limit_block(of, 1ms, [] { return give_after(9ms, 1); }));
    };
    auto task = create_task(main(kind), {.eager_start = true});
    EXPECT_EQ(co_await task, "TimeoutError");
  }(GetParam()));
}

TEST(Timeout, cancels_what_the_body_awaits_and_task_timeout_lets_it_go_on) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto first = create_task(give_after(5ms, 1));
    EXPECT_EQ(co_await ending(timeout(1ms, [&]() -> Coro<void> { co_await first; })), "TimeoutError");
    EXPECT_TRUE(first.cancelled());
    auto second = create_task(give_after(5ms, 2));
    EXPECT_EQ(co_await ending(task_timeout(1ms, [&]() -> Coro<void> { co_await second; })), "TimeoutError");
    EXPECT_FALSE(second.done());
    EXPECT_EQ(second.cancelling(), 0U);
    EXPECT_EQ(co_await second, 2);
  }());
}

TEST(Timeout, the_body_of_a_task_timeout_sees_an_interrupt_that_tells_whose_it_is) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool own = false;
    const auto body = [&](TimeLimit& limit) -> Coro<void> {
      try {
        co_await sleep(9ms);
      } catch (const TimeoutInterrupt& interrupt) {
        own = limit.has_sent(interrupt);
        throw;
      }
    };
    EXPECT_EQ(co_await ending(task_timeout(1ms, body)), "TimeoutError");
    EXPECT_TRUE(own);
  }());
}

TEST(Timeout, at_a_point_of_the_clock) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto slow = [] { return give_after(3ms, 1); };
    const auto began = loop_time();
    EXPECT_EQ(co_await ending(timeout_at(began + 2ms, slow)), "TimeoutError");
    EXPECT_EQ(loop_time(), began + 2ms);
    EXPECT_EQ(co_await ending(task_timeout_at(loop_time() + 2ms, slow)), "TimeoutError");
    EXPECT_EQ(co_await ending(timeout_at(began, slow)), "TimeoutError") << "it has passed already";
    EXPECT_EQ(co_await ending(timeout_at(std::nullopt, slow)), "value");
  }());
}

TEST(MoveOnAfter, tells_whether_the_body_came_to_its_end_and_throws_nothing) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto nothing = []() -> Coro<void> { co_await sleep(2ms); };
    EXPECT_TRUE(co_await move_on_after(3ms, nothing));
    EXPECT_FALSE(co_await move_on_after(1ms, nothing));
    EXPECT_EQ(co_await move_on_after(3ms, [] { return give_after(2ms, 7); }), 7);
    EXPECT_EQ(co_await move_on_after(1ms, [] { return give_after(2ms, 7); }), std::nullopt);
    EXPECT_FALSE(co_await move_on_at(loop_time(), nothing));
    EXPECT_EQ(current_task().cancelling(), 0U);
    current_task().cancel("from outside");
    EXPECT_EQ(co_await ending(move_on_after(3ms, nothing)), "Cancelled: from outside");
  }());
}

TEST(WaitFor, awaits_a_coroutine_a_task_or_a_future) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    EXPECT_EQ(co_await wait_for(give_after(1ms, 5), 2ms), 5);
    EXPECT_EQ(co_await ending(wait_for(give_after(3ms, 5), 2ms)), "TimeoutError");
    auto task = create_task(give_after(3ms, 6));
    EXPECT_EQ(co_await ending(wait_for(task, 2ms)), "TimeoutError");
    EXPECT_TRUE(task.cancelled());
    auto other = create_task(give_after(3ms, 6));
    EXPECT_EQ(co_await wait_for(other, std::nullopt), 6);
    Promise<int> promise;
    EXPECT_EQ(co_await ending(wait_for(promise.future(), 1ms)), "TimeoutError");
    Promise<int> kept;
    kept.set_value(8);
    EXPECT_EQ(co_await wait_for(kept.future(), 1ms), 8);
  }());
}

}  // namespace
}  // namespace heirloop::testing
