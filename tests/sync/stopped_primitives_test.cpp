// The primitives without owners, stopped at every suspension and at every moment between wake-up and run
// (support/suspension_harness.hpp): no permit, item or wake-up is lost or doubled.
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/once.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/signal_semaphore.hpp>
#include <heirloop/sync/wait_group.hpp>

#include "support/suspension_harness.hpp"
#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <type_traits>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Four tasks, more and less urgent than the victim, before and behind it.
template <class Make>
Coro<void> start_others(std::vector<PriorityTask<void>>& tasks, Make& make) {
  for (const double priority : {3.0, 1.0, -1.0, 1.0}) {
    tasks.push_back(start(make(), priority));
    co_await sleep(1ms);
  }
}

struct EventScene {
  Event event{"event"};
  int others_done = 0;

  Coro<void> waits_twice() {
    co_await event.wait();
    event.clear();
    co_await event.wait();
  }
  Coro<void> operate() {
    co_await sleep(2ms);
    co_await waits_twice();
  }
  Coro<void> help() {
    auto other = [this]() -> Coro<void> {
      co_await waits_twice();
      ++others_done;
    };
    std::vector<PriorityTask<void>> tasks;
    co_await start_others(tasks, other);
    while (others_done < 4) {
      event.set();
      event.clear();
      co_await sleep(1ms);
    }
    event.set();
    co_await sleep(2ms);
    event.set();  // the victim may be the last, and clears it
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 4);
    EXPECT_EQ(event.waiter_count(), 0U);
  }
};

TEST(StoppedPrimitives, event) { stop_in_both_states<EventScene>(); }

/// No permit is lost, and never more are used than there are.
struct SignalSemaphoreScene {
  static constexpr int permits = 2;
  SignalSemaphore semaphore{permits, "permits"};
  int inside = 0;
  int others_done = 0;

  struct Use {
    explicit Use(SignalSemaphoreScene& s) : scene(s) { EXPECT_LE(++scene.inside, permits); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() {
      --scene.inside;
      scene.semaphore.release();
    }
    SignalSemaphoreScene& scene;
  };

  Coro<void> uses() {
    co_await semaphore.acquire();
    const Use use(*this);
    co_await sleep(3ms);
    co_await sleep(0);
  }
  Coro<void> operate() {
    co_await sleep(2ms);  // others have them all, others wait
    co_await uses();
    co_await uses();
  }
  Coro<void> help() {
    auto other = [this]() -> Coro<void> {
      for (int i = 0; i < 3; ++i) co_await uses();
      ++others_done;
    };
    std::vector<PriorityTask<void>> tasks;
    co_await start_others(tasks, other);
    co_await ended(tasks);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 4);
    EXPECT_EQ(inside, 0);
    EXPECT_EQ(semaphore.available(), std::size_t{permits});
    EXPECT_EQ(semaphore.waiter_count(), 0U);
  }
};

TEST(StoppedPrimitives, signal_semaphore) { stop_in_both_states<SignalSemaphoreScene>(); }

/// Two others come to each round, and a third where the victim does not: each round opens, with each place given once.
struct BarrierScene {
  static constexpr int rounds = 3;
  Barrier barrier{3, "barrier"};
  std::vector<std::size_t> places;  // of the others
  int victim_rounds = 0;

  Coro<void> comes() { places.push_back(co_await barrier.wait()); }
  Coro<void> operate() {
    for (; victim_rounds < rounds; ++victim_rounds) {
      co_await sleep(1ms);
      co_await barrier.wait();
    }
  }
  Coro<void> help() {
    auto other = [this]() -> Coro<void> {
      for (int i = 0; i < rounds; ++i) {
        co_await comes();
        co_await sleep(1ms);
      }
    };
    std::vector<PriorityTask<void>> tasks;
    tasks.push_back(start(other(), 3));
    co_await sleep(1ms);
    tasks.push_back(start(other(), -1));
    co_await sleep(20ms);
    while (!tasks[0].done() || !tasks[1].done() || barrier.n_waiting() > 0) {
      EXPECT_GT(barrier.n_waiting(), 0U) << "nobody is stuck elsewhere";
      EXPECT_LE(barrier.n_waiting(), 2U);
      co_await barrier.wait();
      co_await sleep(2ms);
    }
    co_await ended(tasks);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(places.size(), 2U * rounds);
    EXPECT_FALSE(barrier.broken());
    EXPECT_EQ(barrier.n_waiting(), 0U);
    EXPECT_TRUE(ending == Ending::stopped || victim_rounds == rounds);
  }
};

TEST(StoppedPrimitives, barrier) { stop_in_both_states<BarrierScene>(); }

struct WaitGroupScene {
  WaitGroup group{"group"};
  int others_done = 0;

  Coro<void> works() {
    group.add();
    struct Done {
      explicit Done(WaitGroup& g) : group(g) {}
      Done(const Done&) = delete;
      Done& operator=(const Done&) = delete;
      ~Done() { group.done(); }
      WaitGroup& group;
    };
    const Done done(group);
    co_await sleep(3ms);
  }
  Coro<void> operate() {
    co_await works();
    co_await group.wait();
    co_await sleep(0);
    co_await group.wait();
  }
  Coro<void> help() {
    auto other = [this]() -> Coro<void> {
      co_await works();
      co_await group.wait();
      ++others_done;
    };
    std::vector<PriorityTask<void>> tasks;
    co_await start_others(tasks, other);
    co_await ended(tasks);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 4);
    EXPECT_EQ(group.count(), 0);
    EXPECT_EQ(group.waiter_count(), 0U);
  }
};

TEST(StoppedPrimitives, wait_group) { stop_in_both_states<WaitGroupScene>(); }

/// Whoever is stopped, it is done to its end exactly once, and the others know it.
struct OnceScene {
  Once once{"once"};
  int running = 0;
  int times_done = 0;
  int others_done = 0;

  Coro<void> work() {
    struct Running {
      explicit Running(int& c) : count(c) { EXPECT_EQ(++count, 1); }
      Running(const Running&) = delete;
      Running& operator=(const Running&) = delete;
      ~Running() { --count; }
      int& count;
    };
    const Running alone(running);
    co_await sleep(2ms);
    co_await sleep(0);
    ++times_done;
  }
  Coro<void> calls() {
    auto does = [this] { return work(); };
    co_await once.call(does);
    EXPECT_EQ(times_done, 1);
  }
  Coro<void> operate() {
    co_await calls();
    co_await calls();
  }
  Coro<void> fails() {
    auto does = [this]() -> Coro<void> {
      co_await sleep(2ms);
      if (times_done == 0) throw std::runtime_error("not by me");
    };
    try {
      co_await once.call(does);
    } catch (const std::runtime_error&) {
    }
  }
  Coro<void> help() {
    auto first = start(fails(), 5);
    auto other = [this]() -> Coro<void> {
      co_await calls();
      ++others_done;
    };
    std::vector<PriorityTask<void>> tasks;
    tasks.push_back(first);
    co_await start_others(tasks, other);
    co_await ended(tasks);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(times_done, 1);
    EXPECT_EQ(others_done, 4);
    EXPECT_TRUE(once.done());
    EXPECT_FALSE(once.running());
    EXPECT_EQ(once.waiter_count(), 0U);
  }
};

TEST(StoppedPrimitives, once) { stop_in_both_states<OnceScene>(); }

/// Producers put numbers of their own, consumers take them, through a queue that is full or empty most of the time. Every
/// put that ended has been taken exactly once, of every producer in order; no put that was stopped is there.
template <class Q>
struct QueueScene {
  static constexpr bool in_order = std::is_same_v<Q, Queue<int>>;
  Q queue{2, "queue"};
  std::vector<int> put;
  std::vector<int> got;

  Coro<void> puts(int first, int n) {
    for (int item = first; item < first + n; ++item) {
      co_await queue.put(item);
      put.push_back(item);
    }
  }
  Coro<void> gets(int n) {
    for (int i = 0; i < n; ++i) {
      got.push_back(co_await queue.get());
      queue.task_done();
    }
  }
  Coro<void> takes_the_rest() {
    try {
      for (;;) {
        co_await gets(1);
        co_await sleep(1ms);
      }
    } catch (const QueueShutDown&) {
    }
  }
  Coro<void> operate() {
    co_await gets(2);     // waits: nothing is there yet
    co_await puts(0, 5);  // waits: it is full
    co_await gets(1);
    co_await queue.join();
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    auto getter = [this] { return gets(1); };
    co_await start_others(tasks, getter);
    for (const double priority : {3.0, 1.0, -1.0}) {
      tasks.push_back(start(puts(100 * static_cast<int>(tasks.size()), 4), priority));
      co_await sleep(1ms);
    }
    auto rest = start(takes_the_rest(), 2);
    co_await ended(tasks);
    co_await queue.join();
    co_await sleep(20ms);
    co_await queue.join();
    queue.shutdown();
    co_await rest;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.getter_count() + queue.putter_count(), 0U);
    EXPECT_EQ(queue.unfinished(), 0U);
    EXPECT_TRUE(std::is_permutation(got.begin(), got.end(), put.begin(), put.end()));
    for (int producer = 0; in_order && producer < 8; ++producer) {
      std::vector<int> own;
      std::copy_if(got.begin(), got.end(), std::back_inserter(own), [&](int item) { return item / 100 == producer; });
      EXPECT_TRUE(std::is_sorted(own.begin(), own.end()));
    }
  }
};

TEST(StoppedPrimitives, queue) { stop_in_both_states<QueueScene<Queue<int>>>(); }
TEST(StoppedPrimitives, priority_queue) { stop_in_both_states<QueueScene<PriorityQueue<int>>>(); }
TEST(StoppedPrimitives, lifo_queue) { stop_in_both_states<QueueScene<LifoQueue<int>>>(); }

}  // namespace
}  // namespace heirloop::testing
