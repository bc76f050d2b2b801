#include "policylab/words.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace policylab {
namespace {

constexpr std::string_view blanks = " \t\r";
constexpr std::size_t longest_name = 16;
constexpr double largest_priority = 1000;

struct Unit {
  std::string_view name;
  double ns;
};
constexpr std::array<Unit, 4> units{{{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}}};

bool is_letter_of_a_name(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
}

/// The number at the beginning of `word` and what stands behind it; false when there is none. "nan" and "inf"
/// are none.
bool read_number(std::string_view word, double& value, std::string_view& behind) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  behind = word.substr(static_cast<std::size_t>(end - word.data()));
  return error == std::errc{} && std::isfinite(value);
}

std::string as_time(std::int64_t ns) {
  for (auto unit = units.rbegin(); unit != units.rend(); ++unit) {
    const double value = static_cast<double>(ns) / unit->ns;
    if (value >= 1) return fmt::format("{:g} {}", value, unit->name);
  }
  return "0 ns";
}

}  // namespace

ParseError::ParseError(std::string_view file, std::size_t line, std::string_view expected,
                       std::string_view found)
    : std::runtime_error(fmt::format("{}:{}: expected {}, found {}", file, line, expected, found)),
      line_(line) {}

Words::Words(std::string_view file, std::size_t line, std::string_view text)
    : file_(file), line_(line), text_(text) {
  text_ = text_.substr(0, text_.find('#'));
  for (std::size_t at = text_.find_first_not_of(blanks); at != std::string_view::npos;) {
    const std::size_t end = std::min(text_.find_first_of(blanks, at), text_.size());
    words_.push_back(text_.substr(at, end - at));
    at = text_.find_first_not_of(blanks, end);
  }
}

void Words::fail_at(std::size_t index, std::string_view expected) const {
  throw ParseError(
      file_, line_, expected,
      index < words_.size() ? fmt::format("'{}'", words_[index]) : std::string("the end of the line"));
}
void Words::fail(std::string_view expected) const { fail_at(next_, expected); }
void Words::fail_before(std::string_view expected) const { fail_at(next_ - 1, expected); }

bool Words::accept(std::string_view word) noexcept {
  if (at_end() || words_[next_] != word) return false;
  ++next_;
  return true;
}

void Words::require(std::string_view word) {
  if (!accept(word)) fail(fmt::format("'{}'", word));
}

std::size_t Words::one_of(std::span<const std::string_view> names, std::string_view what) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (accept(names[i])) return i;
  }
  fail(fmt::format("{} ({})", what, fmt::join(names, ", ")));
}

void Words::end() const {
  if (!at_end()) fail("nothing more on this line");
}

std::string Words::rest() {
  if (at_end()) return {};
  const char* const begin = words_[next_].data();
  const char* const end = words_.back().data() + words_.back().size();
  next_ = words_.size();
  return {begin, end};
}

std::string Words::name(std::string_view what) {
  const std::string expected =
      fmt::format("{} of at most {} letters, digits, '-' or '_'", what, longest_name);
  if (at_end()) fail(expected);
  const std::string_view word = words_[next_];
  if (word.size() > longest_name || !std::all_of(word.begin(), word.end(), is_letter_of_a_name))
    fail(expected);
  ++next_;
  return std::string(word);
}

double Words::number(double low, double high, std::string_view what) {
  double value = 0;
  std::string_view behind;
  if (at_end() || !read_number(words_[next_], value, behind) || !behind.empty() || value < low ||
      value > high) {
    fail(fmt::format("{} from {:g} to {:g}", what, low, high));
  }
  ++next_;
  return value;
}

std::uint32_t Words::whole(std::uint32_t low, std::uint32_t high, std::string_view what) {
  std::uint32_t value = 0;
  const std::string_view word = at_end() ? std::string_view() : words_[next_];
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size() || value < low || value > high) {
    fail(fmt::format("{}, a whole number from {} to {}", what, low, high));
  }
  ++next_;
  return value;
}

std::int64_t Words::span_ns(std::int64_t low, std::int64_t high) {
  const std::string expected =
      fmt::format("a time from {} to {} with its unit (ns, us, ms or s)", as_time(low), as_time(high));
  double value = 0;
  std::string_view unit;
  if (at_end() || !read_number(words_[next_], value, unit)) fail(expected);
  const std::size_t number_at = next_++;
  if (unit.empty()) {
    if (at_end()) fail_at(number_at, expected);
    unit = words_[next_++];
  }
  const auto* const found =
      std::find_if(units.begin(), units.end(), [&](const Unit& each) { return each.name == unit; });
  if (found == units.end()) fail_before(expected);
  const double ns = std::round(value * found->ns);
  if (!(ns >= static_cast<double>(low) && ns <= static_cast<double>(high))) fail_at(number_at, expected);
  return static_cast<std::int64_t>(ns);
}

double Words::rate() {
  double value = 0;
  std::string_view behind;
  if (at_end() || !read_number(words_[next_], value, behind) || behind != "/s" || value < 0.001 ||
      value > 1e6) {
    fail("a rate from 0.001/s to 1000000/s, as 2000/s");
  }
  ++next_;
  return value;
}

double Words::priority() {
  if (accept("high")) return -10;
  if (accept("normal")) return 0;
  if (accept("low")) return 10;
  // -0 becomes 0, as in heirloop.
  return 0.0 + number(-largest_priority, largest_priority, "a priority: high, normal, low or a number");
}

template <class Value>
Distribution Words::distribution(Value value, std::string_view what) {
  static constexpr std::array<std::string_view, 4> shapes{"fixed", "uniform", "exponential", "pareto"};
  Distribution made;
  made.shape = static_cast<Distribution::Shape>(one_of(shapes, fmt::format("a distribution of {}", what)));
  made.low = value();
  switch (made.shape) {
    case Distribution::Shape::fixed:
      made.high = made.low;
      return made;
    case Distribution::Shape::uniform:
      break;
    case Distribution::Shape::pareto:
      made.alpha = number(0.1, 100, "the exponent of the tail");
      [[fallthrough]];
    case Distribution::Shape::exponential:
      require("max");
      break;
  }
  made.high = value();
  if (made.high < made.low) fail_before("a largest value that is not below the first one");
  return made;
}

Distribution Words::spans(std::int64_t low_ns) {
  return distribution([&] { return static_cast<double>(span_ns(low_ns, longest_span_ns)); }, "times");
}

Distribution Words::counts() {
  return distribution([&] { return static_cast<double>(whole(1, largest_count, "a count")); }, "counts");
}

}  // namespace policylab
