// call_soon, call_later and call_at: handles that cancel, times, priorities, memory.
#include <heirloop/sched/scheduling.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <memory>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

auto note(Order& order, std::string what) {
  return [&order, what = std::move(what)] { order.push_back(what); };
}

LoopOptions strict() {
  LoopOptions options;
  options.policy = PolicyKind::strict;
  return options;
}

TEST(CallLater, runs_by_its_time_in_the_order_of_time) {
  Sim sim;
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    const auto now = loop_time();
    call_later(3ms, note(o, "3"));
    call_later(1ms, note(o, "1 a"));
    call_later(1ms, note(o, "1 b"));
    call_at(now + 2ms, note(o, "2"));
    call_at(now - 1h, note(o, "past"));
    call_later(0s, note(o, "zero"));
    call_later(-5s, note(o, "negative"));
    call_soon(note(o, "soon"));
    EXPECT_TRUE(o.empty()) << "never inside the caller";
    co_await sleep(2500us);
    EXPECT_EQ(o, (Order{"soon", "past", "zero", "negative", "1 a", "1 b", "2"}));
    co_await sleep(1ms);
    EXPECT_EQ(o.back(), "3");
    EXPECT_EQ(s.driver.now_ns(), 3'500'000);
  }(sim, order));
}

TEST(CallLater, is_a_step_of_its_own_that_no_task_runs_in) {
  Sim sim(strict());
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    const auto before = s.loop.dispatches();
    call_later(1ms, [&o] {
      EXPECT_THROW(current_task(), InvalidStateError);
      for (const TaskRef& task : all_tasks()) EXPECT_NE(task.state(), TaskState::running);
      o.push_back("handle");
    });
    create_task([](Order& out) -> Coro<void> {
      co_await sleep(1ms);
      out.push_back("urgent task");
    }(o), {.priority = priority::high});
    co_await sleep(2ms);
    EXPECT_EQ(o, (Order{"urgent task", "handle"})) << "the due handle waits for its turn like every other entry";
    EXPECT_EQ(s.loop.dispatches(), before + 4);
  }(sim, order));
}

TEST(CallLater, has_the_base_priority_of_its_creator_unless_given) {
  Sim sim(strict());
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    create_task([](Order& out) -> Coro<void> {
      call_later(1ms, note(out, "low's"));
      call_later(1ms, note(out, "low's, very urgent"), {.priority = -20});
      call_soon([&out] { call_later(1ms, note(out, "of a handle: normal")); });
      co_return;
    }(o), {.priority = priority::low});
    create_task([](Order& out) -> Coro<void> {
      call_at(loop_time() + 1ms, note(out, "high's"));
      call_soon(note(out, "high's, soon but when idle"), {.priority = priority::when_idle});
      co_return;
    }(o), {.priority = priority::high});
    EXPECT_THROW(call_soon([] {}, {.priority = std::nan("")}), std::invalid_argument);
    EXPECT_THROW(call_later(1ms, [] {}, {.priority = std::nan("")}), std::invalid_argument);
    EXPECT_THROW(call_later(std::chrono::duration<double>(std::nan("")), [] {}), std::invalid_argument);
    co_await sleep(1s);
  }(order));
  EXPECT_EQ(order, (Order{"high's, soon but when idle", "low's, very urgent", "high's", "of a handle: normal", "low's"}));
}

TEST(CallLater, stands_by_the_policy_that_rules_when_it_is_due) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    call_later(1ms, note(o, "low"), {.priority = priority::low});
    call_later(1ms, note(o, "high"), {.priority = priority::high});
    co_await sleep(0);
    set_policy(PolicyKind::fifo);
    co_await sleep(2ms);
    EXPECT_EQ(o, (Order{"low", "high"}));
    call_later(1ms, note(o, "low"), {.priority = priority::low});
    call_later(1ms, note(o, "high"), {.priority = priority::high});
    set_policy(PolicyKind::strict);
    co_await sleep(2ms);
    EXPECT_EQ(o, (Order{"low", "high", "high", "low"}));
  }(order));
}

TEST(CallLater, logs_an_exception_and_goes_on) {
  LogCapture log;
  Sim sim;
  sim.run([]() -> Coro<void> {
    const TimerHandle handle = call_later(1ms, [] { throw std::runtime_error("from the timer"); });
    co_await sleep(2ms);
    EXPECT_FALSE(handle.cancelled());
    EXPECT_FALSE(handle.cancel());
  }());
  EXPECT_EQ(log.count("a callback failed: "), 1U) << log.text();
  EXPECT_EQ(log.count("from the timer"), 1U);
}

TEST(CallLater, dates_when_it_is_asked_and_not_before) {
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    const Clock::time_point zero{};
    const TimerHandle asked = call_later(5ms, [] {});
    EXPECT_EQ(asked.when(), zero + 5ms);
    s.driver.advance(1ms);
    EXPECT_EQ(asked.when(), zero + 5ms);
    const TimerHandle later = call_later(5ms, [] {});
    co_await sleep(0);
    EXPECT_EQ(later.when(), zero + 6ms);
    co_await sleep(10ms);
    EXPECT_EQ(asked.when(), zero + 5ms) << "also when it has run";
    const TimerHandle at = call_at(zero + 50ms, [] {});
    EXPECT_EQ(at.when(), zero + 50ms);
    const TimerHandle dropped = call_later(1ms, [] {});
    EXPECT_TRUE(dropped.cancel());
    EXPECT_EQ(dropped.when(), zero + 12ms);
    const TimerHandle never = call_later(std::chrono::hours::max(), [] {});
    EXPECT_EQ(never.when(), Clock::time_point::max());
    EXPECT_TRUE(never.cancel());
    EXPECT_EQ(never.when(), Clock::time_point::max());
    EXPECT_THROW((void)TimerHandle().when(), InvalidStateError);
  }(sim));
}

// ---- cancel ----

TEST(CallHandle, cancels_what_waits_for_its_time) {
  Sim sim;
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    const TimerHandle undated = call_later(1ms, note(o, "undated"));
    EXPECT_FALSE(undated.cancelled());
    EXPECT_TRUE(undated.cancel());
    EXPECT_TRUE(undated.cancelled());
    EXPECT_FALSE(undated.cancel());
    const TimerHandle dated = call_later(1ms, note(o, "dated"));
    const TimerHandle kept = call_later(1ms, note(o, "kept"));
    co_await sleep(0);
    EXPECT_TRUE(dated.cancel());
    EXPECT_TRUE(dated.cancelled());
    EXPECT_EQ(s.loop.timers().size(), 1U);
    co_await sleep(2ms);
    EXPECT_FALSE(kept.cancelled());
    EXPECT_FALSE(kept.cancel()) << "it has run";
  }(sim, order));
  EXPECT_EQ(order, Order{"kept"});
}

TEST(CallHandle, cancels_between_becoming_ready_and_the_run) {
  Sim sim(strict());
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    const CallHandle soon = call_soon(note(o, "soon"));
    EXPECT_EQ(ready_queue().size(), 1U);
    EXPECT_TRUE(soon.cancel());
    EXPECT_EQ(ready_queue().size(), 0U);
    const CallHandle positional = ready_queue().call_pos(0, note(o, "positional"));
    EXPECT_TRUE(positional.cancel());
    EXPECT_TRUE(ready_queue().empty());

    const TimerHandle due = call_later(1ms, note(o, "due"), {.priority = priority::low});
    create_task([](Sim& t, const TimerHandle& h) -> Coro<void> {
      co_await sleep(1ms);
      EXPECT_EQ(ready_queue().size(), 1U) << "the timer has fired, the handle is ready";
      EXPECT_TRUE(h.cancel());
      EXPECT_TRUE(ready_queue().empty());
      t.loop.ready().check_invariants();
    }(s, due), {.priority = priority::high});
    co_await sleep(2ms);
    EXPECT_TRUE(due.cancelled());
  }(sim, order));
  EXPECT_EQ(order, Order{});
}

TEST(CallHandle, cancels_what_a_program_has_taken_out_of_the_queue) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const CallHandle handle = call_soon(note(o, "taken"));
    {
      const TakenEntry taken = ready_queue().pop();
      EXPECT_TRUE(handle.cancel());
      EXPECT_TRUE(handle.cancelled());
    }
    co_await sleep(1ms);
  }(order));
  EXPECT_EQ(order, Order{});
}

TEST(CallHandle, can_not_cancel_the_run_in_which_it_is_used) {
  Sim sim;
  int runs = 0;
  sim.run([](int& n) -> Coro<void> {
    CallHandle self;
    self = call_soon([&n, &self] {
      ++n;
      EXPECT_FALSE(self.cancel());
      EXPECT_FALSE(self.cancelled());
    });
    co_await sleep(0);
    EXPECT_FALSE(self.cancelled());
  }(runs));
  EXPECT_EQ(runs, 1);
}

TEST(CallHandle, is_copied_and_dropped_without_an_effect) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    call_soon(note(o, "nobody holds it"));
    CallHandle first = call_soon(note(o, "twice held"));
    CallHandle second = first;
    EXPECT_EQ(first, second);
    const CallHandle moved = std::move(first);
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(moved, second);
    second = {};
    EXPECT_THROW(second.cancel(), InvalidStateError);
    EXPECT_THROW((void)second.cancelled(), InvalidStateError);
    call_later(1ms, note(o, "nor the timer"));
    co_await sleep(2ms);
    EXPECT_FALSE(moved.cancel());
  }(order));
  EXPECT_EQ(order, (Order{"nobody holds it", "twice held", "nor the timer"}));
}

TEST(CallHandle, belongs_to_its_loop) {
  TimerHandle kept;
  TimerHandle asked;
  Sim sim;
  sim.run([](TimerHandle& k, TimerHandle& a) -> Coro<void> {
    k = call_later(1h, [] {});
    a = call_later(1h, [] {});
    co_return;
  }(kept, asked));
  EXPECT_THROW(kept.cancel(), InvalidStateError) << "outside the loop";
  EXPECT_THROW(call_soon([] {}), InvalidStateError);
  EXPECT_THROW(call_later(1s, [] {}), InvalidStateError);
  Sim other;
  other.run([](const TimerHandle& h) -> Coro<void> {
    EXPECT_THROW(h.cancel(), InvalidStateError);
    co_return;
  }(kept));
}

TEST(CallHandle, tells_that_the_loop_ended_before_the_run) {
  const auto held = std::make_shared<int>(1);
  TimerHandle later;
  CallHandle soon;
  {
    Sim sim;
    sim.run([](std::shared_ptr<int> p, TimerHandle& l, CallHandle& s) -> Coro<void> {
      l = call_later(1h, [p] {});
      call_later(1h, [p] {});
      co_await sleep(0);
      call_later(1h, [p] {});
      auto at_the_end = [p, &s] { s = call_soon([p] {}); };
      call_soon(std::move(at_the_end));  // runs, for it is there when the tasks have ended; what it makes does not
    }(held, later, soon));
    EXPECT_EQ(held.use_count(), 5);
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_TRUE(later.cancelled());
  EXPECT_TRUE(soon.cancelled());
  EXPECT_FALSE(later.cancel());
}

// ---- the callable ----

TEST(CallHandle, frees_the_callable_with_the_run_or_the_cancel_though_it_is_held) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto token = std::make_shared<int>(1);
    const CallHandle ran = call_soon([token] {});
    const CallHandle cancelled = call_soon([token] {});
    const TimerHandle timer = call_later(1h, [token, bulk = std::array<char, 100>{}] { (void)bulk; });
    EXPECT_EQ(token.use_count(), 4);
    cancelled.cancel();
    EXPECT_EQ(token.use_count(), 3);
    timer.cancel();
    EXPECT_EQ(token.use_count(), 2);
    co_await sleep(0);
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_FALSE(ran.cancelled());
  }());
}

TEST(CallHandle, may_be_held_by_its_own_callable_alone) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto token = std::make_shared<int>(1);
    auto cell = std::make_shared<CallHandle>();
    *cell = call_later(1h, [token, cell] {});
    const CallHandle* handle = cell.get();
    cell = nullptr;
    EXPECT_EQ(token.use_count(), 2);
    EXPECT_TRUE(handle->cancel());
    EXPECT_EQ(token.use_count(), 1);
    co_return;
  }());
}

TEST(CallHandle, gives_its_block_back_with_the_last_of_run_and_handles) {
  using detail::FramePool;
  Sim sim;
  sim.run([]() -> Coro<void> {
    for (const std::size_t size : {sizeof(Callback), sizeof(TimedCall)}) {
      // The pool gives the block that was freed last.
      void* block = FramePool::allocate(size);
      FramePool::deallocate(block, size);
      CallHandle handle = size == sizeof(Callback) ? call_soon([] {}) : CallHandle(call_later(0s, [] {}));
      co_await sleep(1ns);
      void* other = FramePool::allocate(size);
      EXPECT_NE(other, block) << "it has run, and is held";
      FramePool::deallocate(other, size);
      handle = {};
      void* again = FramePool::allocate(size);
      EXPECT_EQ(again, block);
      FramePool::deallocate(again, size);
    }
  }());
}

}  // namespace
}  // namespace heirloop::testing
