// Recycled memory for coroutine frames, task blocks and callbacks.
//
// Owns: one free list per thread and size class. Called by the `operator new` of every coroutine promise and by the
// blocks of tasks and callbacks.
//
// 1. Blocks are cut from slabs, begin on a cache line, and then circulate; a class is a multiple of 64 bytes up to 4 KiB,
//    what is larger goes straight to `operator new`.
// 2. A block may be freed on another thread than the one that took it: it joins that thread's list.
// 3. What is free when a thread ends goes to the depot, from which empty lists are filled first. Slabs are never
//    returned to the system, for when a thread ends its blocks may be anywhere.
// 4. A block in a free list is poisoned under AddressSanitizer; there each block is a slab of its own, and goes back to
//    the system at the thread's end.
//
// Cost: two loads and a store.
#pragma once

#include <cstddef>
#include <mutex>
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
      if (Block*& list = lists_.heads[index]; list != nullptr) [[likely]] return pop(list, index * granule);
      return refill(index);
    }
    return ::operator new(size);
  }

  static void deallocate(void* memory, std::size_t size) noexcept {
    const std::size_t index = (size + granule - 1) / granule;
    if (index <= largest / granule) [[likely]] {
      if (!lists_.armed && !arm()) [[unlikely]] return give_to_depot(memory, index);
      push(lists_.heads[index], memory, index * granule);
      return;
    }
    ::operator delete(memory);
  }

 private:
  struct Block {
    Block* next;
  };
  static constexpr std::size_t classes = largest / granule + 1;
#ifdef HEIRLOOP_ASAN
  static constexpr std::size_t slab_size = 0;
#else
  static constexpr std::size_t slab_size = 64 * 1024;
#endif

  // Trivially destructible, so that frames which end after the thread's other locals can still be freed.
  struct Lists {
    Block* heads[classes];
    std::byte* slab;  // what is not cut yet
    std::byte* slab_end;
    bool armed;   // a Closer will give them to the depot
    bool closed;  // it has
  };
  struct Closer {
    ~Closer();
  };
  struct Depot {
    std::mutex mutex;
    Block* heads[classes];
  };

  static void* refill(std::size_t index);
  static void* cut(std::size_t size) noexcept;
  static void give_to_depot(void* memory, std::size_t index) noexcept;

  /// The first block that a thread takes or is given arms what empties the lists at the thread's end. False after it.
  static bool arm() noexcept;

  static void push(Block*& list, void* memory, std::size_t size) noexcept {
    Block* block = static_cast<Block*>(memory);
    block->next = list;
    list = block;
    poison(block, size);
  }
  static void* pop(Block*& list, std::size_t size) noexcept {
    Block* block = list;
    unpoison(block, size);
    list = block->next;
    return block;
  }

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
  static constinit Depot depot_;
};

inline thread_local constinit FramePool::Lists FramePool::lists_{};

/// Makes `new T` and `delete` of a class draw from the pool. The class must not be derived from further without a
/// declaration of its own.
struct Pooled {
  static void* operator new(std::size_t size) { return FramePool::allocate(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { FramePool::deallocate(memory, size); }
};

}  // namespace heirloop::detail
