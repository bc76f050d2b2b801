// Recycled memory for bytes on their way in and out.
//
// Owns: one free list per thread and size class. Called by sockets.
//
// 1. Capacities are powers of two from 2 KiB; up to 4 KiB they come from the frame pool, up to 256 KiB from lists of
//    their own that keep at most 1 MiB per class, what is larger straight from `operator new`.
// 2. A buffer may be freed on another thread than the one that took it: it joins that thread's list.
#pragma once

#include <cstddef>
#include <utility>

namespace heirloop {

class Buffer {
 public:
  static constexpr std::size_t smallest = 2048;

  Buffer() noexcept = default;

  /// At least `size` bytes. Errors: std::bad_alloc. Cost: a few loads when one is at hand.
  explicit Buffer(std::size_t size);
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release();
  }

  char* data() const noexcept { return data_; }
  std::size_t capacity() const noexcept { return capacity_; }

 private:
  void release() noexcept;

  char* data_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace heirloop
