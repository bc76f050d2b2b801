// What the command line of kvserver says; main.cpp reads it.
#pragma once

#include <heirloop/runtime/run.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace kv {

enum class Sync : std::uint8_t { always, everysec, no };
inline constexpr std::array sync_names = {"always", "everysec", "no"};

struct Options {
  std::string bind = "127.0.0.1";
  std::uint16_t port = 6379;  ///< 0: a free one
  std::string dir = ".";
  std::uint32_t max_clients = 10000;
  bool append_only = true;
  Sync sync = Sync::everysec;
  std::uint64_t rewrite_min_bytes = 64U << 20;  ///< from there on the log is rewritten whenever it doubles
  heirloop::RuntimeOptions runtime;
  std::uint32_t housekeeping = 0;     ///< synthetic LOW tasks that are always ready
  std::uint32_t step_us = 50;         ///< what each of their steps computes
  std::uint32_t hold_lock_steps = 0;  ///< one more, which holds the keyspace lock through so many steps
  std::uint32_t flood = 0;            ///< NORMAL tasks that come in bursts beside it
  std::vector<std::pair<std::string, std::string>> config;  ///< what CONFIG GET shows of all that
};

}  // namespace kv
