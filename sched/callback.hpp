// Handles: plain functions that the loop runs as one step each (`call_soon`, posts from other threads, timers' calls).
//
// 1. A callable of up to 48 bytes lies inside its block; blocks of `call_soon` are recycled. A block posted from
//    another thread comes from `operator new`, so that neither thread's pool drains into the other's.
// 2. `{running}` is empty while a handle runs: `current_task()` throws InvalidStateError there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <heirloop/sched/entry.hpp>
#include <heirloop/sched/frame_pool.hpp>

namespace heirloop {

class Callback : public Entry {
 public:
  static constexpr std::size_t inline_size = 48;
  enum class Origin : std::uint8_t { loop, other_thread };

  template <class F>
  Callback(F&& function, Origin origin) : Entry(Kind::handle), origin_(origin) {
    using Function = std::decay_t<F>;
    if constexpr (sizeof(Function) <= inline_size && alignof(Function) <= alignof(std::max_align_t)) {
      ::new (static_cast<void*>(storage_)) Function(std::forward<F>(function));
      run_ = [](void* storage) { (*std::launder(static_cast<Function*>(storage)))(); };
      destroy_ = [](void* storage) noexcept { std::destroy_at(std::launder(static_cast<Function*>(storage))); };
    } else {
      using Owner = std::unique_ptr<Function>;
      ::new (static_cast<void*>(storage_)) Owner(std::make_unique<Function>(std::forward<F>(function)));
      run_ = [](void* storage) { (**std::launder(static_cast<Owner*>(storage)))(); };
      destroy_ = [](void* storage) noexcept { std::destroy_at(std::launder(static_cast<Owner*>(storage))); };
    }
  }
  ~Callback() { destroy_(storage_); }

  void operator()() { run_(storage_); }

  /// What the poster wants; the loop's thread makes it the urgency.
  void set_posted_priority(double priority) noexcept { posted_priority_ = priority; }
  double posted_priority() const noexcept { return posted_priority_; }

  /// Destroys the callable and gives the block back.
  void dispose() noexcept {
    const Origin origin = origin_;
    this->~Callback();
    if (origin == Origin::loop) {
      detail::FramePool::deallocate(this, sizeof(Callback));
    } else {
      ::operator delete(static_cast<void*>(this));
    }
  }

  template <class F>
  static Callback* create(F&& function, Origin origin) {
    void* memory = origin == Origin::loop ? detail::FramePool::allocate(sizeof(Callback)) : ::operator new(sizeof(Callback));
    try {
      return ::new (memory) Callback(std::forward<F>(function), origin);
    } catch (...) {
      if (origin == Origin::loop) {
        detail::FramePool::deallocate(memory, sizeof(Callback));
      } else {
        ::operator delete(memory);
      }
      throw;
    }
  }

 private:
  friend class Inbox;

  void (*run_)(void*);
  void (*destroy_)(void*) noexcept;
  Callback* next_ = nullptr;  // in the inbox
  double posted_priority_ = priority::normal;
  Origin origin_;
  alignas(std::max_align_t) std::byte storage_[inline_size];
};

/// What other threads give to the loop: a lock-free stack, taken whole and turned round.
class Inbox {
 public:
  Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  ~Inbox() {
    for (Callback* post = take_all(); post != nullptr;) std::exchange(post, next(*post))->dispose();
  }

  /// Not 0 when something is there.
  std::uintptr_t look() const noexcept {
    return reinterpret_cast<std::uintptr_t>(head_.load(std::memory_order_relaxed));
  }

  /// The same, ordered after what this thread has published.
  bool any_ordered() const noexcept { return head_.load(std::memory_order_seq_cst) != nullptr; }

  /// From any thread.
  void push(Callback& post) noexcept {
    Callback* head = head_.load(std::memory_order_relaxed);
    do {
      post.next_ = head;
    } while (!head_.compare_exchange_weak(head, &post, std::memory_order_seq_cst, std::memory_order_relaxed));
  }

  /// First posted first.
  Callback* take_all() noexcept {
    Callback* newest = head_.exchange(nullptr, std::memory_order_acquire);
    Callback* oldest = nullptr;
    while (newest != nullptr) {
      Callback* following = newest->next_;
      newest->next_ = oldest;
      oldest = newest;
      newest = following;
    }
    return oldest;
  }

  static Callback* next(const Callback& post) noexcept { return post.next_; }

 private:
  std::atomic<Callback*> head_{nullptr};
};

}  // namespace heirloop
