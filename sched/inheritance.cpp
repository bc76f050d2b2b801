#include <heirloop/sched/inheritance.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <heirloop/sched/loop.hpp>

namespace heirloop {

struct Inheritance {
  /// Of what the task holds, that by which it is lent the most, if anything; null: it holds nothing that lends.
  static const Holding* best_holding(const Task& task) noexcept {
    const Holding* top = task.lending_.top();
    const Holding* only = task.holdings_;
    if (only == nullptr || only->behind != nullptr) return top;
    return top == nullptr || more_urgent(only->best(), top->best()) ? only : top;
  }

  static Urgency due(const Task& task) noexcept {
    Urgency best = task.base_;
    if (!task.loop_->options_.inheritance) return best;
    if (const WaitNode* top = task.joiners_.most_urgent()) best = most_urgent(best, top->urgency());
    if (const Holding* top = best_holding(task)) best = most_urgent(best, top->best());
    return best;
  }

  static void set(Task& task, const Urgency& urgency) noexcept {
    task.loop_->ready_.set_urgency(task, urgency);
    task.inherits_ = urgency != task.base_;
  }

  /// Tasks linked through `work_next_`, each once, first in first out.
  class Worklist {
   public:
    void add(Task& task) noexcept {
      if (task.listed_) return;
      task.listed_ = true;
      task.work_next_ = nullptr;
      (last_ != nullptr ? last_->work_next_ : first_) = &task;
      last_ = &task;
    }
    Task* take() noexcept {
      Task* task = first_;
      if (task == nullptr) return nullptr;
      first_ = task->work_next_;
      if (first_ == nullptr) last_ = nullptr;
      task->listed_ = false;
      return task;
    }
    Task* first() const noexcept { return first_; }

   private:
    Task* first_ = nullptr;
    Task* last_ = nullptr;
  };

  static void refresh_lending(Holding& holding) noexcept {
    Task& owner = *holding.owner;
    if (!owner.loop_->options_.inheritance) return;
    const bool lends = !holding.resource->waiters().empty() && !detail::is_only_holding(holding, owner);
    if (holding.lends) owner.lending_.erase(holding);
    if (lends) owner.lending_.push(holding);
    holding.lends = lends;
  }

  /// The owners' lending heaps follow what the waiters lend now.
  static void refresh_lending(Resource& resource) noexcept {
    for (Holding* h = resource.holdings(); h != nullptr; h = h->next_of_resource) refresh_lending(*h);
  }

  template <class Visit>
  static void for_each_owner(const Resource& resource, Visit visit) noexcept {
    for (Holding* h = resource.holdings(); h != nullptr; h = h->next_of_resource) visit(*h->owner);
  }

  /// What the waiters lend is more urgent than it was.
  static void count_inheritance(const Resource& resource) noexcept {
    WaitStatistics* statistics = resource.waiters().statistics();
    if (statistics == nullptr) return;
    const Urgency best = resource.waiters().best();
    for_each_owner(resource, [&](const Task& owner) {
      if (owner.loop_->options_.inheritance && more_urgent(best, owner.urgency())) ++statistics->inheritance_events;
    });
  }

  /// A waiter stands in its queues with the urgency that its task has now. `visit(owner)` for those whom it concerns: where
  /// the best has changed, or, `rests_on_it`, may have rested on this waiter.
  template <class Visit>
  static void reorder(Task& task, bool rests_on_it, Visit visit) noexcept {
    for (WaitNode* node = task.wait_->nodes(); node != nullptr; node = node->next_of_wait()) {
      if (Task* awaited = node->awaited()) {
        if (awaited->joiners_.reorder(*node, task.urgency()) || rests_on_it) visit(*awaited);
        continue;
      }
      WaiterQueue& queue = *node->queue();
      const bool changed = queue.reorder(*node, task.urgency(), task.loop_->policy());
      if (queue.resource() == nullptr) continue;
      if (changed) refresh_lending(*queue.resource());
      if (changed && !rests_on_it) count_inheritance(*queue.resource());
      if (changed || rests_on_it) for_each_owner(*queue.resource(), visit);
    }
  }

  /// Blocked tasks that are to rise, most urgent first, so that each is final when it comes; those that lend nothing on,
  /// because they don't wait, last.
  class Rise {
   public:
    void add(Task& task) noexcept {
      if (task.state() != TaskState::blocked) return at_the_end_.add(task);
      Wait& wait = *task.wait_;
      if (wait.listed_) return rising_.update(wait);
      if (!more_urgent(due(task), task.urgency())) return;
      wait.listed_ = true;
      rising_.push(wait);
    }

    void run() noexcept {
      while (Wait* wait = rising_.pop()) {
        wait->listed_ = false;
        Task& task = *wait->task();
        set(task, due(task));
        reorder(task, false, [this](Task& owner) { add(owner); });
      }
      while (Task* task = at_the_end_.take()) set(*task, due(*task));
    }

   private:
    struct MoreUrgentDue {
      bool operator()(const Wait& a, const Wait& b) const noexcept { return more_urgent(due(*a.task()), due(*b.task())); }
    };
    detail::PairingHeap<Wait, &Wait::links_, MoreUrgentDue> rising_;
    Worklist at_the_end_;
  };

  /// Nobody depends on the wait of a task that is not blocked: it takes what is due to it, and that is all.
  static void settle_unblocked(Task& task) noexcept { set(task, due(task)); }

  static void rise(Task& task) noexcept {
    if (task.state() != TaskState::blocked) return settle_unblocked(task);
    Rise rise;
    rise.add(task);
    rise.run();
  }

  /// True when what lends `owner` the most rests on a waiter's own base priority, not on what that waiter inherited.
  static bool held_up(const Task& owner, const Urgency& urgency) noexcept {
    const auto by = [&](const WaitNode* waiter) {
      return waiter != nullptr && waiter->urgency() == urgency && waiter->wait().task()->base_ == urgency;
    };
    const Holding* top = best_holding(owner);
    return owner.loop_->options_.inheritance && (by(owner.joiners_.most_urgent()) ||
                                                 (top != nullptr && by(top->resource->waiters().most_urgent_waiter())));
  }

  /// What lent `old` to some tasks is gone; `seed(collect)` names them.
  template <class Seed>
  static void drop(const Urgency& old, Seed seed) noexcept {
    Worklist collected;
    Worklist all;
    const auto collect = [&](Task& task) {
      if (task.collected_ || task.urgency() != old || task.base_ == old || held_up(task, old)) return;
      task.collected_ = true;
      collected.add(task);
    };
    seed(collect);
    while (Task* task = collected.take()) {
      if (task->state() == TaskState::blocked) {
        set(*task, task->base_);
        reorder(*task, true, collect);
      }
      all.add(*task);
    }
    Rise rise;
    while (Task* task = all.take()) {
      task->collected_ = false;
      rise.add(*task);
    }
    rise.run();
  }

  static void gained_jointly(Resource& resource) noexcept {
    refresh_lending(resource);
    count_inheritance(resource);
    Rise rise;
    for_each_owner(resource, [&](Task& owner) { rise.add(owner); });
    rise.run();
  }

  static void lost(Resource& resource, const Urgency& old, bool changed) noexcept {
    if (changed) refresh_lending(resource);
    Holding* first = resource.holdings();
    if (first != nullptr && first->next_of_resource == nullptr) [[likely]] return lost(*first->owner, old);
    drop(old, [&](auto collect) { for_each_owner(resource, collect); });
  }

  static void lost(Task& owner, const Urgency& old) noexcept {
    if (owner.state() != TaskState::blocked) {
      if (owner.urgency() == old && owner.base_ != old) settle_unblocked(owner);
      return;
    }
    drop(old, [&](auto collect) { collect(owner); });
  }

  static void set_base(Task& task, const Urgency& urgency) noexcept {
    const Urgency old = task.urgency();
    task.base_ = urgency;
    task.inherits_ = urgency != old;
    if (more_urgent(urgency, old)) {
      rise(task);
    } else {
      lost(task, old);
    }
  }

  static void settle_all(Loop& loop) {
    std::vector<WaitNode*> nodes;
    for (Task* task = loop.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      task->lending_ = {};
      if (task->state() != TaskState::blocked) continue;
      for (WaitNode* node = task->wait_->nodes(); node != nullptr; node = node->next_of_wait()) {
        if (node->queue() != nullptr && node->queue()->next() == node) node->queue()->number();
        nodes.push_back(node);
      }
    }
    // In each queue they stand again in the order in which they came.
    std::sort(nodes.begin(), nodes.end(), [](const WaitNode* a, const WaitNode* b) { return a->arrival() < b->arrival(); });
    std::vector<WaiterQueue*> queues;  // null for who awaits a task
    for (WaitNode* node : nodes) {
      WaiterQueue* queue = queues.emplace_back(node->queue());
      if (queue == nullptr) {
        node->awaited()->joiners_.erase(*node);
        continue;
      }
      queue->erase(*node);
      if (queue->resource() == nullptr) continue;
      for (Holding* h = queue->resource()->holdings(); h != nullptr; h = h->next_of_resource) h->lends = false;
    }
    for (Task* task = loop.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      task->base_ = task->urgency_at(task->base_.priority);
      set(*task, task->base_);
    }
    // Who rises is re-placed where it waits: so first everybody stands, each by its own urgency.
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const Urgency& urgency = nodes[i]->wait().task()->urgency();
      if (queues[i] == nullptr) {
        nodes[i]->awaited()->joiners_.push_again(*nodes[i], urgency);
      } else if (queues[i]->push_again(*nodes[i], urgency, loop.policy()) && queues[i]->resource() != nullptr) {
        refresh_lending(*queues[i]->resource());
      }
    }
    Rise rise;
    for (Task* task = loop.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) rise.add(*task);
    rise.run();
  }

  /// Mostly nobody's urgency changes: the giver has inherited nothing, and those who still wait are as urgent as who gets it.
  /// Where besides it is all that either has to give back, these stores are what the general way comes to.
  ///
  /// A lock that goes round is a chain: each step begins with what the one before wrote. So the processor must not have to read
  /// of the waiter where it goes: its loop is this thread's, and its level mostly the current one.
  static void hand_over(Resource& resource, Holding& holding) noexcept {
    WaiterQueue& waiters = resource.waiters();
    Loop* const loop = detail::this_thread.loop;
    Wait& wait = waiters.next()->wait();
    Task& to = *wait.task();
    Task& from = *holding.owner;
    if (!detail::is_only_holding(holding, from) || to.holdings_ != nullptr || from.inherits_ || waiters.alike() == nullptr ||
        waiters.statistics() != nullptr || loop != from.loop_) [[unlikely]] {
      return hand_over_otherwise(resource, holding);
    }
    wait.nodes_ = nullptr;
    waiters.erase_first();
    from.holdings_ = nullptr;
    to.holdings_ = &holding;
    holding.owner = &to;
    loop->wake_left(wait);
  }

  [[gnu::noinline]] static void hand_over_otherwise(Resource& resource, Holding& holding) noexcept {
    WaiterQueue& waiters = resource.waiters();
    Wait& wait = waiters.next()->wait();
    Task& to = *wait.task();
    Task& from = *holding.owner;
    // While the waiter leaves nobody owns it, so that the waiter lends to nobody; and nobody to the waiter's wait from then
    // on, so that what is due to it can be set at once.
    detail::unlist_holding(holding, from);
    waiters.holdings_ = nullptr;
    detail::end_lending(holding, from);
    leave_queues(wait);
    holding.owner = &to;
    waiters.holdings_ = &holding;
    detail::list_holding(holding, to);
    refresh_lending(holding);
    if (more_urgent(waiters.best(), to.urgency())) settle_unblocked(to);
    to.loop().wake_left(wait);
  }
};

void detail::gained_jointly(Resource& resource) noexcept { Inheritance::gained_jointly(resource); }
void detail::gained(Task& awaited) noexcept { Inheritance::rise(awaited); }
void detail::lost(Resource& resource, const Urgency& urgency, bool changed) noexcept {
  Inheritance::lost(resource, urgency, changed);
}
void detail::lost(Task& awaited, const Urgency& urgency) noexcept { Inheritance::lost(awaited, urgency); }

void detail::count_end(const WaitNode& node) noexcept {
  node.queue()->count_end(node, node.wait().task()->loop().now_ns(), !node.wait().is_withdrawn());
}

void move_to_queue(WaitNode& node, WaiterQueue& to) noexcept {
  Task& task = *node.wait().task();
  WaiterQueue& from = *node.queue();
  if (from.statistics() != nullptr) detail::count_end(node);
  const Urgency urgency = node.urgency();
  const bool changed = from.erase(node);
  if (from.resource() != nullptr) detail::lost(*from.resource(), urgency, changed);
  if (to.push(node, task.urgency(), task.loop().now_ns(), task.loop().policy()) && to.holdings() != nullptr) {
    detail::gained(*to.resource());
  }
}

void detail::refresh_lending(Holding& holding) noexcept { Inheritance::refresh_lending(holding); }

void detail::begin_lending(Holding& holding) noexcept {
  Inheritance::refresh_lending(holding);
  const WaitNode& top = *holding.resource->waiters().most_urgent_waiter();
  if (more_urgent(top.urgency(), holding.owner->urgency())) [[unlikely]] Inheritance::rise(*holding.owner);
}

void detail::end_lending(Holding& holding, Task& owner) noexcept {
  if (holding.lends) owner.lending_.erase(holding);
  holding.lends = false;
  if (owner.inherits()) Inheritance::lost(owner, holding.best());
}

void hand_over(Resource& resource, Holding& holding) noexcept { Inheritance::hand_over(resource, holding); }

void settle_all(Loop& loop) { Inheritance::settle_all(loop); }

void set_base_urgency(Task& task, const Urgency& urgency) noexcept { Inheritance::set_base(task, urgency); }

}  // namespace heirloop
