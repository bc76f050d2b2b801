// Cases that a reader found: guards that outlive their owners, cancels that meet groups and time limits, waits that are
// awaited again.
#include <heirloop/heirloop.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<void> fails() {
  throw std::runtime_error("x");
  co_return;
}

Coro<void> cancelled_before_its_group(bool& went_on) {
  current_task().cancel("mine");
  const auto body = [](TaskGroup& group) -> Coro<void> {
    group.create_task(fails(), {.eager_start = true});
    co_return;
  };
  try {
    co_await with_task_group(body);
  } catch (const ExceptionGroup&) {
  }
  co_await sleep(1ms);
  went_on = true;
}

TEST(OwnCancel, leaves_alone_a_cancel_that_was_undelivered_as_its_block_began) {
  Sim sim;
  bool went_on = false;
  sim.run([](bool& flag) -> Coro<void> {
    const auto task = create_task(cancelled_before_its_group(flag));
    while (!task.done()) co_await sleep(1ms);
    EXPECT_TRUE(task.cancelled());
  }(went_on));
  EXPECT_FALSE(went_on);
}

Coro<void> cancelled_before_its_limit(std::string& how) {
  current_task().cancel("mine");
  const auto body = []() -> Coro<void> { co_await sleep(0); };
  try {
    co_await timeout(0ns, body);
  } catch (const TimeoutError&) {
    how = "TimeoutError";
  } catch (const Cancelled&) {
    how = "Cancelled";
  }
}

TEST(Timeout, lets_an_undelivered_cancel_through) {
  Sim sim;
  std::string how;
  sim.run([](std::string& ending) -> Coro<void> { co_await create_task(cancelled_before_its_limit(ending)); }(how));
  EXPECT_EQ(how, "Cancelled");
}

Coro<void> starts_one_that_fails(TaskGroup& group) {
  group.create_task(fails(), {.eager_start = true});
  co_await sleep(1h);
}

TEST(TaskGroup, cancels_also_the_child_in_whose_eager_part_it_failed) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto began = loop_time();
    const auto body = [](TaskGroup& group) -> Coro<void> {
      group.create_task(starts_one_that_fails(group), {.eager_start = true});
      co_await sleep(10s);
    };
    try {
      co_await with_task_group(body);
      ADD_FAILURE();
    } catch (const ExceptionGroup&) {
    }
    EXPECT_LT(loop_time() - began, 1s);
  }());
}

Coro<void> fails_as_it_cleans_up() {
  try {
    co_await sleep(1h);
  } catch (const Cancelled&) {
  }
  throw std::runtime_error("clean-up");
}

TEST(TaskGroup, a_failure_after_its_cancel_ends_the_body) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto began = loop_time();
    const auto body = [](TaskGroup& group) -> Coro<void> {
      group.create_task(fails_as_it_cleans_up());
      co_await sleep(0);
      group.cancel();
      co_await sleep(1h);
    };
    try {
      co_await with_task_group(body);
      ADD_FAILURE();
    } catch (const ExceptionGroup&) {
    }
    EXPECT_LT(loop_time() - began, 1s);
    EXPECT_EQ(current_task().cancelling(), 0U);
  }());
}

TEST(TaskGroup, holds_a_failure_once_that_the_body_saw_too) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto body = [](TaskGroup& group) -> Coro<void> {
      const auto task = group.create_task(fails(), {.eager_start = true});
      co_await task;
    };
    std::size_t count = 0;
    try {
      co_await with_task_group(body);
    } catch (const ExceptionGroup& error) {
      count = error.exceptions().size();
    }
    EXPECT_EQ(count, 1U);
  }());
}

struct OwnGroup {
  PriorityTask<void> task;

  Coro<void> fails_later() {
    co_await sleep(1ms);
    throw std::runtime_error("x");
  }
  Coro<void> waits_for_owner() { co_await task; }
  Coro<void> run() {
    const auto body = [this](TaskGroup& group) -> Coro<void> {
      group.create_task(fails_later());
      group.create_task(waits_for_owner());
      co_await sleep(1h);
    };
    std::size_t count = 0;
    try {
      co_await with_task_group(std::cref(body));
    } catch (const ExceptionGroup& error) {
      count = error.exceptions().size();
    }
    EXPECT_EQ(count, 1U);
    EXPECT_EQ(current_task().cancelling(), 0U) << "nobody outside has cancelled it";
  }
};

TEST(TaskGroup, its_own_cancel_does_not_come_back_to_its_owner) {
  Sim sim;
  OwnGroup own;
  sim.run([](OwnGroup& o) -> Coro<void> {
    o.task = create_task(o.run());
    while (!o.task.done()) co_await sleep(1ms);
    EXPECT_EQ(o.task.exception(), nullptr);
  }(own));
  own.task = {};
}

TEST(Channel, receives_from_a_closed_rendezvous_give_way_now_and_then) {
  for (const bool by_select : {false, true}) {
    Sim sim;
    sim.run([](bool selects) -> Coro<void> {
      Channel<int> channel(0);
      Channel<int> other(1);
      channel.close();
      bool stop = false;
      const auto sets = [](bool& flag) -> Coro<void> {
        flag = true;
        co_return;
      };
      const auto task = create_task(sets(stop), {.priority = priority::high});
      int count = 0;
      for (; !stop && count < 1000; ++count) {
        if (selects) {
          [[maybe_unused]] const auto which = co_await select(channel.receive(), other.receive());
        } else {
          [[maybe_unused]] const auto item = co_await channel.receive();
        }
      }
      EXPECT_LE(count, 64);
      co_await task;
    }(by_select));
  }
}

Coro<void> take_both(PriorityLock& first, PriorityLock& second) {
  const LockGuard one = co_await first.acquire();
  co_await sleep(1ms);
  const LockGuard two = co_await second.acquire();
}

TEST(Deadlock, is_not_ended_by_a_limit_that_never_passes) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock a("a");
    PriorityLock b("b");
    const auto limited = [](PriorityLock& first, PriorityLock& second) -> Coro<void> {
      const auto body = [&]() -> Coro<void> { co_await take_both(first, second); };
      co_await timeout(std::chrono::nanoseconds::max(), std::cref(body));
    };
    const auto one = create_task(limited(a, b));
    const auto two = create_task(take_both(b, a));
    co_await sleep(5ms);
    EXPECT_TRUE(one.done() && two.done());
    EXPECT_EQ(Loop::current().deadlocks(), 1U);
    EXPECT_NE(one.exception() == nullptr, two.exception() == nullptr);
  }());
}

Coro<void> limited_victim(PriorityLock& lock, std::string& how) {
  const auto body = [&]() -> Coro<void> {
    try {
      co_await sleep(1h);
    } catch (const std::runtime_error&) {
    }
    const LockGuard held = co_await lock.acquire();
  };
  try {
    co_await timeout(1ms, std::cref(body));
  } catch (const TimeoutError&) {
    how = "TimeoutError";
  } catch (const DeadlockError&) {
    how = "DeadlockError";
  }
}

TEST(Deadlock, is_ended_by_a_limit_that_waits_for_a_throw) {
  Sim sim;
  std::string how;
  sim.run([](Sim& s, std::string& ending) -> Coro<void> {
    PriorityLock lock("l");
    const LockGuard held = co_await lock.acquire();
    const auto victim = create_task(limited_victim(lock, ending));
    co_await sleep(0);
    co_await sleep(0);
    task_throw(victim, std::runtime_error("x"));
    s.driver.advance(2ms);
    co_await victim;
  }(sim, how));
  EXPECT_EQ(how, "TimeoutError");
}

Coro<void> leak(PriorityLock& lock, std::optional<LockGuard>& kept) { kept.emplace(co_await lock.acquire()); }

TEST(LockGuard, of_a_task_that_ended_lets_the_new_owner_be) {
  const LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock("l");
    std::optional<LockGuard> kept;
    co_await create_task(leak(lock, kept));  // its block is used again for the next task
    EXPECT_FALSE(*kept);
    bool held = false;
    const auto hold = [](PriorityLock& l, bool& still) -> Coro<void> {
      const LockGuard mine = co_await l.acquire();
      co_await sleep(1ms);
      still = l.held_by_current_task();
    };
    const auto owner = create_task(hold(lock, held));
    co_await sleep(0);
    EXPECT_THROW(kept->release(), InvalidStateError);
    kept.reset();
    co_await owner;
    EXPECT_TRUE(held);
  }());
}

TEST(Shared, gives_no_value_to_a_guard_whose_owner_has_ended) {
  const LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    Shared<int> shared(1);
    std::optional<Shared<int>::Guard> kept;
    const auto take = [](Shared<int>& from, std::optional<Shared<int>::Guard>& into) -> Coro<void> {
      into.emplace(co_await from.lock());
    };
    co_await create_task(take(shared, kept));
    {
      auto mine = co_await shared.lock();
      EXPECT_THROW(**kept = 7, InvalidStateError);
      EXPECT_EQ(*mine, 1);
    }
    kept.reset();
  }());
}

}  // namespace
}  // namespace heirloop::testing
