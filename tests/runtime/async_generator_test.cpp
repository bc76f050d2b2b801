// AsyncGenerator: values, waits in between, exceptions. Its ends are in generator_close_test.cpp, generator_drop_test.cpp and
// generator_end_test.cpp.
#include <heirloop/runtime/async_generator.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/stack.hpp>
#include <heirloop/sync/channel.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/suspension_harness.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace generator_test {

using namespace std::chrono_literals;

constexpr unsigned inner_line = __LINE__ + 1;
heirloop::Coro<void> inner() { co_await heirloop::sleep(1h); }

constexpr unsigned waiting_line = __LINE__ + 3;
heirloop::AsyncGenerator<int> waiting() {
  const int one = 1;
  co_await inner();
  co_yield one;
}

constexpr unsigned consumer_line = __LINE__ + 3;
heirloop::Coro<void> consumer() {
  auto values = waiting();
  co_await values.next();
}

}  // namespace generator_test

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

AsyncGenerator<int> count_to(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
}

AsyncGenerator<int> count_slowly(int last) {
  for (int i = 1; i <= last; ++i) {
    co_await sleep(1s);
    co_yield i;
  }
}

// ---- values ----

TEST(AsyncGenerator, gives_its_values_and_then_nothing) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<int> values;
    auto numbers = count_to(3);
    while (const auto value = co_await numbers.next()) values.push_back(*value);
    EXPECT_THAT(values, ElementsAre(1, 2, 3));
    EXPECT_FALSE(co_await numbers.next());
    EXPECT_FALSE(co_await numbers.next());
  }());
}

TEST(AsyncGenerator, is_lazy) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool ran = false;
    const auto body = [](bool& flag) -> AsyncGenerator<int> {
      flag = true;
      co_yield 1;
    };
    auto numbers = body(ran);
    EXPECT_TRUE(numbers.is_new());
    co_await sleep(1s);
    EXPECT_FALSE(ran);
    co_await numbers.next();
    EXPECT_TRUE(ran);
    EXPECT_TRUE(numbers.is_suspended());
    co_await numbers.next();
    EXPECT_TRUE(numbers.is_finished());
  }());
}

TEST(AsyncGenerator, may_wait_between_values) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int sum = 0;
    auto numbers = count_slowly(3);
    while (const auto value = co_await numbers.next()) sum += *value;
    EXPECT_EQ(sum, 6);
  }());
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 3s);
}

TEST(AsyncGenerator, gives_a_million_values_in_one_step) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto before = Loop::current().dispatches();
    long sum = 0;
    auto numbers = count_to(1'000'000);
    while (const auto value = co_await numbers.next()) sum += *value;
    EXPECT_EQ(sum, 500'000'500'000);
    EXPECT_EQ(Loop::current().dispatches(), before);
  }());
}

struct Counted {
  explicit Counted(int v) noexcept : value(v) {}
  Counted(const Counted& other) : value(other.value) { ++copies; }
  Counted(Counted&& other) noexcept : value(other.value) { ++moves; }
  Counted& operator=(const Counted&) = delete;
  Counted& operator=(Counted&&) = delete;
  ~Counted() = default;
  int value;
  static inline int copies = 0;
  static inline int moves = 0;
};

TEST(AsyncGenerator, moves_a_value_twice_and_copies_none) {
  Counted::copies = Counted::moves = 0;
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto made = []() -> AsyncGenerator<Counted> {
      co_yield Counted(1);
      co_yield 2;
    }();
    EXPECT_EQ((co_await made.next())->value, 1);
    EXPECT_EQ(Counted::moves, 2) << "into the result, and out of it";
    EXPECT_EQ((co_await made.next())->value, 2);
    EXPECT_EQ(Counted::moves, 3) << "made in place, and out";
    EXPECT_EQ(Counted::copies, 0);
  }());
}

TEST(AsyncGenerator, gives_what_can_only_be_moved) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto owned = []() -> AsyncGenerator<std::unique_ptr<int>> {
      co_yield std::make_unique<int>(7);
      co_yield nullptr;
    }();
    EXPECT_EQ(**co_await owned.next(), 7);
    const auto null = co_await owned.next();
    EXPECT_TRUE(null.has_value() && *null == nullptr);
  }());
}

TEST(AsyncGenerator, of_references_gives_pointers) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<std::string> lines{"a", "b"};
    auto references = [](std::vector<std::string>& from) -> AsyncGenerator<std::string&> {
      for (auto& line : from) co_yield line;
    }(lines);
    std::string* const first = co_await references.next();
    EXPECT_EQ(first, &lines[0]);
    first->append("!");
    EXPECT_EQ(co_await references.next(), &lines[1]);
    EXPECT_EQ(co_await references.next(), nullptr);
    EXPECT_EQ(lines[0], "a!");
  }());
}

TEST(AsyncGenerator, a_temporary_yielded_by_reference_lives_until_the_generator_goes_on) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto references = []() -> AsyncGenerator<const std::string&> {
      co_yield std::string("longer than what lies inside a string object");
      co_yield std::string("the other");
    }();
    const std::string* text = co_await references.next();
    co_await sleep(1s);
    EXPECT_EQ(*text, "longer than what lies inside a string object");
    text = co_await references.next();
    EXPECT_EQ(*text, "the other");
  }());
}

TEST(AsyncGenerator, awaits_coroutines_and_other_generators_to_any_depth) {
  struct Nested {
    static AsyncGenerator<int> plus_one(AsyncGenerator<int> source) {
      while (auto value = co_await source.next()) co_yield *value + 1;
    }
  };
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = count_slowly(2);
    for (int i = 0; i < 300; ++i) numbers = Nested::plus_one(std::move(numbers));
    EXPECT_EQ(*co_await numbers.next(), 301);
    EXPECT_EQ(*co_await numbers.next(), 302);
    EXPECT_FALSE(co_await numbers.next());
  }());
}

TEST(AsyncGenerator, runs_as_part_of_whichever_task_awaits_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto tasks = []() -> AsyncGenerator<TaskRef> {
      for (;;) {
        co_await sleep(1ms);
        co_yield current_task();
      }
    }();
    const auto ask = [](AsyncGenerator<TaskRef>& from) -> Coro<bool> { co_return *co_await from.next() == current_task(); };
    EXPECT_TRUE(co_await ask(tasks));
    EXPECT_TRUE(co_await create_task(ask(tasks)));
    EXPECT_TRUE(co_await create_task(ask(tasks)));
  }());
}

// ---- wrong use ----

TEST(AsyncGenerator, refuses_a_second_one_inside) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = count_slowly(2);
    const auto ask = [](auto& from) -> Coro<int> { co_return *co_await from.next(); };
    const auto first = create_task(ask(numbers), {.eager_start = true});
    EXPECT_THROW(co_await numbers.next(), InvalidStateError);
    EXPECT_THROW(co_await numbers.athrow(std::runtime_error("no")), InvalidStateError);
    EXPECT_THROW(co_await numbers.aclose(), InvalidStateError);
    EXPECT_EQ(co_await first, 1) << "the one inside is not disturbed";
    EXPECT_EQ(*co_await numbers.next(), 2);
  }());
}

TEST(AsyncGenerator, refuses_to_await_itself) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    AsyncGenerator<int> self;
    self = [](AsyncGenerator<int>& own) -> AsyncGenerator<int> {
      co_yield 1;
      co_await own.next();
    }(self);
    co_await self.next();
    EXPECT_THROW(co_await self.next(), InvalidStateError);
  }());
}

TEST(AsyncGenerator, what_was_moved_from_is_empty) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto from = count_to(2);
    co_await from.next();
    auto to = std::move(from);
    EXPECT_FALSE(from);  // NOLINT(bugprone-use-after-move)
    EXPECT_THROW(co_await from.next(), InvalidStateError);
    EXPECT_THROW(co_await from.aclose(), InvalidStateError);
    EXPECT_THROW(co_await from.athrow(1), InvalidStateError);
    EXPECT_EQ(*co_await to.next(), 2);
  }());
}

TEST(AsyncGenerator, may_be_moved_while_somebody_is_inside) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto from = count_slowly(2);
    const auto first = create_task([](auto& g) -> Coro<int> { co_return *co_await g.next(); }(from), {.eager_start = true});
    auto to = std::move(from);
    EXPECT_EQ(co_await first, 1);
    EXPECT_EQ(*co_await to.next(), 2);
  }());
}

// ---- exceptions ----

AsyncGenerator<int> fail_after_one() {
  co_yield 1;
  throw std::runtime_error("failed");
}

TEST(AsyncGenerator, an_exception_comes_out_of_next_once_and_finishes) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = fail_after_one();
    co_await numbers.next();
    EXPECT_THROW(co_await numbers.next(), std::runtime_error);
    EXPECT_TRUE(numbers.is_finished());
    EXPECT_FALSE(co_await numbers.next());
  }());
}

TEST(AsyncGenerator, what_comes_for_the_task_comes_to_the_innermost_await_and_out_of_next) {
  enum class How { interrupt, cancel, limit };
  for (const How how : {How::interrupt, How::cancel, How::limit}) {
    SCOPED_TRACE(static_cast<int>(how));
    Order order;
    Sim sim;
    sim.run([](How by, Order& o) -> Coro<void> {
      const auto body = [](Order& seen) -> AsyncGenerator<int> {
        co_yield 1;
        try {
          co_await generator_test::inner();
        } catch (...) {
          seen.push_back("inside");
          throw;
        }
      };
      const auto consume = [](AsyncGenerator<int> numbers, Order& seen) -> Coro<void> {
        co_await numbers.next();
        try {
          co_await numbers.next();
        } catch (const InterruptException&) {
          seen.push_back("interrupted");
        } catch (const Cancelled&) {
          seen.push_back("cancelled");
        }
        EXPECT_TRUE(numbers.is_finished());
        EXPECT_FALSE(co_await numbers.next());
      };
      if (by == How::limit) {
        auto numbers = body(o);
        co_await numbers.next();
        auto whole = [&]() -> Coro<void> { co_await numbers.next(); };
        EXPECT_THROW(co_await timeout(1s, whole), TimeoutError);
        EXPECT_TRUE(numbers.is_finished());
        o.push_back("timed out");
        co_return;
      }
      const auto task = create_task(consume(body(o), o), {.eager_start = true});
      if (by == How::interrupt) {
        EXPECT_EQ(co_await task_interrupt(task, InterruptException("hit")), InterruptOutcome::ended);
      } else {
        task.cancel();
        co_await task;
      }
    }(how, order));
    const char* const ends[] = {"interrupted", "cancelled", "timed out"};
    EXPECT_THAT(order, ElementsAre("inside", ends[static_cast<int>(how)]));
  }
}

TEST(AsyncGenerator, goes_on_when_it_handles_an_interrupt_itself) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto body = []() -> AsyncGenerator<int> {
      try {
        co_await sleep(1h);
      } catch (const InterruptException&) {
      }
      co_yield 5;
    };
    const auto ask = [](AsyncGenerator<int> from) -> Coro<int> { co_return *co_await from.next(); };
    const auto task = create_task(ask(body()), {.eager_start = true});
    co_await task_interrupt(task, InterruptException());
    EXPECT_EQ(co_await task, 5);
  }());
}

TEST(AsyncGenerator, a_lock_held_across_a_yield_is_that_of_the_task_that_took_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock("lock");
    auto holding = [](PriorityLock& of) -> AsyncGenerator<int> {
      auto held = co_await of.acquire();
      co_yield 1;
      co_yield 2;
      held.release();
      co_yield 3;
    }(lock);
    co_await holding.next();
    EXPECT_TRUE(lock.held_by_current_task());
    auto other = [](PriorityLock& of) -> Coro<void> { const auto held = co_await of.acquire(); };
    const auto waits = create_task(other(lock), {.priority = priority::high, .eager_start = true});
    EXPECT_EQ(current_task().effective_priority(), priority::high) << "who holds it inherits";
    co_await holding.next();
    co_await holding.next();
    EXPECT_FALSE(lock.held_by_current_task());
    co_await waits;
  }());
}

// ---- the stack ----

TEST(AsyncGeneratorStack, shows_the_frames_in_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(generator_test::consumer(), {.eager_start = true});
    const auto frames = get_stack(task);
    EXPECT_EQ(frames.size(), 3U);
    if (frames.size() != 3U) co_return;
    EXPECT_EQ(frames[0].function(), "generator_test::consumer");
    EXPECT_EQ(frames[1].function(), "generator_test::waiting");
    EXPECT_EQ(frames[2].function(), "generator_test::inner");
#ifndef HEIRLOOP_NO_AWAIT_PLACES
    EXPECT_EQ(frames[0].line(), generator_test::consumer_line);
    EXPECT_EQ(frames[1].line(), generator_test::waiting_line);
    EXPECT_EQ(frames[2].line(), generator_test::inner_line);
#endif
    task.cancel();
  }());
}

// ---- stopped at every moment ----

/// A consumer whose generator takes a lock and receives from a channel: whatever stops it, no item is lost and the lock is free.
struct GeneratorScene {
  PriorityLock lock{"lock"};
  Channel<int> items{3};
  std::vector<int> seen;
  int alive = 0;

  AsyncGenerator<int> locked_items() {
    struct Alive {
      explicit Alive(int& c) noexcept : count(c) { ++count; }
      Alive(const Alive&) = delete;
      Alive& operator=(const Alive&) = delete;
      ~Alive() { --count; }
      int& count;
    } const one(alive);
    for (;;) {
      auto held = co_await lock.acquire();
      co_await sleep(0);
      held.release();
      auto item = co_await items.receive();
      if (!item) co_return;
      co_yield *item;
    }
  }
  Coro<void> operate() {
    auto numbers = locked_items();
    while (const auto value = co_await numbers.next()) {
      seen.push_back(*value);
      co_await sleep(0);
    }
  }
  Coro<void> help() {
    auto held = co_await lock.acquire();
    co_await sleep(1ms);
    held.release();
    for (int i = 1; i <= 3; ++i) {
      EXPECT_EQ(items.try_send(i), TrySendResult::sent);
      co_await sleep(1ms);
    }
    items.close();
  }
  Coro<void> after() {
    int next = static_cast<int>(seen.size()) + 1;
    while (const auto item = co_await items.receive()) EXPECT_EQ(*item, next++);
    EXPECT_EQ(next, 4) << "what nobody has seen is there still";
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_FALSE(lock.locked());
    EXPECT_EQ(lock.waiter_count(), 0U);
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], static_cast<int>(i) + 1);
    EXPECT_EQ(alive, 0);
  }
};

TEST(AsyncGeneratorStopped, at_every_suspension_inside_next) { stop_in_both_states<GeneratorScene>(); }

/// What is thrown at the yield, and the close, are answered by waits for a lock that others want too.
struct GeneratorEndScene {
  LogCapture log;  // a drop can't wait for the lock
  PriorityLock lock{"lock"};
  int alive = 0;

  AsyncGenerator<int> answers() {
    struct Alive {
      explicit Alive(int& c) noexcept : count(c) { ++count; }
      Alive(const Alive&) = delete;
      Alive& operator=(const Alive&) = delete;
      ~Alive() { --count; }
      int& count;
    } const one(alive);
    bool exits = false;
    for (int value = 1; !exits; ++value) {
      try {
        co_yield value;
      } catch (const std::runtime_error&) {
      } catch (const GeneratorExit&) {
        exits = true;
      }
      auto held = co_await lock.acquire();
      co_await sleep(1ms);
    }
  }
  Coro<void> operate() {
    auto numbers = answers();
    EXPECT_EQ(co_await numbers.next(), 1);
    EXPECT_EQ(co_await numbers.athrow(std::runtime_error("answer")), 2);
    co_await numbers.aclose();
    EXPECT_TRUE(numbers.is_finished());
  }
  Coro<void> help() {
    for (int i = 0; i < 3; ++i) {
      auto held = co_await lock.acquire();
      co_await sleep(1ms);
      held.release();
      co_await sleep(0);
    }
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(alive, 0);
    EXPECT_FALSE(lock.locked());
  }
};

TEST(AsyncGeneratorStopped, at_every_suspension_inside_athrow_and_aclose) { stop_in_both_states<GeneratorEndScene>(); }

}  // namespace
}  // namespace heirloop::testing
