// The operations of which the programs of owners_program.hpp consist.
#pragma once

#include <heirloop/sched/priority.hpp>

#include <cstdint>
#include <iterator>
#include <ostream>

namespace heirloop::testing {

enum class Act : std::uint8_t {
  lock,
  permit,
  read,
  write,
  try_lock,
  release,
  drop,
  downgrade,
  transfer,
  wait,
  notify,
  join,
  interrupt,
  cancel,
  raise,
  set_priority,
  sleep,
  yield,
  advance,
  spawn,
  group,
  limit,
  future,
  set_value,
  future_owner,
  send,
  receive,
  channel_owner,
  put,
  get,
  end,
  die_holding,
  add_permits,
  hand,
  take,
  select,
  event,
  set_event,
  barrier,
};
constexpr const char* act_names[] = {
    "lock",         "permit", "read",    "write",         "try_lock",  "release",   "drop",   "downgrade",
    "transfer",     "wait",   "notify",  "join",          "interrupt", "cancel",    "raise",  "set_priority",
    "sleep",        "yield",  "advance", "spawn",         "group",     "limit",     "future", "set_value",
    "future_owner", "send",   "receive", "channel_owner", "put",       "get",       "end",    "die_holding",
    "add_permits",  "hand",   "take",    "select",        "event",     "set_event", "barrier"};

struct Op {
  Act act = Act::yield;
  std::uint8_t a = 0;
  std::uint8_t b = 0;
};
inline std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << act_names[static_cast<std::size_t>(op.act)] << '(' << int{op.a} << ',' << int{op.b} << ')';
}

inline double priority_of(std::uint8_t draw) {
  constexpr double values[] = {
      -20, -10, -10, -5, 0, 0, 0, 5, 10, 10, 20, priority::always_first, priority::when_idle};
  return values[draw % std::size(values)];
}

}  // namespace heirloop::testing
