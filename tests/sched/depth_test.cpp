// Awaits as many and as deep as memory holds, in every build: nothing nests on the machine stack.
#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>

#include "support/sim.hpp"

namespace heirloop::testing {
namespace {

Coro<std::int64_t> ready(std::int64_t value) { co_return value; }

TEST(Depth, ten_million_awaits_of_a_child_that_never_blocks) {
  SimDriver driver;
  Loop loop(driver, {});
  run_to_end(loop, []() -> Coro<void> {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < 10'000'000; ++i) sum += co_await ready(1);
    EXPECT_EQ(sum, 10'000'000);
  }());
}

Coro<std::int64_t> chain(std::int64_t length) {
  if (length == 0) {
    co_await sleep(0);  // the whole chain is suspended once
    co_return 0;
  }
  const std::int64_t below = co_await chain(length - 1);
  co_return below + 1;
}

TEST(Depth, a_chain_of_awaits_one_million_deep) {
  SimDriver driver;
  Loop loop(driver, {});
  run_to_end(loop, []() -> Coro<void> {
    const std::int64_t length = co_await chain(1'000'000);
    EXPECT_EQ(length, 1'000'000);
  }());
}

TEST(Depth, a_deep_chain_unwinds_when_its_task_is_cancelled) {
  SimDriver driver;
  Loop loop(driver, {});
  run_to_end(loop, []() -> Coro<void> {
    auto task = create_task(chain(100'000), {.eager_start = true});
    task.cancel();
    bool cancelled = false;
    try {
      co_await task;
    } catch (const Cancelled&) {
      cancelled = true;
    }
    EXPECT_TRUE(cancelled);
  }());
}

}  // namespace
}  // namespace heirloop::testing
