// The stage of io for the harness that stops an operation everywhere (support/suspension_harness.hpp): a real ring, whose
// completions come late now and then, in parts, or after an error that passes.
#pragma once

#include "io/faulty_loop.hpp"
#include "support/suspension_harness.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <utility>

namespace heirloop::testing {

struct RingStage {
  explicit RingStage(std::function<void()> watch)
      : driver(1, {.short_transfers = 0.3, .transient = 0.1, .late = 0.5, .longest_delay = 4}) {
    driver.set_watch(std::move(watch));
  }
  static constexpr std::chrono::nanoseconds patience = std::chrono::microseconds(50);
  static constexpr PolicyKind policies[] = {PolicyKind::aging};
  FaultyDriver driver;
};

/// In each way, in flight and completed.
template <class Scene>
void stop_on_the_ring() {
  const StoppedCounts counts = stop_everywhere<RingStage>([] { return std::make_unique<Scene>(); });
  EXPECT_GE(counts.blocked, 7);
  EXPECT_GE(counts.ready, 7);
}

}  // namespace heirloop::testing
