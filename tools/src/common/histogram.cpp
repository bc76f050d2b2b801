#include "common/histogram.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>

namespace tools {

// A value below 2^(sub_bits + 1) is its own bucket. Above, the leading one picks the power of two and the
// sub_bits bits behind it the bucket within; the two ranges join without a gap.
std::size_t Histogram::bucket_of(std::int64_t value_ns) noexcept {
  const auto value = static_cast<std::uint64_t>(value_ns);
  const auto width = static_cast<int>(std::bit_width(value));
  if (width <= sub_bits + 1) return static_cast<std::size_t>(value);
  const int shift = width - (sub_bits + 1);
  return (static_cast<std::size_t>(shift) << sub_bits) + static_cast<std::size_t>(value >> shift);
}

std::int64_t Histogram::highest_in(std::size_t bucket) noexcept {
  constexpr std::size_t own_bucket_each = std::size_t{1} << (sub_bits + 1);
  if (bucket < own_bucket_each) return static_cast<std::int64_t>(bucket);
  const std::size_t shift = (bucket >> sub_bits) - 1;
  const std::size_t leading = bucket - (shift << sub_bits);
  return static_cast<std::int64_t>(((leading + 1) << shift) - 1);
}

void Histogram::record(std::int64_t value_ns) noexcept {
  if (value_ns > max_value_ns) {
    value_ns = max_value_ns;
    ++saturated_;
  } else if (value_ns < 0) {
    value_ns = 0;
    ++negative_;
  }
  ++buckets_[bucket_of(value_ns)];
  ++count_;
  max_ns_ = std::max(max_ns_, value_ns);
  sum_ns_ += static_cast<double>(value_ns);
}

void Histogram::merge(const Histogram& other) noexcept {
  for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) buckets_[bucket] += other.buckets_[bucket];
  count_ += other.count_;
  saturated_ += other.saturated_;
  negative_ += other.negative_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
  sum_ns_ += other.sum_ns_;
}

void Histogram::reset() noexcept { *this = Histogram{}; }

std::int64_t Histogram::percentile(double quantile) const {
  if (!(quantile >= 0 && quantile <= 1))
    throw std::invalid_argument("percentile: the quantile must be within 0 to 1");
  if (count_ == 0) return 0;
  // The product of a decimal fraction and a count may come out a hair above the whole number that is meant.
  const double exact_rank = quantile * static_cast<double>(count_);
  const double rank = std::ceil(exact_rank - exact_rank * 1e-12);
  const auto wanted = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(rank), 1, count_);
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) {
    seen += buckets_[bucket];
    if (seen >= wanted) return std::min(highest_in(bucket), max_ns_);
  }
  return max_ns_;
}

double Histogram::mean() const noexcept { return count_ == 0 ? 0.0 : sum_ns_ / static_cast<double>(count_); }

bool Histogram::check_invariants() const noexcept {
  std::uint64_t total = 0;
  std::size_t highest = 0;
  for (std::size_t bucket = 0; bucket < bucket_count; ++bucket) {
    total += buckets_[bucket];
    if (buckets_[bucket] != 0) highest = bucket;
  }
  if (total != count_) return false;
  if (count_ == 0) return max_ns_ == 0 && saturated_ == 0 && negative_ == 0 && mean() == 0.0;
  if (bucket_of(max_ns_) != highest) return false;
  return saturated_ <= buckets_.back() && negative_ <= buckets_.front();
}

}  // namespace tools
