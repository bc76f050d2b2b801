// `PosPriorityQueue<T>`: the order of the ready queue over plain values.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <heirloop/sched/frame_pool.hpp>
#include <heirloop/sched/ready_queue.hpp>

namespace heirloop {

/// Values by priority, lower first, first in first out among equals; and by position, before all priorities. Independent of
/// any loop. Not thread-safe. Cost: as the ready queue's under `strict`, and a recycled block a value.
template <class T>
class PosPriorityQueue {
 public:
  /// `priority_of(value)` is asked as a value is appended, and for all by `reschedule_all`.
  explicit PosPriorityQueue(std::function<double(const T&)> priority_of) : priority_of_(std::move(priority_of)) {}
  PosPriorityQueue(const PosPriorityQueue&) = delete;
  PosPriorityQueue& operator=(const PosPriorityQueue&) = delete;
  ~PosPriorityQueue() { clear(); }

  std::size_t size() const noexcept { return queue_.size(); }
  bool empty() const noexcept { return queue_.empty(); }
  void clear() noexcept {
    while (Entry* entry = queue_.pop()) delete static_cast<Item*>(entry);
  }

  /// By its own priority. Errors: std::invalid_argument for NaN; nothing has changed then.
  void append(T value) {
    const double priority = priority_of_(value);
    append_pri(std::move(value), priority);
  }

  /// By this priority, until `reschedule_all`. Errors: std::invalid_argument for NaN; nothing has changed then.
  void append_pri(T value, double priority) {
    const double checked = checked_priority(priority);
    auto item = std::make_unique<Item>(std::move(value));
    queue_.set_urgency(*item, Urgency{checked});
    queue_.push(*item.release(), 0);
  }

  /// Comes out when `position` others have, and those put in before it later, or as soon as only values with a position
  /// are left in front of it. Cost: O(values with a position in front).
  void insert(std::size_t position, T value) {
    queue_.push_positional(*std::make_unique<Item>(std::move(value)).release(), position, 0);
  }

  /// Takes out the first. Errors: std::out_of_range when empty.
  T popleft() {
    Entry* entry = queue_.pop();
    if (entry == nullptr) throw std::out_of_range("popleft from an empty PosPriorityQueue");
    return take(*static_cast<Item*>(entry));
  }

  /// The first value, in the order of coming out, for which `wanted` is true; null: none. Valid until it is taken out.
  /// Cost: O(n log n); allocates.
  template <class Wanted>
  const T* find(Wanted&& wanted) const {
    const Item* item = first(wanted);
    return item == nullptr ? nullptr : &item->value;
  }

  /// Takes out the first value equal to this one; false when there is none. Cost: as `find`.
  bool remove(const T& value) {
    return remove_if([&](const T& other) { return other == value; });
  }
  template <class Wanted>
  bool remove_if(Wanted&& wanted) {
    Item* item = first(wanted);
    if (item == nullptr) return false;
    queue_.erase(*item);
    delete item;
    return true;
  }

  /// Gives the first value for which `wanted` is true another priority; it keeps its arrival. A value with a position
  /// keeps that. Null when there is none. Errors: std::invalid_argument for NaN. Cost: as `find`.
  template <class Wanted>
  const T* reschedule(Wanted&& wanted, double priority) {
    const double checked = checked_priority(priority);
    Item* item = first(wanted);
    if (item == nullptr) return nullptr;
    queue_.set_urgency(*item, Urgency{checked});
    return &item->value;
  }

  /// Asks every value for its priority again; those with a position keep it. Errors: std::invalid_argument for NaN, and
  /// what `priority_of` throws; nothing has changed then. Cost: O(n log n); allocates.
  void reschedule_all() {
    std::vector<std::pair<Item*, double>> all;
    queue_.for_each_ordinary([&](Entry& entry) { all.emplace_back(static_cast<Item*>(&entry), 0.0); });
    for (auto& [item, priority] : all) priority = checked_priority(priority_of_(item->value));
    for (const auto& [item, priority] : all) queue_.set_urgency(*item, Urgency{priority});
  }

  /// In the order of coming out. Cost: O(n log n); allocates.
  std::vector<std::reference_wrapper<const T>> ordered() const {
    std::vector<std::reference_wrapper<const T>> values;
    for (const Entry* entry : queue_.in_pop_order()) values.push_back(static_cast<const Item*>(entry)->value);
    return values;
  }

 private:
  struct Item final : Entry, detail::Pooled {
    explicit Item(T its_value) : Entry(Kind::handle), value(std::move(its_value)) {}
    T value;
  };

  template <class Wanted>
  Item* first(Wanted& wanted) const {
    for (Entry* entry : queue_.in_pop_order()) {
      auto* item = static_cast<Item*>(entry);
      if (wanted(std::as_const(item->value))) return item;
    }
    return nullptr;
  }

  static T take(Item& item) {
    const std::unique_ptr<Item> owned(&item);
    return std::move(owned->value);
  }

  std::function<double(const T&)> priority_of_;
  ReadyQueue queue_{make_policy(PolicyKind::strict)};
};

}  // namespace heirloop
