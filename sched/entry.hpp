// What the ready queue holds: a task or a handle.
//
// Owns: the fields by which an entry is ordered and found again. Written by the ready queue alone; where a task goes on
// is its own affair, and lies here because the queue asks the cache for it a few entries ahead.
#pragma once

#include <coroutine>
#include <cstdint>

#include <heirloop/sched/priority.hpp>

namespace heirloop {

class Entry;
class ReadyQueue;

namespace detail {
class PositionalList;
class ReadyHeap;
bool runs_before(const Entry& a, const Entry& b) noexcept;
}  // namespace detail

class Entry {
 public:
  enum class Kind : std::uint8_t { task, handle };

  explicit Entry(Kind kind) noexcept : level_(0), kind_(kind) {}
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  Kind kind() const noexcept { return kind_; }
  bool has_frame() const noexcept { return bool{resume_}; }  ///< a ready entry: whether it is a task
  bool is_ready() const noexcept { return place_ != Place::none; }
  const Urgency& urgency() const noexcept { return urgency_; }

  /// The key by which the entry stands, or was last chosen. Nanoseconds under `aging`.
  std::int64_t key() const noexcept { return key_; }

 protected:
  ~Entry() = default;

  std::coroutine_handle<> resume_;  // a task's leaf frame, at the end its root frame; null in handles

 private:
  friend class ReadyQueue;
  friend class detail::PositionalList;
  friend class detail::ReadyHeap;
  friend bool detail::runs_before(const Entry& a, const Entry& b) noexcept;

  enum class Place : std::uint8_t { none, ring, heap, positional };

  // With the first fields of Task: what a switch touches, in one cache line.
  std::int64_t key_ = 0;
  union {
    std::int64_t ready_time_ = 0;  // ns; kept when the entry is re-keyed
    Entry* before_;                // positional list
  };
  union {
    std::uint64_t arrival_ = 0;  // kept when the entry is re-keyed
    Entry* behind_;              // positional list
  };
  Urgency urgency_;
  std::int64_t level_id_ = 0;  // the policy's level of the urgency
  std::uint32_t slot_ = 0;     // position in the ring, index in the heap; in the positional list: the gap
  std::uint8_t level_ : 6;     // where that level was last found
  Kind kind_ : 2;
  Place place_ = Place::none;
};

}  // namespace heirloop
