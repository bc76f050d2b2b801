// Recycled memory for coroutine frames, task blocks and callbacks.
//
// Owns: one free list per thread and size class. Called by the `operator new` of every coroutine promise and by the
// blocks of tasks and callbacks.
//
// 1. A block comes from `operator new` once and then circulates; a class is a multiple of 64 bytes up to 4 KiB, what
//    is larger goes straight to `operator new`.
// 2. A block may be freed on another thread than the one that took it: it joins that thread's list.
// 3. A block in a free list is poisoned under AddressSanitizer.
//
// Cost: two loads and a store. Free lists are returned to the system when their thread ends.
#pragma once

#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define HEIRLOOP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEIRLOOP_ASAN 1
#endif
#endif
#ifdef HEIRLOOP_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace heirloop::detail {

class FramePool {
 public:
  static constexpr std::size_t granule = 64;
  static constexpr std::size_t largest = 4096;

  static void* allocate(std::size_t size) {
    const std::size_t index = (size + granule - 1) / granule;
    if (index <= largest / granule) [[likely]] {
      Block*& list = lists_.heads[index];
      if (Block* block = list) [[likely]] {
        unpoison(block, index * granule);
        list = block->next;
        return block;
      }
      return refill(index);
    }
    return ::operator new(size);
  }

  static void deallocate(void* memory, std::size_t size) noexcept {
    const std::size_t index = (size + granule - 1) / granule;
    if (index <= largest / granule) [[likely]] {
      if (!lists_.armed && !arm()) [[unlikely]] {
        ::operator delete(memory);
        return;
      }
      Block* block = static_cast<Block*>(memory);
      block->next = lists_.heads[index];
      lists_.heads[index] = block;
      poison(block, index * granule);
      return;
    }
    ::operator delete(memory);
  }

 private:
  struct Block {
    Block* next;
  };
  // Trivially destructible, so that frames which end after the thread's other locals can still be freed.
  struct Lists {
    Block* heads[largest / granule + 1];
    bool armed;   // a Reaper will return them
    bool closed;  // it has
  };
  struct Reaper {
    ~Reaper();
  };

  static void* refill(std::size_t index);

  /// The first block that a thread takes or is given arms what returns the lists at the thread's end. False after it.
  static bool arm() noexcept;

  static void poison([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t size) noexcept {
#ifdef HEIRLOOP_ASAN
    __asan_poison_memory_region(memory, size);
#endif
  }
  static void unpoison([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t size) noexcept {
#ifdef HEIRLOOP_ASAN
    __asan_unpoison_memory_region(memory, size);
#endif
  }

  static thread_local constinit Lists lists_;
};

inline thread_local constinit FramePool::Lists FramePool::lists_{};

/// Makes `new T` and `delete` of a class draw from the pool. The class must not be derived from further without a
/// declaration of its own.
struct Pooled {
  static void* operator new(std::size_t size) { return FramePool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { FramePool::deallocate(memory, size); }
};

}  // namespace heirloop::detail
