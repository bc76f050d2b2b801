// Priority inheritance through what several own: permits and read shares (DESIGN section 7).
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/semaphore.hpp>

#include "sync/waiting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class JointInheritance : public ::testing::TestWithParam<PolicyKind> {
 public:
  Sim sim{[] {
    LoopOptions options;
    options.policy = GetParam();
    return options;
  }()};
};

INSTANTIATE_TEST_SUITE_P(Policies, JointInheritance, ::testing::Values(PolicyKind::strict, PolicyKind::aging),
                         [](const auto& p) { return std::string(to_string(p.param)); });

std::vector<double> effective(const std::vector<PriorityTask<void>>& tasks) {
  std::vector<double> values;
  for (const auto& task : tasks) values.push_back(task.effective_priority());
  return values;
}

Coro<void> end_all() {
  for (const TaskRef& task : all_tasks()) {
    if (task != current_task()) task.cancel();
  }
  while (all_tasks().size() > 1) co_await sleep(1ms);
}

Coro<void> sleep_holding(Semaphore& semaphore) {
  const auto permit = co_await semaphore.acquire();
  co_await sleep(1h);
}

Coro<void> keep(Semaphore& semaphore, std::optional<Permit>& permit) {
  permit.emplace(co_await semaphore.acquire());
  co_await sleep(1h);
}

TEST_P(JointInheritance, every_holder_of_a_permit_inherits_from_every_waiter_however_it_comes_and_goes) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(3);
    const std::vector<PriorityTask<void>> holders{start(sleep_holding(semaphore), 10), start(sleep_holding(semaphore), 5),
                                                  start(sleep_holding(semaphore), -20)};
    EXPECT_THAT(effective(holders), ElementsAre(10, 5, -20));
    auto middle = start(sleep_holding(semaphore), 7);
    EXPECT_THAT(effective(holders), ElementsAre(7, 5, -20));
    auto waiter = start(sleep_holding(semaphore), -10);
    EXPECT_THAT(effective(holders), ElementsAre(-10, -10, -20));
    waiter.set_priority(6);
    EXPECT_THAT(effective(holders), ElementsAre(6, 5, -20));
    waiter.set_priority(-10);
    waiter.cancel();
    EXPECT_THAT(effective(holders), ElementsAre(7, 5, -20));

    auto thrown_at = start(sleep_holding(semaphore), -10);
    EXPECT_THAT(effective(holders), ElementsAre(-10, -10, -20));
    task_throw(thrown_at, InterruptException());
    EXPECT_THAT(effective(holders), ElementsAre(7, 5, -20));

    auto interrupted = start(sleep_holding(semaphore), -10);
    EXPECT_THAT(effective(holders), ElementsAre(-10, -10, -20));
    EXPECT_EQ(co_await task_interrupt(interrupted, InterruptException()), InterruptOutcome::ended);
    EXPECT_THAT(effective(holders), ElementsAre(7, 5, -20));

    middle.cancel();
    EXPECT_THAT(effective(holders), ElementsAre(10, 5, -20));
    co_await end_all();
    EXPECT_TRUE(thrown_at.done() && interrupted.exception());
  }());
}

TEST_P(JointInheritance, a_holder_that_gives_back_drops_in_parts_and_the_others_keep_what_is_lent) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2);
    std::optional<Permit> permit;
    std::optional<Permit> other;
    const std::vector<PriorityTask<void>> holders{start(keep(semaphore, permit), 10), start(keep(semaphore, other), 8)};
    auto high = start(sleep_holding(semaphore), -10);
    auto middle = start(sleep_holding(semaphore), 0);
    EXPECT_THAT(effective(holders), ElementsAre(-10, -10));
    LogCapture log;
    permit.reset();  // to `high`
    EXPECT_THAT(effective(holders), ElementsAre(10, 0));
    EXPECT_EQ(high.effective_priority(), -10);
    high.cancel();  // elected, and not yet run: to `middle`
    EXPECT_THAT(effective(holders), ElementsAre(10, 8));
    EXPECT_EQ(middle.effective_priority(), 0);
    co_await end_all();
  }());
}

TEST_P(JointInheritance, a_transfer_takes_what_is_lent_along) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2);
    auto permit = co_await semaphore.acquire();
    auto other = start(sleep_holding(semaphore), 8);
    auto heir = start([]() -> Coro<void> { co_await sleep(1h); }(), 10);
    auto waiter = start(sleep_holding(semaphore), -10);
    EXPECT_EQ(current_task().effective_priority(), -10);
    permit.transfer(heir);
    EXPECT_EQ(current_task().effective_priority(), 0);
    EXPECT_EQ(heir.effective_priority(), -10);
    EXPECT_EQ(other.effective_priority(), -10);
    waiter.set_priority(9);
    EXPECT_EQ(heir.effective_priority(), 9);
    EXPECT_EQ(other.effective_priority(), 8);
    LogCapture log;
    co_await end_all();
  }());
}

Coro<void> hold_permit_and_want_lock(Semaphore& semaphore, PriorityLock& lock, std::chrono::nanoseconds wanted_after) {
  const auto permit = co_await semaphore.acquire();
  co_await sleep(wanted_after);
  const auto held = co_await lock.acquire();
  co_await sleep(1h);
}

Coro<void> hold_lock_and_want_permit(PriorityLock& lock, Semaphore& semaphore) {
  const auto held = co_await lock.acquire();
  co_await sleep(2ms);
  const auto permit = co_await semaphore.acquire();
  co_await sleep(1h);
}

/// A legal cycle: the second holder can end the wait of all. What the urgent one lent must not go round in it for ever.
TEST_P(JointInheritance, a_legal_cycle_drops_to_the_best_of_what_is_left) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2);
    PriorityLock lock;
    auto owner = start(hold_lock_and_want_permit(lock, semaphore), 5);
    auto waits_for_lock = start(hold_permit_and_want_lock(semaphore, lock, 1ms), 7);
    auto other = start(sleep_holding(semaphore), 8);
    co_await sleep(10ms);
    const std::vector<PriorityTask<void>> tasks{owner, waits_for_lock, other};
    EXPECT_EQ(lock.waiter_count(), 1U);
    EXPECT_EQ(semaphore.waiter_count(), 1U);
    EXPECT_THAT(effective(tasks), ElementsAre(5, 5, 5));
    auto urgent = start(sleep_holding(semaphore), -10);
    EXPECT_THAT(effective(tasks), ElementsAre(-10, -10, -10));
    urgent.cancel();
    EXPECT_THAT(effective(tasks), ElementsAre(5, 5, 5));
    auto on_lock = start([](PriorityLock& l) -> Coro<void> { const auto held = co_await l.acquire(); }(lock), -10);
    EXPECT_THAT(effective(tasks), ElementsAre(-10, -10, -10));
    on_lock.set_priority(6);
    EXPECT_THAT(effective(tasks), ElementsAre(5, 5, 5));
    on_lock.set_priority(4);
    EXPECT_THAT(effective(tasks), ElementsAre(4, 4, 4));
    on_lock.cancel();
    EXPECT_THAT(effective(tasks), ElementsAre(5, 5, 5));
    other.cancel();
    EXPECT_THAT(effective({owner, waits_for_lock}), ElementsAre(5, 5));
    co_await end_all();
  }());
}

// ---- reader-writer lock ----

Coro<void> sleep_reading(RWLock& lock) {
  const auto guard = co_await lock.read();
  co_await sleep(1h);
}

Coro<void> sleep_writing(RWLock& lock) {
  const auto guard = co_await lock.write();
  co_await sleep(1h);
}

TEST_P(JointInheritance, every_reader_inherits_from_every_waiter_also_one_that_comes_later) {
  sim.run([]() -> Coro<void> {
    RWLock lock;
    std::vector<PriorityTask<void>> readers{start(sleep_reading(lock), 10), start(sleep_reading(lock), 5),
                                            start(sleep_reading(lock), -20)};
    auto writer = start(sleep_writing(lock), -10);
    EXPECT_THAT(effective(readers), ElementsAre(-10, -10, -20));
    auto behind = start(sleep_reading(lock), -9);
    EXPECT_EQ(lock.waiter_count(), 2U);
    readers.push_back(start(sleep_reading(lock), -11));  // passes the writer
    EXPECT_EQ(lock.readers().size(), 4U);
    auto urgent = start(sleep_writing(lock), -12);
    EXPECT_THAT(effective(readers), ElementsAre(-12, -12, -20, -12));
    urgent.set_priority(100);
    EXPECT_THAT(effective(readers), ElementsAre(-10, -10, -20, -11));
    readers[0].cancel();  // asleep: it gives its share back when it runs
    EXPECT_EQ(readers[0].effective_priority(), -10);
    writer.cancel();  // `behind` goes in
    EXPECT_THAT(effective(readers), ElementsAre(10, 5, -20, -11));
    EXPECT_EQ(behind.effective_priority(), -9);
    EXPECT_EQ(lock.waiter_count(), 1U);
    urgent.set_priority(-15);
    EXPECT_THAT(effective(readers), ElementsAre(-15, -15, -20, -15));
    EXPECT_EQ(behind.effective_priority(), -15) << "elected, and not yet run";
    task_throw(urgent, InterruptException());
    EXPECT_THAT(effective(readers), ElementsAre(10, 5, -20, -11));
    co_await end_all();
  }());
}

TEST_P(JointInheritance, a_writer_inherits_and_keeps_what_is_lent_as_it_downgrades) {
  sim.run([]() -> Coro<void> {
    RWLock lock;
    auto writing = co_await lock.write();
    auto reader = start(sleep_reading(lock), -10);
    auto writer = start(sleep_writing(lock), -5);
    EXPECT_EQ(current_task().effective_priority(), -10);
    auto reading = writing.downgrade();
    EXPECT_EQ(current_task().effective_priority(), -5) << "`reader` has gone in";
    EXPECT_EQ(reader.effective_priority(), -10);
    reader.set_priority(3);
    EXPECT_EQ(reader.effective_priority(), -5);
    reading.release();
    EXPECT_EQ(current_task().effective_priority(), 0);
    reader.cancel();
    co_await sleep(1ms);
    EXPECT_EQ(lock.writer(), writer.get());
    co_await end_all();
  }());
}

TEST_P(JointInheritance, goes_through_a_semaphore_a_reader_and_a_lock) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(1);
    RWLock shared;
    PriorityLock lock;
    auto owner = start([](PriorityLock& l) -> Coro<void> {
      const auto held = co_await l.acquire();
      co_await sleep(1h);
    }(lock), 10);
    auto reader = start([](RWLock& s, PriorityLock& l) -> Coro<void> {
      const auto guard = co_await s.read();
      const auto held = co_await l.acquire();
    }(shared, lock), 9);
    auto other = start(sleep_reading(shared), 9.5);
    auto writer = start([](Semaphore& s, RWLock& l) -> Coro<void> {
      const auto permit = co_await s.acquire();
      const auto guard = co_await l.write();
    }(semaphore, shared), 8);
    const std::vector<PriorityTask<void>> tasks{owner, reader, other, writer};
    EXPECT_THAT(effective(tasks), ElementsAre(8, 8, 8, 8));
    auto urgent = start(sleep_holding(semaphore), -10);
    EXPECT_THAT(effective(tasks), ElementsAre(-10, -10, -10, -10));
    urgent.cancel();
    EXPECT_THAT(effective(tasks), ElementsAre(8, 8, 8, 8));
    writer.cancel();
    EXPECT_THAT(effective(tasks), ElementsAre(9, 9, 9.5, 8));
    co_await end_all();
  }());
}

}  // namespace
}  // namespace heirloop::testing
