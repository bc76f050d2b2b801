// Shared<T> and SharedRW<T>: the way to the value leads through the lock.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/shared.hpp>

#include "sync/waiting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Numbers = std::vector<int>;

class SharedTest : public ::testing::Test {
 public:
  Sim sim{};
};

Coro<void> append(Shared<Numbers>& numbers, int value) {
  auto held = co_await numbers.lock();
  const std::size_t before = held->size();
  co_await sleep(1ms);
  EXPECT_EQ(held->size(), before);
  held->push_back(value);
}

TEST_F(SharedTest, is_reached_by_one_at_a_time_the_most_urgent_first) {
  sim.run([]() -> Coro<void> {
    Shared<Numbers> numbers;
    auto a = start(append(numbers, 1), 3);
    auto b = start(append(numbers, 2), 2);
    auto c = start(append(numbers, 3), -1);
    EXPECT_EQ(numbers.owner(), a.get());
    EXPECT_EQ(numbers.waiter_count(), 2U);
    EXPECT_EQ(a.effective_priority(), -1);
    co_await b;
    const auto held = co_await numbers.lock();
    EXPECT_THAT(*held, ElementsAre(1, 3, 2));
  }());
}

struct Fixed {
  Fixed(int first, std::string second) : a(first), b(std::move(second)) {}
  Fixed(const Fixed&) = delete;
  Fixed& operator=(const Fixed&) = delete;
  int a;
  std::string b;
};

TEST_F(SharedTest, holds_what_can_t_be_moved_too) {
  sim.run([]() -> Coro<void> {
    Shared<Fixed> fixed(std::in_place, 1, "one");
    {
      const auto held = co_await fixed.lock();
      EXPECT_EQ(held->a, 1);
      held->b = "two";
    }
    SharedRW<Fixed> also(std::in_place, 2, "two");
    const auto held = co_await also.read();
    EXPECT_EQ(held->b, "two");
  }());
}

TEST_F(SharedTest, try_lock_gives_nothing_while_another_holds_it) {
  sim.run([]() -> Coro<void> {
    Shared<Numbers> numbers(Numbers{1});
    {
      auto held = numbers.try_lock();
      EXPECT_TRUE(held.has_value());
      (*held)->push_back(2);
      EXPECT_FALSE(numbers.try_lock().has_value());
    }
    EXPECT_FALSE(numbers.locked());
    EXPECT_THAT(**numbers.try_lock(), ElementsAre(1, 2));
    co_return;
  }());
}

TEST_F(SharedTest, a_guard_that_holds_nothing_refuses_the_value) {
  sim.run([]() -> Coro<void> {
    Shared<Numbers> numbers;
    auto held = co_await numbers.lock();
    auto moved = std::move(held);
    EXPECT_THROW(held->clear(), InvalidStateError);
    moved->push_back(1);
    moved.release();
    EXPECT_FALSE(moved);
    EXPECT_THROW((*moved).clear(), InvalidStateError);
    EXPECT_THROW(moved.release(), InvalidStateError);
  }());
}

TEST_F(SharedTest, readers_share_it_as_const_and_a_writer_may_downgrade) {
  static_assert(std::is_same_v<decltype(*std::declval<SharedRW<Numbers>::ReadHeld>()), const Numbers&>);
  sim.run([]() -> Coro<void> {
    SharedRW<Numbers> numbers(Numbers{1}, "numbers");
    {
      const auto first = co_await numbers.read();
      const auto second = numbers.try_read();
      EXPECT_TRUE(second.has_value());
      EXPECT_EQ(&*first, &**second);
      EXPECT_FALSE(numbers.try_write().has_value());
      try {
        const auto writing = co_await numbers.write();
        ADD_FAILURE();
      } catch (const DeadlockError& error) {
        EXPECT_THAT(error.what(), HasSubstr("writing RWLock 'numbers'"));
      }
    }
    auto writing = co_await numbers.write();
    EXPECT_EQ(numbers.writer(), current_task().get());
    writing->push_back(2);
    const auto reading = writing.downgrade();
    EXPECT_THROW(writing->clear(), InvalidStateError);
    EXPECT_THAT(*reading, ElementsAre(1, 2));
    EXPECT_TRUE(numbers.try_read().has_value());
  }());
}

TEST_F(SharedTest, what_is_held_can_be_transferred_where_the_lock_allows_it) {
  sim.run([]() -> Coro<void> {
    SharedRW<Numbers> numbers;
    std::optional held(co_await numbers.write());
    auto heir = start([](std::optional<SharedRW<Numbers>::WriteHeld>& h) -> Coro<void> {
      co_await sleep(1ms);
      (*h)->push_back(3);
      h.reset();
    }(held));
    held->transfer(heir);
    EXPECT_EQ(numbers.writer(), heir.get());
    const auto reading = co_await numbers.read();
    EXPECT_THAT(*reading, ElementsAre(3));
  }());
}

TEST_F(SharedTest, waiters_learn_that_the_owner_died_and_who_comes_later_finds_the_value_as_it_was_left) {
  LogCapture log;
  sim.run([]() -> Coro<void> {
    Shared<Numbers> numbers(Numbers{}, "numbers");
    std::optional<Shared<Numbers>::Guard> guard;
    auto owner = start([](Shared<Numbers>& n, std::optional<Shared<Numbers>::Guard>& g) -> Coro<void> {
      g.emplace(co_await n.lock());
      (*g)->push_back(4);
      co_await sleep(1ms);
    }(numbers, guard));
    bool died = false;
    try {
      const auto held = co_await numbers.lock();
    } catch (const OwnerDied&) {
      died = true;
    }
    EXPECT_TRUE(died);
    const auto held = co_await numbers.lock();
    EXPECT_THAT(*held, ElementsAre(4));
    EXPECT_TRUE(owner.done());
  }());
}

}  // namespace
}  // namespace heirloop::testing
