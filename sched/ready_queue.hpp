// The queue of ready entries.
//
// Owns: the order in which ready entries run. Called by the dispatch loop (push, pop) and by everything that changes
// an urgency or a position.
//
// An entry with a priority stands in the ring of its level (entries of one policy level, in arrival order) or, where a
// ring's order would break or no ring is free, in one 4-ary heap. Positional entries stand before both.
//
// 1. Within a ring, (key, arrival) grows from head to tail. The last slot holds an entry, and so does the first, but in
//    the current level; an erased entry leaves a null slot, counted in `holes`. Slots outside head and tail are null.
// 2. `head_key_[l]` is the key of the first entry of level l for every live level but the current one.
// 3. `other_key_` is the smallest key outside the current level, or smaller (then the next pop looks again). While there
//    are positional entries it is `unknown`, which is smaller than all.
// 4. pop() gives the positional entry whose gap is used up, else the smallest (key, priority, arrival).
// 5. Each entry knows its place.
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
  std::size_t size() const noexcept { return size_; }
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
  std::size_t size_ = 0;
};

/// 4-ary heap by (key, priority, arrival), with the key beside the pointer.
class ReadyHeap {
 public:
  bool empty() const noexcept { return items_.empty(); }
  std::size_t size() const noexcept { return items_.size(); }
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
  /// Cost: a look at every level in use.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  /// Sets an urgency; a ready entry takes its new place, with the time and the arrival number it had. A positional
  /// entry stays put.
  void set_urgency(Entry& entry, const Urgency& urgency);

  /// For an entry that is not ready yet, from one that has the urgency already: spares asking the policy.
  static void copy_urgency(Entry& entry, const Entry& from) noexcept {
    entry.urgency_ = from.urgency_;
    entry.level_id_ = from.level_id_;
    entry.level_ = from.level_;
  }

  /// At the end of its own priority.
  void push(Entry& entry, std::int64_t now_ns) {
    entry.ready_time_ = now_ns;
    entry.arrival_ = ++arrivals_;
    Level& level = levels_[entry.level_];
    if (level.id != entry.level_id_) [[unlikely]] return place(entry);
    entry.key_ = (now_ns & time_mask_) + level.offset;
    append(level, entry);
  }

  /// Before all priorities, when `position` others have run, or as soon as nothing ordinary is ready. Promotes nobody.
  /// Cost: O(positional entries in front).
  void push_positional(Entry& entry, std::size_t position, std::int64_t now_ns);

  /// The next to run, taken out; null when nothing is ready.
  Entry* pop() noexcept {
    Level& level = *current_;
    Entry* entry = level.at(level.head);
    if (entry == nullptr || entry->key_ >= other_key_) [[unlikely]] return pop_rarely();
    take(level, *entry);
    return entry;
  }

  void erase(Entry& entry) noexcept;

  /// True when a ready entry comes before an entry with this key.
  bool precedes(std::int64_t key) noexcept {
    if (const Entry* first = current_->first(); first != nullptr && first->key_ < key) return true;
    if (other_key_ == unknown) [[unlikely]] return others_precede(key);
    return other_key_ < key;
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
    std::uint32_t holes = 0;

    std::uint32_t size() const noexcept { return tail - head - holes; }
    bool empty() const noexcept { return size() == 0; }
    Entry*& at(std::uint32_t slot) const noexcept { return ring[slot & mask]; }
    Entry* last() const noexcept { return at(tail - 1); }

    /// Null when the level is empty. Drops the null slots before it.
    Entry* first() noexcept {
      for (; holes != 0 && at(head) == nullptr; --holes) ++head;
      return at(head);
    }
  };

  static constexpr std::uint32_t large_ring = 4096;  // entries; what fewer tasks touch fits into the nearer caches
  static constexpr std::int64_t nothing = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();

  std::uint8_t index_of(const Level& level) const noexcept { return static_cast<std::uint8_t>(&level - levels_); }

  void append(Level& level, Entry& entry) {
    // Neither empty nor full, in one comparison.
    if (level.tail - level.head - 1 >= level.mask) [[unlikely]] return append_rarely(level, entry);
    append_now(level, entry);
  }
  static void append_now(Level& level, Entry& entry) noexcept {
    level.at(level.tail) = &entry;
    entry.slot_ = level.tail++;
    entry.place_ = Entry::Place::ring;
  }

  static void take(Level& level, Entry& entry) noexcept {
    level.at(level.head++) = nullptr;
    entry.place_ = Entry::Place::none;
    if (level.mask >= large_ring) [[unlikely]] {
      // Among many scattered tasks each cache miss would wait for the one before it: ask for the entries ahead now, and
      // a little later, when they have come, for their frames.
      __builtin_prefetch(level.at(level.head + 24));
      if (const Entry* soon = level.at(level.head + 12)) {
        const char* frame = static_cast<const char*>(soon->resume_.address());
        __builtin_prefetch(frame);
        __builtin_prefetch(frame + 64);
      }
    }
  }

  void append_rarely(Level& level, Entry& entry);
  static void make_room(Level& level);
  void place(Entry& entry);
  Level* level_for(Entry& entry);
  Entry* pop_rarely() noexcept;
  Entry* pop_elsewhere() noexcept;
  bool others_precede(std::int64_t key) noexcept;
  void erase_ordinary(Entry& entry) noexcept;
  void front_changed(Level& level) noexcept;

  Level* current_ = nullptr;
  std::int64_t other_key_ = nothing;
  std::int64_t time_mask_;
  std::uint64_t arrivals_ = 0;
  detail::PositionalList positional_;
  Level levels_[max_levels];
  std::uint32_t levels_used_ = 0;
  std::uint64_t live_levels_ = 0;  // may still show an emptied current level
  std::int64_t head_key_[max_levels] = {};
  detail::ReadyHeap heap_;
  std::unique_ptr<Policy> policy_;
};

}  // namespace heirloop
