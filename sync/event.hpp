// Event: a flag that tasks wait for.
//
// Owns: the flag, and the queue of those who wait for it. Called by tasks; set and cleared by handles too. Nobody owns an
// event: it lends nothing.
//
// 1. Nobody waits while the event is set.
// 2. Who was woken by a `set` goes on, though the event be cleared again before it runs.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <heirloop/sync/waiter.hpp>

namespace heirloop {

class Event {
 public:
  /// Not set. `name` appears in messages; it must outlive the event (a literal does).
  explicit Event(std::string_view name = {}) noexcept : name_(name) {}

  class UntilSet;

  /// Waits until the event is set.
  /// Suspends: unless it is set; of those that find it set every 64th gives way as a checkpoint does.
  /// Interrupt: nothing is owed. Errors: InvalidStateError outside tasks. Cost: a load when set; O(log n) when not.
  [[nodiscard]] UntilSet wait() noexcept;

  /// Sets it: all who wait go on, the most urgent first. Cost: O(n log n) in the number of waiters.
  void set() noexcept {
    set_ = true;
    detail::wake_all(waiters_);
  }

  /// From now on tasks wait again.
  void clear() noexcept { set_ = false; }

  bool is_set() const noexcept { return set_; }
  std::size_t waiter_count() const noexcept { return waiters_.size(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { waiters_.count_in(into); }
  std::string describe() const { return detail::kind_and_name("Event", name_); }

 private:
  std::string_view name_;
  WaiterQueue waiters_;
  bool set_ = false;
};

/// A wait for the event. Derived from by what is made of an event, to give it another name.
class Event::UntilSet : public detail::Waiter {
 public:
  explicit UntilSet(Event& event) noexcept : event_(event) {}

  bool await_ready() {
    Task& task = first_await(*this);
    return event_.set_ && goes_on(task);
  }
  void await_suspend(std::coroutine_handle<> frame) { suspend(event_.waiters_, frame); }
  void await_resume() const {
    waited();
    gave_way();
  }

  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return event_.describe() + " to be set"; }

 private:
  Event& event_;
};

inline Event::UntilSet Event::wait() noexcept { return UntilSet(*this); }

}  // namespace heirloop
