#include "kvserver/glob.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace kv {

namespace {

/// Whether `c` is in the set that begins at pattern[at], a bracket; sets `at` behind it.
bool in_set(std::string_view pattern, std::size_t& at, char c) {
  auto wanted = static_cast<unsigned char>(c);
  bool invert = pattern.substr(at).starts_with("[^");
  bool fits = false;
  for (at += invert ? 2 : 1; at < pattern.size() && pattern[at] != ']'; ++at) {
    bool escaped = pattern[at] == '\\' && at + 1 < pattern.size();
    if (escaped) ++at;
    auto low = static_cast<unsigned char>(pattern[at]), high = low;
    if (!escaped && at + 2 < pattern.size() && pattern[at + 1] == '-')
      high = static_cast<unsigned char>(pattern[at += 2]);
    if (low > high) std::swap(low, high);
    fits |= low <= wanted && wanted <= high;
  }
  at = std::min(at + 1, pattern.size());
  return fits != invert;
}

/// Whether the piece of the pattern at `at`, which is no star, fits `c`; sets `at` behind it.
bool fits_one(std::string_view pattern, std::size_t& at, char c) {
  if (pattern[at] == '[') return in_set(pattern, at, c);
  bool any = pattern[at] == '?';
  if (pattern[at] == '\\' && at + 1 < pattern.size()) ++at;
  return pattern[at++] == c || any;
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
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
