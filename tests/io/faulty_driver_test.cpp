// The driver that lets things go wrong keeps the contract of all drivers, and does what it is asked to.
#include "io/faulty_loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <deque>
#include <numeric>

namespace heirloop::testing {
namespace {

class FaultyDriverTest : public RingTest {};

/// Notes the order of completions, and does something as it is completed.
class Noted final : public Operation {
 public:
  Noted(std::vector<int>& order, int number, OperationKind kind = OperationKind::nop)
      : Operation(kind), order_(order), number_(number) {}

  Request& wants() noexcept { return request_; }
  std::function<void()> then;

 private:
  void completed() noexcept override {
    order_.push_back(number_);
    if (then) then();
  }

  std::vector<int>& order_;
  int number_;
};

/// An eventfd, and a poll of it.
struct Event {
  Event(std::vector<int>& order, int number) : fd(::eventfd(0, EFD_CLOEXEC)), poll(order, number, OperationKind::poll) {
    poll.wants().fd = fd;
    poll.wants().flags = POLLIN;
  }
  ~Event() { ::close(fd); }
  void set() const {
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(fd, &one, sizeof(one)), ssize_t{sizeof(one)});
  }
  int fd;
  Noted poll;
};

TEST_F(FaultyDriverTest, without_faults_it_is_the_rings_driver) {
  FaultyDriver driver(1);
  std::vector<int> order;
  std::deque<Noted> operations;
  for (int i = 0; i < 500; ++i) driver.start(operations.emplace_back(order, i), Urgency{});
  EXPECT_EQ(driver.in_flight(), 500U);
  while (order.size() < 500) driver.wait(Driver::no_deadline);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  EXPECT_EQ(driver.in_flight(), 0U);
}

TEST_F(FaultyDriverTest, late_completions_come_in_another_order_and_all_come) {
  FaultyDriver driver(2, {.late = 0.5});
  std::vector<int> order;
  std::deque<Noted> operations;
  for (int i = 0; i < 500; ++i) driver.start(operations.emplace_back(order, i), Urgency{});
  while (driver.in_flight() != 0) driver.wait(Driver::no_deadline);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  std::vector<int> all(500);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(order, all);
  EXPECT_GT(driver.counts().late, 100U);
}

TEST_F(FaultyDriverTest, what_is_held_shows_in_the_look_and_comes_by_harvests_alone) {
  FaultyDriver driver(3, {.late = 1, .longest_delay = 3});
  std::vector<int> order;
  Noted nop(order, 0);
  driver.start(nop, Urgency{});
  driver.submit();
  while (!driver.completions_pending()) {
  }
  driver.harvest(0);
  int harvests = 0;
  for (; nop.in_flight(); ++harvests) {
    ASSERT_TRUE(driver.completions_pending());
    driver.harvest(0);
  }
  EXPECT_GE(harvests, 1);
  EXPECT_LE(harvests, 3);
  EXPECT_FALSE(driver.completions_pending());
}

TEST_F(FaultyDriverTest, a_withdrawn_operation_is_not_completed_and_a_cancelled_one_is_once) {
  for (const double late : {0.0, 1.0}) {
    FaultyDriver driver(4, {.late = late});
    std::vector<int> order;
    Event queued(order, 1);
    driver.start(queued.poll, Urgency{});
    EXPECT_TRUE(driver.withdraw(queued.poll));
    EXPECT_EQ(queued.poll.state(), Operation::State::idle);
    driver.start(queued.poll, Urgency{});
    EXPECT_EQ(driver.cancel(queued.poll), IoDriver::CancelAnswer::withdrawn);
    EXPECT_EQ(driver.in_flight(), 0U);
    Event sent(order, 2);
    driver.start(sent.poll, Urgency{});
    driver.submit();
    EXPECT_FALSE(driver.withdraw(sent.poll));
    EXPECT_EQ(driver.cancel(sent.poll), IoDriver::CancelAnswer::requested);
    EXPECT_EQ(driver.cancel(sent.poll), IoDriver::CancelAnswer::requested);
    while (sent.poll.in_flight()) driver.wait(Driver::no_deadline);
    EXPECT_EQ(sent.poll.result(), -ECANCELED);
    EXPECT_EQ(order, std::vector<int>{2});
  }
}

TEST_F(FaultyDriverTest, what_is_cancelled_while_it_is_held_keeps_its_result) {
  FaultyDriver driver(5, {.late = 1});
  std::vector<int> order;
  Event event(order, 1);
  event.set();
  driver.start(event.poll, Urgency{});
  driver.submit();
  while (!driver.completions_pending()) {
  }
  driver.harvest(0);
  ASSERT_TRUE(event.poll.in_flight());
  EXPECT_FALSE(driver.withdraw(event.poll));
  EXPECT_EQ(driver.cancel(event.poll), IoDriver::CancelAnswer::requested);
  while (event.poll.in_flight()) driver.wait(Driver::no_deadline);
  EXPECT_EQ(event.poll.result(), POLLIN);
}

TEST_F(FaultyDriverTest, a_planned_error_takes_the_place_of_the_next_of_its_kind) {
  FaultyDriver driver(6);
  driver.fail_next(OperationKind::poll, EIO);
  std::vector<int> order;
  Event event(order, 1);
  event.set();
  driver.start(event.poll, Urgency{});
  EXPECT_TRUE(order.empty()) << "not inside start";
  while (event.poll.in_flight()) driver.wait(Driver::no_deadline);
  EXPECT_EQ(event.poll.result(), -EIO);
  driver.start(event.poll, Urgency{});
  while (event.poll.in_flight()) driver.wait(Driver::no_deadline);
  EXPECT_EQ(event.poll.result(), POLLIN);
  EXPECT_FALSE(driver.has_plans());
}

TEST_F(FaultyDriverTest, a_close_that_fails_has_closed) {
  FaultyDriver driver(7);
  driver.fail_next(OperationKind::close, EIO);
  std::vector<int> order;
  Noted close(order, 1, OperationKind::close);
  close.wants().fd = ::eventfd(0, EFD_CLOEXEC);
  driver.start(close, Urgency{});
  while (close.in_flight()) driver.wait(Driver::no_deadline);
  EXPECT_EQ(close.result(), -EIO);
  EXPECT_EQ(::fcntl(close.wants().fd, F_GETFD), -1);
}

TEST_F(FaultyDriverTest, short_transfers_are_parts_of_what_was_asked) {
  FaultyDriver driver(8, {.short_transfers = 1});
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const std::string sent = numbered_bytes(0, 1000);
  ASSERT_EQ(::write(ends[1], sent.data(), sent.size()), 1000);
  std::vector<int> order;
  Noted read(order, 1, OperationKind::read);
  std::string got;
  char memory[1000];
  read.wants().fd = ends[0];
  read.wants().memory = memory;
  read.wants().length = sizeof(memory);
  read.wants().offset = Request::current_position;
  while (got.size() < sent.size()) {
    driver.start(read, Urgency{});
    while (read.in_flight()) driver.wait(Driver::no_deadline);
    ASSERT_GT(read.result(), 0);
    ASSERT_LT(read.result(), 1000);
    got.append(memory, static_cast<std::size_t>(read.result()));
  }
  EXPECT_EQ(got, sent);
  EXPECT_EQ(read.request().length, sizeof(memory)) << "the caller's request stays as it was";
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(FaultyDriverTest, its_end_completes_what_is_queued_in_the_kernel_held_and_started_meanwhile) {
  std::vector<int> order;
  Event queued(order, 1);
  Event sent(order, 2);
  Event held(order, 3);
  Noted last(order, 4);
  {
    FaultyDriver driver(9, {.late = 1});
    driver.start(sent.poll, Urgency{});
    held.set();
    held.poll.then = [&] { driver.start(last, Urgency{}); };
    driver.start(held.poll, Urgency{});
    driver.submit();
    while (!driver.completions_pending()) {
    }
    driver.harvest(0);
    EXPECT_TRUE(order.empty());
    driver.start(queued.poll, Urgency{});
    EXPECT_EQ(driver.in_flight(), 3U);
  }
  EXPECT_EQ(held.poll.result(), POLLIN);
  EXPECT_EQ(sent.poll.result(), -ECANCELED);
  EXPECT_EQ(queued.poll.result(), -ECANCELED);
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
}

TEST_F(FaultyDriverTest, a_loop_with_nothing_but_held_completions_does_not_sleep) {
  FaultyLoop ring(10, {.late = 1, .longest_delay = 50});
  ring.run([]() -> Coro<void> {
    Connection pair = co_await connected_pair();
    co_await pair.client.write("hello\n");
    EXPECT_EQ(co_await pair.server.read_line(), "hello");
  }());
}

}  // namespace
}  // namespace heirloop::testing
