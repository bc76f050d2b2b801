// What is the same in channels of every type: who waits, which rights are given, and the waits themselves.
//
// Owns: both queues of a channel, the count of rights that are given and not yet used, and the named owner. Derived from
// by Channel<T>. A right is the claim of one receiver to one item of the buffer, or of one sender to one place in it.
//
//   begin() ──may go on, has a right──────────────▶ finish()      (every 64th gives way first, with the right)
//      └──must wait──▶ in a queue ──elected, right──▲
//                           └──pass_on(): the right goes to the next
//
// 1. given_to_receivers <= items. While items are left over, nobody waits to receive.
// 2. items - given_to_receivers + given_to_senders < capacity: then nobody waits to send.
// 3. A right is given in the call that makes it possible, to the next waiter; nobody barges in.
// 4. A waiter that has a right and is stopped before it runs passes the right on in the same call. Who has no right does
//    not touch the channel any more once it has been let go.
// 5. The named owner, and a sender with a right, are holders of the channel: who waits to receive lends them its urgency.
#pragma once

#include <coroutine>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

#include <heirloop/sync/ring.hpp>
#include <heirloop/sync/waiter.hpp>

namespace heirloop {

/// Sent to a channel that was closed. The item was not sent.
class ChannelClosed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class TrySendResult {
  sent,
  full,    ///< the item is where it was
  closed,  ///< the item is where it was
};

namespace detail {

class ChannelCore;

/// One send or receive: a place in one of the channel's queues, and what became of it.
class ChannelOp : public WaitNode {
 public:
  enum class State : std::uint8_t {
    idle,
    right,   // to take one item, or to put one
    sent,    // the item has left the sender
    closed,  // nothing will come any more; nothing can be sent any more
    owner_died,
  };

  ChannelOp(Wait& wait, ChannelCore& channel) noexcept;

  /// It has got something, or the news that there is nothing to get.
  bool is_decided() const noexcept { return state_ != State::idle; }

  /// A sender with a right that does not run yet: waiting receivers lend `task` their urgency.
  void hold_meanwhile(Task& task) noexcept;

 protected:
  friend class ChannelCore;

  ChannelCore& channel_;
  [[noreturn]] void throw_closed() const;
  [[noreturn]] void throw_owner_died() const;

  Holding holding_;  // of a sender with a right
  State state_ = State::idle;
  KindAndName what_;  // set with `closed` and `owner_died`: the channel may be gone when its task runs
};

class ChannelCore : protected Resource {
 public:
  static constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();

  /// Items that can be had: those in the buffer less those that waiting receivers have been given the right to.
  std::size_t size() const noexcept { return items_.size() - given_to_receivers_; }
  bool empty() const noexcept { return size() == 0; }
  std::size_t capacity() const noexcept { return capacity_; }
  bool closed() const noexcept { return closed_; }
  std::size_t waiting_receivers() const noexcept { return waiters().size(); }
  std::size_t waiting_senders() const noexcept { return senders_.size(); }

  /// Counts waits to receive and waits to send from now on; null: nowhere. Cost: a branch as a wait begins and as it ends.
  void count_waits(WaitStatistics* receivers, WaitStatistics* senders) noexcept {
    waiters().count_in(receivers);
    senders_.count_in(senders);
  }

  /// From now on nothing can be sent: waiting senders get ChannelClosed. What is in the buffer can still be received; those
  /// who wait for more get nothing. A second close does nothing. Cost: O(n log n) in the number of waiters.
  void close() noexcept;

  /// Names the task on which receivers depend: it inherits from all who wait to receive, and when it ends while some wait,
  /// they get OwnerDied. An empty handle: nobody.
  /// Errors: InvalidStateError for a task that is done; DeadlockError, with nothing changed, when the task waits, directly
  /// or not, for one of the receivers, and nobody could go on. Cost: O(log n) besides the search for a deadlock.
  void set_owner(const TaskRef& task);
  Task* owner() const noexcept { return owner_.owner; }

  std::string describe() const override { return what_.text(); }

 protected:
  ChannelCore(const RingCounts& items, std::size_t capacity, std::string_view name) noexcept
      : items_(items), capacity_(capacity), what_{"Channel", name} {
    owner_.resource = this;
  }
  ~ChannelCore() {
    if (owner_.owner != nullptr) unlink_holding(owner_);
    contract(given_to_receivers_ == 0 && given_to_senders_ == 0, "nobody is about to use a channel when it ends");
  }

  friend class ChannelOp;

  bool is_rendezvous() const noexcept { return capacity_ == 0; }

  // ---- of receivers ----

  /// Whether it may go on: with a right, or with the news that nothing will come.
  bool may_receive(ChannelOp& op) noexcept {
    if (!empty()) {
      ++given_to_receivers_;
      op.state_ = ChannelOp::State::right;
    } else if (is_over()) {
      op.state_ = ChannelOp::State::closed;
    }
    return op.is_decided();
  }

  /// Every item that was sent has been taken, and none will come.
  bool is_over() const noexcept { return closed_ && items_.empty() && given_to_senders_ == 0; }

  // ---- of senders ----

  bool has_room() const noexcept { return size() + given_to_senders_ < capacity_; }

  /// In a rendezvous channel a sender goes on when a receiver waits.
  bool may_send_now() const noexcept { return has_room() || (is_rendezvous() && !waiters().empty()); }

  /// Whether it may go on: with a right, or with the news that the channel is closed.
  bool may_send(ChannelOp& op) noexcept {
    if (closed_) [[unlikely]] {
      op.state_ = ChannelOp::State::closed;
      op.what_ = what_;
    } else if (may_send_now()) {
      ++given_to_senders_;
      op.state_ = ChannelOp::State::right;
    }
    return op.is_decided();
  }

  // ---- rights ----

  /// The right is used, or given up: the count of it goes down. `settle` is to follow.
  void end_right_of_receiver(ChannelOp& op) noexcept {
    --given_to_receivers_;
    op.state_ = ChannelOp::State::idle;
  }
  void end_right_of_sender(ChannelOp& op) noexcept {
    if (op.holding_.owner != nullptr) end_owning(op.holding_);
    --given_to_senders_;
    op.state_ = ChannelOp::State::idle;
  }

  /// Gives out the rights that have become possible. Every change of items and rights ends with it.
  void settle() noexcept {
    if (!waiters().empty()) [[unlikely]] settle_receivers();
    if (!senders_.empty()) [[unlikely]] settle_senders();
  }

  /// The waiter goes on in this state.
  void elect(WaitNode& node, ChannelOp::State state) noexcept;

  std::string receivers_wait_for() const { return describe() + " to have an item"; }
  std::string senders_wait_for() const {
    return describe() + (is_rendezvous() ? " to have a receiver" : " to have room");
  }

  WaiterQueue senders_;

 private:
  void settle_receivers() noexcept;
  void settle_senders() noexcept;
  Needs needs() const noexcept override { return Needs::any; }  // one item is enough
  void owner_died(Holding& holding) noexcept override;

  Holding owner_;
  const RingCounts& items_;
  std::size_t capacity_;
  std::size_t given_to_receivers_ = 0;
  std::size_t given_to_senders_ = 0;
  KindAndName what_;
  bool closed_ = false;
};

inline ChannelOp::ChannelOp(Wait& wait, ChannelCore& channel) noexcept : WaitNode(wait), channel_(channel) {
  holding_.resource = &channel;
}

inline void ChannelOp::hold_meanwhile(Task& task) noexcept { begin_owning(holding_, task); }

/// A wait for one operation. `Op` is a ReceiveOp or SendOp of channel.hpp.
template <class Op>
class [[nodiscard("nothing is sent or received until this is awaited")]] OneOp final : public CheckpointWait {
 public:
  template <class... Args>
  explicit OneOp(Args&&... args) : op_(*this, std::forward<Args>(args)...) {}

  bool await_ready() {
    Task& task = first_await(*this);
    return op_.begin() && (op_.ends_by_itself() ? goes_on_at_once() : goes_on(task));
  }
  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    if (gives_way()) {
      op_.gives_way();
      return loop.yield(frame);
    }
    wait_where(loop, frame, [&] { enter_queue(loop, op_, op_.queue()); });
  }
  auto await_resume() {
    if (was_blocked()) Loop::resumed();  // what it had got has been passed on then
    gave_way_or([this] { op_.pass_on(); });
    return op_.finish();
  }

  AbortResult abort() noexcept override {
    op_.pass_on();
    return AbortResult::done;
  }
  std::string describe() const override { return op_.describe(); }

  /// Whether the item has left the sender: to be asked after an exception.
  bool sent() const noexcept
    requires requires(const Op& op) { op.sent(); }
  {
    return op_.sent();
  }

  Op& op() noexcept { return op_; }

 private:
  Op op_;
};

}  // namespace detail
}  // namespace heirloop
