// What reaches a loop from other threads and from signal handlers.
#include "io/io_support.hpp"

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>

namespace heirloop::testing {
namespace {

class WakeThread : public RingTest {};

/// Nobody opens it but a call from outside: the loop sleeps without a deadline until then.
class Gate {
 public:
  class Entry final : public Wait {
   public:
    explicit Entry(Gate& gate) noexcept : gate_(gate) {}
    bool await_ready() const noexcept { return gate_.open_; }
    void await_suspend(std::coroutine_handle<> frame) {
      gate_.entry_ = this;
      Loop::current().block(*this, frame);
    }
    void await_resume() const {
      if (task() != nullptr) Loop::resumed();
    }
    AbortResult abort() noexcept override {
      gate_.entry_ = nullptr;
      return AbortResult::done;
    }
    std::string describe() const override { return "a gate"; }

   private:
    Gate& gate_;
  };

  Entry pass() noexcept { return Entry(*this); }
  void open() {
    open_ = true;
    if (Entry* entry = std::exchange(entry_, nullptr)) entry->task()->loop().wake(*entry);
  }

 private:
  bool open_ = false;
  Entry* entry_ = nullptr;
};

TEST_F(WakeThread, posts_wake_a_sleeping_loop_one_by_one) {
  RingLoop ring;
  constexpr int count = 2000;
  std::atomic<int> seen{0};
  Gate gate;
  std::thread other([&] {
    for (int i = 1; i <= count; ++i) {
      ring.loop.post([&, i] {
        seen.store(i);
        if (i == count) gate.open();
      });
      while (seen.load() != i) std::this_thread::yield();
    }
  });
  ring.run([](Gate& to) -> Coro<void> { co_await to.pass(); }(gate));
  other.join();
  EXPECT_EQ(seen.load(), count);
}

TEST_F(WakeThread, posts_of_many_threads_all_arrive_beside_input_and_output) {
  RingLoop ring;
  constexpr int threads = 4;
  constexpr int each = 500;
  int arrived = 0;
  Gate gate;
  std::vector<std::thread> others;
  for (int t = 0; t < threads; ++t) {
    others.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        ring.loop.post([&] {
          if (++arrived == threads * each) gate.open();
        });
      }
    });
  }
  const auto echo = [](TcpStream& from) -> Coro<void> {
    while (co_await from.fill()) {
      std::string bytes(from.unread());
      from.consume(bytes.size());
      co_await from.write(std::move(bytes));
    }
  };
  ring.run([](Gate& to, auto serve) -> Coro<void> {
    Connection pair = co_await connected_pair();
    auto server = create_task(serve(pair.server));
    for (int i = 0; i < 200; ++i) {
      co_await pair.client.write("x\n");
      const auto line = co_await pair.client.read_line();
      EXPECT_EQ(line, "x");
    }
    co_await to.pass();
    co_await pair.client.close();
    co_await server;
  }(gate, echo));
  for (auto& other : others) other.join();
  EXPECT_EQ(arrived, threads * each);
}

/// A ring that counts its wakes (each is one write to an eventfd) and tells when the loop is about to sleep.
class CountingDriver final : public Driver {
 public:
  CountingDriver() { look_ = something_came; }

  std::int64_t now_ns() noexcept override { return ring_.now_ns(); }
  void harvest(std::int64_t budget_ns) override {
    if (ring_.completions_pending()) ring_.harvest(budget_ns);
  }
  void submit() override { ring_.submit(); }
  void wait(std::int64_t deadline_ns) override {
    ++waits;
    waits.notify_all();
    ring_.wait(deadline_ns);
  }
  void set_tick(std::int64_t deadline_ns) override { ring_.set_tick(deadline_ns); }
  void wake() noexcept override {
    ++wakes;
    ring_.wake();
  }

  std::atomic<int> waits{0};
  std::atomic<int> wakes{0};

 private:
  UringDriver ring_;
};

TEST_F(WakeThread, many_posts_wake_a_sleeping_loop_with_one_system_call) {
  CountingDriver driver;
  Loop loop(driver, {});
  constexpr int count = 10'000;
  int ran = 0;
  std::atomic<bool> held{false};
  std::atomic<bool> released{false};
  Gate gate;
  std::thread other([&] {
    driver.waits.wait(0);
    // The loop sleeps, or is on its last look before it does. What wakes it keeps it until all have been posted.
    loop.post([&] {
      held = true;
      held.notify_all();
      released.wait(false);
    });
    held.wait(false);
    for (int i = 0; i < count; ++i) {
      loop.post([&] {
        if (++ran == count) gate.open();
      });
    }
    EXPECT_EQ(driver.wakes.load(), 1);
    released = true;
    released.notify_all();
  });
  const auto task = loop.create_task([](Gate& to) -> Coro<void> { co_await to.pass(); }(gate));
  loop.run_until_done(task);
  loop.finish();
  other.join();
  EXPECT_EQ(ran, count);
  EXPECT_EQ(driver.wakes.load(), 1);
}

UringDriver* woken_by_signal = nullptr;
std::atomic<bool> handled{false};

TEST_F(WakeThread, a_signal_handler_wakes_a_driver_that_waits) {
  UringDriver driver;
  woken_by_signal = &driver;
  const auto before = std::signal(SIGUSR1, [](int) {
    handled.store(true);
    woken_by_signal->wake();
  });
  // Before the wait: it ends at once.
  for (int i = 0; i < 100; ++i) {
    std::raise(SIGUSR1);
    driver.wait(Driver::no_deadline);
  }
  // During it.
  handled.store(false);
  const pthread_t waiter = ::pthread_self();
  std::thread other([&] { ::pthread_kill(waiter, SIGUSR1); });
  while (!handled.load()) driver.wait(Driver::no_deadline);
  other.join();
  std::signal(SIGUSR1, before);
}

TEST_F(WakeThread, signals_that_hit_another_thread_reach_the_watch) {
  RingLoop ring;
  ring.run([]() -> Coro<void> {
    SignalWatch watch({SIGUSR1});
    std::atomic<int> taken{0};
    std::thread other([&] {
      for (int i = 1; i <= 50; ++i) {
        ::pthread_kill(::pthread_self(), SIGUSR1);
        while (taken.load() != i) std::this_thread::yield();
      }
    });
    for (int i = 1; i <= 50; ++i) {
      const int signal = co_await watch.next();
      EXPECT_EQ(signal, SIGUSR1);
      taken.store(i);
    }
    other.join();
  }());
}

}  // namespace
}  // namespace heirloop::testing
