// Deadlocks through mixed waits: found as the last edge closes, reported, and the rest goes on.
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/rw_lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// A ring of tasks, each of which holds something and waits for the next one: for its lock, for its write lock, for its
/// share of a read lock, for its end, or for the end of a group in which it is.
class Ring {
 public:
  Ring(std::size_t n, std::size_t first_kind) : n_(n), first_kind_(first_kind), locks_(n), rw_locks_(n), tasks_(n) {}

  Coro<void> run() {
    for (std::size_t i = 0; i < n_; ++i) {
      tasks_[i] = create_task(member(i), {.name = "member " + std::to_string(i)});
      co_await sleep(0);
    }
    const auto bystander = [](int& count) -> Coro<void> {
      for (; count < 5; ++count) co_await sleep(1ms);
    };
    co_await create_task(bystander(bystander_));
    for (std::size_t i = 0; i < n_; ++i) {
      while (!tasks_[i].done()) co_await sleep(1ms);
      EXPECT_TRUE(tasks_[i].cancelled() || tasks_[i].exception() == nullptr);
    }
    EXPECT_EQ(bystander_, 5);
  }

  std::vector<std::string> reports;

 private:
  enum class Kind { lock, write, read, join, group, kinds };
  Kind kind(std::size_t i) const {
    return static_cast<Kind>((i + first_kind_) % static_cast<std::size_t>(Kind::kinds));
  }

  /// Holds what the member before waits for.
  Coro<void> member(std::size_t i) {
    auto lock = co_await locks_[i].acquire();
    std::optional<ReadGuard> shared;
    if (kind((i + n_ - 1) % n_) == Kind::write) shared.emplace(co_await rw_locks_[i].read());
    std::optional<WriteGuard> owned;
    if (kind((i + n_ - 1) % n_) == Kind::read) owned.emplace(co_await rw_locks_[i].write());
    co_await sleep(1ms);
    if (i == n_ - 1) co_await sleep(1ms);  // closes the ring
    try {
      co_await wait_for_next(i);
    } catch (const DeadlockError& error) {
      reports.emplace_back(error.what());
    }
  }

  Coro<void> wait_for_next(std::size_t i) {
    const std::size_t next = (i + 1) % n_;
    switch (kind(i)) {
      case Kind::lock: {
        auto got = co_await locks_[next].acquire();
        break;
      }
      case Kind::write: {
        auto got = co_await rw_locks_[next].write();
        break;
      }
      case Kind::read: {
        auto got = co_await rw_locks_[next].read();
        break;
      }
      case Kind::join:
        co_await tasks_[next];
        break;
      default:
        co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
          const auto child = [](PriorityTask<void> task) -> Coro<void> { co_await task; };
          group.create_task(child(tasks_[next]), {.eager_start = true});
          co_return;
        });
    }
  }

  std::size_t n_;
  std::size_t first_kind_;
  std::deque<PriorityLock> locks_;
  std::deque<RWLock> rw_locks_;
  std::vector<PriorityTask<void>> tasks_;
  int bystander_ = 0;
};

TEST(Deadlock, in_a_ring_of_mixed_waits_is_reported_once_and_the_rest_goes_on) {
  for (const std::size_t n : {2U, 3U, 64U}) {
    for (std::size_t first = 0; first < 5; ++first) {
      SCOPED_TRACE(std::to_string(n) + " tasks, first kind " + std::to_string(first));
      const LogCapture log;
      Sim sim;
      Ring ring(n, first);
      sim.run(ring.run());
      ASSERT_EQ(ring.reports.size(), 1U);
      EXPECT_EQ(sim.loop.deadlocks(), 1U);
      for (std::size_t i = 0; i < n; ++i) {
        EXPECT_THAT(ring.reports[0], HasSubstr("member " + std::to_string(i)));
      }
      EXPECT_THAT(ring.reports[0], HasSubstr("deadlock_test.cpp:"));
      EXPECT_THAT(ring.reports[0], HasSubstr("which holds an unnamed "));
    }
  }
}

Coro<void> hold_and_want(PriorityLock& own, PriorityLock& wanted, std::chrono::milliseconds span) {
  auto held = co_await own.acquire();
  co_await sleep(span);
  auto both = co_await wanted.acquire();
}

TEST(Deadlock, is_only_logged_when_asked_so) {
  const LogCapture log;
  Sim sim({.deadlocks = Deadlocks::log});
  sim.run([](Sim& s) -> Coro<void> {
    PriorityLock a("a");
    PriorityLock b("b");
    const auto x = create_task(hold_and_want(a, b, 1ms), {.name = "x", .priority = 3});
    const auto y = create_task(hold_and_want(b, a, 2ms), {.name = "y", .priority = 4});
    co_await sleep(5ms);
    EXPECT_EQ(s.loop.deadlocks(), 1U);
    EXPECT_TRUE(task_is_blocked(x));
    EXPECT_TRUE(task_is_blocked(y));
    EXPECT_EQ(y.effective_priority(), 3.0);
    x.set_priority(8);  // nobody holds the other up for ever
    EXPECT_EQ(x.effective_priority(), 4.0);
    EXPECT_EQ(y.effective_priority(), 4.0);
    x.cancel();
    co_await y;
  }(sim));
  EXPECT_EQ(log.count("error: waiting would never end"), 1U) << log.text();
}

TEST(Deadlock, is_not_looked_for_when_off) {
  const LogCapture log;
  Sim sim({.deadlocks = Deadlocks::off});
  sim.run([](Sim& s) -> Coro<void> {
    PriorityLock a("a");
    PriorityLock b("b");
    const auto x = create_task(hold_and_want(a, b, 1ms));
    const auto y = create_task(hold_and_want(b, a, 2ms));
    co_await sleep(5ms);
    EXPECT_EQ(s.loop.deadlocks(), 0U);
    EXPECT_TRUE(task_is_blocked(x) && task_is_blocked(y));
    y.cancel();
    co_await x;
  }(sim));
  EXPECT_EQ(log.text(), "");
}

}  // namespace
}  // namespace heirloop::testing
