// to_thread, post/alone, post/1M: what crosses threads.
//
// to_thread: a function that does nothing, run on a thread and awaited. Floor: two threads that hand one word over and back
// with a mutex and condition variables. Asio: a thread_pool that posts back to the context.
//
// post/alone: a function posted to a loop that sleeps, until it has run there. Floor: the same with a plain list under a
// mutex and a condition variable.
//
// post/1M: a million functions posted to a loop in another thread, as fast as they go; the time of the poster. The loop
// works them off meanwhile. Floor: as above.
//
// Time is the CPU time of the thread that asks, as everywhere: what it waits is not in it, so these say what a call costs
// its caller, not how long it takes. The loops run on a real ring.
#include "row.hpp"

#include <heirloop/heirloop.hpp>
#include <heirloop/io/uring_driver.hpp>

#include <asio.hpp>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace heirloop::bench {
namespace {

constexpr std::int64_t million = 1'000'000;

// ---- to_thread ----

Coro<void> ask(ThreadPool& pool, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await run_in_executor(pool, [] {});
}

void ours_to_thread(benchmark::State& state) {
  UringDriver driver;
  Loop loop(driver, {});
  {
    ThreadPool pool(1, loop);
    loop.run_until_done(loop.create_task(ask(pool, 100)));
    const auto main = loop.create_task(ask(pool, state.max_iterations));
    timed(state, [&] { loop.run_until_done(main); });
  }
  loop.finish();
}

/// A word that two threads hand to each other.
class HandOver {
 public:
  void give(int word) {
    {
      const std::lock_guard guard(mutex_);
      word_ = word;
    }
    changed_.notify_one();
  }
  void await(int word) {
    std::unique_lock guard(mutex_);
    changed_.wait(guard, [&] { return word_ == word; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int word_ = 0;
};

void floor_to_thread(benchmark::State& state) {
  HandOver there;
  HandOver back;
  const std::int64_t times = state.max_iterations + 100;
  std::thread other([&] {
    for (std::int64_t i = 0; i < times; ++i) {
      there.await(1 + static_cast<int>(i & 1));
      back.give(1 + static_cast<int>(i & 1));
    }
  });
  const auto rounds = [&](std::int64_t from, std::int64_t to) {
    for (std::int64_t i = from; i < to; ++i) {
      there.give(1 + static_cast<int>(i & 1));
      back.await(1 + static_cast<int>(i & 1));
    }
  };
  rounds(0, 100);
  timed(state, [&] { rounds(100, times); });
  other.join();
}

void asio_to_thread(benchmark::State& state) {
  asio::io_context context(1);
  asio::thread_pool pool(1);
  const auto guard = asio::make_work_guard(context);
  std::int64_t left = 100;
  std::function<void()> next = [&] {
    asio::post(pool, [&] {
      asio::post(context, [&] {
        if (--left == 0) {
          context.stop();
        } else {
          next();
        }
      });
    });
  };
  next();
  context.run();
  left = state.max_iterations;
  context.restart();
  next();
  timed(state, [&] { context.run(); });
  pool.join();
}

// ---- posts ----

/// A loop in a thread of its own that sleeps when nothing is posted.
class LoopThread {
 public:
  LoopThread() {
    std::promise<Loop*> ready;
    auto there = ready.get_future();
    thread_ = std::thread([&] {
      UringDriver driver;
      Loop loop(driver, {});
      Promise<void> end;
      end_ = &end;
      ready.set_value(&loop);
      const auto main = [](Future<void> until) -> Coro<void> { co_await until; };
      loop.run_until_done(loop.create_task(main(end.future())));
      loop.finish();
    });
    loop_ = there.get();
  }
  ~LoopThread() {
    loop_->post([this] { end_->set_value(); });
    thread_.join();
  }

  template <class F>
  void post(F&& function) {
    loop_->post(std::forward<F>(function));
  }

 private:
  std::thread thread_;
  Loop* loop_ = nullptr;
  Promise<void>* end_ = nullptr;
};

class AsioThread {
 public:
  AsioThread() : guard_(asio::make_work_guard(context_)), thread_([this] { context_.run(); }) {}
  ~AsioThread() {
    guard_.reset();
    thread_.join();
  }

  template <class F>
  void post(F&& function) {
    asio::post(context_, std::forward<F>(function));
  }

 private:
  asio::io_context context_;
  asio::executor_work_guard<asio::io_context::executor_type> guard_;
  std::thread thread_;
};

/// Functions in a list under a mutex, taken whole.
class PlainThread {
 public:
  PlainThread() : thread_([this] { work(); }) {}
  ~PlainThread() {
    post([this] { ended_ = true; });
    thread_.join();
  }

  template <class F>
  void post(F&& function) {
    bool first = false;
    {
      const std::lock_guard guard(mutex_);
      first = posted_.empty();
      posted_.emplace_back(std::forward<F>(function));
    }
    if (first) changed_.notify_one();
  }

 private:
  void work() {
    std::vector<std::function<void()>> taken;
    while (!ended_) {
      {
        std::unique_lock guard(mutex_);
        changed_.wait(guard, [this] { return !posted_.empty(); });
        taken.swap(posted_);
      }
      for (const auto& function : taken) function();
      taken.clear();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::function<void()>> posted_;
  bool ended_ = false;
  std::thread thread_;
};

template <class Thread>
void post_alone(benchmark::State& state) {
  Thread thread;
  std::atomic<std::int64_t> ran{0};
  const auto one = [&](std::int64_t number) {
    thread.post([&ran] {
      ran.fetch_add(1);
      ran.notify_one();
    });
    ran.wait(number);
  };
  for (std::int64_t i = 0; i < 100; ++i) one(i);
  timed(state, [&] {
    for (std::int64_t i = 0; i < state.max_iterations; ++i) one(100 + i);
  });
}

template <class Thread>
void post_many(benchmark::State& state) {
  Thread thread;
  std::atomic<std::int64_t> ran{0};
  const auto many = [&](std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) {
      thread.post([&ran] { ran.store(ran.load(std::memory_order_relaxed) + 1, std::memory_order_release); });
    }
  };
  const auto until = [&](std::int64_t times) {
    while (ran.load(std::memory_order_acquire) != times) std::this_thread::yield();
  };
  many(million);
  until(million);
  timed(state, [&] { many(state.max_iterations); });
  until(million + state.max_iterations);
}

}  // namespace

void add_thread_rows(Rows& rows) {
  rows.push_back({.name = "to_thread",
                  .ours = ours_to_thread,
                  .floor = floor_to_thread,
                  .peers = {{"asio", asio_to_thread}}});
  rows.push_back({.name = "post/alone",
                  .ours = post_alone<LoopThread>,
                  .floor = post_alone<PlainThread>,
                  .peers = {{"asio", post_alone<AsioThread>}}});
  rows.push_back({.name = "post/1M",
                  .ours = post_many<LoopThread>,
                  .floor = post_many<PlainThread>,
                  .peers = {{"asio", post_many<AsioThread>}},
                  .unit = million});
}

}  // namespace heirloop::bench
