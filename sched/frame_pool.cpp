#include <heirloop/sched/frame_pool.hpp>

#include <algorithm>
#include <utility>

namespace heirloop::detail {

constinit FramePool::Depot FramePool::depot_{};

FramePool::Closer::~Closer() {
  lists_.armed = false;
  lists_.closed = true;
  for (std::size_t index = 1; index < classes; ++index) {
    while (lists_.heads[index] != nullptr) give_to_depot(pop(lists_.heads[index], index * granule), index);
  }
  while (lists_.slab != lists_.slab_end) {
    const std::size_t size = std::min(static_cast<std::size_t>(lists_.slab_end - lists_.slab), largest);
    give_to_depot(cut(size), size / granule);
  }
}

bool FramePool::arm() noexcept {
  if (lists_.closed) return false;
  static thread_local Closer closer;
  lists_.armed = true;
  return true;
}

void FramePool::give_to_depot(void* memory, [[maybe_unused]] std::size_t index) noexcept {
#ifdef HEIRLOOP_ASAN
  ::operator delete(memory, std::align_val_t(granule));  // the leak checker follows no chain through poisoned memory
#else
  const std::lock_guard guard(depot_.mutex);
  push(depot_.heads[index], memory, index * granule);
#endif
}

void* FramePool::refill(std::size_t index) {
  const std::size_t size = index * granule;
  const bool keeps = lists_.armed || arm();
  {
    const std::lock_guard guard(depot_.mutex);
    if (Block*& list = depot_.heads[index]; list != nullptr) {
      if (keeps) lists_.heads[index] = std::exchange(list, nullptr);
      return pop(keeps ? lists_.heads[index] : list, size);
    }
  }
  const auto left = static_cast<std::size_t>(lists_.slab_end - lists_.slab);
  if (left < size) {
    if (left != 0) push(lists_.heads[left / granule], cut(left), left);
    const std::size_t fresh = keeps ? std::max(slab_size, size) : size;
    lists_.slab = static_cast<std::byte*>(::operator new(fresh, std::align_val_t(granule)));
    lists_.slab_end = lists_.slab + fresh;
  }
  return cut(size);
}

/// From the slab, which has as much.
void* FramePool::cut(std::size_t size) noexcept { return std::exchange(lists_.slab, lists_.slab + size); }

}  // namespace heirloop::detail
