// Queue, PriorityQueue, LifoQueue: order, promised items and places, what an abort leaves. For shutdown and join see
// queue_shutdown_test.cpp.
#include <heirloop/sync/queue.hpp>

#include "sync/counted_new.hpp"
#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

// ---- the order of the items ----

/// Puts 0 to n-1 and takes them out again, some in between, so that a ring goes round and grows where it is.
template <class Q>
std::vector<int> through(Q& queue, int n) {
  std::vector<int> got;
  for (int i = 0; i < n; ++i) {
    EXPECT_TRUE(queue.try_put(i));
    if (i % 3 == 0) got.push_back(*queue.try_get());
  }
  while (auto item = queue.try_get()) got.push_back(*item);
  return got;
}

TEST(Queue, gives_first_in_first_out_and_grows_where_it_is) {
  Queue<int> queue;
  const std::vector<int> got = through(queue, 100);
  ASSERT_EQ(got.size(), 100U);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
}

TEST(LifoQueue, gives_last_in_first_out) {
  LifoQueue<int> queue;
  EXPECT_EQ(through(queue, 7), (std::vector<int>{0, 3, 6, 5, 4, 2, 1}));
}

TEST(PriorityQueue, gives_the_smallest_and_of_equals_the_first) {
  struct ByKey {
    bool operator()(const std::pair<int, char>& a, const std::pair<int, char>& b) const { return a.first < b.first; }
  };
  PriorityQueue<std::pair<int, char>, ByKey> queue;
  const std::vector<int> keys{3, 1, 2, 1, 3, 1, 2, 2, 1, 3};
  char name = 'a';
  for (const int key : keys) EXPECT_TRUE(queue.try_put(std::pair(key, name++)));
  std::string got;
  while (auto item = queue.try_get()) got += item->second;
  EXPECT_EQ(got, "bdficghaej");

  PriorityQueue<int, std::greater<>> largest;
  for (const int key : {1, 3, 2}) largest.try_put(key);
  EXPECT_EQ(largest.try_get(), 3);
}

TEST(Queue, knows_its_size_and_its_bound) {
  Queue<int> queue(2);
  EXPECT_EQ(queue.maxsize(), 2U);
  EXPECT_TRUE(queue.empty());
  EXPECT_FALSE(queue.full());
  EXPECT_EQ(queue.try_get(), std::nullopt);
  EXPECT_TRUE(queue.try_put(1));
  EXPECT_TRUE(queue.try_put(2));
  EXPECT_FALSE(queue.try_put(3));
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_TRUE(queue.full());

  Queue<int> unbounded;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(unbounded.try_put(i));
  EXPECT_FALSE(unbounded.full());
}

TEST(Queue, takes_items_that_can_only_be_moved) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Queue<std::unique_ptr<int>> fifo(1);
    PriorityQueue<std::unique_ptr<int>> sorted;
    LifoQueue<std::unique_ptr<int>> lifo;
    auto item = std::make_unique<int>(7);
    co_await fifo.put(std::move(item));
    auto kept = std::make_unique<int>(8);
    EXPECT_FALSE(fifo.try_put(std::move(kept)));
    EXPECT_NE(kept, nullptr) << "what has no place stays with the caller";
    co_await sorted.put(co_await fifo.get());
    co_await lifo.put(co_await sorted.get());
    auto got = co_await lifo.get();
    EXPECT_EQ(*got, 7);
    lifo.try_put(std::move(kept));  // ends with the queue
  }());
}

TEST(Queue, is_as_before_when_an_item_can_not_be_copied_in) {
  struct Refuses {
    Refuses() = default;
    Refuses(const Refuses&) { throw std::runtime_error("no copies"); }
    Refuses(Refuses&&) noexcept {}
    Refuses& operator=(const Refuses&) = delete;
    ~Refuses() = default;
  };
  Queue<Refuses> queue(1);
  const Refuses item;
  EXPECT_THROW(queue.try_put(item), std::runtime_error);
  EXPECT_EQ(queue.size(), 0U);
  EXPECT_EQ(queue.unfinished(), 0U);
  EXPECT_TRUE(queue.try_put(Refuses()));
}

// ---- who waits ----

template <class Q>
class EachQueue : public ::testing::Test {};
using Queues = ::testing::Types<Queue<int>, PriorityQueue<int>, LifoQueue<int>>;
TYPED_TEST_SUITE(EachQueue, Queues);

TYPED_TEST(EachQueue, gives_to_the_most_urgent_getter_and_among_equals_to_the_first) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      TypeParam queue;
      auto gets = [&](std::string name) -> Coro<void> {
        const int item = co_await queue.get();
        order.push_back(name);
        EXPECT_EQ(item, static_cast<int>(order.size()));
      };
      auto tasks = start_six(gets);
      EXPECT_EQ(queue.getter_count(), 6U);
      for (int item = 1; item <= 6; ++item) {
        co_await queue.put(item);
        co_await sleep(1ms);
      }
      co_await ended(tasks);
    }());
    EXPECT_EQ(order, six_in_order);
  });
}

TYPED_TEST(EachQueue, gives_a_place_to_the_most_urgent_putter_and_among_equals_to_the_first) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      TypeParam queue(1);
      co_await queue.put(0);
      auto puts = [&](std::string name) -> Coro<void> {
        co_await queue.put(static_cast<int>(order.size()) + 1);
        order.push_back(name);
      };
      auto tasks = start_six(puts);
      EXPECT_EQ(queue.putter_count(), 6U);
      for (int i = 0; i <= 6; ++i) {
        (void)co_await queue.get();
        co_await sleep(1ms);
        EXPECT_LE(queue.size(), 1U);
      }
      co_await ended(tasks);
      EXPECT_TRUE(queue.empty());
    }());
    EXPECT_EQ(order, six_in_order);
  });
}

TYPED_TEST(EachQueue, keeps_a_promised_item_for_the_elected) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      TypeParam queue;
      auto gets = [&](std::string name) -> Coro<void> {
        (void)co_await queue.get();
        order.push_back(name);
      };
      auto elected = start(gets("elected"), 10);
      queue.try_put(1);
      EXPECT_EQ(elected.state(), TaskState::ready);
      EXPECT_EQ(queue.size(), 1U);
      EXPECT_EQ(queue.try_get(), std::nullopt);
      auto late = start(gets("late"), -10);
      EXPECT_EQ(late.state(), TaskState::blocked);
      co_await elected;
      queue.try_put(2);
      co_await late;
    }());
    EXPECT_EQ(order, (Order{"elected", "late"}));
  });
}

TEST(Queue, gives_the_front_item_when_more_are_there_than_promised) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Queue<int> queue;
    int got = 0;
    auto gets = [&]() -> Coro<void> { got = co_await queue.get(); };
    auto elected = start(gets());
    queue.try_put(1);
    queue.try_put(2);
    EXPECT_EQ(queue.try_get(), 1);
    EXPECT_EQ(queue.try_get(), std::nullopt);
    co_await elected;
    EXPECT_EQ(got, 2);
  }());
}

TEST(PriorityQueue, gives_the_elected_what_is_smallest_as_it_runs) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    PriorityQueue<int> queue;
    int got = 0;
    auto gets = [&]() -> Coro<void> { got = co_await queue.get(); };
    auto elected = start(gets());
    queue.try_put(5);
    queue.try_put(3);
    co_await elected;
    EXPECT_EQ(got, 3);
    EXPECT_EQ(queue.try_get(), 5);
  }());
}

TYPED_TEST(EachQueue, keeps_a_promised_place_for_the_elected) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      TypeParam queue(1);
      co_await queue.put(0);
      auto puts = [&](int item, std::string name) -> Coro<void> {
        co_await queue.put(item);
        order.push_back(name);
      };
      auto elected = start(puts(1, "elected"), 10);
      EXPECT_EQ(queue.try_get(), 0);
      EXPECT_EQ(elected.state(), TaskState::ready);
      EXPECT_TRUE(queue.empty());
      EXPECT_FALSE(queue.try_put(9));
      auto late = start(puts(2, "late"), -10);
      EXPECT_EQ(late.state(), TaskState::blocked);
      co_await elected;
      EXPECT_EQ(co_await queue.get(), 1);
      co_await late;
      EXPECT_EQ(co_await queue.get(), 2);
    }());
    EXPECT_EQ(order, (Order{"elected", "late"}));
  });
}

// ---- who is stopped ----

TYPED_TEST(EachQueue, gives_the_item_of_an_elected_getter_that_is_stopped_to_the_next_in_the_same_call) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    sim.run([&]() -> Coro<void> {
      TypeParam queue;
      int got = 0;
      auto gets = [&]() -> Coro<void> { got = co_await queue.get(); };
      auto elected = start(gets(), -10);
      auto next = start(gets(), 10);
      queue.try_put(1);
      EXPECT_EQ(next.state(), TaskState::blocked);
      co_await stop(elected, way);
      EXPECT_EQ(next.state(), TaskState::ready);
      EXPECT_EQ(queue.try_get(), std::nullopt);
      co_await next;
      EXPECT_EQ(got, 1);
      EXPECT_TRUE(was_stopped(elected));

      auto last = start(gets());
      queue.try_put(2);
      queue.try_put(3);
      co_await stop(last, way);
      EXPECT_EQ(queue.size(), 2U);
      std::vector<int> left{*queue.try_get(), *queue.try_get()};
      std::sort(left.begin(), left.end());
      EXPECT_EQ(left, (std::vector<int>{2, 3}));
      co_await sleep(0);
      EXPECT_TRUE(was_stopped(last));
    }());
  }
}

TYPED_TEST(EachQueue, gives_the_place_of_an_elected_putter_that_is_stopped_to_the_next_in_the_same_call) {
  for (const std::string& way : ways_to_stop) {
    Sim sim;
    sim.run([&]() -> Coro<void> {
      TypeParam queue(1);
      co_await queue.put(0);
      auto puts = [&](int item) -> Coro<void> { co_await queue.put(item); };
      auto elected = start(puts(1), -10);
      auto next = start(puts(2), 10);
      EXPECT_EQ(queue.try_get(), 0);
      EXPECT_EQ(next.state(), TaskState::blocked);
      co_await stop(elected, way);
      EXPECT_EQ(next.state(), TaskState::ready);
      EXPECT_FALSE(queue.try_put(9));
      co_await next;
      EXPECT_TRUE(was_stopped(elected));
      EXPECT_EQ(queue.unfinished(), 2U) << "what was stopped was not put";

      auto last = start(puts(3));
      EXPECT_EQ(queue.try_get(), 2);
      co_await stop(last, way);
      EXPECT_TRUE(queue.try_put(4));
      co_await sleep(0);
      EXPECT_TRUE(was_stopped(last));
      EXPECT_EQ(queue.try_get(), 4);
    }());
  }
}

TYPED_TEST(EachQueue, forgets_who_is_stopped_before_its_turn) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    TypeParam queue(1);
    auto gets = [&]() -> Coro<void> { (void)co_await queue.get(); };
    auto puts = [&](int item) -> Coro<void> { co_await queue.put(item); };
    auto getter = start(gets());
    getter.cancel();
    EXPECT_EQ(queue.getter_count(), 0U);
    queue.try_put(1);
    auto putter = start(puts(2));
    putter.cancel();
    EXPECT_EQ(queue.putter_count(), 0U);
    EXPECT_EQ(queue.try_get(), 1);
    EXPECT_EQ(queue.try_get(), std::nullopt);
    co_await sleep(0);
    EXPECT_TRUE(putter.cancelled());
  }());
}

// ---- what need not wait ----

TYPED_TEST(EachQueue, gives_way_now_and_then_and_then_nothing_is_put_or_taken_when_that_is_interrupted) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    TypeParam queue(3);
    int put = 0;
    int got = 0;
    auto spins = [&]() -> Coro<void> {
      for (int i = 0; i < 1000; ++i) {
        co_await queue.put(i);
        ++put;
        sim.driver.advance(1us);
        (void)co_await queue.get();
        ++got;
      }
    };
    for (int round = 0; round < 4; ++round) {
      auto spinner = create_task(spins(), {.priority = 1});
      co_await sleep(10us);  // it runs until it gives way to this timer
      EXPECT_EQ(spinner.state(), TaskState::ready);
      spinner.cancel();
      co_await sleep(1us);
      EXPECT_TRUE(spinner.cancelled());
      EXPECT_EQ(queue.size(), static_cast<std::size_t>(put - got));
      while (queue.try_get()) ++got;
      EXPECT_EQ(put, got);
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.try_put(i)) << "no place was lost";
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.try_get().has_value()) << "no item was lost";
      if (round % 2 == 0) co_await queue.put(-1);  // the next round gives way elsewhere
      while (queue.try_get()) {
      }
    }
    EXPECT_LT(put, 1000);
  }());
}

TEST(Queue, is_used_by_handles_too) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Queue<int> queue(1);
    sim.loop.call_soon([&] { queue.try_put(1); });
    EXPECT_EQ(co_await queue.get(), 1);
    co_await queue.put(2);
    sim.loop.call_soon([&] { EXPECT_EQ(queue.try_get(), 2); });
    co_await queue.put(3);
    EXPECT_EQ(queue.size(), 1U);
  }());
}

TYPED_TEST(EachQueue, allocates_nothing_in_steady_state) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    TypeParam queue(5);
    auto puts = [&](int n) -> Coro<void> {
      for (int i = 0; i < n; ++i) co_await queue.put(i);
    };
    auto gets = [&](int n) -> Coro<void> {
      for (int i = 0; i < n; ++i) {
        (void)co_await queue.get();
        queue.task_done();
      }
    };
    auto round = [&]() -> Coro<void> {
      auto putter = create_task(puts(300), {.priority = 1.0});
      auto other = create_task(puts(300), {.priority = 2.0});
      auto getter = create_task(gets(300), {.priority = 3.0});
      auto last = create_task(gets(300), {.priority = 0.0});
      co_await putter;
      co_await other;
      co_await queue.join();
      co_await getter;
      co_await last;
    };
    for (int i = 0; i < 20; ++i) co_await round();
    const std::size_t before = allocations();
    for (int i = 0; i < 20; ++i) co_await round();
    EXPECT_EQ(allocations() - before, 0U);
  }());
}

TEST(Queue, says_what_is_waited_for) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    Queue<int> jobs(1, "jobs");
    PriorityQueue<int> sorted(0, "sorted");
    const LifoQueue<int> lifo;
    EXPECT_EQ(lifo.describe(), "an unnamed LifoQueue");
    auto gets = [](auto& queue) -> Coro<void> { (void)co_await queue.get(); };
    auto puts = [](auto& queue) -> Coro<void> { co_await queue.put(1); };
    auto joins = [](auto& queue) -> Coro<void> { co_await queue.join(); };
    const auto waits_for = [](const TaskRef& task) { return task.get()->wait()->describe(); };
    auto getter = start(gets(sorted));
    EXPECT_EQ(waits_for(getter), "PriorityQueue 'sorted' to have an item");
    co_await puts(jobs);
    auto putter = start(puts(jobs));
    EXPECT_EQ(waits_for(putter), "Queue 'jobs' to have a place");
    auto joiner = start(joins(jobs));
    EXPECT_EQ(waits_for(joiner), "Queue 'jobs' to be worked off, 1 unfinished");
    for (const auto& task : {getter, putter, joiner}) task.cancel();
    co_await sleep(0);
  }());
}

}  // namespace
}  // namespace heirloop::testing
