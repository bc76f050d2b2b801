// The queues: task_done and join, and both kinds of shutdown.
#include <heirloop/sync/queue.hpp>

#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

template <class Q>
Coro<void> gets(Q& queue, Order& order, std::string name) {
  try {
    const int item = co_await queue.get();
    order.push_back(name + " " + std::to_string(item));
  } catch (const QueueShutDown&) {
    order.push_back(name + " shut down");
  }
}

template <class Q>
Coro<void> puts(Q& queue, Order& order, std::string name, int item) {
  try {
    co_await queue.put(item);
    order.push_back(name + " put");
  } catch (const QueueShutDown&) {
    order.push_back(name + " shut down");
  }
}

template <class Q>
class QueueEnd : public ::testing::Test {};
using Queues = ::testing::Types<Queue<int>, PriorityQueue<int>, LifoQueue<int>>;
TYPED_TEST_SUITE(QueueEnd, Queues);

// ---- task_done and join ----

TYPED_TEST(QueueEnd, join_waits_until_all_is_worked_off) {
  by_priority([](Sim& sim) {
    Order order;
    sim.run([&]() -> Coro<void> {
      TypeParam queue;
      co_await queue.join();
      for (int i = 0; i < 2; ++i) queue.try_put(i);
      auto joins = [&](std::string name) -> Coro<void> {
        co_await queue.join();
        order.push_back(name);
      };
      auto tasks = start_six(joins);
      while (queue.try_get()) {
      }
      EXPECT_EQ(queue.unfinished(), 2U);
      queue.task_done();
      co_await sleep(1ms);
      EXPECT_TRUE(order.empty());
      queue.task_done();
      co_await ended(tasks);
    }());
    EXPECT_EQ(order, six_in_order);
  });
}

TYPED_TEST(QueueEnd, task_done_too_often_is_an_error) {
  TypeParam queue;
  EXPECT_THROW(queue.task_done(), InvalidStateError);
  queue.try_put(1);
  queue.task_done();
  EXPECT_THROW(queue.task_done(), InvalidStateError);
}

// ---- shutdown that lets what is left be taken ----

TYPED_TEST(QueueEnd, that_is_shut_down_gives_what_is_left_and_refuses_then) {
  Sim sim;
  sim.run([&]() -> Coro<void> {
    TypeParam queue;
    queue.try_put(1);
    queue.try_put(2);
    queue.shutdown();
    EXPECT_TRUE(queue.is_shut_down());
    EXPECT_THROW(queue.try_put(3), QueueShutDown);
    bool refused = false;
    try {
      co_await queue.put(3);
    } catch (const QueueShutDown&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    (void)co_await queue.get();
    EXPECT_TRUE(queue.try_get().has_value());
    EXPECT_THROW((void)queue.try_get(), QueueShutDown);
    refused = false;
    try {
      (void)co_await queue.get();
    } catch (const QueueShutDown&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    EXPECT_EQ(queue.unfinished(), 2U) << "what was got is still to be worked off";
    queue.shutdown();
  }());
}

TYPED_TEST(QueueEnd, that_is_shut_down_refuses_all_who_wait_for_an_item) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    TypeParam queue;
    std::vector<PriorityTask<void>> tasks;
    for (const char* name : {"a", "b"}) tasks.push_back(start(gets(queue, order, name)));
    sim.loop.call_soon([&] { queue.shutdown(); });
    co_await ended(tasks);
  }());
  EXPECT_EQ(order, (Order{"a shut down", "b shut down"}));
}

/// The last item is promised to one who leaves: who waits behind it is not refused but gets it.
TYPED_TEST(QueueEnd, that_is_shut_down_leaves_no_item_behind) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    TypeParam queue;
    auto elected = start(gets(queue, order, "elected"), -10);
    auto behind = start(gets(queue, order, "behind"));
    auto last = start(gets(queue, order, "last"), 10);
    queue.try_put(1);
    queue.shutdown();
    auto late = start(gets(queue, order, "late"), 20);
    EXPECT_EQ(behind.state(), TaskState::blocked) << "an item is left, and promised";
    EXPECT_EQ(late.state(), TaskState::blocked);
    EXPECT_EQ(queue.try_get(), std::nullopt);
    elected.cancel();
    EXPECT_EQ(behind.state(), TaskState::ready);
    EXPECT_EQ(last.state(), TaskState::blocked);
    for (const auto& task : {behind, last, late}) co_await task;
    EXPECT_TRUE(elected.cancelled());
  }());
  EXPECT_EQ(order, (Order{"behind 1", "last shut down", "late shut down"}));
}

TYPED_TEST(QueueEnd, that_is_shut_down_refuses_putters_that_wait_and_one_that_was_elected) {
  for (const bool immediate : {false, true}) {
    Sim sim;
    Order order;
    sim.run([&]() -> Coro<void> {
      TypeParam queue(2);
      queue.try_put(1);
      queue.try_put(2);
      std::vector<PriorityTask<void>> tasks;
      for (const char* name : {"elected", "waits", "too"}) tasks.push_back(start(puts(queue, order, name, 3)));
      EXPECT_TRUE(queue.try_get().has_value());
      EXPECT_EQ(tasks[0].state(), TaskState::ready);
      queue.shutdown(immediate);
      co_await ended(tasks);
      EXPECT_EQ(queue.size(), immediate ? 0U : 1U);
    }());
    EXPECT_EQ(order, (Order{"elected shut down", "waits shut down", "too shut down"}));
  }
}

// ---- shutdown that discards what is left ----

TYPED_TEST(QueueEnd, that_is_shut_down_at_once_discards_what_is_left_even_what_was_promised) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    TypeParam queue;
    auto elected = start(gets(queue, order, "elected"));
    auto waits = start(gets(queue, order, "waits"));
    auto stopped = start(gets(queue, order, "stopped"), -10);
    queue.try_put(1);
    queue.try_put(2);
    queue.shutdown(true);
    EXPECT_TRUE(queue.empty());
    stopped.cancel();
    EXPECT_THROW((void)queue.try_get(), QueueShutDown);
    co_await elected;
    co_await waits;
    co_await queue.join();
    EXPECT_TRUE(stopped.cancelled());
  }());
  EXPECT_EQ(order, (Order{"elected shut down", "waits shut down"}));
}

TYPED_TEST(QueueEnd, join_ends_at_a_shutdown_at_once_when_nothing_is_being_worked_off) {
  Sim sim;
  Order order;
  sim.run([&]() -> Coro<void> {
    TypeParam queue;
    for (int i = 0; i < 3; ++i) queue.try_put(i);
    (void)queue.try_get();
    auto joins = [&]() -> Coro<void> {
      co_await queue.join();
      order.push_back("joined");
    };
    auto joiner = start(joins());
    queue.shutdown(true);
    EXPECT_EQ(queue.unfinished(), 1U) << "what was got is still to be worked off";
    co_await sleep(1ms);
    EXPECT_EQ(joiner.state(), TaskState::blocked);
    queue.task_done();
    co_await joiner;
    queue.shutdown(true);
  }());
  EXPECT_EQ(order, Order{"joined"});
}

/// An item that uses the queue as it ends finds it in order.
TEST(QueueShutdown, ends_the_items_when_the_queue_is_in_order) {
  struct Item {
    Item(Queue<Item>& q, int& s) : queue(&q), seen(&s) {}
    Item(Item&& other) noexcept : queue(std::exchange(other.queue, nullptr)), seen(other.seen) {}
    Item& operator=(Item&&) = delete;
    ~Item() {
      if (queue == nullptr) return;
      EXPECT_TRUE(queue->empty());
      EXPECT_TRUE(queue->is_shut_down());
      EXPECT_EQ(queue->unfinished(), 0U);
      ++*seen;
    }
    Queue<Item>* queue;
    int* seen;
  };
  int seen = 0;
  Queue<Item> queue;
  for (int i = 0; i < 3; ++i) queue.try_put(Item(queue, seen));
  queue.shutdown(true);
  EXPECT_EQ(seen, 3);
}

}  // namespace
}  // namespace heirloop::testing
