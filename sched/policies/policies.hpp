// The policies that come with heirloop, a file each; policy.cpp lists them.
#pragma once

#include <memory>

#include <heirloop/sched/policy.hpp>

namespace heirloop::policies {

std::unique_ptr<Policy> make_fifo(const PolicyOptions& options);
std::unique_ptr<Policy> make_strict(const PolicyOptions& options);
std::unique_ptr<Policy> make_aging(const PolicyOptions& options);
std::unique_ptr<Policy> make_boost(const PolicyOptions& options);
std::unique_ptr<Policy> make_edf(const PolicyOptions& options);
std::unique_ptr<Policy> make_shares(const PolicyOptions& options);

/// The bits of a double, as a signed integer, in the order of the doubles.
std::int64_t ordered_bits(double priority) noexcept;

/// Nanoseconds that a priority is worth at `age_unit_ns`: clamped in double to ±2^60 (36 years); the infinities lie
/// outside, at ±2^61.
std::int64_t age_offset(double priority, double age_unit_ns) noexcept;

}  // namespace heirloop::policies
