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

#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/task.hpp>
#include <heirloop/sched/wait.hpp>

namespace heirloop {

namespace detail {

/// Errors: DeadlockError when `waiter` waits for itself by waiting for `owner`.
void refuse_cycle(const Task& waiter, const Task& owner, const Wait& wait);

/// What the resource's waiters lend is not what it was: its owners follow.
void lent_changed(Resource& resource) noexcept;

/// What supports the task's urgency changed.
void settle(Task& task) noexcept;

void begin_lending(Holding& holding) noexcept;
void end_lending(Holding& holding, Task& owner) noexcept;

}  // namespace detail

/// The current task's wait begins in this queue. Its owners inherit.
/// Errors: DeadlockError, with nothing changed, when the wait would close a cycle in which nobody can go on.
/// Cost: O(log n) besides the search for a cycle, which is linear in the chain of blocked owners.
inline void enter_queue(Loop& loop, WaitNode& node, WaiterQueue& queue) {
  Task& task = *detail::this_thread.task;
  Wait& wait = node.wait();
  Resource* resource = queue.resource();
  if (resource != nullptr && resource->holdings() != nullptr) {
    const Task& owner = *resource->holdings()->owner;
    if (&owner == &task || owner.state() == TaskState::blocked) [[unlikely]] detail::refuse_cycle(task, owner, wait);
  }
  wait.stand_with(node, task);
  const bool changed = queue.push(node, task.urgency(), loop.now_ns(), loop.policy());
  if (changed && resource != nullptr) detail::lent_changed(*resource);
}

/// The current task waits for the end of `awaited`, which inherits. Errors and cost: as `enter_queue`.
inline void join(WaitNode& node, Task& awaited) {
  Task& task = *detail::this_thread.task;
  Wait& wait = node.wait();
  if (&awaited == &task || awaited.state() == TaskState::blocked) [[unlikely]] detail::refuse_cycle(task, awaited, wait);
  wait.stand_with(node, task);
  node.awaited_ = &awaited;
  awaited.joiners_.push(node, task.urgency());
  if (more_urgent(task.urgency(), awaited.urgency())) detail::settle(awaited);
}

/// The wait ends: out of every queue; its owners lose what it lent.
inline void leave_queues(Wait& wait) noexcept {
  while (WaitNode* node = wait.nodes_) {
    wait.nodes_ = node->next_of_wait_;
    if (Task* awaited = std::exchange(node->awaited_, nullptr)) {
      awaited->joiners_.erase(*node);
      if (awaited->inherits()) detail::settle(*awaited);
    } else {
      WaiterQueue& queue = *node->queue_;
      Resource* resource = queue.resource();
      const bool changed = queue.erase(*node);
      if (changed && resource != nullptr && resource->holdings() != nullptr) detail::lent_changed(*resource);
    }
  }
}

/// A waiter stands in `to` from now on, instead of the queue it was in. Its wait goes on; for the order in `to` it begins
/// now.
void move_to_queue(WaitNode& node, WaiterQueue& to) noexcept;

/// Everything that a change of what the task itself demands moves.
void set_base_urgency(Task& task, const Urgency& urgency) noexcept;

/// The policy has changed, and no ready entry stands in the queue by priority: every task gets the urgency that its demand
/// has now, every waiter its place, and every owner what is lent to it. Allocates.
void settle_all(Loop& loop);

/// The waiters of `holding.resource` depend on `owner` from now on: it inherits from them.
inline void begin_owning(Holding& holding, Task& owner) noexcept {
  Resource& resource = *holding.resource;
  holding.owner = &owner;
  holding.next_of_resource = resource.holdings_;
  resource.holdings_ = &holding;
  if (!resource.waiters().empty()) [[unlikely]] detail::begin_lending(holding);
}

/// They don't any more: the owner loses what they lent. Cost: linear in the joint holders.
inline void end_owning(Holding& holding) noexcept {
  Holding** link = &holding.resource->holdings_;
  while (*link != &holding) link = &(*link)->next_of_resource;
  *link = holding.next_of_resource;
  Task& owner = *std::exchange(holding.owner, nullptr);
  if (holding.lends) [[unlikely]] detail::end_lending(holding, owner);
}

/// `owner` begins to own what it has to give back: when it ends before, the resource is told.
inline void link_holding(Holding& holding, Task& owner) noexcept {
  holding.before = nullptr;
  holding.behind = owner.holdings_;
  if (owner.holdings_ != nullptr) owner.holdings_->before = &holding;
  owner.holdings_ = &holding;
  begin_owning(holding, owner);
}

/// The owner gives its share back.
inline void unlink_holding(Holding& holding) noexcept {
  Task& owner = *holding.owner;
  (holding.before != nullptr ? holding.before->behind : owner.holdings_) = holding.behind;
  if (holding.behind != nullptr) holding.behind->before = holding.before;
  end_owning(holding);
}

}  // namespace heirloop
