// The primitives with joint owners, stopped at every suspension and at every moment between wake-up and run
// (support/suspension_harness.hpp).
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/semaphore.hpp>
#include <heirloop/sync/shared.hpp>

#include "support/suspension_harness.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// So many are inside, until its end.
class Inside {
 public:
  explicit Inside(int& count) : count_(count) { ++count_; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { --count_; }

 private:
  int& count_;
};

/// Others hold permits and wait before and behind the victim. None is lost, and there are never more than two.
struct SemaphoreScene {
  Semaphore semaphore{2, "slots"};
  int inside = 0;
  int others_done = 0;

  Coro<void> use(std::chrono::milliseconds span) {
    auto permit = co_await semaphore.acquire();
    const Inside one(inside);
    EXPECT_LE(inside, 2);
    co_await sleep(span);
    co_await sleep(0);
    EXPECT_EQ(permit.owner(), current_task().get());
  }
  Coro<void> operate() {
    co_await sleep(2ms);
    co_await use(1ms);
    co_await use(2ms);
  }
  Coro<void> other(std::chrono::milliseconds span) {
    co_await use(span);
    ++others_done;
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    for (const double value : {3.0, 1.0, -1.0, 0.5}) {
      for (const auto span : {2ms, 5ms}) {
        tasks.push_back(create_task(other(span), {.priority = value, .eager_start = true}));
      }
      co_await sleep(1ms);
    }
    for (const auto& task : tasks) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 8);
    EXPECT_EQ(inside, 0);
    EXPECT_EQ(semaphore.available(), 2U);
    EXPECT_EQ(semaphore.waiter_count(), 0U);
  }
};

TEST(StoppedOwned, semaphore) { stop_in_both_states<SemaphoreScene>(); }

/// The victim reads, writes and downgrades among others that do. Nobody reads beside a writer.
struct RWLockScene {
  RWLock lock{"table"};
  int reading = 0;
  int writing = 0;
  int others_done = 0;

  Coro<void> reads(std::chrono::milliseconds span) {
    const auto guard = co_await lock.read();
    const Inside one(reading);
    EXPECT_EQ(writing, 0);
    co_await sleep(span);
    co_await sleep(0);
    EXPECT_EQ(writing, 0);
  }
  Coro<void> writes(std::chrono::milliseconds span) {
    auto guard = co_await lock.write();
    {
      const Inside one(writing);
      EXPECT_EQ(writing, 1);
      EXPECT_EQ(reading, 0);
      co_await sleep(span);
      co_await sleep(0);
      EXPECT_EQ(reading, 0);
    }
    const auto share = guard.downgrade();
    const Inside one(reading);
    co_await sleep(span);
    EXPECT_EQ(writing, 0);
  }
  Coro<void> operate() {
    co_await sleep(2ms);
    co_await reads(1ms);
    co_await writes(2ms);
    co_await reads(1ms);
  }
  Coro<void> other(bool to_write) {
    if (to_write) {
      co_await writes(1ms);
    } else {
      co_await reads(2ms);
    }
    ++others_done;
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    for (const double value : {3.0, 1.0, -1.0, 0.5}) {
      for (const bool to_write : {false, true, false}) {
        tasks.push_back(create_task(other(to_write), {.priority = value, .eager_start = true}));
      }
      co_await sleep(1ms);
    }
    for (const auto& task : tasks) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 12);
    EXPECT_EQ(reading, 0);
    EXPECT_EQ(writing, 0);
    EXPECT_FALSE(lock.locked());
    EXPECT_EQ(lock.waiter_count(), 0U);
  }
};

TEST(StoppedOwned, reader_writer_lock) { stop_in_both_states<RWLockScene>(); }

/// Every addition is whole, whoever is stopped.
struct SharedScene {
  struct Sums {
    int plain = 0;
    int doubled = 0;
  };
  Shared<Sums> sums;
  int others_done = 0;

  Coro<void> add(int value) {
    auto held = co_await sums.lock();
    co_await sleep(1ms);
    EXPECT_EQ(held->doubled, 2 * held->plain);
    held->plain += value;
    held->doubled += 2 * value;
  }
  Coro<void> operate() {
    co_await sleep(2ms);
    co_await add(100);
    co_await add(100);
  }
  Coro<void> other() {
    co_await add(1);
    ++others_done;
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    for (const double value : {3.0, 1.0, -1.0, 0.5}) {
      tasks.push_back(create_task(other(), {.priority = value, .eager_start = true}));
      co_await sleep(1ms);
    }
    for (const auto& task : tasks) co_await task;
    const auto held = co_await sums.lock();
    EXPECT_EQ(held->plain % 100, 4);
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 4);
    EXPECT_FALSE(sums.locked());
    EXPECT_EQ(sums.waiter_count(), 0U);
  }
};

TEST(StoppedOwned, shared_value) { stop_in_both_states<SharedScene>(); }

/// Nobody reads a half-written value, whoever is stopped.
struct SharedRWScene {
  struct Pair {
    int first = 0;
    int second = 0;
  };
  SharedRW<Pair> pair;
  int others_done = 0;

  Coro<void> looks() {
    const auto held = co_await pair.read();
    EXPECT_EQ(held->first, held->second);
    co_await sleep(1ms);
    EXPECT_EQ(held->first, held->second);
  }
  Coro<void> writes() {
    const auto held = co_await pair.write();
    const int before = held->first++;
    std::exception_ptr stopped;
    try {
      co_await sleep(1ms);
    } catch (...) {
      stopped = std::current_exception();
    }
    EXPECT_EQ(held->second, before);
    held->second = held->first;
    if (stopped) std::rethrow_exception(stopped);
  }
  Coro<void> operate() {
    co_await sleep(2ms);
    co_await looks();
    co_await writes();
    co_await looks();
  }
  Coro<void> other() {
    co_await writes();
    co_await looks();
    ++others_done;
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> tasks;
    for (const double value : {3.0, 1.0, -1.0, 0.5}) {
      tasks.push_back(create_task(other(), {.priority = value, .eager_start = true}));
      co_await sleep(1ms);
    }
    for (const auto& task : tasks) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 4);
    EXPECT_FALSE(pair.locked());
    EXPECT_EQ(pair.waiter_count(), 0U);
  }
};

TEST(StoppedOwned, shared_value_of_readers_and_writers) { stop_in_both_states<SharedRWScene>(); }

}  // namespace
}  // namespace heirloop::testing
