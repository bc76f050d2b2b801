// The suspension contract (DESIGN section 5), and the one priority-ordered waiter queue under every primitive.
//
// Owns: `Wait` (one per block, lives in the awaiter), `WaitNode` (one per queue in which the wait stands),
// `WaiterQueue`, and the edges of the owner graph: `Resource` (what is waited for) and `Holding` (a task's share in
// it). Called by every awaiter that blocks, and by inheritance.
//
//   task ──wait──▶ Wait ──nodes──▶ WaiterQueue ──▶ Resource ──holdings──▶ Holding ──owner──▶ task
//                            └──▶ the task whose end is waited for
//
// 1. A blocked task has one Wait; a node stands in at most one queue, or among the joiners of one task. Whose task goes on is
//    out of all, which `Loop::wake_left` asserts.
// 2. A queue gives its waiters by (policy key of urgency and begin of wait, arrival): `next()`.
// 3. `best()` is the most urgent of its waiters, whatever the policy.
// 4. A holding is in its owner's lending heap exactly while its resource has waiters and it is not all that the owner has to
//    give back: one alone is the best there is.
#pragma once

#include <coroutine>
#include <cstdint>
#include <string>

#include <heirloop/sched/contract.hpp>
#include <heirloop/sched/pairing_heap.hpp>
#include <heirloop/sched/priority.hpp>
#include <heirloop/sched/wait_statistics.hpp>

namespace heirloop {

class CancelWalk;
class Loop;
class Policy;
class Resource;
class Task;
class Wait;
class WaiterQueue;
struct Holding;

namespace detail {
inline thread_local constinit std::uint64_t arrivals = 0;

/// Later waits have larger numbers, in every queue of the thread.
inline std::uint64_t next_arrival() noexcept { return ++arrivals; }
}  // namespace detail

/// The place of a wait in one queue, or among the joiners of a task.
class WaitNode {
 public:
  explicit WaitNode(Wait& wait) noexcept : wait_(&wait) {}  // NOLINT(cppcoreguidelines-pro-type-member-init)
  WaitNode(const WaitNode&) = delete;
  WaitNode& operator=(const WaitNode&) = delete;

  Wait& wait() const noexcept { return *wait_; }
  WaiterQueue* queue() const noexcept { return queue_; }
  Task* awaited() const noexcept { return awaited_; }

  /// Of a node that stands somewhere.
  const Urgency& urgency() const noexcept;

  /// Later ones in a queue have larger numbers. 0: none yet, as the list tells (see WaiterQueue::number).
  std::uint64_t arrival() const noexcept { return arrival_; }
  WaitNode* next_of_wait() const noexcept { return next_of_wait_; }

 private:
  friend class WaiterQueue;
  friend class Joiners;
  friend class Wait;
  friend void join(WaitNode& node, Task& awaited);
  friend bool join_alone(Wait& wait, WaitNode& node, Task& awaited) noexcept;
  friend void leave_queues(Wait& wait) noexcept;
  friend struct Inheritance;
  friend struct DeadlockSearch;
  friend struct HandOffOrder;
  friend struct LendOrder;

  /// Before it enters the joiners.
  void stand_for(Task& awaited) noexcept {
    awaited_ = &awaited;
    queue_ = nullptr;
  }

  Wait* wait_;
  // Set as it begins to stand somewhere; most waits for what is free never do. Where: one of these, and neither behind it.
  WaiterQueue* queue_;
  Task* awaited_;
  WaitNode* next_of_wait_;
  std::int64_t since_ns_;  // begin of the wait; kept when the urgency changes
  std::int64_t key_;
  std::uint64_t arrival_;
  union {
    Urgency urgency_;  // not set while the queue knows it, as all who wait there are of the same
  };
  detail::HeapHook<WaitNode> hand_off_;  // the list, while all are of one urgency; of its first node `prev` says nothing
  detail::HeapHook<WaitNode> lend_;
  WaitNode* next_found_;  // of a search for a deadlock: among those found that want the same
};

struct HandOffOrder {
  bool operator()(const WaitNode& a, const WaitNode& b) const noexcept {
    if (a.key_ != b.key_) return a.key_ < b.key_;
    return a.arrival_ < b.arrival_;
  }
};
struct LendOrder {
  bool operator()(const WaitNode& a, const WaitNode& b) const noexcept { return more_urgent(a.urgency_, b.urgency_); }
};

/// Waiters in two orders. While all are of one urgency both orders are one list; from the first that differs until the
/// queue is empty, two intrusive heaps. Cost: O(1) as a list; O(log n) as heaps; nothing allocates.
class WaiterQueue {
 public:
  /// `resource` is what the waiters wait for when it has owners, else null.
  explicit WaiterQueue(Resource* resource = nullptr) noexcept : resource_(resource) {}
  WaiterQueue(const WaiterQueue&) = delete;
  WaiterQueue& operator=(const WaiterQueue&) = delete;
  ~WaiterQueue() { contract(empty(), "a waiter queue is empty when it ends"); }

  bool empty() const noexcept { return first_ == nullptr; }
  std::size_t size() const noexcept { return size_; }
  Resource* resource() const noexcept { return resource_; }

  /// The shares of those who own what is waited for here; null: nobody does.
  Holding* holdings() const noexcept { return holdings_; }

  /// Null: nothing is counted.
  void count_in(WaitStatistics* statistics) noexcept { statistics_ = statistics; }
  WaitStatistics* statistics() const noexcept { return statistics_; }

  /// A wait in this queue is about to end.
  void count_end(const WaitNode& node, std::int64_t now_ns, bool handed_over) {
    statistics_->ended(node.urgency().priority, now_ns - node.since_ns_, handed_over);
  }

  // Each answers whether what the queue lends has changed: its best urgency, or that anybody waits.

  bool push(WaitNode& node, const Urgency& urgency, std::int64_t now_ns, const Policy& policy) noexcept {
    begin(node, now_ns);
    return push_again(node, urgency, policy);
  }

  /// With the time that it had in the queue that it left.
  bool push_again(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept {
    if (is_mixed() || (last_ != nullptr && alike_ != urgency)) return push_mixing(node, urgency, policy);
    append(node, urgency);
    return first_ == &node;
  }

  /// `push` of a node of the urgency that all who wait are of, if any do.
  void push_alike(WaitNode& node, const Urgency& urgency, std::int64_t now_ns) noexcept {
    begin(node, now_ns);
    append(node, urgency);
  }

  bool erase(WaitNode& node) noexcept {
    node.queue_ = nullptr;
    --size_;
    if (last_ == nullptr) [[unlikely]] return erase_mixed(node);
    WaitNode* const before = &node != first_ ? node.hand_off_.prev : nullptr;
    WaitNode* const behind = node.hand_off_.next;
    (before != nullptr ? before->hand_off_.next : first_) = behind;
    (behind != nullptr ? behind->hand_off_.prev : last_) = before;
    return first_ == nullptr;
  }

  /// `next()` goes, of those in a list.
  void erase_first() noexcept {
    first_->queue_ = nullptr;
    --size_;
    first_ = first_->hand_off_.next;
    if (first_ == nullptr) last_ = nullptr;
  }

  bool reorder(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept;

  /// In a list the order tells who came first: those who have no number yet get one. Cost: O(n).
  void number() noexcept {
    for (WaitNode* node = last_ != nullptr ? first_ : nullptr; node != nullptr; node = node->hand_off_.next) {
      number(*node);
    }
  }

  /// The waiter to whom a release hands over; null when nobody waits.
  WaitNode* next() const noexcept { return first_; }

  /// True when a waiter of this urgency that came now would be `next()`.
  bool would_be_next(const Urgency& urgency, std::int64_t now_ns, const Policy& policy) const noexcept;

  /// The urgency of all who wait; null when nobody does, and when they are of several.
  const Urgency* alike() const noexcept { return last_ != nullptr ? &alike_ : nullptr; }

  /// The most urgent waiter; null when nobody waits.
  WaitNode* most_urgent_waiter() const noexcept { return last_ == nullptr ? lend_.top() : first_; }

  Urgency best() const noexcept {
    if (last_ != nullptr) return alike_;
    return lend_.empty() ? Urgency::none() : lend_.top()->urgency_;
  }

 private:
  friend class WaitNode;
  using HandOff = detail::PairingHeap<WaitNode, &WaitNode::hand_off_, HandOffOrder>;
  using Lend = detail::PairingHeap<WaitNode, &WaitNode::lend_, LendOrder>;

  void begin(WaitNode& node, std::int64_t now_ns) noexcept {
    node.since_ns_ = now_ns;
    node.arrival_ = 0;
    if (statistics_ != nullptr) [[unlikely]] ++statistics_->waits;
  }
  void admit(WaitNode& node) noexcept {
    node.queue_ = this;
    node.awaited_ = nullptr;
    ++size_;
  }
  void append(WaitNode& node, const Urgency& urgency) noexcept {
    admit(node);
    node.hand_off_.next = nullptr;
    node.hand_off_.prev = last_;
    if (last_ != nullptr) {
      last_->hand_off_.next = &node;
    } else {
      first_ = &node;
      alike_ = urgency;
    }
    last_ = &node;
  }
  static void number(WaitNode& node) noexcept {
    if (node.arrival_ == 0) node.arrival_ = detail::next_arrival();
  }
  bool is_mixed() const noexcept { return last_ == nullptr && first_ != nullptr; }
  bool push_mixing(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept;
  bool erase_mixed(WaitNode& node) noexcept;
  void become_mixed(const Policy& policy) noexcept;
  void push_mixed(WaitNode& node, const Urgency& urgency, const Policy& policy) noexcept;

  friend class Resource;
  friend struct Inheritance;
  friend void begin_owning(Holding& holding, Task& owner) noexcept;
  friend void end_owning(Holding& holding) noexcept;

  WaitNode* first_ = nullptr;  // head of the list, or the top of `hand_off_`
  WaitNode* last_ = nullptr;   // of the list; null when there is none
  union {
    Urgency alike_;  // of all in the list
  };
  Holding* holdings_ = nullptr;  // of `resource_`
  WaitStatistics* statistics_ = nullptr;
  std::uint32_t size_ = 0;
  Resource* resource_;
  HandOff hand_off_;
  Lend lend_;
};

inline const Urgency& WaitNode::urgency() const noexcept {
  return queue_ != nullptr && queue_->last_ != nullptr ? queue_->alike_ : urgency_;
}

/// Of several on whom something depends: whether it goes on when all of them can, or when any can.
enum class Needs : std::uint8_t { all, any };

/// A task's share in a resource.
struct Holding {
  Resource* resource = nullptr;
  Task* owner = nullptr;
  Holding* next_of_resource = nullptr;  // joint holders
  Holding* before_of_resource = nullptr;
  Holding* before = nullptr;  // the owner's list of what it has to give back
  Holding* behind = nullptr;
  bool lends = false;  // stands in the owner's lending heap
  detail::HeapHook<Holding> lend;
  Holding* next_found;  // of a search for a deadlock: among those found of the same owner

  Urgency best() const noexcept;
};
struct HoldingOrder {
  bool operator()(const Holding& a, const Holding& b) const noexcept { return more_urgent(a.best(), b.best()); }
};
using LendingHeap = detail::PairingHeap<Holding, &Holding::lend, HoldingOrder>;

/// Something that tasks wait for and that tasks own.
class Resource {
 public:
  Resource() noexcept : waiters_(this) {}
  Resource(const Resource&) = delete;
  Resource& operator=(const Resource&) = delete;

  WaiterQueue& waiters() noexcept { return waiters_; }
  const WaiterQueue& waiters() const noexcept { return waiters_; }
  Holding* holdings() const noexcept { return waiters_.holdings_; }

  /// What it is, for messages: "PriorityLock 'keys'".
  virtual std::string describe() const = 0;

  /// Whether a waiter goes on only when all joint holders have given their shares back, or when any has.
  virtual Needs needs() const noexcept { return Needs::all; }

  /// An owner ended without giving its share back. Wakes or hands over, and unlinks the holding.
  virtual void owner_died(Holding& holding) noexcept = 0;

 protected:
  ~Resource() = default;

 private:
  friend void begin_owning(Holding& holding, Task& owner) noexcept;
  friend void end_owning(Holding& holding) noexcept;
  friend struct Inheritance;
  friend struct DeadlockSearch;

  WaiterQueue waiters_;
  WaitNode* found_waiters_ = nullptr;  // by the search for a deadlock that is under way
  std::uint32_t lacks_;                // as Wait::lacks_; set as the first of them is found
};

inline Urgency Holding::best() const noexcept { return resource->waiters().best(); }

enum class AbortResult {
  done,     ///< nothing is owed; the waiter may be made ready
  pending,  ///< the wake-up will come by itself
};

/// One block of one task. Lives in the awaiter, derived from by each kind of wait.
///
/// Life:   idle ──block──▶ blocked ──wake──▶ elected (ready, not yet run) ──step──▶ over
///                            └──────abort──────┴──▶ withdrawn ──(wake, when pending)──▶ over
class Wait {
 public:
  Wait() noexcept = default;
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  /// Whose wait it is, from where it stands somewhere or blocks.
  Task* task() const noexcept { return task_; }
  bool was_blocked() const noexcept { return state_ != State::idle; }  ///< it is, or its task has run since
  bool is_blocked() const noexcept { return state_ == State::blocked; }
  bool is_elected() const noexcept { return state_ == State::elected; }
  bool is_withdrawn() const noexcept { return state_ == State::withdrawn; }
  WaitNode* nodes() const noexcept { return nodes_; }

  /// Withdraws this wait. Also asked of an elected wait, before its task ran: what was handed over goes on to the next.
  /// Never asked twice. The nodes are taken out of their queues by the caller when the answer is `done`.
  virtual AbortResult abort() noexcept = 0;

  /// False when `abort` would answer `pending` because something is wanted in any case that others own: no cancel and no
  /// time limit ends this wait.
  virtual bool ends_when_withdrawn() const noexcept { return true; }

  /// A cancel of the waiting task first goes where this passes it on; the wait goes on and ends by what becomes of that.
  /// False: to nobody; the wait itself is withdrawn.
  virtual bool forward(CancelWalk&) noexcept { return false; }

  /// What has ended the wait was asked to cancel by it, and has ended in another way.
  virtual bool has_swallowed_cancel() const noexcept { return false; }

  /// Whether it goes on only when all of its nodes can, or when any can.
  virtual Needs needs() const noexcept { return Needs::all; }

  /// What is waited for, for messages: "PriorityLock 'keys' held by Task-3".
  virtual std::string describe() const = 0;

 protected:
  ~Wait() = default;

 private:
  friend class Loop;
  friend void stand_in_queue(Loop& loop, WaitNode& node, WaiterQueue& queue) noexcept;
  friend bool stand_unnoticed(Task& task, Wait& wait, WaitNode& node, WaiterQueue& queue) noexcept;
  friend void join(WaitNode& node, Task& awaited);
  friend bool join_alone(Wait& wait, WaitNode& node, Task& awaited) noexcept;
  friend void leave_queues(Wait& wait) noexcept;
  friend class Joiners;
  friend struct Inheritance;
  friend struct DeadlockSearch;

  /// The wait of `task` begins to stand somewhere with this node.
  void stand_with(WaitNode& node, Task& task) noexcept {
    task_ = &task;
    stand_with(node);
  }

  /// The same, where `block` follows, which notes the task.
  void stand_with(WaitNode& node) noexcept {
    node.next_of_wait_ = nodes_;
    nodes_ = &node;
  }

  enum class State : std::uint8_t { idle, blocked, elected, withdrawn };

  Task* task_;  // set as it begins to stand somewhere, or blocks
  WaitNode* nodes_ = nullptr;
  detail::HeapHook<Wait> links_;  // of the list of the one search or rise that is under way
  // Of the search, set as it finds the wait.
  WaitNode* found_joiners_;   // who await the task whose wait this is
  Holding* found_holdings_;   // what that task holds and others found want
  std::uint32_t lacks_;       // how many more of those on whom it depends have to be able to go on
  // Together, and with what a derived class begins with: one store as a wait is made.
  bool listed_ = false;     // in that list
  bool can_go_on_ = false;  // as far as the search has found
  State state_ = State::idle;
};

/// Those who wait for the end of one task, by urgency: the best of it is what they lend. All go at once, so there is no
/// hand-off order. Cost: O(log n); nothing allocates.
class Joiners {
 public:
  bool empty() const noexcept { return by_urgency_.empty(); }
  const WaitNode* most_urgent() const noexcept { return by_urgency_.top(); }

  void push(WaitNode& node, const Urgency& urgency) noexcept {
    node.arrival_ = empty() ? 0 : detail::next_arrival();
    push_again(node, urgency);
  }

  /// With the arrival that it had.
  void push_again(WaitNode& node, const Urgency& urgency) noexcept {
    node.urgency_ = urgency;
    by_urgency_.push(node);
  }
  void erase(WaitNode& node) noexcept { by_urgency_.erase(node); }

  /// True when the best urgency has changed.
  bool reorder(WaitNode& node, const Urgency& urgency) noexcept {
    const Urgency before = most_urgent()->urgency_;
    node.urgency_ = urgency;
    by_urgency_.update(node);
    return most_urgent()->urgency_ != before;
  }

  /// There are some. When it is one, whose wait stands nowhere else: that wait, taken out. Else null, with nothing done.
  Wait* take_only() noexcept {
    WaitNode& node = *by_urgency_.top();
    Wait& wait = *node.wait_;
    if (!by_urgency_.holds_only(node) || wait.nodes_ != &node || node.next_of_wait_ != nullptr) return nullptr;
    by_urgency_ = {};
    wait.nodes_ = nullptr;
    node.awaited_ = nullptr;
    return &wait;
  }

  /// Takes all out, and calls `visit(wait)` for each in the order in which they came.
  template <class Visit>
  void take_all(Visit visit) noexcept {
    ByArrival all;
    while (WaitNode* node = by_urgency_.pop()) {
      leave(*node);
      all.push(*node);
    }
    while (WaitNode* node = all.pop()) visit(node->wait());
  }

 private:
  static void leave(WaitNode& node) noexcept {
    WaitNode** link = &node.wait_->nodes_;
    while (*link != &node) link = &(*link)->next_of_wait_;
    *link = node.next_of_wait_;
    node.awaited_ = nullptr;
  }

  struct Earlier {
    bool operator()(const WaitNode& a, const WaitNode& b) const noexcept { return a.arrival_ < b.arrival_; }
  };
  using ByUrgency = detail::PairingHeap<WaitNode, &WaitNode::lend_, LendOrder>;
  using ByArrival = detail::PairingHeap<WaitNode, &WaitNode::hand_off_, Earlier>;

  ByUrgency by_urgency_;
};

}  // namespace heirloop
