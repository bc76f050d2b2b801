#include <heirloop/sync/queue.hpp>

#include <algorithm>

namespace heirloop::detail {

void QueueBase::task_done() {
  if (unfinished() == 0) throw InvalidStateError(describe() + ": task_done was called more often than items were put");
  unfinished_.done();
}

void QueueBase::shut_down(bool discarded) noexcept {
  shut_down_ = true;
  if (discarded) {
    unfinished_.add(-static_cast<std::ptrdiff_t>(std::min(size_, unfinished())));
    size_ = 0;
  }
  elect();
}

void QueueBase::refuse(Want want) const {
  throw QueueShutDown(describe() + " is shut down" + (want == Want::item ? ", and nothing is left in it" : ""));
}

}  // namespace heirloop::detail
