// Handles (plain functions as steps) and the memory that frames and handles circulate in.
#include <heirloop/sched/callback.hpp>
#include <heirloop/sched/frame_pool.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// Notes the ends of its copies.
template <std::size_t Size>
struct Sized {
  explicit Sized(int& live) : count(&live) { ++live; }
  Sized(const Sized& other) : count(other.count) { ++*count; }
  Sized& operator=(const Sized&) = delete;
  ~Sized() { --*count; }
  void operator()() const { *count += 100; }
  int* count;
  std::array<char, Size> bulk{};
};

template <std::size_t Size>
void run_and_dispose(Callback::Origin origin) {
  int live = 0;
  {
    const Sized<Size> function(live);
    Callback* callback = Callback::create(function, origin);
    EXPECT_EQ(live, 2);
    (*callback)();
    EXPECT_EQ(live, 102);
    callback->dispose();
    EXPECT_EQ(live, 101);
    Callback::create(function, origin)->dispose();  // never run
  }
  EXPECT_EQ(live, 100);
}

TEST(CallbackTest, holds_callables_of_every_size) {
  for (const auto origin : {Callback::Origin::loop, Callback::Origin::other_thread}) {
    run_and_dispose<1>(origin);
    run_and_dispose<40>(origin);  // 48 bytes in all: the largest inside
    run_and_dispose<41>(origin);  // the smallest outside
    run_and_dispose<5000>(origin);
  }
}

TEST(CallbackTest, takes_move_only_callables_and_aligned_ones) {
  int got = 0;
  auto owner = std::make_unique<int>(3);
  Callback* callback = Callback::create([p = std::move(owner), &got] { got = *p; }, Callback::Origin::loop);
  (*callback)();
  callback->dispose();
  EXPECT_EQ(got, 3);

  struct alignas(64) Aligned {
    int value = 9;
  };
  std::uintptr_t address = 1;
  Callback* aligned = Callback::create(
      [a = Aligned{}, &address] { address = reinterpret_cast<std::uintptr_t>(&a); }, Callback::Origin::loop);
  (*aligned)();
  aligned->dispose();
  EXPECT_EQ(address % 64, 0U);
}

struct ThrowsOnCopy {
  ThrowsOnCopy() = default;
  ThrowsOnCopy(const ThrowsOnCopy&) { throw std::runtime_error("copy"); }
  ThrowsOnCopy& operator=(const ThrowsOnCopy&) = delete;
  void operator()() const {}
};

TEST(CallbackTest, leaks_nothing_when_the_callable_can_not_be_copied) {
  const ThrowsOnCopy function;
  EXPECT_THROW(Callback::create(function, Callback::Origin::loop), std::runtime_error);
  EXPECT_THROW(Callback::create(function, Callback::Origin::other_thread), std::runtime_error);
}

TEST(CallSoon, runs_as_a_step_of_its_own_with_the_creators_priority) {
  LoopOptions options;
  options.policy = PolicyKind::strict;
  Sim sim(options);
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    const auto say = [&o](std::string what) { return [&o, what] { o.push_back(what); }; };
    s.loop.call_soon(say("normal 1"));
    auto high = create_task(
        [](Sim& t, auto& speak) -> Coro<void> {
          t.loop.call_soon(speak("high"));
          co_return;
        }(s, say),
        {.priority = -10.0});
    auto low = create_task(
        [](Sim& t, auto& speak) -> Coro<void> {
          t.loop.call_soon(speak("low"));
          co_await sleep(0);
          t.loop.call_soon([&t, speak] { t.loop.call_soon(speak("from a handle")); });
        }(s, say),
        {.priority = 10.0, .eager_start = true});
    s.loop.call_soon(say("normal 2"));
    co_await sleep(1ms);
  }(sim, order));
  EXPECT_EQ(order, (Order{"high", "normal 1", "normal 2", "low", "from a handle"}));
}

TEST(CallSoon, logs_an_exception_and_goes_on) {
  LogCapture log;
  Sim sim;
  bool ran = false;
  sim.run([](Sim& s, bool& r) -> Coro<void> {
    s.loop.call_soon([] { throw std::runtime_error("from the handle"); });
    s.loop.call_soon([] { throw Cancelled("odd"); });
    s.loop.call_soon([] { throw 5; });
    s.loop.call_soon([&r] { r = true; });
    co_await sleep(1ms);
  }(sim, ran));
  EXPECT_TRUE(ran);
  EXPECT_EQ(log.count("a callback failed"), 3U) << log.text();
  EXPECT_EQ(log.count("from the handle"), 1U);
}

TEST(CallSoon, that_never_ran_is_disposed_of_with_the_loop) {
  const auto kept = std::make_shared<int>(1);
  {
    Sim sim;
    sim.run([](Sim& s, std::shared_ptr<int> p) -> Coro<void> {
      s.loop.call_soon([p] {});
      co_return;
    }(sim, kept));
    sim.loop.post([kept] {});
  }
  EXPECT_EQ(kept.use_count(), 1);
}

TEST(Post, from_the_loops_own_thread_runs_in_order_and_by_priority) {
  LoopOptions options;
  options.policy = PolicyKind::strict;
  Sim sim(options);
  Order order;
  sim.run([](Sim& s, Order& o) -> Coro<void> {
    for (const char* name : {"a", "b", "c"}) s.loop.post([&o, name] { o.push_back(name); });
    s.loop.post([&o] { o.push_back("high"); }, -10);
    EXPECT_THROW(s.loop.post([] {}, std::nan("")), std::invalid_argument);
    co_await sleep(1ms);
  }(sim, order));
  EXPECT_EQ(order, (Order{"high", "a", "b", "c"}));
}

// ---- memory ----

TEST(FramePoolTest, gives_a_block_of_the_same_class_again) {
  using detail::FramePool;
  for (const std::size_t size : {std::size_t{1}, std::size_t{64}, std::size_t{65}, FramePool::largest}) {
    void* first = FramePool::allocate(size);
    std::memset(first, 0xab, size);
    FramePool::deallocate(first, size);
    void* again = FramePool::allocate(size);
    EXPECT_EQ(first, again) << size;
    std::memset(again, 0xcd, size);
    void* other = FramePool::allocate(size);
    EXPECT_NE(again, other);
    FramePool::deallocate(other, size);
    FramePool::deallocate(again, size);
  }
}

TEST(FramePoolTest, passes_what_is_larger_on) {
  using detail::FramePool;
  void* block = FramePool::allocate(FramePool::largest + 1);
  std::memset(block, 1, FramePool::largest + 1);
  FramePool::deallocate(block, FramePool::largest + 1);
}

TEST(FramePoolTest, classes_do_not_mix) {
  using detail::FramePool;
  void* small = FramePool::allocate(64);
  FramePool::deallocate(small, 64);
  void* large = FramePool::allocate(128);
  EXPECT_NE(small, large);
  FramePool::deallocate(large, 128);
}

}  // namespace
}  // namespace heirloop::testing
