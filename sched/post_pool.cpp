#include <heirloop/sched/post_pool.hpp>

#include <utility>

namespace heirloop::detail {

constinit PostPool::Depot PostPool::depot_{};

PostPool::Closer::~Closer() {
  mine_.closed = true;
  mine_.most = 0;
  if (mine_.first != nullptr) to_depot(std::exchange(mine_.first, nullptr), std::exchange(mine_.count, 0));
}

void PostPool::arm() noexcept {
  if (mine_.most != 0 || mine_.closed) return;
  static thread_local Closer closer;
  mine_.most = 2 * batch;
}

void PostPool::to_depot(Block* first, unsigned count) noexcept {
  first->count = count;
  const std::lock_guard guard(depot_.mutex);
  first->next_batch = depot_.batches;
  depot_.batches = first;
}

/// The list has no room for more, or it is the first block that the thread is given, or the thread ends.
void PostPool::give_back() noexcept {
  arm();
  if (mine_.closed) return to_depot(std::exchange(mine_.first, nullptr), std::exchange(mine_.count, 0));
  if (mine_.count < mine_.most) return;
  Block* const first = mine_.first;
  Block* last = first;
  for (unsigned i = 1; i < batch; ++i) last = last->next;
  mine_.first = std::exchange(last->next, nullptr);
  mine_.count -= batch;
  to_depot(first, batch);
}

void PostPool::refill() {
  arm();
  {
    const std::lock_guard guard(depot_.mutex);
    if (Block* const first = depot_.batches) {
      depot_.batches = first->next_batch;
      mine_.first = first;
      mine_.count = first->count;
      return;
    }
  }
  auto* const slab = static_cast<std::byte*>(::operator new(batch * block_size, std::align_val_t(FramePool::granule)));
  for (unsigned i = 0; i < batch; ++i) mine_.first = ::new (slab + i * block_size) Block{mine_.first, nullptr, 0};
  mine_.count = batch;
}

}  // namespace heirloop::detail
