// Times and numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace policylab {

/// `0`, `250ns`, `92.1us`, `7.44ms`, `2.01s`: three digits, at most seven columns.
[[nodiscard]] std::string short_time(std::int64_t span_ns);

/// `37.2%`; `<0.1%` for what would round to nothing.
[[nodiscard]] std::string percent(double part);

}  // namespace policylab
