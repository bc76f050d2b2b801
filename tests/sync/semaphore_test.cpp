// Semaphore: permits and their owners, hand-off, order, what an abort leaves, transfer, owners that die.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/semaphore.hpp>

#include "sync/waiting.hpp"
#include "sync/counted_new.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class SemaphoreTest : public StrictTest {};

Coro<void> hold(Semaphore& semaphore, Order& order, std::string name, int steps = 0) {
  const auto permit = co_await semaphore.acquire();
  order.push_back(name);
  for (int i = 0; i < steps; ++i) co_await sleep(0);
}

Coro<void> keep(Semaphore& semaphore, std::optional<Permit>& permit, std::chrono::nanoseconds span) {
  permit.emplace(co_await semaphore.acquire());
  co_await sleep(span);
}

TEST_F(SemaphoreTest, lets_in_as_many_as_it_has_permits) {
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore(2);
    EXPECT_EQ(semaphore.available(), 2U);
    auto a = start(hold(semaphore, t.order, "a", 1));
    auto b = start(hold(semaphore, t.order, "b", 1));
    auto c = start(hold(semaphore, t.order, "c"));
    EXPECT_EQ(semaphore.available(), 0U);
    EXPECT_EQ(semaphore.waiter_count(), 1U);
    EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(a, b));
    EXPECT_EQ(t.order, (Order{"a", "b"}));
    co_await c;
    co_await b;
    EXPECT_EQ(semaphore.available(), 2U);
    EXPECT_TRUE(semaphore.holders().empty());
  }(*this));
  EXPECT_EQ(order, (Order{"a", "b", "c"}));
}

TEST_F(SemaphoreTest, passes_to_the_most_urgent_and_among_equals_to_the_first) {
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore;
    auto permit = co_await semaphore.acquire();
    for (const char* name : {"n1", "n2"}) start(hold(semaphore, t.order, name), 0);
    for (const char* name : {"l1", "l2"}) start(hold(semaphore, t.order, name), 10);
    for (const char* name : {"h1", "h2"}) start(hold(semaphore, t.order, name), -10);
    EXPECT_EQ(semaphore.waiter_count(), 6U);
    permit.release();
    EXPECT_FALSE(permit);
    while (semaphore.available() == 0) co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"h1", "h2", "n1", "n2", "l1", "l2"}));
}

TEST_F(SemaphoreTest, permits_belong_to_the_elected_before_it_runs_and_nobody_barges_in) {
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore;
    auto permit = co_await semaphore.acquire();
    auto low = start(hold(semaphore, t.order, "low"), 10);
    permit.release();
    EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(low));
    EXPECT_EQ(low.state(), TaskState::ready);
    EXPECT_FALSE(semaphore.try_acquire().has_value());
    auto high = start(hold(semaphore, t.order, "high"), -10);
    EXPECT_EQ(high.state(), TaskState::blocked);
    EXPECT_EQ(low.effective_priority(), -10) << "who comes in the gap lends to the elected";
    auto middle = create_task(hold(semaphore, t.order, "middle"), {.priority = 0.0});
    co_await high;
    co_await middle;
  }(*this));
  EXPECT_EQ(order, (Order{"low", "high", "middle"}));
}

TEST_F(SemaphoreTest, an_elected_that_leaves_passes_its_permit_on_in_the_same_call) {
  for (const char* how : {"cancel", "throw", "interrupt"}) {
    sim.run([](SemaphoreTest& t, std::string way) -> Coro<void> {
      Semaphore semaphore;
      auto permit = co_await semaphore.acquire();
      auto elected = start(hold(semaphore, t.order, "elected"), -10);
      auto next = start(hold(semaphore, t.order, "next"), 5);
      auto other = start(hold(semaphore, t.order, "other"), 10);
      permit.release();
      EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(elected));
      if (way == "cancel") {
        elected.cancel();
      } else if (way == "throw") {
        task_throw(elected, InterruptException());
      } else {
        EXPECT_EQ(co_await task_interrupt(elected, InterruptException()), InterruptOutcome::ended);
        EXPECT_EQ(next.state(), TaskState::ready) << "the victim and the caller come before it";
      }
      EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(next));
      co_await other;
      EXPECT_EQ(semaphore.available(), 1U);
      EXPECT_TRUE(elected.cancelled() || elected.exception());
    }(*this, how));
    EXPECT_EQ(order, (Order{"next", "other"})) << how;
    order.clear();
  }
}

TEST_F(SemaphoreTest, try_acquire_takes_what_is_free) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(1);
    {
      const auto permit = semaphore.try_acquire();
      EXPECT_TRUE(permit.has_value());
      EXPECT_EQ(permit->owner(), current_task().get());
      EXPECT_FALSE(semaphore.try_acquire().has_value());
    }
    EXPECT_EQ(semaphore.available(), 1U);
    co_return;
  }());
}

TEST_F(SemaphoreTest, permits_move_between_scopes) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(2);
    auto first = co_await semaphore.acquire();
    Permit second(std::move(first));
    EXPECT_FALSE(first);
    EXPECT_TRUE(second);
    first = co_await semaphore.acquire();
    EXPECT_EQ(semaphore.available(), 0U);
    first = std::move(second);  // gives back the one that it held
    EXPECT_EQ(semaphore.available(), 1U);
  }());
}

TEST_F(SemaphoreTest, release_adds_permits_and_a_bounded_one_refuses) {
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore(0, "slots");
    auto a = start(hold(semaphore, t.order, "a", 1));
    auto b = start(hold(semaphore, t.order, "b", 1));
    semaphore.release(3);
    EXPECT_EQ(semaphore.available(), 1U);
    EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(a, b));
    co_await a;
    co_await b;
    EXPECT_EQ(semaphore.available(), 3U);
    t.sim.loop.call_soon([&semaphore] { semaphore.release(); });
    co_await sleep(0);
    EXPECT_EQ(semaphore.available(), 4U);
    EXPECT_THROW(semaphore.release(-1), std::invalid_argument);
    EXPECT_THROW(semaphore.release(std::numeric_limits<std::ptrdiff_t>::max()), InvalidStateError);
    EXPECT_EQ(semaphore.available(), 4U);

    BoundedSemaphore bounded(2);
    EXPECT_THROW(bounded.release(), InvalidStateError);
    auto permit = co_await bounded.acquire();
    EXPECT_THROW(bounded.release(), InvalidStateError) << "the one that is held counts";
    permit.release();
    EXPECT_EQ(bounded.available(), 2U);
  }(*this));
}

TEST_F(SemaphoreTest, wrong_use_is_a_catchable_error) {
  EXPECT_THROW(Semaphore(-1), std::invalid_argument);
  EXPECT_THROW(BoundedSemaphore(-1), std::invalid_argument);
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore(1, "slots");
    auto permit = co_await semaphore.acquire();
    auto stranger = start([](Permit& p) -> Coro<void> {
      EXPECT_THROW(p.release(), InvalidStateError);
      EXPECT_THROW(p.transfer(current_task()), InvalidStateError);
      co_return;
    }(permit));
    EXPECT_THROW(permit.transfer(stranger), InvalidStateError) << "it is done";
    EXPECT_THROW(permit.transfer(TaskRef()), InvalidStateError);
    EXPECT_EQ(permit.owner(), current_task().get());
    permit.release();
    EXPECT_THROW(permit.release(), InvalidStateError);
    EXPECT_THROW(permit.transfer(current_task()), InvalidStateError);
    t.sim.loop.call_soon([&semaphore, &t] {
      EXPECT_THROW((void)semaphore.try_acquire(), InvalidStateError);
      t.order.push_back("handle");
    });
    co_await sleep(0);
  }(*this));
  EXPECT_EQ(order, Order{"handle"});
}

TEST_F(SemaphoreTest, a_second_acquire_by_the_sole_holder_is_a_deadlock) {
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(1, "slots");
    const auto permit = co_await semaphore.acquire();
    try {
      const auto again = co_await semaphore.acquire();
      ADD_FAILURE();
    } catch (const DeadlockError& error) {
      EXPECT_THAT(error.what(), HasSubstr("a permit of Semaphore 'slots' held by main"));
    }
    EXPECT_EQ(semaphore.waiter_count(), 0U);
    EXPECT_EQ(semaphore.holders().size(), 1U);
  }());
}

// ---- transfer ----

TEST_F(SemaphoreTest, a_transferred_permit_is_its_new_owners) {
  LogCapture log;
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore(1);
    auto permit = std::make_unique<Permit>(co_await semaphore.acquire());
    auto other = start([](SemaphoreTest& test, std::unique_ptr<Permit>& p) -> Coro<void> {
      co_await sleep(1ms);
      EXPECT_EQ(current_task().effective_priority(), -10);
      p.reset();
      EXPECT_EQ(current_task().effective_priority(), 10);
      test.order.emplace_back("given back");
    }(t, permit), 10);
    permit->transfer(other);
    EXPECT_EQ(permit->owner(), other.get());
    EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(other));
    EXPECT_THROW(permit->release(), InvalidStateError);
    auto waiter = start(hold(semaphore, t.order, "waiter"), -10);
    EXPECT_EQ(other.effective_priority(), -10);
    co_await waiter;
    co_await other;
  }(*this));
  EXPECT_EQ(order, (Order{"given back", "waiter"}));
  EXPECT_EQ(log.text(), "");
}

TEST_F(SemaphoreTest, a_transfer_to_oneself_changes_nothing) {
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore(1);
    auto permit = co_await semaphore.acquire();
    auto waiter = start(hold(semaphore, t.order, "waiter"), -10);
    permit.transfer(current_task());
    EXPECT_EQ(current_task().effective_priority(), -10);
    permit.release();
    co_await waiter;
  }(*this));
}

// ---- guards in the wrong hands, owners that die ----

TEST_F(SemaphoreTest, a_permit_destroyed_by_another_task_is_given_back_and_logged) {
  LogCapture log;
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore(1, "slots");
    std::optional<Permit> permit;
    auto owner = start(keep(semaphore, permit, 1s));
    auto waiter = start(hold(semaphore, t.order, "waiter"), -10);
    EXPECT_EQ(owner.effective_priority(), -10);
    permit.reset();
    EXPECT_EQ(owner.effective_priority(), 0);
    EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(waiter));
    co_await waiter;
    co_await owner;
  }(*this));
  EXPECT_EQ(order, Order{"waiter"});
  EXPECT_EQ(log.count("a guard of Semaphore 'slots' is destroyed by a task that does not own its share"), 1U);
}

Coro<void> expect_owner_died(Semaphore& semaphore, Order& order, std::string name) {
  try {
    const auto permit = co_await semaphore.acquire();
    order.push_back(name + " holds");
  } catch (const OwnerDied& error) {
    EXPECT_THAT(error.what(), HasSubstr("slots"));
    order.push_back(name + " OwnerDied");
  }
}

TEST_F(SemaphoreTest, tells_all_who_wait_that_the_sole_owner_died_and_is_free) {
  LogCapture log;
  std::optional<Permit> first;
  std::optional<Permit> second;
  sim.run([](SemaphoreTest& t, std::optional<Permit>& one, std::optional<Permit>& two) -> Coro<void> {
    Semaphore semaphore(2, "slots");
    auto owner = start([](Semaphore& s, std::optional<Permit>& p, std::optional<Permit>& q) -> Coro<void> {
      p.emplace(co_await s.acquire());
      q.emplace(co_await s.acquire());
      co_await sleep(1ms);
    }(semaphore, one, two), 0, "owner");
    start(expect_owner_died(semaphore, t.order, "low"), 10);
    start(expect_owner_died(semaphore, t.order, "high"), -10);
    EXPECT_EQ(owner.effective_priority(), -10);
    co_await owner;
    EXPECT_EQ(semaphore.available(), 2U);
    EXPECT_EQ(owner.effective_priority(), 0);
    co_await expect_owner_died(semaphore, t.order, "late");
    EXPECT_THROW(one->release(), InvalidStateError);
    EXPECT_THROW(one->transfer(current_task()), InvalidStateError);
    EXPECT_EQ(one->owner(), nullptr);
    co_await sleep(1ms);
  }(*this, first, second));
  first.reset();  // the semaphore has gone as well
  EXPECT_EQ(order, (Order{"high OwnerDied", "late holds", "low OwnerDied"}));
  EXPECT_EQ(log.count("owner ended while it held Semaphore 'slots'; 2 waiting tasks get OwnerDied"), 1U) << log.text();
}

TEST_F(SemaphoreTest, gives_a_dead_holders_permit_to_the_next_where_others_hold_some) {
  LogCapture log;
  std::optional<Permit> permit;
  sim.run([](SemaphoreTest& t, std::optional<Permit>& p) -> Coro<void> {
    Semaphore semaphore(2, "slots");
    std::optional<Permit> others;
    auto other = start(keep(semaphore, others, 10ms), 20);
    auto owner = start(keep(semaphore, p, 1ms), 0, "owner");
    auto high = start(expect_owner_died(semaphore, t.order, "high"), -10);
    auto low = start(expect_owner_died(semaphore, t.order, "low"), 10);
    co_await owner;
    EXPECT_THAT(semaphore.holders(), UnorderedElementsAre(other, low)) << "`high` has run";
    p.reset();
    co_await low;
    EXPECT_TRUE(high.done());
    EXPECT_EQ(semaphore.available(), 1U);
    EXPECT_FALSE(other.done());
    others.reset();
    EXPECT_EQ(semaphore.available(), 2U);
    co_await other;
  }(*this, permit));
  EXPECT_EQ(order, (Order{"high holds", "low holds"}));
  EXPECT_EQ(log.count("owner ended while it held Semaphore 'slots', as others do"), 1U) << log.text();
}

TEST_F(SemaphoreTest, one_that_is_free_gives_way_now_and_then) {
  sim.run([](SemaphoreTest& t) -> Coro<void> {
    Semaphore semaphore;
    bool stop = false;
    t.sim.driver.at(50us, [&stop] { stop = true; });
    const auto spinner = create_task([](SemaphoreTest& test, Semaphore& s, const bool& end) -> Coro<void> {
      for (int i = 0; i < 1000 && !end; ++i) {
        const Permit permit = co_await s.acquire();
        EXPECT_EQ(permit.owner(), current_task().get());
        test.sim.driver.advance(1us);
        test.order.emplace_back("step");
      }
    }(t, semaphore, stop));
    co_await spinner;
    EXPECT_TRUE(stop);
    EXPECT_LE(t.order.size(), 128U);
    EXPECT_EQ(semaphore.available(), 1U);
  }(*this));
}

Coro<void> use(Semaphore& semaphore) { const auto permit = co_await semaphore.acquire(); }

Coro<void> take_over(Semaphore& semaphore, std::optional<Permit>& given) {
  const auto permit = co_await semaphore.acquire();
  given.reset();
}

Coro<void> round_of_permits() {
  Semaphore semaphore(2);
  auto permit = co_await semaphore.acquire();
  std::optional<Permit> other(co_await semaphore.acquire());
  const auto waits = create_task(take_over(semaphore, other), {.priority = -1.0, .eager_start = true});
  const auto leaves = create_task(use(semaphore), {.priority = -2.0, .eager_start = true});
  other->transfer(waits);
  leaves.set_priority(1);
  permit.release();
  co_await waits;
  co_await leaves;
}

TEST_F(SemaphoreTest, allocates_nothing_in_steady_state) {
  sim.run([]() -> Coro<void> {
    for (int i = 0; i < 300; ++i) co_await round_of_permits();
    const std::size_t before = allocations();
    for (int i = 0; i < 300; ++i) co_await round_of_permits();
    EXPECT_EQ(allocations() - before, 0U);
  }());
}

}  // namespace
}  // namespace heirloop::testing
