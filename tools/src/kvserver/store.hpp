// The keys and their values.
//
// Owns 4,096 hash maps, a key lies in the one that the top bits of its hash name. So no call stands still for
// long: a map that grows moves a few hundred keys where one map would move millions, and what goes through
// all keys (SCAN, the expiry sweep, the rewrite of the log) does so a few buckets at a time, with a cursor
// that is one number.
//
// Invariants (check_invariants()):
// 1. A key lies in the map of its hash, and the hash that is kept with it is that of its name.
// 2. size() is the number of keys in all maps; a map's `with_deadline` the number of its keys that have one.
//
// A key whose deadline has passed is not there for find(), which removes it as it meets it; size() and walk()
// still see it. All times are milliseconds since 1970.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace kv {

constexpr std::int64_t no_deadline = INT64_MAX;

/// Milliseconds since 1970, as deadlines count.
inline std::int64_t unix_time_ms() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

struct Key {
  std::size_t hash;
  std::string name;
};

/// A key to look up, with its hash.
struct KeyView {
  KeyView() = default;
  explicit KeyView(std::string_view key) : hash(std::hash<std::string_view>()(key)), name(key) {}
  std::size_t hash = 0;
  std::string_view name;
};

struct Value {
  std::string data;
  std::int64_t deadline_ms = no_deadline;  ///< changed by Store alone, which counts
  bool has_deadline() const { return deadline_ms != no_deadline; }
};

class Store {
 public:
  using Item = std::pair<const Key, Value>;
  /// A place between two buckets. 0 is the beginning, and the end; any other number is safe to give.
  using Cursor = std::uint64_t;
  enum class Which : std::uint8_t { all, with_deadline };

  /// The item of `key`, or null; valid until it is erased. Cost: O(1).
  Item* find(const KeyView& key, std::int64_t now_ms) {
    Map& items = shard_of(key.hash).items;
    const auto at = items.find(key);
    if (at == items.end()) return nullptr;
    if (at->second.deadline_ms > now_ms) return &*at;
    erase(&*at);
    return nullptr;
  }

  /// Adds `key`, which must not be there, with an empty value. Cost: O(1), at times O(size() / 4,096).
  Item& insert(const KeyView& key) {
    ++size_;
    return *shard_of(key.hash).items.emplace(Key{key.hash, std::string(key.name)}, Value()).first;
  }

  /// Gives `key`, which find() has just found as `item` or not, its value and deadline.
  Item& put(const KeyView& key, Item* item, std::string_view data, std::int64_t deadline_ms) {
    if (item == nullptr) item = &insert(key);
    std::string& own = item->second.data;
    // A short value does not keep the room of a long one.
    if (own.capacity() > 2 * data.size() + 64) own = std::string();
    own = data;
    set_deadline(*item, deadline_ms);
    return *item;
  }

  void set_deadline(Item& item, std::int64_t deadline_ms) {
    std::size_t& count = shard_of(item.first.hash).with_deadline;
    count -= item.second.has_deadline();
    item.second.deadline_ms = deadline_ms;
    count += item.second.has_deadline();
  }

  /// Whether there is an item to erase.
  bool erase(const Item* item) {
    if (item == nullptr) return false;
    Shard& shard = shard_of(item->first.hash);
    shard.with_deadline -= item->second.has_deadline();
    shard.items.erase(item->first);
    --size_;
    return true;
  }

  /// Removes all keys; later calls of sweep() free them.
  void clear() {
    for (Shard& shard : std::exchange(shards_, std::vector<Shard>(shard_count))) {
      if (!shard.items.empty()) cleared_.push_back(std::move(shard.items));
    }
    size_ = 0;
  }

  std::size_t size() const { return size_; }
  std::size_t with_deadline() const {
    std::size_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.with_deadline;
    return sum;
  }

  /// Calls `visit(Item&)`, which gives what the visit cost, at least 1, for the items of some buckets, and
  /// returns where to go on. Stops at the end of the bucket in which the budget is used up; an empty bucket
  /// and a map without such items cost 1. From 0 round to 0, every item that is there all the time is
  /// visited, whatever is inserted and erased between the calls; one whose map grows meanwhile can be visited
  /// twice. `visit` must not insert or erase.
  template <class Visit>
  Cursor walk(Cursor from, std::size_t budget, Which which, Visit&& visit) {
    const auto spend = [&](std::size_t cost) { budget -= std::min(budget, cost); };
    std::uint64_t shard_at = from >> (2 * bucket_bits), bucket = from >> bucket_bits & bucket_mask;
    for (auto buckets = from & bucket_mask; budget > 0 && shard_at < shard_count; ++shard_at, bucket = 0) {
      Shard& shard = shards_[shard_at];
      // A map that has grown has other buckets: begin it again.
      if (std::exchange(buckets, shard.items.bucket_count()) != shard.items.bucket_count()) bucket = 0;
      if (which == Which::all ? shard.items.empty() : shard.with_deadline == 0) {
        spend(1);
        continue;
      }
      for (; bucket < buckets && budget > 0; ++bucket) {
        spend(shard.items.begin(bucket) == shard.items.end(bucket) ? 1 : 0);
        for (auto at = shard.items.begin(bucket); at != shard.items.end(bucket); ++at) spend(visit(*at));
      }
      if (bucket < buckets) return (shard_at << bucket_bits | bucket) << bucket_bits | buckets;
    }
    return shard_at % shard_count << 2 * bucket_bits;
  }

  /// Removes what has expired, and frees what clear() left, going on where the last call stopped; whether a
  /// round is done: nothing is left to free, and the next call begins at the first key. Cost: O(budget),
  /// which counts as in walk().
  bool sweep(std::size_t budget, std::int64_t now_ms) {
    for (; budget > 0 && !cleared_.empty(); --budget) {
      Map& items = cleared_.back();
      items.erase(items.begin());
      if (items.empty()) cleared_.pop_back();
    }
    expired_.clear();
    swept_to_ = walk(swept_to_, budget, Which::with_deadline, [&](const Item& item) -> std::size_t {
      if (item.second.deadline_ms <= now_ms) expired_.push_back(&item);
      return 1;
    });
    for (const Item* item : expired_) erase(item);
    return swept_to_ == 0 && cleared_.empty();
  }

  bool check_invariants() const {
    std::size_t size = 0;
    for (std::size_t i = 0; i < shard_count; ++i) {
      std::size_t with_deadline = 0;
      for (const auto& [key, value] : shards_[i].items) {
        if (key.hash >> (64 - shard_bits) != i || key.hash != KeyView(key.name).hash) return false;
        with_deadline += value.has_deadline();
      }
      if (with_deadline != shards_[i].with_deadline) return false;
      size += shards_[i].items.size();
    }
    return size == size_;
  }

 private:
  struct HashAndEqual {
    using is_transparent = void;
    std::size_t operator()(const auto& key) const noexcept { return key.hash; }
    bool operator()(const auto& a, const auto& b) const noexcept {
      return a.hash == b.hash && a.name == b.name;
    }
  };
  using Map = std::unordered_map<Key, Value, HashAndEqual, HashAndEqual>;
  struct Shard {
    Map items;
    std::size_t with_deadline = 0;
  };

  static constexpr int shard_bits = 12, bucket_bits = 26;  // a cursor: map, bucket, number of buckets
  static constexpr std::size_t shard_count = std::size_t{1} << shard_bits;
  static constexpr std::uint64_t bucket_mask = (std::uint64_t{1} << bucket_bits) - 1;

  Shard& shard_of(std::size_t hash) { return shards_[hash >> (64 - shard_bits)]; }

  std::vector<Shard> shards_ = std::vector<Shard>(shard_count);
  std::size_t size_ = 0;
  std::vector<Map> cleared_;  // each with something to free
  Cursor swept_to_ = 0;
  std::vector<const Item*> expired_;  // of one call of sweep()
};

}  // namespace kv
