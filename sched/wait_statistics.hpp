// What has happened in a waiter queue: for those who want to know where a service waits.
//
// Owns its counters; a queue that was told to count in it writes them. Off (the default) costs a branch as a wait begins
// and as it ends.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <map>

namespace heirloop {

/// Of one primitive, or of several that count in the same. Must outlive them, or be taken back before.
struct WaitStatistics {
  /// Bucket b counts waits of less than 2^b ns that are in no bucket before.
  using Histogram = std::array<std::uint64_t, 64>;

  std::uint64_t waits = 0;               ///< begun
  std::uint64_t hand_offs = 0;           ///< ended by the primitive: handed over to, notified, closed, owner died
  std::uint64_t withdrawn = 0;           ///< ended by a cancel, an interrupt, a throw
  std::uint64_t inheritance_events = 0;  ///< owners that became more urgent by what waits here
  std::int64_t longest_wait_ns = 0;      ///< of those that have ended; by the loop's cached clock
  std::map<double, Histogram> by_priority{};  ///< waits that have ended, by the effective priority at the end

  /// A wait has ended. Allocates at the first one of a priority.
  void ended(double priority, std::int64_t waited_ns, bool handed_over) {
    ++(handed_over ? hand_offs : withdrawn);
    if (waited_ns > longest_wait_ns) longest_wait_ns = waited_ns;
    const auto bucket = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(waited_ns > 0 ? waited_ns : 0)));
    ++by_priority[priority][bucket];
  }
};

}  // namespace heirloop
