// Where the items of a queue lie: first in first out, last in first out, smallest first.
//
// Owns: the items. Used by `BasicQueue` only, which alone knows of tasks.
//
// 1. `push` either holds the item or throws with nothing changed; `pop` never fails and is called only while there are
//    items.
// 2. The room for items is kept: nothing allocates once the queue has been as full as it gets.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <heirloop/sync/ring.hpp>

namespace heirloop::detail {

template <class T>
class Fifo : public Ring<T> {
 public:
  static constexpr std::string_view kind = "Queue";
};

template <class T>
class Lifo {
 public:
  static constexpr std::string_view kind = "LifoQueue";

  void push(T&& item) { items_.push_back(std::move(item)); }

  T pop() noexcept {
    T item(std::move(items_.back()));
    items_.pop_back();
    return item;
  }

 private:
  std::vector<T> items_;
};

/// The one that `Before` puts before all others; of equals the first that came. `Before` must not throw.
template <class T, class Before>
class Smallest {
  static_assert(std::is_nothrow_move_assignable_v<T>, "items move in the heap, where nothing may fail");

 public:
  static constexpr std::string_view kind = "PriorityQueue";

  void push(T&& item) {
    heap_.emplace_back(std::move(item), arrivals_);
    ++arrivals_;
    std::push_heap(heap_.begin(), heap_.end(), Behind());
  }

  T pop() noexcept {
    std::pop_heap(heap_.begin(), heap_.end(), Behind());
    T item(std::move(heap_.back().item));
    heap_.pop_back();
    return item;
  }

 private:
  struct Entry {
    Entry(T&& i, std::uint64_t a) noexcept : item(std::move(i)), arrival(a) {}

    T item;
    std::uint64_t arrival;
  };
  struct Behind {
    bool operator()(const Entry& a, const Entry& b) const noexcept {
      const Before before{};
      if (before(b.item, a.item)) return true;
      return !before(a.item, b.item) && b.arrival < a.arrival;
    }
  };

  std::vector<Entry> heap_;
  std::uint64_t arrivals_ = 0;
};

}  // namespace heirloop::detail
