// The commands: first what they are made of, then each with its number of words, its kind and its code.
#include "kvserver/commands.hpp"

#include "kvserver/glob.hpp"

#include <array>
#include <unordered_map>

namespace kv {

namespace {

/// What a number in EXPIRE, or behind an option of SET, counts: from now on, or from 1970.
struct TimeUnit {
  std::string_view option;
  std::int64_t ms;
  bool from_now;
};
constexpr TimeUnit ex{"ex", 1000, true}, px{"px", 1, true}, exat{"exat", 1000, false}, pxat{"pxat", 1, false};

/// The error reply of a request, thrown before anything else is answered.
struct Refused {
  std::string text;
};

std::string lower(std::string_view word) {
  std::string text(word);
  std::transform(text.begin(), text.end(), text.begin(), to_lower);
  return text;
}

/// One request being carried out: what the commands see.
struct Call {
  Store& store;
  const Hooks& hooks;
  Executor::Counts& counts;
  Log* log;
  Session& session;
  std::int64_t now_ms;
  std::string& out;
  Args args;
  std::string_view name;  // of the command, as the table has it
  Next next = Next::go_on;

  // ---- Replies ----

  void ok() { put_simple(out, "OK"); }
  void number(std::integral auto value) { put_integer(out, static_cast<std::int64_t>(value)); }
  void value_or_null(const Store::Item* item) {
    item != nullptr ? put_bulk(out, item->second.data) : put_null(out);
  }

  // ---- Arguments; what is wrong with them is the reply ----

  [[noreturn]] void syntax_error() const { throw Refused{"ERR syntax error"}; }
  [[noreturn]] void wrong_number() const {
    throw Refused{fmt::format("ERR wrong number of arguments for '{}' command", name)};
  }
  std::int64_t integer(std::string_view text) const {
    std::int64_t value;
    if (!parse_integer(text, value)) throw Refused{"ERR value is not an integer or out of range"};
    return value;
  }
  /// The deadline that is `text` units away, which must be at least `least`.
  std::int64_t deadline(std::string_view text, const TimeUnit& unit, std::int64_t least) const {
    const std::int64_t time = integer(text);
    std::int64_t ms;
    const bool fits = time >= least && !__builtin_mul_overflow(time, unit.ms, &ms) &&
                      !__builtin_add_overflow(ms, unit.from_now ? now_ms : 0, &ms);
    if (!fits) throw Refused{fmt::format("ERR invalid expire time in '{}' command", name)};
    return std::min(ms, no_deadline - 1);
  }

  // ---- Keys and records of the log ----

  Store::Item* find(const KeyView& key) { return store.find(key, now_ms); }
  /// Finds, and counts.
  Store::Item* read(std::string_view key) {
    Store::Item* item = find(KeyView(key));
    ++(item != nullptr ? counts.hits : counts.misses);
    return item;
  }
  void record(Args words) {
    if (log != nullptr) put_bulks(log->records(), words);
  }
  void record(std::initializer_list<std::string_view> words) { record(Args(words.begin(), words.size())); }
  void record_state(const Store::Item& item) {
    const auto& [key, value] = item;
    if (log != nullptr) put_set(log->records(), key.name, value.data, value.deadline_ms);
  }
  void record_deadline(const Store::Item& item) {
    const fmt::format_int digits(item.second.deadline_ms);
    record({"PEXPIREAT", item.first.name, std::string_view(digits.data(), digits.size())});
  }
};

// ---- The table ----

enum class Kind : std::uint8_t { reads, writes, contains };  // the log holds what writes
using enum Kind;

struct Command;
std::unordered_map<std::string_view, const Command*> commands;  // by name, or `command|subcommand`

/// One line of the table, which it enters.
struct Command {
  using Run = void (*)(Call&);
  Command(std::string_view its_name, int words, Kind its_kind, Run its_run)
      : name(its_name), arity(words), kind(its_kind), run(its_run) {
    commands.emplace(name, this);
  }

  std::string_view name;
  int arity;  // words, the name among them; -n: n or more
  Kind kind;
  Run run;
};

// ---- Values ----

const Command get("get", 2, reads, [](Call& call) { call.value_or_null(call.read(call.args[1])); });

const Command mget("mget", -2, reads, [](Call& call) {
  put_array(call.out, call.args.size() - 1);
  for (const std::string_view key : call.args.subspan(1)) call.value_or_null(call.read(key));
});

const Command set("set", -3, writes, [](Call& call) {
  bool if_absent = false, if_present = false, keep = false, get_old = false;
  const TimeUnit* unit = nullptr;
  std::string_view time;
  for (std::size_t i = 3; i < call.args.size(); ++i) {
    const auto is = [&](std::string_view option) { return same_word(call.args[i], option); };
    constexpr std::array units = {&ex, &px, &exat, &pxat};
    const auto named = std::find_if(units.begin(), units.end(), [&](auto* each) { return is(each->option); });
    if (is("nx") && !if_present) {
      if_absent = true;
    } else if (is("xx") && !if_absent) {
      if_present = true;
    } else if (is("get")) {
      get_old = true;
    } else if (is("keepttl") && unit == nullptr) {
      keep = true;
    } else if (named != units.end() && unit == nullptr && !keep && i + 1 < call.args.size()) {
      unit = *named;
      time = call.args[++i];
    } else {
      call.syntax_error();
    }
  }
  std::int64_t deadline = unit != nullptr ? call.deadline(time, *unit, 1) : no_deadline;

  const KeyView key(call.args[1]);
  Store::Item* item = call.find(key);
  const bool is_refused = item != nullptr ? if_absent : if_present;
  if (get_old) call.value_or_null(item);
  if (!get_old) is_refused ? put_null(call.out) : call.ok();
  if (is_refused) return;
  if (keep && item != nullptr) deadline = item->second.deadline_ms;
  call.record_state(call.store.put(key, item, call.args[2], deadline));
});

const Command mset("mset", -3, writes, [](Call& call) {
  if (call.args.size() % 2 == 0) call.wrong_number();
  for (std::size_t i = 1; i < call.args.size(); i += 2) {
    const KeyView key(call.args[i]);
    call.store.put(key, call.find(key), call.args[i + 1], no_deadline);
  }
  call.record(call.args);
  call.ok();
});

const Command strlen("strlen", 2, reads, [](Call& call) {
  const Store::Item* item = call.read(call.args[1]);
  call.number(item != nullptr ? item->second.data.size() : 0);
});

const Command append("append", 3, writes, [](Call& call) {
  const KeyView key(call.args[1]);
  const std::string_view tail = call.args[2];
  Store::Item* item = call.find(key);
  if (item == nullptr) {
    item = &call.store.put(key, item, tail, no_deadline);
    call.record_state(*item);
  } else if (item->second.data.size() + tail.size() > Parser::max_bulk) {
    throw Refused{"ERR string exceeds maximum allowed size (proto-max-bulk-len)"};
  } else if (!tail.empty()) {
    item->second.data += tail;
    call.record({"APPEND", key.name, tail});
    if (item->second.has_deadline()) call.record_deadline(*item);
  }
  call.number(item->second.data.size());
});

void add_to(Call& call, std::int64_t change) {
  const KeyView key(call.args[1]);
  Store::Item* item = call.find(key);
  std::int64_t value = item != nullptr ? call.integer(item->second.data) : 0;
  if (__builtin_add_overflow(value, change, &value)) {
    throw Refused{"ERR increment or decrement would overflow"};
  }
  const fmt::format_int digits(value);
  const std::int64_t deadline = item != nullptr ? item->second.deadline_ms : no_deadline;
  call.record_state(call.store.put(key, item, {digits.data(), digits.size()}, deadline));
  call.number(value);
}

const Command decr("decr", 2, writes, [](Call& call) { add_to(call, -1); });
const Command incr("incr", 2, writes, [](Call& call) { add_to(call, 1); });

const Command incrby("incrby", 3, writes, [](Call& call) { add_to(call, call.integer(call.args[2])); });

const Command decrby("decrby", 3, writes, [](Call& call) {
  const std::int64_t change = call.integer(call.args[2]);
  if (change == INT64_MIN) throw Refused{"ERR decrement would overflow"};
  add_to(call, -change);
});

// ---- Keys ----

const Command del("del", -2, writes, [](Call& call) {
  const auto erase = [&](std::string_view key) { return call.store.erase(KeyView(key), call.now_ms); };
  const auto erased = std::count_if(call.args.begin() + 1, call.args.end(), erase);
  if (erased > 0) call.record(call.args);
  call.number(erased);
});
const Command unlink("unlink", -2, writes, del.run);

const Command exists("exists", -2, reads, [](Call& call) {
  const auto is_there = [&](std::string_view key) { return call.read(key) != nullptr; };
  call.number(std::count_if(call.args.begin() + 1, call.args.end(), is_there));
});

const Command type("type", 2, reads, [](Call& call) {
  put_simple(call.out, call.find(KeyView(call.args[1])) != nullptr ? "string" : "none");
});

void expire_after(Call& call, const TimeUnit& unit) {
  const std::int64_t deadline = call.deadline(call.args[2], unit, INT64_MIN);
  const KeyView key(call.args[1]);
  Store::Item* item = call.find(key);
  if (item != nullptr && deadline <= call.now_ms) {
    call.store.erase(key, call.now_ms);
    call.record({"DEL", key.name});
  } else if (item != nullptr) {
    call.store.set_deadline(*item, deadline);
    call.record_deadline(*item);
  }
  call.number(item != nullptr ? 1 : 0);
}

const Command expire("expire", 3, writes, [](Call& call) { expire_after(call, ex); });
const Command expireat("expireat", 3, writes, [](Call& call) { expire_after(call, exat); });
const Command pexpire("pexpire", 3, writes, [](Call& call) { expire_after(call, px); });
const Command pexpireat("pexpireat", 3, writes, [](Call& call) { expire_after(call, pxat); });

void time_to_live(Call& call, std::int64_t unit_ms) {
  const Store::Item* item = call.read(call.args[1]);
  if (item == nullptr) return call.number(-2);
  if (!item->second.has_deadline()) return call.number(-1);
  call.number((item->second.deadline_ms - call.now_ms + unit_ms / 2) / unit_ms);
}

const Command pttl("pttl", 2, reads, [](Call& call) { time_to_live(call, 1); });
const Command ttl("ttl", 2, reads, [](Call& call) { time_to_live(call, 1000); });

const Command persist("persist", 2, writes, [](Call& call) {
  Store::Item* item = call.find(KeyView(call.args[1]));
  const bool had_deadline = item != nullptr && item->second.has_deadline();
  if (had_deadline) {
    call.store.set_deadline(*item, no_deadline);
    call.record({"PERSIST", call.args[1]});
  }
  call.number(had_deadline ? 1 : 0);
});

const Command scan("scan", -2, reads, [](Call& call) {
  Store::Cursor cursor = 0;
  const char* text_end = call.args[1].data() + call.args[1].size();
  const auto [end, failure] = std::from_chars(call.args[1].data(), text_end, cursor);
  if (failure != std::errc() || end != text_end) throw Refused{"ERR invalid cursor"};
  std::string_view pattern = "*";
  std::int64_t count = 10;
  bool strings = true;
  for (std::size_t i = 2; i < call.args.size(); i += 2) {
    if (i + 1 == call.args.size()) call.syntax_error();
    const std::string_view option = call.args[i], value = call.args[i + 1];
    if (same_word(option, "match")) {
      pattern = value;
    } else if (same_word(option, "type")) {
      strings = same_word(value, "string");
    } else if (same_word(option, "count")) {
      count = call.integer(value);
      if (count < 1) call.syntax_error();
    } else {
      call.syntax_error();
    }
  }

  // Enough to pass by all the maps of a small keyspace at once, however few keys are asked for.
  constexpr std::size_t budget = 8192;
  const std::size_t cost = std::max<std::size_t>(1, budget / static_cast<std::size_t>(count));
  std::vector<std::string_view> found;
  cursor = call.store.walk(cursor, budget, Store::Which::all, [&](const Store::Item& item) {
    const auto& [key, value] = item;
    const bool fits = strings && value.deadline_ms > call.now_ms && glob_match(pattern, key.name);
    if (fits) found.push_back(key.name);
    return cost;
  });
  put_array(call.out, 2);
  put_bulk(call.out, std::to_string(cursor));
  put_bulks(call.out, found);
});

const Command dbsize("dbsize", 1, reads, [](Call& call) { call.number(call.store.size()); });

const Command flushall("flushall", -1, writes, [](Call& call) {
  const bool has_mode = call.args.size() == 2 && is_one_of(call.args[1], {"async", "sync"});
  if (call.args.size() != 1 && !has_mode) call.syntax_error();
  if (call.store.size() > 0) {
    call.store.clear();
    call.record({"FLUSHALL"});
  }
  call.ok();
});
const Command flushdb("flushdb", -1, writes, flushall.run);

// ---- Connection and server ----

const Command ping("ping", -1, reads, [](Call& call) {
  if (call.args.size() > 2) call.wrong_number();
  call.args.size() == 2 ? put_bulk(call.out, call.args[1]) : put_simple(call.out, "PONG");
});

const Command echo("echo", 2, reads, [](Call& call) { put_bulk(call.out, call.args[1]); });

const Command select("select", 2, reads, [](Call& call) {
  if (call.integer(call.args[1]) != 0) throw Refused{"ERR DB index is out of range"};
  call.ok();
});

const Command quit("quit", -1, reads, [](Call& call) {
  call.ok();
  call.next = Next::close;
});

const Command reset("reset", 1, reads, [](Call& call) {
  call.session.name.clear();
  put_simple(call.out, "RESET");
});

void name_connection(Call& call, std::string_view wanted) {
  const bool fits = std::all_of(wanted.begin(), wanted.end(), [](char c) { return c >= '!' && c <= '~'; });
  if (!fits) throw Refused{"ERR Client names cannot contain spaces, newlines or special characters."};
  call.session.name = wanted;
}

const Command hello("hello", -1, reads, [](Call& call) {
  std::int64_t version = 2;
  if (call.args.size() > 1 && !parse_integer(call.args[1], version)) {
    throw Refused{"ERR Protocol version is not an integer or out of range"};
  }
  if (version != 2) throw Refused{"NOPROTO unsupported protocol version"};
  for (std::size_t i = 2; i < call.args.size(); i += 2) {
    if (!same_word(call.args[i], "setname") || i + 1 == call.args.size()) {
      throw Refused{fmt::format("ERR Syntax error in HELLO option '{}'", call.args[i])};
    }
    name_connection(call, call.args[i + 1]);
  }
  put_array(call.out, 14);
  for (const char* word : {"server", "kvserver", "version", "0.1.0", "proto"}) put_bulk(call.out, word);
  call.number(2);
  put_bulk(call.out, "id");
  call.number(call.session.id);
  for (const char* word : {"mode", "standalone", "role", "master", "modules"}) put_bulk(call.out, word);
  put_array(call.out, 0);
});

void unknown_subcommand(Call& call, std::string_view container) {
  const std::string_view word = call.args[1].substr(0, 128);
  throw Refused{fmt::format("ERR unknown subcommand '{}'. Try {} HELP.", word, container)};
}

const Command client("client", -2, contains, [](Call& call) { unknown_subcommand(call, "CLIENT"); });
const Command client_setinfo("client|setinfo", -2, reads, [](Call& call) { call.ok(); });
const Command client_no_evict("client|no-evict", -2, reads, client_setinfo.run);
const Command client_no_touch("client|no-touch", -2, reads, client_setinfo.run);
const Command client_id("client|id", -2, reads, [](Call& call) { call.number(call.session.id); });

const Command client_getname("client|getname", -2, reads, [](Call& call) {
  call.session.name.empty() ? put_null(call.out) : put_bulk(call.out, call.session.name);
});

const Command client_setname("client|setname", 3, reads, [](Call& call) {
  name_connection(call, call.args[2]);
  call.ok();
});

void list_clients(Call& call, bool all) {
  std::string text;
  call.hooks.clients(all ? nullptr : &call.session, text);
  put_bulk(call.out, text);
}

const Command client_info("client|info", -2, reads, [](Call& call) { list_clients(call, false); });
const Command client_list("client|list", -2, reads, [](Call& call) { list_clients(call, true); });

const Command config("config", -2, contains, [](Call& call) { unknown_subcommand(call, "CONFIG"); });

const Command config_get("config|get", -3, reads, [](Call& call) {
  std::vector<std::string_view> found;
  for (const auto& [option, value] : call.hooks.config) {
    const auto fits = [&name = option](std::string_view word) { return glob_match(lower(word), name); };
    if (std::any_of(call.args.begin() + 2, call.args.end(), fits)) found.insert(found.end(), {option, value});
  }
  put_bulks(call.out, found);
});

const Command config_resetstat("config|resetstat", -2, reads, [](Call& call) {
  call.hooks.reset_statistics();
  call.ok();
});

const Command any_command("command", -1, reads, [](Call& call) {
  if (call.args.size() > 1 && same_word(call.args[1], "count")) return call.number(commands.size());
  put_array(call.out, 0);  // no documentation: clients go on without
});

const Command info("info", -1, reads, [](Call& call) {
  std::string text;
  call.hooks.info(call.args.subspan(1), text);
  put_bulk(call.out, text);
});

const Command bgrewriteaof("bgrewriteaof", 1, reads, [](Call& call) {
  if (call.log == nullptr) throw Refused{"ERR There is no append only file"};
  if (call.log->rewriting()) {
    throw Refused{"ERR Background append only file rewriting already in progress"};
  }
  put_simple(call.out, "Background append only file rewriting started");
  call.next = Next::rewrite;
});

const Command shutdown("shutdown", -1, reads, [](Call& call) {
  for (const std::string_view word : call.args.subspan(1)) {
    if (!is_one_of(word, {"save", "nosave", "now", "force"})) call.syntax_error();
  }
  call.next = Next::shutdown;
});

/// The command or subcommand that is asked for, or null.
const Command* find_command(Args args) {
  constexpr std::size_t too_long = 17;  // for a name
  const std::string name = lower(args[0].substr(0, too_long));
  auto found = commands.find(name);
  if (found == commands.end()) return nullptr;
  if (found->second->kind == contains && args.size() > 1) {
    const auto inner = commands.find(name + '|' + lower(args[1].substr(0, too_long)));
    if (inner != commands.end()) found = inner;
  }
  return found->second;
}

std::string unknown_command(Args args) {
  std::string words;
  for (std::size_t i = 1; i < args.size() && words.size() < 128; ++i) {
    fmt::format_to(std::back_inserter(words), "'{}' ", args[i].substr(0, 128 - words.size()));
  }
  return fmt::format("ERR unknown command '{}', with args beginning with: {}", args[0].substr(0, 128), words);
}

}  // namespace

Next Executor::execute(Args args, Session& session, std::int64_t now_ms, std::string& out) {
  ++counts_.commands;
  const Command* command = find_command(args);
  Call call{store_, hooks_, counts_, log_, session, now_ms, out, args, command ? command->name : ""};
  try {
    if (command == nullptr) throw Refused{unknown_command(args)};
    const auto words = static_cast<int>(args.size());
    if (command->arity > 0 ? words != command->arity : words < -command->arity) call.wrong_number();
    if (command->kind == writes && !refuse_writes.empty()) throw Refused{refuse_writes};
    command->run(call);
  } catch (const Refused& refused) {
    put_error(out, refused.text);
  }
  return call.next;
}

std::string Executor::replay(Args args) {
  const Command* command = find_command(args);
  if (command == nullptr || command->kind != writes) return "not a command that writes";
  std::string out;
  Session session;
  // At time 0 nothing has expired: what a record finds is what it found when it was made.
  execute(args, session, 0, out);
  return out.starts_with('-') ? out.substr(1, out.size() - 3) : "";
}

}  // namespace kv
