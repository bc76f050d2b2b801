#include "policylab/lock_watch.hpp"

#include <algorithm>

namespace policylab {

LockWatch::LockWatch(const std::vector<std::string>& names, Statistics& statistics)
    : statistics_(statistics) {
  for (const std::string& name : names) locks_.emplace_back(name);
}

void LockWatch::wait_begins(WatchedLock& lock, LockingJob& job) {
  if (lock.waiters.empty()) ++contended_;
  job.waits_for = &lock;
  lock.waiters.push_back({job.task.effective_priority(), &job, job.task.get()});
  if (lock.waiters.back().priority < lock.waiters[lock.best].priority) lock.best = lock.waiters.size() - 1;
  stale_ = true;
}

LockingJob* LockWatch::released(WatchedLock& lock) noexcept {
  lock.holder = nullptr;
  const heirloop::Task* const heir = lock.lock.owner();
  if (heir == nullptr) return nullptr;
  const auto found = std::find_if(lock.waiters.begin(), lock.waiters.end(),
                                  [&](const auto& waiter) { return waiter.task == heir; });
  LockingJob* const job = found->job;
  lock.waiters.erase(found);
  find_best(lock);
  if (lock.waiters.empty()) --contended_;
  job->waits_for = nullptr;
  lock.holder = job;
  statistics_.waited_for_lock(*job);
  stale_ = true;
  return job;
}

void LockWatch::find_best(WatchedLock& lock) noexcept {
  lock.best = 0;
  for (std::size_t i = 1; i < lock.waiters.size(); ++i) {
    if (lock.waiters[i].priority < lock.waiters[lock.best].priority) lock.best = i;
  }
}

void LockWatch::refresh() {
  if (!stale_) return;
  stale_ = false;
  for (WatchedLock& lock : locks_) {
    LockingJob* const holder = lock.holder;
    if (holder == nullptr) continue;
    if (holder->slot != WaitingJobs::nowhere)
      statistics_.urgency_changed(*holder, holder->task.get()->urgency());
    if (holder->waits_for != nullptr) update_waiter(*holder);
  }
}

void LockWatch::priority_changed(LockingJob& job) noexcept {
  update_waiter(job);
  stale_ = true;
}

void LockWatch::update_waiter(LockingJob& job) noexcept {
  WatchedLock& lock = *job.waits_for;
  const auto waiter = std::find_if(lock.waiters.begin(), lock.waiters.end(),
                                   [&](const auto& each) { return each.job == &job; });
  waiter->priority = job.task.effective_priority();
  find_best(lock);
}

bool LockWatch::holds_up(const LockingJob& job, const WatchedLock& lock) noexcept {
  for (const WatchedLock* each = &lock; each != nullptr; each = each->holder->waits_for) {
    if (each->holder == &job) return true;
  }
  return false;
}

void LockWatch::runs(const LockingJob& job, std::int64_t span_ns) noexcept {
  if (contended_ == 0) return;
  for (WatchedLock& lock : locks_) {
    if (lock.waiters.empty()) continue;
    const WatchedLock::Waiter& waiter = lock.waiters[lock.best];
    if (waiter.priority < job.priority && !holds_up(job, lock)) waiter.job->inverted_ns += span_ns;
  }
}

void LockWatch::close() noexcept {
  for (WatchedLock& lock : locks_) {
    for (WatchedLock::Waiter& waiter : lock.waiters) statistics_.waited_for_lock(*waiter.job);
  }
}

}  // namespace policylab
