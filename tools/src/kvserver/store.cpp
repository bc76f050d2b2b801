#include "kvserver/store.hpp"

#include <cassert>
#include <utility>

namespace kv {

Store::Item* Store::find(const KeyView& key, std::int64_t now_ms) {
  Shard& shard = shard_of(key.hash);
  auto at = shard.items.find(key);
  if (at == shard.items.end()) return nullptr;
  if (at->second.deadline_ms_ > now_ms) return &*at;
  erase(shard, at);
  return nullptr;
}

Store::Item& Store::insert(const KeyView& key) {
  auto [at, added] = shard_of(key.hash).items.emplace(Key{key.hash, std::string(key.name)}, Value());
  assert(added);
  ++size_;
  return *at;
}

void Store::set_data(Item& item, std::string_view data) {
  std::string& own = item.second.data;
  // A short value does not keep the room of a long one.
  if (own.capacity() > 2 * data.size() + 64) own = std::string();
  own = data;
}

void Store::set_deadline(Item& item, std::int64_t deadline_ms) {
  Value& value = item.second;
  std::size_t& count = shard_of(item.first.hash).with_deadline;
  if (value.has_deadline()) --count;
  value.deadline_ms_ = deadline_ms;
  if (value.has_deadline()) ++count;
}

bool Store::erase(const KeyView& key, std::int64_t now_ms) {
  if (find(key, now_ms) == nullptr) return false;
  Shard& shard = shard_of(key.hash);
  erase(shard, shard.items.find(key));
  return true;
}

void Store::erase(Shard& shard, Map::iterator at) {
  if (at->second.has_deadline()) --shard.with_deadline;
  shard.items.erase(at);
  --size_;
}

void Store::clear() {
  if (size_ > shard_count) {
    cleared_.push_back(std::exchange(shards_, std::vector<Shard>(shard_count)));
  } else {
    for (Shard& shard : shards_) {
      shard.items.clear();
      shard.with_deadline = 0;
    }
  }
  size_ = 0;
}

std::size_t Store::with_deadline() const {
  std::size_t sum = 0;
  for (const Shard& shard : shards_) sum += shard.with_deadline;
  return sum;
}

Store::Swept Store::sweep(std::size_t budget, std::int64_t now_ms) {
  for (; budget > 0 && !cleared_.empty(); --budget) {
    std::vector<Shard>& shards = cleared_.back();
    Map& items = shards.back().items;
    if (!items.empty()) {
      items.erase(items.begin());
    } else {
      shards.pop_back();
      if (shards.empty()) cleared_.pop_back();
    }
  }
  expired_.clear();
  swept_to_ = walk(swept_to_, budget, Which::with_deadline, [&](const Item& item) -> std::size_t {
    if (item.second.deadline_ms_ <= now_ms) expired_.push_back(&item.first);
    return 1;
  });
  for (const Key* key : expired_) {
    Shard& shard = shard_of(key->hash);
    erase(shard, shard.items.find(*key));
  }
  return {expired_.size(), swept_to_ == 0};
}

bool Store::check_invariants() const {
  std::size_t size = 0;
  for (std::size_t i = 0; i < shard_count; ++i) {
    std::size_t with_deadline = 0;
    for (const auto& [key, value] : shards_[i].items) {
      if (key.hash >> (64 - shard_bits) != i || key.hash != KeyView(key.name).hash) return false;
      if (value.has_deadline()) ++with_deadline;
    }
    if (with_deadline != shards_[i].with_deadline) return false;
    size += shards_[i].items.size();
  }
  return size == size_;
}

}  // namespace kv
