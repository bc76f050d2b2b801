#include "demo/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace demo {
namespace {

// What starting and stopping a server and a client takes beside the load, roughly; for the estimate only.
constexpr double around_load_s = 0.2;
constexpr double around_redis_s = 0.1;
constexpr double late_answers_s = 1;

}  // namespace

Plan plan_for(double seconds) {
  Plan plan{};
  plan.rounds = seconds >= 7 ? 9 : seconds >= 5 ? 5 : seconds >= 3 ? 3 : 1;
  plan.load_s = seconds / plan.rounds;
  plan.redis_s = std::clamp(0.45 * plan.load_s, 0.1, 10.0);
  const double load = static_cast<double>(variants.size()) * (plan.load_s + warmup_s + around_load_s);
  const double redis = 2.0 * static_cast<double>(redis_modes.size()) * (plan.redis_s + around_redis_s);
  plan.total_s = plan.rounds * (load + late_answers_s + redis);
  return plan;
}

std::uint64_t requests_for(double seconds, double rps, std::uint64_t tests) {
  const double requests =
      std::clamp(seconds * rps / static_cast<double>(std::max<std::uint64_t>(tests, 1)), 1e3, 1e9);
  return static_cast<std::uint64_t>(std::llround(requests));
}

Arguments kvserver_arguments(const Variant& variant, const std::filesystem::path& dir) {
  Arguments arguments{"--port",         "0",
                      "--dir",          dir.string(),
                      "--policy",       std::string(variant.policy),
                      "--housekeeping", std::to_string(variant.housekeeping),
                      "--step-us",      std::to_string(step_us),
                      "--appendonly",   "no"};
  if (!variant.inheritance) arguments.emplace_back("--no-inheritance");
  if (variant.hold_lock_steps != 0) {
    arguments.insert(arguments.end(), {"--hold-lock", std::to_string(variant.hold_lock_steps), "--flood",
                                       std::to_string(variant.flood)});
  }
  return arguments;
}

Arguments kvserver_arguments(const RedisMode& mode, const std::filesystem::path& dir) {
  Arguments arguments{"--port",         "0",
                      "--dir",          dir.string(),
                      "--policy",       "aging",
                      "--housekeeping", "0",
                      "--appendonly",   mode.everysec ? "yes" : "no"};
  if (mode.everysec) arguments.insert(arguments.end(), {"--appendfsync", "everysec"});
  return arguments;
}

Arguments redis_server_arguments(const RedisMode& mode, std::uint16_t port,
                                 const std::filesystem::path& dir) {
  Arguments arguments{"--port",       std::to_string(port),
                      "--bind",       "127.0.0.1",
                      "--save",       "",
                      "--daemonize",  "no",
                      "--dir",        dir.string(),
                      "--loglevel",   "warning",
                      "--appendonly", mode.everysec ? "yes" : "no"};
  if (mode.everysec) arguments.insert(arguments.end(), {"--appendfsync", "everysec"});
  return arguments;
}

Arguments loadgen_arguments(const Plan& plan, std::uint16_t port, int round,
                            const std::filesystem::path& json) {
  return {"--host",        "127.0.0.1",
          "--port",        std::to_string(port),
          "--rate",        fmt::format("{}", offered_rps),
          "--connections", std::to_string(load_connections),
          "--seconds",     fmt::format("{:.3f}", plan.load_s),
          "--warmup",      fmt::format("{}", warmup_s),
          "--drain",       fmt::format("{}", drain_s),
          "--mix",         "get:80,set:20",
          "--seed",        std::to_string(round + 1),
          "--json",        json.string()};
}

Arguments redis_benchmark_arguments(const RedisMode& mode, std::uint16_t port, std::uint64_t requests) {
  Arguments arguments{"-h",   "127.0.0.1",
                      "-p",   std::to_string(port),
                      "-t",   "ping,set,get",
                      "-c",   std::to_string(redis_connections),
                      "-n",   std::to_string(requests),
                      "--csv"};
  if (mode.pipeline > 1) arguments.insert(arguments.end(), {"-P", std::to_string(mode.pipeline)});
  return arguments;
}

}  // namespace demo
