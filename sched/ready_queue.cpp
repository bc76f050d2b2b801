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

void ReadyHeap::push(Entry& entry, RunsBefore order) {
  if (free_ == places_.size()) places_.push_back({nullptr, free_ + 1});
  items_.push_back({entry.key_, free_});
  Place& place = places_[free_];
  entry.slot_ = std::exchange(free_, place.index);
  entry.become_ready(Entry::Place::heap);
  place.entry = &entry;
  quad_sift_up(items_, items_.size() - 1, before(order), moved());
}

void ReadyHeap::erase(Entry& entry, RunsBefore order) noexcept {
  Place& place = places_[entry.slot_];
  entry.standing_.place = Entry::Place::none;
  quad_erase(items_, place.index, before(order), moved());
  place.index = std::exchange(free_, entry.slot_);
}

}  // namespace detail

ReadyQueue::ReadyQueue(std::unique_ptr<Policy> policy) {
  no_level_.ring = &no_entry_;
  no_level_.ticket = given_up;
  set_policy(std::move(policy), {});
}

ReadyQueue::~ReadyQueue() {
  for (std::size_t i = 0; i < max_levels; ++i) delete[] levels_[i].ring;
}

std::vector<Entry*> ReadyQueue::ordinary_by_arrival() const {
  std::vector<Entry*> entries;
  for_each_ordinary([&](Entry& entry) { entries.push_back(&entry); });
  std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) { return a->arrival_ < b->arrival_; });
  return entries;
}

void ReadyQueue::set_policy(std::unique_ptr<Policy> policy, const std::function<void()>& settle_urgencies) {
  const std::vector<Entry*> ready = ordinary_by_arrival();
  for (std::uint32_t i = 0; i < levels_used_; ++i) {
    Level& level = levels_[i];
    std::fill_n(level.ring, std::size_t{level.mask} + 1, nullptr);
    forget_id(level);
    level.head = level.tail = level.holes = 0;
  }
  policy_ = std::move(policy);
  division_ = policy_->division();
  time_mask_ = policy_->keyed_by_time() ? -1 : 0;
  order_.priority_breaks_ties = policy_->priority_breaks_ties();
  parts_.clear();
  parts_.resize(1);
  live_levels_ = 0;
  levels_used_ = 1;
  current_ = &levels_[0];
  if (current_->ring == nullptr) make_room(*current_);
  const Urgency first = policy_->urgency(Demand{});
  give_level(*current_, first, policy_->level(first), 0);
  other_key_ = positional_.empty() && division_ == nullptr ? nothing : unknown;
  if (division_ != nullptr) current_ = &no_level_;
  for (Entry* entry : ready) {
    entry->standing_.place = Entry::Place::none;
    entry->ticket_ = 0;
    if (entry->kind() == Entry::Kind::handle) entry->urgency_ = policy_->urgency({.priority = entry->urgency_.priority});
  }
  if (settle_urgencies) settle_urgencies();
  for (Entry* entry : ready) place(*entry);
}

void ReadyQueue::set_urgency(Entry& entry, const Urgency& urgency) {
  if (entry.urgency_ == urgency) return;
  const bool ordinary = entry.standing_.place == Entry::Place::ring || entry.standing_.place == Entry::Place::heap;
  if (ordinary && policy_->level(entry.urgency_) == policy_->level(urgency) &&
      index_of(entry.urgency_.group) == index_of(urgency.group)) {
    entry.urgency_ = urgency;
    return;
  }
  if (ordinary) erase_ordinary(entry);
  entry.urgency_ = urgency;
  entry.ticket_ = 0;
  if (ordinary) place(entry);
}

void ReadyQueue::rekey(Entry& entry, std::int64_t key) {
  erase_ordinary(entry);
  entry.key_ = key;
  push_on_heap(parts_[part_of(entry.urgency_)], entry);
}

/// Into the ring of its level when that keeps the ring in order, else into the heap.
void ReadyQueue::place(Entry& entry) {
  ++moves_;
  const std::uint32_t part = part_of(entry.urgency_);
  Level* level = level_for(entry, part);
  if (level != nullptr) {
    entry.key_ = (entry.ready_time_ & time_mask_) + level->offset;
    if (level->empty() || order_(*level->last(), entry)) return append(*level, entry);
  } else {
    entry.key_ = policy_->key(entry.urgency_, entry.ready_time_);
  }
  push_on_heap(parts_[part], entry);
}

void ReadyQueue::push_on_heap(Part& part, Entry& entry) {
  ++moves_;
  part.heap.push(entry, order_);
  if (entry.key_ < other_key_) other_key_ = entry.key_;
  became_ready(part);
}

std::uint32_t ReadyQueue::part_of(const Urgency& urgency) {
  if (division_ == nullptr) return 0;
  const std::size_t group = index_of(urgency.group);
  if (group >= parts_.size()) parts_.resize(group + 1);
  return static_cast<std::uint32_t>(group);
}

void ReadyQueue::became_ready(Part& part) noexcept {
  if (division_ == nullptr || part.told) return;
  part.told = true;
  other_key_ = unknown;
  division_->group_ready(static_cast<std::size_t>(&part - parts_.data()));
}

/// The level of the entry, a free one given to it, or null when 64 others are in use.
ReadyQueue::Level* ReadyQueue::level_for(Entry& entry, std::uint32_t part) {
  if (Level& last = levels_[entry.ticket_ % max_levels]; last.ticket == entry.ticket_) return &last;
  // With so many priorities in use a search costs more than it gains.
  if (parts_[part].heap.size() >= max_levels || order_.tie_salt != 0) return nullptr;
  const LevelId id = policy_->level(entry.urgency_);
  Level* found = find_level(id, part);
  if (found == nullptr) {
    found = free_level();
    if (found == nullptr) return nullptr;
    give_level(*found, entry.urgency_, id, part);
    if (found->ring == nullptr) make_room(*found);
  }
  entry.ticket_ = found->ticket;
  return found;
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4).
std::size_t ReadyQueue::bucket_of(const LevelId& id, std::uint32_t part) noexcept {
  constexpr std::uint64_t golden = 0x9E3779B97F4A7C15;  // 2^64 by the golden ratio
  const auto bits = static_cast<std::uint64_t>(id.rank) ^ std::rotl(static_cast<std::uint64_t>(id.priority_bits), 32) ^ part;
  return (bits * golden) >> (64 - bucket_bits);
}

ReadyQueue::Level* ReadyQueue::find_level(const LevelId& id, std::uint32_t part) const noexcept {
  Level* level = buckets_[bucket_of(id, part)];
  while (level != nullptr && (level->id != id || level->part != part)) level = level->behind;
  return level;
}

/// One that was never used, or else an empty one, whose ring is as good as new; null when 64 others are in use. Not the current
/// one, though it may be empty: whoever enters that is not told to a policy that divides.
ReadyQueue::Level* ReadyQueue::free_level() noexcept {
  if (levels_used_ < max_levels) return &levels_[levels_used_++];
  for (std::uint32_t looks = 0; looks < max_levels; ++looks) {
    Level& level = levels_[next_free_++ % max_levels];
    if (level.empty() && &level != current_) return &level;
  }
  return nullptr;
}

/// No entry finds the level any more.
void ReadyQueue::forget_id(Level& level) noexcept {
  level.ticket = given_up;
  Level** link = &buckets_[bucket_of(level.id, level.part)];
  while (*link != nullptr && *link != &level) link = &(*link)->behind;
  if (*link != nullptr) *link = level.behind;
}

void ReadyQueue::give_level(Level& level, const Urgency& urgency, const LevelId& id, std::uint32_t part) {
  forget_id(level);
  Level*& bucket = buckets_[bucket_of(id, part)];
  level.behind = bucket;
  bucket = &level;
  const std::uint64_t bit = std::uint64_t{1} << index_of(level);
  parts_[level.part < parts_.size() ? level.part : 0].levels &= ~bit;
  parts_[part].levels |= bit;
  tickets_ += max_levels;
  level.ticket = tickets_ + index_of(level);
  level.id = id;
  level.part = part;
  level.offset = policy_->offset(urgency);
}

std::size_t ReadyQueue::size() const noexcept {
  std::size_t entries = positional_.size();
  for (const Part& part : parts_) entries += part.heap.size();
  for (std::uint32_t i = 0; i < levels_used_; ++i) entries += levels_[i].size();
  return entries;
}

/// An entry that is ready since now, and not of the current level. `place` puts it where this does; but who is ready since now
/// is the last of its level, and to ask nothing more spares a tenth of the instructions of a wake among a few priorities.
void ReadyQueue::push_elsewhere(Entry& entry) {
  Level& level = levels_[entry.ticket_ % max_levels];
  if (level.ticket != entry.ticket_) return place(entry);
  entry.key_ = (entry.ready_time_ & time_mask_) + level.offset;
  append(level, entry);
}

void ReadyQueue::append(Level& level, Entry& entry) {
  const bool was_empty = level.head == level.tail;
  if (level.is_full()) make_room(level);
  append_now(level, entry);
  if (!was_empty || &level == current_) return;
  became_ready(parts_[level.part]);
  const std::uint32_t index = index_of(level);
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
  slots_ += larger - capacity;
  spread_ = slots_ > spread_slots;
}

void ReadyQueue::push_positional(Entry& entry, std::size_t position, std::int64_t now_ns) {
  ++arrivals_;
  entry.key_ = now_ns;
  entry.become_ready(Entry::Place::positional);
  positional_.insert(entry, position);
  other_key_ = unknown;
}

void ReadyQueue::reposition(Entry& entry, std::size_t position) {
  const std::int64_t since = entry.has_position() ? entry.key_ : entry.ready_time_;
  erase(entry);
  push_positional(entry, position, since);
}

void ReadyQueue::rotate(std::ptrdiff_t n) {
  const std::vector<Entry*> order = in_pop_order();
  if (order.empty()) return;
  const std::ptrdiff_t turn = n % static_cast<std::ptrdiff_t>(order.size());
  const auto moves = static_cast<std::size_t>(turn < 0 ? -turn : turn);
  const auto moved = turn < 0 ? std::span(order).first(moves) : std::span(order).last(moves);
  std::vector<std::int64_t> since;
  for (Entry* entry : moved) {
    since.push_back(entry->has_position() ? entry->key_ : entry->ready_time_);
    erase(*entry);
  }
  std::size_t position = turn < 0 ? order.size() - moves : 0;
  for (std::size_t i = 0; i < moves; ++i) push_positional(*moved[i], position++, since[i]);
}

void ReadyQueue::push_at_priority(Entry& entry, double priority, std::int64_t now_ns) {
  Urgency urgency = entry.urgency_;
  urgency.priority = priority;
  entry.ready_time_ = now_ns;
  entry.arrival_ = ++arrivals_;
  entry.key_ = policy_->key(urgency, now_ns);
  push_on_heap(parts_[part_of(urgency)], entry);
}

void ReadyQueue::replace_all() {
  const std::vector<Entry*> ready = ordinary_by_arrival();
  for (Entry* entry : ready) erase_ordinary(*entry);
  for (Entry* entry : ready) place(*entry);
}

/// There are positional entries, or the policy divides, or the current level is empty or has perhaps lost.
Entry* ReadyQueue::pop_rarely() noexcept {
  if (positional_.empty()) return pop_ordinary();
  if (!positional_.front_due()) {
    if (Entry* entry = pop_ordinary()) {
      positional_.ordinary_popped();
      ++moves_;  // the gaps of all behind are less by one
      other_key_ = unknown;
      return entry;
    }
  }
  Entry* entry = positional_.front();
  positional_.erase(*entry, 0);
  entry->become_running();
  entry->ready_time_ = entry->key_;
  entry->key_ = policy_->key(entry->urgency_, entry->ready_time_);
  other_key_ = unknown;
  return entry;
}

Entry* ReadyQueue::pop_ordinary() noexcept {
  if (division_ == nullptr) return pop_from(parts_[0]);
  choose_again();
  for (;;) {
    const std::size_t group = division_->choose(*this);
    if (group == Division::nobody) return nullptr;
    if (Entry* entry = pop_from(parts_[group])) return entry;
    parts_[group].told = false;
    division_->group_empty(group);
  }
}

void ReadyQueue::choose_again() noexcept {
  put_current_by();
  current_ = &no_level_;
  other_key_ = unknown;
}

/// What is known of the other levels is known of the current one from here on.
void ReadyQueue::put_current_by() noexcept {
  if (current_ != &no_level_) put_by(*current_);
}

void ReadyQueue::put_by(Level& level) noexcept {
  const std::uint32_t index = index_of(level);
  if (const Entry* first = level.first()) {
    live_levels_ |= std::uint64_t{1} << index;
    head_key_[index] = first->key_;
    return;
  }
  live_levels_ &= ~(std::uint64_t{1} << index);
  // With so many priorities in use, a look at every ring costs more than the heap: rings that empty are given up.
  if (parts_[level.part].heap.size() >= max_levels) forget_id(level);
}

/// The level among these whose first entry runs first.
ReadyQueue::Best ReadyQueue::best_level(std::uint64_t among) noexcept {
  Best best;
  std::int64_t best_key = nothing;
  for (std::uint64_t rest = live_levels_ & among; rest != 0; rest &= rest - 1) {
    const auto i = static_cast<std::size_t>(std::countr_zero(rest));
    const std::int64_t key = head_key_[i];
    bool better = key < best_key;
    if (key == best_key && best.level != nullptr) better = order_(*levels_[i].first(), *best.level->first());
    if (better) {
      best.next_key = best_key;
      best_key = key;
      best.level = &levels_[i];
    } else if (key < best.next_key) {
      best.next_key = key;
    }
  }
  return best;
}

/// The entry of the part that runs first.
Entry* ReadyQueue::pop_from(Part& part) noexcept {
  put_current_by();
  const Best best = best_level(part.levels);
  if (!part.heap.empty() && (best.level == nullptr || order_(*part.heap.top(), *best.level->first()))) {
    Entry* entry = part.heap.top();
    part.heap.erase(*entry, order_);
    entry->become_running();
    other_key_ = unknown;
    return entry;
  }
  const bool stays = division_ == nullptr || division_->keeps();
  if (best.level == nullptr) {
    if (division_ == nullptr) other_key_ = nothing;
    return nullptr;
  }
  Entry* entry = best.level->first();
  take(*best.level, *entry);
  if (stays) {
    current_ = best.level;
    live_levels_ &= ~(std::uint64_t{1} << index_of(*best.level));
    other_key_ = std::min(best.next_key, part.heap.top_key());
  } else {
    put_by(*best.level);
  }
  return entry;
}

Entry* ReadyQueue::sample(std::uint64_t draw) noexcept {
  const detail::ReadyHeap& heap = parts_[0].heap;
  if (!heap.empty() && draw % 2 == 0) return heap.at((draw / 2) % heap.size());
  return levels_[(draw / 2) % levels_used_].first();
}

const Entry* ReadyQueue::first_of(std::size_t group) const noexcept {
  if (group >= parts_.size()) return nullptr;
  const Part& part = parts_[group];
  const Entry* best = part.heap.empty() ? nullptr : part.heap.top();
  for (std::uint64_t rest = part.levels; rest != 0; rest &= rest - 1) {
    const Entry* first = levels_[std::countr_zero(rest)].peek();
    if (first != nullptr && (best == nullptr || order_(*first, *best))) best = first;
  }
  return best;
}

bool ReadyQueue::others_precede(std::int64_t running_key, const Urgency& running) noexcept {
  if (!positional_.empty() && positional_.front_due()) return true;
  if (division_ != nullptr) {
    const std::size_t group = index_of(running.group);
    if (division_->gives_way(group)) return true;
    const Entry* first = first_of(group);
    return first != nullptr && first->key_ < running_key;
  }
  live_levels_ &= ~(std::uint64_t{1} << index_of(*current_));
  std::int64_t smallest = parts_[0].heap.top_key();
  for (std::uint64_t rest = live_levels_; rest != 0; rest &= rest - 1) {
    smallest = std::min(smallest, head_key_[std::countr_zero(rest)]);
  }
  if (positional_.empty()) other_key_ = smallest;
  const Entry* first = current_->first();
  return smallest < running_key || (first != nullptr && first->key_ < running_key);
}

void ReadyQueue::erase(Entry& entry) noexcept {
  if (entry.standing_.place == Entry::Place::positional) {
    positional_.erase(entry, 1);
    entry.standing_.place = Entry::Place::none;
  } else if (entry.standing_.place != Entry::Place::none) {
    erase_ordinary(entry);
  }
}

void ReadyQueue::erase_ordinary(Entry& entry) noexcept {
  if (entry.standing_.place == Entry::Place::heap) {
    detail::ReadyHeap& heap = parts_[part_of(entry.urgency_)].heap;
    if (heap.top() == &entry) other_key_ = unknown;
    heap.erase(entry, order_);
    return;
  }
  Level& level = levels_[entry.ticket_ % max_levels];
  level.at(entry.slot_) = nullptr;
  entry.standing_.place = Entry::Place::none;
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
  const std::uint32_t index = index_of(level);
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
  for_each_ordinary([&](Entry& entry) { ordinary.push_back(&entry); });
  std::sort(ordinary.begin(), ordinary.end(), [&](const Entry* a, const Entry* b) { return order_(*a, *b); });
  if (division_ != nullptr) ordinary = divided(ordinary);

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

/// Entries in the order of their keys, as the policy would take them group by group.
std::vector<Entry*> ReadyQueue::divided(const std::vector<Entry*>& sorted) const {
  std::vector<std::vector<Entry*>> by_group(parts_.size());
  for (Entry* entry : sorted) by_group[index_of(entry->urgency_.group)].push_back(entry);
  std::vector<std::size_t> counts;
  for (const auto& entries : by_group) counts.push_back(entries.size());
  std::vector<std::size_t> taken(parts_.size());
  std::vector<Entry*> order;
  for (const std::size_t group : division_->forecast(counts, *this)) order.push_back(by_group[group][taken[group]++]);
  return order;
}

void ReadyQueue::check_invariants() const {
  std::int64_t smallest_other = nothing;
  for (const Part& part : parts_) {
    if (division_ == nullptr || &part == &parts_[current_->part]) smallest_other = std::min(smallest_other, part.heap.top_key());
  }
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
      contract(entry->standing_.place == Entry::Place::ring && entry->slot_ == at && entry->ticket_ == level.ticket,
               "5, 6: a ring entry knows its place");
      contract(last == nullptr || order_(*last, *entry), "1: a ring is in order");
      last = entry;
    }
    contract(holes == level.holes, "1: a ring counts its null slots");
    contract(level.ticket == given_up || find_level(level.id, level.part) == &level, "6: a level is found by its id");
    for (std::uint32_t at = level.tail; at != level.head + level.mask + 1; ++at) {
      contract(level.at(at) == nullptr, "1: slots outside head and tail are null");
    }
    if (&level == current_ || level.empty()) continue;
    contract((live_levels_ >> i & 1) != 0, "2: a level with entries is live");
    contract(head_key_[i] == front->key_, "2: head_key_ is the first entry's key");
    if (division_ == nullptr || level.part == current_->part) smallest_other = std::min(smallest_other, head_key_[i]);
  }
  contract(other_key_ <= smallest_other, "3: other_key_ is at most the smallest outside the current level");
  contract(positional_.empty() || other_key_ == unknown, "3: other_key_ is unknown while there are positional entries");
  for (const Part& part : parts_) {
    part.heap.for_each([](const Entry& entry) {
      contract(entry.standing_.place == Entry::Place::heap, "5: an entry of the heap knows its place");
    });
  }
  positional_.for_each([&](const Entry& entry, std::uint32_t) {
    contract(entry.standing_.place == Entry::Place::positional, "5: a positional entry knows its place");
  });
}

}  // namespace heirloop
