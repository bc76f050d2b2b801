// What the demo runs: the variants of the server, the ways redis-benchmark is used, how the time is shared
// out, and the command line of every program that it starts. Pure data and functions.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace demo {

/// One way to run kvserver under the load of loadgen.
struct Variant {
  std::string_view name;
  std::string_view policy;
  bool inheritance;
  int housekeeping;     ///< synthetic tasks of low priority that are always ready
  int hold_lock_steps;  ///< a housekeeping task holds the keyspace lock through so many steps; 0: none does
  int flood;            ///< always-ready tasks of middle priority
};

inline constexpr int housekeeping_tasks = 100;
inline constexpr int step_us = 50;
inline constexpr int hold_lock_steps = 3;
inline constexpr int flood_tasks = 20;
inline constexpr double offered_rps = 2000;
inline constexpr int load_connections = 50;
inline constexpr int redis_connections = 50;
/// `-t ping,set,get` is four tests of redis-benchmark: PING is tested in both forms of a command.
inline constexpr std::uint64_t redis_tests = 4;
/// How long loadgen waits for late answers, and how long a load runs before it counts.
inline constexpr double drain_s = 5;
inline constexpr double warmup_s = 0.3;

inline constexpr std::array<Variant, 6> variants{{
    {"idle", "aging", true, 0, 0, 0},
    {"fifo", "fifo", true, housekeeping_tasks, 0, 0},
    {"strict", "strict", true, housekeeping_tasks, 0, 0},
    {"aging", "aging", true, housekeeping_tasks, 0, 0},
    {"lock_inheritance_on", "aging", true, 1, hold_lock_steps, flood_tasks},
    {"lock_inheritance_off", "aging", false, 1, hold_lock_steps, flood_tasks},
}};

/// One way to compare kvserver with redis-server.
struct RedisMode {
  std::string_view name;
  std::string_view title;
  int pipeline;
  bool everysec;  ///< append-only file with fsync every second, in both servers; else no persistence
  std::uint64_t pilot_requests;
};

inline constexpr std::array<RedisMode, 3> redis_modes{{
    {"p1", "one at a time", 1, false, 10'000},
    {"p16", "16 at a time", 16, false, 100'000},
    {"everysec", "one, everysec", 1, true, 10'000},
}};

/// How the time is shared out.
struct Plan {
  int rounds;
  double load_s;   ///< measured load per variant and round
  double redis_s;  ///< of redis-benchmark per server, mode and round
  double total_s;  ///< the whole run, estimated
};

inline constexpr double default_seconds = 7;
inline constexpr double max_seconds = 86'400;

/// Shares `seconds` of load per variant out over one, three, five or nine rounds: many short ones, for a stall of the
/// machine spoils the tail of the round that it falls into, and the median is over rounds.
[[nodiscard]] Plan plan_for(double seconds);

/// How many requests per test of redis-benchmark take about `seconds` in all when `rps` are answered a
/// second.
[[nodiscard]] std::uint64_t requests_for(double seconds, double rps, std::uint64_t tests);

using Arguments = std::vector<std::string>;

[[nodiscard]] Arguments kvserver_arguments(const Variant& variant, const std::filesystem::path& dir);
[[nodiscard]] Arguments kvserver_arguments(const RedisMode& mode, const std::filesystem::path& dir);
[[nodiscard]] Arguments redis_server_arguments(const RedisMode& mode, std::uint16_t port,
                                               const std::filesystem::path& dir);
[[nodiscard]] Arguments loadgen_arguments(const Plan& plan, std::uint16_t port, int round,
                                          const std::filesystem::path& json);
[[nodiscard]] Arguments redis_benchmark_arguments(const RedisMode& mode, std::uint16_t port,
                                                  std::uint64_t requests);

}  // namespace demo
