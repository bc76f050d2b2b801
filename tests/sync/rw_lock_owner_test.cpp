// RWLock and its owners: transfer, guards in the wrong hands, owners that die.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/rw_lock.hpp>

#include "sync/waiting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RWLockOwner : public StrictTest {};

Coro<void> note_end(RWLock& lock, bool writes, Order& order, std::string name) {
  try {
    if (writes) {
      const auto guard = co_await lock.write();
      order.push_back(name + " writes");
    } else {
      const auto guard = co_await lock.read();
      order.push_back(name + " reads");
    }
  } catch (const OwnerDied& error) {
    EXPECT_THAT(error.what(), HasSubstr("table"));
    order.push_back(name + " OwnerDied");
  }
}

Coro<void> die_reading(RWLock& lock, std::optional<ReadGuard>& guard) {
  guard.emplace(co_await lock.read());
  co_await sleep(1ms);
}

Coro<void> die_writing(RWLock& lock, std::optional<WriteGuard>& guard) {
  guard.emplace(co_await lock.write());
  co_await sleep(1ms);
}

TEST_F(RWLockOwner, tells_all_who_wait_that_the_writer_died_and_is_free) {
  LogCapture log;
  std::optional<WriteGuard> guard;
  sim.run([](RWLockOwner& t, std::optional<WriteGuard>& g) -> Coro<void> {
    RWLock lock("table");
    auto owner = start(die_writing(lock, g), 0, "owner");
    start(note_end(lock, true, t.order, "w"), 5);
    start(note_end(lock, false, t.order, "r"), -5);
    co_await owner;
    EXPECT_FALSE(lock.locked());
    EXPECT_THROW((void)g->downgrade(), InvalidStateError);
    co_await note_end(lock, true, t.order, "late");
    co_await sleep(1ms);
  }(*this, guard));
  guard.reset();
  EXPECT_EQ(order, (Order{"r OwnerDied", "late writes", "w OwnerDied"}));
  EXPECT_EQ(log.count("owner ended while it held RWLock 'table'; 2 waiting tasks get OwnerDied"), 1U) << log.text();
}

TEST_F(RWLockOwner, only_the_last_readers_death_ends_waits) {
  LogCapture log;
  std::optional<ReadGuard> first;
  std::optional<ReadGuard> last;
  sim.run([](RWLockOwner& t, std::optional<ReadGuard>& f, std::optional<ReadGuard>& l) -> Coro<void> {
    RWLock lock("table");
    auto dies = start(die_reading(lock, f));
    co_await sleep(500us);
    auto dies_last = start(die_reading(lock, l));
    auto w = start(note_end(lock, true, t.order, "w"));
    co_await dies;
    EXPECT_THAT(lock.readers(), ElementsAre(dies_last));
    EXPECT_EQ(w.state(), TaskState::blocked);
    co_await dies_last;
    co_await w;
    EXPECT_FALSE(lock.locked());
  }(*this, first, last));
  EXPECT_EQ(order, Order{"w OwnerDied"});
  EXPECT_EQ(log.count("as others do; its share is given back"), 1U) << log.text();
}

TEST_F(RWLockOwner, a_guard_destroyed_by_another_task_gives_back_and_logs) {
  LogCapture log;
  sim.run([](RWLockOwner& t) -> Coro<void> {
    RWLock lock("table");
    std::optional<WriteGuard> guard;
    auto owner = start(die_writing(lock, guard));
    auto waiter = start(note_end(lock, false, t.order, "r"));
    guard.reset();
    EXPECT_THAT(lock.readers(), ElementsAre(waiter));
    co_await owner;
    co_await waiter;
  }(*this));
  EXPECT_EQ(log.count("a guard of RWLock 'table' is destroyed by a task that does not own its share"), 1U);
}

TEST_F(RWLockOwner, shares_can_be_transferred) {
  LogCapture log;
  sim.run([](RWLockOwner& t) -> Coro<void> {
    RWLock lock;
    std::optional<WriteGuard> guard(co_await lock.write());
    std::optional<ReadGuard> share;
    auto heir = start([](std::optional<WriteGuard>& g, std::optional<ReadGuard>& s) -> Coro<void> {
      co_await sleep(1ms);
      s.emplace(g->downgrade());
      s->transfer(current_task());
      co_await sleep(1ms);
      s.reset();
    }(guard, share));
    guard->transfer(heir);
    EXPECT_EQ(lock.writer(), heir.get());
    auto waiter = start(note_end(lock, true, t.order, "w"), -10);
    EXPECT_EQ(heir.effective_priority(), -10);
    EXPECT_EQ(current_task().effective_priority(), 0);
    co_await waiter;
  }(*this));
  EXPECT_EQ(log.text(), "");
}

}  // namespace
}  // namespace heirloop::testing
