// Patterns for names, as SCAN and CONFIG GET take them.
#pragma once

#include <string_view>

namespace kv {

/// Whether all of `text` fits the pattern: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a character to be
/// taken as it is. Cost: O(pattern × text).
bool glob_match(std::string_view pattern, std::string_view text);

}  // namespace kv
