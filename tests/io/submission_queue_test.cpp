// The order in which operations reach the kernel; no kernel needed.
#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/submission_queue.hpp>

#include "support/property.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <vector>

namespace heirloop::testing {
namespace {

class Fake final : public Operation {
 public:
  Fake(int number_of, int fd, double urgency) : Operation(OperationKind::nop), number(number_of), wanted(urgency) {
    request_.fd = fd;
  }
  const int number;
  const double wanted;

 private:
  void completed() noexcept override {}
};

/// Gives operations an urgency the way that a driver does.
class FakeDriver final : public IoDriver {
 public:
  std::int64_t now_ns() noexcept override { return 0; }
  void harvest(std::int64_t) override {}
  void submit() override {}
  void wait(std::int64_t) override {}
  void set_tick(std::int64_t) override {}
  void wake() noexcept override {}
  void start(Operation& operation, const Urgency& urgency) override {
    begin(operation, urgency);
    queue.push(operation);
  }
  CancelAnswer cancel(Operation& operation) noexcept override {
    withdraw(operation);
    return CancelAnswer::withdrawn;
  }
  bool withdraw(Operation& operation) noexcept override {
    queue.erase(operation);
    set_idle(operation);
    return true;
  }
  std::size_t in_flight() const noexcept override { return queue.size(); }
  std::string describe() const override { return "fake"; }

  Fake* pop() {
    auto* operation = static_cast<Fake*>(queue.pop());
    if (operation != nullptr) set_idle(*operation);
    return operation;
  }
  std::vector<int> pop_all() {
    std::vector<int> order;
    while (Fake* operation = pop()) order.push_back(operation->number);
    return order;
  }

  SubmissionQueue queue;
};

class SubmissionQueueTest : public ::testing::Test {
 protected:
  Fake& add(int fd, double urgency) {
    auto& operation = operations.emplace_back(static_cast<int>(operations.size()), fd, urgency);
    driver.start(operation, Urgency{urgency});
    return operation;
  }
  std::deque<Fake> operations;
  FakeDriver driver;
};

using Numbers = std::vector<int>;

TEST_F(SubmissionQueueTest, keeps_the_order_of_starts_while_one_batch_holds_all) {
  add(1, 10);
  add(2, -10);
  add(3, 0);
  driver.queue.arrange(3);
  EXPECT_EQ(driver.pop_all(), (Numbers{0, 1, 2}));
}

TEST_F(SubmissionQueueTest, puts_the_most_urgent_first_beyond_one_batch) {
  add(1, 10);
  add(2, -10);
  add(3, 0);
  add(4, -10);
  driver.queue.arrange(3);
  EXPECT_EQ(driver.pop_all(), (Numbers{1, 3, 2, 0}));
}

TEST_F(SubmissionQueueTest, never_passes_another_operation_on_the_same_descriptor) {
  add(7, 10);  // must leave before 3, so as urgent as that
  add(8, 0);
  add(9, -5);
  add(7, -10);
  add(7, 5);  // behind 3, in its own place
  driver.queue.arrange(1);
  EXPECT_EQ(driver.pop_all(), (Numbers{0, 3, 2, 1, 4}));
}

TEST_F(SubmissionQueueTest, knows_the_best_urgency_at_every_moment) {
  EXPECT_EQ(driver.queue.best(), Urgency::none());
  add(1, 5);
  Fake& urgent = add(2, -10);
  Fake& equal = add(3, -10);
  add(4, 0);
  EXPECT_EQ(driver.queue.best().priority, -10);
  driver.withdraw(urgent);
  EXPECT_EQ(driver.queue.best().priority, -10);
  driver.withdraw(equal);
  EXPECT_EQ(driver.queue.best().priority, 0);
  EXPECT_EQ(driver.pop_all(), (Numbers{0, 3}));
  EXPECT_EQ(driver.queue.best(), Urgency::none());
}

TEST(SubmissionQueueProperty, keeps_descriptors_in_order_and_lets_the_urgent_go_first) {
  check_property(200, 60, [](const std::vector<std::pair<std::uint8_t, std::uint8_t>>& wanted) {
    FakeDriver driver;
    std::deque<Fake> operations;
    for (const auto& [fd, urgency] : wanted) {
      auto& operation = operations.emplace_back(static_cast<int>(operations.size()), fd % 5, urgency % 7);
      driver.start(operation, Urgency{operation.wanted});
    }
    driver.queue.arrange(0);
    // What each counts as: the best of itself and of those behind it on its descriptor.
    std::vector<double> counts(operations.size());
    std::map<int, double> behind;
    for (std::size_t i = operations.size(); i-- > 0;) {
      const int fd = operations[i].request().fd;
      const auto found = behind.find(fd);
      counts[i] = found == behind.end() ? operations[i].wanted : std::min(found->second, operations[i].wanted);
      behind[fd] = counts[i];
    }
    double best = 1e9;
    for (const Fake& operation : operations) best = std::min(best, operation.wanted);
    if (!operations.empty()) RC_ASSERT(driver.queue.best().priority == best);
    std::vector<int> expected;
    for (const Fake& operation : operations) expected.push_back(operation.number);
    std::sort(expected.begin(), expected.end(), [&](int a, int b) {
      const double one = counts[static_cast<std::size_t>(a)];
      const double other = counts[static_cast<std::size_t>(b)];
      return one != other ? one < other : a < b;
    });
    RC_ASSERT(driver.pop_all() == expected);
  });
}

}  // namespace
}  // namespace heirloop::testing
