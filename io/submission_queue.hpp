// What the program has started and the kernel has not seen yet.
//
// Owns: the order in which operations reach the kernel, and the best urgency among them. Used by a driver.
//
// 1. While no more wait than one batch holds, they leave in the order of their starts.
// 2. Beyond that `arrange` puts the more urgent first, never past another operation on the same descriptor: the earlier
//    one counts as urgent as the most urgent behind it on that descriptor. Equals stay in the order of their starts.
// 3. `best()` is the most urgent of all that are in the queue.
//
// Cost: push, pop and erase O(1); arrange O(n log n); erase looks through the queue when the last of the best leaves.
#pragma once

#include <heirloop/io/operation.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heirloop {

class SubmissionQueue {
 public:
  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return size_; }
  const Urgency& best() const noexcept { return best_; }

  void push(Operation& operation) noexcept;
  Operation* pop() noexcept;
  void erase(Operation& operation) noexcept;

  /// Orders the queue for a kernel that takes `batch` at a time. When memory is short, the order of starts stays.
  void arrange(std::size_t batch) noexcept;

 private:
  struct Item {
    Urgency urgency;
    int fd;
    std::uint32_t index;
    Operation* operation;
  };

  void unlink(Operation& operation) noexcept;
  void count(Operation& operation) noexcept;
  void uncount(const Operation& operation) noexcept;

  Operation* first_ = nullptr;
  Operation* last_ = nullptr;
  std::size_t size_ = 0;
  std::size_t best_count_ = 0;  // how many are of the best urgency
  Urgency best_ = Urgency::none();
  std::vector<Item> items_;  // memory kept for arrange
};

}  // namespace heirloop
