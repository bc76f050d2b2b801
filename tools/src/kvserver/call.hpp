// One request being carried out: what the commands see. For the files of commands alone.
#pragma once

#include "kvserver/commands.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace kv {

struct Call {
  Executor& executor;
  Args args;
  Session& session;
  std::int64_t now_ms;
  std::string& out;
  Log* log;
  Next next = Next::go_on;

  Store& store() { return executor.store_; }
  const Hooks& hooks() { return executor.hooks_; }
  std::vector<std::string_view>& found() { return executor.found_; }

  Store::Item* find(const KeyView& key) { return store().find(key, now_ms); }
  /// Finds, and counts.
  Store::Item* read(std::string_view key) {
    Store::Item* item = find(KeyView(key));
    ++(item != nullptr ? executor.counts_.hits : executor.counts_.misses);
    return item;
  }

  /// Gives `key`, which find() has just found as `item` or not, its value and deadline.
  Store::Item& put(const KeyView& key, Store::Item* item, std::string_view data, std::int64_t deadline_ms) {
    if (item == nullptr) item = &store().insert(key);
    store().set_data(*item, data);
    store().set_deadline(*item, deadline_ms);
    return *item;
  }

  void ok() { out += "+OK\r\n"; }
  void error(std::string_view text) { put_error(out, text); }
  void syntax_error() { error("ERR syntax error"); }
  void not_an_integer() { error("ERR value is not an integer or out of range"); }
  void wrong_number(std::string_view command) {
    error("ERR wrong number of arguments for '" + std::string(command) + "' command");
  }
  void value_or_null(const Store::Item* item) {
    item != nullptr ? put_bulk(out, item->second.data) : put_null(out);
  }

  void record(std::initializer_list<std::string_view> words) { record(Args(words.begin(), words.size())); }
  void record(Args words) {
    if (log != nullptr) put_bulks(log->records(), words);
  }
  void record_state(const Store::Item& item) {
    const auto& [key, value] = item;
    if (log != nullptr) put_set(log->records(), key.name, value.data, value.deadline_ms());
  }
};

/// A number as text.
struct Digits {
  explicit Digits(std::int64_t value) : end(std::to_chars(text, text + sizeof text, value).ptr) {}
  std::string_view view() const { return {text, end}; }
  char text[20];
  char* end;
};

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

inline std::string in_lower_case(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(), lower);
  return result;
}

/// Whether `word` is `name`, which is in lower case.
inline bool same(std::string_view word, std::string_view name) {
  return word.size() == name.size() &&
         std::equal(word.begin(), word.end(), name.begin(), [](char a, char b) { return lower(a) == b; });
}

// Of keys and values.
namespace commands {
void append(Call& call);
void dbsize(Call& call);
void decr(Call& call);
void decrby(Call& call);
void del(Call& call);
void exists(Call& call);
void expire(Call& call);
void expireat(Call& call);
void flushall(Call& call);
void get(Call& call);
void incr(Call& call);
void incrby(Call& call);
void mget(Call& call);
void mset(Call& call);
void persist(Call& call);
void pexpire(Call& call);
void pexpireat(Call& call);
void pttl(Call& call);
void scan(Call& call);
void set(Call& call);
void strlen(Call& call);
void ttl(Call& call);
void type(Call& call);
}  // namespace commands

}  // namespace kv
