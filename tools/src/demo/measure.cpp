#include "demo/measure.hpp"

#include "demo/resp_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <system_error>

namespace demo {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Generous: a build with sanitizers on a busy machine must come through.
constexpr Clock::duration start_limit = seconds(15);
constexpr Clock::duration reply_limit = seconds(30);
constexpr double client_limit_s = 60;

Clock::duration to_duration(double duration_s) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(duration_s));
}

std::string ending(std::string_view output) {
  const std::string lines = last_lines(output);
  return lines.empty() ? "it printed nothing" : lines;
}

// What the server counts, and when it was read.
struct Counters {
  Clock::time_point time;
  double housekeeping_steps;
  double lock_wait_steps_max;
  double lock_wait_p99_us;
};

Counters read_counters(RespClient& client) {
  const auto info = parse_info(client.ask({"INFO"}));
  return {Clock::now(), info_number(info, "housekeeping_steps"), info_number(info, "lock_wait_steps_max"),
          info_number(info, "lock_wait_p99_us")};
}

std::filesystem::path beside_the_demo(const std::filesystem::path& dir, std::string_view name) {
  std::filesystem::path program = dir / name;
  if (!std::filesystem::exists(program)) {
    throw DemoError(fmt::format("there is no {} in '{}'; build it first", name, dir.string()));
  }
  return program;
}

std::filesystem::path from_path(std::string_view name, std::string_view package) {
  auto program = find_in_path(name);
  if (!program)
    throw DemoError(fmt::format("{} is not in PATH; install it: apt-get install {}", name, package));
  return *std::move(program);
}

}  // namespace

struct Measurement::Server {
  std::string name;
  std::filesystem::path out;
  std::filesystem::path err;
  Process process;
  std::uint16_t port = 0;

  [[nodiscard]] std::string last_words() const { return ending(read_file(out) + "\n" + read_file(err)); }

  void check_alive() {
    if (process.running()) return;
    throw DemoError(
        fmt::format("{} ended by itself ({}): {}", name, describe_status(process.status()), last_words()));
  }
};

Programs find_programs() {
  const std::filesystem::path dir = own_directory();
  return {beside_the_demo(dir, "kvserver"), beside_the_demo(dir, "loadgen"),
          from_path("redis-server", "redis-server"), from_path("redis-benchmark", "redis-tools")};
}

Measurement::Measurement(Programs programs, const Plan& plan, Signals& signals, Progress& progress)
    : programs_(std::move(programs)), plan_(plan), signals_(signals), progress_(progress) {}

Figures Measurement::run() {
  for (int round = 0; round < plan_.rounds; ++round) {
    progress_.begin_round(round + 1, plan_.rounds);
    for (std::size_t turn = 0; turn < variants.size(); ++turn) {
      const std::size_t index = (turn + static_cast<std::size_t>(round)) % variants.size();
      progress_.say(variants[index].name);
      samples_[index].push_back(measure_variant(variants[index], round));
    }
    redis_round(round);
  }
  Figures figures;
  for (std::size_t index = 0; index < variants.size(); ++index) {
    figures.runs.push_back(medians(variants[index], samples_[index]));
  }
  for (std::size_t index = 0; index < redis_modes.size(); ++index) {
    figures.redis.push_back(
        {redis_modes[index], medians(redis_samples_[index][0]), medians(redis_samples_[index][1])});
  }
  return figures;
}

void Measurement::await_ready(Server& server) {
  const Clock::time_point deadline = Clock::now() + start_limit;
  const bool asks_for_port = server.port == 0;
  while (true) {
    server.check_alive();
    if (asks_for_port) {
      if (const auto port = ready_port(read_file(server.out))) {
        server.port = *port;
        return;
      }
    } else {
      try {
        RespClient(signals_, server.port, seconds(1)).ask({"PING"});
        return;
      } catch (const std::runtime_error&) {  // not listening yet, or still loading
      }
    }
    if (Clock::now() >= deadline) {
      throw DemoError(fmt::format("{} did not come up within {} s: {}", server.name,
                                  std::chrono::duration_cast<seconds>(start_limit).count(),
                                  server.last_words()));
    }
    signals_.pause(milliseconds(2));
  }
}

std::unique_ptr<Measurement::Server> Measurement::start_kvserver(std::string name, const Arguments& arguments,
                                                                 std::filesystem::path dir) {
  const std::filesystem::path out = dir / "out.log";
  const std::filesystem::path err = dir / "err.log";
  const Launch launch{programs_.kvserver, arguments, out, err,
                      cpus_ ? std::optional(cpus_->first) : std::nullopt};
  std::unique_ptr<Server> server(new Server{std::move(name), out, err, Process(launch), 0});
  await_ready(*server);
  return server;
}

std::unique_ptr<Measurement::Server> Measurement::start_redis_server(const RedisMode& mode) {
  constexpr int attempts = 3;
  for (int attempt = 1;; ++attempt) {
    const std::filesystem::path dir = scratch_.fresh("redis-server");
    const std::filesystem::path out = dir / "out.log";
    const std::filesystem::path err = dir / "err.log";
    const std::uint16_t port = free_port();
    const Launch launch{programs_.redis_server, redis_server_arguments(mode, port, dir), out, err,
                        cpus_ ? std::optional(cpus_->first) : std::nullopt};
    std::unique_ptr<Server> server(new Server{"redis-server", out, err, Process(launch), port});
    try {
      await_ready(*server);
      return server;
    } catch (const DemoError&) {
      // Somebody else may have taken the port between the look and the start.
      const bool port_was_taken = read_file(out).find("already in use") != std::string::npos;
      if (!port_was_taken || attempt == attempts) throw;
    }
  }
}

void Measurement::stop(Server& server) {
  server.check_alive();
  if (server.process.stop()) return;
  std::string note = fmt::format("{} did not end cleanly on SIGTERM: {}.", server.name,
                                 describe_status(server.process.status()));
  if (std::find(notes_.begin(), notes_.end(), note) == notes_.end()) notes_.push_back(std::move(note));
}

Measurement::Output Measurement::run_client(std::string_view name, const std::filesystem::path& program,
                                            const Arguments& arguments, Clock::duration limit,
                                            const std::function<void()>& at_every_turn) {
  const std::filesystem::path dir = scratch_.fresh(name);
  Process process({program, arguments, dir / "out.log", dir / "err.log",
                   cpus_ ? std::optional(cpus_->second) : std::nullopt});
  const auto output = [&] { return Output{read_file(dir / "out.log"), read_file(dir / "err.log")}; };
  const Clock::time_point deadline = Clock::now() + limit;
  while (process.running()) {
    at_every_turn();
    progress_.tick();
    if (Clock::now() >= deadline) {
      throw DemoError(fmt::format("{} did not end within {} s: {}", name,
                                  std::chrono::duration_cast<seconds>(limit).count(), ending(output().err)));
    }
    signals_.pause(milliseconds(20));
  }
  at_every_turn();
  Output said = output();
  if (process.status() != 0) {
    throw DemoError(fmt::format("{} failed ({}): {}", name, describe_status(process.status()),
                                ending(said.out + "\n" + said.err)));
  }
  return said;
}

Sample Measurement::measure_variant(const Variant& variant, int round) {
  const std::filesystem::path dir = scratch_.fresh("kvserver");
  const auto server =
      start_kvserver(fmt::format("kvserver ({})", variant.name), kvserver_arguments(variant, dir), dir);
  RespClient client(signals_, server->port, reply_limit);
  client.ask({"CONFIG", "RESETSTAT"});

  // Housekeeping is counted while the measured load runs, without the start and the end of loadgen.
  const Clock::time_point begin = Clock::now() + to_duration(warmup_s) + milliseconds(30);
  const Clock::time_point end = begin + to_duration(std::max(plan_.load_s - 0.06, 0.02));
  std::optional<Counters> first;
  std::optional<Counters> last;
  const auto count = [&] {
    server->check_alive();
    if (!first && Clock::now() >= begin) first = read_counters(client);
    if (first && !last && Clock::now() >= end) last = read_counters(client);
  };
  const std::filesystem::path json = scratch_.path() / "loadgen.json";
  std::filesystem::remove(json);
  run_client("loadgen", programs_.loadgen, loadgen_arguments(plan_, server->port, round, json),
             to_duration(warmup_s + plan_.load_s + drain_s + client_limit_s), count);
  if (!first || !last) throw FigureError(fmt::format("loadgen ended before its time ({})", variant.name));

  Sample sample;
  sample.load = parse_load_report(read_file(json));
  sample.housekeeping_steps_per_s = (last->housekeeping_steps - first->housekeeping_steps) /
                                    std::chrono::duration<double>(last->time - first->time).count();
  const Counters after = read_counters(client);
  sample.lock_p99_us = after.lock_wait_p99_us;
  sample.lock_wait_steps_max = after.lock_wait_steps_max;
  stop(*server);
  return sample;
}

RedisFigures Measurement::measure_redis(Server& server, const RedisMode& mode, std::uint64_t requests) {
  const std::chrono::nanoseconds before = server.process.cpu_time();
  const Output said = run_client(
      "redis-benchmark", programs_.redis_benchmark, redis_benchmark_arguments(mode, server.port, requests),
      to_duration(10 * plan_.redis_s + client_limit_s), [&] { server.check_alive(); });
  const std::chrono::nanoseconds used = server.process.cpu_time() - before;
  const BenchmarkReport report = parse_redis_benchmark(said.out);
  const double answered = static_cast<double>(requests * report.tests);
  return {report.rps, static_cast<double>(used.count()) / answered};
}

void Measurement::redis_round(int round) {
  // Both servers run at the same time, on the same processor; the one that is not under load sleeps.
  for (const bool everysec : {false, true}) {
    const auto& first_mode = *std::find_if(redis_modes.begin(), redis_modes.end(),
                                           [&](const RedisMode& mode) { return mode.everysec == everysec; });
    const std::filesystem::path dir = scratch_.fresh("kvserver");
    const std::array<std::unique_ptr<Server>, 2> servers{
        start_kvserver("kvserver", kvserver_arguments(first_mode, dir), dir), start_redis_server(first_mode)};
    for (std::size_t index = 0; index < redis_modes.size(); ++index) {
      const RedisMode& mode = redis_modes[index];
      if (mode.everysec != everysec) continue;
      for (std::size_t turn = 0; turn < 2; ++turn) {
        const std::size_t which = (turn + static_cast<std::size_t>(round)) % 2;
        Server& server = *servers[which];
        progress_.say(fmt::format("redis-benchmark on {}, {}", server.name, mode.title));
        std::uint64_t& requests = redis_requests_[index][which];
        if (requests == 0) {
          const RedisFigures pilot = measure_redis(server, mode, mode.pilot_requests);
          requests = requests_for(plan_.redis_s, pilot.rps, redis_tests);
        }
        const RedisFigures figures = measure_redis(server, mode, requests);
        redis_samples_[index][which].push_back(figures);
        requests = requests_for(plan_.redis_s, figures.rps, redis_tests);
      }
    }
    for (const auto& server : servers) stop(*server);
  }
}

}  // namespace demo
