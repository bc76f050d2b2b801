// What the dispatch loop needs from the kernel, or from a simulation of it.
//
// Owns: the interface. Implemented by the io_uring driver (io/) and the simulated driver (runtime/testing/).
//
// 1. All calls but `wake` come from the loop's thread.
// 2. Nothing that a driver does runs user code: a completion makes an entry ready, and the loop goes on.
// 3. Before it delivers completions a driver brings the loop's clock up to date: what they make ready is ready now.
// 4. What waits to be submitted is told to the loop, which asks before each step until nothing does.
#pragma once

#include <cstdint>
#include <limits>

#include <heirloop/sched/priority.hpp>

namespace heirloop {

class Driver {
 public:
  static constexpr std::int64_t no_deadline = std::numeric_limits<std::int64_t>::max();

  virtual ~Driver() = default;

  /// Looked at between every two steps: a load of what others write, no call. Not 0 when completions may be there.
  unsigned look() const noexcept { return __atomic_load_n(look_.word, __ATOMIC_RELAXED) ^ look_.quiet; }
  bool completions_pending() const noexcept { return look() != 0; }

  /// True when something queued has not been submitted.
  bool holds_anything() const noexcept { return !queued_urgency_.is_none(); }

  /// True when something queued by a more urgent task than `next` has not been submitted.
  bool holds_more_urgent_than(const Urgency& next) const noexcept { return more_urgent(queued_urgency_, next); }

  /// The clock of all timers: monotonic, nanoseconds.
  virtual std::int64_t now_ns() noexcept = 0;

  /// True when that is the time by which processors run; false: a test's.
  bool keeps_real_time() const noexcept { return keeps_real_time_; }

  /// What the loop lets its driver write: its cached clock, and `attend_at`, which becomes 0 when something is queued to be
  /// submitted. Null: there is no loop any more.
  void serve(std::int64_t* loop_clock_ns, std::uint64_t* attend_at) noexcept {
    loop_clock_ns_ = loop_clock_ns;
    attend_at_ = attend_at;
  }

  /// Takes completions until none is left or `budget_ns` is used up.
  virtual void harvest(std::int64_t budget_ns) = 0;

  /// Submits what is queued, without waiting.
  virtual void submit() = 0;

  /// Submits, waits for a completion, a wake or the deadline (absolute, `no_deadline` for none), and harvests: one
  /// system call.
  virtual void wait(std::int64_t deadline_ns) = 0;

  /// Makes `completions_pending` true at about `deadline_ns`, also while the loop is busy. A later call replaces an
  /// earlier one.
  virtual void set_tick(std::int64_t deadline_ns) = 0;

  /// Ends a `wait`, now or the next one. From any thread; async-signal-safe.
  virtual void wake() noexcept = 0;

 protected:
  /// While the word is not `quiet`, a completion may be there.
  struct Look {
    const unsigned* word;
    unsigned quiet;
  };
  static constexpr unsigned no_word = 0;
  static constexpr Look nothing_comes{&no_word, 0};
  static constexpr Look something_came{&no_word, 1};
  Look look_ = nothing_comes;

  void bring_clock_up_to_date() noexcept {
    if (loop_clock_ns_ != nullptr) *loop_clock_ns_ = now_ns();
  }

  /// The best urgency among what is queued and not submitted; Urgency::none() when nothing is.
  const Urgency& queued_urgency() const noexcept { return queued_urgency_; }
  void set_queued_urgency(const Urgency& best) noexcept {
    queued_urgency_ = best;
    if (holds_anything() && attend_at_ != nullptr) *attend_at_ = 0;
  }

  bool keeps_real_time_ = false;

 private:
  Urgency queued_urgency_ = Urgency::none();
  std::int64_t* loop_clock_ns_ = nullptr;
  std::uint64_t* attend_at_ = nullptr;
};

}  // namespace heirloop
