// The queue of ready entries.
//
// Owns: the order in which ready entries run. Called by the dispatch loop (push, pop) and by everything that changes
// an urgency or a position.
//
// An entry with a priority stands in the ring of its level (entries of one policy level, in arrival order) or, where a
// ring's order would break or no ring is free, in a 4-ary heap. Positional entries stand before both. Under a policy that
// divides the processor, each group has levels and a heap of its own; else there is one such part.
//
// 1. Within a ring, (key, arrival) grows from head to tail. The last slot holds an entry, and so does the first, but in
//    the current level; an erased entry leaves a null slot, counted in `holes`. Slots outside head and tail are null.
// 2. `head_key_[l]` is the key of the first entry of level l for every live level but the current one.
// 3. `other_key_` is the smallest key outside the current level, or smaller (then the next pop looks again). While there
//    are positional entries it is `unknown`, which is smaller than all. Under a policy that divides this holds within
//    the part that keeps its turn; between turns `other_key_` is `unknown` and no level is current.
// 4. pop() gives the positional entry whose gap is used up, else the smallest (key, priority, arrival) of the part that
//    the policy chooses.
// 5. Each entry knows its place.
// 6. A level has a new ticket whenever it is given to other urgencies: an entry that holds the ticket belongs to it. A level
//    that has not been given up is found by its id and part; no two have the same.
//
// Cost: push and pop O(1) while at most 64 levels are in use, O(log n) in the heap; leaving a level costs a look at
// every live level. Memory is kept; nothing is allocated in steady state.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include <heirloop/sched/entry.hpp>
#include <heirloop/sched/group.hpp>
#include <heirloop/sched/policy.hpp>

namespace heirloop {
namespace detail {

/// The order of ordinary entries: key, then priority where the policy says so, then arrival.
struct RunsBefore {
  bool priority_breaks_ties;
  std::uint64_t tie_salt = 0;  // not 0: a seeded order of arrivals instead of theirs
  bool operator()(const Entry& a, const Entry& b) const noexcept {
    if (a.key_ != b.key_) return a.key_ < b.key_;
    if (priority_breaks_ties && a.urgency_.priority != b.urgency_.priority) {
      return a.urgency_.priority < b.urgency_.priority;
    }
    return tie_salt == 0 ? a.arrival_ < b.arrival_ : mixed(a.arrival_) < mixed(b.arrival_);
  }

 private:
  /// One to one, so that no two are equal (the finisher of MurmurHash3).
  std::uint64_t mixed(std::uint64_t arrival) const noexcept {
    std::uint64_t x = arrival ^ tie_salt;
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdU;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53U;
    return x ^ (x >> 33);
  }
};

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

/// 4-ary heap by (key, priority, arrival). What a move touches lies close together: the items hold the keys, and an item's
/// index stands in an array of its own, not in the entry, whose slot is its number in that array.
class ReadyHeap {
 public:
  bool empty() const noexcept { return items_.empty(); }
  std::size_t size() const noexcept { return items_.size(); }
  Entry* top() const noexcept { return at(0); }
  Entry* at(std::size_t index) const noexcept { return places_[items_[index].number].entry; }
  std::int64_t top_key() const noexcept {
    return items_.empty() ? std::numeric_limits<std::int64_t>::max() : items_.front().key;
  }
  void push(Entry& entry, RunsBefore order);
  void erase(Entry& entry, RunsBefore order) noexcept;

  template <class F>
  void for_each(F&& visit) const {
    for (const Item& item : items_) visit(*places_[item.number].entry);
  }

 private:
  struct Item {
    std::int64_t key;
    std::uint32_t number;
  };
  struct Place {
    Entry* entry;
    std::uint32_t index;  // among the items; of a free place: the next free one
  };
  auto before(RunsBefore order) const noexcept {
    return [this, order](const Item& a, const Item& b) {
      return a.key != b.key ? a.key < b.key : order(*places_[a.number].entry, *places_[b.number].entry);
    };
  }
  auto moved() noexcept {
    return [this](const Item& item, std::size_t index) { places_[item.number].index = static_cast<std::uint32_t>(index); };
  }

  std::vector<Item> items_;
  std::vector<Place> places_;
  std::uint32_t free_ = 0;  // the first free place; places_.size(): none
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
  Policy& policy() noexcept { return *policy_; }

  /// Every ready entry stays ready, with the time and the arrival number it had; those with a position keep it. Handles
  /// keep their priority; `settle_urgencies` sets the urgencies of tasks while none of them has a place.
  /// Cost: O(n log n); allocates.
  void set_policy(std::unique_ptr<Policy> policy, const std::function<void()>& settle_urgencies);

  /// Entries of equal key and priority run in an order of this seed instead of first in, first out: to find programs that
  /// rest on it. Before the first entry. All stand in the heap then.
  void break_ties(std::uint64_t seed) noexcept { order_.tie_salt = seed | std::uint64_t{1} << 63; }

  /// Cost: a look at every level in use.
  std::size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  /// How many entries became ready so far.
  std::uint64_t arrivals() const noexcept { return arrivals_; }

  /// Sets an urgency; a ready entry takes its new place, with the time and the arrival number it had. A positional
  /// entry stays put.
  void set_urgency(Entry& entry, const Urgency& urgency);

  /// The entry runs: it is compared by the key that it has under this policy.
  void renew_key(Entry& running) const noexcept { running.key_ = policy_->key(running.urgency_, running.ready_time_); }

  /// For policies: until it runs or its urgency changes, a ready entry without a position stands by this key.
  void rekey(Entry& entry, std::int64_t key);

  /// At the end of its own priority.
  void push(Entry& entry, std::int64_t now_ns) {
    entry.ready_time_ = now_ns;
    entry.arrival_ = ++arrivals_;
    Level& level = *current_;  // mostly of the task that runs, and gives way or wakes others like itself
    if (level.ticket != entry.ticket_) [[unlikely]] return push_elsewhere(entry);
    entry.key_ = (now_ns & time_mask_) + level.offset;
    if (level.is_full()) [[unlikely]] make_room(level);
    append_now(level, entry);
  }

  /// Before all priorities, when `position` others have run, or as soon as nothing ordinary is ready. Promotes nobody.
  /// Cost: O(positional entries in front).
  void push_positional(Entry& entry, std::size_t position, std::int64_t now_ns);

  /// A ready entry takes a position instead of where it stands; it is ready since the same time.
  /// Cost: O(positional entries in front).
  void reposition(Entry& entry, std::size_t position);

  /// n > 0: the last n come to the front; n < 0: the first −n to the end. What is moved has a position then.
  /// Cost: O(size log size + n · positional entries); allocates.
  void rotate(std::ptrdiff_t n);

  /// At the end of another priority, until it runs or its urgency changes.
  void push_at_priority(Entry& entry, double priority, std::int64_t now_ns);

  /// Every entry without a position stands again where its urgency and its time put it. Cost: O(n log n); allocates.
  void replace_all();

  /// The next to run, taken out; null when nothing is ready.
  Entry* pop() noexcept {
    Level& level = *current_;
    Entry* entry = level.at(level.head);
    if (entry == nullptr || entry->key_ >= other_key_) [[unlikely]] return pop_rarely();
    take(level, *entry);
    return entry;
  }

  /// The same, where it does not run: a task counts as taken out.
  Entry* take_out() noexcept {
    Entry* entry = pop();
    if (entry != nullptr) entry->standing_.state = TaskState::ready;
    return entry;
  }

  void erase(Entry& entry) noexcept;

  /// True when a ready entry should run before one goes on that was chosen by this key and has this urgency.
  bool precedes(std::int64_t key, const Urgency& urgency) noexcept {
    if (other_key_ == unknown) [[unlikely]] return others_precede(key, urgency);
    if (other_key_ < key) return true;
    const Entry* first = current_->first();
    return first != nullptr && first->key_ < key;
  }

  /// Grows whenever a ready entry may have come to precede the running one. Under a policy that divides that also hangs on time.
  std::uint64_t changes() const noexcept { return arrivals_ + moves_; }
  bool divides() const noexcept { return division_ != nullptr; }

  /// The ready entries without a position, in no order.
  template <class F>
  void for_each_ordinary(F&& visit) const {
    for (std::uint32_t i = 0; i < levels_used_; ++i) {
      const Level& level = levels_[i];
      for (std::uint32_t at = level.head; at != level.tail; ++at) {
        if (Entry* entry = level.at(at)) visit(*entry);
      }
    }
    for (const Part& part : parts_) part.heap.for_each(visit);
  }

  /// For policies that divide: the next pop asks `choose`.
  void choose_again() noexcept;

  /// For policies: one that has waited longest at some level, or any of the heap; null when it finds none.
  Entry* sample(std::uint64_t draw) noexcept;

  /// The entry of this group that would run first, null when none is ready. 0: of all, unless the policy divides.
  const Entry* first_of(std::size_t group) const noexcept;

  /// All entries in the order in which they would be popped (under a policy that divides, if all steps were equally
  /// long). Cost: O(n log n), allocates; for introspection.
  std::vector<Entry*> in_pop_order() const;

  /// Asserts the numbered invariants. Cost: O(n).
  void check_invariants() const;

 private:
  struct Level {
    std::uint64_t ticket = 0;
    std::int64_t offset = 0;
    Entry** ring = nullptr;
    std::uint32_t mask = 0;
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    std::uint32_t holes = 0;
    std::uint32_t part = 0;
    LevelId id;
    Level* behind = nullptr;  // of those whose ids share a bucket

    std::uint32_t size() const noexcept { return tail - head - holes; }
    bool empty() const noexcept { return size() == 0; }
    bool is_full() const noexcept { return tail - head > mask; }
    Entry*& at(std::uint32_t slot) const noexcept { return ring[slot & mask]; }
    Entry* last() const noexcept { return at(tail - 1); }

    const Entry* peek() const noexcept {
      std::uint32_t slot = head;
      while (slot != tail && at(slot) == nullptr) ++slot;
      return slot == tail ? nullptr : at(slot);
    }

    /// Null when the level is empty. Drops the null slots before it.
    Entry* first() noexcept {
      for (; holes != 0 && at(head) == nullptr; --holes) ++head;
      return at(head);
    }
  };

  /// The entries among which keys decide: all, or those of one group.
  struct Part {
    std::uint64_t levels = 0;  // those that belong to it, as bits
    detail::ReadyHeap heap;
    bool told = false;  // the policy knows that it has entries
  };

  static constexpr unsigned bucket_bits = 7;  // twice as many as levels
  static constexpr std::size_t spread_slots = 4096;  // what fewer tasks touch lies in the processor's own caches
  static constexpr std::uint64_t given_up = ~std::uint64_t{0};  // a ticket that no entry has
  static constexpr std::int64_t nothing = std::numeric_limits<std::int64_t>::max();
  static constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();

  std::uint32_t index_of(const Level& level) const noexcept { return static_cast<std::uint32_t>(&level - levels_); }

  static void append_now(Level& level, Entry& entry) noexcept {
    level.at(level.tail) = &entry;
    entry.slot_ = level.tail++;
    entry.become_ready(Entry::Place::ring);
  }

  void take(Level& level, Entry& entry) const noexcept {
    level.at(level.head++) = nullptr;
    entry.become_running();
    if (spread_) {
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

  void push_elsewhere(Entry& entry);
  void append(Level& level, Entry& entry);
  void make_room(Level& level);
  void place(Entry& entry);
  void push_on_heap(Part& part, Entry& entry);
  Level* level_for(Entry& entry, std::uint32_t part);
  static std::size_t bucket_of(const LevelId& id, std::uint32_t part) noexcept;
  Level* find_level(const LevelId& id, std::uint32_t part) const noexcept;
  Level* free_level() noexcept;
  void give_level(Level& level, const Urgency& urgency, const LevelId& id, std::uint32_t part);
  void forget_id(Level& level) noexcept;
  Entry* pop_rarely() noexcept;
  Entry* pop_ordinary() noexcept;
  Entry* pop_from(Part& part) noexcept;
  struct Best {
    Level* level = nullptr;
    std::int64_t next_key = nothing;  // the smallest of the others
  };
  Best best_level(std::uint64_t among) noexcept;
  void put_current_by() noexcept;
  void put_by(Level& level) noexcept;
  bool others_precede(std::int64_t key, const Urgency& urgency) noexcept;
  void erase_ordinary(Entry& entry) noexcept;
  void front_changed(Level& level) noexcept;
  std::uint32_t part_of(const Urgency& urgency);
  void became_ready(Part& part) noexcept;
  static std::size_t index_of(const SchedulingGroup* group) noexcept { return group == nullptr ? 0 : group->index(); }
  std::vector<Entry*> ordinary_by_arrival() const;
  std::vector<Entry*> divided(const std::vector<Entry*>& sorted) const;

  Level* current_ = nullptr;
  std::int64_t other_key_ = nothing;
  std::int64_t time_mask_ = 0;
  bool spread_ = false;  // more than `spread_slots`
  std::uint64_t arrivals_ = 0;
  std::uint64_t moves_ = 0;  // of ready entries to another place
  detail::PositionalList positional_;
  Entry* no_entry_ = nullptr;
  Level no_level_;  // the current one between the turns of a policy that divides: always empty
  Level levels_[max_levels];
  std::uint32_t levels_used_ = 0;
  std::uint32_t next_free_ = 0;          // where the search for an empty level begins
  Level* buckets_[1 << bucket_bits] = {};  // levels by their id and part, to be found again
  std::size_t slots_ = 0;          // of all rings
  std::uint64_t live_levels_ = 0;  // may still show an emptied current level
  std::int64_t head_key_[max_levels] = {};
  std::uint64_t tickets_ = 0;
  detail::RunsBefore order_{true};
  Division* division_ = nullptr;
  std::vector<Part> parts_;  // by the group's index; one when the policy doesn't divide
  std::unique_ptr<Policy> policy_;
};

}  // namespace heirloop
