// A wait for a job in a thread, stopped at every moment that the loop meets: queued, running, ended and not
// yet delivered (support/suspension_harness.hpp). What has begun runs to its end, once; what has not never
// runs; the threads are there for others.
// (`to_thread` is `run_in_executor` on the runtime's own pool.)
#include "io/ring_stage.hpp"
#include "runtime/thread_support.hpp"

#include <atomic>
#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Two threads, both taken at first, so that the victim's first job is queued.
template <WhenLeft when_left>
struct JobScene {
  Event ready;
  std::optional<ThreadPool> pool;
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  int values = 0;
  int others_done = 0;

  Coro<int> job(JobOptions options) {
    auto function = [this] {
      ++begun;
      return ++ended;
    };
    co_return co_await run_in_executor(*pool, std::move(function), options);
  }
  Coro<void> operate() {
    co_await ready.wait();
    for (int i = 0; i < 3; ++i) {
      co_await job({.when_left = when_left});
      ++values;
    }
  }
  Coro<void> hold(Hold& door) {
    co_await run_in_executor(*pool, [&door] { door.pass(); });
  }
  Coro<void> other() {
    co_await job({});
    ++others_done;
  }
  Coro<void> help() {
    pool.emplace(2);
    Hold doors[2];
    const auto first = create_task(hold(doors[0]), {.eager_start = true});
    const auto second = create_task(hold(doors[1]), {.eager_start = true});
    ready.set();
    co_await until([&] { return doors[0].arrived() && doors[1].arrived(); });
    const auto behind = create_task(other(), {.eager_start = true});
    co_await sleep(50us);
    for (Hold& door : doors) door.open();
    co_await first;
    co_await second;
    co_await behind;
  }
  Coro<void> after() {
    EXPECT_EQ(pool->queued(), 0U);
    if (when_left == WhenLeft::waits) {
      EXPECT_EQ(pool->running(), 0U) << "it was awaited";
    }
    co_await other();
    pool.reset();
    EXPECT_EQ(begun, ended);
    EXPECT_GE(ended, values + others_done);
    EXPECT_LE(ended, values + others_done + 1) << "of those that the victim did not see end";
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(others_done, 2);
    EXPECT_TRUE(values == 3 || ending == Ending::stopped);
  }
};

struct AwaitedJobScene : JobScene<WhenLeft::waits> {};
struct AbandonedJobScene : JobScene<WhenLeft::abandons> {};

TEST(StoppedJobsEverywhere, awaited) { stop_on_the_ring<AwaitedJobScene>(); }
TEST(StoppedJobsEverywhere, abandoned) { stop_on_the_ring<AbandonedJobScene>(); }

}  // namespace
}  // namespace heirloop::testing
