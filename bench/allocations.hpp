// Counts what this thread takes from the global `operator new`, which allocations.cpp replaces.
//
// The memory of a thrown exception does not come from there, so it is not counted.
#pragma once

#include <cstdint>

namespace heirloop::bench {

/// Calls of `operator new` by this thread so far.
std::uint64_t allocations() noexcept;

/// From here on, the most bytes that this thread held at once, with what malloc adds.
void restart_peak_bytes() noexcept;
std::int64_t peak_bytes() noexcept;

}  // namespace heirloop::bench
