// Checks for numbers on a command line. CLI11 alone reads "nan" and "inf" as numbers, turns a negative number
// for an unsigned option around, and its messages do not name the range; these accept plain numbers within a
// range only.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace tools {

enum class LowEnd : std::uint8_t { included, excluded };

/// Accepts decimal numbers from `low` (or above it) to `high`; `unit` is part of the message, as " s".
[[nodiscard]] CLI::Validator number_within(double low, double high, LowEnd low_end,
                                           std::string_view unit = "");

/// Accepts whole decimal numbers from `low` to `high`.
[[nodiscard]] CLI::Validator whole_within(std::uint64_t low, std::uint64_t high);

}  // namespace tools
