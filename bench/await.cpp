// await/ready_child: co_await of a coroutine that never blocks. Floor: bare coroutines, the child entered and
// left by symmetric transfer, its frame recycled.
#include "floors.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

Coro<std::int64_t> child(std::int64_t value) { co_return value; }

Coro<void> parent(std::int64_t times, std::int64_t& sum) {
  for (std::int64_t i = 0; i < times; ++i) sum += co_await child(i);
}

void ours(benchmark::State& state) {
  OnLoop on;
  std::int64_t sum = 0;
  const auto main = on.start(parent(state.max_iterations, sum));
  timed(state, [&] { on.run(main); });
  benchmark::DoNotOptimize(sum);
}

struct BareChild {
  struct promise_type {
    static void* operator new(std::size_t size) { return Recycler::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
      Recycler::deallocate(memory, size);
    }
    BareChild get_return_object() noexcept {
      return {std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct Back {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> frame) const noexcept {
          return frame.promise().awaiter;
        }
        void await_resume() const noexcept {}
      };
      return Back{};
    }
    void return_value(std::int64_t given) noexcept { value = given; }
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    std::coroutine_handle<> awaiter;
    std::int64_t value = 0;
  };
  std::coroutine_handle<promise_type> frame;

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiter) const noexcept {
    frame.promise().awaiter = awaiter;
    return frame;
  }
  std::int64_t await_resume() const noexcept {
    const std::int64_t value = frame.promise().value;
    frame.destroy();
    return value;
  }
};

BareChild bare_child(std::int64_t value) { co_return value; }

Bare bare_parent(std::int64_t times, std::int64_t& sum) {
  for (std::int64_t i = 0; i < times; ++i) sum += co_await bare_child(i);
}

void floor(benchmark::State& state) {
  std::int64_t sum = 0;
  const Bare main = bare_parent(state.max_iterations, sum);
  timed(state, [&] { main.frame.resume(); });
  main.frame.destroy();
  benchmark::DoNotOptimize(sum);
}

AsioCoro<std::int64_t> asio_child(std::int64_t value) { co_return value; }

AsioCoro<void> asio_parent(std::int64_t times, std::int64_t& sum) {
  for (std::int64_t i = 0; i < times; ++i) sum += co_await asio_child(i);
}

void on_asio(benchmark::State& state) {
  OnAsio on;
  std::int64_t sum = 0;
  asio::co_spawn(on.context(), asio_parent(state.max_iterations, sum), asio::detached);
  timed(state, [&] { on.run(); });
  benchmark::DoNotOptimize(sum);
}

}  // namespace

void add_await_rows(Rows& rows) {
  rows.push_back({.name = "await/ready_child", .ours = ours, .floor = floor, .peers = {{"asio", on_asio}}});
}

}  // namespace heirloop::bench
