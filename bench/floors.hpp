// What the machine can do: bare coroutines in a ring of handles, without tasks, priorities, checks or a
// clock.
//
// The floors of most rows are made of these. They promise nothing: no cancel, no order but first in first
// out, no bound on what they hold. What heirloop costs above them is the price of what it promises.
#pragma once

#include <bit>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>

namespace heirloop::bench {

/// Memory by size class, last freed first; kept to the end of the program.
class Recycler {
 public:
  static void* allocate(std::size_t size) {
    Block*& list = lists[(size + 63) / 64];
    if (Block* block = list) {
      list = block->next;
      return block;
    }
    return ::operator new((size + 63) / 64 * 64);
  }
  static void deallocate(void* memory, std::size_t size) noexcept {
    Block* block = static_cast<Block*>(memory);
    block->next = lists[(size + 63) / 64];
    lists[(size + 63) / 64] = block;
  }

 private:
  struct Block {
    Block* next;
  };
  inline static Block* lists[64]{};
};

/// A coroutine that starts when it is resumed first and stops at its end, where its owner destroys it.
struct Bare {
  struct promise_type {
    static void* operator new(std::size_t size) { return Recycler::allocate(size); }
    static void operator delete(void* memory, std::size_t size) noexcept {
      Recycler::deallocate(memory, size);
    }
    Bare get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> frame;
};

/// First in, first out, in an array.
class Ring {
 public:
  explicit Ring(std::size_t most)
      : slots_(new std::coroutine_handle<>[std::bit_ceil(most)]), mask_(std::bit_ceil(most) - 1) {}

  bool empty() const noexcept { return head_ == tail_; }
  void push(std::coroutine_handle<> frame) noexcept { slots_[tail_++ & mask_] = frame; }
  std::coroutine_handle<> pop() noexcept { return slots_[head_++ & mask_]; }

  /// Resumes until `done` is set.
  void run(const bool& done) {
    while (!done) pop().resume();
  }

  /// co_await ring.yield(): to the end of the ring.
  auto yield() noexcept {
    struct Yield {
      Ring& ring;
      bool await_ready() const noexcept { return false; }
      void await_suspend(std::coroutine_handle<> frame) const noexcept { ring.push(frame); }
      void await_resume() const noexcept {}
    };
    return Yield{*this};
  }

 private:
  std::unique_ptr<std::coroutine_handle<>[]> slots_;
  std::size_t mask_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
};

}  // namespace heirloop::bench
