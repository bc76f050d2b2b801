#include <heirloop/sched/inheritance.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include <heirloop/sched/loop.hpp>

namespace heirloop {

struct Inheritance {
  static Urgency due(const Task& task) noexcept {
    Urgency best = task.base_;
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

  /// The queue's best waiter changed from `before`: the owners' lending heaps follow, and `visit(owner)` for each.
  template <class Visit>
  static void best_changed(WaiterQueue& queue, const Urgency& before, bool was_empty, Visit visit) noexcept {
    Resource* resource = queue.resource();
    if (resource == nullptr) return;
    if (queue.best() == before && was_empty == queue.empty()) return;
    for (Holding* h = resource->holdings(); h != nullptr; h = h->next_of_resource) {
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
      WaiterQueue& queue = *node->queue();
      const Urgency before = queue.best();
      queue.reorder(*node, task.urgency(), task.loop_->policy());
      best_changed(queue, before, false, visit);
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
    const Holding* top = owner.lending_.top();
    if (top == nullptr || top->best() != urgency) return false;
    const Task& waiter = *top->resource->waiters().most_urgent_waiter()->wait().task();
    return waiter.base_ == urgency;
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
      if (task->state_ == TaskState::blocked) {
        for (WaitNode* node = task->wait_->nodes(); node != nullptr; node = node->next_of_wait()) nodes.push_back(node);
      }
      task->lending_ = {};
      for (Holding* held = task->holdings_; held != nullptr; held = held->behind) {
        held->lends = false;
        held->lend = {};
      }
    }
    std::sort(nodes.begin(), nodes.end(), [](const WaitNode* a, const WaitNode* b) { return a->arrival() < b->arrival(); });
    std::vector<WaiterQueue*> queues;
    for (WaitNode* node : nodes) {
      queues.push_back(node->queue());
      node->queue()->erase(*node);
    }
    for (Task* task = loop.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      task->base_ = loop.policy().urgency({task->base_.priority, task->deadline_ns_, task->group_});
      set(*task, task->base_);
    }
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      WaiterQueue& queue = *queues[i];
      const Urgency before = queue.best();
      const bool was_empty = queue.empty();
      queue.push_again(*nodes[i], nodes[i]->wait().task()->urgency(), loop.policy());
      queue_changed(queue, before, was_empty);
    }
  }

  static void queue_changed(WaiterQueue& queue, const Urgency& before, bool was_empty) noexcept {
    best_changed(queue, before, was_empty, [](Task& owner) { settle(owner); });
  }

  /// DESIGN section 7: follow the blocked owners; every wait of today has one.
  static void refuse_cycle(Task& waiter, const WaiterQueue& queue, const Wait& wait) {
    const auto owner_of = [](const WaiterQueue* q) -> Task* {
      if (q == nullptr || q->resource() == nullptr || q->resource()->holdings() == nullptr) return nullptr;
      return q->resource()->holdings()->owner;
    };
    const auto queue_of = [](const Task& task) -> const WaiterQueue* {
      if (task.state_ != TaskState::blocked || task.wait_->nodes() == nullptr) return nullptr;
      return task.wait_->nodes()->queue();
    };
    const Task* owner = owner_of(&queue);
    if (owner == nullptr || (owner != &waiter && owner->state_ != TaskState::blocked)) [[likely]] return;
    while (owner != nullptr && owner != &waiter) owner = owner_of(queue_of(*owner));
    if (owner == nullptr) return;

    std::string text = "waiting would never end: " + waiter.name() + " waits for " + wait.describe();
    for (const Task* t = owner_of(&queue); t != &waiter; t = owner_of(queue_of(*t))) {
      text += "; " + t->name() + " waits for " + t->wait_->describe();
    }
    throw DeadlockError(text);
  }
};

void enter_queue(Loop& loop, WaitNode& node, WaiterQueue& queue) {
  Task& task = *detail::this_thread.task;
  Wait& wait = node.wait();
  if (queue.resource() != nullptr) Inheritance::refuse_cycle(task, queue, wait);
  wait.task_ = &task;
  node.next_of_wait_ = wait.nodes_;
  wait.nodes_ = &node;
  const Urgency before = queue.best();
  const bool was_empty = queue.empty();
  queue.push(node, task.urgency(), loop.now_ns(), loop.policy());
  Inheritance::queue_changed(queue, before, was_empty);
}

void leave_queues(Wait& wait) noexcept {
  while (WaitNode* node = wait.nodes_) {
    wait.nodes_ = node->next_of_wait_;
    node->next_of_wait_ = nullptr;
    WaiterQueue& queue = *node->queue_;
    const Urgency before = queue.best();
    queue.erase(*node);
    Inheritance::queue_changed(queue, before, false);
  }
}

void move_to_queue(WaitNode& node, WaiterQueue& to) noexcept {
  Task& task = *node.wait().task();
  WaiterQueue& from = *node.queue();
  const Urgency before_from = from.best();
  from.erase(node);
  Inheritance::queue_changed(from, before_from, false);
  const Urgency before_to = to.best();
  const bool was_empty = to.empty();
  to.push(node, task.urgency(), task.loop().now_ns(), task.loop().policy());
  Inheritance::queue_changed(to, before_to, was_empty);
}

void detail::begin_lending(Holding& holding) noexcept {
  Inheritance::refresh_lending(holding);
  Inheritance::settle(*holding.owner);
}

void detail::end_lending(Holding& holding, Task& owner) noexcept {
  owner.lending_.erase(holding);
  holding.lends = false;
  Inheritance::settle(owner);
}

void settle_all(Loop& loop) { Inheritance::settle_all(loop); }

void set_base_urgency(Task& task, const Urgency& urgency) noexcept { Inheritance::set_base(task, urgency); }

}  // namespace heirloop
