// Makes a workload happen inside a loop: sources create jobs, jobs take locks and play steps, statistics are
// told.
//
// Owns: the jobs, the locks and the sources of one run. Called by run.cpp, which owns the loop.
//
// 1. A job is a task, created by a source: a timer of the loop, so that the loop's clock is right as it
// becomes ready.
// 2. A step is time that passes inside it: virtual time is advanced, real time is spun away.
// 3. What a job does is drawn from a stream of its own, and when it arrives from its class's: the same jobs
// come under
//    every policy as long as nobody waits for their ends (closed classes do).
// 4. The end of the run is a timer too: it closes the statistics; whatever runs later changes nothing.
#pragma once

#include <heirloop/sched/operations.hpp>
#include <heirloop/testing/sim_driver.hpp>

#include "policylab/lock_watch.hpp"
#include "policylab/statistics.hpp"
#include "policylab/workload.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace policylab {

class Engine {
 public:
  /// `driver` is the loop's, when time is virtual; else null. `named`: tasks have their class's name, for
  /// recordings.
  Engine(const Workload& workload, std::uint64_t seed, heirloop::Loop& loop,
         heirloop::testing::SimDriver* driver, bool named);
  ~Engine();

  /// The main task: from the first arrival to the end of the run.
  heirloop::Coro<void> run();

  [[nodiscard]] RunResult result() const { return statistics_.result(elapsed_ns_); }

 private:
  struct Source;
  struct Job;
  struct ClassState;
  struct Ticker;

  std::int64_t now_ns() noexcept { return loop_.driver().now_ns() - start_ns_; }
  void open();
  void create_groups();
  void close();
  void arm(heirloop::Timer& timer, std::int64_t at_ns) { loop_.set_timer_at(timer, start_ns_ + at_ns); }

  void source_fires(Source& source);
  void churn_fires(ClassState& of);
  void create_job(Source& source, std::int64_t arrival_ns);
  heirloop::Coro<void> live(Job& job);
  bool begins(Job& job);
  void play(Job& job, std::int64_t span_ns);
  void release(WatchedLock& lock, heirloop::LockGuard& guard);
  void job_ends(Job& job);

  const Workload& workload_;
  std::uint64_t seed_;
  heirloop::Loop& loop_;
  heirloop::testing::SimDriver* driver_;
  Statistics statistics_;
  LockWatch locks_;
  std::vector<heirloop::SchedulingGroup*> groups_;
  std::vector<std::unique_ptr<ClassState>> classes_;
  std::deque<Source> sources_;
  std::deque<Job> jobs_;
  std::vector<Job*> free_jobs_;
  std::unique_ptr<Ticker> end_;
  std::int64_t start_ns_ = 0;
  std::int64_t elapsed_ns_ = 0;
  bool named_;
  bool is_open_ = false;
};

}  // namespace policylab
