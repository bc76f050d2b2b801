// Patterns for names, as SCAN and CONFIG GET take them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace kv {

/// Whether the piece of the pattern at `at`, which is no star, fits `c`; sets `at` behind it.
inline bool fits_one(std::string_view pattern, std::size_t& at, char c) {
  if (pattern[at] != '[') {
    const bool any = pattern[at] == '?';
    if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
    return pattern[at++] == c || any;
  }
  const auto byte = [](char each) { return static_cast<unsigned char>(each); };
  const bool invert = pattern.substr(at).starts_with("[^");
  bool fits = false;
  for (at += invert ? 2 : 1; at < pattern.size() && pattern[at] != ']'; ++at) {
    const bool escaped = pattern[at] == '\\' && at + 1 < pattern.size();
    if (escaped) ++at;
    auto low = byte(pattern[at]), high = low;
    if (!escaped && at + 2 < pattern.size() && pattern[at + 1] == '-') high = byte(pattern[at += 2]);
    fits |= std::min(low, high) <= byte(c) && byte(c) <= std::max(low, high);
  }
  at = std::min(at + 1, pattern.size());
  return fits != invert;
}

/// Whether all of `text` fits the pattern: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a character to be
/// taken as it is. Cost: O(pattern × text).
inline bool glob_match(std::string_view pattern, std::string_view text) {
  // Only the last star can be asked to take more: what an earlier one took left the most to the rest.
  std::size_t behind_star = std::string_view::npos, star_end = 0;
  std::size_t p = 0, t = 0;
  while (t < text.size() || p < pattern.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      behind_star = ++p;
      star_end = t;
    } else if (p < pattern.size() && t < text.size() && fits_one(pattern, p, text[t])) {
      ++t;
    } else if (behind_star != std::string_view::npos && star_end < text.size()) {
      p = behind_star;
      t = ++star_end;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace kv
