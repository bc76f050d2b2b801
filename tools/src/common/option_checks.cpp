#include "common/option_checks.hpp"

#include <fmt/format.h>

#include <charconv>

namespace tools {
namespace {

template <typename Number>
bool reads_as(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

CLI::Validator number_within(double low, double high, LowEnd low_end, std::string_view unit) {
  const bool included = low_end == LowEnd::included;
  const std::string range = included ? fmt::format("from {} to {}{}", low, high, unit)
                                     : fmt::format("above {} and at most {}{}", low, high, unit);
  const auto check = [=](std::string& text) -> std::string {
    double value = 0;
    // A comparison with NaN is false, so NaN is refused as well.
    const bool fits = reads_as(text, value) && value <= high && (included ? value >= low : value > low);
    return fits ? std::string{} : fmt::format("must be a number {}, not '{}'", range, text);
  };
  return {check, "", ""};
}

CLI::Validator whole_within(std::uint64_t low, std::uint64_t high) {
  const auto check = [=](std::string& text) -> std::string {
    std::uint64_t value = 0;
    const bool fits = reads_as(text, value) && value >= low && value <= high;
    return fits ? std::string{}
                : fmt::format("must be a whole number from {} to {}, not '{}'", low, high, text);
  };
  return {check, "", ""};
}

}  // namespace tools
