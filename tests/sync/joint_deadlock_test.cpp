// Deadlocks through what several own: a permit comes when any holder can go on, a writer goes in when all readers can.
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/semaphore.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class JointDeadlock : public ::testing::Test {
 public:
  Sim sim{};
};

PriorityTask<void> start(Coro<void> coro, std::string_view name = {}) {
  return create_task(std::move(coro), {.name = name, .eager_start = true});
}

Coro<void> hold(Semaphore& semaphore, std::chrono::nanoseconds span) {
  const auto permit = co_await semaphore.acquire();
  co_await sleep(span);
}

Coro<void> hold_and_want(Semaphore& semaphore, PriorityLock& lock) {
  const auto permit = co_await semaphore.acquire();
  const auto held = co_await lock.acquire();
}

TEST_F(JointDeadlock, a_wait_for_a_permit_is_refused_only_when_no_holder_can_go_on) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2, "slots");
    PriorityLock lock("keys");
    auto held = co_await lock.acquire();
    auto stuck = start(hold_and_want(semaphore, lock), "stuck");
    auto able = start(hold(semaphore, 1ms), "able");
    {
      const auto permit = co_await semaphore.acquire();  // from `able`
      EXPECT_TRUE(able.done());
      EXPECT_EQ(semaphore.holders().size(), 2U);
    }
    auto also = start(hold_and_want(semaphore, lock), "also stuck");
    try {
      const auto permit = co_await semaphore.acquire();
      ADD_FAILURE();
    } catch (const DeadlockError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("main"), HasSubstr("also stuck"), HasSubstr("slots"), HasSubstr("keys")));
    }
    EXPECT_EQ(semaphore.waiter_count(), 0U);
    EXPECT_EQ(lock.waiter_count(), 2U);
    held.release();
    co_await stuck;
    co_await also;
    EXPECT_EQ(semaphore.available(), 2U);
  }());
}

TEST_F(JointDeadlock, the_last_holder_that_could_go_on_may_not_wait_for_those_who_wait_for_it) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2, "slots");
    PriorityLock lock("keys");
    auto mine = co_await semaphore.acquire();
    auto owner = start([](PriorityLock& l, Semaphore& s) -> Coro<void> {
      const auto held = co_await l.acquire();
      co_await sleep(1ms);
      const auto permit = co_await s.acquire();
    }(lock, semaphore));
    auto other = start(hold_and_want(semaphore, lock));
    co_await sleep(2ms);  // the owner waits for a permit, the other holder for the lock
    EXPECT_EQ(semaphore.waiter_count(), 1U);
    EXPECT_EQ(lock.waiter_count(), 1U);
    bool refused = false;
    try {
      const auto held = co_await lock.acquire();
    } catch (const DeadlockError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    EXPECT_EQ(lock.waiter_count(), 1U);
    EXPECT_EQ(mine.owner(), current_task().get());
    mine.release();
    co_await owner;
    co_await other;
  }());
}

TEST_F(JointDeadlock, a_holder_may_wait_for_a_second_permit_of_another) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2);
    const auto first = co_await semaphore.acquire();
    auto other = start(hold(semaphore, 1ms));
    const auto second = co_await semaphore.acquire();
    EXPECT_TRUE(other.done());
    bool refused = false;
    try {
      const auto third = co_await semaphore.acquire();
    } catch (const DeadlockError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
  }());
}

TEST_F(JointDeadlock, the_last_permit_can_t_be_transferred_to_one_who_waits_for_it) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2);
    auto first = co_await semaphore.acquire();
    auto second = co_await semaphore.acquire();
    auto waiter = create_task(hold(semaphore, 1ms), {.priority = -10.0, .eager_start = true});
    first.transfer(waiter);  // legal: the other permit is still here
    EXPECT_EQ(first.owner(), waiter.get());
    EXPECT_THROW(second.transfer(waiter), DeadlockError);
    EXPECT_EQ(second.owner(), current_task().get());
    EXPECT_EQ(current_task().effective_priority(), -10);
    EXPECT_EQ(waiter.state(), TaskState::blocked);
    LogCapture log;
    second.release();
    co_await waiter;
    EXPECT_EQ(log.count("ended while it held"), 1U) << "the permit that it was given has no other end";
  }());
}

Coro<void> read_for(RWLock& lock, std::chrono::nanoseconds span) {
  const auto guard = co_await lock.read();
  co_await sleep(span);
}

Coro<void> read_and_want(RWLock& table, PriorityLock& lock, std::chrono::nanoseconds wanted_after) {
  const auto guard = co_await table.read();
  co_await sleep(wanted_after);
  const auto held = co_await lock.acquire();
}

TEST_F(JointDeadlock, a_write_is_refused_when_one_of_the_readers_can_t_go_on) {
  sim.run([]() -> Coro<void> {
    RWLock table("table");
    PriorityLock lock("keys");
    auto held = co_await lock.acquire();
    auto able = start(read_for(table, 5ms), "able");
    auto stuck = start(read_and_want(table, lock, 0ms), "stuck");
    auto also = start(read_for(table, 5ms));
    co_await sleep(1ms);
    try {
      const auto guard = co_await table.write();
      ADD_FAILURE();
    } catch (const DeadlockError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("main"), HasSubstr("stuck"), HasSubstr("writing RWLock 'table'"),
                                      HasSubstr("keys")));
    }
    EXPECT_EQ(table.waiter_count(), 0U);
    EXPECT_EQ(table.readers().size(), 3U);
    {
      const auto guard = co_await table.read();  // nobody waits: it goes in
    }
    held.release();
    const auto guard = co_await table.write();
    EXPECT_TRUE(able.done() && stuck.done() && also.done());
  }());
}

TEST_F(JointDeadlock, a_reader_may_not_wait_for_who_waits_to_write) {
  sim.run([]() -> Coro<void> {
    RWLock table("table");
    PriorityLock lock("keys");
    bool refused = false;
    auto reader = start([](RWLock& t, PriorityLock& l, bool& r) -> Coro<void> {
      const auto guard = co_await t.read();
      co_await sleep(1ms);
      try {
        const auto held = co_await l.acquire();
      } catch (const DeadlockError&) {
        r = true;
      }
    }(table, lock, refused));
    auto other = start(read_for(table, 5ms));
    const auto held = co_await lock.acquire();
    const auto guard = co_await table.write();
    EXPECT_TRUE(refused);
    EXPECT_TRUE(other.done());
    EXPECT_TRUE(reader.done());
  }());
}

TEST_F(JointDeadlock, a_read_share_can_t_be_transferred_to_the_waiting_writer) {
  sim.run([]() -> Coro<void> {
    RWLock table;
    auto mine = co_await table.read();
    auto other = start(read_for(table, 1ms));
    auto writer = start([](RWLock& t) -> Coro<void> { const auto guard = co_await t.write(); }(table));
    EXPECT_THROW(mine.transfer(writer), DeadlockError);
    EXPECT_EQ(mine.owner(), current_task().get());
    EXPECT_EQ(table.readers().size(), 2U);
    mine.release();
    co_await writer;
    EXPECT_TRUE(other.done());
  }());
}

}  // namespace
}  // namespace heirloop::testing
