// Scheduling as an operation, and policies with many priorities.
//
// yield/POLICY/TASKSxPRIORITIES: one switch among tasks of so many priorities that do nothing but give way; who runs is
// the policy's affair. Under edf the priorities are four deadlines. Floor: bare coroutines in a ring.
//
// wake/POLICY/10000x10000: each step wakes a random one of as many blocked tasks, and blocks. Floor: one pop and one push
// on a plain 4-ary heap of that size by the same rule, and a ring's switch to the bare coroutine that was popped.
//
// reprioritise/TASKSxPRIORITIES: a random ready task gets another priority. Floor: erase and push in a plain 4-ary heap.
//
// sleep_insert/N: a switch, where one of the tasks always goes to position N among N others. task_switch: two tasks that
// switch to each other. checkpoint/goes_on: one that has no reason to give way; floor: an await that is ready.
// runnable_tasks/N: the ready tasks as a vector; floor: a copy of a vector of so many handles.
#include "floor_rows.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

/// As the i-th of tasks that have so many priorities between them.
TaskOptions nth(const OnLoop& on, std::int64_t i, std::int64_t priorities) {
  TaskOptions options{.priority = static_cast<double>(i % priorities)};
  if (on.policy() == PolicyKind::edf) {
    options.priority.reset();
    options.deadline = on.began() + std::chrono::hours(1 + i % priorities);
  }
  return options;
}

Coro<void> spin(const bool& stop) {
  while (!stop) co_await sleep(0);
}

/// Of the most urgent: ends after so many steps of all.
Coro<void> lead(Loop& loop, std::int64_t steps) {
  for (const std::uint64_t end = loop.dispatches() + static_cast<std::uint64_t>(steps); loop.dispatches() < end;) {
    co_await sleep(0);
  }
}

void ours_yield(benchmark::State& state, PolicyKind policy, std::int64_t tasks, std::int64_t priorities) {
  OnLoop on(policy);
  bool stop = false;
  for (std::int64_t i = 1; i < tasks; ++i) on.start(spin(stop), nth(on, i, priorities));
  on.run(on.start(lead(on.loop(), 2 * tasks), nth(on, 0, priorities)));
  const auto leader = on.start(lead(on.loop(), state.max_iterations), nth(on, 0, priorities));
  timed(state, [&] { on.run(leader); });
  stop = true;
  on.run_all_once();
}

// ---- wake ----

class Parked final : public Wait {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) noexcept { Loop::current().block(*this, frame); }
  void await_resume() const { Loop::resumed(); }
  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return "a bench"; }
};

struct Herd {
  std::vector<Parked*> blocked;
  Random random;
  std::int64_t steps = 0;
  Parked* end = nullptr;  // of the one who waits until the steps are made
};

Coro<void> wake_one_and_park(Herd& herd) {
  Loop& loop = Loop::current();
  for (;;) {
    Parked here;
    herd.blocked.push_back(&here);
    co_await here;
    if (--herd.steps == 0) {
      loop.wake(*herd.end);
      loop.to_front(*herd.end->task());  // under some policies its turn would come late, or never
    }
    Parked*& chosen = herd.blocked[herd.random.below(herd.blocked.size())];
    loop.wake(*chosen);
    chosen = herd.blocked.back();
    herd.blocked.pop_back();
  }
}

Coro<void> drive(Herd& herd, std::int64_t steps) {
  herd.steps = steps;
  Parked end;
  herd.end = &end;
  co_await end;
}

void ours_wake(benchmark::State& state, PolicyKind policy, std::int64_t ready, std::int64_t priorities) {
  OnLoop on(policy);
  Herd herd;
  std::vector<PriorityTask<void>> all;
  for (std::int64_t i = 0; i < 2 * ready; ++i) all.push_back(on.start(wake_one_and_park(herd), nth(on, i, priorities)));
  on.run(on.start([](Herd& h, std::size_t tasks) -> Coro<void> {
    while (h.blocked.size() < tasks) co_await sleep(std::chrono::microseconds(100));
  }(herd, all.size())));
  TaskOptions first{.priority = -1};
  if (policy == PolicyKind::edf) first = {.deadline = on.began()};
  on.run(on.start([](Herd& h, std::int64_t count) -> Coro<void> {
    for (std::int64_t i = 0; i < count; ++i) {
      const std::size_t chosen = h.random.below(h.blocked.size());
      Loop::current().wake(*h.blocked[chosen]);
      h.blocked[chosen] = h.blocked.back();
      h.blocked.pop_back();
    }
    co_await drive(h, count);
  }(herd, ready), first));
  PriorityTask<void> timed_part;  // waits already, so that the first step counts
  on.run(on.start([](Herd& h, std::int64_t steps, PriorityTask<void>& task) -> Coro<void> {
    task = create_task(drive(h, steps), {.eager_start = true});
    co_return;
  }(herd, state.max_iterations, timed_part), first));
  timed(state, [&] { on.run(timed_part); });
}

struct Sleeper : PlainHeap<double>::Node {
  double priority;
  Bare bare;
};

Bare bare_for_ever(Ring& ring) {
  for (;;) co_await ring.yield();
}

void floor_wake(benchmark::State& state, std::int64_t ready, std::int64_t priorities) {
  Ring ring(2);
  std::vector<Sleeper> nodes;
  for (std::int64_t i = 0; i < 2 * ready; ++i) nodes.push_back({{}, static_cast<double>(i % priorities), bare_for_ever(ring)});
  Random random;
  PlainHeap<double> heap;
  std::vector<Sleeper*> blocked;
  for (Sleeper& node : nodes) {
    if (heap.size() < static_cast<std::size_t>(ready) && random.below(2) == 0) {
      heap.push(node, node.priority);
    } else {
      blocked.push_back(&node);
    }
  }
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      auto& node = static_cast<Sleeper&>(heap.pop());
      node.bare.frame.resume();
      ring.pop();
      Sleeper& woken = *std::exchange(blocked[random.below(blocked.size())], &node);
      heap.push(woken, woken.priority);
    }
  });
  for (const Sleeper& node : nodes) node.bare.frame.destroy();
}

// ---- reprioritise ----

void ours_reprioritise(benchmark::State& state, std::int64_t tasks, std::int64_t priorities) {
  OnLoop on;
  bool stop = false;
  std::vector<PriorityTask<void>> all;
  for (std::int64_t i = 0; i < tasks; ++i) all.push_back(on.start(spin(stop), nth(on, i, priorities)));
  const auto main = on.start([](std::vector<PriorityTask<void>>& ready, std::int64_t levels, std::int64_t times) -> Coro<void> {
    Random random;
    for (std::int64_t i = 0; i < times; ++i) {
      ready[random.below(ready.size())].set_priority(static_cast<double>(random.below(static_cast<std::size_t>(levels))));
    }
    co_return;
  }(all, priorities, state.max_iterations), {.priority = -1});
  timed(state, [&] { on.run(main); });
  stop = true;
  on.run_all_once();
}

// ---- operations ----

Coro<void> insert_at(Loop& loop, std::size_t position, std::int64_t steps) {
  for (const std::uint64_t end = loop.dispatches() + static_cast<std::uint64_t>(steps); loop.dispatches() < end;) {
    co_await sleep_insert(position);
  }
}

void ours_sleep_insert(benchmark::State& state, std::int64_t position) {
  OnLoop on;
  bool stop = false;
  for (std::int64_t i = 0; i < position; ++i) on.start(spin(stop));
  const auto at = static_cast<std::size_t>(position);
  on.run(on.start(insert_at(on.loop(), at, 100)));
  const auto main = on.start(insert_at(on.loop(), at, state.max_iterations));
  timed(state, [&] { on.run(main); });
  stop = true;
  on.run_all_once();
}

Coro<void> switch_to(const TaskRef& other, std::int64_t& left) {
  while (left-- > 0 && !other.done()) co_await task_switch(other);
}

void ours_task_switch(benchmark::State& state) {
  OnLoop on;
  std::int64_t left = state.max_iterations;
  TaskRef b;
  const auto a = on.start(switch_to(b, left));
  const TaskRef back = a;
  b = on.start(switch_to(back, left));
  timed(state, [&] { on.run(a); });
}

Coro<void> check(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await checkpoint();
}

void ours_checkpoint(benchmark::State& state) {
  OnLoop on;
  const auto main = on.start(check(state.max_iterations));
  timed(state, [&] { on.run(main); });
}

Coro<void> look(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    auto tasks = runnable_tasks();
    benchmark::DoNotOptimize(tasks.data());
  }
  co_return;
}

void ours_runnable(benchmark::State& state, std::int64_t tasks) {
  OnLoop on;
  bool stop = false;
  for (std::int64_t i = 0; i < tasks; ++i) on.start(spin(stop));
  const auto main = on.start(look(state.max_iterations));
  timed(state, [&] { on.run(main); });
  stop = true;
  on.run_all_once();
}

void floor_runnable(benchmark::State& state, std::int64_t tasks) {
  OnLoop on;
  bool stop = false;
  std::vector<TaskRef> all;
  for (std::int64_t i = 0; i < tasks; ++i) all.push_back(on.start(spin(stop)));
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      auto copy = all;
      benchmark::DoNotOptimize(copy.data());
    }
  });
  stop = true;
  on.run_all_once();
}

std::string by(std::int64_t tasks, std::int64_t priorities) {
  return std::to_string(tasks) + "x" + std::to_string(priorities);
}

}  // namespace

void add_scheduling_rows(Rows& rows) {
  for (const PolicyKind policy : all_policies()) {
    const std::string name(to_string(policy));
    for (const std::int64_t tasks : {2, 1'000, 100'000}) {
      for (const std::int64_t priorities : {1, 4, 64, 10'000}) {
        if (priorities > tasks || (policy == PolicyKind::edf && priorities != 4)) continue;
        rows.push_back({.name = "yield/" + name + "/" + by(tasks, priorities),
                        .ours = [=](auto& state) { ours_yield(state, policy, tasks, priorities); },
                        .floor = [=](auto& state) { floor_of_switches(state, tasks); },
                        .unit = tasks});
      }
    }
    rows.push_back({.name = "wake/" + name + "/10000x10000",
                    .ours = [=](auto& state) { ours_wake(state, policy, 10'000, 10'000); },
                    .floor = [=](auto& state) { floor_wake(state, 10'000, 10'000); }});
  }
  for (const std::int64_t priorities : {64, 10'000}) {
    rows.push_back({.name = "reprioritise/" + by(10'000, priorities),
                    .ours = [=](auto& state) { ours_reprioritise(state, 10'000, priorities); },
                    .floor = [=](auto& state) { floor_of_new_priorities(state, 10'000, priorities); }});
  }
  for (const std::int64_t position : {1, 10, 100}) {
    rows.push_back({.name = "sleep_insert/" + std::to_string(position),
                    .ours = [=](auto& state) { ours_sleep_insert(state, position); },
                    .floor = [=](auto& state) { floor_of_switches(state, position + 1); },
                    .unit = position + 1});
  }
  rows.push_back({.name = "task_switch", .ours = ours_task_switch, .floor = [](auto& state) { floor_of_switches(state, 2); }, .unit = 2});
  rows.push_back({.name = "checkpoint/goes_on", .ours = ours_checkpoint, .floor = floor_of_ready_awaits});
  for (const std::int64_t tasks : {10, 1'000}) {
    rows.push_back({.name = "runnable_tasks/" + std::to_string(tasks),
                    .ours = [=](auto& state) { ours_runnable(state, tasks); },
                    .floor = [=](auto& state) { floor_runnable(state, tasks); }});
  }
}

}  // namespace heirloop::bench
