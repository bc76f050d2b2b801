// When a sleeping loop waits for several completions, and that nothing is late for it but by the window.
#include <heirloop/io/gather.hpp>

#include "io/io_support.hpp"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>

namespace heirloop::testing {
namespace {

constexpr std::int64_t us = 1'000;
constexpr std::int64_t second = 1'000'000'000;

/// A driver's side of Gather, in a time of its own.
struct Waits {
  Gather gather{40 * us};
  std::int64_t now_ns = second;
  std::uint64_t completions = 0;
  std::size_t busy = 100;
  std::vector<std::uint32_t> marks = std::vector<std::uint32_t>(100);
  std::size_t next = 0;

  /// A wait after `awake_ns`, for `asleep_ns`, which brings as many as it asks for, or `brought`.
  unsigned after(std::int64_t awake_ns, std::uint64_t brought = 0, std::int64_t asleep_ns = 0) {
    now_ns += awake_ns;
    const unsigned asked = gather.begin(now_ns, completions);
    now_ns += asleep_ns;
    for (std::uint64_t i = 0; i < (brought == 0 ? asked : brought); ++i) gather.ended(marks[next++ % busy]);
    completions += brought == 0 ? asked : brought;
    gather.end(now_ns, brought == 0 ? asked : brought);
    return asked;
  }
  unsigned after_many(int waits, std::int64_t awake_ns, std::uint64_t brought = 0, std::int64_t asleep_ns = 0) {
    unsigned asked = 0;
    for (int i = 0; i < waits; ++i) asked = after(awake_ns, brought, asleep_ns);
    return asked;
  }
};

TEST(Gather, asks_for_one_while_completions_come_slowly) {
  Waits waits;
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(waits.after(21 * us, 1), 1U);
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(waits.after(500 * us, 5), 1U);
}

TEST(Gather, asks_for_several_while_they_come_fast) {
  Waits waits;
  EXPECT_EQ(waits.after_many(200, 19 * us, 2), Gather::most);
  EXPECT_EQ(waits.after_many(200, 50 * us, 3), Gather::most);
}

TEST(Gather, asks_for_one_while_the_loop_sleeps_most_of_the_time) {
  Waits waits;
  EXPECT_EQ(waits.after_many(200, 11 * us, 2, 9 * us), Gather::most);
  EXPECT_EQ(waits.after_many(200, 9 * us, 2, 11 * us), 1U);
  EXPECT_EQ(waits.after_many(200, 11 * us, 2, 9 * us), Gather::most);
}

TEST(Gather, forgets_a_long_step) {
  Waits waits;
  ASSERT_EQ(waits.after_many(200, 9 * us, 2, 11 * us), 1U);
  waits.after(3'600 * second, 1'000);
  EXPECT_EQ(waits.after_many(100, 9 * us, 2, 11 * us), 1U);
}

TEST(Gather, asks_for_a_quarter_of_the_busy_at_most) {
  Waits waits;
  waits.busy = 12;
  EXPECT_EQ(waits.after_many(200, 19 * us, 10), 3U);
  waits.busy = 7;
  EXPECT_EQ(waits.after_many(200, 19 * us, 10), 1U);
}

TEST(Gather, gives_up_for_longer_and_longer_where_one_comes_alone) {
  Waits waits;
  ASSERT_EQ(waits.after_many(200, 19 * us, 2), Gather::most);
  int gathered = 0;
  for (int i = 0; i < 10'000; ++i) {
    if (waits.after(2 * us, 1) > 1) ++gathered;
  }
  EXPECT_LE(gathered, 8 + 10'000 / 256);
  EXPECT_GE(gathered, 8) << "it is tried again now and then";
  waits.after_many(300, 19 * us, 2);
  EXPECT_EQ(waits.after(19 * us, 2), Gather::most);
}

TEST(Gather, forgets_a_silence_and_a_burst) {
  Waits waits;
  ASSERT_EQ(waits.after_many(200, 19 * us, 2), Gather::most);
  EXPECT_EQ(waits.after(3'600 * second), 1U);
  EXPECT_EQ(waits.after_many(100, 19 * us, 2), Gather::most);
  EXPECT_EQ(waits.after_many(100, 50 * us, 1), 1U);
}

TEST(Gather, is_off_without_a_window) {
  Waits waits;
  for (const std::int64_t window_ns : {-us, std::int64_t{0}, us - 1}) {
    waits.gather = Gather(window_ns);
    EXPECT_EQ(waits.after_many(200, 1 * us, 10), 1U);
  }
}

// ---- on a ring ----

class Count final : public Operation {
 public:
  Count() : Operation(OperationKind::poll) {}
  Request& wants() noexcept { return request_; }
  static inline int ended = 0;

 private:
  void completed() noexcept override { ++ended; }
};

/// A ring that is used to completions, and polls of pipes in flight.
class GatherOnARing : public RingTest {
 protected:
  static constexpr int pipes = 64;

  void SetUp() override {
    RingTest::SetUp();
    for (auto& ends : ends_) ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    Count::ended = 0;
  }
  void TearDown() override {
    for (auto& ends : ends_) {
      ::close(ends[0]);
      ::close(ends[1]);
    }
    RingTest::TearDown();
  }

  void ready(int number) const { EXPECT_EQ(::write(ends_[number][1], "x", 1), 1); }

  /// Runs `body(driver)` where the next wait gathers for `window_ns`; false when this kernel can't.
  template <class Body>
  bool run_gathering(std::int64_t window_ns, Body body) {
    std::deque<Count> polls(pipes);
    UringDriver driver({.gather_ns = window_ns});
    if (driver.describe().find("gathering") == std::string::npos) return false;
    // Many ended in a period whose last wait is the next one. All start together, so that each has a slot of its own.
    std::deque<Count> busy(pipes);
    for (Count& one : busy) {
      one.wants().kind = OperationKind::nop;
      driver.start(one, Urgency{});
    }
    driver.submit();
    while (driver.in_flight() != 0) driver.harvest(second);
    for (unsigned i = 1; i < Gather::period; ++i) {
      driver.start(busy.front(), Urgency{});
      const std::int64_t begin = driver.now_ns();
      driver.wait(Driver::no_deadline);
      const std::int64_t end = driver.now_ns();
      while (driver.now_ns() - end < 2 * (end - begin)) {  // awake for longer than asleep, however slow the machine is
      }
    }
    EXPECT_EQ(driver.counters().gathers, 0U);
    Count::ended = 0;
    for (int i = 0; i < pipes; ++i) {
      polls[std::size_t(i)].wants().fd = ends_[i][0];
      polls[std::size_t(i)].wants().flags = POLLIN;
      driver.start(polls[std::size_t(i)], Urgency{});
    }
    driver.submit();
    body(driver);
    return true;
  }

  int ends_[pipes][2];
};

TEST_F(GatherOnARing, brings_several_with_one_wait) {
  const bool ran = run_gathering(600 * second, [&](UringDriver& driver) {
    std::optional<std::thread> other;
    while (Count::ended < pipes) {
      const auto gathers = driver.counters().gathers;
      const int ended = Count::ended;
      if (!other) {
        other.emplace([&] {
          for (int i = 0; i < pipes; ++i) ready(i);
        });
      }
      // A wait for more than will come would last for the whole window: the rest is waited for without gathering.
      const bool enough_to_come = pipes - ended >= static_cast<int>(Gather::most);
      driver.wait(enough_to_come ? Driver::no_deadline : driver.now_ns() + 1'000 * us);
      if (driver.counters().gathers != gathers) {
        EXPECT_GE(Count::ended - ended, 2);
      }
    }
    other->join();
  });
  if (!ran) GTEST_SKIP() << "this kernel does not gather";
}

TEST_F(GatherOnARing, keeps_the_deadline) {
  bool ran = run_gathering(1'000 * us, [](UringDriver& driver) {
    const std::int64_t deadline = driver.now_ns() + 5'000 * us;
    while (driver.now_ns() < deadline) driver.wait(deadline);
  });
  // A deadline within the window: no gathering, for the end would be late.
  ran = ran && run_gathering(600 * second, [](UringDriver& driver) {
    const std::int64_t deadline = driver.now_ns() + 2'000 * us;
    while (driver.now_ns() < deadline) driver.wait(deadline);
    EXPECT_EQ(driver.counters().gathers, 0U);
  });
  if (!ran) GTEST_SKIP() << "this kernel does not gather";
}

TEST_F(GatherOnARing, gives_one_alone_at_the_end_of_the_window) {
  const bool ran = run_gathering(5'000 * us, [&](UringDriver& driver) {
    std::thread other([&] { ready(7); });
    while (Count::ended == 0) driver.wait(Driver::no_deadline);
    other.join();
    EXPECT_EQ(Count::ended, 1);
  });
  if (!ran) GTEST_SKIP() << "this kernel does not gather";
}

TEST_F(GatherOnARing, sleeps_on_when_nothing_comes_within_the_window) {
  const bool ran = run_gathering(1'000 * us, [&](UringDriver& driver) {
    std::thread other([&, until = driver.now_ns() + 20'000 * us] {  // most of the time longer than the window
      while (driver.now_ns() < until) std::this_thread::yield();
      ready(7);
    });
    driver.wait(Driver::no_deadline);
    EXPECT_EQ(driver.counters().gathers, 1U);
    EXPECT_EQ(Count::ended, 1) << "the end of the window alone ended the wait";
    other.join();
  });
  if (!ran) GTEST_SKIP() << "this kernel does not gather";
}

TEST_F(GatherOnARing, is_woken_from_another_thread) {
  const bool ran = run_gathering(5'000 * us, [&](UringDriver& driver) {
    std::thread other([&] { driver.wake(); });
    driver.wait(Driver::no_deadline);
    other.join();
    EXPECT_EQ(Count::ended, 0);
  });
  if (!ran) GTEST_SKIP() << "this kernel does not gather";
}

TEST_F(GatherOnARing, is_off_where_asked_or_not_possible) {
  EXPECT_EQ(UringDriver({.gather_ns = 999}).describe().find("gathering"), std::string::npos);
  EXPECT_EQ(UringDriver({.best_mode = UringMode::plain}).describe().find("gathering"), std::string::npos);
}

}  // namespace
}  // namespace heirloop::testing
