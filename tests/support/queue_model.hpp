// A naive model of the ready queue: a list that is sorted again for every question.
//
// Positions: a row of tokens, each a positional entry or one pop of an ordinary entry; behind its end there
// are ordinary pops without end. An entry put in at n is the token with index n. One that is removed leaves
// an ordinary pop in its place; one that runs early (nothing ordinary is ready) leaves those before it.
#pragma once

#include <heirloop/sched/ready_queue.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace heirloop::testing {

class TestEntry final : public Entry {
 public:
  TestEntry() : Entry(Kind::handle) {}
};

class QueueModel {
 public:
  struct Item {
    double priority = 0;
    std::int64_t since_ns = 0;
    std::uint64_t arrival = 0;
    enum { out, ordinary, positional } place = out;
  };

  QueueModel(PolicyKind kind, std::int64_t age_unit_ns, std::size_t entries)
      : items(entries), kind_(kind), age_unit_ns_(static_cast<double>(age_unit_ns)) {}

  std::vector<Item> items;

  void push(std::size_t id, std::int64_t now_ns) {
    items[id].since_ns = now_ns;
    items[id].arrival = ++arrivals_;
    items[id].place = Item::ordinary;
  }

  void push_positional(std::size_t id, std::size_t position, std::int64_t now_ns) {
    push(id, now_ns);
    items[id].place = Item::positional;
    if (row_.size() < position) row_.resize(position);
    row_.insert(row_.begin() + static_cast<std::ptrdiff_t>(position), id);
  }

  void erase(std::size_t id) {
    for (auto& token : row_) {
      if (token == id) token.reset();
    }
    items[id].place = Item::out;
  }

  std::optional<std::size_t> pop() {
    const auto all = sorted();
    std::optional<std::size_t> next;
    trim();
    if (row_.empty() || (!row_.front() && !all.empty())) {
      if (all.empty()) return std::nullopt;
      next = all.front();
      if (!row_.empty()) row_.erase(row_.begin());
    } else {
      const auto token = std::find_if(row_.begin(), row_.end(), [](const auto& t) { return t.has_value(); });
      next = *token;
      row_.erase(token);
    }
    items[*next].place = Item::out;
    return next;
  }

  std::vector<std::size_t> in_pop_order() const {
    QueueModel copy = *this;
    std::vector<std::size_t> order;
    while (const auto id = copy.pop()) order.push_back(*id);
    return order;
  }

  /// By (key, priority, arrival); under fifo priority decides nothing, and under strict the key is the
  /// priority.
  bool before(const Item& a, const Item& b) const {
    if (kind_ != PolicyKind::strict && key(a) != key(b)) return key(a) < key(b);
    if (kind_ != PolicyKind::fifo && a.priority != b.priority) return a.priority < b.priority;
    return a.arrival < b.arrival;
  }

  /// A ready entry comes before one of this priority that became ready at that time.
  bool precedes(const Item& other) {
    trim();
    if (!row_.empty() && row_.front()) return true;
    for (const std::size_t id : sorted()) {
      const bool less =
          kind_ == PolicyKind::strict ? items[id].priority < other.priority : key(items[id]) < key(other);
      if (less) return true;
    }
    return false;
  }

 private:
  std::int64_t key(const Item& item) const {
    if (kind_ == PolicyKind::fifo) return item.since_ns;
    const double infinite = 0x1p61;
    const double finite = 0x1p60;
    const double offset = item.priority * age_unit_ns_;
    if (offset == offset / 2 && offset != 0)
      return item.since_ns + static_cast<std::int64_t>(offset < 0 ? -infinite : infinite);
    return item.since_ns + static_cast<std::int64_t>(std::clamp(offset, -finite, finite));
  }

  std::vector<std::size_t> sorted() const {
    std::vector<std::size_t> ids;
    for (std::size_t id = 0; id < items.size(); ++id) {
      if (items[id].place == Item::ordinary) ids.push_back(id);
    }
    std::sort(ids.begin(), ids.end(),
              [&](std::size_t a, std::size_t b) { return before(items[a], items[b]); });
    return ids;
  }

  void trim() {
    while (!row_.empty() && !row_.back()) row_.pop_back();
  }

  PolicyKind kind_;
  double age_unit_ns_;
  std::uint64_t arrivals_ = 0;
  std::vector<std::optional<std::size_t>> row_;
};

/// The real queue and the model, side by side.
class QueuePair {
 public:
  QueuePair(PolicyKind kind, std::int64_t age_unit_ns, std::size_t entries)
      : queue(make_policy(kind, {.age_unit = std::chrono::nanoseconds(age_unit_ns)})), model(kind, age_unit_ns, entries) {
    for (std::size_t i = 0; i < entries; ++i) owned_.push_back(std::make_unique<TestEntry>());
    set_all(0);
  }
  ~QueuePair() {
    while (queue.pop() != nullptr) {
    }
  }
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  TestEntry& entry(std::size_t id) { return *owned_[id]; }
  bool is_out(std::size_t id) const { return model.items[id].place == QueueModel::Item::out; }

  void push(std::size_t id) {
    queue.push(entry(id), now_ns);
    model.push(id, now_ns);
  }
  void push_positional(std::size_t id, std::size_t position) {
    queue.push_positional(entry(id), position, now_ns);
    model.push_positional(id, position, now_ns);
  }
  void erase(std::size_t id) {
    queue.erase(entry(id));
    model.erase(id);
  }
  void set_priority(std::size_t id, double value) {
    queue.set_urgency(entry(id), Urgency{value});
    model.items[id].priority = value;
  }
  void set_all(double value) {
    for (std::size_t i = 0; i < owned_.size(); ++i) set_priority(i, value);
  }

  /// The one popped, or `npos` when both are empty; `differ` when they differ.
  std::size_t pop() {
    const Entry* entry_out = queue.pop();
    const auto expected = model.pop();
    if (!expected) return entry_out == nullptr ? npos : differ;
    return entry_out == owned_[*expected].get() ? *expected : differ;
  }

  bool same_order() {
    queue.check_invariants();
    const auto expected = model.in_pop_order();
    const auto real = queue.in_pop_order();
    return queue.size() == expected.size() &&
           std::equal(real.begin(), real.end(), expected.begin(), expected.end(),
                      [&](const Entry* e, std::size_t id) { return e == owned_[id].get(); });
  }

  static constexpr std::size_t npos = ~std::size_t{0};
  static constexpr std::size_t differ = npos - 1;

  ReadyQueue queue;
  QueueModel model;
  std::int64_t now_ns = 0;

 private:
  std::vector<std::unique_ptr<TestEntry>> owned_;
};

}  // namespace heirloop::testing
