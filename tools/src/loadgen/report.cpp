#include "loadgen/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace loadgen {
namespace {

double to_us(std::int64_t value_ns) { return static_cast<double>(value_ns) / 1000; }

// Figures carry three decimals: a nanosecond is the finest that was measured.
double three_decimals(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

Result summarize(const Tally& tally) {
  Result result;
  result.offered_rps = tally.offered_rps;
  if (tally.measured_seconds > 0) {
    result.reached_rps = static_cast<double>(tally.due - tally.unanswered) / tally.measured_seconds;
  }
  result.requests = tally.due;
  result.errors = tally.error_replies + tally.unanswered;
  result.p50_us = to_us(tally.latency.percentile(0.5));
  result.p99_us = to_us(tally.latency.percentile(0.99));
  result.p999_us = to_us(tally.latency.percentile(0.999));
  result.max_us = to_us(tally.latency.max());
  result.own_delay_p99_us = to_us(tally.own_delay.percentile(0.99));
  const bool wrote_all = tally.own_delay.count() >= tally.due;
  result.kept_pace = wrote_all && result.own_delay_p99_us <= own_delay_limit_us;
  return result;
}

nlohmann::json to_json(const Result& result) {
  return {{"offered_rps", three_decimals(result.offered_rps)},
          {"reached_rps", three_decimals(result.reached_rps)},
          {"requests", result.requests},
          {"errors", result.errors},
          {"p50_us", three_decimals(result.p50_us)},
          {"p99_us", three_decimals(result.p99_us)},
          {"p999_us", three_decimals(result.p999_us)},
          {"max_us", three_decimals(result.max_us)},
          {"own_delay_p99_us", three_decimals(result.own_delay_p99_us)},
          {"kept_pace", result.kept_pace}};
}

std::string to_table(const Result& result) {
  std::string text =
      fmt::format("{:>12}{:>12}{:>10}{:>8}{:>12}{:>12}{:>12}{:>12}{:>14}\n", "offered/s", "reached/s",
                  "requests", "errors", "p50 us", "p99 us", "p99.9 us", "max us", "own delay us");
  text += fmt::format("{:>12.0f}{:>12.0f}{:>10}{:>8}{:>12.1f}{:>12.1f}{:>12.1f}{:>12.1f}{:>14.1f}\n",
                      result.offered_rps, result.reached_rps, result.requests, result.errors, result.p50_us,
                      result.p99_us, result.p999_us, result.max_us, result.own_delay_p99_us);
  if (result.errors != 0) {
    text += fmt::format("{} of {} requests got an error or no answer.\n", result.errors, result.requests);
  }
  if (!result.kept_pace) {
    text += fmt::format(
        "The load generator did not keep its pace: its own delay was {:.1f} us at p99, and the latencies "
        "contain it.\n",
        result.own_delay_p99_us);
  }
  return text;
}

}  // namespace loadgen
