#include "allocations.hpp"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace heirloop::bench {
namespace {

struct Counts {
  std::uint64_t calls = 0;
  std::int64_t bytes = 0;
  std::int64_t peak = 0;
};
constinit thread_local Counts counts;

constexpr std::size_t malloc_header = 8;

std::int64_t size_of(void* memory) noexcept {
  return static_cast<std::int64_t>(malloc_usable_size(memory) + malloc_header);
}

void* taken(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  ++counts.calls;
  counts.bytes += size_of(memory);
  if (counts.bytes > counts.peak) counts.peak = counts.bytes;
  return memory;
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  counts.bytes -= size_of(memory);
  std::free(memory);
}

}  // namespace

std::uint64_t allocations() noexcept { return counts.calls; }
void restart_peak_bytes() noexcept { counts.bytes = counts.peak = 0; }
std::int64_t peak_bytes() noexcept { return counts.peak; }

}  // namespace heirloop::bench

using heirloop::bench::give_back;
using heirloop::bench::taken;

// The array and nothrow forms of the standard library call these.
void* operator new(std::size_t size) { return taken(std::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  const auto step = static_cast<std::size_t>(alignment);
  return taken(std::aligned_alloc(step, (size + step - 1) / step * step));
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
