// The picture of who waits for what, and the counters of waiter queues.
#include <heirloop/runtime/owner_graph.hpp>
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/channel.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/semaphore.hpp>
#include <heirloop/sync/shared.hpp>
#include <heirloop/sync/signal_semaphore.hpp>
#include <heirloop/sync/wait_group.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

Coro<void> hold(PriorityLock& lock, std::chrono::milliseconds span) {
  auto held = co_await lock.acquire();
  co_await sleep(span);
}
constexpr int await_line = __LINE__ + 1;
Coro<void> await(PriorityTask<void> task) { co_await task; }

/// "holder" holds the lock, "wants" waits for it, "joins" waits for the end of "wants".
Coro<void> scene(std::string& text, GraphFormat form) {
  PriorityLock lock("a \"quoted\" one");
  const auto holder = create_task(hold(lock, 5ms), {.name = "holder", .priority = priority::when_idle, .eager_start = true});
  const auto wants = create_task(hold(lock, 1ms), {.name = "wants", .priority = 3, .eager_start = true});
  const auto joins = create_task(await(wants), {.name = "joins", .priority = -2, .eager_start = true});
  const auto apart = []() -> Coro<void> { co_await sleep(1ms); };
  const auto sleeper = create_task(apart(), {.name = "sleeper", .eager_start = true});
  text = dump_owner_graph(form);
  co_await joins;
  co_await sleeper;
}

std::string drawn(GraphFormat form) {
  Sim sim;
  std::string text;
  sim.run(scene(text, form));
  return text;
}

TEST(OwnerGraph, is_readable_text) {
  const std::string text = drawn(GraphFormat::text);
  EXPECT_THAT(text, HasSubstr("holder: blocked, priority inf, effective -2\n"
                              "  holds PriorityLock 'a \"quoted\" one'; 1 waiting\n"
                              "  waits for a sleep at "));
  EXPECT_THAT(text, HasSubstr("wants: blocked, priority 3, effective -2\n"
                              "  waits for PriorityLock 'a \"quoted\" one' held by holder at "));
  EXPECT_THAT(text, HasSubstr("joins: blocked, priority -2\n  waits for the end of wants at "));
  EXPECT_THAT(text, HasSubstr("owner_graph_test.cpp:" + std::to_string(await_line) + "\n"));
  EXPECT_THAT(text, Not(HasSubstr("sleeper")));
}

TEST(OwnerGraph, is_json_that_programs_can_follow) {
  const auto graph = nlohmann::json::parse(drawn(GraphFormat::json));
  ASSERT_EQ(graph["tasks"].size(), 3U);
  const auto& holder = graph["tasks"][0];
  const auto& wants = graph["tasks"][1];
  const auto& joins = graph["tasks"][2];
  EXPECT_EQ(holder["name"], "holder");
  EXPECT_EQ(holder["priority"], "inf");
  EXPECT_EQ(holder["effective_priority"], -2.0);
  EXPECT_EQ(holder["holds"], wants["waits_in"]);
  EXPECT_EQ(graph["resources"][holder["holds"][0].get<std::size_t>()], "PriorityLock 'a \"quoted\" one'");
  EXPECT_EQ(joins["awaits"][0], 1);
  EXPECT_THAT(joins["place"].get<std::string>(), HasSubstr("owner_graph_test.cpp:" + std::to_string(await_line)));
}

TEST(OwnerGraph, is_a_graph_for_dot) {
  const std::string text = drawn(GraphFormat::graphviz);
  EXPECT_THAT(text, HasSubstr("r0 [shape=box, label=\"PriorityLock 'a \\\"quoted\\\" one'\"];"));
  EXPECT_THAT(text, HasSubstr("r0 -> t0;"));
  EXPECT_THAT(text, HasSubstr("t1 -> r0 [label="));
  EXPECT_THAT(text, HasSubstr("t2 -> t1 [label="));
}

TEST(OwnerGraph, needs_a_loop) { EXPECT_THROW(dump_owner_graph(), InvalidStateError); }

TEST(WaitStatistics, count_what_happens_in_the_queue_of_a_lock) {
  Sim sim({.policy = PolicyKind::strict});
  WaitStatistics statistics;
  sim.run([](WaitStatistics& counted) -> Coro<void> {
    PriorityLock lock;
    lock.count_waits(&counted);
    const auto holder = create_task(hold(lock, 4ms), {.priority = 5, .eager_start = true});
    const auto first = create_task(hold(lock, 1ms), {.priority = 3, .eager_start = true});
    const auto second = create_task(hold(lock, 1ms), {.priority = 4, .eager_start = true});  // raises nobody
    const auto third = create_task(hold(lock, 1ms), {.priority = 2, .eager_start = true});
    EXPECT_EQ(counted.waits, 3U);
    EXPECT_EQ(counted.inheritance_events, 2U);
    second.set_priority(1);
    EXPECT_EQ(counted.inheritance_events, 3U);
    co_await sleep(2ms);
    second.cancel();
    co_await third;
    lock.count_waits(nullptr);
    co_await first;
  }(statistics));
  EXPECT_EQ(statistics.hand_offs, 2U);  // to the third, then to the first
  EXPECT_EQ(statistics.withdrawn, 1U);
  EXPECT_EQ(statistics.longest_wait_ns, 5'000'000);
  EXPECT_EQ(statistics.by_priority.at(1.0)[21], 1U);  // 2 ms
  EXPECT_EQ(statistics.by_priority.at(0.0)[22], 1U);  // 4 ms, raised by who awaits it
  EXPECT_EQ(statistics.by_priority.at(3.0)[23], 1U);  // 5 ms
}

TEST(WaitStatistics, count_a_notify_as_a_hand_off_and_the_wait_for_the_lock_apart) {
  Sim sim;
  WaitStatistics notified;
  WaitStatistics locked;
  sim.run([](WaitStatistics& n, WaitStatistics& l) -> Coro<void> {
    PriorityLock lock;
    PriorityCondition condition(lock);
    condition.count_waits(&n);
    lock.count_waits(&l);
    const auto waits = [](PriorityLock& of, PriorityCondition& c) -> Coro<void> {
      auto held = co_await of.acquire();
      co_await c.wait();
    };
    const auto task = create_task(waits(lock, condition), {.eager_start = true});
    {
      auto held = co_await lock.acquire();
      condition.notify();
      co_await sleep(1ms);
    }
    co_await task;
    condition.count_waits(nullptr);
    lock.count_waits(nullptr);
  }(notified, locked));
  EXPECT_EQ(notified.waits, 1U);
  EXPECT_EQ(notified.hand_offs, 1U);
  EXPECT_EQ(notified.longest_wait_ns, 0);
  EXPECT_EQ(locked.waits, 1U);
  EXPECT_EQ(locked.hand_offs, 1U);
  EXPECT_EQ(locked.longest_wait_ns, 1'000'000);
}

TEST(WaitStatistics, can_be_had_of_every_primitive) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    WaitStatistics waits;
    Event event;
    SignalSemaphore signals(0);
    Semaphore semaphore(0);
    RWLock rw_lock;
    WaitGroup group;
    Barrier barrier(2);
    Queue<int> queue;
    Channel<int> channel(1);
    Shared<int> shared;
    event.count_waits(&waits);
    signals.count_waits(&waits);
    semaphore.count_waits(&waits);
    rw_lock.count_waits(&waits);
    group.count_waits(&waits);
    barrier.count_waits(&waits);
    queue.count_waits(&waits, &waits);
    channel.count_waits(&waits, &waits);
    shared.count_waits(&waits);
    group.add();
    auto writing = co_await rw_lock.write();
    auto locked = co_await shared.lock();
    const auto wait = [](auto& primitive, auto begin) -> Coro<void> {
      [[maybe_unused]] auto got = co_await begin(primitive);
    };
    const auto wait_void = [](auto& primitive) -> Coro<void> { co_await primitive.wait(); };
    std::vector<TaskRef> tasks;
    const auto start = [&](Coro<void> coro) { tasks.push_back(create_task(std::move(coro), {.eager_start = true})); };
    start(wait_void(event));
    start(wait_void(group));
    const auto arrives = [](Barrier& at) -> Coro<void> { co_await at.wait(); };
    start(arrives(barrier));
    const auto acquires = [](SignalSemaphore& of) -> Coro<void> { co_await of.acquire(); };
    start(acquires(signals));
    start(wait(semaphore, [](Semaphore& s) { return s.acquire(); }));
    start(wait(rw_lock, [](RWLock& l) { return l.read(); }));
    start(wait(queue, [](Queue<int>& q) { return q.get(); }));
    start(wait(channel, [](Channel<int>& c) { return c.receive(); }));
    start(wait(shared, [](Shared<int>& s) { return s.lock(); }));
    EXPECT_EQ(waits.waits, 9U);
    for (const TaskRef& task : tasks) task.cancel();
    EXPECT_EQ(waits.withdrawn, 9U);
    co_await sleep(0);
  }());
}

}  // namespace
}  // namespace heirloop::testing
