// Handles: plain functions that the loop runs as one step each (`call_soon`, `call_later`, done callbacks, posts from other
// threads).
//
// Owns: the callable, in a recycled block that the loop and the users' handles share. Called by the loop, by tasks and futures
// as they end, and by users through `CallHandle` and `TimerHandle`.
//
//   pending (in a list, in the timers, ready) ──step──▶ running ──▶ over
//      └──cancel──▶ cancelled
//
// 1. A callable of up to 48 bytes lies inside its block. Posts have a pool of their own that brings their blocks back to who
//    posts, so that no thread's pool drains into another's.
// 2. `{running}` is empty while a handle runs: `current_task()` throws InvalidStateError there.
// 3. One that was cancelled never runs, wherever it stood; its callable is gone with the cancel.
// 4. What it stands by is decided when it is made; it becomes an urgency as the handle becomes ready, for the policy may
//    change before.
// 5. A handle runs in a copy of the context in which it was made, a post in an empty one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <heirloop/sched/context.hpp>
#include <heirloop/sched/entry.hpp>
#include <heirloop/sched/frame_pool.hpp>
#include <heirloop/sched/post_pool.hpp>
#include <heirloop/sched/timer.hpp>

namespace heirloop {

class CallHandle;
class Loop;

namespace detail {
class CallbackList;
}

/// How `call_soon`, `call_later` and `call_at` make a handle.
struct CallOptions {
  std::optional<double> priority{};  ///< empty: the base priority of the current task, NORMAL outside tasks
};

class Callback : public Entry {
 public:
  static constexpr std::size_t inline_size = 48;
  enum class Origin : std::uint8_t {
    loop,
    timer,
    other_thread,
    completion,  ///< lies in what another thread works on; called between two steps, makes ready what it ends
  };

  template <class F>
  Callback(F&& function, Origin origin) : Entry(Kind::handle), origin_(origin) {
    if (origin <= Origin::timer) context_.copy_of_current();
    using Function = std::decay_t<F>;
    if constexpr (sizeof(Function) <= inline_size && alignof(Function) <= alignof(std::max_align_t)) {
      ::new (static_cast<void*>(storage_)) Function(std::forward<F>(function));
      static constexpr Callable callable{
          [](void* storage) { (*std::launder(static_cast<Function*>(storage)))(); },
          [](void* storage) noexcept { std::destroy_at(std::launder(static_cast<Function*>(storage))); }};
      callable_ = &callable;
    } else {
      using Owner = std::unique_ptr<Function>;
      ::new (static_cast<void*>(storage_)) Owner(std::make_unique<Function>(std::forward<F>(function)));
      static constexpr Callable callable{
          [](void* storage) { (**std::launder(static_cast<Owner*>(storage)))(); },
          [](void* storage) noexcept { std::destroy_at(std::launder(static_cast<Owner*>(storage))); }};
      callable_ = &callable;
    }
  }
  ~Callback() { destroy_callable(); }

  /// Runs it, unless it was cancelled.
  void operator()() {
    if (stage_ != Stage::pending) return;
    stage_ = Stage::running;
    callable_->run(storage_);
  }

  /// In which it runs: a copy of that in which it was made, an empty one when it comes from another thread.
  detail::ContextSlot& context() noexcept { return context_; }

  bool is_completion() const noexcept { return origin_ == Origin::completion; }

  /// What the poster wants; the loop's thread makes it the urgency.
  void set_posted_priority(double priority) noexcept { priority_ = priority; }
  double posted_priority() const noexcept { return priority_; }

  /// The loop is done with it: the callable goes, and the block when nobody holds a handle.
  void dispose() noexcept {
    if (origin_ == Origin::completion) return;
    if (stage_ == Stage::pending) stage_ = Stage::cancelled;
    if (stage_ == Stage::running) stage_ = Stage::over;
    destroy_callable();
    let_go();
  }

  /// `Block`: Callback, or TimedCall for Origin::timer.
  template <class Block = Callback, class F>
  static Block* create(F&& function, Origin origin) {
    const bool posted = origin == Origin::other_thread;
    void* memory = posted ? detail::PostPool::allocate() : detail::FramePool::allocate(sizeof(Block));
    try {
      return ::new (memory) Block(std::forward<F>(function), origin);
    } catch (...) {
      if (posted) {
        detail::PostPool::deallocate(memory);
      } else {
        detail::FramePool::deallocate(memory, sizeof(Block));
      }
      throw;
    }
  }

 private:
  friend class CallHandle;
  friend class TimerHandle;
  friend class Inbox;
  friend class Loop;
  friend class TimedCall;
  friend class detail::CallbackList;

  struct Callable {
    void (*run)(void*);
    void (*destroy)(void*) noexcept;
  };
  enum class Stage : std::uint8_t { pending, running, over, cancelled };

  bool cancel() noexcept;
  void destroy_callable() noexcept {
    if (const Callable* callable = std::exchange(callable_, nullptr)) callable->destroy(storage_);
  }
  void let_go() noexcept {
    if (--references_ == 0) free_block();
  }
  void free_block() noexcept;

  const Callable* callable_;  // null: gone
  Loop* loop_ = nullptr;      // of a handle that was made in its loop's thread
  Callback* next_ = nullptr;  // in the inbox, or in `list_`
  Callback* before_ = nullptr;
  detail::CallbackList* list_ = nullptr;  // in which it stands or stood; null: never in any
  SchedulingGroup* group_ = nullptr;
  double priority_ = priority::normal;
  std::uint32_t references_ = 1;  // the loop's, and one for each handle
  Origin origin_;
  Stage stage_ = Stage::pending;
  bool listed_ = false;  // stands in `list_`
  detail::ContextSlot context_;
  alignas(std::max_align_t) std::byte storage_[inline_size];
};

static_assert(sizeof(Callback) <= detail::PostPool::block_size);

/// One that becomes ready by a time.
class TimedCall final : public Callback, public Timer {
 public:
  template <class F>
  TimedCall(F&& function, Origin origin) : Callback(std::forward<F>(function), origin), Timer(due) {}

  /// Becomes ready.
  static void due(Timer& timer) noexcept;
};

/// A plain function that waits to be run. Copyable; dropping it cancels nothing. Belongs to the loop's thread.
class CallHandle {
 public:
  CallHandle() noexcept = default;
  explicit CallHandle(Callback* callback) noexcept : callback_(callback) { ++callback->references_; }
  CallHandle(const CallHandle& other) noexcept : callback_(other.callback_) {
    if (callback_ != nullptr) ++callback_->references_;
  }
  CallHandle(CallHandle&& other) noexcept : callback_(std::exchange(other.callback_, nullptr)) {}
  CallHandle& operator=(CallHandle other) noexcept {
    std::swap(callback_, other.callback_);
    return *this;
  }
  ~CallHandle() {
    if (callback_ != nullptr) callback_->let_go();
  }

  explicit operator bool() const noexcept { return callback_ != nullptr; }
  friend bool operator==(const CallHandle& a, const CallHandle& b) noexcept = default;

  /// The function will not run, also when its time has come and it is ready already; it is destroyed in this call. False when
  /// it was cancelled before, runs now or has run.
  /// Errors: InvalidStateError for an empty handle, or on another thread. Cost: as taking an entry out of where it stands.
  bool cancel() const;

  /// True after a cancel, and when the loop ended before its run.
  /// Errors: InvalidStateError for an empty handle.
  bool cancelled() const { return callback().stage_ == Callback::Stage::cancelled; }

 protected:
  friend class Loop;
  friend class TaskRef;
  template <class T>
  friend class Future;
  Callback& callback() const {
    if (callback_ == nullptr) [[unlikely]] empty();
    return *callback_;
  }

 private:
  [[noreturn]] static void empty();

  Callback* callback_ = nullptr;
};

/// One that runs by a time.
class TimerHandle : public CallHandle {
 public:
  TimerHandle() noexcept = default;
  explicit TimerHandle(TimedCall* call) noexcept : CallHandle(call) {}

  /// When it becomes, or became, ready, of the loop's clock. Of one that was set by a span in this step it is fixed by this
  /// call.
  /// Errors: InvalidStateError for an empty handle, or on another thread while it waits. Cost: a clock read at most.
  std::chrono::steady_clock::time_point when() const;
};

namespace detail {

/// Callbacks that wait for one thing, in the order in which they were added. Cost: O(1).
class CallbackList {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  void push_back(Callback& callback) noexcept {
    callback.list_ = this;
    callback.listed_ = true;
    callback.next_ = nullptr;
    callback.before_ = first_ == nullptr ? &callback : first_->before_;  // the first one's is the last
    (first_ == nullptr ? first_ : first_->before_->next_) = &callback;
    first_->before_ = &callback;
  }

  void erase(Callback& callback) noexcept {
    callback.listed_ = false;
    if (callback.next_ != nullptr) {
      callback.next_->before_ = callback.before_;
    } else if (&callback != first_) {
      first_->before_ = callback.before_;
    }
    (&callback == first_ ? first_ : callback.before_->next_) = callback.next_;
  }

  /// Counts as one that has stood here.
  void adopt(Callback& callback) noexcept { callback.list_ = this; }
  bool has_had(const Callback& callback) const noexcept { return callback.list_ == this; }

  /// Null when empty.
  Callback* pop_front() noexcept {
    Callback* first = first_;
    if (first != nullptr) erase(*first);
    return first;
  }

 private:
  Callback* first_ = nullptr;
};

/// A function that gets `handle`, or nothing when it takes nothing.
template <class F, class Handle>
struct CalledWith {
  F function;
  Handle handle;
  void operator()() {
    if constexpr (std::is_invocable_v<F&, Handle>) {
      function(std::move(handle));
    } else {
      function();
    }
  }
};

}  // namespace detail

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
