// The load generator's histogram against the sorted list of what was recorded.
#include "common/histogram.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

namespace {

using tools::Histogram;

// Values of every magnitude, not only large ones.
rc::Gen<std::int64_t> any_latency() {
  return rc::gen::apply(
      [](std::int64_t bits, int magnitude) { return (bits & Histogram::max_value_ns) >> magnitude; },
      rc::gen::inRange<std::int64_t>(0, std::numeric_limits<std::int64_t>::max()), rc::gen::inRange(0, 42));
}

std::int64_t nearest_rank(const std::vector<std::int64_t>& sorted, double quantile) {
  const double exact = quantile * static_cast<double>(sorted.size());
  const auto rank = static_cast<std::size_t>(std::ceil(exact - exact * 1e-12));
  return sorted[std::max<std::size_t>(rank, 1) - 1];
}

Histogram of(const std::vector<std::int64_t>& values) {
  Histogram histogram;
  for (const std::int64_t value : values) histogram.record(value);
  return histogram;
}

TEST(Histogram, is_empty_at_first_and_after_reset) {
  Histogram histogram;
  const auto is_empty = [&] {
    return histogram.count() == 0 && histogram.max() == 0 && histogram.mean() == 0 &&
           histogram.percentile(0.99) == 0 && histogram.saturated() == 0 && histogram.check_invariants();
  };
  EXPECT_TRUE(is_empty());
  histogram.record(7);
  histogram.record(Histogram::max_value_ns + 1);
  histogram.record(-1);
  EXPECT_FALSE(is_empty());
  histogram.reset();
  EXPECT_TRUE(is_empty());
}

TEST(Histogram, is_exact_below_256) {
  for (std::int64_t value = 0; value < 256; ++value) {
    Histogram histogram;
    histogram.record(value);
    histogram.record(Histogram::max_value_ns);
    EXPECT_EQ(histogram.percentile(0.5), value);
  }
}

TEST(Histogram, is_never_off_by_more_than_its_stated_error_at_any_power_of_two) {
  for (int bit = 8; bit < 42; ++bit) {
    for (const std::int64_t step : {-1, 0, 1}) {
      const std::int64_t value = (std::int64_t{1} << bit) + step;
      Histogram histogram;
      histogram.record(value);
      histogram.record(Histogram::max_value_ns);
      const std::int64_t answer = histogram.percentile(0.5);
      EXPECT_GE(answer, value);
      EXPECT_LE(static_cast<double>(answer - value), Histogram::relative_error * static_cast<double>(value));
    }
  }
}

TEST(Histogram, saturates_visibly) {
  Histogram histogram;
  histogram.record(Histogram::max_value_ns);
  EXPECT_EQ(histogram.saturated(), 0U);
  histogram.record(Histogram::max_value_ns + 1);
  histogram.record(std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(histogram.saturated(), 2U);
  EXPECT_EQ(histogram.count(), 3U);
  EXPECT_EQ(histogram.max(), Histogram::max_value_ns);
  EXPECT_EQ(histogram.percentile(1), Histogram::max_value_ns);
  EXPECT_TRUE(histogram.check_invariants());
}

TEST(Histogram, counts_what_is_below_zero_as_zero) {
  Histogram histogram;
  histogram.record(std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(histogram.negative(), 1U);
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.percentile(1), 0);
  EXPECT_TRUE(histogram.check_invariants());
}

TEST(Histogram, refuses_a_quantile_outside_0_to_1) {
  const Histogram histogram;
  for (const double quantile : {-0.1, 1.1, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW((void)histogram.percentile(quantile), std::invalid_argument);
  }
}

TEST(Histogram, takes_the_rank_that_a_decimal_fraction_means) {
  Histogram histogram;
  for (std::int64_t value = 1; value <= 100; ++value) histogram.record(value);
  for (int percent = 1; percent <= 100; ++percent) EXPECT_EQ(histogram.percentile(percent / 100.0), percent);
}

RC_GTEST_PROP(Histogram, agrees_with_the_sorted_list, ()) {
  auto values = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::int64_t>>(any_latency()));
  const Histogram histogram = of(values);
  RC_ASSERT(histogram.check_invariants());
  std::sort(values.begin(), values.end());
  RC_ASSERT(histogram.count() == values.size());
  RC_ASSERT(histogram.max() == values.back());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  RC_ASSERT(std::abs(histogram.mean() - sum / static_cast<double>(values.size())) <= 1e-9 * sum);
  const double drawn = *rc::gen::inRange(0, 1001) / 1000.0;
  for (const double quantile : {0.0, drawn, 0.5, 0.99, 0.999, 1.0}) {
    const std::int64_t truth = nearest_rank(values, quantile);
    const std::int64_t answer = histogram.percentile(quantile);
    RC_ASSERT(answer >= truth);
    RC_ASSERT(answer <= values.back());
    RC_ASSERT(static_cast<double>(answer - truth) <= Histogram::relative_error * static_cast<double>(truth));
  }
}

RC_GTEST_PROP(Histogram, merges_as_if_recorded_in_one, ()) {
  const auto left = *rc::gen::container<std::vector<std::int64_t>>(any_latency());
  auto all = *rc::gen::container<std::vector<std::int64_t>>(any_latency());
  Histogram merged = of(left);
  merged.merge(of(all));
  all.insert(all.end(), left.begin(), left.end());
  const Histogram expected = of(all);
  RC_ASSERT(merged.check_invariants());
  RC_ASSERT(merged.count() == expected.count());
  RC_ASSERT(merged.max() == expected.max());
  RC_ASSERT(std::abs(merged.mean() - expected.mean()) <= 1e-9 * expected.mean());
  for (int percent = 0; percent <= 100; ++percent) {
    RC_ASSERT(merged.percentile(percent / 100.0) == expected.percentile(percent / 100.0));
  }
}

}  // namespace
