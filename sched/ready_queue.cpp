#include <heirloop/sched/ready_queue.hpp>

#include <algorithm>
#include <utility>

#include <heirloop/sched/contract.hpp>
#include <heirloop/sched/quad_heap.hpp>

namespace heirloop {
namespace detail {

void PositionalList::insert(Entry& entry, std::size_t position) noexcept {
  Entry* last = nullptr;
  Entry* next = front_;
  while (next != nullptr && position > next->slot_) {
    position -= std::size_t{next->slot_} + 1;
    last = next;
    next = next->behind_;
  }
  entry.slot_ = static_cast<std::uint32_t>(std::min<std::size_t>(position, std::numeric_limits<std::uint32_t>::max()));
  entry.before_ = last;
  entry.behind_ = next;
  (last != nullptr ? last->behind_ : front_) = &entry;
  ++size_;
  if (next != nullptr) {
    next->before_ = &entry;
    next->slot_ -= entry.slot_;
  }
}

void PositionalList::erase(Entry& entry, std::uint32_t own) noexcept {
  (entry.before_ != nullptr ? entry.before_->behind_ : front_) = entry.behind_;
  if (entry.behind_ != nullptr) {
    entry.behind_->before_ = entry.before_;
    entry.behind_->slot_ += entry.slot_ + own;
  }
  --size_;
}

bool runs_before(const Entry& a, const Entry& b) noexcept {
  if (a.key_ != b.key_) return a.key_ < b.key_;
  if (a.level_id_ != b.level_id_ && a.urgency_.priority != b.urgency_.priority) {
    return a.urgency_.priority < b.urgency_.priority;
  }
  return a.arrival_ < b.arrival_;
}

bool ReadyHeap::before(const Item& a, const Item& b) noexcept {
  return a.key != b.key ? a.key < b.key : runs_before(*a.entry, *b.entry);
}

void ReadyHeap::moved(const Item& item, std::size_t index) noexcept {
  item.entry->slot_ = static_cast<std::uint32_t>(index);
}

void ReadyHeap::push(Entry& entry) {
  items_.push_back({entry.key_, &entry});
  entry.place_ = Entry::Place::heap;
  quad_sift_up(items_, items_.size() - 1, before, moved);
}

void ReadyHeap::erase(Entry& entry) noexcept {
  entry.place_ = Entry::Place::none;
  quad_erase(items_, entry.slot_, before, moved);
}

}  // namespace detail

ReadyQueue::ReadyQueue(std::unique_ptr<Policy> policy)
    : time_mask_(policy->keyed_by_time() ? -1 : 0), policy_(std::move(policy)) {
  current_ = &levels_[0];
  levels_used_ = 1;
  levels_[0].id = policy_->level(Urgency{});
  levels_[0].offset = policy_->offset(Urgency{});
  make_room(levels_[0]);
}

ReadyQueue::~ReadyQueue() {
  for (std::size_t i = 0; i < max_levels; ++i) delete[] levels_[i].ring;
}

void ReadyQueue::set_urgency(Entry& entry, const Urgency& urgency) {
  const bool ordinary = entry.place_ == Entry::Place::ring || entry.place_ == Entry::Place::heap;
  const std::int64_t level_id = policy_->level(urgency);
  if (!ordinary || level_id == entry.level_id_) {
    entry.urgency_ = urgency;
    entry.level_id_ = level_id;
    return;
  }
  erase_ordinary(entry);
  entry.urgency_ = urgency;
  entry.level_id_ = level_id;
  place(entry);
}

/// Into the ring of its level when that keeps the ring in order, else into the heap.
void ReadyQueue::place(Entry& entry) {
  Level* level = level_for(entry);
  if (level != nullptr) {
    entry.key_ = (entry.ready_time_ & time_mask_) + level->offset;
    if (level->empty() || detail::runs_before(*level->last(), entry)) return append(*level, entry);
  } else {
    entry.key_ = policy_->key(entry.urgency_, entry.ready_time_);
  }
  heap_.push(entry);
  if (entry.key_ < other_key_) other_key_ = entry.key_;
}

/// The level of the entry, a free one renamed to it, or null when 64 others are in use.
ReadyQueue::Level* ReadyQueue::level_for(Entry& entry) {
  Level* found = &levels_[entry.level_];
  if (found->id != entry.level_id_ || entry.level_ >= levels_used_) {
    found = nullptr;
    Level* free = nullptr;
    for (std::uint32_t i = 0; i < levels_used_; ++i) {
      if (levels_[i].id == entry.level_id_) {
        found = &levels_[i];
        break;
      }
      if (levels_[i].empty()) free = &levels_[i];
    }
    if (found == nullptr) {
      // A ring in use for another level before is as good as a new one, but prefer not to rename while slots are left.
      if (levels_used_ < max_levels) free = &levels_[levels_used_++];
      if (free == nullptr) return nullptr;
      found = free;
      found->id = entry.level_id_;
      found->offset = policy_->offset(entry.urgency_);
      if (found->ring == nullptr) make_room(*found);
    }
    entry.level_ = index_of(*found) & 63;
  }
  return found;
}

std::size_t ReadyQueue::size() const noexcept {
  std::size_t entries = heap_.size() + positional_.size();
  for (std::uint32_t i = 0; i < levels_used_; ++i) entries += levels_[i].size();
  return entries;
}

/// The ring is empty or full.
void ReadyQueue::append_rarely(Level& level, Entry& entry) {
  const bool was_empty = level.head == level.tail;
  if (!was_empty) make_room(level);
  append_now(level, entry);
  if (!was_empty || &level == current_) return;
  const std::uint8_t index = index_of(level);
  live_levels_ |= std::uint64_t{1} << index;
  head_key_[index] = entry.key_;
  if (entry.key_ < other_key_) other_key_ = entry.key_;
}

/// The ring is full: squeeze out the null slots when they are half of it, else double it. Amortised O(1).
void ReadyQueue::make_room(Level& level) {
  const std::uint32_t capacity = level.ring == nullptr ? 0 : level.mask + 1;
  if (level.holes >= capacity / 2 && capacity != 0) {
    std::uint32_t to = level.head;
    for (std::uint32_t from = level.head; from != level.tail; ++from) {
      Entry* entry = std::exchange(level.at(from), nullptr);
      if (entry == nullptr) continue;
      level.at(to) = entry;
      entry->slot_ = to++;
    }
    level.tail = to;
    level.holes = 0;
    return;
  }
  const std::uint32_t larger = capacity == 0 ? 16 : capacity * 2;
  auto** ring = new Entry*[larger]();
  for (std::uint32_t i = level.head; i != level.tail; ++i) ring[i & (larger - 1)] = level.at(i);
  delete[] level.ring;
  level.ring = ring;
  level.mask = larger - 1;
}

void ReadyQueue::push_positional(Entry& entry, std::size_t position, std::int64_t now_ns) {
  entry.ready_time_ = now_ns;
  entry.arrival_ = ++arrivals_;
  entry.key_ = policy_->key(entry.urgency_, now_ns);
  entry.place_ = Entry::Place::positional;
  positional_.insert(entry, position);
  other_key_ = unknown;
}

/// There are positional entries, or the current level is empty or has perhaps lost.
Entry* ReadyQueue::pop_rarely() noexcept {
  if (positional_.empty()) return pop_elsewhere();
  if (!positional_.front_due()) {
    if (Entry* entry = pop_elsewhere()) {
      positional_.ordinary_popped();
      other_key_ = unknown;
      return entry;
    }
  }
  Entry* entry = positional_.front();
  positional_.erase(*entry, 0);
  entry->place_ = Entry::Place::none;
  other_key_ = unknown;
  return entry;
}

/// The ordinary entry that runs first of all.
Entry* ReadyQueue::pop_elsewhere() noexcept {
  const std::uint8_t index = index_of(*current_);
  if (const Entry* first = current_->first()) {
    live_levels_ |= std::uint64_t{1} << index;
    head_key_[index] = first->key_;
  } else {
    live_levels_ &= ~(std::uint64_t{1} << index);
  }
  std::int64_t best_key = nothing;
  std::int64_t second_key = nothing;
  Level* best = nullptr;
  for (std::uint64_t rest = live_levels_; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(rest));
    const std::int64_t key = head_key_[i];
    bool better = key < best_key;
    if (key == best_key && best != nullptr) better = detail::runs_before(*levels_[i].first(), *best->first());
    if (better) {
      second_key = best_key;
      best_key = key;
      best = &levels_[i];
    } else if (key < second_key) {
      second_key = key;
    }
  }
  const std::int64_t heap_key = heap_.top_key();
  if (!heap_.empty() && (best == nullptr || detail::runs_before(*heap_.top(), *best->first()))) {
    Entry* entry = heap_.top();
    heap_.erase(*entry);
    other_key_ = unknown;
    return entry;
  }
  if (best == nullptr) {
    other_key_ = nothing;
    return nullptr;
  }
  current_ = best;
  live_levels_ &= ~(std::uint64_t{1} << index_of(*best));
  other_key_ = std::min(second_key, heap_key);
  Entry* entry = best->first();
  take(*best, *entry);
  return entry;
}

bool ReadyQueue::others_precede(std::int64_t key) noexcept {
  live_levels_ &= ~(std::uint64_t{1} << index_of(*current_));
  std::int64_t smallest = heap_.top_key();
  for (std::uint64_t rest = live_levels_; rest != 0; rest &= rest - 1) {
    smallest = std::min(smallest, head_key_[std::countr_zero(rest)]);
  }
  if (positional_.empty()) {
    other_key_ = smallest;
  } else if (positional_.front_due()) {
    return true;
  }
  return smallest < key;
}

void ReadyQueue::erase(Entry& entry) noexcept {
  if (entry.place_ == Entry::Place::positional) {
    positional_.erase(entry, 1);
    entry.place_ = Entry::Place::none;
  } else if (entry.place_ != Entry::Place::none) {
    erase_ordinary(entry);
  }
}

void ReadyQueue::erase_ordinary(Entry& entry) noexcept {
  if (entry.place_ == Entry::Place::heap) {
    if (heap_.top() == &entry) other_key_ = unknown;
    heap_.erase(entry);
    return;
  }
  Level& level = levels_[entry.level_];
  level.at(entry.slot_) = nullptr;
  entry.place_ = Entry::Place::none;
  if (entry.slot_ == level.head) {
    ++level.head;
    front_changed(level);
  } else if (entry.slot_ == level.tail - 1) {
    for (--level.tail; level.holes != 0 && level.last() == nullptr; --level.holes) --level.tail;
  } else {
    ++level.holes;
  }
}

void ReadyQueue::front_changed(Level& level) noexcept {
  if (&level == current_) return;
  const std::uint8_t index = index_of(level);
  if (const Entry* first = level.first()) {
    head_key_[index] = first->key_;
  } else {
    live_levels_ &= ~(std::uint64_t{1} << index);
  }
  other_key_ = unknown;
}

std::vector<Entry*> ReadyQueue::in_pop_order() const {
  std::vector<Entry*> ordinary;
  const std::size_t entries = size();
  ordinary.reserve(entries);
  for (std::uint32_t i = 0; i < levels_used_; ++i) {
    const Level& level = levels_[i];
    for (std::uint32_t at = level.head; at != level.tail; ++at) {
      if (Entry* entry = level.at(at)) ordinary.push_back(entry);
    }
  }
  heap_.for_each([&](Entry& entry) { ordinary.push_back(&entry); });
  std::sort(ordinary.begin(), ordinary.end(), [](const Entry* a, const Entry* b) { return detail::runs_before(*a, *b); });

  std::vector<Entry*> all;
  all.reserve(entries);
  auto next = ordinary.begin();
  positional_.for_each([&](Entry& entry, std::uint32_t gap) {
    while (gap-- > 0 && next != ordinary.end()) all.push_back(*next++);
    all.push_back(&entry);
  });
  all.insert(all.end(), next, ordinary.end());
  return all;
}

void ReadyQueue::check_invariants() const {
  std::int64_t smallest_other = heap_.top_key();
  for (std::uint32_t i = 0; i < levels_used_; ++i) {
    const Level& level = levels_[i];
    const Entry* last = nullptr;
    const Entry* front = nullptr;
    std::uint32_t holes = 0;
    contract(level.head == level.tail || level.last() != nullptr, "1: a ring ends with an entry");
    contract(level.head == level.tail || &level == current_ || level.at(level.head) != nullptr, "1: a ring begins with one");
    for (std::uint32_t at = level.head; at != level.tail; ++at) {
      const Entry* entry = level.at(at);
      if (entry == nullptr) {
        ++holes;
        continue;
      }
      if (front == nullptr) front = entry;
      contract(entry->place_ == Entry::Place::ring && entry->slot_ == at && entry->level_ == i, "5: a ring entry knows its place");
      contract(last == nullptr || detail::runs_before(*last, *entry), "1: a ring is in order");
      last = entry;
    }
    contract(holes == level.holes, "1: a ring counts its null slots");
    for (std::uint32_t at = level.tail; at != level.head + level.mask + 1; ++at) {
      contract(level.at(at) == nullptr, "1: slots outside head and tail are null");
    }
    if (&level == current_ || level.empty()) continue;
    contract((live_levels_ >> i & 1) != 0, "2: a level with entries is live");
    contract(head_key_[i] == front->key_, "2: head_key_ is the first entry's key");
    smallest_other = std::min(smallest_other, head_key_[i]);
  }
  contract(other_key_ <= smallest_other, "3: other_key_ is at most the smallest outside the current level");
  contract(positional_.empty() || other_key_ == unknown, "3: other_key_ is unknown while there are positional entries");
  heap_.for_each([](const Entry& entry) {
    contract(entry.place_ == Entry::Place::heap, "5: an entry of the heap knows its place");
  });
  positional_.for_each([&](const Entry& entry, std::uint32_t) {
    contract(entry.place_ == Entry::Place::positional, "5: a positional entry knows its place");
  });
}

}  // namespace heirloop
