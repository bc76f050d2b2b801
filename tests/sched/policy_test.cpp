// Policies: keys at the edges of what a double holds, names.
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/policy.hpp>

#include "support/property.hpp"
#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double huge = std::numeric_limits<double>::max();
constexpr double tiny = std::numeric_limits<double>::denorm_min();
constexpr double ordered[] = {
    priority::always_first, -huge, -1e20, -10, -1, -tiny, 0, tiny, 0.5, 10, 1e20, huge, priority::when_idle};

TEST(PolicyTest, strict_orders_all_doubles) {
  const auto policy = make_policy(PolicyKind::strict);
  for (std::size_t i = 0; i + 1 < std::size(ordered); ++i) {
    EXPECT_LT(policy->key(Urgency{ordered[i]}, 1000), policy->key(Urgency{ordered[i + 1]}, 0)) << ordered[i];
  }
  check_property(1000, 100, [&] {
    const auto a = std::bit_cast<double>(*rc::gen::noShrink(rc::gen::arbitrary<std::uint64_t>())) + 0.0;
    const auto b = std::bit_cast<double>(*rc::gen::noShrink(rc::gen::arbitrary<std::uint64_t>())) + 0.0;
    RC_PRE(!std::isnan(a) && !std::isnan(b));
    RC_ASSERT((policy->offset(Urgency{a}) < policy->offset(Urgency{b})) == (a < b));
  });
}

TEST(PolicyTest, aging_never_turns_an_order_round_and_never_overflows) {
  for (const auto unit :
       {std::chrono::nanoseconds(1), std::chrono::nanoseconds(100ms), std::chrono::nanoseconds::max()}) {
    const auto policy = make_policy(PolicyKind::aging, {.age_unit = unit});
    const std::int64_t latest = (std::int64_t{1} << 60) - 1;
    for (std::size_t i = 0; i + 1 < std::size(ordered); ++i) {
      EXPECT_LE(policy->key(Urgency{ordered[i]}, latest), policy->key(Urgency{ordered[i + 1]}, latest));
    }
    EXPECT_LT(policy->key(Urgency{priority::always_first}, latest), policy->key(Urgency{-huge}, 0));
    EXPECT_GT(policy->key(Urgency{priority::when_idle}, 0), policy->key(Urgency{huge}, latest));
  }
}

TEST(PolicyTest, aging_adds_the_unit_times_the_priority) {
  const auto policy = make_policy(PolicyKind::aging);
  EXPECT_EQ(policy->key(Urgency{10}, 5), 1'000'000'005);
  EXPECT_EQ(policy->key(Urgency{-10}, 5), -999'999'995);
  EXPECT_EQ(policy->key(Urgency{0.5}, 0), 50'000'000);
  EXPECT_EQ(policy->key(Urgency{-0.0}, 7), policy->key(Urgency{0.0}, 7));
}

TEST(PolicyTest, fifo_looks_at_time_alone) {
  const auto policy = make_policy(PolicyKind::fifo);
  EXPECT_EQ(policy->key(Urgency{priority::always_first}, 5), policy->key(Urgency{priority::when_idle}, 5));
  EXPECT_EQ(policy->level(Urgency{-3}), policy->level(Urgency{3}));
}

TEST(PolicyTest, priorities_are_numbers_and_zero_has_no_sign) {
  EXPECT_THROW(checked_priority(std::nan("")), std::invalid_argument);
  EXPECT_THROW(checked_priority(-std::nan("")), std::invalid_argument);
  EXPECT_FALSE(std::signbit(checked_priority(-0.0)));
  EXPECT_EQ(checked_priority(priority::always_first), priority::always_first);
  for (const PolicyKind kind : {PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging}) {
    const auto policy = make_policy(kind);
    EXPECT_EQ(policy->level(Urgency{checked_priority(-0.0)}), policy->level(Urgency{0.0}));
  }
}

TEST(PolicyTest, has_names_and_says_which_when_one_is_unknown) {
  for (const PolicyKind kind : {PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging}) {
    EXPECT_EQ(policy_from_name(to_string(kind)), kind);
    EXPECT_EQ(make_policy(kind)->name(), to_string(kind));
  }
  try {
    policy_from_name("fair");
    ADD_FAILURE();
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("fair"), HasSubstr("fifo"), HasSubstr("strict"), HasSubstr("aging")));
  }
  EXPECT_THROW(policy_from_name(""), std::invalid_argument);
}

TEST(PolicyTest, options_out_of_range_are_refused) {
  SimDriver driver;
  const auto loop_with = [&](auto change) {
    LoopOptions options;
    change(options);
    const Loop loop(driver, options);
  };
  EXPECT_THROW(loop_with([](LoopOptions& o) { o.age_unit = 0ns; }), std::invalid_argument);
  EXPECT_THROW(loop_with([](LoopOptions& o) { o.age_unit = -1ns; }), std::invalid_argument);
  EXPECT_THROW(loop_with([](LoopOptions& o) { o.step_budget = 0ns; }), std::invalid_argument);
}

}  // namespace
}  // namespace heirloop::testing
