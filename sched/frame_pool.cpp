#include <heirloop/sched/frame_pool.hpp>

namespace heirloop::detail {

FramePool::Reaper::~Reaper() {
  lists_.armed = false;
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
  if (!lists_.armed) arm();
  return ::operator new(index * granule);
}

bool FramePool::arm() noexcept {
  if (lists_.closed) return false;
  static thread_local Reaper reaper;
  lists_.armed = true;
  return true;
}

}  // namespace heirloop::detail
