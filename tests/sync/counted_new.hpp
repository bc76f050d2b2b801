// How often this test program called operator new so far; counted_new.cpp replaces the global operators.
#pragma once

#include <cstddef>

namespace heirloop::testing {
std::size_t allocations() noexcept;
}  // namespace heirloop::testing
