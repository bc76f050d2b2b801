// The forms that work where g++ 12 miscompiles the obvious one. Each test is the recommended way to write
// something that is destroyed twice, copied or refused in another form: DESIGN section 14 and the README list
// those.
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <source_location>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

/// Counts how many are alive; a double free shows as a negative number, and under AddressSanitizer at once.
struct Counted {
  Counted() { ++alive; }
  explicit Counted(std::string t) : text(std::move(t)) { ++alive; }
  Counted(const Counted& other) : text(other.text) { ++alive; }
  Counted(Counted&& other) noexcept : text(std::move(other.text)) { ++alive; }
  Counted& operator=(const Counted&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() { --alive; }
  std::string text;
  static inline int alive = 0;
};

class CompilerTraps : public ::testing::Test {
 public:
  void run(Coro<void> main) {
    sim.run(std::move(main));
    EXPECT_EQ(Counted::alive, 0);
  }
  Sim sim;
};

const std::string long_text(100, 'x');

Coro<std::string> text_of(std::string text) {
  co_await sleep(0);
  co_return text;
}
Coro<Counted> counted(std::string text) {
  co_await sleep(0);
  co_return Counted(std::move(text));
}
Coro<std::size_t> length_of(Counted value) {
  co_await sleep(0);
  co_return value.text.size();
}

/// Options have trivially destructible members: an aggregate in an awaited expression is safe.
TEST_F(CompilerTraps, options_in_braces_in_an_awaited_expression) {
  static_assert(std::is_trivially_destructible_v<TaskOptions>);
  run([]() -> Coro<void> {
    EXPECT_EQ(co_await create_task(text_of(long_text), {.name = std::string(60, 'n'), .priority = 1.0}),
              long_text);
    EXPECT_EQ(co_await create_task(text_of(long_text), {.name = "short", .eager_start = true}), long_text);
  }());
}

/// A class with a constructor, not an aggregate, as an argument in an awaited expression.
TEST_F(CompilerTraps, arguments_with_a_constructor) {
  run([]() -> Coro<void> {
    EXPECT_EQ(co_await length_of(Counted(long_text)), 100U);
    EXPECT_EQ(co_await create_task(length_of(Counted(long_text))), 100U);
  }());
}

/// What would be an aggregate around a co_await is made from named values.
TEST_F(CompilerTraps, awaited_values_are_named_before_they_are_put_together) {
  struct Pair {
    Counted first;
    Counted second;
  };
  run([]() -> Coro<void> {
    Counted first = co_await counted("one");
    Counted second = co_await counted("two");
    const Pair pair{std::move(first), std::move(second)};
    EXPECT_EQ(pair.first.text + pair.second.text, "onetwo");
    std::vector<std::string> list;
    list.push_back(co_await text_of("a"));
    list.push_back(co_await text_of("b"));
    EXPECT_THAT(list, ElementsAre("a", "b"));
  }());
}

/// A choice between temporaries is named before it becomes an argument of an awaited call; the same holds for
/// any other argument in a statement that awaits, such as the second one of an EXPECT_EQ.
TEST_F(CompilerTraps, a_chosen_argument_is_named) {
  run([]() -> Coro<void> {
    for (const bool choice : {false, true}) {
      std::string chosen = choice ? std::string(long_text) : std::string("other");
      const std::string expected = chosen;
      EXPECT_EQ(co_await text_of(std::move(chosen)), expected);
    }
  }());
}

/// A choice between two awaits is an if when what they give has a destructor: `c ? co_await a : co_await b`
/// destroys it twice.
TEST_F(CompilerTraps, a_choice_between_awaits_is_an_if) {
  run([]() -> Coro<void> {
    for (const bool choice : {false, true}) {
      Counted chosen;
      if (choice) {
        chosen = co_await counted(long_text);
      } else {
        chosen = co_await counted("other");
      }
      EXPECT_EQ(chosen.text.size(), choice ? 100U : 5U);
    }
  }());
}

/// A lambda with by-copy captures is named; it outlives the coroutine that it makes.
TEST_F(CompilerTraps, a_lambda_with_captures_is_named) {
  run([]() -> Coro<void> {
    const Counted value(long_text);
    const auto body = [value]() -> Coro<std::size_t> {
      co_await sleep(0);
      co_return value.text.size();
    };
    EXPECT_EQ(co_await body(), 100U);
    EXPECT_EQ(co_await create_task(body()), 100U);
    // Or it captures nothing, and takes arguments.
    EXPECT_EQ(
        co_await [](Counted v) -> Coro<std::size_t> { co_return v.text.size(); }(value), 100U);
  }());
}

/// Awaiters have constructors and can be neither copied nor moved.
template <class Awaiter>
constexpr bool stays_in_place = !std::is_copy_constructible_v<Awaiter> &&
                                !std::is_move_constructible_v<Awaiter> && !std::is_aggregate_v<Awaiter>;

TEST_F(CompilerTraps, awaiters_stay_in_place) {
  static_assert(stays_in_place<decltype(sleep(0))>);
  static_assert(stays_in_place<decltype(checkpoint())>);
  static_assert(stays_in_place<PriorityLock::Acquire>);
  static_assert(stays_in_place<InterruptWait>);
  static_assert(stays_in_place<decltype(std::declval<PriorityTask<int>>().operator co_await())>);
  static_assert(stays_in_place<decltype(std::declval<Coro<int>&>().operator co_await())>);
}

// ---- what is fine in g++ 12 ----

TEST_F(CompilerTraps, awaits_inside_conditions_and_operators) {
  run([]() -> Coro<void> {
    const auto yes = [](int& calls) -> Coro<bool> {
      co_await sleep(0);
      co_return ++calls < 4;
    };
    int calls = 0;
    while (co_await yes(calls)) {
    }
    EXPECT_EQ(calls, 4);
    const bool both = co_await yes(calls) && co_await yes(calls);
    EXPECT_FALSE(both);
    EXPECT_EQ(calls, 5) << "the second was not asked";
    const bool either = co_await yes(calls) || co_await yes(calls);
    EXPECT_FALSE(either);
    EXPECT_EQ(calls, 7);
    const std::size_t chosen =
        calls == 7 ? co_await length_of(Counted("left")) : co_await length_of(Counted(""));
    EXPECT_EQ(chosen, 4U);
    switch ((co_await text_of("abc")).size()) {
      case 3:
        break;
      default:
        ADD_FAILURE();
    }
    if (const auto text = co_await text_of("in an if"); text != "in an if") ADD_FAILURE();
    for (int i = 0; i < static_cast<int>((co_await text_of("ab")).size()); ++i) ++calls;
    EXPECT_EQ(calls, 9);
  }());
}

TEST_F(CompilerTraps, exceptions_from_await_suspend_and_from_the_first_line) {
  run([]() -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    int caught = 0;
    for (int i = 0; i < 3; ++i) {
      try {
        const Counted in_scope(long_text);
        auto again = co_await lock.acquire();
      } catch (const DeadlockError&) {
        ++caught;
      }
    }
    EXPECT_EQ(caught, 3);
    auto task = create_task(length_of(Counted(long_text)));
    task.cancel();
    co_await sleep(1ms);
    EXPECT_TRUE(task.cancelled());
    EXPECT_EQ(Counted::alive, 0) << "the parameters of a frame that never began";
  }());
}

TEST_F(CompilerTraps, guards_and_temporaries_end_where_they_should) {
  run([]() -> Coro<void> {
    PriorityLock lock;
    {
      auto held = co_await lock.acquire();
      EXPECT_TRUE(lock.locked());
    }
    EXPECT_FALSE(lock.locked());
    (void)co_await lock.acquire();  // a guard that nobody names ends with its statement
    EXPECT_FALSE(lock.locked());
    const std::size_t size = (co_await counted(long_text)).text.size() + (co_await counted("ab")).text.size();
    EXPECT_EQ(size, 102U);
    EXPECT_EQ(Counted::alive, 0);
    Coro<Counted> dropped = counted("never awaited");
  }());
}

/// The name of the place: `function_name()` of a coroutine is cut to a readable one where it is shown; file
/// and line are right.
TEST_F(CompilerTraps, a_source_location_in_a_coroutine_has_file_and_line) {
  run([]() -> Coro<void> {
    const auto here = std::source_location::current();
    EXPECT_THAT(here.file_name(), ::testing::EndsWith("compiler_traps_test.cpp"));
    EXPECT_EQ(here.line(), static_cast<unsigned>(__LINE__) - 2);
    co_return;
  }());
}

/// A co_await in the condition of a loop or an if, in a coroutine that has a local: without any, g++ 12 makes code that
/// crashes.
TEST_F(CompilerTraps, an_await_in_a_condition_beside_a_local) {
  run([]() -> Coro<void> {
    int rounds = 0;
    const auto more = [](int round) -> Coro<bool> {
      co_await sleep(0);
      co_return round < 3;
    };
    while (co_await more(rounds)) ++rounds;
    if (co_await more(rounds)) rounds = -1;
    EXPECT_EQ(rounds, 3);
  }());
}

/// What awaits only while something else holds: g++ 12 evaluates the await of `while (a && co_await b)` in any case. In the body,
/// and in the condition of an if, it does as it should.
TEST_F(CompilerTraps, an_await_that_depends_on_another_condition) {
  run([]() -> Coro<void> {
    int asked = 0;
    const auto ask = [&asked]() -> Coro<bool> {
      ++asked;
      co_return true;
    };
    bool open = true;
    while (open) {
      if (!co_await ask()) break;
      open = asked < 3;
    }
    EXPECT_EQ(asked, 3);
    if (open && co_await ask()) ADD_FAILURE() << "it was closed";
    EXPECT_EQ(asked, 3);
  }());
}

}  // namespace
}  // namespace heirloop::testing
