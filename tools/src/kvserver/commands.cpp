// The table of all commands, and those of the connection and the server.
#include "kvserver/commands.hpp"

#include "kvserver/call.hpp"
#include "kvserver/glob.hpp"

#include <array>
#include <iterator>

namespace kv {

namespace {

// ---- Connection and server ----

void ping(Call& call) {
  if (call.args.size() > 2) return call.wrong_number("ping");
  call.args.size() == 2 ? put_bulk(call.out, call.args[1]) : put_simple(call.out, "PONG");
}

void echo(Call& call) { put_bulk(call.out, call.args[1]); }

void select(Call& call) {
  std::int64_t index;
  if (!parse_integer(call.args[1], index)) return call.not_an_integer();
  index == 0 ? call.ok() : call.error("ERR DB index is out of range");
}

void quit(Call& call) {
  call.ok();
  call.next = Next::close;
}

void reset(Call& call) {
  call.session.name.clear();
  put_simple(call.out, "RESET");
}

bool name_connection(Call& call, std::string_view name) {
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '!' && c <= '~'; })) {
    call.error("ERR Client names cannot contain spaces, newlines or special characters.");
    return false;
  }
  call.session.name = name;
  return true;
}

void hello(Call& call) {
  std::int64_t version = 2;
  if (call.args.size() > 1 && !parse_integer(call.args[1], version)) {
    return call.error("ERR Protocol version is not an integer or out of range");
  }
  if (version != 2) return call.error("NOPROTO unsupported protocol version");
  for (std::size_t i = 2; i < call.args.size(); i += 2) {
    if (!same(call.args[i], "setname") || i + 1 == call.args.size()) {
      return call.error("ERR Syntax error in HELLO option '" + std::string(call.args[i]) + "'");
    }
    if (!name_connection(call, call.args[i + 1])) return;
  }
  put_array(call.out, 14);
  for (std::string_view word : {"server", "kvserver", "version", "0.1.0", "proto"}) put_bulk(call.out, word);
  put_integer(call.out, 2);
  put_bulk(call.out, "id");
  put_integer(call.out, call.session.id);
  for (std::string_view word : {"mode", "standalone", "role", "master", "modules"}) put_bulk(call.out, word);
  put_array(call.out, 0);
}

void unknown_subcommand(Call& call, const char* command) {
  call.error("ERR unknown subcommand '" + std::string(call.args[1].substr(0, 128)) + "'. Try " + command +
             " HELP.");
}

void client(Call& call) {
  std::string_view what = call.args[1];
  std::string text;
  if (same(what, "id")) {
    put_integer(call.out, call.session.id);
  } else if (same(what, "getname")) {
    call.session.name.empty() ? put_null(call.out) : put_bulk(call.out, call.session.name);
  } else if (same(what, "setname")) {
    if (call.args.size() != 3) return call.wrong_number("client|setname");
    if (name_connection(call, call.args[2])) call.ok();
  } else if (same(what, "list") || same(what, "info")) {
    call.hooks().clients(same(what, "info") ? &call.session : nullptr, text);
    put_bulk(call.out, text);
  } else if (same(what, "setinfo") || same(what, "no-evict") || same(what, "no-touch")) {
    call.ok();
  } else {
    unknown_subcommand(call, "CLIENT");
  }
}

void config(Call& call) {
  if (same(call.args[1], "resetstat")) {
    call.hooks().reset_statistics();
    return call.ok();
  }
  if (!same(call.args[1], "get")) return unknown_subcommand(call, "CONFIG");
  if (call.args.size() < 3) return call.wrong_number("config|get");
  std::vector<std::string_view>& found = call.found();
  found.clear();
  for (const auto& [name, value] : call.hooks().config) {
    auto fits = [&](std::string_view pattern) { return glob_match(in_lower_case(pattern), name); };
    if (std::any_of(call.args.begin() + 2, call.args.end(), fits)) {
      found.insert(found.end(), {name, value});
    }
  }
  put_bulks(call.out, found);
}

void info(Call& call) {
  std::string text;
  call.hooks().info(call.args.subspan(1), text);
  put_bulk(call.out, text);
}

void bgrewriteaof(Call& call) {
  if (call.log == nullptr) return call.error("ERR There is no append only file");
  if (call.log->rewriting())
    return call.error("ERR Background append only file rewriting already in progress");
  put_simple(call.out, "Background append only file rewriting started");
  call.next = Next::rewrite;
}

void shutdown(Call& call) {
  for (std::string_view option : call.args.subspan(1)) {
    if (!same(option, "save") && !same(option, "nosave") && !same(option, "now") && !same(option, "force")) {
      return call.syntax_error();
    }
  }
  call.next = Next::shutdown;
}

void command(Call& call);

// ---- The table ----

enum class Kind : std::uint8_t { reads, writes };  // the log holds what writes

struct Command {
  std::string_view name;
  int arity;  // words, the name among them; -n: n or more
  Kind kind;
  void (*run)(Call&);
};

constexpr Command table[] = {
    {"append", 3, Kind::writes, commands::append},
    {"bgrewriteaof", 1, Kind::reads, bgrewriteaof},
    {"client", -2, Kind::reads, client},
    {"command", -1, Kind::reads, command},
    {"config", -2, Kind::reads, config},
    {"dbsize", 1, Kind::reads, commands::dbsize},
    {"decr", 2, Kind::writes, commands::decr},
    {"decrby", 3, Kind::writes, commands::decrby},
    {"del", -2, Kind::writes, commands::del},
    {"echo", 2, Kind::reads, echo},
    {"exists", -2, Kind::reads, commands::exists},
    {"expire", 3, Kind::writes, commands::expire},
    {"expireat", 3, Kind::writes, commands::expireat},
    {"flushall", -1, Kind::writes, commands::flushall},
    {"flushdb", -1, Kind::writes, commands::flushall},
    {"get", 2, Kind::reads, commands::get},
    {"hello", -1, Kind::reads, hello},
    {"incr", 2, Kind::writes, commands::incr},
    {"incrby", 3, Kind::writes, commands::incrby},
    {"info", -1, Kind::reads, info},
    {"mget", -2, Kind::reads, commands::mget},
    {"mset", -3, Kind::writes, commands::mset},
    {"persist", 2, Kind::writes, commands::persist},
    {"pexpire", 3, Kind::writes, commands::pexpire},
    {"pexpireat", 3, Kind::writes, commands::pexpireat},
    {"ping", -1, Kind::reads, ping},
    {"pttl", 2, Kind::reads, commands::pttl},
    {"quit", -1, Kind::reads, quit},
    {"reset", 1, Kind::reads, reset},
    {"scan", -2, Kind::reads, commands::scan},
    {"select", 2, Kind::reads, select},
    {"set", -3, Kind::writes, commands::set},
    {"shutdown", -1, Kind::reads, shutdown},
    {"strlen", 2, Kind::reads, commands::strlen},
    {"ttl", 2, Kind::reads, commands::ttl},
    {"type", 2, Kind::reads, commands::type},
    {"unlink", -2, Kind::writes, commands::del},
};

void command(Call& call) {
  if (call.args.size() > 1 && same(call.args[1], "count")) return put_integer(call.out, std::size(table));
  put_array(call.out, 0);  // no documentation: clients go on without
}

constexpr std::size_t slot_count = 256;

constexpr std::size_t slot_of(std::string_view name) {
  std::size_t sum = name.size();
  for (char c : name) sum = sum * 31 + (static_cast<unsigned char>(c) | 0x20u);
  return sum % slot_count;
}

constexpr auto slots = [] {
  std::array<const Command*, slot_count> filled{};
  for (const Command& each : table) {
    std::size_t at = slot_of(each.name);
    while (filled[at] != nullptr) at = (at + 1) % slot_count;
    filled[at] = &each;
  }
  return filled;
}();

const Command* find_command(std::string_view name) {
  for (std::size_t at = slot_of(name.substr(0, 16));; at = (at + 1) % slot_count) {
    if (slots[at] == nullptr || same(name, slots[at]->name)) return slots[at];
  }
}

std::string unknown_command(Args args) {
  std::string text =
      "ERR unknown command '" + std::string(args[0].substr(0, 128)) + "', with args beginning with: ";
  std::size_t size = 0;
  for (std::string_view word : args.subspan(1)) {
    if (size >= 128) break;
    word = word.substr(0, 128 - size);
    text.append("'").append(word).append("' ");
    size += word.size() + 3;
  }
  return text;
}

}  // namespace

Next Executor::execute(Args args, Session& session, std::int64_t now_ms, std::string& out) {
  ++counts_.commands;
  Call call{*this, args, session, now_ms, out, log_};
  const Command* found = find_command(args[0]);
  if (found == nullptr) {
    call.error(unknown_command(args));
  } else if (auto words = static_cast<int>(args.size());
             found->arity > 0 ? words != found->arity : words < -found->arity) {
    call.wrong_number(found->name);
  } else if (found->kind == Kind::writes && !refuse_writes.empty()) {
    call.error(refuse_writes);
  } else {
    found->run(call);
  }
  return call.next;
}

std::string Executor::replay(Args args) {
  const Command* found = find_command(args[0]);
  if (found == nullptr || found->kind != Kind::writes) return "not a command that writes";
  std::string out;
  Session session;
  // At time 0 nothing has expired: what a record finds is what it found when it was made.
  Log* log = std::exchange(log_, nullptr);
  execute(args, session, 0, out);
  log_ = log;
  return out.starts_with('-') ? out.substr(1, out.size() - 3) : "";
}

}  // namespace kv
