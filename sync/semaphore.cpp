#include <heirloop/sync/semaphore.hpp>

namespace heirloop {

Semaphore::Semaphore(std::ptrdiff_t permits, std::ptrdiff_t most, std::string_view name)
    : JointResource("Semaphore", name), free_(permits), total_(permits), most_(most) {
  if (permits < 0) throw std::invalid_argument("a semaphore begins with no permits or more, not with a negative number");
}

std::optional<Permit> Semaphore::try_acquire() {
  Task& task = detail::checked_task(*this);
  if (free_ == 0) return std::nullopt;
  return Permit(take(task));
}

void Semaphore::release(std::ptrdiff_t n) {
  if (n < 0) throw std::invalid_argument("a semaphore gets no permits or more, not a negative number");
  if (n > most_ - total_) {
    throw InvalidStateError(describe() + " has " + std::to_string(total_) + " permits and can't have " +
                            std::to_string(n) + " more; a permit that is held goes back by its guard");
  }
  total_ += n;
  free_ += n;
  admit();
}

/// The elected owns its permit, and has inherited, before it is ready.
void Semaphore::admit() noexcept {
  while (free_ > 0) {
    WaitNode* node = waiters().next();
    if (node == nullptr) return;
    auto& elected = static_cast<Acquire&>(node->wait());
    leave_queues(elected);
    --free_;
    elected.link();
    elected.task()->loop().wake_left(elected);
  }
}

}  // namespace heirloop
