// Random numbers that are the same everywhere: the generators and distributions of the standard library
// differ between libraries, and one for each job has to be small.
//
// 1. A stream is its seed alone; streams are made by name (a class) or number (a job), never by order of
// making.
#pragma once

#include <cstdint>
#include <string_view>

namespace policylab {

/// The generator SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, one stream for each seed.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept { return mix(state_ += step); }

  /// Uniform in [0, 1), in steps of 2^-53.
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// The seed of a stream that belongs to `name`, or to the `number`th part, of what has this seed.
  static std::uint64_t derive(std::uint64_t seed, std::string_view name) noexcept {
    std::uint64_t hash = mix(seed + step);
    for (const char letter : name) hash = mix((hash ^ static_cast<unsigned char>(letter)) + step);
    return hash;
  }
  static std::uint64_t derive(std::uint64_t seed, std::uint64_t number) noexcept {
    return mix(mix(seed + step) ^ (number * step + step));
  }

 private:
  static constexpr std::uint64_t step = 0x9e3779b97f4a7c15;

  static std::uint64_t mix(std::uint64_t value) noexcept {
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

  std::uint64_t state_;
};

}  // namespace policylab
