// interrupt/depth/N, cancel/depth/N: a task of N coroutines that await each other, the last an event, is interrupted or cancelled;
// its root catches that and descends again, and the caller goes on. Floor: the same descent and the same throws in bare coroutines. A
// coroutine can't be unwound without a catch and a throw in each frame, so N frames cost N of them. The floor throws out of the
// coroutine itself, as it is cheapest: no function lies between.
#include "floors.hpp"
#include "on_loop.hpp"
#include "row.hpp"

#include <array>

namespace heirloop::bench {
namespace {

constexpr std::array<std::int64_t, 3> depths{1, 8, 64};

Coro<void> descend(Event& never, std::int64_t depth) {
  if (depth > 1) {
    co_await descend(never, depth - 1);
  } else {
    co_await never.wait();
  }
}

/// The root is one of the frames.
Coro<void> victim(std::int64_t depth, std::int64_t times) {
  Event never;
  for (std::int64_t i = 0; i < times; ++i) {
    try {
      if (depth > 1) {
        co_await descend(never, depth - 1);
      } else {
        co_await never.wait();
      }
    } catch (const InterruptException&) {
    } catch (const Cancelled&) {
      current_task().uncancel();
    }
  }
}

Coro<void> interrupts(std::int64_t depth, std::int64_t times) {
  const auto sleeper = create_task(victim(depth, times));
  co_await sleep(0);
  for (std::int64_t i = 0; i < times; ++i) co_await task_interrupt(sleeper, InterruptException());
}

Coro<void> cancels(std::int64_t depth, std::int64_t times) {
  const auto sleeper = create_task(victim(depth, times));
  co_await sleep(0);
  for (std::int64_t i = 0; i < times; ++i) {
    sleeper.cancel();
    co_await sleep(0);
  }
}

void run(benchmark::State& state, Coro<void> main) {
  OnLoop on;
  const auto task = on.start(std::move(main));
  timed(state, [&] { on.run(task); });
}

// ---- the floor ----

/// A bare coroutine that passes exceptions on to who awaits it.
struct BareThrower {
  struct promise_type {
    static void* operator new(std::size_t size) { return Recycler::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept { Recycler::deallocate(memory, size); }
    BareThrower get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct Back {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
          return ended.promise().awaiter;
        }
        void await_resume() const noexcept {}
      };
      return Back{};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { error = std::current_exception(); }

    std::coroutine_handle<> awaiter;
    std::exception_ptr error;
  };
  std::coroutine_handle<promise_type> frame;

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) const noexcept {
    frame.promise().awaiter = awaiter;
    return frame;
  }
  [[gnu::always_inline]] void await_resume() const {
    std::exception_ptr error = std::move(frame.promise().error);
    frame.destroy();
    if (error) std::rethrow_exception(std::move(error));
  }
};

/// Where the leaf stops, and with what it goes on.
struct Stop {
  std::coroutine_handle<>& leaf;
  std::exception_ptr& error;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame) const noexcept { leaf = frame; }
  [[gnu::always_inline]] void await_resume() const { std::rethrow_exception(std::exchange(error, nullptr)); }
};

BareThrower bare_descend(std::int64_t depth, std::coroutine_handle<>& leaf, std::exception_ptr& error) {
  if (depth > 1) {
    co_await bare_descend(depth - 1, leaf, error);
  } else {
    co_await Stop{leaf, error};
  }
}

Bare bare_victim(std::int64_t depth, std::int64_t times, std::coroutine_handle<>& leaf, std::exception_ptr& error) {
  for (std::int64_t i = 0; i < times; ++i) {
    try {
      if (depth > 1) {
        co_await bare_descend(depth - 1, leaf, error);
      } else {
        co_await Stop{leaf, error};
      }
    } catch (const InterruptException&) {
    }
  }
}

void floor_of(benchmark::State& state, std::int64_t depth) {
  std::coroutine_handle<> leaf;
  std::exception_ptr error;
  const Bare sleeper = bare_victim(depth, state.max_iterations, leaf, error);
  sleeper.frame.resume();
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      error = std::make_exception_ptr(InterruptException());
      leaf.resume();
    }
  });
  sleeper.frame.destroy();
}

}  // namespace

void add_depth_rows(Rows& rows) {
  for (const std::int64_t depth : depths) {
    const auto floor = [depth](benchmark::State& state) { floor_of(state, depth); };
    rows.push_back({.name = "interrupt/depth/" + std::to_string(depth),
                    .ours = [depth](benchmark::State& state) { run(state, interrupts(depth, state.max_iterations)); },
                    .floor = floor});
    rows.push_back({.name = "cancel/depth/" + std::to_string(depth),
                    .ours = [depth](benchmark::State& state) { run(state, cancels(depth, state.max_iterations)); },
                    .floor = floor});
  }
}

}  // namespace heirloop::bench
