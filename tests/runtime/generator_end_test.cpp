// Generators that are left when their run ends are closed in tasks, and may wait; those dropped later have no loop.
#include <heirloop/runtime/run.hpp>
#include <heirloop/sync/lock.hpp>

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

TEST(GeneratorAtTheEndOfARun, is_closed_and_may_wait) {
  Order order;
  Sim sim;
  LogCapture log;
  AsyncGenerator<int> kept;
  sim.run([](AsyncGenerator<int>& to, Order& o) -> Coro<void> {
    to = with_clean_up([&o]() -> Coro<void> {
      co_await sleep(5s);
      o.push_back("cleaned");
    });
    co_await to.next();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("cleaned"));
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 5s);
  EXPECT_TRUE(kept.is_finished());
  EXPECT_EQ(log.text(), "");
  sim.run([](AsyncGenerator<int>& of) -> Coro<void> { EXPECT_FALSE(co_await of.next()); }(kept));
}

TEST(GeneratorAtTheEndOfARun, knows_those_that_were_moved_and_forgets_those_that_ended) {
  Order order;
  Sim sim;
  std::vector<AsyncGenerator<int>> kept;
  AsyncGenerator<int> never_begun = noted(order, "never");
  sim.run([](auto& to, Order& o) -> Coro<void> {
    for (int i = 0; i < 5; ++i) {
      auto generator = noted(o, std::to_string(i));
      co_await generator.next();
      to.push_back(std::move(generator));
    }
    to.erase(to.begin() + 1);
    co_await to[2].aclose();
    o.clear();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("4", "2", "0")) << "the last that began first";
  EXPECT_TRUE(never_begun.is_new());
}

TEST(GeneratorAtTheEndOfARun, comes_after_the_tasks) {
  Order order;
  Sim sim;
  AsyncGenerator<int> kept;
  sim.run([](AsyncGenerator<int>& to, Order& o) -> Coro<void> {
    to = noted(o, "generator");
    co_await to.next();
    const auto body = [](Order& seen) -> Coro<void> {
      const Note note(seen, "task");
      co_await sleep(1h);
    };
    create_task(body(o), {.eager_start = true});
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("task", "generator"));
}

TEST(GeneratorAtTheEndOfARun, errors_are_logged_with_the_place) {
  Sim sim;
  LogCapture log;
  AsyncGenerator<int> kept;
  sim.run([](AsyncGenerator<int>& to) -> Coro<void> {
    to = with_clean_up([]() -> Coro<void> {
      co_await sleep(1s);
      throw std::runtime_error("clean-up failed");
    });
    co_await to.next();
  }(kept));
  EXPECT_EQ(log.count("the close of what stood open at "), 1U) << log.text();
  EXPECT_EQ(log.count("generator_support.hpp:"), 1U) << log.text();
  EXPECT_EQ(log.count("failed, and nobody fetched its exception: std::runtime_error: clean-up failed"), 1U) << log.text();
}

TEST(GeneratorAtTheEndOfARun, who_has_not_ended_by_the_deadline_is_named_and_cancelled) {
  Sim sim({.end_deadline = 2s});
  LogCapture log;
  AsyncGenerator<int> kept;
  bool cancelled = false;
  sim.run([](AsyncGenerator<int>& to, bool& seen) -> Coro<void> {
    to = with_clean_up([&seen]() -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        seen = true;
        throw;
      }
    });
    co_await to.next();
    co_await sleep(1s);
  }(kept, cancelled));
  EXPECT_TRUE(cancelled);
  EXPECT_TRUE(kept.is_finished());
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 3s);
  EXPECT_EQ(log.count("the close of what stood open at "), 1U) << log.text();
  EXPECT_EQ(log.count("has not ended 2s after its start by the end of the loop: it is waiting for a sleep at "), 1U) << log.text();
}

TEST(GeneratorAtTheEndOfARun, each_has_the_deadline_for_itself) {
  Sim sim({.end_deadline = 2s});
  LogCapture log;
  std::vector<AsyncGenerator<int>> kept;
  sim.run([](auto& to) -> Coro<void> {
    for (int i = 0; i < 4; ++i) {
      to.push_back(with_clean_up([]() -> Coro<void> { co_await sleep(1500ms); }));
      co_await to.back().next();
    }
  }(kept));
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 6s);
  EXPECT_EQ(log.text(), "");
}

TEST(GeneratorAtTheEndOfARun, an_inner_one_may_wait_before_the_outer_drops_it) {
  Sim sim;
  Order order;
  LogCapture log;
  AsyncGenerator<int> kept;
  sim.run([](AsyncGenerator<int>& to, Order& o) -> Coro<void> {
    auto inner = with_clean_up([&o]() -> Coro<void> {
      co_await sleep(1s);
      o.push_back("inner");
    });
    to = consume(o, std::move(inner), "outer");
    co_await to.next();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("inner", "outer"));
  EXPECT_EQ(log.text(), "");
}

TEST(GeneratorAtTheEndOfARun, tasks_that_a_clean_up_awaits_are_not_cancelled) {
  Sim sim;
  Order order;
  LogCapture log;
  AsyncGenerator<int> kept;
  sim.run([](AsyncGenerator<int>& to, Order& o) -> Coro<void> {
    to = with_clean_up([&o]() -> Coro<void> {
      const auto late = [](Order& seen) -> Coro<void> {
        co_await sleep(1s);
        seen.push_back("awaited");
      };
      create_task(late(o));
      co_await create_task(late(o));
      const auto left = [](Order& seen) -> Coro<void> {
        const Note note(seen, "left");
        co_await sleep(1h);
      };
      create_task(left(o), {.eager_start = true});
    });
    co_await to.next();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("awaited", "awaited", "left"));
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 1s) << "what nobody awaits is cancelled then";
  EXPECT_EQ(log.text(), "");
}

TEST(GeneratorAtTheEndOfARun, one_that_begins_in_a_clean_up_is_closed_as_well) {
  Sim sim;
  Order order;
  std::vector<AsyncGenerator<int>> kept(2);
  sim.run([](auto& to, Order& o) -> Coro<void> {
    to[0] = with_clean_up([&]() -> Coro<void> {
      to[1] = noted(o, "second");
      co_await to[1].next();
      o.push_back("first");
    });
    co_await to[0].next();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("first", "second"));
}

TEST(GeneratorAtTheEndOfARun, may_be_dropped_meanwhile) {
  Sim sim;
  Order order;
  std::vector<AsyncGenerator<int>> kept;
  sim.run([](auto& to, Order& o) -> Coro<void> {
    to.push_back(noted(o, "dropped"));
    co_await to[0].next();
    to.push_back(with_clean_up([&]() -> Coro<void> {
      to[0] = {};
      co_return;
    }));
    co_await to[1].next();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("dropped"));
}

TEST(GeneratorAtTheEndOfARun, who_yields_in_answer_stays_suspended_and_is_logged) {
  LogCapture log;
  AsyncGenerator<int> kept;
  int refused = 0;
  {
    Sim sim;
    sim.run([](AsyncGenerator<int>& to, int& count) -> Coro<void> {
      to = wait_again(5, true, count);
      co_await to.next();
    }(kept, refused));
  }
  EXPECT_EQ(refused, 3);
  EXPECT_TRUE(kept.is_suspended());
  EXPECT_EQ(log.count("yields at "), 1U) << log.text();
}

/// Answers the end of the run by yields, so that it is there still; then cleans up.
AsyncGenerator<int> survive(CleanUp clean_up) {
  std::exception_ptr error;
  for (int i = 0; error == nullptr; ++i) {
    try {
      co_yield i;
    } catch (const InvalidStateError&) {
    } catch (const GeneratorExit&) {
      if (i > 0) error = std::current_exception();
    }
  }
  co_await clean_up();
  std::rethrow_exception(error);
}

TEST(GeneratorAfterTheRun, is_dropped_without_a_loop) {
  LogCapture log;
  Order order;
  {
    PriorityLock lock("lock");
    AsyncGenerator<int> kept;
    {
      Sim sim;
      sim.run([](AsyncGenerator<int>& to, Order& o, PriorityLock& free) -> Coro<void> {
        to = survive([&]() -> Coro<void> {
          const auto child = [](Order& seen) -> Coro<void> {
            seen.push_back("child");
            co_return;
          };
          co_await child(o);
          EXPECT_THROW(co_await sleep(1s), InvalidStateError);
          EXPECT_THROW(co_await sleep(0), InvalidStateError);
          EXPECT_THROW(static_cast<void>(co_await free.acquire()), InvalidStateError) << "no task is there to own it";
          o.push_back("cleaned");
        });
        co_await to.next();
      }(kept, order, lock));
    }
    EXPECT_TRUE(kept.is_suspended());
    EXPECT_TRUE(order.empty());
    EXPECT_EQ(log.count("yields at "), 1U) << log.text();
  }
  EXPECT_THAT(order, ElementsAre("child", "cleaned"));
}

TEST(GeneratorAtTheEndOfARun, of_a_whole_runtime) {
  Order order;
  AsyncGenerator<int> kept;
  run([](AsyncGenerator<int>& to, Order& o) -> Coro<void> {
    to = with_clean_up([&o]() -> Coro<void> {
      co_await sleep(1ms);
      o.push_back("cleaned");
    });
    co_await to.next();
  }(kept, order));
  EXPECT_THAT(order, ElementsAre("cleaned"));
}

TEST(GeneratorAtTheEndOfARun, may_be_dropped_while_the_loop_closes_it) {
  for (const bool yields_on : {false, true}) {
    Order order;
    LogCapture log;
    Sim sim;
    sim.run([](Order& o, bool yields) -> Coro<void> {
      const auto body = [](Order& in, bool on) -> AsyncGenerator<int> {
        const Note note(in, "closed");
        bool exits = false;
        try {
          co_yield 1;
        } catch (const GeneratorExit&) {
          exits = true;
        }
        if (exits) co_await sleep(1ms);
        for (int i = 0; on && i < 5; ++i) {
          try {
            co_yield i;
          } catch (const InvalidStateError&) {
          } catch (const GeneratorExit&) {
            on = false;
          }
        }
      };
      auto held = std::make_shared<AsyncGenerator<int>>(body(o, yields));
      co_await held->next();
      const auto drop = [it = std::move(held), &o]() mutable {
        it.reset();
        o.push_back("dropped");
      };
      call_soon(std::move(drop), {.priority = priority::low});
    }(order, yields_on));
    EXPECT_THAT(order, ElementsAre("dropped", "closed"));
  }
}

}  // namespace
}  // namespace heirloop::testing
