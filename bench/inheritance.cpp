// inherit/chain/N: the last waiter of a chain of N locks gets another priority, which goes through to the first holder and
// back. Floor: a walk along N pointers that writes a number in each.
//
// reprioritise_waiter/N: one of N who wait for a lock, each with a priority of its own, gets another one. Floor: the same
// change in a bare 4-ary heap of that size.
#include "contended.hpp"

#include <deque>

namespace heirloop::bench {
namespace {

Coro<void> hold_for_ever(PriorityLock& lock) {
  const LockGuard held = co_await lock.acquire();
  co_await sleep_until(std::chrono::steady_clock::time_point::max());
}
Coro<void> hold_and_want(PriorityLock& own, PriorityLock& wanted) {
  const LockGuard held = co_await own.acquire();
  const LockGuard both = co_await wanted.acquire();
}
Coro<void> want(PriorityLock& wanted) { const LockGuard held = co_await wanted.acquire(); }
Coro<void> nothing() { co_return; }

void chain(benchmark::State& state, std::int64_t locks) {
  std::deque<PriorityLock> chain(static_cast<std::size_t>(locks));
  OnLoop on;
  std::vector<PriorityTask<void>> all;
  all.push_back(on.start(hold_for_ever(chain.front())));
  for (std::size_t i = 1; i < chain.size(); ++i) all.push_back(on.start(hold_and_want(chain[i], chain[i - 1])));
  all.push_back(on.start(want(chain.back())));
  on.run(on.start(nothing()));
  const auto changes = [](const PriorityTask<void>& last, std::int64_t times) -> Coro<void> {
    for (std::int64_t i = 0; i < times; ++i) last.set_priority(i % 2 == 0 ? priority::high : priority::low);
    co_return;
  };
  const auto main = on.start(changes(all.back(), state.max_iterations));
  timed(state, [&] { on.run(main); });
}

struct Link {
  Link* next = nullptr;
  double priority = 0;
};

void floor_chain(benchmark::State& state, std::int64_t locks) {
  std::deque<Link> links(static_cast<std::size_t>(locks) + 1);
  for (std::size_t i = 1; i < links.size(); ++i) links[i - 1].next = &links[i];
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      for (Link* link = &links.front(); link != nullptr; link = link->next) link->priority = static_cast<double>(i % 2);
      benchmark::ClobberMemory();
    }
  });
}

void waiter(benchmark::State& state, std::int64_t waiters) {
  PriorityLock lock;
  OnLoop on;
  std::vector<PriorityTask<void>> all;
  const auto holder = on.start(hold_for_ever(lock));
  for (std::int64_t i = 0; i < waiters; ++i) all.push_back(on.start(want(lock), {.priority = static_cast<double>(i)}));
  on.run(on.start(nothing(), {.priority = priority::when_idle}));
  const auto changes = [](std::vector<PriorityTask<void>>& tasks, std::int64_t times) -> Coro<void> {
    Random random;
    for (std::int64_t i = 0; i < times; ++i) {
      const auto& task = tasks[random.below(tasks.size())];
      task.set_priority(static_cast<double>(random.below(tasks.size())));
    }
    co_return;
  };
  const auto main = on.start(changes(all, state.max_iterations));
  timed(state, [&] { on.run(main); });
}

}  // namespace

void add_inheritance_rows(Rows& rows) {
  for (const std::int64_t locks : {1, 8, 64}) {
    rows.push_back({.name = "inherit/chain/" + std::to_string(locks),
                    .ours = [=](auto& state) { chain(state, locks); },
                    .floor = [=](auto& state) { floor_chain(state, locks); }});
  }
  for (const std::int64_t waiters : {10, 1'000, 5'000}) {
    rows.push_back({.name = "reprioritise_waiter/" + std::to_string(waiters),
                    .ours = [=](auto& state) { waiter(state, waiters); },
                    .floor = [=](auto& state) { floor_of_new_priorities(state, waiters, waiters); }});
  }
}

}  // namespace heirloop::bench
