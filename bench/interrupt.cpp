// interrupt/roundtrip: a sleeping task is interrupted and catches it, and the caller goes on. Floor: an
// exception made, thrown at the suspension of a bare coroutine and caught there: one throw and catch through
// one frame, two switches.
#include "floors.hpp"
#include "on_asio.hpp"
#include "on_loop.hpp"
#include "row.hpp"

namespace heirloop::bench {
namespace {

using std::chrono_literals::operator""h;

Coro<void> victim(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    try {
      co_await sleep(1h);
    } catch (const InterruptException&) {
    }
  }
}

Coro<void> interrupt(std::int64_t times) {
  const auto sleeper = create_task(victim(times));
  co_await sleep(0);
  for (std::int64_t i = 0; i < times; ++i) co_await task_interrupt(sleeper, InterruptException());
}

void ours(benchmark::State& state) {
  OnLoop on;
  const auto main = on.start(interrupt(state.max_iterations));
  timed(state, [&] { on.run(main); });
}

struct Throwing {
  std::exception_ptr& error;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  void await_resume() const { std::rethrow_exception(std::exchange(error, nullptr)); }
};

Bare bare_victim(std::exception_ptr& error, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    try {
      co_await Throwing{error};
    } catch (const InterruptException&) {
    }
  }
}

void floor(benchmark::State& state) {
  std::exception_ptr error;
  const Bare sleeper = bare_victim(error, state.max_iterations);
  sleeper.frame.resume();
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      error = std::make_exception_ptr(InterruptException());
      sleeper.frame.resume();
    }
  });
  sleeper.frame.destroy();
}

using AsioTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                               asio::io_context::executor_type>;

AsioCoro<void> asio_victim(AsioTimer& timer, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) {
    timer.expires_after(1h);
    try {
      co_await timer.async_wait(use_asio_coro);
    } catch (const std::system_error&) {
    }
  }
}

AsioCoro<void> asio_interrupt(asio::io_context& context, AsioTimer& timer, std::int64_t times) {
  co_await asio::post(context, use_asio_coro);
  for (std::int64_t i = 0; i < times; ++i) {
    timer.cancel();
    co_await asio::post(context, use_asio_coro);  // behind the victim
  }
}

void on_asio(benchmark::State& state) {
  OnAsio on;
  AsioTimer timer(on.context());
  asio::co_spawn(on.context(), asio_victim(timer, state.max_iterations), asio::detached);
  asio::co_spawn(on.context(), asio_interrupt(on.context(), timer, state.max_iterations), asio::detached);
  timed(state, [&] { on.run(); });
}

}  // namespace

void add_interrupt_rows(Rows& rows) {
  rows.push_back({.name = "interrupt/roundtrip", .ours = ours, .floor = floor, .peers = {{"asio", on_asio}}});
}

}  // namespace heirloop::bench
