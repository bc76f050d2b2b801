// A naive model of who waits for whom, beside a real loop: it recomputes every effective priority and the
// order of every waiter queue from scratch, from the public state of tasks and locks and from what the test's
// own workers are doing.
//
// 1. A waiter lends to the owner of what it waits for: a lock's holder, the task it joins, the victim of its
// interrupt.
// 2. Effective = the least of the base priority and of what the waiters lend, to a fixpoint.
// 3. A waiter's place: (policy key of its effective priority and the begin of its wait, order of arrival).
#pragma once

#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace heirloop::testing {

class OwnerModel {
 public:
  enum class Waits { nothing, lock, condition, join, interrupt };

  struct Worker {
    TaskRef task;
    double base = 0;  // the model's own
    Waits waits = Waits::nothing;
    std::size_t target = 0;  // lock, condition or worker
    bool on_lock = false;    // of a condition: notified, or taking the lock again
    std::int64_t since_ns = 0;
    std::uint64_t arrival = 0;
  };

  OwnerModel(Loop& loop_of, SimDriver& driver_of, std::size_t locks_wanted, std::size_t conditions_wanted)
      : loop(loop_of), driver(driver_of) {
    for (std::size_t i = 0; i < locks_wanted; ++i) locks.emplace_back();
    for (std::size_t i = 0; i < conditions_wanted; ++i) conditions.emplace_back(locks[i]);
  }

  Loop& loop;
  SimDriver& driver;
  std::deque<PriorityLock> locks;
  std::deque<PriorityCondition> conditions;  // condition i is tied to lock i
  std::deque<Worker> workers;
  std::string wrong;  // the first difference

  std::size_t index_of(const Task* task) const {
    for (std::size_t i = 0; i < workers.size(); ++i) {
      if (workers[i].task.get() == task) return i;
    }
    return workers.size();
  }

  /// The wait that worker `id` is about to begin; ends with the scope.
  class Waiting {
   public:
    Waiting(OwnerModel& model, std::size_t id, Waits waits, std::size_t target) : worker_(model.workers[id]) {
      worker_.waits = waits;
      worker_.target = target;
      worker_.on_lock = waits == Waits::lock;
      worker_.since_ns = model.loop.now_ns();
      worker_.arrival = ++model.arrivals_;
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { worker_.waits = Waits::nothing; }

   private:
    Worker& worker_;
  };

  static bool blocked(const Worker& worker) {
    return worker.task && worker.task.state() == TaskState::blocked && worker.waits != Waits::nothing;
  }

  /// The worker on whom this one waits; workers.size() when nobody.
  std::size_t owner_of(const Worker& worker) const {
    if (!blocked(worker)) return workers.size();
    switch (worker.waits) {
      case Waits::lock:
        return index_of(locks[worker.target].owner());
      case Waits::condition:
        return worker.on_lock ? index_of(locks[worker.target].owner()) : workers.size();
      case Waits::join:
      case Waits::interrupt:
        return worker.target;
      case Waits::nothing:
        break;
    }
    return workers.size();
  }

  /// True when a wait of `id` for `owner` would close a cycle.
  bool closes_cycle(std::size_t id, std::size_t owner) const {
    while (owner < workers.size() && owner != id) owner = owner_of(workers[owner]);
    return owner == id;
  }

  std::vector<double> effective() const {
    std::vector<double> result;
    for (const Worker& worker : workers) result.push_back(worker.base);
    if (!loop.options().inheritance) return result;
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = 0; i < workers.size(); ++i) {
        const std::size_t owner = owner_of(workers[i]);
        if (owner < workers.size() && result[i] < result[owner]) {
          result[owner] = result[i];
          changed = true;
        }
      }
    }
    return result;
  }

  /// Who would be notified next, in order, of those who wait for condition `c`.
  std::vector<std::size_t> notify_order(std::size_t c) const {
    return in_order(effective(), [&](const Worker& w) {
      return w.waits == Waits::condition && w.target == c && !w.on_lock;
    });
  }

  void notified(std::size_t id) {
    workers[id].on_lock = true;
    workers[id].since_ns = loop.now_ns();
    workers[id].arrival = ++arrivals_;
  }

  /// Compares everything; the first difference stays in `wrong`.
  void check(const std::string& after) {
    if (!wrong.empty()) return;
    std::string difference = states_wrong(loop);
    if (difference.empty()) difference = compare();
    if (!difference.empty()) wrong = "after " + after + ": " + difference;
    last_now_ns_ = driver.now_ns();
  }

 private:
  template <class Select>
  std::vector<std::size_t> in_order(const std::vector<double>& urgency, Select select) const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < workers.size(); ++i) {
      if (blocked(workers[i]) && select(workers[i])) found.push_back(i);
    }
    std::sort(found.begin(), found.end(), [&](std::size_t a, std::size_t b) {
      const auto key = [&](std::size_t i) {
        return loop.policy().key(Urgency{urgency[i]}, workers[i].since_ns);
      };
      if (key(a) != key(b)) return key(a) < key(b);
      return workers[a].arrival < workers[b].arrival;
    });
    return found;
  }

  /// A condition's waiter that takes its lock again has begun to since the last check.
  void notice_retakes() {
    for (Worker& worker : workers) {
      if (!blocked(worker) || worker.waits != Waits::condition || worker.on_lock) continue;
      if (worker.task.get()->wait()->nodes()->queue()->resource() == nullptr) continue;
      worker.on_lock = true;
      worker.since_ns = last_now_ns_;
      worker.arrival = ++arrivals_;
    }
  }

  std::string compare() {
    notice_retakes();
    const std::vector<double> urgency = effective();
    for (std::size_t i = 0; i < workers.size(); ++i) {
      const TaskRef& task = workers[i].task;
      if (!task || task.done()) continue;
      const std::string name = "worker " + std::to_string(i);
      if (task.priority() != workers[i].base) return name + " has another base than was set";
      if (task.effective_priority() != urgency[i]) {
        return name + " has effective priority " + std::to_string(task.effective_priority()) +
               ", it should be " + std::to_string(urgency[i]);
      }
      if (!blocked(workers[i])) continue;
      for (const WaitNode* n = task.get()->wait()->nodes(); n != nullptr; n = n->next_of_wait()) {
        if (n->urgency().priority != urgency[i]) return name + " waits with another urgency than it has";
      }
    }
    for (std::size_t l = 0; l < locks.size(); ++l) {
      const auto order = in_order(urgency, [&](const Worker& w) {
        return w.target == l && w.on_lock && (w.waits == Waits::lock || w.waits == Waits::condition);
      });
      if (order.size() != locks[l].waiter_count())
        return "lock " + std::to_string(l) + " counts other waiters";
      if (std::string text = compare_next(order); !text.empty()) return "lock " + std::to_string(l) + text;
    }
    for (std::size_t c = 0; c < conditions.size(); ++c) {
      const auto order = notify_order(c);
      if (order.size() != conditions[c].waiter_count())
        return "condition " + std::to_string(c) + " counts others";
      if (std::string text = compare_next(order); !text.empty())
        return "condition " + std::to_string(c) + text;
    }
    return {};
  }

  std::string compare_next(const std::vector<std::size_t>& order) const {
    if (order.empty()) return {};
    const WaiterQueue& queue = *workers[order[0]].task.get()->wait()->nodes()->queue();
    const std::size_t next = index_of(queue.next()->wait().task());
    if (next == order[0]) return {};
    return " would go to worker " + std::to_string(next) + ", it should be " + std::to_string(order[0]);
  }

  std::uint64_t arrivals_ = 0;
  std::int64_t last_now_ns_ = 0;
};

}  // namespace heirloop::testing
