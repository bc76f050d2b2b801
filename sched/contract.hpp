// Assertions of inner contracts, in every build mode.
#pragma once

#include <source_location>

namespace heirloop {

namespace detail {
[[noreturn]] void contract_broken(const char* what, std::source_location where) noexcept;
}

/// Ends the program with `what` and the place when a contract between parts of heirloop is broken. Never the answer to
/// anything that a user's program can do wrong: that is an exception.
inline void contract(bool holds, const char* what,
                     std::source_location where = std::source_location::current()) noexcept {
  if (!holds) [[unlikely]] detail::contract_broken(what, where);
}

}  // namespace heirloop
