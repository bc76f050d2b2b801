// Timers: the data structure only.
//
// Owns: the order of deadlines. Used by the loop, which dates and fires, and by awaiters, which embed a `Timer`.
//
// A timer set by a relative time is not dated from the cached clock. It stands undated in a list until the loop has
// read the clock, before the next step; so none is early, and one set and removed within a step costs a list link.
//
// 1. A timer is idle, in the undated list, or in the heap.
// 2. Dated timers stand in a 4-ary heap by (deadline, order of dating): equal deadlines fire in that order.
//
// Cost: set and remove undated O(1); dated O(log n). The heap's memory is kept.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace heirloop {

class Timer {
 public:
  using Fire = void (*)(Timer&) noexcept;

  explicit Timer(Fire fire) noexcept : fire_(fire) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  bool is_set() const noexcept { return place_ != Place::idle; }
  bool is_undated() const noexcept { return place_ == Place::undated; }
  bool fires_by(Fire fire) const noexcept { return fire_ == fire; }

  /// The deadline, or that of the last time; of an undated one the span.
  std::int64_t time_ns() const noexcept { return time_ns_; }

 private:
  friend class TimerQueue;
  enum class Place : std::uint8_t { idle, undated, dated };

  Fire fire_;
  std::int64_t time_ns_ = 0;  // undated: the span; dated: the deadline
  union {
    Timer* next_ = nullptr;  // undated list
    std::uint64_t order_;    // dated
  };
  Timer* before_ = nullptr;
  std::uint32_t slot_ = 0;
  Place place_ = Place::idle;
};

class TimerQueue {
 public:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

  bool empty() const noexcept { return heap_.empty() && undated_ == nullptr; }
  bool has_undated() const noexcept { return undated_ != nullptr; }
  std::size_t size() const noexcept { return heap_.size(); }

  /// So long after `now_ns`, or never.
  static std::int64_t deadline(std::int64_t now_ns, std::int64_t span_ns) noexcept {
    return span_ns > never - now_ns ? never : now_ns + span_ns;
  }

  /// Fires `span_ns` after the next reading of the clock.
  void set_after(Timer& timer, std::int64_t span_ns) noexcept;

  /// Fires at `deadline_ns` of the loop's clock.
  void set_at(Timer& timer, std::int64_t deadline_ns);

  void remove(Timer& timer) noexcept;

  /// The same; one that is undated has the deadline then that it would have got at `now_ns`.
  void remove(Timer& timer, std::int64_t now_ns) noexcept;

  /// The deadline, or that of the last time; an undated timer is dated by this reading of the clock.
  std::int64_t deadline_of(Timer& timer, std::int64_t now_ns);

  /// Both are set, or were; `a` fires at a later time than `b`, not merely after it.
  static bool is_later(const Timer& a, const Timer& b) noexcept { return a.is_undated() || a.time_ns_ > b.time_ns_; }

  /// Any that is set, null: none. For the end of a loop.
  Timer* any() const noexcept { return heap_.empty() ? undated_ : heap_.front().timer; }

  /// Turns spans into deadlines.
  void date_all(std::int64_t now_ns);

  std::int64_t next_deadline() const noexcept { return heap_.empty() ? never : heap_.front().deadline_ns; }

  /// Fires what is due, in order of deadline.
  void fire_due(std::int64_t now_ns) noexcept;

 private:
  struct Item {
    std::int64_t deadline_ns;
    Timer* timer;
  };
  static bool before(const Item& a, const Item& b) noexcept {
    if (a.deadline_ns != b.deadline_ns) return a.deadline_ns < b.deadline_ns;
    return a.timer->order_ < b.timer->order_;
  }
  static void moved(const Item& item, std::size_t index) noexcept {
    item.timer->slot_ = static_cast<std::uint32_t>(index);
  }
  void erase(Timer& timer) noexcept;
  void date(Timer& timer, std::int64_t now_ns);
  Timer* undated_ = nullptr;  // last set first
  std::vector<Item> heap_;
  std::uint64_t orders_ = 0;
};

}  // namespace heirloop
