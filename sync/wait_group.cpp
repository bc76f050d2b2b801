#include <heirloop/sync/wait_group.hpp>

namespace heirloop {

void WaitGroup::add(std::ptrdiff_t n) {
  std::ptrdiff_t count = 0;
  if (__builtin_add_overflow(count_, n, &count) || count < 0) {
    throw InvalidStateError(describe() + " with " + std::to_string(count_) + " under way can't count " +
                            std::to_string(n) + " more");
  }
  count_ = count;
  if (count == 0) {
    zero_.set();
  } else {
    zero_.clear();
  }
}

}  // namespace heirloop
