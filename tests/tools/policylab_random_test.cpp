// Chance that is the same on every machine.
#include "policylab/random.hpp"
#include "policylab/workload.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>

namespace {

using policylab::Distribution;
using policylab::Random;

TEST(PolicylabRandom, is_splitmix64) {
  Random random(1234567);  // the published values for this seed
  EXPECT_EQ(random.next(), 6457827717110365317U);
  EXPECT_EQ(random.next(), 3203168211198807973U);
  EXPECT_EQ(random.next(), 9817491932198370423U);
}

TEST(PolicylabRandom, has_a_stream_for_each_name_and_number) {
  std::set<std::uint64_t> seeds;
  for (const char* name : {"a", "b", "ab", "ba", ""}) seeds.insert(Random::derive(1, name));
  for (std::uint64_t number = 0; number < 1000; ++number) seeds.insert(Random::derive(1, number));
  seeds.insert(Random::derive(2, "a"));
  EXPECT_EQ(seeds.size(), 1006U);
  EXPECT_EQ(Random::derive(1, "a"), Random::derive(1, "a"));
}

struct Moments {
  double mean = 0;
  std::int64_t lowest = INT64_MAX;
  std::int64_t highest = 0;
};

Moments moments_of(const Distribution& distribution) {
  Random random(42);
  Moments moments;
  constexpr int draws = 100'000;
  for (int i = 0; i < draws; ++i) {
    const std::int64_t value = distribution.draw(random);
    moments.mean += static_cast<double>(value) / draws;
    moments.lowest = std::min(moments.lowest, value);
    moments.highest = std::max(moments.highest, value);
  }
  return moments;
}

TEST(PolicylabDistribution, fixed_is_fixed) {
  const Moments moments = moments_of({Distribution::Shape::fixed, 250, 250});
  EXPECT_EQ(moments.lowest, 250);
  EXPECT_EQ(moments.highest, 250);
  Random random(1);
  EXPECT_EQ((Distribution{Distribution::Shape::fixed, 0, 0}).draw(random), 0) << "no pause at all";
}

TEST(PolicylabDistribution, uniform_has_both_ends_and_the_mean_between) {
  const Moments moments = moments_of({Distribution::Shape::uniform, 1, 4});
  EXPECT_EQ(moments.lowest, 1);
  EXPECT_EQ(moments.highest, 4);
  EXPECT_NEAR(moments.mean, 2.5, 0.02);
}

TEST(PolicylabDistribution, exponential_has_its_mean_and_stays_below_its_largest) {
  const Moments far = moments_of({Distribution::Shape::exponential, 1000, 1e6});
  EXPECT_GE(far.lowest, 1);
  EXPECT_NEAR(far.mean, 1000, 15);
  EXPECT_GT(far.highest, 8000);
  EXPECT_EQ(moments_of({Distribution::Shape::exponential, 1000, 3000}).highest, 3000);
}

TEST(PolicylabDistribution, pareto_has_its_lowest_and_a_heavy_tail) {
  const Moments moments = moments_of({Distribution::Shape::pareto, 100, 1e9, 2.5});
  EXPECT_EQ(moments.lowest, 100);
  EXPECT_NEAR(moments.mean, 100 * 2.5 / 1.5, 3);
  EXPECT_GT(moments.highest, 3000);
}

}  // namespace
