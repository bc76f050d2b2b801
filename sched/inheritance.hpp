// Priority inheritance (DESIGN section 7): the one place where an effective urgency changes.
//
// Called by everything that changes who waits for whom: a wait begins or ends, ownership moves, a base priority is set,
// an owner ends. When such a call returns, the effective urgency of every task is the most urgent of its own and of all
// that wait, directly or through others, for what it holds, and every queue in which such a task stands is in order.
//
// A rise climbs from waiter to owner while a maximum changes, most urgent first. A drop first collects upward every task
// whose urgency may have come from the one that fell, and sets each to its base; only then does each take the best of what
// is left, by a rise. (Climbing alone would let two tasks of a legal cycle hold each other up for ever. For the same reason
// a queue whose best is what it was may have lost what that best rests on.)
//
// Cost: O(log n) for each task that changes and each of its owners; a resource with k joint owners costs k. Each task is
// touched at most twice, in loops. Nothing allocates.
#pragma once

#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/task.hpp>
#include <heirloop/sched/wait.hpp>

namespace heirloop {

namespace detail {

/// The current task's wait, whose nodes stand or are about to, would depend on blocked tasks.
/// Errors: DeadlockError when it could never go on; then `node`, the last one, no longer belongs to the wait.
void refuse_deadlock(WaitNode& node, WaiterQueue* queue, Task* awaited);

/// Whether what this blocked wait depends on can never go on; false when nobody is to look for deadlocks.
bool waits_for_ever(Wait& wait) noexcept;

/// What its owner has to give back is this alone.
inline bool is_only_holding(const Holding& holding, const Task& owner) noexcept {
  return owner.holdings() == &holding && holding.behind == nullptr;
}

/// The owner's lending heap follows what the waiters lend now, and what else the owner has to give back.
void refresh_lending(Holding& holding) noexcept;

void begin_lending(Holding& holding) noexcept;
void end_lending(Holding& holding, Task& owner) noexcept;

/// A waiter has come for what is owned: what the queue lends is more urgent than it was.
void gained_jointly(Resource& resource) noexcept;
inline void gained(Resource& resource) noexcept {
  Holding* first = resource.holdings();
  if (first->next_of_resource != nullptr || resource.waiters().statistics() != nullptr) return gained_jointly(resource);
  begin_lending(*first);
}
void gained(Task& awaited) noexcept;

/// A waiter of this urgency has left. `changed`: with it the best urgency that the queue lends.
void lost(Resource& resource, const Urgency& urgency, bool changed) noexcept;
void lost(Task& awaited, const Urgency& urgency) noexcept;

/// A counted wait is about to end.
void count_end(const WaitNode& node) noexcept;

}  // namespace detail

/// The current task's wait begins in this queue, without a look whether it can ever end: for all but the last of several
/// queues, when any of them will do.
inline void stand_in_queue(Loop& loop, WaitNode& node, WaiterQueue& queue) noexcept {
  Task& task = *detail::this_thread.task;
  node.wait().stand_with(node, task);
  const bool changed = queue.push(node, task.urgency(), loop.now_ns(), loop.policy());
  if (changed && queue.holdings() != nullptr) detail::gained(*queue.resource());
}

/// The current task's wait begins in this queue. Its owners inherit.
/// Errors: DeadlockError, with nothing changed, when the wait would close a cycle in which nobody can go on (a wait in
/// several queues stands in the others still).
/// Cost: O(log n) besides the search for a cycle: nothing when the only owner is not blocked, else linear in the blocked
/// tasks on which the wait depends, what they wait for and the holders of that.
inline void enter_queue(Loop& loop, WaitNode& node, WaiterQueue& queue) {
  if (queue.holdings() != nullptr) {
    const Holding& first = *queue.holdings();
    const bool able = first.owner->state() != TaskState::blocked && first.owner != detail::this_thread.task;
    if (!able || first.next_of_resource != nullptr) [[unlikely]] detail::refuse_deadlock(node, &queue, nullptr);
  }
  stand_in_queue(loop, node, queue);
}

/// `enter_queue` where that changes nothing for anybody else: what is waited for has one owner, who is ready, so that no
/// cycle closes; and who waits there is of the same urgency, or the owner if nobody does. False, with nothing done, elsewhere.
/// Whose wait it is is noted as it blocks.
inline bool stand_unnoticed(Task& task, Wait& wait, WaitNode& node, WaiterQueue& queue) noexcept {
  const Holding* holding = queue.holdings();
  if (holding == nullptr || holding->next_of_resource != nullptr) return false;
  const Task& owner = *holding->owner;
  if (owner.state() != TaskState::ready) return false;
  const Urgency* present = queue.alike();
  if (present == nullptr) {
    if (!queue.empty() || !detail::is_only_holding(*holding, owner)) return false;
    present = &owner.urgency();
  }
  if (*present != task.urgency()) return false;
  wait.stand_with(node);
  queue.push_alike(node, task.urgency(), task.loop().now_ns());
  return true;
}

/// The current task waits for the end of `awaited`, which inherits. Errors and cost: as `enter_queue`.
inline void join(WaitNode& node, Task& awaited) {
  Task& task = *detail::this_thread.task;
  if (&awaited == &task || awaited.state() == TaskState::blocked) [[unlikely]] {
    detail::refuse_deadlock(node, nullptr, &awaited);
  }
  node.wait().stand_with(node, task);
  node.stand_for(awaited);
  awaited.joiners_.push(node, task.urgency());
  if (more_urgent(task.urgency(), awaited.urgency())) detail::gained(awaited);
}

/// `join` where that changes nothing for anybody else: `awaited` is not blocked, so that no cycle closes, nobody else waits for
/// it, and it is of the same urgency already. False, with nothing done, elsewhere.
inline bool join_alone(Wait& wait, WaitNode& node, Task& awaited) noexcept {
  Task& task = *detail::this_thread.task;
  if (&awaited == &task || awaited.state() == TaskState::blocked || awaited.is_awaited()) return false;
  if (task.urgency() != awaited.urgency()) return false;
  wait.stand_with(node, task);
  node.stand_for(awaited);
  awaited.joiners_.push(node, task.urgency());
  return true;
}

/// The wait ends: out of every queue; its owners lose what it lent.
inline void leave_queues(Wait& wait) noexcept {
  while (WaitNode* node = wait.nodes_) {
    wait.nodes_ = node->next_of_wait_;
    if (Task* awaited = std::exchange(node->awaited_, nullptr)) {
      awaited->joiners_.erase(*node);
      if (awaited->inherits()) detail::lost(*awaited, node->urgency());
    } else {
      WaiterQueue& queue = *node->queue_;
      if (queue.statistics() != nullptr) [[unlikely]] detail::count_end(*node);
      if (queue.holdings() == nullptr) {
        queue.erase(*node);
      } else {
        const Urgency urgency = node->urgency();
        const bool changed = queue.erase(*node);
        detail::lost(*queue.resource(), urgency, changed);
      }
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
  holding.before_of_resource = nullptr;
  holding.next_of_resource = resource.waiters_.holdings_;
  if (resource.waiters_.holdings_ != nullptr) resource.waiters_.holdings_->before_of_resource = &holding;
  resource.waiters_.holdings_ = &holding;
  if (!resource.waiters().empty()) [[unlikely]] detail::begin_lending(holding);
}

/// They don't any more: the owner loses what they lent.
inline void end_owning(Holding& holding) noexcept {
  Holding* next = holding.next_of_resource;
  Holding*& first = holding.resource->waiters_.holdings_;
  (holding.before_of_resource != nullptr ? holding.before_of_resource->next_of_resource : first) = next;
  if (next != nullptr) next->before_of_resource = holding.before_of_resource;
  Task& owner = *std::exchange(holding.owner, nullptr);
  if (!holding.resource->waiters().empty()) [[unlikely]] detail::end_lending(holding, owner);
}

namespace detail {

/// In and out of the list of what its owner has to give back.
inline void list_holding(Holding& holding, Task& owner) noexcept {
  Holding* behind = owner.holdings_;
  holding.before = nullptr;
  holding.behind = behind;
  owner.holdings_ = &holding;
  if (behind == nullptr) [[likely]] return;
  behind->before = &holding;
  const bool was_only = behind->behind == nullptr;
  if (was_only && !behind->resource->waiters().empty()) [[unlikely]] refresh_lending(*behind);
}
inline void unlist_holding(Holding& holding, Task& owner) noexcept {
  (holding.before != nullptr ? holding.before->behind : owner.holdings_) = holding.behind;
  if (holding.behind != nullptr) holding.behind->before = holding.before;
  Holding* rest = owner.holdings_;
  if (rest != nullptr && rest->lends && rest->behind == nullptr) [[unlikely]] refresh_lending(*rest);
}

}  // namespace detail

/// `owner` begins to own what it has to give back: when it ends before, the resource is told.
inline void link_holding(Holding& holding, Task& owner) noexcept {
  detail::list_holding(holding, owner);
  begin_owning(holding, owner);
}

/// The owner gives its share back.
inline void unlink_holding(Holding& holding) noexcept {
  detail::unlist_holding(holding, *holding.owner);
  end_owning(holding);
}

/// The one owner of `resource`, by this holding, gives it to the next waiter, whose wait stands nowhere else, and which goes on: as
/// `unlink_holding`, `leave_queues`, `link_holding` and `Loop::wake`, in one go. Cost: O(log n).
void hand_over(Resource& resource, Holding& holding) noexcept;

/// `to` owns this share from now on, in place of its owner or of nobody.
/// Errors: DeadlockError, with nothing changed, when `to` depends on a waiter of the resource and nobody could go on.
/// Cost: O(log n) for both owners, and as `enter_queue` when `to` is blocked.
void transfer_holding(Holding& holding, Task& to);

/// Names the owner of what has one at most; an empty handle: nobody.
/// Errors: InvalidStateError when the task is done; DeadlockError and cost as `transfer_holding`.
void set_owner(Holding& holding, const TaskRef& task);

}  // namespace heirloop
