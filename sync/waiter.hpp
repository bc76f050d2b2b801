// The wait under every primitive: one node in one queue, with direct hand-off.
//
// Owns: the node, and whether the wait was handed over to, lost its owner, or only gives way. Derived from by the
// awaiters of the primitives; those that stand in several queues derive from CheckpointWait and have their own nodes.
//
//   await_ready ──free──▶ goes_on ──▶ await_resume           (every 64th gives way first, with what it got)
//        └──not──▶ suspend ──hand-off──▶ handed_over() ──▶ await_resume
//                     └──owner ends──▶ owner_died() ──▶ await_resume throws OwnerDied
//
// 1. Who hands over makes the waiter's task the owner, then wakes it: `handed_over()` is true from then on.
// 2. `abort` of a wait that was handed over to passes what it got on to the next, in the same call.
// 3. `await_resume` calls `waited()`, which throws only when nothing was got; then puts what it got under a guard; then
//    calls `gave_way()`, which may throw what is pending. What no guard holds is given back by `gave_way_or()`.
// 4. From the hand-over on a wait touches its primitive only to give back what it got: who got nothing that can be given
//    back runs also when the primitive is gone.
// 5. A wait is awaited once, however that ended: `await_ready` begins with `first_await()`, which refuses the second time.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/loop.hpp>

namespace heirloop::detail {

/// InvalidStateError: "WHAT can be used by tasks only".
[[noreturn]] void refuse_no_task(const std::string& what);

/// InvalidStateError: a wait for WHAT was awaited before.
[[noreturn]] void refuse_second_await(const std::string& what);

/// Who uses `what`, which describes itself. Errors: InvalidStateError outside tasks.
template <class What>
Task& checked_task(const What& what) {
  Task* task = this_thread.task;
  if (task == nullptr) [[unlikely]] {
    [](const What& used) __attribute__((noinline, cold)) { refuse_no_task(used.describe()); }(what);
  }
  return *task;
}

/// "KIND 'NAME'", or "an unnamed KIND".
std::string kind_and_name(std::string_view kind, std::string_view name);

/// What a primitive is, for the message of a wait that may run when the primitive is gone: the name outlives both.
class KindAndName {
 public:
  KindAndName() = default;  // not set, for a wait that may never need it
  KindAndName(const char* kind, std::string_view name) noexcept : kind_(kind), name_(name.data()), size_(name.size()) {}

  std::string text() const { return kind_and_name(kind_, {name_, size_}); }

 private:
  const char* kind_;
  const char* name_;
  std::size_t size_;
};

/// The wait has got what it waited for: out of its queue, and its task ready.
inline void wake(WaitNode& node) noexcept {
  Wait& wait = node.wait();
  wait.task()->loop().wake(wait);
}

/// All of them, in the order in which they would have been handed over to.
inline void wake_all(WaiterQueue& waiters) noexcept {
  while (WaitNode* node = waiters.next()) wake(*node);
}

/// A wait that counts as an occasional checkpoint where it need not wait.
class CheckpointWait : public Wait {
 protected:
  enum class Went : std::uint8_t { not_yet, on, on_later, to_wait, to_lost_owner };

  ~CheckpointWait() = default;

  /// What `await_ready` begins with: the task that is to use `what`.
  /// Errors: InvalidStateError outside tasks, and when this was awaited before, however that ended.
  /// Cost: a comparison; none where the compiler sees that the wait is new, as in `co_await lock.acquire()`.
  template <class What>
  Task& first_await(const What& what) {
    if (went_ != Went::not_yet) [[unlikely]] {
      [](const What& used) __attribute__((noinline, cold)) { refuse_second_await(used.describe()); }(what);
    }
    return checked_task(what);
  }

  /// The answer of `await_ready` when nothing has to be waited for: true, or false when the task is to give way this time.
  bool goes_on(Task& task) noexcept {
    went_ = task.loop().should_yield_now_and_then() ? Went::on_later : Went::on;
    return went_ == Went::on;
  }

  /// The same for who need not give way, as others wait for it.
  bool goes_on_at_once() noexcept {
    went_ = Went::on;
    return true;
  }
  bool gives_way() const noexcept { return went_ == Went::on_later; }

  /// What `await_suspend` does when it does not give way: waits where `enter()` has it stand. Errors: those of `enter`;
  /// then too this was awaited.
  template <class Enter>
  void wait_where(Loop& loop, std::coroutine_handle<> frame, Enter enter) {
    begins_to_wait();
    enter();
    loop.block(*this, frame);
  }
  /// The first of that, for who stands there already and then blocks.
  void begins_to_wait() noexcept { went_ = Went::to_wait; }
  bool has_waited() const noexcept { return went_ >= Went::to_wait; }

  /// What it waits for may be gone.
  void loses_its_owner() noexcept { went_ = Went::to_lost_owner; }
  bool lost_its_owner() const noexcept { return went_ == Went::to_lost_owner; }

  /// What `await_resume` ends with, what it got under a guard: throws what is pending when it gave way with it.
  void gave_way() const {
    if (gives_way()) [[unlikely]] throw_pending();
  }

  /// The same for what no guard holds: `give_back()` comes before the throw.
  template <class GiveBack>
  void gave_way_or(GiveBack give_back) const {
    if (gives_way()) [[unlikely]] throw_pending_or(give_back);
  }

 private:
  [[gnu::noinline]] static void throw_pending() { Loop::resumed(); }
  template <class GiveBack>
  [[gnu::noinline]] static void throw_pending_or(const GiveBack& give_back) {
    try {
      Loop::resumed();
    } catch (...) {
      give_back();
      throw;
    }
  }

  Went went_ = Went::not_yet;
};

/// A wait in one queue.
class Waiter : public CheckpointWait {
 public:
  Waiter() noexcept : node_(*this) {}

  WaitNode& node() noexcept { return node_; }

  /// The owner of `what`, for which these wait, ended without giving it back: their waits end with OwnerDied.
  static void owner_died(WaiterQueue& waiters, const KindAndName& what) noexcept {
    while (WaitNode* node = waiters.next()) {
      auto& waiter = static_cast<Waiter&>(node->wait());
      waiter.loses_its_owner();
      waiter.lost_ = what;
      wake(*node);
    }
  }

 protected:
  ~Waiter() = default;

  /// What `await_suspend` does: gives way, or waits in `queue`. Errors: DeadlockError.
  void suspend(WaiterQueue& queue, std::coroutine_handle<> frame) {
    Task& task = *this_thread.task;
    if (gives_way() || !stand_unnoticed(task, *this, node_, queue)) return suspend_otherwise(queue, frame);
    begins_to_wait();
    task.loop().block(*this, frame);
  }

  /// The same for who never gives way.
  void wait_in(WaiterQueue& queue, std::coroutine_handle<> frame) {
    Loop& loop = this_thread.task->loop();
    wait_where(loop, frame, [&] { enter_queue(loop, node_, queue); });
  }

  /// What `await_resume` begins with: when it waited, throws what is pending for the task (then what was handed over has
  /// gone on to the next), or OwnerDied.
  void waited() const {
    if (!has_waited()) return;
    Loop::resumed();
    if (lost_its_owner()) [[unlikely]] throw_owner_died();
  }

  /// It waited, and has been given what it waited for.
  bool handed_over() const noexcept { return has_waited() && node_.queue() == nullptr && !lost_its_owner(); }

  WaitNode node_;

 private:
  [[gnu::noinline]] void suspend_otherwise(WaiterQueue& queue, std::coroutine_handle<> frame) {
    if (gives_way()) return this_thread.task->loop().yield(frame);
    wait_in(queue, frame);
  }
  [[noreturn]] void throw_owner_died() const;

  KindAndName lost_;  // set when the owner died
};

}  // namespace heirloop::detail
