// What several tasks own together: each owner's share, its guard, and what becomes of it when the owner ends.
//
// Owns: `Share` (the holding, in a recycled block: the guard moves, the holding must not), `JointResource` (base of
// Semaphore and RWLock), `ShareWait` (base of their awaiters) and `ShareGuard` (base of their guards).
//
//   ShareWait ──free, or hand-off──▶ owned ──release, abort of the elected──▶ given back ──▶ admit()
//                                      └──owner ends──▶ given back, the guard is left empty-handed
//
// 1. A share is in the resource's holdings from the hand-off until it is given back; every owner inherits from every
//    waiter.
// 2. Who may go in has gone in when a call returns that gave a share back or took a waiter away (`admit`).
// 3. A guard owns its block to its own end; after its owner ended it touches neither the task nor the resource.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <heirloop/sched/frame_pool.hpp>
#include <heirloop/sync/waiter.hpp>

namespace heirloop::detail {

struct Share final : Holding, Pooled {
  explicit Share(Resource& of) noexcept { resource = &of; }
};
using SharePtr = std::unique_ptr<Share>;

class JointResource : public Resource {
 public:
  /// From its owner to those who may go in now, or to nobody. Cost: O(log n), times the owners that are left.
  void give_back(Share& share) noexcept {
    unlink_holding(share);
    given_back(share);
    if (!waiters().empty()) [[unlikely]] admit();
  }

  /// Lets in, in the queue's order, who may go in now.
  virtual void admit() noexcept = 0;

  std::string describe() const final { return what_.text(); }

 protected:
  JointResource(const char* kind, std::string_view name) noexcept : what_{kind, name} {}
  ~JointResource() = default;

  /// The share has left the holdings.
  virtual void given_back(const Share& share) noexcept = 0;

  /// A share that needs no waiting.
  SharePtr own(Task& task) {
    auto share = std::make_unique<Share>(*this);
    link_holding(*share, task);
    return share;
  }

  std::vector<TaskRef> holders() const;

  /// "held by Task-1 and 2 others", behind a blank; empty when nobody holds it.
  std::string holders_text() const;

 private:
  void owner_died(Holding& holding) noexcept final;

  KindAndName what_;
};

/// A wait for a share. `await_ready` sets `share_` when it need not wait, and answers with `goes_on`.
class ShareWait : public Waiter {
 public:
  void await_suspend(std::coroutine_handle<> frame) {
    if (share_ == nullptr) share_ = std::make_unique<Share>(resource_);  // now, for a hand-over can't fail
    suspend(resource_.waiters(), frame);
  }

  AbortResult abort() noexcept override;

  /// It is in no queue any more: owns its share.
  Share& link() noexcept {
    link_holding(*share_, *task());
    return *share_;
  }

 protected:
  explicit ShareWait(JointResource& resource) noexcept : resource_(resource) {}
  ~ShareWait() = default;

  /// What `await_resume` does.
  template <class Guard>
  Guard obtained() {
    waited();
    Guard guard(std::move(share_));
    gave_way();
    return guard;
  }

  SharePtr share_;

 private:
  JointResource& resource_;
};

/// Gives a share back at the end of its scope. Movable; empty when moved from or released. Destroyed by a task that does
/// not own the share it gives it back and logs; when the owner has ended, the share was given back then.
class ShareGuard {
 public:
  explicit ShareGuard(SharePtr share) noexcept : share_(std::move(share)) {}
  ShareGuard(ShareGuard&& other) noexcept = default;
  ShareGuard& operator=(ShareGuard&& other) noexcept {
    const ShareGuard old(std::move(*this));
    share_ = std::move(other.share_);
    return *this;
  }
  ~ShareGuard() {
    if (share_ == nullptr) return;
    if (owned_here()) [[likely]] {
      resource().give_back(*share_);
    } else {
      drop_foreign();
    }
  }

  /// False when the share was given back: moved from, released, or its owner ended.
  explicit operator bool() const noexcept { return owner() != nullptr; }

  /// Who owns the share; null when it was given back.
  Task* owner() const noexcept { return share_ == nullptr ? nullptr : share_->owner; }

  /// Gives the share back now: who may go in owns it at once.
  /// Errors: InvalidStateError when released before, when the current task does not own it, when its owner has ended.
  /// Cost: O(log n), times the owners that are left.
  void release();

  /// The share belongs to `to` from now on, which inherits from the waiters; the caller does not any more. The guard stays
  /// where it is: move it to where `to` will end it.
  /// Errors: InvalidStateError as `release`, and when `to` is done; DeadlockError, with nothing changed, when nobody could
  /// go on then. Cost: O(log n).
  void transfer(const TaskRef& to);

 protected:
  /// Errors: InvalidStateError as `release`.
  void check_owned() const;

  JointResource& resource() const noexcept { return static_cast<JointResource&>(*share_->resource); }

  SharePtr share_;

 private:
  bool owned_here() const noexcept { return share_->owner == this_thread.task && share_->owner != nullptr; }
  void drop_foreign() noexcept;
};

}  // namespace heirloop::detail
