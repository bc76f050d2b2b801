// Priority inheritance (DESIGN section 7): the one place where an effective urgency changes.
//
// Called by everything that changes who waits for whom: a wait begins or ends, ownership moves, a base priority is set,
// an owner ends. When such a call returns, the effective urgency of every task is the most urgent of its own and of all
// that wait, directly or through others, for what it holds, and every queue in which such a task stands is in order.
//
// A rise climbs from waiter to owner while a maximum changes. A drop first collects upward every task whose urgency may
// have come from the one that fell, and sets each to its base; only then does each take the best of what is left, by a
// rise. (Climbing alone would let two tasks of a legal cycle hold each other up for ever.)
//
// Cost: O(log n) for each task that changes and each of its owners; each is touched at most twice, in loops. Nothing
// allocates.
#pragma once

#include <heirloop/sched/task.hpp>
#include <heirloop/sched/wait.hpp>

namespace heirloop {

/// The current task's wait begins in this queue. Its owners inherit.
/// Errors: DeadlockError, with nothing changed, when the wait would close a cycle in which nobody can go on.
/// Cost: O(log n) besides the search for a cycle, which is linear in the chain of blocked owners.
void enter_queue(Loop& loop, WaitNode& node, WaiterQueue& queue);

/// The wait ends: out of every queue; its owners lose what it lent.
void leave_queues(Wait& wait) noexcept;

/// A waiter stands in `to` from now on, instead of the queue it was in; its wait goes on, as long as before.
void move_to_queue(WaitNode& node, WaiterQueue& to) noexcept;

/// Everything that a change of what the task itself demands moves.
void set_base_urgency(Task& task, const Urgency& urgency) noexcept;

/// The policy has changed, and no ready entry stands in the queue by priority: every task gets the urgency that its demand
/// has now, every waiter its place, and every owner what is lent to it. Allocates.
void settle_all(Loop& loop);

namespace detail {
void begin_lending(Holding& holding) noexcept;
void end_lending(Holding& holding, Task& owner) noexcept;
}  // namespace detail

/// `owner` begins to hold a share in `holding.resource`, and inherits from its waiters.
inline void link_holding(Holding& holding, Task& owner) noexcept {
  Resource& resource = *holding.resource;
  holding.owner = &owner;
  holding.next_of_resource = resource.holdings_;
  resource.holdings_ = &holding;
  holding.before = nullptr;
  holding.behind = owner.holdings_;
  if (owner.holdings_ != nullptr) owner.holdings_->before = &holding;
  owner.holdings_ = &holding;
  if (!resource.waiters().empty()) [[unlikely]] detail::begin_lending(holding);
}

/// The owner gives its share back, and loses what the waiters lent. Cost: linear in the joint holders.
inline void unlink_holding(Holding& holding) noexcept {
  Task& owner = *holding.owner;
  Holding** link = &holding.resource->holdings_;
  while (*link != &holding) link = &(*link)->next_of_resource;
  *link = holding.next_of_resource;
  (holding.before != nullptr ? holding.before->behind : owner.holdings_) = holding.behind;
  if (holding.behind != nullptr) holding.behind->before = holding.before;
  holding.owner = nullptr;
  if (holding.lends) [[unlikely]] detail::end_lending(holding, owner);
}

}  // namespace heirloop
