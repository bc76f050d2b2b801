#include <heirloop/sync/signal_semaphore.hpp>

#include <algorithm>
#include <stdexcept>

namespace heirloop {

SignalSemaphore::SignalSemaphore(std::ptrdiff_t permits, std::string_view name) : name_(name), free_(permits) {
  if (permits < 0 || permits > max_count) {
    throw std::invalid_argument(describe() + " can't begin with " + std::to_string(permits) + " permits");
  }
}

void SignalSemaphore::release(std::ptrdiff_t n) {
  if (n < 0) throw std::invalid_argument(describe() + " can't be given " + std::to_string(n) + " permits");
  const std::ptrdiff_t to_waiters = std::min(n, static_cast<std::ptrdiff_t>(waiters_.size()));
  const std::ptrdiff_t left = n - to_waiters;
  if (left > max_count - free_) {
    throw InvalidStateError(describe() + " can't be given " + std::to_string(n) + " permits: it has " +
                            std::to_string(free_));
  }
  for (std::ptrdiff_t i = 0; i < to_waiters; ++i) give(*waiters_.next());
  free_ += left;
}

}  // namespace heirloop
