// The search for a cycle of waits in which nobody can go on (DESIGN section 7).
//
// Called as a wait begins that would depend on blocked tasks, as a share goes to a blocked task, and when a cancel went to
// what a task awaits and could not end that.
//
// Collects, forward, the blocked tasks on which the wait depends, and notes with each who depends on it; then spreads "can
// go on" back from those that are not blocked. What it does not reach is stuck. A task under a time limit that has not
// passed can go on, unless its wait is one that goes on in any case.
//
// 1. A dependency on several owners holds by their `Needs`: of a resource's joint holders, and of the nodes of a wait. A
//    wait or resource counts how many it lacks: all that can't go on, or one where any will do and none can.
// 2. Each wait, each of its nodes and each holding of a resource that is met is looked at once forward, and once back at
//    most: the search is linear in them, whatever their order and however many wait for the same.
// 3. Whatever it finds, the graph is as it was. Nothing allocates but a message.
#include <heirloop/sched/inheritance.hpp>

#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

struct DeadlockSearch {
  /// Those on whom the wait of `first` depends, itself the first of them. In the order found, linked through the waits.
  class Found {
   public:
    /// `limits_end`: a time limit ends the wait of whom it was set for.
    Found(Wait& first, bool limits_end) noexcept : limits_end_(limits_end) {
      list(first);
      for (Wait* wait = first_; wait != nullptr; wait = next(*wait)) follow(*wait);
      while (able_ != nullptr) {
        const Wait& wait = *std::exchange(able_, able_->links_.prev);
        for (WaitNode* node = wait.found_joiners_; node != nullptr; node = node->next_found_) one_less(*node->wait_);
        for (Holding* h = wait.found_holdings_; h != nullptr; h = h->next_found) one_less(*h->resource);
      }
      first.task()->loop_->deadlock_looks_ += looks_;
    }
    Found(const Found&) = delete;
    Found& operator=(const Found&) = delete;
    ~Found() {
      for (Wait* wait = first_; wait != nullptr; wait = next(*wait)) {
        wait->listed_ = wait->can_go_on_ = false;
        for (const WaitNode* node = wait->nodes_; node != nullptr; node = node->next_of_wait_) {
          Resource* wanted = node->awaited_ == nullptr ? node->queue_->resource() : nullptr;
          if (wanted != nullptr) wanted->found_waiters_ = nullptr;
        }
      }
    }

    /// Whether the first one can ever go on.
    bool can_go_on() const noexcept { return first_->can_go_on_; }

    /// Whether somebody waits under a time limit.
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

    void list(Wait& wait) noexcept {
      if (wait.listed_) return;
      wait.listed_ = true;
      wait.links_ = {};
      wait.found_joiners_ = nullptr;
      wait.found_holdings_ = nullptr;
      (last_ != nullptr ? last_->links_.next : first_) = &wait;
      last_ = &wait;
    }

    /// The wait of a blocked owner, which is found with it; null when it is not blocked.
    Wait* wait_of(const Task& owner) noexcept {
      if (owner.state() != TaskState::blocked) return nullptr;
      list(*owner.wait_);
      return owner.wait_;
    }

    void follow(Wait& wait) noexcept {
      const bool is_limited = limited(wait);
      timed_ |= is_limited;
      wait.lacks_ = 0;
      if (is_limited && limits_end_) return able(wait);
      const bool any = wait.needs() == Needs::any;
      for (WaitNode* node = wait.nodes_; node != nullptr; node = node->next_of_wait_) {
        ++looks_;
        if (lacks(*node)) {
          if (!any || wait.lacks_ == 0) ++wait.lacks_;
        } else if (any) {
          wait.lacks_ = 0;
          break;
        }
      }
      if (wait.lacks_ == 0) able(wait);
    }

    /// Whether what this node stands for has to be waited for. Then it is told when that is over.
    bool lacks(WaitNode& node) noexcept {
      if (node.awaited_ != nullptr) {
        Wait* wait = wait_of(*node.awaited_);
        if (wait == nullptr) return false;
        node.next_found_ = std::exchange(wait->found_joiners_, &node);
        return true;
      }
      Resource* resource = node.queue_->resource();
      if (resource == nullptr || resource->holdings() == nullptr) return false;
      if (resource->found_waiters_ == nullptr) follow(*resource);
      node.next_found_ = std::exchange(resource->found_waiters_, &node);
      return resource->lacks_ != 0;
    }

    void follow(Resource& resource) noexcept {
      const bool any = resource.needs() == Needs::any;
      resource.lacks_ = 0;
      for (Holding* h = resource.holdings(); h != nullptr; h = h->next_of_resource) {
        ++looks_;
        if (Wait* wait = wait_of(*h->owner)) {
          h->next_found = std::exchange(wait->found_holdings_, h);
          if (!any || resource.lacks_ == 0) ++resource.lacks_;
        } else if (any) {
          resource.lacks_ = 0;
          return;
        }
      }
    }

    /// It can go on: those who depend on it are to be told.
    void able(Wait& wait) noexcept {
      wait.can_go_on_ = true;
      wait.links_.prev = std::exchange(able_, &wait);
    }
    void one_less(Wait& wait) noexcept {
      ++looks_;
      if (wait.lacks_ != 0 && --wait.lacks_ == 0) able(wait);
    }
    void one_less(Resource& resource) noexcept {
      ++looks_;
      if (resource.lacks_ == 0 || --resource.lacks_ != 0) return;
      for (WaitNode* node = resource.found_waiters_; node != nullptr; node = node->next_found_) one_less(node->wait());
    }

    const bool limits_end_;
    Wait* first_ = nullptr;
    Wait* last_ = nullptr;
    Wait* able_ = nullptr;  // of whom those who depend on them have not been told; linked through `prev`
    bool timed_ = false;
    std::uint64_t looks_ = 0;
  };

  /// Whether a time limit is going to end it: one that has passed has done what it could.
  static bool limited(const Wait& wait) noexcept {
    if (!wait.ends_when_withdrawn()) return false;
    const TimeLimit* limit = wait.task()->time_limits_;
    while (limit != nullptr && !(limit->is_pending() && limit->reaches_its_task())) limit = limit->outer();
    return limit != nullptr;
  }

  /// Errors: DeadlockError when `wait` can never go on.
  static void look(Loop& loop, Wait& wait) {
    if (!refuse(loop, Found(wait, true))) return;
    const Found found(wait, false);
    if (found.can_go_on()) return;
    ++loop.timed_cycles_;
    logger().warn("{} (until a time limit ends one of the waits)", found.describe());
  }

  /// True when it can go on only because of time limits, perhaps.
  static bool refuse(Loop& loop, const Found& found) {
    if (found.can_go_on()) return found.timed();
    ++loop.deadlocks_;
    if (loop.options_.deadlocks != Deadlocks::log) throw DeadlockError(found.describe());
    logger().error("{}", found.describe());
    return false;
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
        task.standing_.state = TaskState::blocked;
      }
      AsIfBlocked(const AsIfBlocked&) = delete;
      AsIfBlocked& operator=(const AsIfBlocked&) = delete;
      ~AsIfBlocked() {
        task.standing_.state = TaskState::running;
        task.wait_ = nullptr;
        Wait& wait = node.wait();
        wait.nodes_ = node.next_of_wait_;
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
    if (owner.state() == TaskState::blocked && owner.loop_->options_.deadlocks != Deadlocks::off) {
      look(*owner.loop_, *owner.wait_);
    }
  }
};

void detail::refuse_deadlock(WaitNode& node, WaiterQueue* queue, Task* awaited) {
  DeadlockSearch::begin(node, queue, awaited);
}

bool detail::waits_for_ever(Wait& wait) noexcept {
  if (wait.task()->loop().options().deadlocks == Deadlocks::off) return false;
  return !DeadlockSearch::Found(wait, true).can_go_on();
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
