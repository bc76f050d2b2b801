// Barrier: a number of tasks wait until all of them have come, again and again.
//
// Owns: who has come since it last opened. Called by tasks; aborted and reset by handles too. Nobody owns a barrier: it
// lends nothing.
//
// 1. Fewer than `parties()` wait: the last to come opens the barrier for all, and the next round begins empty.
// 2. How a wait ended is written into the wait as the barrier opens or breaks: who was let through and has not run yet
//    depends on nothing that happens to the barrier from then on, not even on that it is there.
// 3. Who is cancelled or interrupted while it waits has not come; the barrier does not break, and those who came after it
//    move up. Who was let through already has come.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// A wait at a barrier that was aborted, or reset meanwhile.
class BrokenBarrier : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Barrier {
 public:
  /// Opens when `parties` tasks wait. `name` appears in messages; it must outlive the barrier and those that were let go (a
  /// literal does). The barrier may end as soon as nobody waits.
  /// Errors: std::invalid_argument when `parties` is 0.
  explicit Barrier(std::size_t parties, std::string_view name = {});

  class Arrive;

  /// Waits until `parties()` tasks have come, and gives the place in which this one came: each of 0 to parties() - 1 is
  /// given once.
  /// Suspends: unless it is the last to come; every 64th of the last gives way as a checkpoint does.
  /// Interrupt: it has left, the others wait for somebody else; after the barrier has opened they go on.
  /// Errors: BrokenBarrier when the barrier is broken, or breaks or is reset meanwhile; InvalidStateError outside tasks.
  /// Cost: O(log n); the last O(n log n); a wait that is left O(n). Allocates only until it has seen its fullest round.
  [[nodiscard]] Arrive wait() noexcept;

  /// Breaks the barrier: who waits and who comes gets BrokenBarrier, until a reset.
  void abort() noexcept {
    broken_ = true;
    let_go(Outcome::broken);
  }

  /// Who waits gets BrokenBarrier; the barrier is empty and whole again.
  void reset() noexcept {
    broken_ = false;
    let_go(Outcome::broken);
  }

  std::size_t parties() const noexcept { return parties_; }
  std::size_t n_waiting() const noexcept { return arrived_.size(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { waiters_.count_in(into); }
  bool broken() const noexcept { return broken_; }
  std::string describe() const { return what_.text(); }

 private:
  enum class Outcome : unsigned char { waiting, open, broken };

  void let_go(Outcome outcome) noexcept;

  detail::KindAndName what_;
  WaiterQueue waiters_;
  std::vector<Arrive*> arrived_;  // the same waits, in the order in which they came
  std::size_t parties_;
  bool broken_ = false;
};

class Barrier::Arrive final : public detail::Waiter {
 public:
  explicit Arrive(Barrier& barrier) noexcept : barrier_(barrier) {}

  bool await_ready();
  void await_suspend(std::coroutine_handle<> frame) { suspend(barrier_.waiters_, frame); }
  std::size_t await_resume() const {
    waited();
    gave_way();
    if (outcome_ == Outcome::broken) [[unlikely]] throw_broken();
    return place_;
  }

  AbortResult abort() noexcept override;
  std::string describe() const override;

 private:
  friend class Barrier;

  [[noreturn]] void throw_broken() const;

  Barrier& barrier_;
  std::size_t place_ = 0;
  Outcome outcome_ = Outcome::waiting;
  detail::KindAndName broken_;  // set when it is
};

inline Barrier::Arrive Barrier::wait() noexcept { return Arrive(*this); }

}  // namespace heirloop
