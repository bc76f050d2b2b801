// Posts from other threads: none is lost, each thread's come in order, a sleeping loop is woken; the pool of
// one thread takes blocks of another; handles of tasks stay in their thread.
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/operations.hpp>

#include "support/property.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace heirloop::testing {
namespace {

/// Sleeps on a condition variable until it is woken; counts how often.
class BlockingDriver final : public Driver {
 public:

  std::int64_t now_ns() noexcept override { return ++now_ns_; }
  void harvest(std::int64_t) override {}
  void submit() override {}
  void wait(std::int64_t) override {
    std::unique_lock lock(mutex_);
    woken_now_.wait(lock, [&] { return woken_; });
    woken_ = false;
  }
  void set_tick(std::int64_t) override {}
  void wake() noexcept override {
    const std::lock_guard lock(mutex_);
    ++wakes_;
    woken_ = true;
    woken_now_.notify_one();
  }

  std::size_t wakes() {
    const std::lock_guard lock(mutex_);
    return wakes_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable woken_now_;
  bool woken_ = false;
  std::size_t wakes_ = 0;
  std::int64_t now_ns_ = 0;
};

/// Blocks until it is told to go on, from a posted function.
class Gate final : public Wait {
 public:
  bool await_ready() const noexcept { return open_; }
  void await_suspend(std::coroutine_handle<> frame) { Loop::current().block(*this, frame); }
  void await_resume() const {
    if (task() != nullptr) Loop::resumed();
  }
  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return "a gate"; }
  void open() {
    open_ = true;
    if (is_blocked()) task()->loop().wake(*this);
  }

 private:
  bool open_ = false;
};

TEST(PostThread, loses_nothing_and_keeps_each_threads_order) {
  BlockingDriver driver;
  Loop loop(driver, {});
  constexpr int threads = 4;
  const int posts = nightly() ? 200'000 : 5'000;
  std::vector<int> last(threads, -1);
  int count = 0;
  Gate all;
  const auto task = loop.create_task([](Gate& gate) -> Coro<void> { co_await gate; }(all));
  std::vector<std::jthread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&, t] {
      for (int i = 0; i < posts; ++i) {
        loop.post([&, t, i] {
          EXPECT_EQ(last[static_cast<std::size_t>(t)], i - 1);
          last[static_cast<std::size_t>(t)] = i;
          if (++count == threads * posts) all.open();
        });
      }
    });
  }
  loop.run_until_done(task);
  loop.finish();
  posters.clear();
  EXPECT_EQ(count, threads * posts);
  EXPECT_LE(driver.wakes(), static_cast<std::size_t>(threads * posts));
}

/// One post at a time, each after the loop has gone to sleep or is about to: the race of "asleep" and
/// "posted".
TEST(PostThread, wakes_a_loop_that_is_falling_asleep) {
  BlockingDriver driver;
  Loop loop(driver, {});
  const int rounds = nightly() ? 500'000 : 20'000;
  std::atomic<int> seen{0};
  Gate end;
  const auto task = loop.create_task([](Gate& gate) -> Coro<void> { co_await gate; }(end));
  std::jthread poster([&] {
    for (int i = 1; i <= rounds; ++i) {
      loop.post([&, i] { seen.store(i, std::memory_order_release); });
      while (seen.load(std::memory_order_acquire) != i) std::this_thread::yield();
    }
    loop.post([&] { end.open(); });
  });
  loop.run_until_done(task);
  loop.finish();
  EXPECT_EQ(seen.load(), rounds);
}

TEST(PostThread, what_was_posted_and_never_ran_is_disposed_of) {
  const auto kept = std::make_shared<int>(1);
  {
    BlockingDriver driver;
    Loop loop(driver, {});
    std::jthread([&] {
      for (int i = 0; i < 100; ++i) loop.post([kept] {});
    }).join();
  }
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(PostThread, a_task_handle_is_refused_in_another_thread) {
  BlockingDriver driver;
  Loop loop(driver, {});
  Gate gate;
  const auto task = loop.create_task([](Gate& g) -> Coro<void> { co_await g; }(gate));
  std::jthread([&] {
    EXPECT_THROW(task.cancel(), InvalidStateError);
    EXPECT_THROW(task.set_priority(1), InvalidStateError);
    EXPECT_THROW(task.set_name("x"), InvalidStateError);
    EXPECT_THROW(task_throw(task, InterruptException()), InvalidStateError);
    EXPECT_THROW(Loop::current(), InvalidStateError);
  }).join();
  loop.post([&] { gate.open(); });
  loop.run_until_done(task);
  loop.finish();
}

TEST(PostThread, a_pool_takes_blocks_of_another_thread) {
  std::vector<void*> blocks;
  std::jthread([&] {
    for (int i = 0; i < 1000; ++i) blocks.push_back(detail::FramePool::allocate(200));
  }).join();
  for (void* block : blocks) detail::FramePool::deallocate(block, 200);
  std::jthread([] {
    void* block = detail::FramePool::allocate(200);
    detail::FramePool::deallocate(block, 200);
  }).join();
}

TEST(PostThread, each_thread_can_run_a_loop) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([] {
      BlockingDriver driver;
      Loop loop(driver, {});
      int sum = 0;
      const auto task = loop.create_task([](int& s) -> Coro<void> {
        for (int i = 0; i < 1000; ++i) {
          co_await create_task([](int& x) -> Coro<void> {
            co_await sleep(0);
            ++x;
          }(s));
        }
      }(sum));
      loop.run_until_done(task);
      loop.finish();
      EXPECT_EQ(sum, 1000);
    });
  }
}

}  // namespace
}  // namespace heirloop::testing
