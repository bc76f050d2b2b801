// timeout/unfired: a body that does nothing, awaited under a time limit that does not pass. Floor: the same body awaited
// without; "over" is what a limit costs.
// group/N, gather/N: N tasks that do nothing, started together and awaited together. Floor: N recycled frames created, queued
// and run, of which the last queues the waiter. Peer: Asio spawns as many coroutines; the last one posts the waiter.
#include "floors.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

#include <coroutine>
#include <utility>
#include <vector>

namespace heirloop::bench {
namespace {

using std::chrono_literals::operator""h;

Coro<void> nothing() { co_return; }

// ---- a limit ----

Coro<void> awaited_in_time(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await timeout(1h, nothing);
}
Coro<void> awaited(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await nothing();
}
/// What the coroutine around the body costs without a limit.
Coro<void> around() { co_await nothing(); }
Coro<void> awaited_around(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await around();
}

void on_loop(benchmark::State& state, Coro<void> (*make)(std::int64_t)) {
  OnLoop on;
  on.run(on.start(make(10)));
  const auto main = on.start(make(state.max_iterations));
  timed(state, [&] { on.run(main); });
}

// ---- a group, a gather ----

Coro<void> groups(std::int64_t times, int size) {
  for (std::int64_t i = 0; i < times; i += size) {
    co_await with_task_group([size](TaskGroup& group) -> Coro<void> {
      for (int child = 0; child < size; ++child) group.start_soon(nothing());
      co_return;
    });
  }
}

Coro<void> gathers(std::int64_t times, int size) {
  for (std::int64_t i = 0; i < times; i += size) {
    std::vector<Coro<void>> all;
    all.reserve(static_cast<std::size_t>(size));
    for (int child = 0; child < size; ++child) all.push_back(nothing());
    co_await gather(std::move(all));
  }
}

void together(benchmark::State& state, Coro<void> (*make)(std::int64_t, int), int size) {
  OnLoop on;
  on.run(on.start(make(2 * size, size)));
  const auto main = on.start(make(state.max_iterations, size));
  timed(state, [&] { on.run(main); });
}

/// Frames that count down as they end, and destroy themselves; the last queues who waits for all.
struct Counted {
  struct All {
    Ring& ring;
    int left = 0;
    std::coroutine_handle<> waiter{};
    bool await_ready() const noexcept { return left == 0; }
    void await_suspend(std::coroutine_handle<> frame) noexcept { waiter = frame; }
    void await_resume() const noexcept {}
  };
  struct promise_type {
    explicit promise_type(All& its_all) noexcept : all(its_all) {}
    static void* operator new(std::size_t size) { return Recycler::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept { Recycler::deallocate(memory, size); }
    Counted get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept {
      if (--all.left == 0) all.ring.push(all.waiter);
      return {};
    }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
    All& all;
  };
  std::coroutine_handle<promise_type> frame;
};

Counted bare_child(Counted::All&) { co_return; }

Bare bare_groups(Ring& ring, std::int64_t times, int size, bool& done) {
  for (std::int64_t i = 0; i < times; i += size) {
    Counted::All all{.ring = ring, .left = size};
    for (int child = 0; child < size; ++child) ring.push(bare_child(all).frame);
    co_await all;
  }
  done = true;
}

void together_floor(benchmark::State& state, int size) {
  Ring ring(static_cast<std::size_t>(size) + 2);
  bool done = false;
  const Bare main = bare_groups(ring, state.max_iterations, size, done);
  ring.push(main.frame);
  timed(state, [&] { ring.run(done); });
  main.frame.destroy();
}

AsioCoro<void> asio_nothing() { co_return; }

AsioCoro<void> asio_groups(asio::io_context& context, std::int64_t times, int size) {
  for (std::int64_t i = 0; i < times; i += size) {
    co_await asio::async_initiate<decltype(use_asio_coro), void()>(
        [&](auto waiter) {
          struct All {
            decltype(waiter) go_on;
            int left;
          };
          auto all = std::make_shared<All>(All{std::move(waiter), size});
          for (int child = 0; child < size; ++child) {
            asio::co_spawn(context.get_executor(), asio_nothing(), [all, &context](const std::exception_ptr&) {
              if (--all->left == 0) asio::post(context, std::move(all->go_on));
            });
          }
        },
        use_asio_coro);
  }
}

void together_asio(benchmark::State& state, int size) {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  asio::co_spawn(context.get_executor(), asio_groups(context, state.max_iterations, size), asio::detached);
  timed(state, [&] { context.run(); });
}

}  // namespace

void add_structured_rows(Rows& rows) {
  rows.push_back({.name = "timeout/unfired",
                  .ours = [](benchmark::State& state) { on_loop(state, awaited_in_time); },
                  .floor = [](benchmark::State& state) { on_loop(state, awaited); }});
  rows.push_back({.name = "timeout/a_frame",
                  .ours = [](benchmark::State& state) { on_loop(state, awaited_around); },
                  .floor = [](benchmark::State& state) { on_loop(state, awaited); }});
  for (const int size : {1, 10, 1000}) {
    for (const bool gathers_them : {false, true}) {
      rows.push_back({.name = (gathers_them ? "gather/" : "group/") + std::to_string(size),
                      .ours = [=](benchmark::State& state) { together(state, gathers_them ? gathers : groups, size); },
                      .floor = [=](benchmark::State& state) { together_floor(state, size); },
                      .peers = {{"asio", [=](benchmark::State& state) { together_asio(state, size); }}},
                      .unit = size});
    }
  }
}

}  // namespace heirloop::bench
