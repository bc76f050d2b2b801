// Runs a row: its bodies take turns, so that what disturbs the machine disturbs them alike.
//
// 1. Each round runs every body of the row once, for about `Plan::sample`, in changing order.
// 2. What is reported is the median over rounds; the ratio to the floor is the median of the ratios within a
// round.
// 3. Time is the thread's own CPU time: what else runs on the machine is not in it.
// 4. Each row runs in a process of its own, forked before any row has run: what the rows before it leave behind (recycled
//    frames in the order in which they were freed last, which costs a switch up to half as much again) does not tell.
#pragma once

#include "row.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>

namespace heirloop::bench {

/// How long to measure.
struct Plan {
  std::chrono::duration<double> sample;   ///< one body, one round
  std::chrono::duration<double> per_row;  ///< all rounds of a row, but at least `min_rounds`
  std::size_t min_rounds;
  std::size_t max_rounds = 61;
};

struct Measured {
  std::string name;
  double ns = 0;
  double floor_ns = 0;
  double ratio = 0;
  double allocs = 0;
  std::map<std::string, double> peers{};
  std::optional<double> bytes_per_task{};
  std::size_t rounds = 0;
};

/// Errors: std::runtime_error when the row fails; it has said why on stderr.
Measured measure(const Row& row, const Plan& plan);

}  // namespace heirloop::bench
