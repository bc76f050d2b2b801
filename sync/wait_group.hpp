// WaitGroup: tasks wait until a count of things under way is down to nothing.
//
// Owns: the count. Called by tasks; counted up and down by handles too. Nobody owns it, so it lends nothing: a TaskGroup
// lends to its children.
//
// 1. `zero_` is set exactly while the count is 0; the count is never negative.
// 2. Who was woken as the count came to 0 goes on, though it be counted up again before it runs.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <heirloop/sync/event.hpp>

namespace heirloop {

class WaitGroup {
 public:
  /// Counts nothing. `name` appears in messages; it must outlive the group (a literal does).
  explicit WaitGroup(std::string_view name = {}) noexcept : name_(name) { zero_.set(); }

  class UntilZero;

  /// `n` more are under way; fewer when it is negative. At 0 all who wait go on, the most urgent first.
  /// Errors: InvalidStateError, with the count as it was, when it would be negative or more than std::ptrdiff_t holds.
  void add(std::ptrdiff_t n = 1);

  /// One has ended. Errors: as `add`.
  void done() { add(-1); }

  /// Waits until the count is 0.
  /// Suspends: unless it is; of those that find it so every 64th gives way as a checkpoint does.
  /// Interrupt: nothing is owed. Errors: InvalidStateError outside tasks. Cost: a load at 0; O(log n) else.
  [[nodiscard]] UntilZero wait() noexcept;

  std::ptrdiff_t count() const noexcept { return count_; }
  std::size_t waiter_count() const noexcept { return zero_.waiter_count(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { zero_.count_waits(into); }
  std::string describe() const { return detail::kind_and_name("WaitGroup", name_); }

 private:
  std::string_view name_;
  Event zero_;
  std::ptrdiff_t count_ = 0;
};

/// A wait for the count to be 0. Derived from by what counts with it, to give it another name.
class WaitGroup::UntilZero : public Event::UntilSet {
 public:
  explicit UntilZero(WaitGroup& group) noexcept : UntilSet(group.zero_), group_(group) {}

  std::string describe() const override {
    return group_.describe() + " with " + std::to_string(group_.count()) + " under way";
  }

 private:
  WaitGroup& group_;
};

inline WaitGroup::UntilZero WaitGroup::wait() noexcept { return UntilZero(*this); }

}  // namespace heirloop
