// spawn_join/lazy, spawn_join/eager: a task that does nothing, created and awaited. Floor: a recycled frame
// created, queued and run, its waiter queued and run, the frame destroyed.
//
// An eager child has ended when create_task returns, so its await is ready. Asio starts nothing eagerly.
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

/// Handlers that post each other: faster than co_spawn.
class Spawner {
 public:
  Spawner(asio::io_context& context, std::int64_t times) : context_(context), left_(times) {}

  void run() {
    if (left_-- > 0) asio::post(context_, [this] { end_of_child(); });
  }

 private:
  void end_of_child() {
    asio::post(context_, [this] { run(); });
  }

  asio::io_context& context_;
  std::int64_t left_;
};

void on_asio(benchmark::State& state) {
  OnAsio on;
  Spawner spawner(on.context(), state.max_iterations);
  asio::post(on.context(), [&] { spawner.run(); });
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
