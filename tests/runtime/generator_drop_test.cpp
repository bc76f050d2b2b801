// A generator that is dropped is closed inside the call, where nothing may wait.
#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/queue.hpp>

#include "runtime/generator_support.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GeneratorDrop, closes_it_at_every_yield) {
  for (int yields = 0; yields <= 4; ++yields) {
    SCOPED_TRACE(yields);
    Order order;
    Sim sim;
    sim.run([](int times, Order& o) -> Coro<void> {
      const auto body = [](Order& seen) -> AsyncGenerator<int> {
        const Note outer(seen, "outer");
        co_yield 1;
        {
          const Note inner(seen, "inner");
          co_yield 2;
          co_yield 3;
        }
        co_yield 4;
      };
      {
        auto generator = body(o);
        for (int i = 0; i < times; ++i) co_await generator.next();
        o.clear();
      }
      co_return;
    }(yields, order));
    if (yields == 0) {
      EXPECT_THAT(order, ElementsAre());
    } else if (yields == 2 || yields == 3) {
      EXPECT_THAT(order, ElementsAre("inner", "outer"));
    } else {
      EXPECT_THAT(order, ElementsAre("outer"));
    }
  }
}

TEST(GeneratorDrop, of_a_new_or_finished_one_runs_nothing) {
  Order order;
  Sim sim;
  { const auto never = noted(order); }
  EXPECT_TRUE(order.empty());
  sim.run([](Order& o) -> Coro<void> {
    auto generator = noted(o);
    co_await generator.next();
    co_await generator.aclose();
    EXPECT_THAT(o, ElementsAre("closed"));
  }(order));
  EXPECT_THAT(order, ElementsAre("closed"));
}

TEST(GeneratorDrop, by_an_assignment_closes_the_old_one) {
  Order order;
  Sim sim;
  sim.run([](Order& o) -> Coro<void> {
    auto generator = noted(o, "first");
    co_await generator.next();
    generator = noted(o, "second");
    EXPECT_THAT(o, ElementsAre("first"));
    EXPECT_EQ(*co_await generator.next(), 1);
  }(order));
  EXPECT_THAT(order, ElementsAre("first", "second"));
}

TEST(GeneratorDrop, runs_under_the_identity_of_who_drops_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock("lock");
    TaskRef cleaner;
    auto generator = [](PriorityLock& of, TaskRef& by) -> AsyncGenerator<int> {
      std::exception_ptr error;
      try {
        co_yield 1;
      } catch (...) {
        error = std::current_exception();
      }
      auto held = co_await of.acquire();
      EXPECT_TRUE(of.held_by_current_task());
      by = current_task();
      std::rethrow_exception(error);
    }(lock, cleaner);
    co_await generator.next();
    auto dropper = [](AsyncGenerator<int> given) -> Coro<void> {
      const auto dropped = std::move(given);
      co_return;
    };
    const auto task = create_task(dropper(std::move(generator)));
    co_await task;
    EXPECT_EQ(cleaner, TaskRef(task));
    EXPECT_FALSE(lock.locked());
  }());
}

TEST(GeneratorDrop, as_a_parameter_of_a_task_that_ends) {
  Order order;
  Sim sim;
  sim.run([](Order& o) -> Coro<void> {
    auto generator = noted(o);
    co_await generator.next();
    co_await create_task([](AsyncGenerator<int>) -> Coro<void> { co_return; }(std::move(generator)));
    EXPECT_THAT(o, ElementsAre("closed"));
  }(order));
}

TEST(GeneratorDrop, in_a_handle) {
  Order order;
  Sim sim;
  sim.run([](Order& o) -> Coro<void> {
    auto generator = std::make_shared<AsyncGenerator<int>>(noted(o));
    co_await generator->next();
    Loop::current().call_soon([kept = std::move(generator)]() mutable { kept.reset(); });
    co_await sleep(1s);
    EXPECT_THAT(o, ElementsAre("closed"));
  }(order));
}

TEST(GeneratorDrop, a_clean_up_that_does_not_block_may_await) {
  Sim sim;
  LogCapture log;
  int done = 0;
  sim.run([](int& count) -> Coro<void> {
    struct Deep {
      static Coro<int> down(int depth) {
        if (depth == 0) co_return 0;
        const int below = co_await down(depth - 1);
        co_return below + 1;
      }
    };
    Event set;
    set.set();
    Queue<int> queue;
    co_await queue.put(3);
    PriorityLock lock("lock");
    const auto finished = create_task(Deep::down(1));
    co_await finished;
    CleanUp clean_up = [&]() -> Coro<void> {
      count += co_await Deep::down(1000);
      co_await set.wait();
      count += co_await queue.get();
      const auto held = co_await lock.acquire();
      count += co_await finished;
      co_await checkpoint();
      auto others = [](int from) -> AsyncGenerator<int> {
        co_yield from;
        co_yield from;
      }(10);
      count += *co_await others.next();
    };
    co_await drop_at_the_first_yield(with_clean_up(std::move(clean_up)));
  }(done));
  EXPECT_EQ(done, 1014);
  EXPECT_EQ(log.text(), "");
}

TEST(GeneratorDrop, does_not_give_way_where_an_ordinary_await_would) {
  Sim sim({.policy = PolicyKind::strict});
  LogCapture log;
  sim.run([]() -> Coro<void> {
    Event set;
    set.set();
    CleanUp clean_up = [&]() -> Coro<void> {
      create_task([]() -> Coro<void> { co_return; }(), {.priority = priority::high});
      EXPECT_FALSE(should_yield());
      for (int i = 0; i < 200; ++i) co_await set.wait();
      co_await checkpoint();
    };
    co_await drop_at_the_first_yield(with_clean_up(std::move(clean_up)));
  }());
  EXPECT_EQ(log.text(), "");
}

// ---- a drop that would wait ----


/// Everything is as before when a wait is refused: nothing was registered.
TEST(GeneratorDrop, a_wait_gets_an_error_before_anything_is_registered) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    PriorityLock lock("lock");
    Event event;
    Queue<int> queue;
    auto held = co_await lock.acquire();
    const auto hold = [](PriorityLock& of) -> Coro<void> {
      const auto mine = co_await of.acquire();
      co_await sleep(1h);
    };
    held.release();
    const auto holder = create_task(hold(lock), {.priority = priority::low, .eager_start = true});
    const std::vector<CleanUp> waits{
        [&]() -> Coro<void> { co_await sleep(1s); },
        [&]() -> Coro<void> { co_await sleep(0); },
        [&]() -> Coro<void> { co_await sleep_until(loop_time() + 1s); },
        [&]() -> Coro<void> { const auto mine = co_await lock.acquire(); },
        [&]() -> Coro<void> { co_await event.wait(); },
        [&]() -> Coro<void> { co_await queue.get(); },
        [&]() -> Coro<void> { co_await holder; },
        [&]() -> Coro<void> { co_await task_interrupt(holder, InterruptException()); },
    };
    int refused = 0;
    for (const CleanUp& one : waits) {
      CleanUp clean_up = [&]() -> Coro<void> {
        try {
          co_await one();
          ADD_FAILURE();
        } catch (const InvalidStateError& error) {
          ++refused;
          EXPECT_THAT(error.what(), HasSubstr("waits at "));
          EXPECT_THAT(error.what(), HasSubstr("generator_drop_test.cpp:"));
        }
        EXPECT_EQ(lock.waiter_count(), 0U);
        EXPECT_EQ(holder.effective_priority(), priority::low);
        EXPECT_EQ(current_task().state(), TaskState::running);
        EXPECT_FALSE(holder.get()->is_awaited());
      };
      co_await drop_at_the_first_yield(with_clean_up(std::move(clean_up)));
    }
    EXPECT_EQ(refused, 8);
    holder.cancel();
    EXPECT_THROW(co_await holder, Cancelled);
    EXPECT_EQ(states_wrong(Loop::current()), "");
  }());
  EXPECT_EQ(log.text(), "");
}

TEST(GeneratorDrop, what_leaves_the_body_is_logged_with_the_place) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    auto generator = []() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {
      }
      co_await sleep(1s);
    }();
    co_await drop_at_the_first_yield(std::move(generator));
    co_await sleep(1s);
  }());
  EXPECT_EQ(log.count("an exception left a generator that was dropped: heirloop::InvalidStateError: a generator that is dropped "
                      "neither waits nor yields any more; co_await aclose() lets it wait; this one waits at "),
            1U)
      << log.text();
#ifndef HEIRLOOP_NO_AWAIT_PLACES
  EXPECT_EQ(log.count("runtime/generator_drop_test.cpp:" + std::to_string(__LINE__ - 10)), 1U) << log.text();
#endif
}

TEST(GeneratorDrop, who_waits_or_yields_again_is_refused_three_times) {
  for (const bool yields : {false, true}) {
    int refused = 0;
    Sim sim;
    sim.run(drop_at_the_first_yield(wait_again(3, yields, refused)));
    EXPECT_EQ(refused, 3);
  }
}

TEST(GeneratorDropDeathTest, who_waits_or_yields_a_fourth_time_ends_the_program_with_the_place_named) {
  for (const bool yields : {false, true}) {
    const auto stubborn = [yields] {
      int refused = 0;
      Sim sim;
      sim.run(drop_at_the_first_yield(wait_again(4, yields, refused)));
    };
    EXPECT_DEATH(stubborn(), "neither waits nor yields any more.*generator_support.hpp:");
  }
}

TEST(GeneratorDropDeathTest, while_somebody_is_inside_ends_the_program) {
  const auto drop = [] {
    Sim sim;
    sim.run([]() -> Coro<void> {
      auto generator = std::make_unique<AsyncGenerator<int>>(with_clean_up([]() -> Coro<void> { co_await sleep(1s); }));
      co_await generator->next();
      const auto inside = create_task([](auto& of) -> Coro<void> { co_await of.next(); }(*generator), {.eager_start = true});
      generator.reset();
    }());
  };
  EXPECT_DEATH(drop(), "not dropped while somebody is inside");
}

TEST(GeneratorDrop, what_came_for_the_task_stays_pending) {
  Sim sim;
  LogCapture log;
  sim.run([]() -> Coro<void> {
    Event set;
    set.set();
    int cleaned = 0;
    CleanUp clean_up = [&]() -> Coro<void> {
      co_await set.wait();
      co_await checkpoint();
      ++cleaned;
    };
    const auto body = [](CleanUp given) -> Coro<void> {
      current_task().cancel("by itself");
      co_await drop_at_the_first_yield(with_clean_up(std::move(given)));
      co_await sleep(1s);
      ADD_FAILURE();
    };
    const auto task = create_task(body(std::move(clean_up)));
    EXPECT_THROW(co_await task, Cancelled);
    EXPECT_EQ(cleaned, 1);
  }());
  EXPECT_EQ(log.text(), "");
}

TEST(GeneratorDrop, a_task_that_the_clean_up_starts_may_wait) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    CleanUp clean_up = [&o]() -> Coro<void> {
      const auto late = [](Order& to) -> Coro<void> {
        co_await sleep(1s);
        to.push_back("late");
      };
      create_task(late(o), {.eager_start = true});
      o.push_back("cleaned");
      co_return;
    };
    co_await drop_at_the_first_yield(with_clean_up(std::move(clean_up)));
    co_await sleep(2s);
  }(order));
  EXPECT_THAT(order, ElementsAre("cleaned", "late"));
}

TEST(GeneratorDrop, while_an_exception_is_under_way) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto body = [](Order& to) -> Coro<void> {
      auto generator = noted(to);
      co_await generator.next();
      throw std::runtime_error("under way");
    };
    EXPECT_THROW(co_await body(o), std::runtime_error);
  }(order));
  EXPECT_THAT(order, ElementsAre("closed"));
}

TEST(GeneratorDrop, of_a_chain_closes_all_with_the_frames_that_hold_them) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto chain = consume(o, consume(o, noted(o, "source"), "middle"), "last");
    EXPECT_EQ(*co_await chain.next(), 3);
    co_await drop_at_the_first_yield(std::move(chain));
    EXPECT_THAT(o, ElementsAre("source", "middle", "last"));
  }(order));
}

TEST(GeneratorDrop, of_a_chain_as_deep_as_its_limit) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    AsyncGenerator<int> chain = noted(o);
    for (int i = 1; i < detail::Drive::most_nested; ++i) chain = consume(o, std::move(chain), "");
    co_await drop_at_the_first_yield(std::move(chain));
  }(order));
  EXPECT_EQ(order.size(), 1000U);
}

TEST(GeneratorDropDeathTest, of_a_deeper_chain_ends_the_program) {
  const auto deep = [] {
    Sim sim;
    Order order;
    sim.run([](Order& o) -> Coro<void> {
      AsyncGenerator<int> chain = noted(o);
      for (int i = 0; i < detail::Drive::most_nested; ++i) chain = consume(o, std::move(chain), "");
      co_await drop_at_the_first_yield(std::move(chain));
    }(order));
  };
  EXPECT_DEATH(deep(), "nest no deeper");
}

TEST(GeneratorClose, of_a_chain_as_deep_as_its_limit) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    AsyncGenerator<int> chain = noted(o);
    for (int i = 1; i < detail::Drive::most_nested; ++i) chain = consume(o, std::move(chain), "");
    co_await chain.next();
    co_await chain.aclose();
    EXPECT_EQ(o.size(), 1000U) << "those inside are dropped with the frames that hold them";
  }(order));
}

/// A handle drops the generator: no task runs.
Coro<void> dropped_by_a_handle(CleanUp clean_up) {
  auto held = std::make_shared<AsyncGenerator<int>>(with_clean_up(std::move(clean_up)));
  co_await held->next();
  call_soon([it = std::move(held)]() mutable { it.reset(); });
  co_await sleep(1ms);
}

TEST(GeneratorDrop, by_a_handle_may_meet_checkpoints) {
  Order order;
  Sim sim;
  sim.run(dropped_by_a_handle([&]() -> Coro<void> {
    co_await checkpoint();
    order.push_back("behind the checkpoint");
  }));
  EXPECT_THAT(order, ElementsAre("behind the checkpoint"));
}

TEST(GeneratorDrop, by_a_handle_refuses_ensure_before_its_body) {
  Order order;
  LogCapture log;
  Sim sim;
  sim.run(dropped_by_a_handle([&]() -> Coro<void> {
    const auto notes = [&order]() -> Coro<void> {
      order.push_back("ran");
      co_return;
    };
    co_await ensure(notes, notes);
  }));
  EXPECT_THAT(order, ElementsAre());
  EXPECT_THAT(log.text(), HasSubstr("no task runs here"));
}

TEST(GeneratorDrop, refuses_a_group_its_tasks) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto generator = with_clean_up([]() -> Coro<void> {
      co_await with_task_group([](TaskGroup& group) -> Coro<void> {
        group.start_soon([]() -> Coro<void> { co_return; }());
        co_return;
      });
    });
    co_await generator.next();
  }());
  EXPECT_THAT(log.text(), HasSubstr("a group takes none"));
}

}  // namespace
}  // namespace heirloop::testing
