// Timers: order of deadlines, undated ones, removal, and what sleeping tasks see of them.
#include <heirloop/sched/timer.hpp>

#include "support/property.hpp"
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <map>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

struct TestTimer : Timer {
  explicit TestTimer(std::vector<TestTimer*>& fired_list) : Timer(fire), fired(fired_list) {}
  static void fire(Timer& timer) noexcept {
    auto& self = static_cast<TestTimer&>(timer);
    self.fired.push_back(&self);
  }
  std::vector<TestTimer*>& fired;
};

struct Op {
  std::uint8_t act = 0;
  std::uint8_t a = 0;
  std::uint8_t b = 0;
};
std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << int{op.act} << '(' << int{op.a} << ',' << int{op.b} << ')';
}

/// Dated and undated, set and removed, fired at random times: in order of (deadline, order of dating), never
/// early.
TEST(TimerQueueTest, equals_a_sorted_list) {
  check_property(2000, 200, [] {
    std::vector<TestTimer*> fired;
    std::deque<TestTimer> timers;
    for (int i = 0; i < 20; ++i) timers.emplace_back(fired);
    TimerQueue queue;
    std::map<TestTimer*, std::int64_t> undated;
    std::vector<TestTimer*> undated_order;
    std::multimap<std::int64_t, TestTimer*> dated;  // equal deadlines in order of dating
    std::int64_t now_ns = 100;
    const auto forget = [&](TestTimer* t) {
      undated.erase(t);
      std::erase(undated_order, t);
      std::erase_if(dated, [&](const auto& d) { return d.second == t; });
    };
    const auto ops = *rc::gen::container<std::vector<Op>>(
        rc::gen::construct<Op>(rc::gen::arbitrary<std::uint8_t>(), rc::gen::arbitrary<std::uint8_t>(),
                               rc::gen::arbitrary<std::uint8_t>()));
    for (const Op& op : ops) {
      TestTimer& timer = timers[op.a % timers.size()];
      switch (op.act % 8) {
        case 0:
        case 1:
          if (timer.is_set()) break;
          queue.set_after(timer, op.b % 16);
          undated[&timer] = op.b % 16;
          undated_order.push_back(&timer);
          break;
        case 2:
        case 3:
          if (timer.is_set()) break;
          queue.set_at(timer, now_ns + op.b % 16 - 4);
          dated.emplace(now_ns + op.b % 16 - 4, &timer);
          break;
        case 4:
          queue.remove(timer);
          forget(&timer);
          break;
        case 5:
          if (!timer.is_set()) break;
          queue.remove(timer);
          queue.set_at(timer, TimerQueue::never);
          forget(&timer);
          dated.emplace(TimerQueue::never, &timer);
          break;
        default: {
          now_ns += op.b % 8;
          queue.date_all(now_ns);
          for (TestTimer* t : undated_order) dated.emplace(now_ns + undated[t], t);
          undated.clear();
          undated_order.clear();
          std::vector<TestTimer*> expected;
          std::erase_if(dated, [&](const auto& d) {
            if (d.first > now_ns) return false;
            expected.push_back(d.second);
            return true;
          });
          fired.clear();
          queue.fire_due(now_ns);
          RC_ASSERT(fired == expected);
        }
      }
      RC_ASSERT(queue.size() == dated.size());
      RC_ASSERT(queue.has_undated() == !undated.empty());
      RC_ASSERT(queue.empty() == (dated.empty() && undated.empty()));
      std::int64_t next = TimerQueue::never;
      if (!dated.empty()) next = dated.begin()->first;
      RC_ASSERT(queue.next_deadline() == next);
    }
    for (TestTimer& timer : timers) queue.remove(timer);
    RC_ASSERT(queue.empty());
  });
}

TEST(TimerQueueTest, a_span_that_would_overflow_is_never) {
  std::vector<TestTimer*> fired;
  TestTimer timer(fired);
  TimerQueue queue;
  queue.set_after(timer, TimerQueue::never);
  queue.date_all(1000);
  EXPECT_EQ(queue.next_deadline(), TimerQueue::never);
  queue.fire_due(TimerQueue::never);
  EXPECT_TRUE(fired.empty());
  queue.remove(timer);
}

// ---- sleep ----

Coro<void> sleep_noting(std::chrono::nanoseconds span, Order& order, std::string name) {
  const auto before = Loop::current().driver().now_ns();
  co_await sleep(span);
  EXPECT_GE(Loop::current().driver().now_ns(), before + span.count()) << name << " came early";
  order.push_back(name);
}

TEST(Sleep, is_never_early_though_the_clock_moves_inside_a_step) {
  Sim sim;
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    create_task(sleep_noting(5ms, o, "a"), {.eager_start = true});
    s.driver.advance(3ms);
    create_task(sleep_noting(5ms, o, "b"), {.eager_start = true});
    co_await sleep(20ms);
  }(sim, order));
  // Both are dated when the step has ended.
  EXPECT_EQ(order, (Order{"a", "b"}));
}

TEST(Sleep, of_equal_deadlines_ends_in_order_of_setting) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    for (const char* name : {"a", "b", "c"}) create_task(sleep_noting(1ms, o, name), {.eager_start = true});
    co_await sleep(2ms);
  }(order));
  EXPECT_EQ(order, (Order{"a", "b", "c"}));
}

TEST(Sleep, takes_every_kind_of_span) {
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    auto elapsed = [&, start = s.driver.now_ns()]() mutable {
      return s.driver.now_ns() - std::exchange(start, s.driver.now_ns());
    };
    co_await sleep(0);
    EXPECT_EQ(elapsed(), 0);
    co_await sleep(-5s);
    EXPECT_EQ(elapsed(), 0);
    co_await sleep(1.5us);
    EXPECT_EQ(elapsed(), 1500);
    co_await sleep(std::chrono::duration<double, std::nano>(0.25));
    EXPECT_EQ(elapsed(), 1) << "never early: rounded up";
    co_await sleep(std::chrono::duration<int, std::pico>(1500));
    EXPECT_EQ(elapsed(), 2) << "never early: rounded up";
    co_await sleep_until(loop_time() + 3ms);
    EXPECT_EQ(elapsed(), 3'000'000);
    co_await sleep_until(loop_time() - 3ms);
    EXPECT_EQ(elapsed(), 0);
    co_await sleep(2h);
    EXPECT_EQ(elapsed(), 7'200'000'000'000);
    EXPECT_THROW((void)sleep(std::chrono::duration<double>(std::nan(""))), std::invalid_argument);
    EXPECT_THROW((void)sleep(5), std::invalid_argument);
    for (const bool infinite : {false, true}) {
      auto for_ever = create_task(
          [](bool inf) -> Coro<void> {
            if (inf) co_await sleep(std::chrono::duration<double>(std::numeric_limits<double>::infinity()));
            co_await sleep(std::chrono::hours::max());
          }(infinite),
          {.eager_start = true});
      co_await sleep(24h * 365);
      EXPECT_FALSE(for_ever.done());
      for_ever.cancel();
    }
  }(sim));
}

TEST(Sleep, for_ever_with_nothing_else_is_a_stall_and_said_so) {
  SimDriver driver;
  Loop loop(driver, {});
  auto task = loop.create_task([]() -> Coro<void> { co_await sleep(std::chrono::hours::max()); }());
  EXPECT_THROW(loop.run_until_done(task), Stalled);
  loop.finish();
  EXPECT_TRUE(task.cancelled());
}

}  // namespace
}  // namespace heirloop::testing
