// The commands of keys and values.
#include "kvserver/call.hpp"
#include "kvserver/glob.hpp"

#include <array>
#include <iterator>

namespace kv::commands {

namespace {

struct Unit {
  std::string_view option;
  std::int64_t ms;
  bool relative;
};
constexpr Unit seconds{"ex", 1000, true}, milliseconds{"px", 1, true};
constexpr Unit unix_seconds{"exat", 1000, false}, unix_milliseconds{"pxat", 1, false};

/// `time` as a deadline; false if it is out of range.
bool to_deadline(const Call& call, std::int64_t time, const Unit& unit, std::int64_t& deadline_ms) {
  if (__builtin_mul_overflow(time, unit.ms, &time)) return false;
  if (unit.relative && __builtin_add_overflow(time, call.now_ms, &time)) return false;
  deadline_ms = std::min(time, no_deadline - 1);
  return true;
}

}  // namespace

// ---- Values ----

void set(Call& call) {
  bool if_absent = false, if_present = false, keep = false, get = false;
  const Unit* unit = nullptr;
  std::string_view time_text;
  for (std::size_t i = 3; i < call.args.size(); ++i) {
    std::string_view word = call.args[i];
    auto named = [&](const Unit* each) { return same(word, each->option); };
    constexpr std::array units{&seconds, &milliseconds, &unix_seconds, &unix_milliseconds};
    auto at = std::find_if(units.begin(), units.end(), named);
    if (same(word, "nx") && !if_present) {
      if_absent = true;
    } else if (same(word, "xx") && !if_absent) {
      if_present = true;
    } else if (same(word, "get")) {
      get = true;
    } else if (same(word, "keepttl") && unit == nullptr) {
      keep = true;
    } else if (at != units.end() && unit == nullptr && !keep && i + 1 < call.args.size()) {
      unit = *at;
      time_text = call.args[++i];
    } else {
      return call.syntax_error();
    }
  }
  std::int64_t deadline = no_deadline;
  if (unit != nullptr) {
    std::int64_t time;
    if (!parse_integer(time_text, time)) return call.not_an_integer();
    if (time <= 0 || !to_deadline(call, time, *unit, deadline)) {
      return call.error("ERR invalid expire time in 'set' command");
    }
  }

  KeyView key(call.args[1]);
  Store::Item* item = call.find(key);
  if (get) call.value_or_null(item);
  if (item != nullptr ? if_absent : if_present) {
    if (!get) put_null(call.out);
    return;
  }
  if (keep && item != nullptr) deadline = item->second.deadline_ms();
  call.record_state(call.put(key, item, call.args[2], deadline));
  if (!get) call.ok();
}

void get(Call& call) { call.value_or_null(call.read(call.args[1])); }

void mget(Call& call) {
  put_array(call.out, call.args.size() - 1);
  for (std::string_view key : call.args.subspan(1)) call.value_or_null(call.read(key));
}

void mset(Call& call) {
  if (call.args.size() % 2 == 0) return call.wrong_number("mset");
  for (std::size_t i = 1; i < call.args.size(); i += 2) {
    KeyView key(call.args[i]);
    call.put(key, call.find(key), call.args[i + 1], no_deadline);
  }
  call.record(call.args);
  call.ok();
}

void strlen(Call& call) {
  const Store::Item* item = call.read(call.args[1]);
  put_integer(call.out, item != nullptr ? static_cast<std::int64_t>(item->second.data.size()) : 0);
}

void append(Call& call) {
  KeyView key(call.args[1]);
  std::string_view tail = call.args[2];
  Store::Item* item = call.find(key);
  if (item == nullptr) {
    item = &call.put(key, item, tail, no_deadline);
    call.record_state(*item);
  } else if (std::string& data = item->second.data; data.size() + tail.size() > Parser::max_bulk) {
    return call.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  } else if (!tail.empty()) {
    data += tail;
    call.record({"APPEND", key.name, tail});
    if (item->second.has_deadline()) {
      call.record({"PEXPIREAT", key.name, Digits(item->second.deadline_ms()).view()});
    }
  }
  put_integer(call.out, static_cast<std::int64_t>(item->second.data.size()));
}

static void add(Call& call, std::int64_t change) {
  KeyView key(call.args[1]);
  Store::Item* item = call.find(key);
  std::int64_t value = 0;
  if (item != nullptr && !parse_integer(item->second.data, value)) return call.not_an_integer();
  if (__builtin_add_overflow(value, change, &value))
    return call.error("ERR increment or decrement would overflow");
  std::int64_t deadline = item != nullptr ? item->second.deadline_ms() : no_deadline;
  call.record_state(call.put(key, item, Digits(value).view(), deadline));
  put_integer(call.out, value);
}

void incr(Call& call) { add(call, 1); }
void decr(Call& call) { add(call, -1); }

void incrby(Call& call) {
  std::int64_t change;
  parse_integer(call.args[2], change) ? add(call, change) : call.not_an_integer();
}

void decrby(Call& call) {
  std::int64_t change;
  if (!parse_integer(call.args[2], change)) return call.not_an_integer();
  change == INT64_MIN ? call.error("ERR decrement would overflow") : add(call, -change);
}

// ---- Keys ----

void del(Call& call) {
  auto erase = [&](std::string_view key) { return call.store().erase(KeyView(key), call.now_ms); };
  auto erased = std::count_if(call.args.begin() + 1, call.args.end(), erase);
  if (erased > 0) call.record(call.args);
  put_integer(call.out, erased);
}

void exists(Call& call) {
  auto there = [&](std::string_view key) { return call.read(key) != nullptr; };
  put_integer(call.out, std::count_if(call.args.begin() + 1, call.args.end(), there));
}

void type(Call& call) {
  put_simple(call.out, call.find(KeyView(call.args[1])) != nullptr ? "string" : "none");
}

static void expire(Call& call, const Unit& unit) {
  std::int64_t time, deadline;
  if (!parse_integer(call.args[2], time)) return call.not_an_integer();
  if (!to_deadline(call, time, unit, deadline)) {
    return call.error("ERR invalid expire time in '" + in_lower_case(call.args[0]) + "' command");
  }
  Store::Item* item = call.find(KeyView(call.args[1]));
  if (item == nullptr) return put_integer(call.out, 0);
  if (deadline <= call.now_ms) {
    call.store().erase(KeyView(call.args[1]), call.now_ms);
    call.record({"DEL", call.args[1]});
  } else {
    call.store().set_deadline(*item, deadline);
    call.record({"PEXPIREAT", call.args[1], Digits(deadline).view()});
  }
  put_integer(call.out, 1);
}

void pexpireat(Call& call) { expire(call, unix_milliseconds); }
void expireat(Call& call) { expire(call, unix_seconds); }
void pexpire(Call& call) { expire(call, milliseconds); }
void expire(Call& call) { expire(call, seconds); }

static void ttl(Call& call, std::int64_t unit_ms) {
  const Store::Item* item = call.read(call.args[1]);
  if (item == nullptr) return put_integer(call.out, -2);
  if (!item->second.has_deadline()) return put_integer(call.out, -1);
  put_integer(call.out, (item->second.deadline_ms() - call.now_ms + unit_ms / 2) / unit_ms);
}

void ttl(Call& call) { ttl(call, 1000); }
void pttl(Call& call) { ttl(call, 1); }

void persist(Call& call) {
  Store::Item* item = call.find(KeyView(call.args[1]));
  bool had_deadline = item != nullptr && item->second.has_deadline();
  if (had_deadline) {
    call.store().set_deadline(*item, no_deadline);
    call.record({"PERSIST", call.args[1]});
  }
  put_integer(call.out, had_deadline ? 1 : 0);
}

void scan(Call& call) {
  Store::Cursor cursor = 0;
  std::string_view cursor_text = call.args[1], pattern = "*";
  auto [end, error] = std::from_chars(cursor_text.data(), cursor_text.data() + cursor_text.size(), cursor);
  if (error != std::errc() || end != cursor_text.data() + cursor_text.size())
    return call.error("ERR invalid cursor");
  std::int64_t count = 10;
  bool strings = true;
  for (std::size_t i = 2; i < call.args.size(); i += 2) {
    if (i + 1 == call.args.size()) return call.syntax_error();
    std::string_view option = call.args[i], value = call.args[i + 1];
    if (same(option, "match")) {
      pattern = value;
    } else if (same(option, "type")) {
      strings = same(value, "string");
    } else if (!same(option, "count")) {
      return call.syntax_error();
    } else if (!parse_integer(value, count)) {
      return call.not_an_integer();
    } else if (count < 1) {
      return call.syntax_error();
    }
  }

  // Enough to pass by all the maps of a small keyspace at once, however few keys are asked for.
  constexpr std::size_t budget = 8192;
  std::size_t cost = std::max<std::size_t>(1, budget / static_cast<std::size_t>(count));
  std::vector<std::string_view>& found = call.found();
  found.clear();
  cursor = call.store().walk(cursor, budget, Store::Which::all, [&](const Store::Item& item) {
    const auto& [key, value] = item;
    if (strings && value.deadline_ms() > call.now_ms && glob_match(pattern, key.name))
      found.push_back(key.name);
    return cost;
  });
  put_array(call.out, 2);
  put_bulk(call.out, std::to_string(cursor));
  put_bulks(call.out, found);
}

void dbsize(Call& call) { put_integer(call.out, static_cast<std::int64_t>(call.store().size())); }

void flushall(Call& call) {
  if (call.args.size() > 2 ||
      (call.args.size() == 2 && !same(call.args[1], "async") && !same(call.args[1], "sync"))) {
    return call.syntax_error();
  }
  if (call.store().size() > 0) {
    call.store().clear();
    call.record({"FLUSHALL"});
  }
  call.ok();
}

}  // namespace kv::commands
