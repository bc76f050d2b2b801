#include <heirloop/sched/inheritance.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <heirloop/sched/loop.hpp>

namespace heirloop {

struct Inheritance {
  static Urgency due(const Task& task) noexcept {
    Urgency best = task.base_;
    if (const WaitNode* top = task.joiners_.most_urgent(); top != nullptr && task.loop_->options_.inheritance) {
      best = most_urgent(best, top->urgency());
    }
    if (const Holding* top = task.lending_.top()) best = most_urgent(best, top->best());
    return best;
  }

  static void set(Task& task, const Urgency& urgency) noexcept { task.loop_->ready_.set_urgency(task, urgency); }

  /// Tasks whose urgency is to be looked at again, first in first out.
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

  /// What the waiters lend changed: the owners' lending heaps follow, and `visit(owner)` for each.
  template <class Visit>
  static void lent_changed(Resource& resource, Visit visit) noexcept {
    for (Holding* h = resource.holdings(); h != nullptr; h = h->next_of_resource) {
      refresh_lending(*h);
      visit(*h->owner);
    }
  }

  static void refresh_lending(Holding& holding) noexcept {
    Task& owner = *holding.owner;
    if (!owner.loop_->options_.inheritance) return;
    const bool lends = !holding.resource->waiters().empty();
    if (holding.lends) owner.lending_.erase(holding);
    holding.lends = lends;
    if (lends) owner.lending_.push(holding);
  }

  /// A waiter stands in its queues with the urgency that its task has now.
  template <class Visit>
  static void reorder(Task& task, Visit visit) noexcept {
    if (task.wait_ == nullptr) return;
    for (WaitNode* node = task.wait_->nodes(); node != nullptr; node = node->next_of_wait()) {
      if (Task* awaited = node->awaited()) {
        if (awaited->joiners_.reorder(*node, task.urgency())) visit(*awaited);
      } else {
        WaiterQueue& queue = *node->queue();
        const bool changed = queue.reorder(*node, task.urgency(), task.loop_->policy());
        if (changed && queue.resource() != nullptr) lent_changed(*queue.resource(), visit);
      }
    }
  }

  static void rise(Worklist& work) noexcept {
    while (Task* task = work.take()) {
      const Urgency urgency = due(*task);
      if (!more_urgent(urgency, task->urgency())) continue;
      set(*task, urgency);
      reorder(*task, [&](Task& owner) { work.add(owner); });
    }
  }

  /// True when what lends `owner` the most rests on a waiter's own base priority, not on what that waiter inherited.
  static bool held_up(const Task& owner, const Urgency& urgency) noexcept {
    const auto by = [&](const WaitNode* waiter) {
      return waiter != nullptr && waiter->urgency() == urgency && waiter->wait().task()->base_ == urgency;
    };
    const Holding* top = owner.lending_.top();
    return by(owner.joiners_.most_urgent()) || (top != nullptr && by(top->resource->waiters().most_urgent_waiter()));
  }

  static void drop(Task& task) noexcept {
    const Urgency old = task.urgency();
    Worklist collected;
    Worklist work;
    const auto collect = [&](Task& owner) {
      if (owner.collected_ || owner.urgency() != old) return;
      if (owner.base_ == old || held_up(owner, old)) return;
      owner.collected_ = true;
      collected.add(owner);
    };
    task.collected_ = true;
    collected.add(task);
    while (Task* next = collected.take()) {
      if (next->state_ == TaskState::blocked) {
        set(*next, next->base_);
        reorder(*next, collect);
      }
      work.add(*next);
    }
    for (Task* t = work.first(); t != nullptr; t = t->work_next_) {
      t->collected_ = false;
      // A task that waits in no queue is re-placed once, with what it ends up with.
      if (t->state_ != TaskState::blocked) set(*t, due(*t));
    }
    rise(work);
  }

  /// Something that supports the task changed.
  static void settle(Task& task) noexcept {
    const Urgency urgency = due(task);
    if (urgency == task.urgency()) return;
    if (more_urgent(urgency, task.urgency())) {
      Worklist work;
      work.add(task);
      rise(work);
    } else {
      drop(task);
    }
  }

  static void set_base(Task& task, const Urgency& urgency) noexcept {
    task.base_ = urgency;
    settle(task);
  }

  static void settle_all(Loop& loop) {
    std::vector<WaitNode*> nodes;
    for (Task* task = loop.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      task->lending_ = {};
      if (task->state_ != TaskState::blocked) continue;
      for (WaitNode* node = task->wait_->nodes(); node != nullptr; node = node->next_of_wait()) nodes.push_back(node);
    }
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
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const Urgency& urgency = nodes[i]->wait().task()->urgency();
      if (queues[i] == nullptr) {
        nodes[i]->awaited()->joiners_.push_again(*nodes[i], urgency);
        settle(*nodes[i]->awaited());
      } else if (queues[i]->push_again(*nodes[i], urgency, loop.policy()) && queues[i]->resource() != nullptr) {
        lent_changed(*queues[i]->resource(), settle);
      }
    }
  }

  /// DESIGN section 7: follow the blocked owners; every wait of today has one.
  static void refuse_cycle(const Task& waiter, const Task& owner, const Wait& wait) {
    const auto next = [](const Task& task) -> const Task* {
      const WaitNode* node = task.state_ == TaskState::blocked ? task.wait_->nodes() : nullptr;
      if (node == nullptr) return nullptr;
      if (node->awaited() != nullptr) return node->awaited();
      const Resource* resource = node->queue()->resource();
      return resource == nullptr || resource->holdings() == nullptr ? nullptr : resource->holdings()->owner;
    };
    const Task* last = &owner;
    while (last != nullptr && last != &waiter) last = next(*last);
    if (last == nullptr) return;

    std::string text = "waiting would never end: " + waiter.name() + " waits for " + wait.describe();
    for (const Task* t = &owner; t != &waiter; t = next(*t)) {
      text += "; " + t->name() + " waits for " + t->wait_->describe();
    }
    throw DeadlockError(text);
  }
};

void detail::refuse_cycle(const Task& waiter, const Task& owner, const Wait& wait) {
  Inheritance::refuse_cycle(waiter, owner, wait);
}

void detail::settle(Task& task) noexcept { Inheritance::settle(task); }

void detail::lent_changed(Resource& resource) noexcept {
  Inheritance::lent_changed(resource, [](Task& owner) { Inheritance::settle(owner); });
}

void move_to_queue(WaitNode& node, WaiterQueue& to) noexcept {
  Task& task = *node.wait().task();
  WaiterQueue& from = *node.queue();
  if (from.erase(node) && from.resource() != nullptr) detail::lent_changed(*from.resource());
  const bool changed = to.push(node, task.urgency(), task.loop().now_ns(), task.loop().policy());
  if (changed && to.resource() != nullptr) detail::lent_changed(*to.resource());
}

void detail::begin_lending(Holding& holding) noexcept {
  Inheritance::refresh_lending(holding);
  Inheritance::settle(*holding.owner);
}

void detail::end_lending(Holding& holding, Task& owner) noexcept {
  owner.lending_.erase(holding);
  holding.lends = false;
  if (owner.inherits()) Inheritance::settle(owner);
}

void settle_all(Loop& loop) { Inheritance::settle_all(loop); }

void set_base_urgency(Task& task, const Urgency& urgency) noexcept { Inheritance::set_base(task, urgency); }

}  // namespace heirloop
