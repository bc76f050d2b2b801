#include <heirloop/io/buffer.hpp>
#include <heirloop/sched/frame_pool.hpp>

#include <bit>
#include <new>

namespace heirloop {
namespace {

using detail::FramePool;

constexpr std::size_t first_class = 2 * FramePool::largest;  // 8 KiB
constexpr std::size_t last_class = 256 * 1024;
constexpr std::size_t classes = 6;  // 8, 16, 32, 64, 128, 256 KiB
constexpr std::size_t kept_bytes = 1024 * 1024;
static_assert(first_class << (classes - 1) == last_class);

struct Block {
  Block* next;
};
struct Lists {
  Block* heads[classes];
  std::size_t counts[classes];
  bool closed;
};
thread_local constinit Lists lists{};

// Gives the lists back to the system as the thread ends; buffers freed later go there directly.
struct Reaper {
  bool armed = false;
  ~Reaper() {
    lists.closed = true;
    for (Block*& head : lists.heads) {
      while (head != nullptr) ::operator delete(std::exchange(head, head->next));
    }
  }
};
thread_local Reaper reaper;

std::size_t class_of(std::size_t capacity) noexcept {
  return static_cast<std::size_t>(std::countr_zero(capacity) - std::countr_zero(first_class));
}

}  // namespace

Buffer::Buffer(std::size_t size) {
  const std::size_t capacity = std::bit_ceil(size < smallest ? smallest : size);
  if (capacity <= FramePool::largest) {
    data_ = static_cast<char*>(FramePool::allocate(capacity));
  } else if (capacity <= last_class && lists.heads[class_of(capacity)] != nullptr) {
    const std::size_t index = class_of(capacity);
    Block* block = lists.heads[index];
    lists.heads[index] = block->next;
    --lists.counts[index];
    data_ = reinterpret_cast<char*>(block);
  } else {
    reaper.armed = true;
    data_ = static_cast<char*>(::operator new(capacity));
  }
  capacity_ = capacity;
}

void Buffer::release() noexcept {
  if (capacity_ <= FramePool::largest) {
    FramePool::deallocate(data_, capacity_);
    return;
  }
  if (capacity_ <= last_class && !lists.closed) {
    const std::size_t index = class_of(capacity_);
    if ((lists.counts[index] + 1) * capacity_ <= kept_bytes) {
      lists.heads[index] = ::new (static_cast<void*>(data_)) Block{lists.heads[index]};
      ++lists.counts[index];
      return;
    }
  }
  ::operator delete(data_);
}

}  // namespace heirloop
