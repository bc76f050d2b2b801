// The queue of ready entries.
//
// Owns: the order in which ready entries run. Called by the dispatch loop (push, pop) and by everything that changes
// an urgency or a position.
//
// An entry with a priority stands in the ring of its level (entries of one policy level, in arrival order) or, where a
// ring's order would break or no ring is free, in one 4-ary heap. Positional entries stand before both.
//
// 1. Within a ring, (key, arrival) grows from head to tail; erased entries leave a null slot.
// 2. `head_key_[l]` is the key of the first entry of level l for every live level but the current one.
// 3. `other_key_` is the smallest key outside the current level, or smaller (then the next pop looks again).
// 4. pop() gives the positional entry whose gap is used up, else the smallest (key, priority, arrival).
// 5. `size_` counts all entries; each entry knows its place.
//
// Cost: push and pop O(1) while at most 64 levels are in use, O(log n) in the heap; leaving a level costs a look at
// every live level. Memory is kept; nothing is allocated in steady state.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <heirloop/sched/entry.hpp>
#include <heirloop/sched/policy.hpp>

namespace heirloop {
namespace detail {

/// The order of ordinary entries: key, then priority between levels, then arrival.
bool runs_before(const Entry& a, const Entry& b) noexcept;

/// Entries by position, front first. An entry's slot is its gap: the ordinary pops between the entry before it and
/// itself.
class PositionalList {
 public:
  bool empty() const noexcept { return front_ == nullptr; }
  Entry* front() const noexcept { return front_; }
  bool front_due() const noexcept { return front_->slot_ == 0; }
  void ordinary_popped() noexcept { --front_->slot_; }

  /// Runs when `position` others have run. Cost: O(entries in front).
  void insert(Entry& entry, std::size_t position) noexcept;

  /// What is left of the gap, and `own` for the place itself, go to the entry behind.
  void erase(Entry& entry, std::uint32_t own) noexcept;

  template <class F>
  void for_each(F&& visit) const {
    for (Entry* e = front_; e != nullptr; e = e->behind_) visit(*e, e->slot_);
  }

 private:
  Entry* front_ = nullptr;
};

/// 4-ary heap by (key, priority, arrival), with the key beside the pointer.
class ReadyHeap {
 public:
  bool empty() const noexcept { return items_.empty(); }
  Entry* top() const noexcept { return items_.front().entry; }
  std::int64_t top_key() const noexcept {
    return items_.empty() ? std::numeric_limits<std::int64_t>::max() : items_.front().key;
  }
  void push(Entry& entry);
  void erase(Entry& entry) noexcept;

  template <class F>
  void for_each(F&& visit) const {
    for (const Item& item : items_) visit(*item.entry);
  }

 private:
  struct Item {
    std::int64_t key;
    Entry* entry;
  };
  static bool before(const Item& a, const Item& b) noexcept;
  static void moved(const Item& item, std::size_t index) noexcept;

  std::vector<Item> items_;
};

}  // namespace detail

class ReadyQueue {
 public:
  static constexpr std::size_t max_levels = 64;

  explicit ReadyQueue(std::unique_ptr<Policy> policy);
  ~ReadyQueue();
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  const Policy& policy() const noexcept { return *policy_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Sets an urgency; a ready entry takes its new place, with the time and the arrival number it had. A positional
  /// entry stays put.
  void set_urgency(Entry& entry, const Urgency& urgency);

  /// At the end of its own priority.
  void push(Entry& entry, std::int64_t now_ns) {
    entry.ready_time_ = now_ns;
    entry.arrival_ = ++arrivals_;
    ++size_;
    Level& level = levels_[entry.level_];
    if (level.id != entry.level_id_) [[unlikely]] {
      place(entry);
      return;
    }
    const std::int64_t key = (now_ns & time_mask_) + level.offset;
    entry.key_ = key;
    append(level, entry);
  }

  /// Before all priorities, when `position` others have run, or as soon as nothing ordinary is ready. Promotes nobody.
  /// Cost: O(positional entries in front).
  void push_positional(Entry& entry, std::size_t position, std::int64_t now_ns);

  /// The next to run, taken out; null when nothing is ready.
  Entry* pop() noexcept {
    if (!positional_.empty()) [[unlikely]] return pop_positional();
    return pop_ordinary();
  }

  void erase(Entry& entry) noexcept;

  /// True when a ready entry comes before an entry with this key.
  bool precedes(std::int64_t key) noexcept {
    if (!positional_.empty()) [[unlikely]] return positional_.front_due() || precedes_ordinary(key);
    return precedes_ordinary(key);
  }

  /// All entries in the order in which they would be popped. Cost: O(n log n), allocates; for introspection.
  std::vector<Entry*> in_pop_order() const;

  /// Asserts the numbered invariants. Cost: O(n).
  void check_invariants() const;

 private:
  struct Level {
    std::int64_t id = 0;
    std::int64_t offset = 0;
    Entry** ring = nullptr;
    std::uint32_t mask = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    std::uint32_t live = 0;
    std::int64_t last_key = 0;
    std::uint64_t last_arrival = 0;
  };

  static constexpr std::int64_t nothing = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();

  std::uint8_t index_of(const Level& level) const noexcept {
    return static_cast<std::uint8_t>(&level - levels_.get());
  }

  /// The first live entry; null slots before it are dropped. The level is live.
  static Entry* front(Level& level) noexcept {
    Entry* entry = level.ring[level.head & level.mask];
    while (entry == nullptr) [[unlikely]] entry = level.ring[++level.head & level.mask];
    return entry;
  }

  void append(Level& level, Entry& entry) {
    if (level.tail - level.head > level.mask) [[unlikely]] make_room(level);
    level.ring[level.tail & level.mask] = &entry;
    entry.slot_ = level.tail++;
    entry.place_ = Entry::Place::ring;
    level.last_key = entry.key_;
    level.last_arrival = entry.arrival_;
    if (level.live++ == 0) [[unlikely]] opened(level, entry.key_);
  }

  Entry* pop_ordinary() noexcept {
    Level& level = *current_;
    if (level.live == 0) [[unlikely]] return pop_elsewhere();
    Entry* entry = front(level);
    if (entry->key_ >= other_key_) [[unlikely]] return pop_elsewhere();
    take(level, *entry);
    return entry;
  }

  void take(Level& level, Entry& entry) noexcept {
    ++level.head;
    --level.live;
    --size_;
    entry.place_ = Entry::Place::none;
    // Each miss on scattered tasks would wait for the one before it; ask for the ones ahead now.
    __builtin_prefetch(level.ring[(level.head + 4) & level.mask]);
  }

  bool precedes_ordinary(std::int64_t key) noexcept {
    if (current_->live != 0 && front(*current_)->key_ < key) return true;
    if (other_key_ == unknown) [[unlikely]] look_at_others();
    return other_key_ < key;
  }

  void opened(Level& level, std::int64_t key) noexcept;
  void make_room(Level& level);
  void place(Entry& entry);
  Level* level_for(Entry& entry);
  Entry* pop_positional() noexcept;
  Entry* pop_elsewhere() noexcept;
  void look_at_others() noexcept;
  void erase_ordinary(Entry& entry) noexcept;
  void front_changed(Level& level) noexcept;

  Level* current_ = nullptr;
  std::int64_t other_key_ = nothing;
  std::int64_t time_mask_;
  std::uint64_t arrivals_ = 0;
  std::size_t size_ = 0;
  detail::PositionalList positional_;
  std::unique_ptr<Level[]> levels_;
  std::uint32_t levels_used_ = 0;
  std::uint64_t live_levels_ = 0;  // may still show an emptied current level
  std::int64_t head_key_[max_levels] = {};
  detail::ReadyHeap heap_;
  std::unique_ptr<Policy> policy_;
};

}  // namespace heirloop
