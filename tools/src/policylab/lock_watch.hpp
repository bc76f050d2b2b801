// Who holds which lock and who waits for it, to see inversions.
//
// An inversion: the most urgent waiter of a lock waits while a less urgent task runs that does not hold it
// up, that is, neither holds the lock nor one that its holder waits for. Its length is the time that such
// tasks ran.
//
// Called by the engine, which takes and releases the locks themselves.
// 1. `holder` is who owns the lock, `waiters` who waits for it, in order of beginning.
// 2. The waiters' priorities are the effective ones, as of the last `refresh`.
#pragma once

#include <heirloop/sync/lock.hpp>

#include "policylab/statistics.hpp"

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

namespace policylab {

struct WatchedLock;

struct LockingJob : JobRecord {
  heirloop::TaskRef task;
  WatchedLock* waits_for = nullptr;
};

struct WatchedLock {
  explicit WatchedLock(std::string_view name) noexcept : lock(name) {}

  struct Waiter {
    double priority;
    LockingJob* job;
    const heirloop::Task* task;
  };

  heirloop::PriorityLock lock;
  LockingJob* holder = nullptr;
  std::vector<Waiter> waiters;
  std::size_t best = 0;  // index of the most urgent waiter
};

class LockWatch {
 public:
  LockWatch(const std::vector<std::string>& names, Statistics& statistics);

  WatchedLock& operator[](std::uint32_t index) noexcept { return locks_[index]; }

  /// The current job begins to wait for the lock.
  void wait_begins(WatchedLock& lock, LockingJob& job);
  /// The job took a free lock.
  void taken(WatchedLock& lock, LockingJob& job) noexcept { lock.holder = &job; }
  /// The lock was released a moment ago; the job that has it now and is ready therefore, or null.
  LockingJob* released(WatchedLock& lock) noexcept;

  /// Somebody's priority or wait has changed since the last step: brings what is lent up to date.
  void refresh();
  /// The priority of a waiting job was set.
  void priority_changed(LockingJob& job) noexcept;

  /// `job` runs for this long now.
  void runs(const LockingJob& job, std::int64_t span_ns) noexcept;
  /// The run is over: what still waits has waited.
  void close() noexcept;

 private:
  static void update_waiter(LockingJob& job) noexcept;
  static void find_best(WatchedLock& lock) noexcept;
  static bool holds_up(const LockingJob& job, const WatchedLock& lock) noexcept;

  std::deque<WatchedLock> locks_;
  Statistics& statistics_;
  std::size_t contended_ = 0;  // locks with waiters
  bool stale_ = false;
};

}  // namespace policylab
