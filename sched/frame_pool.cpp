#include <heirloop/sched/frame_pool.hpp>

namespace heirloop::detail {

FramePool::Reaper::~Reaper() {
  lists_.closed = true;
  for (std::size_t index = 0; index <= largest / granule; ++index) {
    while (Block* block = lists_.heads[index]) {
      unpoison(block, index * granule);
      lists_.heads[index] = block->next;
      ::operator delete(block);
    }
  }
}

void* FramePool::refill(std::size_t index) {
  // The first block of a thread arms what returns the lists at the thread's end.
  static thread_local Reaper reaper;
  reaper.armed = true;
  return ::operator new(index * granule);
}

}  // namespace heirloop::detail
