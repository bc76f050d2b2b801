// Shared<T>, SharedRW<T>: data that can be reached only while its lock is held.
//
// Owns: the value and its lock, and `Held`, the guard that gives both. Called by tasks; who waits for whom is the lock's
// affair (lock.hpp, rw_lock.hpp).
//
// 1. There is no way to the value but through a guard; one that was released or moved from refuses.
// 2. Readers get it as const.
// 3. When an owner ends without giving back, the value is as it left it: its waiters get OwnerDied, those who come later
//    get the value.
#pragma once

#include <coroutine>
#include <optional>
#include <string_view>
#include <utility>

#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/rw_lock.hpp>

namespace heirloop {

/// The value, as long as its lock is held. Movable. Must not outlive what it came from.
template <class T, class Guard>
class [[nodiscard]] Held {
 public:
  Held(Guard guard, T& value) noexcept : guard_(std::move(guard)), value_(&value) {}

  explicit operator bool() const noexcept { return static_cast<bool>(guard_); }

  /// Errors: InvalidStateError when released or moved from.
  T& operator*() const { return *checked(); }
  T* operator->() const { return checked(); }

  /// Gives the lock back now. Errors: InvalidStateError when released before, or by a task that does not hold the lock.
  void release() { guard_.release(); }

  /// As the guard of the lock has it.
  void transfer(const TaskRef& to)
    requires requires(Guard& guard) { guard.transfer(to); }
  {
    guard_.transfer(to);
  }

  /// The right to write for one to read, as WriteGuard has it. This guard is empty then.
  [[nodiscard]] Held<const T, ReadGuard> downgrade()
    requires requires(Guard& guard) { guard.downgrade(); }
  {
    return {guard_.downgrade(), *value_};
  }

 private:
  T* checked() const {
    if (!guard_) [[unlikely]] throw InvalidStateError("this guard holds its value no longer");
    return value_;
  }

  Guard guard_;
  T* value_;
};

namespace detail {

/// The lock's own awaiter; the value comes out with the lock's guard.
template <class Acquire, class Result, class T>
class AcquireHeld {
 public:
  template <class Lock>
  AcquireHeld(Lock& lock, T& value) noexcept : acquire_(lock), value_(value) {}

  bool await_ready() { return acquire_.await_ready(); }
  void await_suspend(std::coroutine_handle<> frame) { acquire_.await_suspend(frame); }
  Result await_resume() { return Result(acquire_.await_resume(), value_); }

 private:
  Acquire acquire_;
  T& value_;
};

}  // namespace detail

/// One at a time: `auto held = co_await shared.lock(); held->push_back(1);`
template <class T>
class Shared {
 public:
  using Guard = Held<T, LockGuard>;
  using Lock = detail::AcquireHeld<PriorityLock::Acquire, Guard, T>;

  /// `name`, of the lock, appears in messages; it must outlive this (a literal does).
  explicit Shared(T value = T(), std::string_view name = {}) : lock_(name), value_(std::move(value)) {}

  /// In place, from `args`.
  template <class... Args>
  explicit Shared(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...) {}

  /// Suspends, Interrupt, Errors and Cost: as PriorityLock::acquire.
  [[nodiscard]] Lock lock() { return Lock(lock_, value_); }

  /// Nothing when another task holds it. Never suspends.
  [[nodiscard]] std::optional<Guard> try_lock() {
    auto guard = lock_.try_acquire();
    if (!guard) return std::nullopt;
    return Guard(std::move(*guard), value_);
  }

  bool locked() const noexcept { return lock_.locked(); }
  Task* owner() const noexcept { return lock_.owner(); }
  std::size_t waiter_count() const noexcept { return lock_.waiter_count(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { lock_.count_waits(into); }

 private:
  PriorityLock lock_;
  T value_;
};

/// Many who read or one who writes.
template <class T>
class SharedRW {
 public:
  using ReadHeld = Held<const T, ReadGuard>;
  using WriteHeld = Held<T, WriteGuard>;
  using Read = detail::AcquireHeld<RWLock::Read, ReadHeld, const T>;
  using Write = detail::AcquireHeld<RWLock::Write, WriteHeld, T>;

  /// `name`, of the lock, appears in messages; it must outlive this (a literal does).
  explicit SharedRW(T value = T(), std::string_view name = {}) : lock_(name), value_(std::move(value)) {}

  /// In place, from `args`.
  template <class... Args>
  explicit SharedRW(std::in_place_t, Args&&... args) : value_(std::forward<Args>(args)...) {}

  /// Suspends, Interrupt, Errors and Cost: as RWLock::read and RWLock::write.
  [[nodiscard]] Read read() { return Read(lock_, value_); }
  [[nodiscard]] Write write() { return Write(lock_, value_); }

  /// Nothing when the caller would have to wait. Never suspend.
  [[nodiscard]] std::optional<ReadHeld> try_read() {
    auto guard = lock_.try_read();
    if (!guard) return std::nullopt;
    return ReadHeld(std::move(*guard), value_);
  }
  [[nodiscard]] std::optional<WriteHeld> try_write() {
    auto guard = lock_.try_write();
    if (!guard) return std::nullopt;
    return WriteHeld(std::move(*guard), value_);
  }

  bool locked() const noexcept { return lock_.locked(); }
  Task* writer() const noexcept { return lock_.writer(); }
  std::size_t waiter_count() const noexcept { return lock_.waiter_count(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { lock_.count_waits(into); }

 private:
  RWLock lock_;
  T value_;
};

}  // namespace heirloop
