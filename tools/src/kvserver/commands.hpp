// The commands: what each does to the keys, what it answers, and what the log has to know of it.
//
// Executor is called by a connection, with a request that the parser cut out, and at start-up by the loader
// of the log. It does not suspend and does no I/O: what the server has to do beyond sending the reply is the
// answer of execute(). What it holds beside the keys and the log is what INFO, CONFIG and CLIENT show.
//
// Invariants:
// 1. A request appends exactly one reply to `out`, or nothing when it is refused; only a SHUTDOWN that is
//    obeyed has no reply.
// 2. A request that changed a key or its deadline appends a record to the log, any other none. It says what
//    was reached, not what was asked: points in time, not spans, and INCR as a SET (rules in aof.hpp).
#pragma once

#include "common/histogram.hpp"
#include "kvserver/aof.hpp"

#include <functional>
#include <map>

namespace kv {

/// What the commands know of a connection.
struct Session {
  std::int64_t id = 0;
  std::string name, address;
  int socket = -1;
};

/// What the server does after the reply is sent. `rewrite`: begin to rewrite the log.
enum class Next : std::uint8_t { go_on, close, shutdown, rewrite };

/// From the start, or from the last CONFIG RESETSTAT.
struct Statistics {
  std::uint64_t commands = 0;
  std::uint64_t hits = 0;  // keys that were asked for and there
  std::uint64_t misses = 0;
  // Of requests that found the keyspace lock taken: how long they waited for it, and how many steps of
  // housekeeping ran meanwhile.
  tools::Histogram lock_wait;
  std::uint64_t lock_wait_steps_max = 0;
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Executor {
  /// Carries out one request. Errors: Refused. Cost: O(arguments and bytes), SCAN at most 8,192 buckets and
  /// keys.
  Next execute(Args args, Session& session, std::int64_t now_ms, std::string& out);

  /// Carries out a command of the log, before there is one to record to. Errors: Refused.
  void replay(Args args);

  Store& store;
  Log* log;                          ///< where records go; may be null
  std::function<Pairs()> info = {};  ///< the sections of INFO: names, and lines `name:value\r\n`
  Pairs config = {};                 ///< what CONFIG GET shows: names in lower case, and values
  Statistics statistics = {};
  std::map<std::int64_t, const Session*> sessions = {};  ///< those that are connected, by their numbers
  std::string refuse_writes = {};  ///< the error that every write gets, while the log can't be written
};

}  // namespace kv
