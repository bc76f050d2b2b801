#include <heirloop/sched/context.hpp>

#include <algorithm>
#include <memory>
#include <new>
#include <stdexcept>

#include <heirloop/sched/loop.hpp>

namespace heirloop {
namespace detail {

/// Values by variable, in one recycled block: a head, and behind it the entries in order of their variables.
class alignas(16) ContextMap {
 public:
  struct Entry {
    std::uint64_t variable;
    ContextValue* value;
  };

  static ContextMap* create(std::uint32_t size) {
    const std::size_t bytes =
        (sizeof(ContextMap) + size * sizeof(Entry) + FramePool::granule - 1) / FramePool::granule * FramePool::granule;
    return ::new (FramePool::allocate(bytes)) ContextMap(bytes);
  }

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    for (Entry& entry : *this) entry.value->release();
    const std::size_t bytes = sizeof(ContextMap) + capacity_ * sizeof(Entry);
    this->~ContextMap();
    FramePool::deallocate(this, bytes);
  }

  bool is_shared() const noexcept { return references_.load(std::memory_order_acquire) != 1; }
  std::uint32_t size() const noexcept { return size_; }
  std::uint32_t capacity() const noexcept { return capacity_; }
  Entry* begin() noexcept { return reinterpret_cast<Entry*>(this + 1); }
  Entry* end() noexcept { return begin() + size_; }
  const Entry* begin() const noexcept { return reinterpret_cast<const Entry*>(this + 1); }
  const Entry* end() const noexcept { return begin() + size_; }

  /// The first entry that is not before `variable`.
  template <class Map>
  static auto place_of(Map& map, std::uint64_t variable) noexcept {
    return std::lower_bound(map.begin(), map.end(), variable,
                            [](const Entry& entry, std::uint64_t wanted) { return entry.variable < wanted; });
  }

  ContextValue* find(std::uint64_t variable) const noexcept {
    const Entry* entry = place_of(*this, variable);
    return entry != end() && entry->variable == variable ? entry->value : nullptr;
  }

  /// The values of `other`, which are shared from now on.
  void take_entries_of(const ContextMap& other) noexcept {
    for (const Entry& entry : other) entry.value->retain();
    std::uninitialized_copy(other.begin(), other.end(), begin());
    size_ = other.size_;
  }

  /// Gives back what stood there. There must be room.
  ContextValue* put(std::uint64_t variable, ContextValue* value) noexcept {
    Entry* entry = place_of(*this, variable);
    if (entry != end() && entry->variable == variable) return std::exchange(entry->value, value);
    std::copy_backward(entry, end(), end() + 1);
    *entry = {variable, value};
    ++size_;
    return nullptr;
  }

  ContextValue* take_out(std::uint64_t variable) noexcept {
    Entry* entry = place_of(*this, variable);
    if (entry == end() || entry->variable != variable) return nullptr;
    ContextValue* value = entry->value;
    std::copy(entry + 1, end(), entry);
    --size_;
    return value;
  }

 private:
  explicit ContextMap(std::size_t bytes) noexcept
      : capacity_(static_cast<std::uint32_t>((bytes - sizeof(ContextMap)) / sizeof(Entry))) {}
  ~ContextMap() = default;

  std::atomic<std::uint32_t> references_{1};
  std::uint32_t size_ = 0;
  const std::uint32_t capacity_;
};
static_assert(sizeof(ContextMap) == 16 && sizeof(ContextMap::Entry) == 16);

namespace {

constexpr ContextWord held = 1;
static_assert(FramePool::granule > held, "a block's address has no last bit");

bool is_held(ContextWord word) noexcept { return (word & held) != 0; }
ContextHolder& holder_of(ContextWord word) noexcept { return *reinterpret_cast<ContextHolder*>(word & ~held); }
ContextMap* map_of(ContextWord word) noexcept {
  return is_held(word) ? const_cast<ContextMap*>(holder_of(word).map()) : reinterpret_cast<ContextMap*>(word);
}
ContextWord word_of(ContextHolder& holder) noexcept { return reinterpret_cast<ContextWord>(&holder) | held; }

/// The thread's own context goes with the thread.
struct ThreadContextEnd {
  ~ThreadContextEnd() { drop_context(std::exchange(thread_context, 0)); }
};

}  // namespace

ContextWord& current_context() noexcept {
  Task* task = this_thread.task;
  return task != nullptr ? task->context_.word : thread_context;
}

ContextWord share_context(ContextWord word) noexcept {
  ContextMap* map = map_of(word);
  if (map != nullptr) map->retain();
  return reinterpret_cast<ContextWord>(map);
}

void drop_context(ContextWord word) noexcept {
  if (word == 0) return;
  if (is_held(word)) {
    holder_of(word).release();
  } else {
    map_of(word)->release();
  }
}

ContextHolder& held_context(ContextWord& word) {
  if (is_held(word)) return holder_of(word);
  auto* holder = new ContextHolder(map_of(word));
  word = word_of(*holder);
  if (&word == &thread_context) static thread_local ThreadContextEnd end;
  return *holder;
}

ContextValue* find_in_context(ContextWord word, std::uint64_t variable) noexcept {
  const ContextMap* map = map_of(word);
  return map == nullptr ? nullptr : map->find(variable);
}

std::uint64_t next_context_variable() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

ContextRef<ContextHolder> ContextHolder::copy_of(ContextWord word) {
  ContextRef<ContextHolder> copy(new ContextHolder(nullptr));
  copy.get()->map_ = map_of(share_context(word));
  return copy;
}

ContextHolder::~ContextHolder() {
  if (map_ != nullptr) map_->release();
}

ContextValue* ContextHolder::find(std::uint64_t variable) const noexcept {
  return map_ == nullptr ? nullptr : map_->find(variable);
}

ContextRef<ContextValue> ContextHolder::set(std::uint64_t variable, ContextRef<ContextValue> value) {
  const bool adds = value.get() != nullptr;
  if (map_ == nullptr && !adds) return {};
  const std::uint32_t most = (map_ == nullptr ? 0 : map_->size()) + (adds ? 1 : 0);
  if (map_ == nullptr || map_->is_shared() || map_->capacity() < most) {
    ContextMap* copy = ContextMap::create(most);
    if (map_ != nullptr) {
      copy->take_entries_of(*map_);
      map_->release();
    }
    map_ = copy;
  }
  return ContextRef<ContextValue>(adds ? map_->put(variable, value.give_away()) : map_->take_out(variable));
}

ContextEntered::ContextEntered(ContextHolder& holder) noexcept
    : place_(current_context()), former_(std::exchange(place_, word_of(holder))) {
  holder.retain();
}

}  // namespace detail

ContextToken ContextToken::set(std::uint64_t variable, detail::ContextRef<detail::ContextValue> value) {
  detail::ContextHolder& holder = detail::held_context(detail::current_context());
  return {holder, variable, holder.set(variable, std::move(value))};
}

void ContextToken::reset(std::uint64_t variable, const std::string& name) {
  if (holder_.get() == nullptr) throw InvalidStateError("this token of '" + name + "' was used before");
  if (variable_ != variable) throw std::invalid_argument("this token is of another context variable than '" + name + "'");
  const detail::ContextWord here = detail::current_context();
  if (!detail::is_held(here) || &detail::holder_of(here) != holder_.get()) {
    throw std::invalid_argument("this token of '" + name + "' was made in another context");
  }
  put_back();
}

void ContextToken::put_back() {
  holder_.get()->set(variable_, std::move(former_));
  holder_ = {};
}

Context Context::copy() const {
  return Context(detail::ContextHolder::copy_of(detail::word_of(*holder_.get())));
}

std::size_t Context::size() const noexcept {
  const detail::ContextMap* map = holder_.get()->map();
  return map == nullptr ? 0 : map->size();
}

Context copy_context() { return Context(detail::ContextHolder::copy_of(detail::current_context())); }

Context TaskRef::context() const {
  Loop::check_thread(task());
  detail::ContextHolder& holder = detail::held_context(task().context_.word);
  holder.retain();
  return Context(detail::ContextRef<detail::ContextHolder>(&holder));
}

void detail::ContextSlot::enter(ContextHolder& holder) noexcept {
  holder.retain();
  word = word_of(holder);
}

}  // namespace heirloop
