// The commands of kvserver: replies and errors as Redis gives them, expiry, what is recorded, and what SCAN
// promises.
#include "kvserver/commands.hpp"
#include "kvserver/glob.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Server {
  kv::Store store;
  kv::Log log{false};
  kv::Executor executor{store, &log, sections, {{"appendonly", "yes"}, {"save", ""}}};
  kv::Session session{.id = 7, .name = "", .address = "1.2.3.4:5"};
  std::int64_t now_ms = 1'000'000;
  kv::Next next = kv::Next::go_on;

  static kv::Pairs sections() { return {{"Stats", "a:1\r\n"}, {"Memory", "b:2\r\n"}, {"Other", "c:3\r\n"}}; }

  std::string run(const std::vector<std::string>& words) {
    std::string out;
    std::vector<std::string_view> args(words.begin(), words.end());
    next = kv::Next::go_on;
    try {
      next = executor.execute(args, session, now_ms, out);
    } catch (const kv::Refused& refused) {
      EXPECT_EQ(out, "");
      kv::put_error(out, refused.text);
    }
    return out;
  }

  /// Words between spaces.
  std::string operator()(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word == "EMPTY" ? "" : word);
    return run(words);
  }

  /// The commands recorded since the last call, words joined by spaces, each ended by a semicolon.
  std::string recorded() {
    std::string bytes, text;
    log.take(bytes);
    if (bytes.empty()) return text;
    kv::Parser parser;
    std::string_view rest =
        std::string_view(bytes).substr(bytes.find('\n') + 1);  // behind the frame's header
    while (parser.parse(rest)) {
      for (std::string_view word : parser.args())
        text.append(text.empty() || text.ends_with(";") ? "" : " ").append(word);
      text += ";";
    }
    return rest.empty() ? text : "not commands";
  }
};

std::string bulk(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

constexpr const char* ok = "+OK\r\n";
constexpr const char* null = "$-1\r\n";
constexpr const char* not_an_integer = "-ERR value is not an integer or out of range\r\n";
constexpr const char* syntax_error = "-ERR syntax error\r\n";

std::string wrong_number(const std::string& name) {
  return "-ERR wrong number of arguments for '" + name + "' command\r\n";
}

TEST(KvCommands, answer_what_concerns_the_connection) {
  Server server;
  EXPECT_EQ(server("PING"), "+PONG\r\n");
  EXPECT_EQ(server("pInG hello"), bulk("hello"));
  EXPECT_EQ(server("ECHO x"), bulk("x"));
  EXPECT_EQ(server("SELECT 0"), ok);
  EXPECT_EQ(server("SELECT 1"), "-ERR DB index is out of range\r\n");
  EXPECT_EQ(server("SELECT x"), not_an_integer);
  EXPECT_EQ(server("CLIENT ID"), ":7\r\n");
  EXPECT_EQ(server("CLIENT GETNAME"), null);
  EXPECT_EQ(server("CLIENT SETNAME bob"), ok);
  EXPECT_EQ(server("CLIENT GETNAME"), bulk("bob"));
  EXPECT_EQ(server.run({"CLIENT", "SETNAME", "a b"}),
            "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
  EXPECT_EQ(server("CLIENT SETNAME"), wrong_number("client|setname"));
  EXPECT_EQ(server("CLIENT SETINFO LIB-NAME x"), ok);
  const kv::Session other{.id = 8, .name = "eve", .address = "1.2.3.4:6"};
  server.executor.sessions = {{7, &server.session}, {8, &other}};
  const std::string bob = "id=7 addr=1.2.3.4:5 name=bob resp=2\n";
  EXPECT_EQ(server("CLIENT LIST"), bulk(bob + "id=8 addr=1.2.3.4:6 name=eve resp=2\n"));
  EXPECT_EQ(server("CLIENT INFO"), bulk(bob));
  EXPECT_EQ(server("CLIENT FOO"), "-ERR unknown subcommand 'FOO' of 'client'\r\n");
  EXPECT_EQ(server("RESET"), "+RESET\r\n");
  EXPECT_EQ(server.session.name, "");
  EXPECT_EQ(server("HELLO 3"), "-NOPROTO unsupported protocol version\r\n");
  EXPECT_EQ(server("HELLO x"), "-ERR Protocol version is not an integer or out of range\r\n");
  EXPECT_EQ(server("HELLO 2 FOO"), "-ERR Syntax error in HELLO option 'FOO'\r\n");
  EXPECT_TRUE(server("HELLO 2 SETNAME eve").starts_with("*14\r\n$6\r\nserver\r\n"));
  EXPECT_EQ(server.session.name, "eve");
}

TEST(KvCommands, answer_what_concerns_the_server) {
  Server server;
  const std::string stats = "# Stats\r\na:1\r\n\r\n", memory = "# Memory\r\nb:2\r\n\r\n";
  for (const char* all : {"INFO", "INFO all", "INFO x DEFAULT", "INFO everything"}) {
    EXPECT_EQ(server(all), bulk(stats + memory + "# Other\r\nc:3\r\n\r\n")) << all;
  }
  EXPECT_EQ(server("INFO memory STATS"), bulk(stats + memory));
  EXPECT_EQ(server("INFO nothing"), bulk(""));
  EXPECT_EQ(server("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
  EXPECT_EQ(server("CONFIG GET A*only S[a]ve"),
            "*4\r\n" + bulk("appendonly") + bulk("yes") + bulk("save") + bulk(""));
  EXPECT_EQ(server("CONFIG GET nothing"), "*0\r\n");
  EXPECT_EQ(server("CONFIG GET"), wrong_number("config|get"));
  EXPECT_EQ(server("CONFIG SET save x"), "-ERR unknown subcommand 'SET' of 'config'\r\n");
  server("MGET a b");
  EXPECT_EQ(server.executor.statistics.misses, 2U);
  EXPECT_EQ(server("CONFIG RESETSTAT"), ok);
  EXPECT_EQ(server.executor.statistics.misses, 0U);
  EXPECT_EQ(server("COMMAND DOCS"), "*0\r\n");
  EXPECT_EQ(server("COMMAND"), "*0\r\n");
  EXPECT_NE(server("COMMAND COUNT"), ":0\r\n");
  EXPECT_EQ(server("COMMAND COUNT x"), wrong_number("command|count"));
  EXPECT_EQ(server("COMMAND FOO"), "-ERR unknown subcommand 'FOO' of 'command'\r\n");
  EXPECT_EQ(server("QUIT"), ok);
  EXPECT_EQ(server.next, kv::Next::close);
  EXPECT_EQ(server("SHUTDOWN FOO"), syntax_error);
  EXPECT_EQ(server.next, kv::Next::go_on);
  EXPECT_EQ(server("SHUTDOWN NOSAVE"), "");
  EXPECT_EQ(server.next, kv::Next::shutdown);
  EXPECT_EQ(server("BGREWRITEAOF"), "+Background append only file rewriting started\r\n");
  EXPECT_EQ(server.next, kv::Next::rewrite);
  server.log.begin_rewrite();
  EXPECT_EQ(server("BGREWRITEAOF"), "-ERR Background append only file rewriting already in progress\r\n");
  EXPECT_EQ(server.next, kv::Next::go_on);
}

TEST(KvCommands, end_the_connection_of_who_speaks_http) {
  Server server;
  for (const char* line : {"POST / HTTP/1.1", "Host: localhost"}) {
    EXPECT_EQ(server(line), "");
    EXPECT_EQ(server.next, kv::Next::close) << line;
  }
}

TEST(KvCommands, refuse_what_they_do_not_know) {
  Server server;
  EXPECT_EQ(server("CLIENT|ID x"), "-ERR unknown command 'CLIENT|ID', with args beginning with: 'x' \r\n");
  EXPECT_EQ(server("CLIENT ID x"), wrong_number("client|id"));
  EXPECT_EQ(server("CONFIG RESETSTAT x"), wrong_number("config|resetstat"));
  EXPECT_EQ(server("FOO"), "-ERR unknown command 'FOO', with args beginning with: \r\n");
  EXPECT_EQ(server.run({"FOO", "a", "b\r\nc"}),
            "-ERR unknown command 'FOO', with args beginning with: 'a' 'b  c' \r\n");
  EXPECT_EQ(server.run({""}), "-ERR unknown command '', with args beginning with: \r\n");
  EXPECT_EQ(server.run({std::string(200, 'x'), std::string(200, 'y'), "z"}),
            "-ERR unknown command '" + std::string(128, 'x') + "', with args beginning with: '" +
                std::string(128, 'y') + "' \r\n");
  for (const char* line :
       {"get",          "get a b",  "set a",    "del",    "exists",   "incr",   "incrby a",
        "decrby a 1 2", "append a", "strlen",   "mget",   "mset",     "mset a", "mset a 1 b",
        "expire a",     "pttl",     "type a b", "scan",   "dbsize a", "echo",   "ping a b",
        "select",       "client",   "config",   "persist"}) {
    std::string name = line;
    EXPECT_EQ(server(line), wrong_number(name.substr(0, name.find(' ')))) << line;
  }
  EXPECT_EQ(server.recorded(), "");
}

TEST(KvCommands, set_and_get_any_bytes) {
  Server server;
  std::string key("\0\r\n k", 5), value("\r\n\0$", 4);
  EXPECT_EQ(server.run({"SET", key, value}), ok);
  EXPECT_EQ(server.run({"GET", key}), bulk(value));
  EXPECT_EQ(server.run({"SET", "", ""}), ok);
  EXPECT_EQ(server.run({"GET", ""}), bulk(""));
  EXPECT_EQ(server.run({"STRLEN", key}), ":4\r\n");
  EXPECT_EQ(server("GET none"), null);
  EXPECT_EQ(server("STRLEN none"), ":0\r\n");
  EXPECT_EQ(server("MSET a 1 b 2 a 3"), ok);
  EXPECT_EQ(server("MGET a none b"), "*3\r\n" + bulk("3") + null + bulk("2"));
  EXPECT_EQ(server("EXISTS a b a none"), ":3\r\n");
  EXPECT_EQ(server("TYPE a"), "+string\r\n");
  EXPECT_EQ(server("TYPE none"), "+none\r\n");
  EXPECT_EQ(server("DBSIZE"), ":4\r\n");
  EXPECT_EQ(server("DEL a none a b"), ":2\r\n");
  EXPECT_EQ(server("FLUSHALL foo"), syntax_error);
  EXPECT_EQ(server("FLUSHALL ASYNC"), ok);
  EXPECT_EQ(server("DBSIZE"), ":0\r\n");
  EXPECT_TRUE(server.store.check_invariants());
}

TEST(KvCommands, set_takes_its_options) {
  Server server;
  EXPECT_EQ(server("SET k 1 XX"), null);
  EXPECT_EQ(server("SET k 1 nx"), ok);
  EXPECT_EQ(server("SET k 2 NX"), null);
  EXPECT_EQ(server("SET k 2 XX GET"), bulk("1"));
  EXPECT_EQ(server("SET k 3 NX GET"), bulk("2"));
  EXPECT_EQ(server("SET new 3 GET"), null);
  EXPECT_EQ(server("GET k"), bulk("2"));
  EXPECT_EQ(server("SET k 4 EX 10"), ok);
  EXPECT_EQ(server("TTL k"), ":10\r\n");
  EXPECT_EQ(server("SET k 5 KEEPTTL"), ok);
  EXPECT_EQ(server("PTTL k"), ":10000\r\n");
  EXPECT_EQ(server("SET k 6"), ok);
  EXPECT_EQ(server("TTL k"), ":-1\r\n");
  EXPECT_EQ(server("SET k 7 PXAT 1000500"), ok);
  EXPECT_EQ(server("PTTL k"), ":500\r\n");
  EXPECT_EQ(server("SET k 8 EXAT 1002"), ok);
  EXPECT_EQ(server("PTTL k"), ":2000\r\n");
  for (const char* line : {"SET k v FOO", "SET k v EX", "SET k v NX XX", "SET k v XX NX", "SET k v EX 1 PX 1",
                           "SET k v EX 1 KEEPTTL", "SET k v KEEPTTL PX 1", "SET k v 10"}) {
    EXPECT_EQ(server(line), syntax_error) << line;
  }
  EXPECT_EQ(server("SET k v EX abc"), not_an_integer);
  for (const char* line : {"SET k v EX 0", "SET k v PX -1", "SET k v EX 9223372036854775807",
                           "SET k v PX 9223372036854775807", "SET k v EXAT 9223372036854775807"}) {
    EXPECT_EQ(server(line), "-ERR invalid expire time in 'set' command\r\n") << line;
  }
  EXPECT_EQ(server("GET k"), bulk("8"));
}

TEST(KvCommands, count_and_append) {
  Server server;
  EXPECT_EQ(server("INCR n"), ":1\r\n");
  EXPECT_EQ(server("INCRBY n 41"), ":42\r\n");
  EXPECT_EQ(server("DECR n"), ":41\r\n");
  EXPECT_EQ(server("DECRBY n -9"), ":50\r\n");
  EXPECT_EQ(server("GET n"), bulk("50"));
  EXPECT_EQ(server("INCRBY n x"), not_an_integer);
  EXPECT_EQ(server("INCRBY n 9223372036854775807"), "-ERR increment or decrement would overflow\r\n");
  EXPECT_EQ(server("DECRBY n -9223372036854775808"), "-ERR decrement would overflow\r\n");
  server("SET low -9223372036854775808");
  EXPECT_EQ(server("DECR low"), "-ERR increment or decrement would overflow\r\n");
  for (const char* value : {"abc", "01", "-0", "+1", "EMPTY", "1.0", "9223372036854775808"}) {
    server(std::string("SET s ") + value);
    EXPECT_EQ(server("INCR s"), not_an_integer) << value;
  }
  EXPECT_EQ(server("APPEND a EMPTY"), ":0\r\n");
  EXPECT_EQ(server("EXISTS a"), ":1\r\n");
  EXPECT_EQ(server("APPEND a xyz"), ":3\r\n");
  EXPECT_EQ(server("APPEND a !"), ":4\r\n");
  EXPECT_EQ(server("GET a"), bulk("xyz!"));
}

TEST(KvCommands, keys_expire_at_their_deadline) {
  Server server;
  server("MSET a 1 b 2 c 3");
  EXPECT_EQ(server("TTL a"), ":-1\r\n");
  EXPECT_EQ(server("TTL none"), ":-2\r\n");
  EXPECT_EQ(server("EXPIRE a 10"), ":1\r\n");
  EXPECT_EQ(server("EXPIRE none 10"), ":0\r\n");
  EXPECT_EQ(server("PEXPIRE b 1499"), ":1\r\n");
  EXPECT_EQ(server("TTL b"), ":1\r\n");
  EXPECT_EQ(server("PEXPIREAT c 1000001"), ":1\r\n");
  EXPECT_EQ(server("PERSIST c"), ":1\r\n");
  EXPECT_EQ(server("PERSIST c"), ":0\r\n");
  EXPECT_EQ(server("PERSIST none"), ":0\r\n");
  EXPECT_EQ(server("EXPIRE a abc"), not_an_integer);
  EXPECT_EQ(server("EXPIRE a 9223372036854775807"), "-ERR invalid expire time in 'expire' command\r\n");
  EXPECT_EQ(server("PExpire a 9223372036854775807"), "-ERR invalid expire time in 'pexpire' command\r\n");
  EXPECT_EQ(server("EXPIRE c -1"), ":1\r\n");
  EXPECT_EQ(server("EXISTS c"), ":0\r\n");
  server.now_ms += 1498;
  EXPECT_EQ(server("GET b"), bulk("2"));
  server.now_ms += 1;
  EXPECT_EQ(server("GET b"), null);
  EXPECT_EQ(server("APPEND b x"), ":1\r\n");
  EXPECT_EQ(server("TTL b"), ":-1\r\n");
  server.now_ms += 10'000;
  EXPECT_EQ(server("DEL a"), ":0\r\n");
  EXPECT_EQ(server("INCR a"), ":1\r\n");
  EXPECT_TRUE(server.store.check_invariants());
}

TEST(KvCommands, record_what_was_reached) {
  struct {
    const char* line;
    const char* record;
  } steps[] = {
      {"SET k v", "SET k v;"},
      {"SET k w NX", ""},
      {"SET none w XX", ""},
      {"SET k v EX 10", "SET k v PXAT 1010000;"},
      {"APPEND k x", "APPEND k x;PEXPIREAT k 1010000;"},
      {"APPEND k EMPTY", ""},
      {"SET k 5 KEEPTTL", "SET k 5 PXAT 1010000;"},
      {"INCR k", "SET k 6 PXAT 1010000;"},
      {"PERSIST k", "PERSIST k;"},
      {"PERSIST k", ""},
      {"INCRBY k 10", "SET k 16;"},
      {"APPEND k x", "APPEND k x;"},
      {"INCR k", ""},
      {"APPEND new x", "SET new x;"},
      {"EXPIRE new 10", "PEXPIREAT new 1010000;"},
      {"EXPIRE none 10", ""},
      {"PEXPIREAT new 1", "DEL new;"},
      {"MSET a 1 b 2", "MSET a 1 b 2;"},
      {"DEL none", ""},
      {"DEL none a", "DEL none a;"},
      {"GET b", ""},
      {"FLUSHDB", "FLUSHALL;"},
      {"FLUSHALL", ""},
  };
  Server server;
  for (const auto& step : steps) {
    server(step.line);
    EXPECT_EQ(server.recorded(), step.record) << step.line;
  }
}

TEST(KvCommands, refuse_writes_when_told_to) {
  Server server;
  server("SET k v");
  server.executor.refuse_writes = "MISCONF disk full";
  EXPECT_EQ(server("SET k w"), "-MISCONF disk full\r\n");
  EXPECT_EQ(server("GET k"), bulk("v"));
  server.executor.refuse_writes.clear();
  EXPECT_EQ(server("SET k w"), ok);
}

TEST(KvCommands, scan_refuses_wrong_options) {
  Server server;
  EXPECT_EQ(server("SCAN abc"), "-ERR invalid cursor\r\n");
  EXPECT_EQ(server("SCAN 0 COUNT 0"), syntax_error);
  EXPECT_EQ(server("SCAN 0 COUNT x"), not_an_integer);
  EXPECT_EQ(server("SCAN 0 MATCH"), syntax_error);
  EXPECT_EQ(server("SCAN 0 FOO 1"), syntax_error);
  EXPECT_EQ(server("SCAN 0 TYPE string"), "*2\r\n$1\r\n0\r\n*0\r\n");
  server("MSET a1 v a2 v b1 v");
  server("SET a3 v PX 1");
  server.now_ms += 1;
  EXPECT_EQ(server("SCAN 0 MATCH a2 COUNT 100"), "*2\r\n$1\r\n0\r\n*1\r\n$2\r\na2\r\n");
  EXPECT_EQ(server("SCAN 0 TYPE list COUNT 100"), "*2\r\n$1\r\n0\r\n*0\r\n");
  EXPECT_EQ(server("SCAN 0 MATCH a3 COUNT 100"), "*2\r\n$1\r\n0\r\n*0\r\n");
  for (const char* any : {"1", "18446744073709551615", "123456789012345678", "67108864"}) {
    EXPECT_TRUE(server(std::string("SCAN ") + any).starts_with("*2\r\n")) << any;
  }
}

TEST(KvCommands, scan_gives_every_key) {
  Server server;
  for (int i = 0; i < 5000; ++i) server.run({"SET", "k" + std::to_string(i), ""});
  for (const char* count : {"1", "10", "100000"}) {
    std::set<std::string> met;
    std::string cursor = "0";
    do {
      std::string reply = server.run({"SCAN", cursor, "COUNT", count});
      std::istringstream lines(reply);
      std::vector<std::string> words;
      for (std::string line; std::getline(lines, line);) words.push_back(line.substr(0, line.size() - 1));
      ASSERT_GE(words.size(), 4U);
      cursor = words[2];
      for (std::size_t i = 5; i < words.size(); i += 2) met.insert(words[i]);
    } while (cursor != "0");
    EXPECT_EQ(met.size(), 5000U) << count;
  }
}

TEST(KvGlob, matches_as_redis_does) {
  struct {
    const char* pattern;
    const char* text;
    bool fits;
  } cases[] = {
      {"*", "", true},        {"", "", true},         {"", "a", false},
      {"a*c", "abbc", true},  {"a*c", "abbd", false}, {"*a*b*", "xaxxbx", true},
      {"?", "", false},       {"a?c", "abc", true},   {"[a-c]x", "bx", true},
      {"[c-a]x", "bx", true}, {"[^a]x", "ax", false}, {"[^a]x", "bx", true},
      {"[\\]]", "]", true},   {"\\*", "*", true},     {"\\*", "a", false},
      {"a\\", "a\\", true},   {"[ab", "b", true},     {"[]", "a", false},
      {"a[", "a", false},     {"**a", "ba", true},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(kv::glob_match(each.pattern, each.text), each.fits) << each.pattern << " " << each.text;
  }
  // Linear for each star, not exponential.
  std::string stars;
  for (int i = 0; i < 50; ++i) stars += "*a";
  EXPECT_FALSE(kv::glob_match(stars + "b", std::string(5000, 'a')));
}

/// Names that lie in two of the store's maps, the first and the last, so that these grow while they are
/// walked through.
const std::vector<std::string>& crowded_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found;
    for (int i = 0; found.size() < 300; ++i) {
      std::string name = "key" + std::to_string(i);
      std::size_t shard = kv::KeyView(name).hash >> 52;
      if (shard == 0 || shard == 4095) found.push_back(name);
    }
    return found;
  }();
  return names;
}

RC_GTEST_PROP(KvStore, walk_meets_every_item_that_stays, ()) {
  const auto& names = crowded_names();
  auto index = rc::gen::inRange<std::size_t>(0, names.size());
  kv::Store store;
  auto insert = [&](std::size_t i) {
    if (store.find(kv::KeyView(names[i]), 0) == nullptr) store.insert(kv::KeyView(names[i]));
  };
  auto staying = *rc::gen::container<std::set<std::size_t>>(index);
  for (std::size_t i : staying) insert(i);
  std::set<std::string> met;
  kv::Store::Cursor cursor = 0;
  do {
    cursor = store.walk(cursor, *rc::gen::inRange<std::size_t>(1, 2000), kv::Store::Which::all,
                        [&](kv::Store::Item& item) -> std::size_t {
                          met.insert(item.first.name);
                          return 1;
                        });
    for (std::size_t i : *rc::gen::container<std::vector<std::size_t>>(index)) {
      if (staying.contains(i)) continue;
      if (!store.erase(store.find(kv::KeyView(names[i]), 0))) insert(i);
    }
    RC_ASSERT(store.check_invariants());
  } while (cursor != 0);
  for (std::size_t i : staying) RC_ASSERT(met.contains(names[i]));
}

TEST(KvStore, walk_meets_every_item_while_the_maps_grow) {
  const auto& names = crowded_names();
  kv::Store store;
  for (std::size_t i = 0; i < 100; ++i) store.insert(kv::KeyView(names[i]));
  std::set<std::string> met;
  std::size_t added = 100, calls = 0;
  kv::Store::Cursor cursor = 0;
  do {
    cursor = store.walk(cursor, 3, kv::Store::Which::all, [&](kv::Store::Item& item) -> std::size_t {
      met.insert(item.first.name);
      return 1;
    });
    for (int i = 0; i < 4 && added < names.size(); ++i) store.insert(kv::KeyView(names[added++]));
    ++calls;
  } while (cursor != 0);
  for (std::size_t i = 0; i < 100; ++i) EXPECT_TRUE(met.contains(names[i])) << names[i];
  EXPECT_GT(calls, 1000U);
  EXPECT_EQ(added, names.size());
}

TEST(KvStore, sweep_removes_what_has_expired_and_nothing_else) {
  kv::Store store;
  for (int i = 0; i < 3000; ++i) {
    kv::Store::Item& item = store.insert(kv::KeyView("k" + std::to_string(i)));
    if (i % 3 != 0) store.set_deadline(item, i % 3 == 1 ? 100 : 200);
  }
  std::size_t removed = 0;
  for (;;) {
    const std::size_t before = store.size();
    const bool round_done = store.sweep(50, 100);
    EXPECT_LE(before - store.size(), 60U);
    removed += before - store.size();
    if (round_done) break;
  }
  EXPECT_EQ(removed, 1000U);
  EXPECT_EQ(store.size(), 2000U);
  EXPECT_EQ(store.with_deadline(), 1000U);
  EXPECT_NE(store.find(kv::KeyView("k2"), 100), nullptr);
  EXPECT_TRUE(store.check_invariants());
}

TEST(KvStore, clear_leaves_nothing_whatever_the_size) {
  for (int size : {0, 10, 10'000}) {
    kv::Store store;
    for (int i = 0; i < size; ++i) store.set_deadline(store.insert(kv::KeyView(std::to_string(i))), 100);
    store.clear();
    EXPECT_EQ(store.size(), 0U);
    EXPECT_EQ(store.with_deadline(), 0U);
    EXPECT_EQ(store.find(kv::KeyView("1"), 0), nullptr);
    store.insert(kv::KeyView("1"));
    for (int i = 0; i < 1000; ++i) store.sweep(100, 1000);
    EXPECT_EQ(store.size(), 1U);
    EXPECT_TRUE(store.check_invariants());
  }
}

}  // namespace
