// A ring of items: first in, first out, in memory that grows and is kept.
//
// Owns: the items, and room for a power of two of them. Used by what hands items over (Channel, Queue).
//
// 1. `push` either holds the item or throws with nothing changed; `pop` never fails.
// 2. Nothing allocates once the ring has been as full as it gets.
#pragma once

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace heirloop::detail {

/// What does not depend on the type of the items.
class RingCounts {
 public:
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

 protected:
  std::size_t first_ = 0;
  std::size_t size_ = 0;
  std::size_t room_ = 0;  // 0 or a power of two
};

template <class T>
class Ring : public RingCounts {
  static_assert(std::is_nothrow_move_constructible_v<T>, "an item moves without throwing, or it could be lost on its way");

 public:
  Ring() noexcept = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    while (!empty()) std::destroy_at(take_slot());
    if (room_ != 0) std::allocator<T>().deallocate(slots_, room_);
  }

  /// Behind all others. Errors: std::bad_alloc; the item is not moved from then. Cost: O(1) amortised.
  void push(T&& item) {
    if (size_ == room_) [[unlikely]] grow();
    std::construct_at(slots_ + ((first_ + size_) & (room_ - 1)), std::move(item));
    ++size_;
  }

  /// The oldest. The ring is not empty.
  T pop() noexcept {
    T* slot = take_slot();
    T item(std::move(*slot));
    std::destroy_at(slot);
    return item;
  }

 private:
  T* take_slot() noexcept {
    T* slot = slots_ + first_;
    first_ = (first_ + 1) & (room_ - 1);
    --size_;
    return slot;
  }

  void grow() {
    const std::size_t room = room_ == 0 ? 4 : room_ * 2;
    T* slots = std::allocator<T>().allocate(room);
    for (std::size_t i = 0; i < size_; ++i) {
      T* from = slots_ + ((first_ + i) & (room_ - 1));
      std::construct_at(slots + i, std::move(*from));
      std::destroy_at(from);
    }
    if (room_ != 0) std::allocator<T>().deallocate(slots_, room_);
    slots_ = slots;
    room_ = room;
    first_ = 0;
  }

  T* slots_ = nullptr;
};

}  // namespace heirloop::detail
