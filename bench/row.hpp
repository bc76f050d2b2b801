// A row of the table: one operation, as heirloop does it, as its floor does it, and as peers do it.
//
// Called by the files that define rows (yield.cpp, lock.cpp, …); measure.cpp runs what they define.
//
// 1. A body performs `state.max_iterations` operations inside one call of `timed`, and nothing else there.
// 2. Every body of a row does the same work, so that the ratio of two of them means something.
#pragma once

#include "allocations.hpp"

#include <benchmark/benchmark.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace heirloop::bench {

using Body = std::function<void(benchmark::State&)>;

struct Row {
  std::string name;
  Body ours;
  Body floor;
  std::map<std::string, Body> peers{};
  std::int64_t unit = 1;                     ///< the number of operations is a multiple of this
  std::function<double()> bytes_per_task{};  ///< measured once, in a thread of its own, so from an empty pool
};

using Rows = std::vector<Row>;

/// Times `work`, which performs all of `state.max_iterations` operations, and counts what it allocates.
template <class Work>
void timed(benchmark::State& state, Work&& work) {
  std::uint64_t allocated = 0;
  while (state.KeepRunningBatch(state.max_iterations)) {
    const std::uint64_t before = allocations();
    work();
    allocated = allocations() - before;
  }
  state.counters["allocs"] = static_cast<double>(allocated);
}

void add_yield_rows(Rows& rows);
void add_spawn_rows(Rows& rows);
void add_structured_rows(Rows& rows);
void add_await_rows(Rows& rows);
void add_lock_rows(Rows& rows);
void add_interrupt_rows(Rows& rows);
void add_timer_rows(Rows& rows);
void add_burst_rows(Rows& rows);
void add_scheduling_rows(Rows& rows);
void add_sync_rows(Rows& rows);
void add_inheritance_rows(Rows& rows);
void add_thread_rows(Rows& rows);
void add_depth_rows(Rows& rows);
void add_sleepers_rows(Rows& rows);

}  // namespace heirloop::bench
