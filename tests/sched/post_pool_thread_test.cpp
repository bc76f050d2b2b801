// The memory of posts: it comes back to those who post.
#include <heirloop/sched/post_pool.hpp>

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace heirloop::testing {
namespace {

using detail::PostPool;

std::vector<void*> take(std::size_t count) {
  std::vector<void*> blocks;
  for (std::size_t i = 0; i < count; ++i) blocks.push_back(PostPool::allocate());
  return blocks;
}

void give_back(const std::vector<void*>& blocks) {
  for (void* block : blocks) PostPool::deallocate(block);
}

TEST(PostPoolThread, gives_each_block_to_one_at_a_time) {
  const std::vector<void*> blocks = take(1000);
  EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), 1000U);
  give_back(blocks);
}

#ifndef HEIRLOOP_ASAN
TEST(PostPoolThread, brings_back_to_the_poster_what_another_thread_frees) {
  constexpr std::size_t many = 10 * PostPool::batch;
  std::set<void*> seen;
  for (int round = 0; round < 20; ++round) {
    std::vector<void*> blocks;
    std::jthread([&] { blocks = take(many); }).join();
    seen.insert(blocks.begin(), blocks.end());
    give_back(blocks);
  }
  // What may lie in a list meanwhile comes on top.
  EXPECT_LE(seen.size(), many + 4 * PostPool::batch);
}
#endif

TEST(PostPoolThread, holds_under_threads_that_give_to_each_other) {
  std::vector<std::jthread> threads;
  std::mutex mutex;
  std::vector<void*> between;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        std::vector<void*> mine = take(100);
        for (void* block : mine) *static_cast<int*>(block) = round;
        {
          const std::lock_guard guard(mutex);
          std::swap(mine, between);
        }
        give_back(mine);
      }
    });
  }
  threads.clear();
  give_back(between);
}

}  // namespace
}  // namespace heirloop::testing
