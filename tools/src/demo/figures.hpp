// The figures of the demo: read from what the programs print, brought to one by the median over rounds,
// checked against what is expected, and written as JSON. Pure functions; nothing here starts or waits for
// anything.
#pragma once

#include "demo/plan.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace demo {

/// A program printed something other than what it should: one sentence that says who and what.
class FigureError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What loadgen found in one round.
struct LoadReport {
  double reached_rps = 0;
  double requests = 0;
  double errors = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double max_us = 0;
  double own_delay_p99_us = 0;
  bool kept_pace = true;
};

/// One variant in one round.
struct Sample {
  LoadReport load;
  double housekeeping_steps_per_s = 0;
  double lock_p99_us = 0;
  double lock_wait_steps_max = 0;
};

/// One variant over all rounds: every figure is the median of its own.
struct RunFigures {
  Variant variant{};
  double reached_rps = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double max_us = 0;
  double housekeeping_steps_per_s = 0;
  double lock_p99_us = 0;
  double lock_wait_steps_max = 0;
  int rounds = 0;
  int rounds_off_pace = 0;  ///< rounds in which loadgen could not keep its pace
  double requests = 0;      ///< of all rounds
  double errors = 0;        ///< of all rounds
};

/// One server under redis-benchmark.
struct RedisFigures {
  double rps = 0;
  double cpu_ns = 0;  ///< CPU time of the server's process per request
};

struct RedisRow {
  RedisMode mode{};
  RedisFigures kvserver;
  RedisFigures redis_server;
};

struct Figures {
  std::vector<RunFigures> runs;
  std::vector<RedisRow> redis;

  /// The run of that name.
  /// Errors: std::out_of_range when there is none.
  [[nodiscard]] const RunFigures& run(std::string_view name) const;
};

/// The middle one; of an even number the mean of the two in the middle.
/// Errors: std::invalid_argument when there is none.
[[nodiscard]] double median(std::vector<double> values);

[[nodiscard]] RunFigures medians(const Variant& variant, const std::vector<Sample>& rounds);
[[nodiscard]] RedisFigures medians(const std::vector<RedisFigures>& rounds);

/// The port in the line `ready port=N` of a server's output, once that line is complete.
[[nodiscard]] std::optional<std::uint16_t> ready_port(std::string_view output);

/// The lines `name:value` of a reply to INFO.
[[nodiscard]] std::map<std::string, std::string, std::less<>> parse_info(std::string_view text);
/// The number in the line `name:N` of a reply to INFO.
/// Errors: FigureError when the line is not there or holds no number.
[[nodiscard]] double info_number(const std::map<std::string, std::string, std::less<>>& info,
                                 std::string_view name);

/// Reads the JSON that loadgen writes.
/// Errors: FigureError when it is no JSON, or a figure is missing or no finite number.
[[nodiscard]] LoadReport parse_load_report(std::string_view json);

/// All tests of one call of redis-benchmark together.
struct BenchmarkReport {
  std::uint64_t tests = 0;
  double rps = 0;  ///< all requests over the time of all tests (each test has the same number of them)
};

/// Reads the output of `redis-benchmark --csv`.
/// Errors: FigureError when it holds no figure.
[[nodiscard]] BenchmarkReport parse_redis_benchmark(std::string_view csv);

/// One thing that the figures should show.
struct Expectation {
  bool met = false;
  std::string text;  ///< the measured against the expected, in words
};

[[nodiscard]] std::vector<Expectation> expectations(const Figures& figures);

/// The object that --json writes.
[[nodiscard]] nlohmann::ordered_json to_json(const Figures& figures);

}  // namespace demo
