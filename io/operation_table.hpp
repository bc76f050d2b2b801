// Which operations are in the kernel: slot and generation are the kernel's user data.
//
// 1. A slot is free or holds one operation; its generation changes whenever it is freed.
// 2. `find` answers null for anything that is not in flight now, whatever the kernel says.
// 3. Freed slots are taken again before the table grows.
#pragma once

#include <heirloop/sched/contract.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heirloop {

class Operation;

class OperationTable {
 public:
  std::size_t size() const noexcept { return used_; }

  /// Errors: std::bad_alloc when the table must grow and can't.
  std::uint32_t insert(Operation& operation) {
    if (free_ == none) slots_.push_back({nullptr, none, 0, 0});
    const std::uint32_t slot = free_ == none ? static_cast<std::uint32_t>(slots_.size() - 1) : free_;
    if (slot == free_) free_ = slots_[slot].next_free;
    slots_[slot].operation = &operation;
    ++used_;
    return slot;
  }

  Operation* erase(std::uint32_t slot) noexcept {
    Slot& entry = slots_[slot];
    contract(entry.operation != nullptr, "a slot of the operation table is freed once");
    Operation* operation = entry.operation;
    entry = {nullptr, free_, entry.generation + 1, entry.mark};
    free_ = slot;
    --used_;
    return operation;
  }

  std::uint64_t user_data(std::uint32_t slot) const noexcept {
    return std::uint64_t{slots_[slot].generation} << 32 | (slot + first_slot);
  }

  /// The slot of what is in flight under this user data, or null.
  Operation* find(std::uint64_t user_data) const noexcept {
    const std::uint32_t slot = static_cast<std::uint32_t>(user_data) - first_slot;
    if (slot >= slots_.size() || slots_[slot].generation != static_cast<std::uint32_t>(user_data >> 32)) return nullptr;
    return slots_[slot].operation;
  }

  /// A note of the caller's on a slot; it stays when the slot is freed.
  std::uint32_t& mark(std::uint32_t slot) noexcept { return slots_[slot].mark; }

  template <class F>
  void for_each(F&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.operation != nullptr) visit(*slot.operation);
    }
  }

  /// User data below this are the driver's own.
  static constexpr std::uint32_t first_slot = 16;

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};
  struct Slot {
    Operation* operation;
    std::uint32_t next_free;
    std::uint32_t generation;
    std::uint32_t mark;
  };

  std::vector<Slot> slots_;
  std::uint32_t free_ = none;
  std::size_t used_ = 0;
};

}  // namespace heirloop
