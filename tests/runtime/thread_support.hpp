// Jobs that stay on their thread until a test lets them go, and a way to wait for what happens on threads without a look at
// the clock.
#pragma once

#include <heirloop/heirloop.hpp>

#include <atomic>
#include <chrono>

namespace heirloop::testing {

/// A door in a job: the test knows when the job stands there, and opens it.
class Hold {
 public:
  /// On the job's thread.
  void pass() {
    arrived_ = true;
    arrived_.notify_all();
    open_.wait(false);
  }
  void open() {
    open_ = true;
    open_.notify_all();
  }
  bool arrived() const { return arrived_; }

  /// Blocks the calling thread.
  void wait_for_arrival() const { arrived_.wait(false); }

 private:
  std::atomic<bool> arrived_{false};
  std::atomic<bool> open_{false};
};

/// Waits in a task until `happened()`, whatever thread makes it so.
template <class Happened>
Coro<void> until(Happened happened) {
  while (!happened()) co_await sleep(std::chrono::microseconds(50));
}

}  // namespace heirloop::testing
