// What the ready queue holds: a task or a handle.
//
// Owns: the fields by which an entry is ordered and found again, written by the ready queue alone. What else a switch of
// a task touches lies here too, to be in the same cache line; the queue asks the cache for it a few entries ahead.
#pragma once

#include <bit>
#include <coroutine>
#include <cstdint>

#include <heirloop/sched/priority.hpp>

namespace heirloop {

class Entry;
class ReadyQueue;
class Wait;

/// Behind a step a task stands in one of the first three, mostly.
enum class TaskState : std::uint8_t { created, ready, blocked, running, done };

namespace detail {
class PositionalList;
class ReadyHeap;
struct RunsBefore;
}  // namespace detail

class Entry {
 public:
  enum class Kind : std::uint8_t { task, handle };

  explicit Entry(Kind kind) noexcept : kind_(kind) {}  // NOLINT(cppcoreguidelines-pro-type-member-init)

  /// A task as urgent as another one, in the same level.
  Entry(std::coroutine_handle<> frame, const Entry& other) noexcept
      : resume_(frame), kind_(Kind::task), ticket_(other.ticket_), urgency_(other.urgency_) {}
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  Kind kind() const noexcept { return kind_; }
  bool has_frame() const noexcept { return bool{resume_}; }  ///< a ready entry: whether it is a task
  bool is_ready() const noexcept { return standing_.place != Place::none; }
  bool has_position() const noexcept { return standing_.place == Place::positional; }
  const Urgency& urgency() const noexcept { return urgency_; }

  /// The key by which the entry stands, or was last chosen. Nanoseconds under `aging`.
  std::int64_t key() const noexcept { return key_; }

  /// The loop's clock as it became ready, ns; of an entry with a position only once it was popped.
  std::int64_t ready_time_ns() const noexcept { return ready_time_; }

  /// The number of its arrival in the ready queue; of an entry with a position, no meaning.
  std::uint64_t arrival() const noexcept { return arrival_; }

 protected:
  ~Entry() = default;

  /// What comes to a task from outside. `passed_on`: a cancel has gone to what the task awaits, whose end is its answer.
  enum class Pending : std::uint8_t { nothing, cancel, thrown, passed_on };

  enum class Place : std::uint8_t { none, ring, heap, positional };

  /// The ready queue writes both in one store, as an entry comes and as it is popped to run.
  struct Standing {
    TaskState state;
    Place place;
  };

  std::coroutine_handle<> resume_;  // a task's: its leaf frame, where it goes on; null in handles
  Standing standing_{TaskState::created, Place::none};
  Pending pending_ = Pending::nothing;  // a task's

 private:
  friend class ReadyQueue;
  friend class detail::PositionalList;
  friend class detail::ReadyHeap;
  friend struct detail::RunsBefore;

  void become_ready(Place place) noexcept { stand(TaskState::ready, place); }
  void become_running() noexcept { stand(TaskState::running, Place::none); }

  /// As a number: g++ 12 would load two constants that lie side by side from memory.
  void stand(TaskState state, Place place) noexcept {
    static_assert(std::endian::native == std::endian::little);
    const unsigned both = static_cast<unsigned>(state) | static_cast<unsigned>(place) << 8;
    standing_ = std::bit_cast<Standing>(static_cast<std::uint16_t>(both));
  }

  Kind kind_;
  // Set as it becomes ready.
  std::uint32_t slot_;         // position in the ring, index in the heap; in the positional list: the gap

 protected:
  Wait* wait_ = nullptr;  // a task's; not beside `resume_`: g++ 12 would put both into one register first

 private:
  std::int64_t key_;           // of a positional entry: the time of becoming ready
  union {
    std::int64_t ready_time_;  // ns; kept when the entry is re-keyed
    Entry* before_;            // positional list
  };
  union {
    std::uint64_t arrival_;  // kept when the entry is re-keyed
    Entry* behind_;          // positional list
  };
  std::uint64_t ticket_ = 0;  // of the level to which its urgency belongs; its last six bits are the level's index

  Urgency urgency_;
};

}  // namespace heirloop
