// One line of a workload file as words, read from left to right.
//
// Called by the parser, a function for each kind of value. Whatever does not fit ends in a `ParseError` that
// says the file, the line, what was expected there and what was found.
#pragma once

#include "policylab/workload.hpp"

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace policylab {

/// `FILE:LINE: expected …, found …`
class ParseError : public std::runtime_error {
 public:
  ParseError(std::string_view file, std::size_t line, std::string_view expected, std::string_view found);
  [[nodiscard]] std::size_t line() const noexcept { return line_; }

 private:
  std::size_t line_;
};

class Words {
 public:
  /// Cuts the line at blanks; from a '#' on it is a comment. `file` and `text` must outlive this.
  Words(std::string_view file, std::size_t line, std::string_view text);

  [[nodiscard]] bool at_end() const noexcept { return next_ == words_.size(); }
  [[nodiscard]] std::size_t line() const noexcept { return line_; }

  /// True and past it, when the next word is `word`.
  bool accept(std::string_view word) noexcept;
  /// Past the word that has to come.
  void require(std::string_view word);
  /// Past one of these words; its index.
  std::size_t one_of(std::span<const std::string_view> names, std::string_view what);
  /// Nothing may be left on the line.
  void end() const;
  /// All that is left of the line, as it stands there.
  std::string rest();

  /// Letters, digits, '-' and '_', at most 16.
  std::string name(std::string_view what);
  double number(double low, double high, std::string_view what);
  std::uint32_t whole(std::uint32_t low, std::uint32_t high, std::string_view what);
  /// A time with its unit, joined or apart: `20 us`, `1.5ms`. Whole nanoseconds from `low` to `high`.
  std::int64_t span_ns(std::int64_t low, std::int64_t high);
  /// `2000/s`.
  double rate();
  /// high, normal, low or a number.
  double priority();
  /// `fixed X`, `uniform X Y`, `exponential X max Y` or `pareto X ALPHA max Y` of times from `low_ns` on.
  Distribution spans(std::int64_t low_ns);
  /// The same of counts from 1 on.
  Distribution counts();

  /// Errors: always a ParseError, about the next word.
  [[noreturn]] void fail(std::string_view expected) const;
  /// Errors: always a ParseError, about the word before.
  [[noreturn]] void fail_before(std::string_view expected) const;

 private:
  [[noreturn]] void fail_at(std::size_t index, std::string_view expected) const;
  template <class Value>
  Distribution distribution(Value value, std::string_view what);

  std::string_view file_;
  std::size_t line_;
  std::string_view text_;
  std::vector<std::string_view> words_;
  std::size_t next_ = 0;
};

/// The longest time that a file may name, and the largest count: far more than a run needs, far from any
/// overflow.
inline constexpr std::int64_t longest_span_ns = 3'600'000'000'000;
inline constexpr std::uint32_t largest_count = 1'000'000;

}  // namespace policylab
