// The search for a cycle of waits in which nobody can go on (DESIGN section 7).
//
// Called as a wait begins that would depend on blocked tasks, as a share goes to a blocked task, and when a cancel went to
// what a task awaits and could not end that.
//
// Collects, forward, the blocked tasks on which the wait depends; then spreads "can go on" back from those that are not
// blocked, last found first, until nothing changes. What it does not reach is stuck. A task under a time limit that has not
// passed can go on, unless its wait is one that goes on in any case.
//
// 1. A dependency on several owners holds by their `Needs`: of a resource's joint holders, and of the nodes of a wait.
// 2. Whatever it finds, the graph is as it was. Nothing allocates but a message.
#include <heirloop/sched/inheritance.hpp>

#include <string>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

struct DeadlockSearch {
  /// Those on whom the wait of `first` depends, itself the first of them. In the order found, linked through the waits.
  class Found {
   public:
    explicit Found(Wait& first) noexcept {
      add(first);
      for (Wait* wait = first_; wait != nullptr; wait = next(*wait)) {
        for_each_owner(*wait, [this](const Task& owner) {
          if (owner.state_ == TaskState::blocked && !owner.wait_->listed_) add(*owner.wait_);
        });
        if (limited(*wait)) timed_ = true;
      }
    }
    Found(const Found&) = delete;
    Found& operator=(const Found&) = delete;
    ~Found() {
      for (Wait* wait = first_; wait != nullptr; wait = next(*wait)) wait->listed_ = wait->can_go_on_ = false;
    }

    /// Whether the first one can ever go on. `limits_end`: a time limit ends the wait of whom it was set for.
    bool can_go_on(bool limits_end) const noexcept {
      for (bool changed = true; changed && !first_->can_go_on_;) {
        changed = false;
        for (Wait* wait = last_; wait != nullptr; wait = wait->links_.prev) {
          if (wait->can_go_on_ || !able(*wait, limits_end)) continue;
          wait->can_go_on_ = changed = true;
        }
      }
      return first_->can_go_on_;
    }
    void forget_who_can() const noexcept {
      for (Wait* wait = first_; wait != nullptr; wait = next(*wait)) wait->can_go_on_ = false;
    }
    bool timed() const noexcept { return timed_; }

    std::string describe() const {
      constexpr int most = 100;
      std::string text = "waiting would never end: ";
      int stuck = 0;
      for (Wait* wait = first_; wait != nullptr; wait = next(*wait)) {
        if (wait->can_go_on_ || ++stuck > most) continue;
        const Task& task = *wait->task();
        text += (wait == first_ ? "" : "; ") + task.name();
        const char* between = ", which holds ";
        for (const Holding* h = task.holdings_; h != nullptr; h = h->behind, between = " and ") {
          text += between + h->resource->describe();
        }
        text += (task.holdings_ == nullptr ? " waits for " : ", waits for ") + wait->describe() +
                detail::place_of(task, " at ");
      }
      if (stuck > most) text += "; and " + std::to_string(stuck - most) + " more";
      return text;
    }

   private:
    static Wait* next(const Wait& wait) noexcept { return wait.links_.next; }

    void add(Wait& wait) noexcept {
      wait.listed_ = true;
      wait.links_ = {nullptr, nullptr, last_};
      (last_ != nullptr ? last_->links_.next : first_) = &wait;
      last_ = &wait;
    }

    Wait* first_ = nullptr;
    Wait* last_ = nullptr;
    bool timed_ = false;
  };

  template <class Visit>
  static void for_each_owner(const Wait& wait, Visit visit) {
    for (const WaitNode* node = wait.nodes(); node != nullptr; node = node->next_of_wait()) {
      if (node->awaited() != nullptr) {
        visit(*node->awaited());
      } else if (const Resource* resource = node->queue()->resource()) {
        for (const Holding* h = resource->holdings(); h != nullptr; h = h->next_of_resource) visit(*h->owner);
      }
    }
  }

  /// Whether a time limit is going to end it: one that has passed has done what it could.
  static bool limited(const Wait& wait) noexcept {
    if (!wait.ends_when_withdrawn()) return false;
    const TimeLimit* limit = wait.task()->time_limits_;
    while (limit != nullptr && !(limit->is_pending() && limit->reaches_its_task())) limit = limit->outer();
    return limit != nullptr;
  }

  static bool able(const Task& task) noexcept { return task.state_ != TaskState::blocked || task.wait_->can_go_on_; }

  static bool able(const WaitNode& node) noexcept {
    if (node.awaited() != nullptr) return able(*node.awaited());
    const Resource* resource = node.queue()->resource();
    if (resource == nullptr || resource->holdings() == nullptr) return true;
    const bool any = resource->needs() == Needs::any;
    for (const Holding* h = resource->holdings(); h != nullptr; h = h->next_of_resource) {
      if (able(*h->owner) == any) return any;
    }
    return !any;
  }

  static bool able(const Wait& wait, bool limits_end) noexcept {
    if (wait.nodes() == nullptr || (limits_end && limited(wait))) return true;
    const bool any = wait.needs() == Needs::any;
    for (const WaitNode* node = wait.nodes(); node != nullptr; node = node->next_of_wait()) {
      if (able(*node) == any) return any;
    }
    return !any;
  }

  /// Errors: DeadlockError when `wait` can never go on.
  static void look(Loop& loop, Wait& wait) {
    const Found found(wait);
    const bool stuck = !found.can_go_on(true);
    if (!stuck) {
      if (!found.timed()) return;
      found.forget_who_can();
      if (found.can_go_on(false)) return;
      ++loop.timed_cycles_;
      logger().warn("{} (until a time limit ends one of the waits)", found.describe());
      return;
    }
    ++loop.deadlocks_;
    if (loop.options_.deadlocks == Deadlocks::log) {
      logger().error("{}", found.describe());
      return;
    }
    throw DeadlockError(found.describe());
  }

  static void begin(WaitNode& node, WaiterQueue* queue, Task* awaited) {
    Task& task = *detail::this_thread.task;
    if (task.loop_->options_.deadlocks == Deadlocks::off) return;
    // For the search the task is blocked already.
    struct AsIfBlocked {
      AsIfBlocked(Task& waiter, WaitNode& last, WaiterQueue* in, Task* of)
          : task(waiter), node(last) {
        node.wait().stand_with(node, task);
        node.queue_ = in;
        node.awaited_ = of;
        task.wait_ = &node.wait();
        task.state_ = TaskState::blocked;
      }
      AsIfBlocked(const AsIfBlocked&) = delete;
      AsIfBlocked& operator=(const AsIfBlocked&) = delete;
      ~AsIfBlocked() {
        task.state_ = TaskState::running;
        task.wait_ = nullptr;
        Wait& wait = node.wait();
        wait.nodes_ = node.next_of_wait_;
        if (wait.nodes_ == nullptr) wait.task_ = nullptr;
        node.queue_ = nullptr;
        node.awaited_ = nullptr;
      }
      Task& task;
      WaitNode& node;
    };
    const AsIfBlocked as_if(task, node, queue, awaited);
    look(*task.loop_, node.wait());
  }

  /// `owner` is blocked, and others depend on it from now on.
  static void own(Task& owner) {
    if (owner.state_ == TaskState::blocked && owner.loop_->options_.deadlocks != Deadlocks::off) {
      look(*owner.loop_, *owner.wait_);
    }
  }
};

void detail::refuse_deadlock(WaitNode& node, WaiterQueue* queue, Task* awaited) {
  DeadlockSearch::begin(node, queue, awaited);
}

bool detail::waits_for_ever(Wait& wait) noexcept {
  if (wait.task()->loop().options().deadlocks == Deadlocks::off) return false;
  return !DeadlockSearch::Found(wait).can_go_on(true);
}

void transfer_holding(Holding& holding, Task& to) {
  Task* const from = holding.owner;
  if (from == &to) return;
  if (from != nullptr) unlink_holding(holding);
  link_holding(holding, to);
  if (holding.resource->waiters().empty()) return;
  try {
    DeadlockSearch::own(to);
  } catch (const DeadlockError&) {
    unlink_holding(holding);
    if (from != nullptr) link_holding(holding, *from);
    throw;
  }
}

void set_owner(Holding& holding, const TaskRef& task) {
  if (!task) {
    if (holding.owner != nullptr) unlink_holding(holding);
    return;
  }
  if (task.done()) throw InvalidStateError(task.name() + " can't own " + holding.resource->describe() + ": it is done");
  transfer_holding(holding, *task.get());
}

}  // namespace heirloop
