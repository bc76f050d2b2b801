// The ring driver by itself and under a loop: order of submission, full queues, tick, wake, modes, the end.
#include <heirloop/io/uring_driver.hpp>

#include "io/io_support.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <csignal>
#include <deque>

namespace heirloop::testing {
namespace {

using ::testing::HasSubstr;

/// Notes the order of completions.
class Noted final : public Operation {
 public:
  Noted(std::vector<int>& order, int number, OperationKind kind = OperationKind::nop)
      : Operation(kind), order_(order), number_(number) {}

  Request& wants() noexcept { return request_; }

 private:
  void completed() noexcept override { order_.push_back(number_); }

  std::vector<int>& order_;
  int number_;
};

void wait_until(UringDriver& driver, const auto& done) {
  while (!done()) driver.wait(Driver::no_deadline);
}

class UringDriverTest : public RingTest, public ::testing::WithParamInterface<UringMode> {
 protected:
  static UringOptions options(unsigned entries = 256) { return {.entries = entries, .best_mode = GetParam()}; }
};

INSTANTIATE_TEST_SUITE_P(Modes, UringDriverTest,
                         ::testing::Values(UringMode::deferred, UringMode::plain),
                         [](const auto& test) { return test.param == UringMode::deferred ? "deferred" : "plain"; });

TEST_P(UringDriverTest, says_what_it_is) {
  UringDriver driver(options());
  EXPECT_THAT(driver.describe(), HasSubstr("io_uring ("));
  EXPECT_EQ(driver.in_flight(), 0U);
}

TEST_P(UringDriverTest, takes_far_more_operations_than_the_ring_holds) {
  UringDriver driver(options(16));
  constexpr int count = 5000;
  std::vector<int> order;
  std::deque<Noted> operations;
  for (int i = 0; i < count; ++i) driver.start(operations.emplace_back(order, i), Urgency{});
  EXPECT_EQ(driver.in_flight(), std::size_t{count});
  wait_until(driver, [&] { return order.size() == count; });
  for (int i = 0; i < count; ++i)
    ASSERT_EQ(order[static_cast<std::size_t>(i)], i) << "equals leave in the order of their starts";
  EXPECT_EQ(driver.in_flight(), 0U);
}

TEST_P(UringDriverTest, loses_no_completion_that_finds_no_room) {
  UringDriver driver({.entries = 16, .completion_entries = 16, .best_mode = GetParam()});
  std::vector<int> order;
  std::deque<Noted> operations;
  const int event = ::eventfd(0, EFD_CLOEXEC);
  for (int i = 0; i < 500; ++i) {
    Noted& poll = operations.emplace_back(order, i, OperationKind::poll);
    poll.wants().fd = event;
    poll.wants().flags = POLLIN;
    driver.start(poll, Urgency{});
  }
  driver.submit();
  const std::uint64_t one = 1;
  EXPECT_EQ(::write(event, &one, sizeof(one)), ssize_t{sizeof(one)});
  wait_until(driver, [&] { return order.size() == operations.size(); });
  EXPECT_EQ(driver.in_flight(), 0U);
  ::close(event);
}

TEST_P(UringDriverTest, submits_the_urgent_first_when_a_batch_can_not_hold_all) {
  UringDriver driver(options(16));
  std::vector<int> order;
  std::deque<Noted> operations;
  for (int i = 0; i < 100; ++i) driver.start(operations.emplace_back(order, 1), Urgency{priority::low});
  EXPECT_TRUE(driver.holds_more_urgent_than(Urgency{priority::when_idle}));
  EXPECT_FALSE(driver.holds_more_urgent_than(Urgency{priority::low}));
  for (int i = 0; i < 10; ++i) driver.start(operations.emplace_back(order, 0), Urgency{priority::high});
  EXPECT_TRUE(driver.holds_more_urgent_than(Urgency{priority::normal}));
  driver.submit();
  EXPECT_FALSE(driver.holds_more_urgent_than(Urgency{priority::when_idle}));
  wait_until(driver, [&] { return order.size() == operations.size(); });
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_P(UringDriverTest, harvests_until_nothing_is_left) {
  UringDriver driver(options());
  std::vector<int> order;
  std::deque<Noted> operations;
  std::vector<int> events;
  for (int i = 0; i < 200; ++i) {
    events.push_back(::eventfd(0, EFD_CLOEXEC));
    Noted& poll = operations.emplace_back(order, i, OperationKind::poll);
    poll.wants().fd = events.back();
    poll.wants().flags = POLLIN;
    driver.start(poll, Urgency{});
  }
  driver.submit();
  EXPECT_TRUE(order.empty());
  const std::uint64_t one = 1;
  for (const int event : events) EXPECT_EQ(::write(event, &one, sizeof(one)), ssize_t{sizeof(one)});
  while (!driver.completions_pending()) {
  }
  driver.harvest(std::int64_t{60} * 1'000'000'000);
  EXPECT_EQ(order.size(), 200U) << "one call of the kernel brings 20 at most";
  for (const int event : events) ::close(event);
}

TEST_P(UringDriverTest, sees_completions_in_memory_while_busy) {
  UringDriver driver(options());
  std::vector<int> order;
  Noted poll(order, 0, OperationKind::poll);
  const int event = ::eventfd(0, EFD_CLOEXEC);
  poll.wants().fd = event;
  poll.wants().flags = POLLIN;
  driver.start(poll, Urgency{});
  driver.submit();
  EXPECT_FALSE(driver.completions_pending());
  const auto calls = driver.counters().system_calls;
  const std::uint64_t one = 1;
  EXPECT_EQ(::write(event, &one, sizeof(one)), ssize_t{sizeof(one)});
  while (!driver.completions_pending()) {
  }
  EXPECT_EQ(driver.counters().system_calls, calls);
  driver.harvest(1'000'000);
  EXPECT_EQ(order.size(), 1U);
  ::close(event);
}

TEST_P(UringDriverTest, ticks_while_busy_and_never_before) {
  UringDriver driver(options());
  const std::int64_t deadline = driver.now_ns() + 2'000'000;
  driver.set_tick(deadline);
  while (!driver.completions_pending()) {
  }
  EXPECT_GE(driver.now_ns(), deadline);
  driver.harvest(1'000'000);
  EXPECT_FALSE(driver.completions_pending());
}

TEST_P(UringDriverTest, moves_the_tick_instead_of_arming_a_second) {
  UringDriver driver(options());
  const std::int64_t now = driver.now_ns();
  driver.set_tick(now + std::int64_t{3600} * 1'000'000'000);
  driver.set_tick(now + 1'000'000);
  while (!driver.completions_pending()) {
  }
  EXPECT_GE(driver.now_ns(), now + 1'000'000);
  driver.harvest(1'000'000);
  // A later one than what is armed: comes when that has fired.
  const std::int64_t later = driver.now_ns() + 3'000'000;
  driver.set_tick(later - 2'000'000);
  driver.set_tick(later);
  for (;;) {
    while (!driver.completions_pending()) {
    }
    const bool last = driver.now_ns() >= later;
    driver.harvest(1'000'000);
    driver.submit();
    if (last) break;
  }
}

TEST_P(UringDriverTest, waits_until_the_deadline_and_not_for_one_that_has_passed) {
  UringDriver driver(options());
  driver.wait(driver.now_ns() - 1);
  driver.wait(0);
  EXPECT_EQ(driver.counters().waits, 0U);
  const std::int64_t deadline = driver.now_ns() + 1'000'000;
  while (driver.now_ns() < deadline) driver.wait(deadline);
  EXPECT_GE(driver.counters().waits, 1U);
}

TEST_P(UringDriverTest, is_woken_by_a_wake_that_came_before_the_wait) {
  UringDriver driver(options());
  for (int i = 0; i < 100; ++i) {
    driver.wake();
    driver.wait(Driver::no_deadline);
    driver.harvest(1'000'000);
  }
}

TEST_P(UringDriverTest, withdraws_what_has_not_left_and_cancels_what_has) {
  UringDriver driver(options());
  std::vector<int> order;
  Noted nop(order, 1);
  driver.start(nop, Urgency{});
  EXPECT_EQ(driver.cancel(nop), IoDriver::CancelAnswer::withdrawn);
  EXPECT_EQ(nop.state(), Operation::State::idle);
  EXPECT_EQ(driver.in_flight(), 0U);

  Noted poll(order, 2, OperationKind::poll);
  const int event = ::eventfd(0, EFD_CLOEXEC);
  poll.wants().fd = event;
  poll.wants().flags = POLLIN;
  driver.start(poll, Urgency{});
  driver.submit();
  EXPECT_FALSE(driver.withdraw(poll));
  EXPECT_EQ(driver.cancel(poll), IoDriver::CancelAnswer::requested);
  EXPECT_EQ(driver.cancel(poll), IoDriver::CancelAnswer::requested);
  wait_until(driver, [&] { return !order.empty(); });
  EXPECT_EQ(order, std::vector<int>{2});
  EXPECT_EQ(poll.result(), -ECANCELED);
  ::close(event);
}

TEST_P(UringDriverTest, ends_everything_in_flight_at_its_own_end) {
  std::vector<int> order;
  std::deque<Noted> operations;
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  char memory[16];
  {
    UringDriver driver(options(16));
    for (int i = 0; i < 300; ++i) {
      const bool poll = i % 2 == 0;
      Noted& operation = operations.emplace_back(order, i, poll ? OperationKind::poll : OperationKind::read);
      operation.wants().fd = ends[0];
      operation.wants().flags = poll ? POLLIN : 0;
      operation.wants().memory = poll ? nullptr : memory;
      operation.wants().length = poll ? 0 : sizeof(memory);
      driver.start(operation, Urgency{});
      if (i == 200) driver.submit();
    }
    EXPECT_EQ(driver.in_flight(), 300U);
  }
  EXPECT_EQ(order.size(), 300U);
  for (const Noted& operation : operations) {
    EXPECT_EQ(operation.state(), Operation::State::done);
    EXPECT_EQ(operation.result(), -ECANCELED);
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_P(UringDriverTest, runs_streams) {
  run(
      []() -> Coro<void> {
        Connection pair = co_await connected_pair();
        constexpr std::size_t size = 4 << 20;
        const auto write = [](TcpStream& to) -> Coro<void> {
          co_await to.write(numbered_bytes(0, size));
          co_await to.close();
        };
        auto writer = create_task(write(pair.client));
        std::uint64_t position = 0;
        while (co_await pair.server.fill()) {
          for (const char byte : pair.server.unread()) {
            if (byte != numbered_byte(position++)) ADD_FAILURE() << "another byte than was sent";
          }
          pair.server.consume(pair.server.unread().size());
        }
        EXPECT_EQ(position, size);
        co_await writer;
      },
      options());
}

TEST_P(UringDriverTest, fires_timers_while_a_task_computes) {
  run(
      []() -> Coro<void> {
        auto sleeper = create_task([]() -> Coro<void> { co_await sleep(std::chrono::milliseconds(2)); }());
        // Gives way only when checkpoint sees a reason, which the tick is.
        while (!sleeper.done()) co_await checkpoint();
      },
      options());
}

// ---- the seat ----

TEST(IoDriverSeat, is_refused_with_a_clear_text_on_a_simulated_loop) {
  class Silent final : public Driver {
   public:
    std::int64_t now_ns() noexcept override { return 0; }
    void harvest(std::int64_t) override {}
    void submit() override {}
    void wait(std::int64_t) override {}
    void set_tick(std::int64_t) override {}
    void wake() noexcept override {}

   private:
  };
  Silent driver;
  Loop loop(driver, {});
  try {
    io_driver(loop);
    FAIL() << "a simulated driver was taken for a real one";
  } catch (const InvalidStateError& e) {
    EXPECT_THAT(e.what(), HasSubstr("simulated driver"));
  }
}

}  // namespace
}  // namespace heirloop::testing
