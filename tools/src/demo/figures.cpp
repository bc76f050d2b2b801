#include "demo/figures.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace demo {
namespace {

std::optional<double> number_in(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

// Takes the next line off `text`, without its end.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

template <typename Round>
double median_of(const std::vector<Round>& rounds, auto&& figure) {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const Round& round : rounds) values.push_back(figure(round));
  return median(std::move(values));
}

double three_decimals(double value) { return std::round(value * 1000) / 1000; }

nlohmann::ordered_json to_json(const RedisFigures& figures) {
  return {{"rps", three_decimals(figures.rps)}, {"cpu_ns", three_decimals(figures.cpu_ns)}};
}

// a : b, also when b is nothing.
double ratio(double a, double b) { return b > 0 ? a / b : a > 0 ? INFINITY : 1; }

}  // namespace

const RunFigures& Figures::run(std::string_view name) const {
  const auto found =
      std::find_if(runs.begin(), runs.end(), [&](const RunFigures& one) { return one.variant.name == name; });
  if (found == runs.end()) throw std::out_of_range(fmt::format("there is no run '{}'", name));
  return *found;
}

double median(std::vector<double> values) {
  if (values.empty()) throw std::invalid_argument("the median of nothing");
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

RunFigures medians(const Variant& variant, const std::vector<Sample>& rounds) {
  RunFigures run;
  run.variant = variant;
  run.reached_rps = median_of(rounds, [](const Sample& one) { return one.load.reached_rps; });
  run.p50_us = median_of(rounds, [](const Sample& one) { return one.load.p50_us; });
  run.p99_us = median_of(rounds, [](const Sample& one) { return one.load.p99_us; });
  run.p999_us = median_of(rounds, [](const Sample& one) { return one.load.p999_us; });
  run.max_us = median_of(rounds, [](const Sample& one) { return one.load.max_us; });
  run.housekeeping_steps_per_s =
      median_of(rounds, [](const Sample& one) { return one.housekeeping_steps_per_s; });
  run.lock_p99_us = median_of(rounds, [](const Sample& one) { return one.lock_p99_us; });
  run.lock_wait_steps_max = median_of(rounds, [](const Sample& one) { return one.lock_wait_steps_max; });
  run.rounds = static_cast<int>(rounds.size());
  for (const Sample& one : rounds) {
    run.rounds_off_pace += one.load.kept_pace ? 0 : 1;
    run.requests += one.load.requests;
    run.errors += one.load.errors;
  }
  return run;
}

RedisFigures medians(const std::vector<RedisFigures>& rounds) {
  return {median_of(rounds, [](const RedisFigures& one) { return one.rps; }),
          median_of(rounds, [](const RedisFigures& one) { return one.cpu_ns; })};
}

std::optional<std::uint16_t> ready_port(std::string_view output) {
  constexpr std::string_view start = "ready port=";
  while (output.find('\n') != std::string_view::npos) {
    const std::string_view line = take_line(output);
    if (!line.starts_with(start)) continue;
    const std::optional<double> port = number_in(line.substr(start.size()));
    if (port && *port >= 1 && *port <= 65535) return static_cast<std::uint16_t>(*port);
  }
  return std::nullopt;
}

std::map<std::string, std::string, std::less<>> parse_info(std::string_view text) {
  std::map<std::string, std::string, std::less<>> info;
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    const std::size_t colon = line.find(':');
    if (line.starts_with('#') || colon == std::string_view::npos) continue;
    info.emplace(line.substr(0, colon), line.substr(colon + 1));
  }
  return info;
}

double info_number(const std::map<std::string, std::string, std::less<>>& info, std::string_view name) {
  const auto found = info.find(name);
  if (found == info.end()) throw FigureError(fmt::format("INFO of kvserver has no line '{}:'", name));
  const std::optional<double> value = number_in(found->second);
  if (!value)
    throw FigureError(fmt::format("INFO of kvserver says '{}:{}', not a number", name, found->second));
  return *value;
}

LoadReport parse_load_report(std::string_view json) {
  const auto object = nlohmann::json::parse(json, nullptr, false);
  if (!object.is_object()) throw FigureError("loadgen wrote no JSON object");
  const auto number = [&](const char* name) {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number() || !std::isfinite(found->get<double>())) {
      throw FigureError(fmt::format("the JSON of loadgen has no number '{}'", name));
    }
    return found->get<double>();
  };
  LoadReport report;
  report.reached_rps = number("reached_rps");
  report.requests = number("requests");
  report.errors = number("errors");
  report.p50_us = number("p50_us");
  report.p99_us = number("p99_us");
  report.p999_us = number("p999_us");
  report.max_us = number("max_us");
  report.own_delay_p99_us = number("own_delay_p99_us");
  const auto kept_pace = object.find("kept_pace");
  if (kept_pace == object.end() || !kept_pace->is_boolean()) {
    throw FigureError("the JSON of loadgen does not say whether it kept its pace");
  }
  report.kept_pace = kept_pace->get<bool>();
  return report;
}

BenchmarkReport parse_redis_benchmark(std::string_view csv) {
  // "PING_INLINE","70671.38","0.371",… after a line of headings (since 7.0; before, there was none)
  BenchmarkReport report;
  double time_of_one = 0;
  while (!csv.empty()) {
    const std::string_view line = take_line(csv);
    const std::size_t second = line.find("\",\"");
    if (!line.starts_with('"') || second == std::string_view::npos) continue;
    const std::string_view rest = line.substr(second + 3);
    const std::optional<double> rps = number_in(rest.substr(0, rest.find('"')));
    if (!rps || *rps <= 0) continue;
    ++report.tests;
    time_of_one += 1 / *rps;
  }
  if (report.tests == 0) throw FigureError("redis-benchmark printed no figures");
  report.rps = static_cast<double>(report.tests) / time_of_one;
  return report;
}

std::vector<Expectation> expectations(const Figures& figures) {
  std::vector<Expectation> list;
  const auto expect = [&](bool met, std::string text) { list.push_back({met, std::move(text)}); };
  const RunFigures& idle = figures.run("idle");
  const RunFigures& fifo = figures.run("fifo");
  const double p99_bound_us = 3 * (step_us + idle.p99_us);
  for (const std::string_view name : {"strict", "aging"}) {
    const RunFigures& run = figures.run(name);
    expect(run.p99_us * 20 <= fifo.p99_us,
           fmt::format("{}: p99 is 1/{:.1f} of fifo's (expected: 1/20 or less)", name,
                       ratio(fifo.p99_us, run.p99_us)));
    expect(run.p99_us <= p99_bound_us,
           fmt::format("{}: p99 is {:.0f} us (expected: at most {:.0f}, 3 x (a step + p99 when idle))", name,
                       run.p99_us, p99_bound_us));
    const double kept = ratio(run.housekeeping_steps_per_s, fifo.housekeeping_steps_per_s);
    expect(fifo.housekeeping_steps_per_s > 0 && kept > 0.85,
           fmt::format("{}: housekeeping makes {:.1f} % of fifo's steps (expected: more than 85 %)", name,
                       100 * kept));
  }
  const double with = figures.run("lock_inheritance_on").lock_wait_steps_max;
  const double without = figures.run("lock_inheritance_off").lock_wait_steps_max;
  expect(
      with > 0 && with <= hold_lock_steps + 1,
      fmt::format("with inheritance a request waits up to {:.0f} dispatches for the lock (expected: 1 to {})",
                  with, hold_lock_steps + 1));
  expect(without >= 10 * (hold_lock_steps + 1),
         fmt::format("without inheritance it waits up to {:.0f} (expected: {} or more)", without,
                     10 * (hold_lock_steps + 1)));
  for (const RedisRow& row : figures.redis) {
    const double cpu = ratio(row.kvserver.cpu_ns, row.redis_server.cpu_ns);
    const double rps = ratio(row.kvserver.rps, row.redis_server.rps);
    expect(cpu <= 1, fmt::format("{}: kvserver takes {:.2f} of redis-server's CPU time a request "
                                 "(expected: at most 1.00)",
                                 row.mode.name, cpu));
    expect(rps >= 0.95, fmt::format("{}: kvserver reaches {:.2f} of redis-server's requests/s "
                                    "(expected: 0.95 or more)",
                                    row.mode.name, rps));
  }
  return list;
}

nlohmann::ordered_json to_json(const Figures& figures) {
  nlohmann::ordered_json json;
  json["runs"] = nlohmann::ordered_json::array();
  for (const RunFigures& run : figures.runs) {
    json["runs"].push_back({{"name", run.variant.name},
                            {"policy", run.variant.policy},
                            {"inheritance", run.variant.inheritance},
                            {"offered_rps", offered_rps},
                            {"reached_rps", three_decimals(run.reached_rps)},
                            {"p50_us", three_decimals(run.p50_us)},
                            {"p99_us", three_decimals(run.p99_us)},
                            {"p999_us", three_decimals(run.p999_us)},
                            {"max_us", three_decimals(run.max_us)},
                            {"housekeeping_steps_per_s", three_decimals(run.housekeeping_steps_per_s)},
                            {"lock_p99_us", three_decimals(run.lock_p99_us)},
                            {"lock_wait_steps_max", three_decimals(run.lock_wait_steps_max)}});
  }
  json["redis"] = {{"kvserver", nlohmann::ordered_json::object()},
                   {"redis_server", nlohmann::ordered_json::object()}};
  for (const RedisRow& row : figures.redis) {
    json["redis"]["kvserver"][std::string(row.mode.name)] = to_json(row.kvserver);
    json["redis"]["redis_server"][std::string(row.mode.name)] = to_json(row.redis_server);
  }
  return json;
}

}  // namespace demo
