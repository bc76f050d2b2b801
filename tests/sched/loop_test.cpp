// The turn of the loop: completions between every two steps, urgent entries after one step, checkpoints,
// ticks, replay.
#include "support/property.hpp"
#include "support/sim.hpp"
#include "support/watched_driver.hpp"

#include <gtest/gtest.h>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

Coro<void> note(Order& order, std::string name) {
  order.push_back(std::move(name));
  co_return;
}

/// Steps of 50 µs, each giving way, until it is told to stop.
Coro<void> busy(SimDriver& driver, const bool& stop, int& steps) {
  while (!stop) {
    driver.advance(50us);
    ++steps;
    co_await sleep(0);
  }
}

TEST(LoopTest, looks_for_completions_between_every_two_steps) {
  int looks = 0;
  WatchedDriver driver([&looks] { ++looks; });
  Loop loop(driver, {});
  run_to_end(loop, []() -> Coro<void> {
    for (int i = 0; i < 100; ++i) co_await sleep(0);
  }());
  EXPECT_EQ(static_cast<std::uint64_t>(looks), loop.dispatches());
}

/// Promise 1: what comes first by the policy runs after at most one step of another, however many are ready.
TEST(LoopTest, runs_what_an_event_made_urgent_after_at_most_one_step) {
  for (const PolicyKind policy : {PolicyKind::strict, PolicyKind::aging}) {
    LoopOptions options;
    options.policy = policy;
    Sim sim(options);
    bool stop = false;
    int steps = 0;
    std::vector<int> at;
    for (int i = 1; i <= 20; ++i) {
      sim.driver.at(i * 730us, [&sim, &steps, &at] {
        const int appointed = steps;
        sim.loop.create_task(
            [](int& s, int since, std::vector<int>& out) -> Coro<void> {
              out.push_back(s - since);
              co_return;
            }(steps, appointed, at),
            {.priority = priority::high});
      });
    }
    sim.run([](Sim& s, bool& end, int& n) -> Coro<void> {
      for (int i = 0; i < 100; ++i) create_task(busy(s.driver, end, n), {.priority = priority::low});
      co_await sleep(20ms);
      end = true;
    }(sim, stop, steps));
    EXPECT_EQ(at, std::vector<int>(20, 0)) << "the event comes between two steps, and its task runs next";
  }
}

/// What an event makes ready after a long sleep is ready since the event, not since the sleep began.
TEST(LoopTest, what_an_event_makes_ready_is_ready_now_also_after_a_long_sleep) {
  Sim sim;
  std::int64_t ran_ns = 0;
  sim.driver.at(5s, [&] {
    for (int i = 0; i < 100; ++i) {
      sim.loop.create_task([](SimDriver& driver) -> Coro<void> {
        driver.advance(1ms);
        co_await sleep(0);
        driver.advance(1ms);
      }(sim.driver), {.priority = priority::low});
    }
  });
  sim.driver.at(5000500us, [&] {
    sim.loop.create_task([](SimDriver& driver, std::int64_t& ran) -> Coro<void> {
      ran = driver.now_ns();
      co_return;
    }(sim.driver, ran_ns), {.priority = priority::high});
  });
  sim.run([]() -> Coro<void> { co_await sleep(20s); }());
  EXPECT_EQ(ran_ns, 5'001'000'000);
}

TEST(LoopTest, a_timer_is_late_by_one_step_at_most) {
  Sim sim;
  bool stop = false;
  int steps = 0;
  std::int64_t woke_ns = 0;
  sim.run([](Sim& s, bool& end, int& n, std::int64_t& woke) -> Coro<void> {
    for (int i = 0; i < 100; ++i) create_task(busy(s.driver, end, n), {.priority = priority::low});
    auto urgent = create_task(
        [](Sim& t, std::int64_t& at) -> Coro<void> {
          const auto start = t.driver.now_ns();
          co_await sleep(1ms);
          at = t.driver.now_ns() - start;
        }(s, woke),
        {.priority = priority::high, .eager_start = true});
    co_await urgent;
    end = true;
  }(sim, stop, steps, woke_ns));
  EXPECT_GE(woke_ns, 1'000'000);
  EXPECT_LE(woke_ns, 1'150'000) << "one step and the smallest tick";
}

// ---- checkpoint ----

TEST(Checkpoint, goes_on_when_there_is_no_reason_to_stop) {
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    const auto before = s.loop.dispatches();
    for (int i = 0; i < 1000; ++i) {
      EXPECT_FALSE(should_yield());
      co_await checkpoint();
    }
    EXPECT_EQ(s.loop.dispatches(), before);
  }(sim));
}

TEST(Checkpoint, gives_way_to_what_precedes_the_task_and_to_nothing_else) {
  for (const PolicyKind policy : {PolicyKind::strict, PolicyKind::aging}) {
    LoopOptions options;
    options.policy = policy;
    Sim sim(options);
    Order order;
    sim.run([](Order& o) -> Coro<void> {
      create_task(note(o, "low"), {.priority = 10.0});
      create_task(note(o, "equal"));
      co_await checkpoint();
      EXPECT_TRUE(o.empty());
      create_task(note(o, "high"), {.priority = -10.0});
      EXPECT_TRUE(should_yield());
      co_await checkpoint();
      EXPECT_EQ(o.at(0), "high");
      co_await sleep(1ms);
    }(order));
    EXPECT_EQ(order.back(), "low");
  }
}

TEST(Checkpoint, gives_way_to_a_completion_a_post_and_a_due_timer) {
  Sim sim;
  sim.run([](Sim& s) -> Coro<void> {
    s.loop.post([] {});
    EXPECT_TRUE(should_yield());
    co_await checkpoint();
    EXPECT_FALSE(should_yield());
    s.driver.at(1ms, [] {});
    EXPECT_FALSE(should_yield());
    s.driver.advance(1ms);
    EXPECT_TRUE(should_yield());
    co_await checkpoint();
    EXPECT_FALSE(should_yield());
  }(sim));
}

/// A clock that moves by 1 µs with every reading, and nothing else that could end a step.
class TickingDriver : public Driver {
 public:
  std::int64_t now_ns() noexcept override { return now_ns_ += 1000; }
  void harvest(std::int64_t) override {}
  void submit() override {}
  void wait(std::int64_t) override { throw Stalled("nothing is ready"); }
  void set_tick(std::int64_t) override {}
  void wake() noexcept override {}

 private:
  std::int64_t now_ns_ = 0;
};

TEST(Checkpoint, gives_way_when_the_step_is_over_its_budget) {
  LoopOptions options;
  options.step_budget = 200us;
  TickingDriver driver;
  Loop loop(driver, options);
  int rounds = 0;
  run_to_end(loop, [](Loop& l, int& n) -> Coro<void> {
    for (const auto before = l.dispatches(); l.dispatches() == before; ++n) co_await checkpoint();
  }(loop, rounds));
  EXPECT_GE(rounds, 16 * 200) << "the clock is read at every sixteenth checkpoint";
  EXPECT_LE(rounds, 16 * 205);
}

std::int64_t steady_ns() { return std::chrono::steady_clock::now().time_since_epoch() / 1ns; }

/// The real clock, of which the processor's counter tells that it need not be read.
class RealTimeDriver final : public TickingDriver {
 public:
  RealTimeDriver() { keeps_real_time_ = true; }
  std::int64_t now_ns() noexcept override { return steady_ns(); }
};

TEST(Checkpoint, gives_way_when_the_step_is_over_its_budget_of_real_time) {
  LoopOptions options;
  options.step_budget = 200us;
  RealTimeDriver driver;
  Loop loop(driver, options);
  std::int64_t took_ns = 0;
  run_to_end(loop, [](Loop& l, std::int64_t& ns) -> Coro<void> {
    co_await sleep(0);
    const std::int64_t began_ns = steady_ns();
    for (const auto before = l.dispatches(); l.dispatches() == before;) co_await checkpoint();
    ns = steady_ns() - began_ns;
  }(loop, took_ns));
  EXPECT_GT(took_ns, 200'000) << "not before the budget is used up, and some time after";
}

// ---- wrong use ----

/// Who starts eagerly between two steps runs in nobody's: nothing precedes it, whatever its block was used for before.
TEST(Checkpoint, goes_on_in_an_eager_start_between_two_steps) {
  for (const double before : {-1e6, 1e6}) {
    Sim sim{{.policy = PolicyKind::strict}};
    int passed = 0;
    int seen = -1;
    sim.loop.create_task([](Sim& s) -> Coro<void> {
      co_await sleep(100us);
      s.driver.advance(1ms);
      for (int i = 0; i < 5; ++i) co_await sleep(0);
    }(sim), {.priority = 0.0});
    sim.loop.create_task([]() -> Coro<void> { co_return; }(), {.priority = before});
    sim.driver.at(1ms, [&] {
      sim.loop.create_task([](int& past) -> Coro<void> {
        co_await checkpoint();
        ++past;
      }(passed), {.priority = 5.0, .eager_start = true});
      seen = passed;
    });
    sim.run([]() -> Coro<void> { co_await sleep(10ms); }());
    EXPECT_EQ(seen, 1) << "a block last used at priority " << before;
  }
}

TEST(LoopTest, is_not_run_inside_another) {
  Sim inner;
  const auto task = inner.loop.create_task([]() -> Coro<void> { co_return; }());
  Sim outer;
  outer.run([](Sim& in, PriorityTask<void> foreign) -> Coro<void> {
    bool refused = false;
    Loop::current().call_soon([&] {
      try {
        in.loop.run_until_done(foreign);
      } catch (const InvalidStateError&) {
        refused = true;
      }
    });
    co_await sleep(0);
    EXPECT_TRUE(refused);
    bool refused_await = false;
    try {
      co_await foreign;
    } catch (const InvalidStateError&) {
      refused_await = true;
    }
    EXPECT_TRUE(refused_await) << "it belongs to another loop";
    EXPECT_THROW(foreign.cancel(), InvalidStateError);
  }(inner, task));
  EXPECT_FALSE(task.done());
  inner.loop.run_until_done(task);
  inner.loop.finish();
}

}  // namespace
}  // namespace heirloop::testing
