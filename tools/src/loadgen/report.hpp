// What a run of the load generator found: from the tally that the run keeps to a table and to JSON.
#pragma once

#include "common/histogram.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>

namespace loadgen {

/// What the run itself counts, the warm-up left out. Every request that came due in the measured time has one
/// value in `latency`: from when it was due to the end of its reply, whatever the reply is, or, when it has
/// none, to the end of the run. So a server that stops answering shows in the percentiles.
struct Tally {
  tools::Histogram latency;
  tools::Histogram own_delay;    ///< from when the request was due to when the load generator wrote it
  std::uint64_t due = 0;  ///< requests that came due
  std::uint64_t error_replies = 0;
  std::uint64_t unanswered = 0;  ///< connection lost, or no answer by the end of the drain
  double offered_rps = 0;        ///< the rate asked for
  double measured_seconds = 0;   ///< from the first due time to the last answer, at least the time of load
};

/// The figures of a run, as table and JSON show them.
struct Result {
  double offered_rps = 0;
  double reached_rps = 0;  ///< answers a second
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;  ///< error replies and requests without an answer
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double max_us = 0;
  double own_delay_p99_us = 0;
  bool kept_pace = false;
};

/// A load generator that wrote more than one request in a hundred this much too late did not keep its pace.
inline constexpr double own_delay_limit_us = 1000;

/// Makes the figures of a tally.
[[nodiscard]] Result summarize(const Tally& tally);

/// The object {"offered_rps", "reached_rps", "requests", "errors", "p50_us", "p99_us", "p999_us", "max_us",
/// "own_delay_p99_us", "kept_pace"}.
[[nodiscard]] nlohmann::json to_json(const Result& result);

/// Two aligned lines of figures, and a line each for what spoils them: errors, a pace that was not kept.
[[nodiscard]] std::string to_table(const Result& result);

}  // namespace loadgen
