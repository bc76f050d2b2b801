// Recycled memory for posts: blocks that one thread takes and another gives back.
//
// Owns: a list of free blocks per thread, and the depot between them. Called by the blocks of posted callbacks.
//
// 1. A thread that gives back more than it takes passes its surplus on to the depot, a batch at a time; a thread whose list
//    is empty takes a batch from there. So what the loop's thread frees comes back to those who post.
// 2. Blocks are cut from slabs, begin on a cache line, and are never returned to the system. What is free when a thread ends
//    goes to the depot.
// 3. Under AddressSanitizer nothing is recycled.
//
// Cost: some loads and stores; a lock for each batch.
#pragma once

#include <cstddef>
#include <mutex>
#include <new>

#include <heirloop/sched/frame_pool.hpp>

namespace heirloop::detail {

class PostPool {
 public:
  static constexpr std::size_t block_size = 256;
  static constexpr unsigned batch = 64;

  static void* allocate() {
#ifdef HEIRLOOP_ASAN
    return ::operator new(block_size, std::align_val_t(FramePool::granule));
#else
    if (mine_.first == nullptr) [[unlikely]] refill();
    Block* block = mine_.first;
    mine_.first = block->next;
    --mine_.count;
    return block;
#endif
  }

  static void deallocate(void* memory) noexcept {
#ifdef HEIRLOOP_ASAN
    ::operator delete(memory, std::align_val_t(FramePool::granule));
#else
    mine_.first = ::new (memory) Block{mine_.first, nullptr, 0};
    if (++mine_.count >= mine_.most) [[unlikely]] give_back();
#endif
  }

 private:
  struct Block {
    Block* next;
    Block* next_batch;  // of the first block of a batch in the depot
    unsigned count;     // likewise
  };

  // Trivially destructible, so that posts which end after the thread's other locals can still be freed.
  struct List {
    Block* first;
    unsigned count;
    unsigned most;  // before a batch goes to the depot; 0 before the first such call and after the thread's end: see to it
    bool closed;    // all that is given back goes to the depot
  };
  struct Closer {
    ~Closer();
  };
  struct Depot {
    std::mutex mutex;
    Block* batches;
  };

  static void refill();
  static void give_back() noexcept;
  static void arm() noexcept;
  static void to_depot(Block* first, unsigned count) noexcept;

  static thread_local constinit List mine_;
  static constinit Depot depot_;
};

inline thread_local constinit PostPool::List PostPool::mine_{};

}  // namespace heirloop::detail
