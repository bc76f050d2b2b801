// What tasks do that all want the same: ours for any primitive, and the floors.
#pragma once

#include "floor_rows.hpp"
#include "on_loop.hpp"
#include "row.hpp"

#include <memory>
#include <utility>
#include <vector>

namespace heirloop::bench {

inline constexpr std::int64_t contenders[] = {2, 10, 1'000, 5'000};

/// N tasks run `repeat(primitive, rounds)` while `hold(primitive, go)` holds it until the event is set: all wait before the
/// measurement begins, and the last one to begin is the last one to end. `distinct`: each with a priority of its own.
template <class Primitive, class Hold, class Repeat, class... Args>
void contended(benchmark::State& state, std::int64_t tasks, Hold hold, Repeat repeat, bool distinct = false, Args... args) {
  Primitive primitive(args...);
  Event go;
  OnLoop on;
  std::vector<PriorityTask<void>> all;
  const auto holder = on.start(hold(primitive, go), {.priority = priority::always_first});
  for (std::int64_t i = 0; i < tasks; ++i) {
    all.push_back(on.start(repeat(primitive, state.max_iterations / tasks),
                           {.priority = distinct ? static_cast<double>(i) : priority::normal}));
  }
  on.run(on.start([]() -> Coro<void> { co_return; }(), {.priority = priority::when_idle}));
  timed(state, [&] {
    go.set();
    on.run(all.back());
  });
}

/// A lock with a queue of bare coroutines.
class PlainLock {
 public:
  PlainLock(Ring& ready, std::size_t most) : ready_(ready), waiters_(most) {}

  auto acquire() noexcept {
    struct Acquire {
      PlainLock& lock;
      bool await_ready() const noexcept { return !std::exchange(lock.locked_, true); }
      void await_suspend(std::coroutine_handle<> frame) const noexcept { lock.waiters_.push(frame); }
      void await_resume() const noexcept {}
    };
    return Acquire{*this};
  }
  void release() noexcept {
    if (waiters_.empty()) {
      locked_ = false;
    } else {
      ready_.push(waiters_.pop());
    }
  }

 private:
  Ring& ready_;
  Ring waiters_;
  bool locked_ = false;
};

inline Bare bare_take_and_give(PlainLock& lock, std::int64_t times, bool& done) {
  for (std::int64_t i = 0; i < times; ++i) {
    co_await lock.acquire();
    lock.release();
  }
  done = true;
}

inline Bare bare_take(PlainLock& lock) { co_await lock.acquire(); }

/// One wait for a plain lock, its hand-off and a switch.
inline void floor_of_contended_locks(benchmark::State& state, std::int64_t tasks) {
  const auto most = static_cast<std::size_t>(tasks);
  Ring ready(most);
  PlainLock lock(ready, most);
  const Bare holder = bare_take(lock);
  holder.frame.resume();
  std::vector<Bare> all;
  bool done = false;
  bool others = false;
  for (std::int64_t i = 0; i < tasks; ++i) {
    all.push_back(bare_take_and_give(lock, state.max_iterations / tasks, i == tasks - 1 ? done : others));
    all.back().frame.resume();
  }
  lock.release();
  timed(state, [&] { ready.run(done); });
  holder.frame.destroy();
  for (const Bare& bare : all) bare.frame.destroy();
}

/// The same, where both queues are 4-ary heaps and each coroutine has a priority of its own.
inline void floor_of_distinct_locks(benchmark::State& state, std::int64_t tasks) {
  using Heap = PlainHeap<double>;
  struct Task : Heap::Node {
    double priority = 0;
    Bare bare{};
  };
  struct Lock {
    Heap waiters;
    Heap ready;
    Task* running = nullptr;
    bool locked = true;

    auto acquire() noexcept {
      struct Acquire {
        Lock& lock;
        bool await_ready() const noexcept { return !std::exchange(lock.locked, true); }
        void await_suspend(std::coroutine_handle<>) const { lock.waiters.push(*lock.running, lock.running->priority); }
        void await_resume() const noexcept {}
      };
      return Acquire{*this};
    }
    void release() {
      if (waiters.size() == 0) {
        locked = false;
      } else {
        auto& next = static_cast<Task&>(waiters.pop());
        ready.push(next, next.priority);
      }
    }
  };
  const auto body = [](Lock& lock, std::int64_t times, bool& done) -> Bare {
    for (std::int64_t i = 0; i < times; ++i) {
      co_await lock.acquire();
      lock.release();
    }
    done = true;
  };
  Lock lock;
  std::vector<std::unique_ptr<Task>> all;
  bool done = false;
  bool others = false;
  for (std::int64_t i = 0; i < tasks; ++i) {
    auto& task = all.emplace_back(std::make_unique<Task>());
    task->priority = static_cast<double>(i);
    task->bare = body(lock, state.max_iterations / tasks, i == tasks - 1 ? done : others);
    lock.running = task.get();
    task->bare.frame.resume();
  }
  lock.release();
  timed(state, [&] {
    while (!done) {
      lock.running = &static_cast<Task&>(lock.ready.pop());
      lock.running->bare.frame.resume();
    }
  });
  for (const auto& task : all) task->bare.frame.destroy();
}

}  // namespace heirloop::bench
