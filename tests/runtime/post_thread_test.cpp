// Posts from other threads into a running loop.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include <heirloop/heirloop.hpp>

namespace hl = heirloop;
using namespace std::chrono_literals;

namespace {

hl::Coro<void> until(const int& count, int wanted) {
  while (count < wanted) co_await hl::sleep(1ms);
}

TEST(PostThread, every_post_runs_once_on_the_loops_thread) {
  constexpr int threads = 4;
  constexpr int each = 2000;
  int count = 0;  // of the loop's thread alone
  hl::Runtime runtime;
  std::vector<std::thread> posters;
  for (int t = 0; t < threads; ++t) {
    posters.emplace_back([&] {
      for (int i = 0; i < each; ++i) runtime.post([&count] { ++count; });
    });
  }
  runtime.run(until(count, threads * each));
  for (auto& poster : posters) poster.join();
  EXPECT_EQ(count, threads * each);
}

TEST(PostThread, wakes_a_sleeping_loop) {
  hl::Runtime runtime;
  hl::TaskRef sleeper;
  std::atomic<bool> asleep{false};
  auto main = [](hl::TaskRef& self, std::atomic<bool>& ready) -> hl::Coro<void> {
    self = hl::current_task();
    ready = true;
    ready.notify_all();
    try {
      co_await hl::sleep(1h);
    } catch (const hl::Cancelled&) {
    }
  };
  std::thread waker([&] {
    asleep.wait(false);
    runtime.post([&sleeper] { sleeper.cancel(); });
  });
  runtime.run(main(sleeper, asleep));
  waker.join();
}

TEST(PostThread, a_task_handle_is_refused_on_another_thread) {
  hl::Runtime runtime;
  auto main = []() -> hl::Coro<void> {
    hl::TaskRef self = hl::current_task();
    std::thread stranger([&self] { EXPECT_THROW(self.set_priority(1), hl::InvalidStateError); });
    stranger.join();
    co_return;
  };
  runtime.run(main());
}

}  // namespace
