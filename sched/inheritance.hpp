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

#include <heirloop/sched/wait.hpp>

namespace heirloop {

class Loop;
class Task;

/// The current task's wait begins in this queue. Its owners inherit.
/// Errors: DeadlockError, with nothing changed, when the wait would close a cycle in which nobody can go on.
/// Cost: O(log n) besides the search for a cycle, which is linear in the chain of blocked owners.
void enter_queue(Loop& loop, WaitNode& node, WaiterQueue& queue);

/// The wait ends: out of every queue; its owners lose what it lent.
void leave_queues(Wait& wait) noexcept;

/// A waiter stands in `to` from now on, instead of the queue it was in; its wait goes on, as long as before.
void move_to_queue(WaitNode& node, WaiterQueue& to) noexcept;

/// `owner` begins to hold a share in `holding.resource`, and inherits from its waiters.
void link_holding(Holding& holding, Task& owner) noexcept;

/// The owner gives its share back, and loses what the waiters lent.
void unlink_holding(Holding& holding) noexcept;

/// Everything that a change of the task's base priority moves.
void set_base_priority(Task& task, double priority) noexcept;

}  // namespace heirloop
