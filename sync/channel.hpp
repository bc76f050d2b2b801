// Channel: items from senders to receivers, in order, with direct hand-off of the right to take or put one.
//
// Owns: the buffer; who waits and which rights are given is kept by channel_core.hpp. Called by tasks; the forms that never
// suspend also by handles.
//
//   send ──▶ [ buffer of `capacity` items ] ──▶ receive        capacity 0: send and receive meet (rendezvous)
//
// 1. Items are taken in the order in which they were put; each is taken once.
// 2. Items stay in the buffer until the elected receiver runs; a sender's item stays with it until it runs. So who is
//    stopped has neither taken nor sent.
// 3. Rendezvous: the item leaves a waiting sender as a receiver comes. An item whose receiver left is kept for the next.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <heirloop/sync/channel_core.hpp>

namespace heirloop {

namespace detail {
template <class T>
class ReceiveOp;
template <class T>
class SendOp;
template <class T>
class SendItemOp;
}  // namespace detail

/// A channel for any number of senders and receivers. The item type moves without throwing.
///
/// The buffer holds `capacity` items besides those to which waiting receivers have been given the right: who sends to a
/// waiting receiver never waits for it to run. It holds more for a while when such a receiver leaves instead.
template <class T>
class Channel final : public detail::ChannelCore {
 public:
  using Receive = detail::OneOp<detail::ReceiveOp<T>>;
  using Send = detail::OneOp<detail::SendItemOp<T>>;
  using SendFrom = detail::OneOp<detail::SendOp<T>>;

  /// `capacity` items fit in the buffer; 0: rendezvous; `Channel<T>::unbounded`: senders never wait. `name` appears in
  /// messages; it must outlive the channel and those that were let go (a literal does).
  /// The channel may end when nobody waits and nobody has a right: also before those have run who get ChannelClosed,
  /// OwnerDied or nothing, and those whose item has left them.
  explicit Channel(std::size_t capacity, std::string_view name = {}) noexcept : ChannelCore(items_, capacity, name) {}

  /// Puts the item behind all others.
  /// Suspends: while the buffer is full (rendezvous: until a receiver comes); the most urgent sender goes first, by the
  /// policy, and the first among equals. Of those that find room every 64th gives way as a checkpoint does.
  /// Interrupt: the item was not sent. In a rendezvous channel a receiver may have taken it already, before the task could
  /// run; `sent()` of the awaited object, kept in a variable, tells.
  /// Errors: ChannelClosed when the channel is closed, also while it waits; InvalidStateError outside tasks.
  /// Cost: O(1), O(log n) when it waits; allocates only as the buffer grows for the first time.
  Send send(T item) { return Send(*this, std::move(item)); }

  /// As `send`, of an item that stays in `item` until it is sent: for what must not go with an exception, or with a
  /// `select` that chose something else.
  SendFrom send_from(T& item) noexcept { return SendFrom(*this, item); }

  /// Takes the oldest item; empty when the channel is closed and nothing is left.
  /// Suspends: while there is none; order and checkpoints as `send`. The named owner, and senders that are about to put an
  /// item, inherit the waiter's urgency meanwhile.
  /// Interrupt: no item was taken; the next receiver has the right to it.
  /// Errors: OwnerDied when the named owner ends while it waits; DeadlockError when the named owner waits, directly or not,
  /// for the caller; InvalidStateError outside tasks. Cost: as `send`.
  Receive receive() { return Receive(*this); }

  /// Puts the item if there is room (rendezvous: if a receiver waits); else it stays where it is. Never suspends.
  /// Errors: std::bad_alloc. Cost: O(1), O(log n) when a receiver waits.
  TrySendResult try_send(T&& item) {
    if (closed()) return TrySendResult::closed;
    if (!may_send_now()) return TrySendResult::full;
    items_.push(std::move(item));
    settle();
    return TrySendResult::sent;
  }
  TrySendResult try_send(const T& item) {
    if (closed()) return TrySendResult::closed;
    if (!may_send_now()) return TrySendResult::full;
    return try_send(T(item));
  }

  /// The oldest item, if one more is there than rights are given to receivers (rendezvous: or if a sender waits).
  /// Never suspends. Cost: O(1), O(log n) when a sender waits.
  std::optional<T> try_receive() {
    meet_sender();
    if (empty()) return std::nullopt;
    std::optional<T> item(items_.pop());
    settle();
    return item;
  }

 private:
  friend class detail::ReceiveOp<T>;
  friend class detail::SendOp<T>;

  /// In a rendezvous channel the next waiting sender gives its item, and is done.
  void meet_sender() {
    if (!is_rendezvous() || !empty() || senders_.empty()) return;
    WaitNode& sender = *senders_.next();
    items_.push(std::move(static_cast<detail::SendOp<T>&>(sender).item_));
    elect(sender, detail::ChannelOp::State::sent);
  }

  detail::Ring<T> items_;
};

namespace detail {

template <class T>
class ReceiveOp : public ChannelOp {
 public:
  using Result = std::optional<T>;

  ReceiveOp(Wait& wait, Channel<T>& channel) noexcept : ChannelOp(wait, channel) {}
  ReceiveOp(Wait& wait, ReceiveOp&& like) noexcept : ReceiveOp(wait, like.channel()) {}

  /// Whether it can go on at once.
  bool begin() {
    channel().meet_sender();
    return channel().may_receive(*this);
  }

  /// Who meets others need not give way: it is they who run out.
  bool ends_by_itself() const noexcept { return state_ == State::right && channel().is_rendezvous(); }
  void gives_way() noexcept {}
  WaiterQueue& queue() const noexcept { return channel().waiters(); }

  /// Takes the item, when it has the right to one.
  Result finish() {
    if (state_ == State::owner_died) [[unlikely]] throw_owner_died();
    if (state_ != State::right) return std::nullopt;
    Result item(channel().items_.pop());
    channel().end_right_of_receiver(*this);
    channel().settle();
    return item;
  }

  void pass_on() noexcept {
    if (state_ != State::right) return;
    channel().end_right_of_receiver(*this);
    channel().settle();
  }

  std::string describe() const { return channel().receivers_wait_for(); }

 private:
  Channel<T>& channel() const noexcept { return static_cast<Channel<T>&>(channel_); }
};

/// Sends an item that lies elsewhere.
template <class T>
class SendOp : public ChannelOp {
 public:
  using Result = void;

  SendOp(Wait& wait, Channel<T>& channel, T& item) noexcept : ChannelOp(wait, channel), item_(item) {}
  SendOp(Wait& wait, SendOp&& like) noexcept : SendOp(wait, like.channel(), like.item_) {}

  bool begin() { return channel().may_send(*this); }
  bool ends_by_itself() const noexcept { return state_ == State::right && channel().is_rendezvous(); }
  void gives_way() noexcept {
    if (state_ == State::right) hold_meanwhile(*this_thread.task);
  }
  WaiterQueue& queue() const noexcept { return channel().senders_; }

  void finish() {
    if (state_ == State::closed) [[unlikely]] throw_closed();
    if (state_ == State::right) put();
  }
  bool sent() const noexcept { return state_ == State::sent; }

  void pass_on() noexcept {
    if (state_ != State::right) return;
    channel().end_right_of_sender(*this);
    channel().settle();
  }

  std::string describe() const { return channel().senders_wait_for(); }

 protected:
  Channel<T>& channel() const noexcept { return static_cast<Channel<T>&>(channel_); }

 private:
  friend class Channel<T>;

  void put() {
    struct Settled {
      Channel<T>& channel;
      ~Settled() { channel.settle(); }
    } const settled{channel()};
    channel().end_right_of_sender(*this);
    channel().items_.push(std::move(item_));
    state_ = State::sent;
  }

  T& item_;
};

template <class T>
struct SentItem {
  explicit SentItem(T&& from) noexcept : item(std::move(from)) {}
  T item;
};

/// Sends an item that it holds.
template <class T>
class SendItemOp : private SentItem<T>, public SendOp<T> {
 public:
  SendItemOp(Wait& wait, Channel<T>& channel, T&& from) noexcept
      : SentItem<T>(std::move(from)), SendOp<T>(wait, channel, this->item) {}
  SendItemOp(Wait& wait, SendItemOp&& like) noexcept : SendItemOp(wait, like.channel(), std::move(like.item)) {}
};

}  // namespace detail
}  // namespace heirloop
