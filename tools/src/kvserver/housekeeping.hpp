// What keeps the thread busy at LOW priority while requests are answered: the expiry sweep, and synthetic
// work to measure with.
//
// Owns: the count of housekeeping steps. The server starts it; requests look at the count while they wait for
// the lock.
#pragma once

#include <heirloop/sync/lock.hpp>

#include "kvserver/options.hpp"
#include "kvserver/store.hpp"

#include <cstdint>

namespace kv {

class Housekeeping {
 public:
  Housekeeping(const Options& options, Store& store, heirloop::PriorityLock& keys)
      : options_(options), store_(store), keys_(keys) {}

  /// Starts the tasks; they run until they are cancelled.
  void start();

  /// Steps of all of them, each less urgent than any request by its own priority.
  std::uint64_t steps() const { return steps_; }

 private:
  heirloop::Coro<void> sweep();
  heirloop::Coro<void> work();
  heirloop::Coro<void> hold_lock();
  heirloop::Coro<void> flood();
  void step();

  const Options& options_;
  Store& store_;
  heirloop::PriorityLock& keys_;
  std::uint64_t steps_ = 0;
};

/// Milliseconds since 1970, as deadlines count.
std::int64_t unix_time_ms();

}  // namespace kv
