// The commands: what each does to the keys, what it answers, and what the log has to know of it.
//
// Executor is called by a connection, with a request that the parser cut out, and at start-up by the loader
// of the log. It does not suspend and does no I/O: what the server has to do beyond sending the reply is the
// answer of execute().
//
// Invariants:
// 1. A request appends exactly one reply to `out`; only a SHUTDOWN that is obeyed appends none.
// 2. A request that changed a key or its deadline appends a record to the log, any other none. It says what
//    was reached, not what was asked: points in time, not spans, and INCR as a SET (rules in aof.hpp).
#pragma once

#include "kvserver/aof.hpp"

#include <functional>

namespace kv {

/// What the commands know of a connection.
struct Session {
  std::int64_t id = 0;
  std::string name;
};

/// What the server does after the reply is sent. `rewrite`: begin to rewrite the log.
enum class Next : std::uint8_t { go_on, close, shutdown, rewrite };

/// What the commands ask the server for.
struct Hooks {
  /// Appends the sections asked for, all if none are, in the form of Redis: `# Section\r\nname:value\r\n`.
  std::function<void(Args sections, std::string& text)> info = [](Args, std::string&) {};
  /// Appends a line for every connection, or for `only`.
  std::function<void(const Session* only, std::string& text)> clients = [](const Session*, std::string&) {};
  /// CONFIG RESETSTAT.
  std::function<void()> reset_statistics = [] {};
  /// What CONFIG GET shows: names in lower case, and values.
  std::vector<std::pair<std::string, std::string>> config;
};

class Executor {
 public:
  /// `log` may be null: nothing is recorded.
  Executor(Store& store, Log* log, Hooks hooks) : store_(store), log_(log), hooks_(std::move(hooks)) {}

  /// Records go to `log` from now on, or nowhere when it is null.
  void record_to(Log* log) { log_ = log; }

  /// Carries out one request. Cost: O(arguments and bytes), SCAN at most 8,192 buckets and keys.
  Next execute(Args args, Session& session, std::int64_t now_ms, std::string& out);

  /// Carries out a command of the log, before there is one to record to; gives the text of the error, if
  /// there is one.
  std::string replay(Args args);

  /// While not empty, the error that every write gets (the log can't be written).
  std::string refuse_writes;

  struct Counts {
    std::uint64_t commands = 0;
    std::uint64_t hits = 0;  // keys that were asked for and there
    std::uint64_t misses = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  Store& store_;
  Log* log_;
  Hooks hooks_;
  Counts counts_;
};

}  // namespace kv
