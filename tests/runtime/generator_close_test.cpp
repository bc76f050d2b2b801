// athrow and aclose: exceptions that the holder of a generator throws at its yield.
#include <heirloop/runtime/async_generator.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

AsyncGenerator<int> count_to(int last) {
  for (int i = 1; i <= last; ++i) co_yield i;
}

AsyncGenerator<std::string> answer_throws() {
  for (;;) {
    std::string answer = "next";
    try {
      co_yield "waiting";
    } catch (const std::runtime_error& error) {
      answer = error.what();
    }
    co_await sleep(1s);
    co_yield answer;
  }
}

TEST(AsyncGeneratorThrow, is_thrown_at_the_yield_and_gives_the_next_value) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto answers = answer_throws();
    co_await answers.next();
    EXPECT_EQ(*co_await answers.athrow(std::runtime_error("by value")), "by value");
    co_await answers.next();
    EXPECT_EQ(*co_await answers.athrow(std::make_exception_ptr(std::runtime_error("by pointer"))), "by pointer");
    co_await answers.next();
    EXPECT_EQ(*co_await answers.next(), "next");
  }());
}

TEST(AsyncGeneratorThrow, comes_out_when_the_body_lets_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = count_to(3);
    co_await numbers.next();
    EXPECT_THROW(co_await numbers.athrow(std::out_of_range("x")), std::out_of_range);
    EXPECT_TRUE(numbers.is_finished());
    EXPECT_FALSE(co_await numbers.next());
    EXPECT_THROW(co_await numbers.athrow(std::out_of_range("x")), std::out_of_range) << "nobody is left to handle it";
  }());
}

TEST(AsyncGeneratorThrow, gives_nothing_when_the_body_ends) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto ends = []() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const InterruptException&) {
      }
    }();
    co_await ends.next();
    EXPECT_FALSE(co_await ends.athrow(InterruptException("end")));
    EXPECT_TRUE(ends.is_finished());
  }());
}

TEST(AsyncGeneratorThrow, a_new_one_has_finished_by_it_without_having_run) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = count_to(3);
    EXPECT_THROW(co_await numbers.athrow(std::runtime_error("at once")), std::runtime_error);
    EXPECT_TRUE(numbers.is_finished());
    EXPECT_FALSE(co_await numbers.next());
    EXPECT_THROW(co_await numbers.athrow(std::exception_ptr()), std::invalid_argument);
  }());
}

// ---- aclose ----

AsyncGenerator<int> clean_up_slowly(Order& order) {
  bool closed = false;
  try {
    for (int i = 1;; ++i) co_yield i;
  } catch (const GeneratorExit&) {
    closed = true;
  }
  co_await sleep(5s);
  order.push_back(closed ? "cleaned" : "ended");
}

TEST(AsyncGeneratorClose, awaits_the_clean_up) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto numbers = clean_up_slowly(o);
    co_await numbers.next();
    co_await numbers.aclose();
    EXPECT_THAT(o, ElementsAre("cleaned"));
    EXPECT_FALSE(co_await numbers.next());
    co_await numbers.aclose();
    co_await numbers.aclose();
    EXPECT_THAT(o, ElementsAre("cleaned"));
  }(order));
  EXPECT_EQ(std::chrono::nanoseconds(sim.driver.now_ns()), 5s);
}

TEST(AsyncGeneratorClose, a_new_one_has_finished_without_having_run) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    bool ran = false;
    auto numbers = [](bool& flag) -> AsyncGenerator<int> {
      flag = true;
      co_yield 1;
    }(ran);
    co_await numbers.aclose();
    EXPECT_FALSE(co_await numbers.next());
    EXPECT_FALSE(ran);
  }());
}

TEST(AsyncGeneratorClose, another_exception_than_GeneratorExit_comes_out) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = []() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {
        throw std::runtime_error("clean-up failed");
      }
    }();
    co_await numbers.next();
    EXPECT_THROW(co_await numbers.aclose(), std::runtime_error);
    co_await numbers.aclose();
  }());
}

TEST(AsyncGeneratorClose, is_no_std_exception) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto numbers = []() -> AsyncGenerator<int> {
      for (;;) {
        try {
          co_yield 1;
        } catch (const std::exception&) {
          ADD_FAILURE();
        }
      }
    }();
    co_await numbers.next();
    co_await numbers.aclose();
    EXPECT_TRUE(numbers.is_finished());
  }());
}

constexpr unsigned stubborn_line = __LINE__ + 5;
AsyncGenerator<int> yield_in_answer(int times, int& answered) {
  for (int i = 0; i <= times; ++i) {
    bool thrown = false;
    try {
      co_yield i;
    } catch (...) {
      thrown = true;
    }
    if (thrown) ++answered;
  }
}

TEST(AsyncGeneratorClose, a_yield_in_answer_gets_an_error_that_names_the_place) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    constexpr unsigned line = __LINE__ + 6;
    auto numbers = []() -> AsyncGenerator<int> {
      try {
        co_yield 1;
      } catch (const GeneratorExit&) {
      }
      co_yield 2;
    }();
    co_await numbers.next();
    try {
      co_await numbers.aclose();
      ADD_FAILURE();
    } catch (const InvalidStateError& error) {
      EXPECT_THAT(error.what(), HasSubstr("generator_close_test.cpp:" + std::to_string(line)));
    }
    EXPECT_TRUE(numbers.is_finished());
  }());
}

TEST(AsyncGeneratorClose, who_handles_the_error_and_ends_is_closed) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int answered = 0;
    auto numbers = yield_in_answer(3, answered);
    co_await numbers.next();
    co_await numbers.aclose();
    EXPECT_EQ(answered, 4) << "GeneratorExit, and three errors";
    EXPECT_TRUE(numbers.is_finished());
  }());
}

TEST(AsyncGeneratorClose, who_yields_a_fourth_time_stays_suspended) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    int answered = 0;
    auto numbers = yield_in_answer(5, answered);
    co_await numbers.next();
    try {
      co_await numbers.aclose();
      ADD_FAILURE();
    } catch (const InvalidStateError& error) {
      EXPECT_THAT(error.what(), HasSubstr("generator_close_test.cpp:" + std::to_string(stubborn_line)));
    }
    EXPECT_EQ(answered, 4);
    EXPECT_TRUE(numbers.is_suspended());
    EXPECT_EQ(co_await numbers.next(), 5) << "it goes on as if nobody had asked";
    EXPECT_FALSE(co_await numbers.next());
  }());
}

TEST(AsyncGeneratorClose, a_cancel_comes_to_the_clean_up) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    auto numbers = clean_up_slowly(o);
    co_await numbers.next();
    const auto closing = create_task([](auto& g) -> Coro<void> { co_await g.aclose(); }(numbers), {.eager_start = true});
    EXPECT_THROW(co_await numbers.aclose(), InvalidStateError);
    closing.cancel();
    EXPECT_THROW(co_await closing, Cancelled);
    EXPECT_TRUE(numbers.is_finished());
  }(order));
  EXPECT_TRUE(order.empty());
}

}  // namespace
}  // namespace heirloop::testing
