// RWLock: who goes in when, hand-off in the queue's order, what an abort leaves, downgrade, starvation, wrong use. Its
// owners' ends are in rw_lock_owner_test.cpp.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/rw_lock.hpp>

#include "sync/waiting.hpp"
#include "sync/counted_new.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

LoopOptions under(PolicyKind policy) {
  LoopOptions options;
  options.policy = policy;
  return options;
}

class RWLockTest : public StrictTest {};

Coro<void> read(RWLock& lock, Order& order, std::string name, std::chrono::nanoseconds span = 1ms) {
  const auto guard = co_await lock.read();
  order.push_back(name);
  co_await sleep(span);
  order.push_back("-" + name);
}

Coro<void> write(RWLock& lock, Order& order, std::string name, std::chrono::nanoseconds span = 1ms) {
  const auto guard = co_await lock.write();
  EXPECT_EQ(lock.writer(), current_task().get());
  order.push_back(name);
  co_await sleep(span);
  order.push_back("-" + name);
}

Coro<void> until_free(RWLock& lock) {
  while (lock.locked()) co_await sleep(1ms);
}

TEST_F(RWLockTest, is_shared_by_readers_and_written_by_one) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto a = start(read(lock, t.order, "a"));
    auto b = start(read(lock, t.order, "b", 2ms));
    EXPECT_THAT(lock.readers(), UnorderedElementsAre(a, b));
    EXPECT_EQ(lock.writer(), nullptr);
    auto w = start(write(lock, t.order, "w"));
    auto x = start(write(lock, t.order, "x"));
    EXPECT_EQ(lock.waiter_count(), 2U);
    co_await a;
    EXPECT_EQ(lock.writer(), nullptr) << "b reads still";
    co_await b;
    EXPECT_EQ(lock.writer(), w.get());
    EXPECT_TRUE(lock.readers().empty());
    co_await x;
    EXPECT_FALSE(lock.locked());
  }(*this));
  EXPECT_EQ(order, (Order{"a", "b", "-a", "-b", "w", "-w", "x", "-x"}));
}

TEST_F(RWLockTest, goes_to_its_waiters_in_order_and_to_readers_in_a_row_together) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto guard = co_await lock.write();
    for (const char* name : {"r1", "r2"}) start(read(lock, t.order, name));
    start(write(lock, t.order, "w1"));
    for (const char* name : {"r3", "r4"}) start(read(lock, t.order, name));
    start(write(lock, t.order, "w2"));
    start(read(lock, t.order, "urgent"), -1);
    start(write(lock, t.order, "low"), 1);
    start(read(lock, t.order, "r5"));
    guard.release();
    EXPECT_EQ(lock.readers().size(), 3U) << "`urgent`, `r1`, `r2`, before any of them has run";
    co_await until_free(lock);
  }(*this));
  EXPECT_EQ(order, (Order{"urgent", "r1", "r2", "-urgent", "-r1", "-r2", "w1", "-w1", "r3", "r4", "-r3", "-r4", "w2", "-w2",
                          "r5", "-r5", "low", "-low"}));
}

TEST_F(RWLockTest, no_reader_passes_a_writer_that_is_at_least_as_urgent) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto guard = co_await lock.read();
    auto writer = start(write(lock, t.order, "w"));
    auto equal = start(read(lock, t.order, "equal"));
    auto less = start(read(lock, t.order, "less"), 5);
    EXPECT_EQ(lock.waiter_count(), 3U);
    EXPECT_FALSE(lock.try_read().has_value());
    auto more = start(read(lock, t.order, "more"), -5);
    EXPECT_THAT(lock.readers(), UnorderedElementsAre(current_task(), more)) << "strictly more urgent";
    EXPECT_EQ(more.effective_priority(), -5);
    guard.release();
    co_await less;
  }(*this));
  EXPECT_EQ(order, (Order{"more", "-more", "w", "-w", "equal", "less", "-equal", "-less"}));
}

TEST_F(RWLockTest, belongs_to_the_elected_before_they_run_and_nobody_barges_in) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto guard = co_await lock.write();
    auto low = start(write(lock, t.order, "low"), 10);
    guard.release();
    EXPECT_EQ(lock.writer(), low.get());
    EXPECT_EQ(low.state(), TaskState::ready);
    EXPECT_FALSE(lock.try_read().has_value());
    EXPECT_FALSE(lock.try_write().has_value());
    auto high = start(write(lock, t.order, "high"), -10);
    auto urgent = start(read(lock, t.order, "urgent"), -20);
    EXPECT_EQ(high.state(), TaskState::blocked);
    EXPECT_EQ(low.effective_priority(), -20) << "who comes in the gap lends to the elected";
    co_await high;
    co_await urgent;
  }(*this));
  EXPECT_EQ(order, (Order{"low", "-low", "urgent", "-urgent", "high", "-high"}));
}

/// How a task is taken out of its wait.
Coro<void> stop(TaskRef task, std::string way) {
  if (way == "cancel") {
    task.cancel();
  } else if (way == "throw") {
    task_throw(task, InterruptException());
  } else {
    EXPECT_EQ(co_await task_interrupt(task, InterruptException()), InterruptOutcome::ended);
  }
}

void fetch(const TaskRef& task) {
  EXPECT_TRUE(task.done());
  EXPECT_TRUE(task.cancelled() || task.exception());
}

TEST_F(RWLockTest, an_elected_writer_that_leaves_passes_it_on_in_the_same_call) {
  for (const char* how : {"cancel", "throw", "interrupt"}) {
    sim.run([](RWLockTest& t, std::string way) -> Coro<void> {
      RWLock lock;
      auto guard = co_await lock.write();
      auto elected = start(write(lock, t.order, "elected"), -10);
      auto a = start(read(lock, t.order, "a"), 5);
      auto b = start(read(lock, t.order, "b"), 6);
      auto w = start(write(lock, t.order, "w"), 10);
      guard.release();
      EXPECT_EQ(lock.writer(), elected.get());
      co_await stop(elected, way);
      EXPECT_THAT(lock.readers(), UnorderedElementsAre(a, b));
      EXPECT_EQ(a.state(), TaskState::ready);
      co_await w;
      EXPECT_FALSE(lock.locked());
      fetch(elected);
    }(*this, how));
    EXPECT_EQ(order, (Order{"a", "b", "-a", "-b", "w", "-w"})) << how;
    order.clear();
  }
}

TEST_F(RWLockTest, an_elected_reader_that_leaves_gives_its_share_alone_back) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto guard = co_await lock.write();
    auto a = start(read(lock, t.order, "a"));
    auto b = start(read(lock, t.order, "b"));
    auto w = start(write(lock, t.order, "w"));
    guard.release();
    a.cancel();
    EXPECT_THAT(lock.readers(), UnorderedElementsAre(b));
    b.cancel();
    EXPECT_EQ(lock.writer(), w.get());
    co_await w;
    EXPECT_FALSE(lock.locked());
  }(*this));
  EXPECT_EQ(order, (Order{"w", "-w"}));
}

TEST_F(RWLockTest, readers_behind_a_waiting_writer_that_leaves_go_in_in_the_same_call) {
  for (const char* how : {"cancel", "throw", "interrupt"}) {
    sim.run([](RWLockTest& t, std::string way) -> Coro<void> {
      RWLock lock;
      auto guard = co_await lock.read();
      auto leaves = start(write(lock, t.order, "leaves"), -10);
      auto a = start(read(lock, t.order, "a"));
      auto b = start(read(lock, t.order, "b"));
      auto w = start(write(lock, t.order, "w"));
      auto c = start(read(lock, t.order, "c"));
      EXPECT_EQ(lock.waiter_count(), 5U);
      co_await stop(leaves, way);
      EXPECT_THAT(lock.readers(), UnorderedElementsAre(current_task(), a, b));
      EXPECT_EQ(lock.waiter_count(), 2U);
      guard.release();
      co_await c;
      fetch(leaves);
    }(*this, how));
    EXPECT_EQ(order, (Order{"a", "b", "-a", "-b", "w", "-w", "c", "-c"})) << how;
    order.clear();
  }
}

TEST_F(RWLockTest, a_downgrade_lets_no_writer_between) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto writing = co_await lock.write();
    auto a = start(read(lock, t.order, "a"));
    auto w = start(write(lock, t.order, "w"));
    auto b = start(read(lock, t.order, "b"));
    auto reading = writing.downgrade();
    EXPECT_FALSE(writing);
    EXPECT_TRUE(reading);
    EXPECT_EQ(lock.writer(), nullptr);
    EXPECT_THAT(lock.readers(), UnorderedElementsAre(current_task(), a)) << "`b` stands behind a writer";
    EXPECT_THROW((void)writing.downgrade(), InvalidStateError);
    co_await a;
    EXPECT_EQ(w.state(), TaskState::blocked);
    reading.release();
    EXPECT_EQ(lock.writer(), w.get());
    co_await b;
  }(*this));
  EXPECT_EQ(order, (Order{"a", "-a", "w", "-w", "b", "-b"}));
}

TEST_F(RWLockTest, a_reader_whose_urgency_rose_above_the_writers_goes_in_at_the_next_event) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    auto guard = co_await lock.read();
    auto writer = start(write(lock, t.order, "w"));
    auto a = start(read(lock, t.order, "a"), 5);
    auto b = start(read(lock, t.order, "b"), 6);
    a.set_priority(-5);
    EXPECT_EQ(a.state(), TaskState::blocked);
    auto comes = start(read(lock, t.order, "comes"), -1);
    EXPECT_EQ(a.state(), TaskState::ready) << "as a reader comes";
    EXPECT_THAT(lock.readers(), UnorderedElementsAre(current_task(), a, comes));
    b.set_priority(-6);
    EXPECT_EQ(b.state(), TaskState::blocked);
    comes.cancel();
    co_await sleep(0);
    EXPECT_THAT(lock.readers(), UnorderedElementsAre(current_task(), a, b)) << "as a share comes back";
    guard.release();
    co_await writer;
  }(*this));
  EXPECT_EQ(order, (Order{"comes", "a", "b", "-b", "-a", "w", "-w"}));
}

TEST_F(RWLockTest, a_reader_may_read_again_unless_it_would_wait_for_itself) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock("table");
    auto first = co_await lock.read();
    auto second = co_await lock.read();
    EXPECT_EQ(lock.readers().size(), 2U);
    auto writer = start(write(lock, t.order, "w"));
    const auto refused = [](auto wait) -> Coro<std::string> {
      try {
        const auto guard = co_await wait();
      } catch (const DeadlockError& error) {
        co_return error.what();
      }
      co_return "";
    };
    const auto reads = [&] { return lock.read(); };
    const auto writes = [&] { return lock.write(); };
    EXPECT_THAT(co_await refused(reads), HasSubstr("reading RWLock 'table' held by main and 1 other"));
    EXPECT_THAT(co_await refused(writes), HasSubstr("writing RWLock 'table'"));
    EXPECT_EQ(lock.waiter_count(), 1U);
    first.release();
    EXPECT_EQ(writer.state(), TaskState::blocked);
    second.release();
    co_await writer;

    auto guard = co_await lock.write();
    EXPECT_THAT(co_await refused(reads), HasSubstr("reading RWLock 'table' held by main"));
    EXPECT_THAT(co_await refused(writes), HasSubstr("writing RWLock 'table'"));
    EXPECT_EQ(lock.waiter_count(), 0U);
  }(*this));
}

TEST_F(RWLockTest, wrong_use_is_a_catchable_error) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock("table");
    auto guard = co_await lock.write();
    auto stranger = start([](WriteGuard& g) -> Coro<void> {
      EXPECT_THROW(g.release(), InvalidStateError);
      EXPECT_THROW((void)g.downgrade(), InvalidStateError);
      EXPECT_THROW(g.transfer(current_task()), InvalidStateError);
      co_return;
    }(guard));
    EXPECT_THROW(guard.transfer(stranger), InvalidStateError) << "it is done";
    guard.release();
    EXPECT_THROW(guard.release(), InvalidStateError);
    t.sim.loop.call_soon([&lock, &t] {
      EXPECT_THROW((void)lock.try_read(), InvalidStateError);
      EXPECT_THROW((void)lock.try_write(), InvalidStateError);
      t.order.push_back("handle");
    });
    co_await sleep(0);
  }(*this));
  EXPECT_EQ(order, Order{"handle"});
}

TEST_F(RWLockTest, one_that_is_free_gives_way_now_and_then) {
  sim.run([](RWLockTest& t) -> Coro<void> {
    RWLock lock;
    bool stop = false;
    t.sim.driver.at(50us, [&stop] { stop = true; });
    const auto spinner = create_task([](RWLockTest& test, RWLock& l, const bool& end) -> Coro<void> {
      for (int i = 0; i < 1000 && !end; ++i) {
        { const auto guard = co_await l.read(); }
        const auto guard = co_await l.write();
        EXPECT_EQ(l.writer(), current_task().get());
        test.sim.driver.advance(1us);
        test.order.emplace_back("step");
      }
    }(t, lock, stop));
    co_await spinner;
    EXPECT_TRUE(stop);
    EXPECT_LE(t.order.size(), 128U);
    EXPECT_FALSE(lock.locked());
  }(*this));
}

// ---- starvation ----

/// Readers that overlap for ever, each more urgent than the writer by ten: 1 s of waiting at the default age unit.
TEST(RWLockAging, a_writer_gets_in_among_more_urgent_readers_and_they_get_in_among_writers) {
  Sim sim(under(PolicyKind::aging));
  sim.run([]() -> Coro<void> {
    RWLock lock;
    bool end = false;
    const auto reads = [](RWLock& l, const bool& stop, std::chrono::milliseconds offset) -> Coro<void> {
      co_await sleep(offset);
      while (!stop) {
        const auto guard = co_await l.read();
        co_await sleep(40ms);
      }
    };
    const auto writes = [](RWLock& l, const bool& stop) -> Coro<void> {
      while (!stop) {
        const auto guard = co_await l.write();
        co_await sleep(40ms);
      }
    };
    std::vector<PriorityTask<void>> tasks;
    for (const auto offset : {0ms, 10ms, 20ms, 30ms}) tasks.push_back(start(reads(lock, end, offset), -10));
    co_await sleep(100ms);
    const auto began = loop_time();
    {
      const auto guard = co_await lock.write();
      EXPECT_GE(loop_time() - began, 1s) << "they pass as long as their urgency outweighs the wait";
      EXPECT_LE(loop_time() - began, 1s + 100ms);
    }
    for (int i = 0; i < 3; ++i) tasks.push_back(start(writes(lock, end), -30));
    co_await sleep(100ms);
    const auto began_to_read = loop_time();
    {
      const auto guard = co_await lock.read();
      EXPECT_LE(loop_time() - began_to_read, 3s + 300ms);
    }
    end = true;
    for (const auto& task : tasks) co_await task;
  }());
}

// ---- memory ----

Coro<void> read_once(RWLock& lock) { const auto guard = co_await lock.read(); }
Coro<void> write_once(RWLock& lock) { const auto guard = co_await lock.write(); }

TEST_F(RWLockTest, allocates_nothing_in_steady_state) {
  sim.run([]() -> Coro<void> {
    std::size_t before = 0;
    for (int i = 0; i < 600; ++i) {
      if (i == 300) before = allocations();
      RWLock lock;
      auto guard = co_await lock.write();
      const auto r = create_task(read_once(lock), {.priority = -1.0, .eager_start = true});
      const auto w = create_task(write_once(lock), {.priority = 1.0, .eager_start = true});
      const auto s = create_task(read_once(lock), {.priority = -2.0, .eager_start = true});
      auto share = guard.downgrade();
      co_await r;
      share.release();
      co_await w;
      co_await s;
    }
    EXPECT_EQ(allocations() - before, 0U);
  }());
}

}  // namespace
}  // namespace heirloop::testing
