// Threads for what would block the loop, and the jobs that they run.
//
// Owns: the threads, the queue of the jobs that wait for one, and a job from its start to its end. Called by the awaiters of
// jobs on the loop's thread; its own threads run the jobs' functions.
//
//   new ──▶ queued ──hand over──▶ running ──▶ ended ──▶ delivered
//             └──left: never ran      └──left: its wait goes on to the end, or the job goes on alone
//
// 1. The waits of queued jobs stand in one waiter queue on the loop's side: inheritance and `set_priority` keep them in
//    order as everywhere, so that a job has the effective urgency of its awaiter as long as it is queued.
// 2. A job goes to a thread when one is free, never before: as many are handed over as there are threads, at most. The loop
//    hands over, between two steps.
// 3. A thread touches the job's function, its result and what the mutex guards. A job's memory is taken and given back on
//    the loop's thread, and the function and the result are destroyed there.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <heirloop/sched/context.hpp>
#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/loop.hpp>

namespace heirloop {

class ThreadPool;

/// What becomes of a job that has begun when its awaiter is cancelled, interrupted or timed out. One that has not begun is
/// removed, and never runs.
enum class WhenLeft : std::uint8_t {
  waits,     ///< the awaiter leaves when the job has ended; the exception is delivered then
  abandons,  ///< the awaiter leaves at once; the job runs on
};

namespace detail {

class JobWait;

/// One function for a thread, with room for its outcome.
class Job {
 public:
  enum class State : std::uint8_t { queued, running, ended };

  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  /// On a thread: calls the function in a copy of the context, and keeps the outcome.
  void run() noexcept;

  /// Tells a function that takes a std::stop_token that nobody waits for it.
  virtual void request_stop() noexcept = 0;

  /// The outcome is not wanted: an exception is logged.
  void drop() noexcept;

 protected:
  Job() noexcept : completion_([this] { ended(); }, Callback::Origin::completion) {}

 private:
  friend class JobWait;
  friend class heirloop::ThreadPool;

  virtual void call() noexcept = 0;
  virtual const std::exception_ptr* error() const noexcept = 0;  // null: none, also when it was `Cancelled`
  void ended() noexcept;

  State state_ = State::queued;
  JobWait* waiter_ = nullptr;  // null: abandoned
  ThreadPool* pool_ = nullptr;
  Job* next_ = nullptr;  // among those handed over
  ContextSlot context_;
  Callback completion_;
};

/// One task's wait for the end of a job. Owns the job, unless it has abandoned it.
class JobWait : public Wait {
 public:
  JobWait(ThreadPool& pool, Job* job, WhenLeft when_left) noexcept
      : pool_(pool), job_(job), when_left_(when_left), node_(*this) {
    job->waiter_ = this;
  }

  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame);
  AbortResult abort() noexcept override;
  std::string describe() const override;

 protected:
  ~JobWait() { delete job_; }

  /// Throws what is pending for the task, or that the pool was closed; else the job has ended.
  void waited() const;

 private:
  friend class heirloop::ThreadPool;
  friend class Job;

  ThreadPool& pool_;
  Job* job_;
  WhenLeft when_left_;
  bool refused_ = false;
  WaitNode node_;
};

}  // namespace detail

/// A bounded number of threads for one loop. `to_thread` uses the runtime's own; make one to bound what a part of a program
/// takes. Belongs to the loop's thread, and ends before the loop does. Needs a loop on a real driver: virtual time does not
/// wait for threads.
class ThreadPool {
 public:
  /// Threads are started as jobs need them.
  /// Errors: std::invalid_argument for zero threads; InvalidStateError outside a loop.
  explicit ThreadPool(unsigned threads = default_threads(), Loop& loop = Loop::current());

  /// As `close`.
  ~ThreadPool() { close(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  /// The number of cores and four, 32 at most.
  static unsigned default_threads() noexcept;

  /// Takes no more jobs. Who waits for one that has not begun gets InvalidStateError; the others, abandoned ones too, run to
  /// their end, and the threads are joined. Blocks the calling thread until then: a job that waits for this loop in turn
  /// never ends.
  void close() noexcept;

  unsigned size() const noexcept { return most_; }
  std::size_t queued() const noexcept { return queue_.size(); }

  /// Jobs that have begun and not ended, abandoned ones too, as far as the loop knows.
  std::size_t running() const noexcept { return threads_.size() - free_; }

 private:
  friend class detail::Job;
  friend class detail::JobWait;

  /// A job is about to be queued. Errors: InvalidStateError; std::system_error when the first thread can't be started.
  void prepare();
  void hand_over() noexcept;
  void start(detail::Job& job) noexcept;
  void ended(detail::Job& job) noexcept;
  void work() noexcept;

  Loop& loop_;
  WaiterQueue queue_;
  const unsigned most_;
  std::size_t free_ = 0;  // threads without a job
  bool closed_ = false;
  std::vector<std::thread> threads_;

  std::mutex mutex_;
  std::condition_variable changed_;
  detail::Job* first_ = nullptr;  // handed over, and not yet taken by a thread
  detail::Job* last_ = nullptr;
  bool closing_ = false;
};

}  // namespace heirloop
