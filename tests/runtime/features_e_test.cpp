// The rows of table E of the features (interrupts), in its order: the names of its first two columns and each
// clause of the third, through the public headers. Every kind of wait in every state is in
// interrupt_everything_test.cpp, every moment of each in the stopped_*_test.cpp of sync, io and runtime.
#include <heirloop/heirloop.hpp>

#include "io/io_support.hpp"
#include "support/sim.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

std::chrono::nanoseconds now() { return loop_time().time_since_epoch(); }

Coro<void> note(Order& order, std::string what) {
  order.push_back(what);
  co_return;
}

/// Awaits `wait`, and says how that ended.
Coro<void> victim_of(Coro<void> wait, Order& order) {
  try {
    co_await wait;
    order.push_back("went on");
  } catch (const InterruptException& interrupt) {
    order.push_back(interrupt.message());
  } catch (const std::runtime_error& error) {
    order.push_back(error.what());
  } catch (const Cancelled& cancelled) {
    order.push_back("cancelled: " + cancelled.message());
  }
}
PriorityTask<void> start_victim(Coro<void> wait, Order& order) {
  return create_task(victim_of(std::move(wait), order), {.name = "victim", .eager_start = true});
}
Coro<void> sleep_long() { co_await sleep(1h); }

// ---- task_throw ----

TEST(FeaturesE, task_throw_makes_the_task_runnable_at_once_with_the_exception_pending) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto task = start_victim(sleep_long(), o);
    EXPECT_TRUE(task_is_blocked(task));
    create_task(note(o, "before it"));
    task_throw(task, std::runtime_error("thrown"));
    EXPECT_TRUE(task_is_runnable(task));
    EXPECT_EQ(o, Order()) << "pending, not raised";
    co_await task;
    EXPECT_EQ(now(), 0ms);
  }(order));
  EXPECT_EQ(order, (Order{"before it", "thrown"}));
}

TEST(FeaturesE, task_throw_replaces_one_that_is_undelivered) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto task = start_victim(sleep_long(), o);
    task_throw(task, InterruptException("first"));
    task_throw(task, std::make_exception_ptr(std::runtime_error("second")));
    co_await task;
  }(order));
  EXPECT_EQ(order, Order{"second"});
}

TEST(FeaturesE, task_throw_and_task_interrupt_refuse_the_finished_the_current_and_the_cancelled) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto refuse = [](TaskRef task) -> Coro<void> {
      EXPECT_THROW(task_throw(task, InterruptException("no")), InvalidStateError);
      EXPECT_THROW((void)co_await task_interrupt(task, InterruptException("no")), InvalidStateError);
    };
    const auto finished = create_task(note(o, "ran"));
    co_await finished;
    co_await refuse(finished);
    co_await refuse(current_task());
    const auto cancelled = start_victim(sleep_long(), o);
    cancelled.cancel("first");
    co_await refuse(cancelled);
    co_await cancelled;
  }(order));
  EXPECT_EQ(order, (Order{"ran", "cancelled: first"})) << "nothing has changed";
}

// ---- task_interrupt ----

TEST(FeaturesE, task_interrupt_returns_when_the_exception_has_been_raised_and_nothing_else_ran) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto stays = [](Order& out) -> Coro<void> {
      co_await victim_of(sleep_long(), out);
      co_await sleep_long();
    };
    const auto ends = start_victim(sleep_long(), o);
    const auto goes_on = create_task(stays(o), {.priority = priority::low, .eager_start = true});
    create_task(note(o, "others"), {.priority = priority::always_first});
    EXPECT_EQ(co_await task_interrupt(ends, std::runtime_error("one")), InterruptOutcome::ended);
    o.push_back("caller");
    EXPECT_EQ(co_await task_interrupt(goes_on, InterruptException("two")), InterruptOutcome::delivered);
    o.push_back("caller");
    EXPECT_TRUE(task_is_blocked(goes_on)) << "it has run since";
    co_await sleep(0);
  }(order));
  EXPECT_EQ(order, (Order{"one", "caller", "two", "caller", "others"}));
}

TEST(FeaturesE, task_interrupt_leaves_what_the_target_awaited_unharmed) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto inner = create_task([](Order& out) -> Coro<int> {
      co_await sleep(2ms);
      out.push_back("inner ended");
      co_return 7;
    }(o));
    Promise<int> promise;
    const auto awaits_task = [](PriorityTask<int> task) -> Coro<void> { co_await task; };
    const auto awaits_future = [](Future<int> future) -> Coro<void> { co_await future; };
    co_await task_interrupt(start_victim(awaits_task(inner), o), InterruptException("now"));
    co_await task_interrupt(start_victim(awaits_future(promise.future()), o), InterruptException("now"));
    EXPECT_EQ(inner.cancelling(), 0U);
    EXPECT_EQ(co_await inner, 7);
    EXPECT_FALSE(promise.cancelled());
    promise.set_value(8);
    EXPECT_EQ(co_await promise.future(), 8);
  }(order));
  EXPECT_EQ(order, (Order{"now", "now", "inner ended"}));
}

TEST(FeaturesE, task_interrupt_waits_where_the_target_must_first_get_back_what_its_wait_owes) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    PriorityLock lock;
    PriorityCondition changed(lock);
    const auto waits = [](PriorityLock& l, PriorityCondition& c) -> Coro<void> {
      auto held = co_await l.acquire();
      try {
        co_await c.wait();
      } catch (const InterruptException&) {
        EXPECT_TRUE(l.held_by_current_task());
        throw;
      }
    };
    const auto notifies = [](PriorityLock& l, PriorityCondition& c, Order& out) -> Coro<void> {
      auto held = co_await l.acquire();
      c.notify();  // from now on the victim waits for the lock alone
      co_await sleep(1ms);
      out.push_back("lock released");
    };
    const auto victim = start_victim(waits(lock, changed), o);
    create_task(notifies(lock, changed, o), {.eager_start = true});
    create_task(note(o, "others run"));
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("raised")), InterruptOutcome::ended);
    o.push_back("caller");
  }(order));
  EXPECT_EQ(order, (Order{"others run", "lock released", "raised", "caller"}));
}

// ---- InterruptException, TimeoutInterrupt, task_timeout ----

TEST(FeaturesE, task_timeout_raises_TimeoutInterrupt_inside_and_TimeoutError_outside) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto inner = create_task([]() -> Coro<int> { co_return co_await sleep(5ms, 7); }());
    const auto body = [&]() -> Coro<void> {
      try {
        co_await inner;
      } catch (const TimeoutInterrupt& interrupt) {
        const InterruptException& is_one = interrupt;
        o.push_back("inside: " + is_one.message());
        throw;
      }
    };
    EXPECT_THROW(co_await task_timeout(2ms, body), TimeoutError);
    EXPECT_EQ(now(), 2ms);
    EXPECT_EQ(co_await inner, 7) << "what the body awaited goes on";
  }(order));
  EXPECT_EQ(order, Order{"inside: a time limit has passed"});
}

TEST(FeaturesE, task_timeout_takes_none_for_no_limit) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto body = []() -> Coro<int> { co_return co_await sleep(24h * 365, 3); };
    EXPECT_EQ(co_await task_timeout(std::nullopt, body), 3);
    const auto sets_one = [](TimeLimit& limit) -> Coro<void> {
      EXPECT_EQ(limit.when(), std::nullopt);
      limit.reschedule(loop_time() + 1ms);
      co_await sleep(1h);
    };
    EXPECT_THROW(co_await task_timeout(std::nullopt, sets_one), TimeoutError);
  }());
}

TEST(FeaturesE, task_timeout_nests) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto nested = [&o](std::chrono::milliseconds outer, std::chrono::milliseconds inner) -> Coro<void> {
      const auto inner_block = [&]() -> Coro<void> {
        try {
          co_await task_timeout(inner, sleep_long);
        } catch (const TimeoutError&) {
          o.push_back("inner");
        }
        co_await sleep(5ms);
        o.push_back("inner block ended");
      };
      try {
        co_await task_timeout(outer, inner_block);
      } catch (const TimeoutError&) {
        o.push_back("outer");
      }
    };
    co_await nested(10ms, 2ms);
    co_await nested(2ms, 10ms);
    co_await nested(4ms, 2ms);
    co_await nested(3ms, 3ms);
  }(order));
  EXPECT_EQ(order, (Order{"inner", "inner block ended", "outer", "inner", "outer", "outer"}));
}

TEST(FeaturesE, task_timeout_and_cancellation_are_not_confused) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto limited = [&o](std::chrono::milliseconds span) -> Coro<void> {
      const auto body = [&o]() -> Coro<void> {
        try {
          co_await sleep(1h);
        } catch (const Cancelled& cancelled) {
          o.push_back("cancelled: " + cancelled.message());
          throw;
        } catch (const InterruptException&) {
          o.push_back("interrupted");
          EXPECT_EQ(current_task().cancelling(), 0U);
          throw;
        }
      };
      co_await task_timeout(span, body);
    };
    // A cancel that comes before the limit, and at its very time, is a cancel outside too.
    for (const auto span : {2ms, 1ms}) {
      const auto task = create_task(limited(span), {.eager_start = true});
      call_later(1ms, [task] { task.cancel("by hand"); }, {.priority = priority::always_first});
      EXPECT_THROW(co_await task, Cancelled);
      EXPECT_TRUE(task.cancelled());
    }
    // A limit is no cancel, and an interrupt by somebody else no limit.
    EXPECT_THROW(co_await limited(2ms), TimeoutError);
    const auto task = create_task(limited(2ms), {.eager_start = true});
    task_throw(task, InterruptException("by hand"));
    EXPECT_THROW(co_await task, InterruptException);
    EXPECT_FALSE(task.cancelled());
  }(order));
  EXPECT_EQ(order, (Order{"cancelled: by hand", "cancelled: by hand", "interrupted", "interrupted"}));
}

// ---- every task and every primitive can be interrupted ----

/// Lets a task begin `wait`, and interrupts it: it runs next, and the caller behind it, past everything that
/// is more urgent. Then the same by a throw.
template <class MakeWait>
Coro<void> interrupt_both_ways(MakeWait make_wait) {
  Order order;
  const auto victim = start_victim(make_wait(), order);
  EXPECT_TRUE(task_is_blocked(victim));
  create_task(note(order, "others"), {.priority = priority::always_first});
  EXPECT_EQ(co_await task_interrupt(victim, InterruptException("interrupted")), InterruptOutcome::ended);
  order.push_back("caller");
  co_await sleep(0);
  EXPECT_EQ(order, (Order{"interrupted", "caller", "others"}));
  const auto thrown_at = start_victim(make_wait(), order);
  EXPECT_TRUE(task_is_blocked(thrown_at));
  task_throw(thrown_at, std::runtime_error("thrown"));
  co_await thrown_at;
  EXPECT_EQ(order.back(), "thrown");
}

TEST(FeaturesE, interrupts_a_new_task_at_its_first_line) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto first = create_task(note(o, "never"));
    EXPECT_EQ(co_await task_interrupt(first, InterruptException("now")), InterruptOutcome::ended);
    EXPECT_THROW(co_await first, InterruptException);
    const auto second = create_task(note(o, "never"));
    task_throw(second, std::runtime_error("thrown"));
    EXPECT_THROW(co_await second, std::runtime_error);
  }(order));
  EXPECT_EQ(order, Order());
}

TEST(FeaturesE, interrupts_a_runnable_task) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto gives_way = []() -> Coro<void> { co_await sleep(0); };
    const auto acquires = [](PriorityLock& lock) -> Coro<void> { auto held = co_await lock.acquire(); };
    const auto ready = start_victim(gives_way(), o);
    EXPECT_TRUE(task_is_runnable(ready));
    co_await task_interrupt(ready, InterruptException("gave way"));
    PriorityLock lock;
    auto held = co_await lock.acquire();
    const auto elected = start_victim(acquires(lock), o);
    held.release();
    EXPECT_TRUE(task_is_runnable(elected));
    co_await task_interrupt(elected, InterruptException("elected"));
    EXPECT_FALSE(lock.locked()) << "what it was elected for goes on";
  }(order));
  EXPECT_EQ(order, (Order{"gave way", "elected"}));
}

TEST(FeaturesE, interrupts_a_task_in_a_lock) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    auto held = co_await lock.acquire();
    const auto acquires = [&]() -> Coro<void> { auto mine = co_await lock.acquire(); };
    co_await interrupt_both_ways(acquires);
    EXPECT_EQ(lock.waiter_count(), 0U);
    EXPECT_TRUE(lock.held_by_current_task());
    held.release();
    EXPECT_FALSE(lock.locked());
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_condition) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    PriorityLock lock;
    PriorityCondition condition(lock);
    const auto waits = [&]() -> Coro<void> {
      auto held = co_await lock.acquire();
      try {
        co_await condition.wait();
      } catch (...) {
        EXPECT_TRUE(lock.held_by_current_task());
        throw;
      }
    };
    co_await interrupt_both_ways(waits);
    EXPECT_EQ(condition.waiter_count(), 0U);
    EXPECT_FALSE(lock.locked());
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_semaphore) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Semaphore semaphore(1);
    auto permit = co_await semaphore.acquire();
    const auto acquires = [&]() -> Coro<void> { auto mine = co_await semaphore.acquire(); };
    co_await interrupt_both_ways(acquires);
    permit.release();
    EXPECT_EQ(semaphore.available(), 1U);
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_queue) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Queue<int> queue(1);
    const auto gets = [&]() -> Coro<void> { co_await queue.get(); };
    const auto puts = [&]() -> Coro<void> { co_await queue.put(2); };
    co_await interrupt_both_ways(gets);
    co_await queue.put(1);
    co_await interrupt_both_ways(puts);
    EXPECT_EQ(co_await queue.get(), 1);
    EXPECT_TRUE(queue.empty()) << "no item is lost, and none came twice";
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_sleep) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    co_await interrupt_both_ways(sleep_long);
    EXPECT_EQ(now(), 0ms);
  }());
  EXPECT_EQ(sim.driver.now_ns(), 0) << "no timer is left";
}

TEST(FeaturesE, interrupts_a_task_in_another_task) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto other = create_task([]() -> Coro<int> { co_return co_await sleep(1ms, 5); }());
    const auto awaits = [&]() -> Coro<void> { co_await other; };
    co_await interrupt_both_ways(awaits);
    EXPECT_EQ(co_await other, 5);
  }());
}

TEST(FeaturesE, interrupts_a_task_in_an_accept) {
  run([]() -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    const auto accepts = [&]() -> Coro<void> { co_await listener.accept(); };
    co_await interrupt_both_ways(accepts);
    const TcpStream client = co_await TcpStream::connect("127.0.0.1", listener.local_port());
    const TcpStream server = co_await listener.accept();
    EXPECT_EQ(server.peer_address().port(), client.local_address().port()) << "no connection is lost";
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_read) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    const auto reads = [&]() -> Coro<void> { co_await pair.server.read_line(); };
    co_await pair.client.write("half a ");
    EXPECT_TRUE(co_await pair.server.fill());
    co_await interrupt_both_ways(reads);
    co_await pair.client.write("line\n");
    EXPECT_EQ(co_await pair.server.read_line(), "half a line") << "no byte is lost";
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_write) {
  run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    constexpr std::size_t size = 8 << 20;
    std::uint64_t written = 0;
    const auto writes = [&]() -> Coro<void> {
      const std::uint64_t at = std::exchange(written, written + size);
      co_await pair.client.write(numbered_bytes(at, size));
    };
    co_await interrupt_both_ways(writes);
    const auto end = create_task(pair.client.shutdown_write());
    std::uint64_t received = 0;
    bool wrong = false;
    while (co_await pair.server.fill()) {
      for (const char byte : pair.server.unread()) wrong |= byte != numbered_byte(received++);
      pair.server.consume(pair.server.unread().size());
    }
    EXPECT_FALSE(wrong);
    EXPECT_EQ(received, 2 * size) << "what began goes out whole";
    co_await end;
  }());
}

TEST(FeaturesE, interrupts_a_task_in_a_file_operation_as_that_has_ended) {
  std::string path = (std::filesystem::temp_directory_path() / "heirloop-XXXXXX").string();
  ::close(::mkstemp(path.data()));
  Order order;
  run([](const std::string& at, Order& o) -> Coro<void> {
    File file = co_await File::open(at, O_WRONLY | O_APPEND);
    const std::string block(300'000, 'x');
    const auto appends = [&]() -> Coro<void> { co_await file.append(block); };
    const auto victim = start_victim(appends(), o);
    EXPECT_TRUE(task_is_blocked(victim));
    EXPECT_EQ(co_await task_interrupt(victim, InterruptException("interrupted")), InterruptOutcome::ended);
    const std::uint64_t size = co_await file.size();
    EXPECT_TRUE(size == 0 || size == block.size()) << "what began is done whole: " << size;
  }(path, order));
  EXPECT_EQ(order, Order{"interrupted"});
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace heirloop::testing
