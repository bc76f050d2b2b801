// RWLock: one writer or any number of readers, with exact priority inheritance and direct hand-off in one queue.
//
// Owns: who writes or who reads, and who waits. Called by tasks; awaiters go through the suspension contract of sched.
//
//          ┌──── write ◀── free ──▶ read (k shares) ◀──┐
//          └── downgrade ──▶ read      └── read ───────┘
//
// 1. The lock goes to its waiters in the queue's order: nobody passes one that stands before it, and a writer waits until
//    all shares are back. Readers that stand before the next writer go in together.
// 2. While it is read, a reader that comes goes in at once when it would stand before all who wait; so it passes a writer
//    only when it is more urgent, under `aging` by more than that writer has waited. A writer can't be starved there.
// 3. Who may go in has gone in when a call returns that gave a share back or took a waiter away. A waiting reader whose
//    urgency rose above the writers' is looked at at the next of these, and as the next reader comes.
// 4. The lock is free only while nobody waits. Every holder's effective priority is at most (as urgent as) that of every
//    waiter, for a waiter needs all of them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <heirloop/sync/joint_resource.hpp>

namespace heirloop {

class RWLock;

/// A share of the right to read, to the end of its scope.
class [[nodiscard]] ReadGuard final : public detail::ShareGuard {
 public:
  using ShareGuard::ShareGuard;
};

/// The right to write, to the end of its scope.
class [[nodiscard]] WriteGuard final : public detail::ShareGuard {
 public:
  using ShareGuard::ShareGuard;

  /// Gives the right to write for a share of the right to read; no writer comes between. The readers who stand before the
  /// next writer go in as well. This guard is empty then.
  /// Errors: InvalidStateError as `release`. Cost: O(log n) for each that goes in.
  [[nodiscard]] ReadGuard downgrade();
};

class RWLock final : private detail::JointResource {
 public:
  /// `name` appears in messages; it must outlive the lock (a literal does).
  explicit RWLock(std::string_view name = {}) noexcept : JointResource("RWLock", name) {}

  /// The lock must be free: who still holds it or waits for it would be left with nothing.
  ~RWLock() { contract(holdings() == nullptr, "a reader-writer lock is free when it ends"); }

  class Waiter;
  class Read;
  class Write;

  /// Takes a share of the right to read; the guard gives it back at the end of its scope. A task may take several.
  /// Suspends: while the lock is written, or read and somebody waits who stands before the caller; all holders inherit the
  /// caller's urgency meanwhile. Of those that go in at once every 64th gives way as a checkpoint does, holding its share.
  /// Interrupt: no share is held; when the lock had been handed over already, it has gone on to who may go in.
  /// Errors: DeadlockError when a holder waits, directly or not, for the caller: also when the caller itself reads, and
  /// would have to wait behind a writer, or writes; InvalidStateError outside tasks.
  /// Cost: a few stores when nobody waits; else O(log n), times the holders.
  [[nodiscard]] Read read();

  /// Takes the right to write; the guard gives it back at the end of its scope.
  /// Suspends: while another task reads or writes; all holders inherit the caller's urgency meanwhile. Of those that find
  /// it free every 64th gives way as a checkpoint does, holding it.
  /// Interrupt: as `read`; the readers behind may go in then.
  /// Errors: DeadlockError when a holder waits, directly or not, for the caller: also when the caller itself reads or
  /// writes; InvalidStateError outside tasks. Cost: as `read`.
  [[nodiscard]] Write write();

  /// The guard when the caller goes in at once, else nothing. Never suspend. Errors: InvalidStateError outside tasks.
  [[nodiscard]] std::optional<ReadGuard> try_read();
  [[nodiscard]] std::optional<WriteGuard> try_write();

  bool locked() const noexcept { return holdings() != nullptr; }

  /// Null when nobody writes.
  Task* writer() const noexcept { return writer_ == nullptr ? nullptr : writer_->owner; }

  /// Whose the read shares are, once for each; also those that were let in and have not run yet. Allocates.
  std::vector<TaskRef> readers() const { return writer_ == nullptr ? holders() : std::vector<TaskRef>(); }

  std::size_t waiter_count() const noexcept { return waiters().size(); }

  /// Counts waits in `into` from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* into) noexcept { waiters().count_in(into); }

  using JointResource::describe;

 private:
  friend class WriteGuard;

  bool lets_read(const Task& task) noexcept {
    if (waiters().empty()) [[likely]] return writer_ == nullptr;
    return lets_pass(task);
  }
  bool lets_pass(const Task& task) noexcept;
  bool lets_write() const noexcept { return holdings() == nullptr; }

  detail::SharePtr own_to_write(Task& task) {
    auto share = own(task);
    writer_ = share.get();
    return share;
  }
  void downgrade() noexcept;
  void given_back(const detail::Share& share) noexcept override {
    if (writer_ == &share) writer_ = nullptr;
  }
  void admit() noexcept override;

  const detail::Share* writer_ = nullptr;  // of whom writes
};

/// Any wait that can stand in the lock's queue.
class RWLock::Waiter : public detail::ShareWait {
 protected:
  Waiter(RWLock& lock, bool writes) noexcept : ShareWait(lock), lock_(lock), writes_(writes) {}
  ~Waiter() = default;

  RWLock& lock_;

 private:
  friend class RWLock;

  Waiter* behind_ = nullptr;  // among those who go in together
  const bool writes_;
};

class RWLock::Read final : public RWLock::Waiter {
 public:
  explicit Read(RWLock& lock) noexcept : Waiter(lock, false) {}

  bool await_ready() {
    Task& task = first_await(lock_);
    if (!lock_.lets_read(task)) return false;
    share_ = lock_.own(task);
    return goes_on(task);
  }
  ReadGuard await_resume() { return obtained<ReadGuard>(); }

  std::string describe() const override { return "reading " + lock_.describe() + lock_.holders_text(); }
};

class RWLock::Write final : public RWLock::Waiter {
 public:
  explicit Write(RWLock& lock) noexcept : Waiter(lock, true) {}

  bool await_ready() {
    Task& task = first_await(lock_);
    if (!lock_.lets_write()) return false;
    share_ = lock_.own_to_write(task);
    return goes_on(task);
  }
  WriteGuard await_resume() { return obtained<WriteGuard>(); }

  std::string describe() const override { return "writing " + lock_.describe() + lock_.holders_text(); }
};

inline RWLock::Read RWLock::read() { return Read(*this); }
inline RWLock::Write RWLock::write() { return Write(*this); }

}  // namespace heirloop
