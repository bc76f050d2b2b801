// The commands: first what they are made of, then each with its number of words, its kind and its code.
#include "kvserver/commands.hpp"

#include "kvserver/glob.hpp"

#include <spdlog/spdlog.h>

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
constexpr std::array time_units = {ex, px, exat, pxat};

std::string lower(std::string_view word) {
  std::string text(word);
  std::ranges::transform(text, text.begin(), to_lower);
  return text;
}

/// One request being carried out: what the commands see.
struct Call {
  Executor& executor;
  Store& store;
  Session& session;
  std::int64_t now_ms;
  std::string& out;
  Args args;
  std::string_view name;        // of the command, as the table has it
  KeyView key{};                // of a command on one key,
  Store::Item* item = nullptr;  // and where that is, or null
  Next next = Next::go_on;

  // ---- Replies ----

  void ok(Next then = Next::go_on) {
    put_simple(out, "OK");
    next = then;
  }
  void number(std::integral auto value) { put_integer(out, static_cast<std::int64_t>(value)); }
  void value_or_null(const Store::Item* of) {
    of != nullptr ? put_bulk(out, of->second.data) : put_null(out);
  }

  // ---- Arguments; what is wrong with them is the reply ----

  [[noreturn]] void syntax_error() const { throw Refused{"ERR syntax error"}; }
  [[noreturn]] void wrong_number() const {
    throw Refused{fmt::format("ERR wrong number of arguments for '{}' command", name)};
  }
  /// Whether the word at `at` is this option with a value, which is taken, too.
  bool option(std::size_t& at, std::string_view word, std::string_view& value) const {
    if (at + 1 == args.size() || !same_word(args[at], word)) return false;
    value = args[++at];
    return true;
  }
  /// The same for an option without a value.
  bool option(std::size_t at, std::string_view word, bool& given) const {
    return same_word(args[at], word) && (given = true);
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

  Store::Item* find(const KeyView& wanted) { return store.find(wanted, now_ms); }
  /// Finds, and counts.
  Store::Item* read(const KeyView& wanted) {
    Store::Item* found = find(wanted);
    ++(found != nullptr ? executor.statistics.hits : executor.statistics.misses);
    return found;
  }
  /// The deadline that the key has now.
  std::int64_t old_deadline() const { return item != nullptr ? item->second.deadline_ms : no_deadline; }
  /// Gives the key its value and deadline, and records both.
  void put(std::string_view data, std::int64_t deadline_ms) {
    item = &store.put(key, item, data, deadline_ms);
    if (executor.log != nullptr) put_set(executor.log->records(), *item);
  }
  void record(Args words) {
    if (executor.log != nullptr) put_bulks(executor.log->records(), words);
  }
  void record(std::initializer_list<std::string_view> words) { record(Args(words.begin(), words.size())); }
  void record_deadline() { record({"PEXPIREAT", key.name, std::to_string(item->second.deadline_ms)}); }
};

// ---- The table ----

/// Whether a command reads or writes the key that its first argument names, writes several, or does neither.
enum class Kind : std::uint8_t { reads, writes, writes_several, other, contains };
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
  bool is_write() const { return kind == writes || kind == writes_several; }
};

// ---- Values ----

const Command get("get", 2, reads, [](Call& call) { call.value_or_null(call.item); });

const Command mget("mget", -2, other, [](Call& call) {
  put_array(call.out, call.args.size() - 1);
  for (const std::string_view key : call.args.subspan(1)) call.value_or_null(call.read(KeyView(key)));
});

const Command set("set", -3, writes, [](Call& call) {
  bool if_absent = false, if_present = false, keep = false, get_old = false;
  const TimeUnit* unit = nullptr;
  std::string_view time;
  for (std::size_t at = 3; at < call.args.size(); ++at) {
    const bool is_flag = call.option(at, "nx", if_absent) || call.option(at, "xx", if_present) ||
                         call.option(at, "get", get_old) || call.option(at, "keepttl", keep);
    if (is_flag) continue;
    const auto takes_time = [&](const TimeUnit& each) { return call.option(at, each.option, time); };
    const auto* named = std::ranges::find_if(time_units, takes_time);
    if (unit != nullptr || named == time_units.end()) call.syntax_error();
    unit = named;
  }
  if ((if_absent && if_present) || (keep && unit != nullptr)) call.syntax_error();
  std::int64_t deadline = keep ? call.old_deadline() : no_deadline;
  if (unit != nullptr) deadline = call.deadline(time, *unit, 1);

  const bool is_refused = call.item != nullptr ? if_absent : if_present;
  if (get_old) call.value_or_null(call.item);
  if (!get_old) is_refused ? put_null(call.out) : call.ok();
  if (!is_refused) call.put(call.args[2], deadline);
});

const Command mset("mset", -3, writes_several, [](Call& call) {
  if (call.args.size() % 2 == 0) call.wrong_number();
  for (std::size_t i = 1; i < call.args.size(); i += 2) {
    const KeyView key(call.args[i]);
    call.store.put(key, call.find(key), call.args[i + 1], no_deadline);
  }
  call.record(call.args);
  call.ok();
});

const Command strlen("strlen", 2, reads, [](Call& call) {
  call.number(call.item != nullptr ? call.item->second.data.size() : 0);
});

const Command append("append", 3, writes, [](Call& call) {
  const std::string_view tail = call.args[2];
  if (call.item == nullptr) {
    call.put(tail, no_deadline);
  } else if (call.item->second.data.size() + tail.size() > Parser::max_bulk) {
    throw Refused{"ERR string exceeds maximum allowed size (proto-max-bulk-len)"};
  } else if (!tail.empty()) {
    call.item->second.data += tail;
    call.record({"APPEND", call.key.name, tail});
    if (call.item->second.has_deadline()) call.record_deadline();
  }
  call.number(call.item->second.data.size());
});

void add_to(Call& call, std::int64_t change) {
  std::int64_t value = call.item != nullptr ? call.integer(call.item->second.data) : 0;
  const bool overflows = __builtin_add_overflow(value, change, &value);
  if (overflows) throw Refused{"ERR increment or decrement would overflow"};
  call.put(std::to_string(value), call.old_deadline());
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

const Command del("del", -2, writes_several, [](Call& call) {
  const auto erase = [&](std::string_view key) { return call.store.erase(call.find(KeyView(key))); };
  const auto erased = std::ranges::count_if(call.args.subspan(1), erase);
  if (erased > 0) call.record(call.args);
  call.number(erased);
});
const Command unlink("unlink", -2, writes_several, del.run);

const Command exists("exists", -2, other, [](Call& call) {
  const auto is_there = [&](std::string_view key) { return call.read(KeyView(key)) != nullptr; };
  call.number(std::ranges::count_if(call.args.subspan(1), is_there));
});

const Command type("type", 2, reads,
                   [](Call& call) { put_simple(call.out, call.item != nullptr ? "string" : "none"); });

void expire_after(Call& call, const TimeUnit& unit) {
  const std::int64_t deadline = call.deadline(call.args[2], unit, INT64_MIN);
  call.number(call.item != nullptr ? 1 : 0);
  if (call.item == nullptr) return;
  if (deadline <= call.now_ms) {
    call.store.erase(call.item);
    call.record({"DEL", call.key.name});
  } else {
    call.store.set_deadline(*call.item, deadline);
    call.record_deadline();
  }
}

const Command expire("expire", 3, writes, [](Call& call) { expire_after(call, ex); });
const Command expireat("expireat", 3, writes, [](Call& call) { expire_after(call, exat); });
const Command pexpire("pexpire", 3, writes, [](Call& call) { expire_after(call, px); });
const Command pexpireat("pexpireat", 3, writes, [](Call& call) { expire_after(call, pxat); });

void time_to_live(Call& call, std::int64_t unit_ms) {
  if (call.item == nullptr) return call.number(-2);
  if (!call.item->second.has_deadline()) return call.number(-1);
  call.number((call.item->second.deadline_ms - call.now_ms + unit_ms / 2) / unit_ms);
}

const Command pttl("pttl", 2, reads, [](Call& call) { time_to_live(call, 1); });
const Command ttl("ttl", 2, reads, [](Call& call) { time_to_live(call, 1000); });

const Command persist("persist", 2, writes, [](Call& call) {
  if (call.old_deadline() == no_deadline) return call.number(0);
  call.store.set_deadline(*call.item, no_deadline);
  call.record({"PERSIST", call.key.name});
  call.number(1);
});

const Command scan("scan", -2, other, [](Call& call) {
  Store::Cursor cursor;
  if (!parse_integer(call.args[1], cursor)) throw Refused{"ERR invalid cursor"};
  std::string_view pattern = "*", count_text = "10", type_name = "string";
  for (std::size_t at = 2; at < call.args.size(); ++at) {
    const bool is_option = call.option(at, "match", pattern) || call.option(at, "count", count_text) ||
                           call.option(at, "type", type_name);
    if (!is_option) call.syntax_error();
  }
  const std::int64_t count = call.integer(count_text);
  if (count < 1) call.syntax_error();

  // Enough to pass by all the maps of a small keyspace at once, however few keys are asked for.
  constexpr std::size_t budget = 8192;
  const std::size_t cost = std::max<std::size_t>(1, budget / static_cast<std::size_t>(count));
  const bool strings = same_word(type_name, "string");
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

const Command dbsize("dbsize", 1, other, [](Call& call) { call.number(call.store.size()); });

const Command flushall("flushall", -1, writes_several, [](Call& call) {
  const bool has_mode = call.args.size() == 2 && is_one_of(call.args[1], {"async", "sync"});
  if (call.args.size() != 1 && !has_mode) call.syntax_error();
  if (call.store.size() > 0) call.record({"FLUSHALL"});
  call.store.clear();
  call.ok();
});
const Command flushdb("flushdb", -1, writes_several, flushall.run);

// ---- Connection and server ----

const Command ping("ping", -1, other, [](Call& call) {
  if (call.args.size() > 2) call.wrong_number();
  call.args.size() == 2 ? put_bulk(call.out, call.args[1]) : put_simple(call.out, "PONG");
});

const Command echo("echo", 2, other, [](Call& call) { put_bulk(call.out, call.args[1]); });
const Command quit("quit", -1, other, [](Call& call) { call.ok(Next::close); });

const Command select("select", 2, other, [](Call& call) {
  if (call.integer(call.args[1]) != 0) throw Refused{"ERR DB index is out of range"};
  call.ok();
});

const Command reset("reset", 1, other, [](Call& call) {
  call.session.name.clear();
  put_simple(call.out, "RESET");
});

void name_connection(Call& call, std::string_view wanted) {
  const bool fits = std::ranges::all_of(wanted, [](char c) { return c >= '!' && c <= '~'; });
  if (!fits) throw Refused{"ERR Client names cannot contain spaces, newlines or special characters."};
  call.session.name = wanted;
}

const Command hello("hello", -1, other, [](Call& call) {
  std::int64_t version = 2;
  const bool is_number = call.args.size() == 1 || parse_integer(call.args[1], version);
  if (!is_number) throw Refused{"ERR Protocol version is not an integer or out of range"};
  if (version != 2) throw Refused{"NOPROTO unsupported protocol version"};
  for (std::size_t at = 2; at < call.args.size(); ++at) {
    const std::string_view word = call.args[at];
    std::string_view wanted;
    const bool is_option = call.option(at, "setname", wanted);
    if (!is_option) throw Refused{fmt::format("ERR Syntax error in HELLO option '{}'", word)};
    name_connection(call, wanted);
  }
  put_array(call.out, 14);
  for (const char* word : {"server", "kvserver", "version", "0.1.0", "proto"}) put_bulk(call.out, word);
  call.number(2);
  put_bulk(call.out, "id");
  call.number(call.session.id);
  for (const char* word : {"mode", "standalone", "role", "master", "modules"}) put_bulk(call.out, word);
  put_array(call.out, 0);
});

void unknown_subcommand(Call& call) {
  throw Refused{fmt::format("ERR unknown subcommand '{}' of '{}'", call.args[1].substr(0, 128), call.name)};
}

const Command client("client", -2, contains, unknown_subcommand);
const Command client_setinfo("client|setinfo", 4, other, [](Call& call) { call.ok(); });
const Command client_id("client|id", 2, other, [](Call& call) { call.number(call.session.id); });

const Command client_getname("client|getname", 2, other, [](Call& call) {
  call.session.name.empty() ? put_null(call.out) : put_bulk(call.out, call.session.name);
});

const Command client_setname("client|setname", 3, other, [](Call& call) {
  name_connection(call, call.args[2]);
  call.ok();
});

void list_clients(Call& call, bool all) {
  std::string text;
  for (const auto& [id, session] : call.executor.sessions) {
    if (!all && session != &call.session) continue;
    text += fmt::format("id={} addr={} name={} resp=2\n", id, session->address, session->name);
  }
  put_bulk(call.out, text);
}

const Command client_info("client|info", 2, other, [](Call& call) { list_clients(call, false); });
const Command client_list("client|list", 2, other, [](Call& call) { list_clients(call, true); });

const Command config("config", -2, contains, unknown_subcommand);

const Command config_get("config|get", -3, other, [](Call& call) {
  std::vector<std::string_view> found;
  for (const auto& [option, value] : call.executor.config) {
    const auto fits = [&name = option](std::string_view word) { return glob_match(lower(word), name); };
    if (std::ranges::any_of(call.args.subspan(2), fits)) found.insert(found.end(), {option, value});
  }
  put_bulks(call.out, found);
});

const Command config_resetstat("config|resetstat", 2, other, [](Call& call) {
  call.executor.statistics = {};
  call.ok();
});

void no_documentation(Call& call) { put_array(call.out, 0); }  // clients go on without

const Command any_command("command", -1, contains, [](Call& call) {
  call.args.size() == 1 ? no_documentation(call) : unknown_subcommand(call);
});
const Command command_docs("command|docs", -2, other, no_documentation);
const Command command_info("command|info", -2, other, no_documentation);
const Command command_list("command|list", -2, other, no_documentation);
const Command command_count("command|count", 2, other, [](Call& call) {
  const auto is_command = [](const auto& entry) { return entry.first.find('|') == entry.first.npos; };
  call.number(std::ranges::count_if(commands, is_command));
});

const Command info("info", -1, other, [](Call& call) {
  const Args wanted = call.args.subspan(1);
  std::string text;
  for (const auto& [name, lines] : call.executor.info()) {
    const std::initializer_list<std::string_view> names = {name, "all", "everything", "default"};
    const auto names_it = [&](std::string_view word) { return is_one_of(word, names); };
    const bool is_shown = wanted.empty() || std::ranges::any_of(wanted, names_it);
    if (is_shown) text += fmt::format("# {}\r\n{}\r\n", name, lines);
  }
  put_bulk(call.out, text);
});

const Command bgrewriteaof("bgrewriteaof", 1, other, [](Call& call) {
  const Log* log = call.executor.log;
  if (log == nullptr) throw Refused{"ERR There is no append only file"};
  if (log->rewriting()) throw Refused{"ERR Background append only file rewriting already in progress"};
  put_simple(call.out, "Background append only file rewriting started");
  call.next = Next::rewrite;
});

/// A browser that was made to send a page's commands here begins like this.
void is_no_client(Call& call) {
  spdlog::warn("a peer speaks HTTP: its connection is closed");
  call.next = Next::close;
}
const Command post("post", -1, other, is_no_client);
const Command host("host:", -1, other, is_no_client);

const Command shutdown("shutdown", -1, other, [](Call& call) {
  const auto is_known = [](auto word) { return is_one_of(word, {"save", "nosave", "now", "force"}); };
  if (!std::ranges::all_of(call.args.subspan(1), is_known)) call.syntax_error();
  call.next = Next::shutdown;
});

/// The command or subcommand that is asked for, or null.
const Command* find_command(Args args) {
  constexpr std::size_t too_long = 17;  // for a name
  const std::string name = lower(args[0].substr(0, too_long));
  if (name.find('|') != name.npos) return nullptr;
  auto found = commands.find(name);
  if (found != commands.end() && found->second->kind == contains && args.size() > 1) {
    const auto inner = commands.find(name + '|' + lower(args[1].substr(0, too_long)));
    if (inner != commands.end()) found = inner;
  }
  return found != commands.end() ? found->second : nullptr;
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
  ++statistics.commands;
  const Command* command = find_command(args);
  if (command == nullptr) throw Refused{unknown_command(args)};
  Call call{*this, store, session, now_ms, out, args, command->name};
  const auto words = static_cast<int>(args.size());
  if (command->arity > 0 ? words != command->arity : words < -command->arity) call.wrong_number();
  if (command->is_write() && !refuse_writes.empty()) throw Refused{refuse_writes};
  if (command->kind == reads || command->kind == writes) call.key = KeyView(args[1]);
  if (command->kind == reads) call.item = call.read(call.key);
  if (command->kind == writes) call.item = call.find(call.key);
  command->run(call);
  return call.next;
}

void Executor::replay(Args args) {
  const Command* command = find_command(args);
  if (command == nullptr || !command->is_write()) throw Refused{"not a command that writes"};
  std::string out;
  Session session;
  // At time 0 nothing has expired: what a record finds is what it found when it was made.
  execute(args, session, 0, out);
}

}  // namespace kv
