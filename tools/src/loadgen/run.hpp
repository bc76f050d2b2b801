// The load: requests that are due by the clock, over real connections.
//
// Owns: the connections and the tally of one run. `main` runs it on heirloop.
//
// 1. A request is due at a random time (Poisson arrivals at the rate asked for, drawn from the seed), whether
// or not the
//    last was answered; its latency counts from then.
// 2. Each connection has its own arrivals, a sender and a receiver; replies come in the order of the
// requests.
// 3. Every request that came due in the measured time has one value in the tally.
#pragma once

#include <heirloop/heirloop.hpp>

#include "loadgen/options.hpp"
#include "loadgen/report.hpp"

namespace loadgen {

/// Offers the load and answers what was measured.
/// Errors: std::system_error when a connection can't be opened.
heirloop::Coro<Tally> run_load(const Options& options);

}  // namespace loadgen
