// spawn_join/lazy, spawn_join/eager: a task that does nothing, created and awaited. Floor: a recycled frame
// created, queued and run, its waiter queued and run, the frame destroyed.
//
// An eager child has ended when create_task returns, so its await is ready. Asio starts nothing eagerly; for the lazy
// row it spawns a coroutine and awaits its completion, on the executor of both without type erasure.
#include "floors.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

Coro<void> child() { co_return; }

Coro<void> spawn_and_join(std::int64_t times, bool eager) {
  for (std::int64_t i = 0; i < times; ++i) {
    const auto task = create_task(child(), {.eager_start = eager});
    co_await task;
  }
}

void ours(benchmark::State& state, bool eager) {
  OnLoop on;
  on.run(on.start(spawn_and_join(10, eager)));
  const auto main = on.start(spawn_and_join(state.max_iterations, eager));
  timed(state, [&] { on.run(main); });
}

/// A coroutine that queues its waiter as it ends.
struct Joined {
  struct promise_type {
    explicit promise_type(Ring& its_ring) noexcept : ring(its_ring) {}
    static void* operator new(std::size_t size) { return Recycler::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
      Recycler::deallocate(memory, size);
    }
    Joined get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct QueueWaiter {
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> frame) const noexcept {
          frame.promise().ring.push(frame.promise().waiter);
        }
        void await_resume() const noexcept {}
      };
      return QueueWaiter{};
    }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    Ring& ring;
    std::coroutine_handle<> waiter;
  };
  std::coroutine_handle<promise_type> frame;

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiter) const noexcept { frame.promise().waiter = waiter; }
  void await_resume() const noexcept { frame.destroy(); }
};

Joined bare_child(Ring&) { co_return; }

Bare bare_spawn_and_join(Ring& ring, std::int64_t times, bool& done) {
  for (std::int64_t i = 0; i < times; ++i) {
    const Joined spawned = bare_child(ring);
    ring.push(spawned.frame);
    co_await spawned;
  }
  done = true;
}

void floor(benchmark::State& state) {
  Ring ring(2);
  bool done = false;
  const Bare main = bare_spawn_and_join(ring, state.max_iterations, done);
  ring.push(main.frame);
  timed(state, [&] { ring.run(done); });
  main.frame.destroy();
}

AsioCoro<void> asio_child() { co_return; }

AsioCoro<void> asio_spawn_and_join(asio::io_context& context, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await asio::co_spawn(context, asio_child(), use_asio_coro);
}

void on_asio(benchmark::State& state) {
  OnAsio on;
  asio::co_spawn(on.context(), asio_spawn_and_join(on.context(), state.max_iterations), asio::detached);
  timed(state, [&] { on.run(); });
}

}  // namespace

void add_spawn_rows(Rows& rows) {
  rows.push_back({.name = "spawn_join/lazy",
                  .ours = [](auto& state) { ours(state, false); },
                  .floor = floor,
                  .peers = {{"asio", on_asio}}});
  rows.push_back(
      {.name = "spawn_join/eager", .ours = [](auto& state) { ours(state, true); }, .floor = floor});
}

}  // namespace heirloop::bench
