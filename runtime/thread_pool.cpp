#include <heirloop/runtime/thread_pool.hpp>

#include <algorithm>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop {
namespace detail {

void Job::run() noexcept {
  ContextSlot context;
  context.copy_of(context_.word);
  std::swap(thread_context, context.word);
  call();
  std::swap(thread_context, context.word);
}

void Job::drop() noexcept {
  if (const std::exception_ptr* dropped = error()) {
    logger().error("a job in a thread failed, and nobody waited for it any more: {}", describe_exception(*dropped));
  }
}

/// The completion: between two steps of the loop.
void Job::ended() noexcept { pool_->ended(*this); }

void JobWait::await_suspend(std::coroutine_handle<> frame) {
  Loop& loop = Loop::current();
  if (job_ == nullptr || job_->pool_ != nullptr) throw InvalidStateError("a job in a thread is awaited once");
  if (&loop != &pool_.loop_) throw InvalidStateError("this thread pool belongs to another loop");
  pool_.prepare();
  job_->pool_ = &pool_;
  job_->context_.copy_of_current();
  enter_queue(loop, node_, pool_.queue_);
  loop.block(*this, frame);
  pool_.hand_over();
}

void JobWait::waited() const {
  Loop::resumed();
  if (refused_) throw InvalidStateError("the thread pool was closed before the job began");
}

AbortResult JobWait::abort() noexcept {
  switch (job_->state_) {
    case Job::State::queued:
      return AbortResult::done;
    case Job::State::ended:
      job_->drop();
      return AbortResult::done;
    case Job::State::running:
      break;
  }
  job_->request_stop();
  if (when_left_ == WhenLeft::waits) return AbortResult::pending;
  std::exchange(job_, nullptr)->waiter_ = nullptr;
  return AbortResult::done;
}

std::string JobWait::describe() const {
  if (job_ == nullptr) return "an abandoned job in a thread";
  return job_->state_ == Job::State::queued ? "a thread for a job" : "the end of a job in a thread";
}

}  // namespace detail

using detail::Job;
using detail::JobWait;

ThreadPool::ThreadPool(unsigned threads, Loop& loop) : loop_(loop), most_(threads) {
  if (threads == 0) throw std::invalid_argument("a thread pool needs one thread at least");
}

unsigned ThreadPool::default_threads() noexcept { return std::min(32U, std::thread::hardware_concurrency() + 4); }

void ThreadPool::prepare() {
  if (closed_) throw InvalidStateError("this thread pool was closed");
  if (free_ > 0 || threads_.size() == most_) return;
  try {
    threads_.emplace_back([this] { work(); });
    ++free_;
  } catch (const std::system_error&) {
    if (threads_.empty()) throw;  // else the job waits for one of those that are there
  }
}

void ThreadPool::hand_over() noexcept {
  while (free_ > 0) {
    WaitNode* node = queue_.next();
    if (node == nullptr) return;
    auto& wait = static_cast<JobWait&>(node->wait());
    leave_queues(wait);  // the wait itself goes on
    start(*wait.job_);
  }
}

void ThreadPool::start(Job& job) noexcept {
  --free_;
  job.state_ = Job::State::running;
  job.next_ = nullptr;
  {
    const std::lock_guard guard(mutex_);
    (last_ != nullptr ? last_->next_ : first_) = &job;
    last_ = &job;
  }
  changed_.notify_one();
}

/// What a thread does.
void ThreadPool::work() noexcept {
  std::unique_lock guard(mutex_);
  for (;;) {
    changed_.wait(guard, [this] { return first_ != nullptr || closing_; });
    Job* job = first_;
    if (job == nullptr) return;
    first_ = job->next_;
    if (first_ == nullptr) last_ = nullptr;
    guard.unlock();
    job->run();
    loop_.post_completion(job->completion_);  // from here on the job belongs to the loop's thread
    guard.lock();
  }
}

void ThreadPool::ended(Job& job) noexcept {
  ++free_;
  job.state_ = Job::State::ended;
  if (JobWait* wait = job.waiter_) {
    if (wait->is_withdrawn()) job.drop();
    loop_.wake(*wait);
  } else {
    job.drop();
    delete &job;
  }
  hand_over();
}

void ThreadPool::close() noexcept {
  if (std::exchange(closed_, true)) return;
  while (WaitNode* node = queue_.next()) {
    auto& wait = static_cast<JobWait&>(node->wait());
    wait.refused_ = true;
    loop_.wake(wait);
  }
  {
    const std::lock_guard guard(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  loop_.take_posts();  // the completions among them
  threads_.clear();
  free_ = 0;
}

}  // namespace heirloop
