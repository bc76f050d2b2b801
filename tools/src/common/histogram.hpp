// A log-linear histogram of latencies in nanoseconds: constant memory, O(1) to record, nothing allocated.
//
// Every power of two is cut into 128 buckets of equal width; values below 256 have a bucket each. So a bucket
// is never wider than 1/128 (0.79 %) of the values in it, at 37 KB in all. Used by the load generator for every
// answer and its own delay, and by kvserver for waits for its lock.
//
// Invariants (check_invariants()):
// 1. The counts of all buckets add up to count().
// 2. count() == 0 exactly when no bucket is taken; then max() and mean() are 0.
// 3. max() lies in the highest bucket that is taken.
// 4. saturated() counts at most what lies in the last bucket, negative() at most what lies in the first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tools {

class Histogram {
 public:
  /// The largest value that is told apart from larger ones: 2^42 - 1 ns, 73 minutes.
  static constexpr std::int64_t max_value_ns = (std::int64_t{1} << 42) - 1;

  /// percentile() lies above the true value by at most this part of it, never below.
  static constexpr double relative_error = 1.0 / 128;

  /// Counts one value. What is above max_value_ns is recorded as that and counted by saturated(); what is
  /// below zero is recorded as zero and counted by negative(). Cost: O(1), no allocation.
  void record(std::int64_t value_ns) noexcept;

  /// Adds all that `other` has recorded, as if it had been recorded here.
  /// Cost: O(buckets), no allocation.
  void merge(const Histogram& other) noexcept;

  /// Forgets everything.
  void reset() noexcept;

  /// The value, in nanoseconds, that at least the part `quantile` of all values does not exceed (nearest
  /// rank), rounded up by at most relative_error and never above max(). 0 when nothing was recorded. Errors:
  /// std::invalid_argument when `quantile` is not within 0 to 1. Cost: O(buckets).
  [[nodiscard]] std::int64_t percentile(double quantile) const;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// The largest recorded value in nanoseconds, exact up to max_value_ns.
  [[nodiscard]] std::int64_t max() const noexcept { return max_ns_; }
  /// The mean in nanoseconds, from the values themselves and not from their buckets.
  [[nodiscard]] double mean() const noexcept;
  /// How many values were above max_value_ns: when it is not 0, max() and the top percentiles are lower
  /// bounds.
  [[nodiscard]] std::uint64_t saturated() const noexcept { return saturated_; }
  /// How many values were below zero.
  [[nodiscard]] std::uint64_t negative() const noexcept { return negative_; }

  /// Whether the numbered invariants above hold.
  [[nodiscard]] bool check_invariants() const noexcept;

 private:
  static constexpr int sub_bits = 7;
  static constexpr int value_bits = 42;
  static constexpr std::size_t bucket_count = std::size_t{value_bits - sub_bits + 1} << sub_bits;

  static std::size_t bucket_of(std::int64_t value_ns) noexcept;
  static std::int64_t highest_in(std::size_t bucket) noexcept;

  std::array<std::uint64_t, bucket_count> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t saturated_ = 0;
  std::uint64_t negative_ = 0;
  std::int64_t max_ns_ = 0;
  double sum_ns_ = 0;
};

}  // namespace tools
