// A naive model of the whole graph of waits beside a real loop: who waits for whom through every primitive that has owners.
// It reckons everything from scratch at every look, and keeps its own record of who holds what.
//
// Called by programs of workers, which tell it what they are about to wait for (`begin_wait`), what they have got (`took`)
// and what they gave back (`gave`), and by a look between every two dispatches.
//
// 1. Owners of a thing = who has said so, and who was elected in its queue and has not run yet. The library's chains of
//    holdings say the same, and so does each task's own list.
// 2. Effective = the least of the base and of what all who wait for it have: the least solution, from the bases on.
// 3. A waiter stands in its queue with what its task has; the queue goes to the least (policy key of that and of the begin
//    of the wait, order of coming).
// 4. "Can go on" is the least solution too: over all owners or any; who isn't blocked can, and who has a time limit before
//    it. A wait is refused exactly when it would be without. Nobody comes to be without it later, but who waits for an item
//    of a channel with a named owner, when a sender that was about to put one is stopped: anybody may still send.
#pragma once

#include <heirloop/sched/time_limit.hpp>

#include "support/sim.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace heirloop::testing {

class WaitGraphModel final : public StepObserver {
 public:
  static constexpr std::size_t none = ~std::size_t{0};

  /// What a wait gives to who is elected, before it runs.
  enum class Waits : std::uint8_t {
    nothing,
    share,      // of the thing: it is owned then
    write,      // the same, alone
    condition,  // the thing's lock, from the notify on
    send,       // the thing is owned until it runs, and no longer
    other,      // nothing
  };

  struct Owner {
    const Task* task = nullptr;
    bool writes = false;
    friend bool operator==(const Owner&, const Owner&) = default;
  };

  /// What can be owned.
  struct Thing {
    std::string name;
    const Resource* resource = nullptr;
    Needs needs = Needs::all;
    bool is_channel = false;         // its named owner decides what becomes of it; senders own it for a moment
    std::vector<Owner> owners;       // as the workers have said
    std::vector<const Task*> seen;   // all of them, at the last look
  };

  struct Worker {
    TaskRef task;
    double base = 0;
    Waits waits = Waits::nothing;
    std::size_t thing = none;
    bool at_once = false;     // it needs not wait: what it wants is its own from now on
    bool on_lock = false;     // of a condition's waiter: in the lock's queue, or elected there
    bool owner_died = false;  // woken by the end of an owner
    bool ended = false;       // seen
    const Resource* queued_on = nullptr;     // at the last look
    std::size_t interrupts = none;           // whom
    std::vector<const TimeLimit*> limits;
    std::uint64_t began = 0;                 // in which dispatch
    bool ends_group = false;                 // the group's body has ended
    bool counts_loosely = false;             // it has tried to wait for its group before: refusals are not reckoned
    bool retake_refused = false;
  };

  /// The children of a group: owners until they end.
  struct Group {
    std::size_t of = none;
    const Resource* resource = nullptr;
    std::vector<std::size_t> children;
  };

  explicit WaitGraphModel(Loop& loop_of) : loop(loop_of) { loop.set_observer(this); }
  WaitGraphModel(const WaitGraphModel&) = delete;
  WaitGraphModel& operator=(const WaitGraphModel&) = delete;
  ~WaitGraphModel() { loop.set_observer(nullptr); }

  Loop& loop;
  std::deque<Thing> things;
  std::deque<Worker> workers;
  std::deque<Group*> groups;  // that are not over
  std::uint64_t refusals = 0;  // deadlocks that there have to be
  std::uint64_t looks = 0;
  std::uint64_t looks_at_cycles = 0;  // at which somebody waited for itself, legally
  std::string wrong;  // the first difference

  // ---- what workers tell ----

  void took(std::size_t thing, const Task* task, bool writes = false) { things[thing].owners.push_back({task, writes}); }
  void gave(std::size_t thing, const Task* task) {
    auto& all = things[thing].owners;
    const auto at = std::find_if(all.begin(), all.end(), [&](const Owner& o) { return o.task == task; });
    if (at == all.end()) return fail("something was given back that was not held");
    all.erase(at);
  }

  void fail(const std::string& what) {
    if (wrong.empty()) wrong = what;
  }

  std::size_t index_of(const Task* task) const {
    for (std::size_t i = workers.size(); i-- > 0;) {
      if (workers[i].task.get() == task) return i;
    }
    return none;
  }

  // ---- what the model knows ----

  bool blocked(const Worker& w) const { return w.task && w.task.state() == TaskState::blocked; }

  /// Woken to what it waited for, and not run yet.
  static bool elected(const Worker& w) {
    if (!w.task || w.task.state() != TaskState::ready || w.owner_died) return false;
    const Wait* wait = w.task.get()->wait();
    switch (w.waits) {
      case Waits::share:
      case Waits::write:
        return wait != nullptr && wait->is_elected();
      case Waits::condition:
        return w.on_lock;
      case Waits::send:
        return wait == nullptr || wait->is_elected();  // or gives way
      default:
        return false;
    }
  }

  std::vector<Owner> owners_of(std::size_t thing) const {
    std::vector<Owner> all = things[thing].owners;
    for (const Worker& w : workers) {
      if (w.waits == Waits::nothing || w.waits == Waits::other || w.thing != thing || !w.task) continue;
      const bool owns = elected(w) || (w.at_once && w.waits != Waits::send);
      if (owns) all.push_back({w.task.get(), w.waits == Waits::write});
    }
    return all;
  }

  /// Whether the wait of worker `id` for this could never end. `also_go_on`: as if these were not blocked.
  bool stuck_if_waits(std::size_t id, Needs needs, const std::vector<const Task*>& owners,
                      const std::vector<std::size_t>& also_go_on = {}) {
    take_snapshot();
    std::uint32_t mask = 0;
    for (const Task* owner : owners) mask |= bit_of(owner);
    const std::uint32_t me = bit_of(workers[id].task.get());
    for (const std::size_t i : also_go_on) blocked_ &= ~bit_of(workers[i].task.get());
    blocked_ |= me;
    edges_.push_back({place_of(workers[id].task.get()), nullptr, needs, mask, mask != 0, false, false, 0, 0});
    return (able() & me) == 0;
  }
  bool stuck_if_waits_for(std::size_t id, std::size_t thing, const std::vector<std::size_t>& also_go_on = {}) {
    std::vector<const Task*> owners;
    for (const Owner& owner : owners_of(thing)) owners.push_back(owner.task);
    return stuck_if_waits(id, things[thing].needs, owners, also_go_on);
  }

  /// Whether `to` could never go on if it owned the thing in place of `from` (null: of nobody).
  bool stuck_if_owned(std::size_t thing, const Task* from, const Task* to) {
    if (from == to) return false;
    take_snapshot();
    std::vector<Owner> owners = owners_of(thing);
    const auto at = std::find_if(owners.begin(), owners.end(), [&](const Owner& o) { return o.task == from; });
    if (at != owners.end()) owners.erase(at);
    owners.push_back({to});
    bool waited_for = false;
    for (Edge& edge : edges_) {
      if (edge.node->queue() == nullptr || edge.node->queue()->resource() != things[thing].resource) continue;
      waited_for = true;
      edge.has_owner = true;
      edge.owners = 0;
      for (const Owner& o : owners) edge.owners |= bit_of(o.task);
    }
    return waited_for && (blocked_ & bit_of(to)) != 0 && (able() & bit_of(to)) == 0;
  }

  /// Who waits in this thing's queue, or, with `notify`, for a notify of its condition; in the order in which it goes on.
  /// `without`: as if these had left.
  std::vector<std::size_t> order(std::size_t thing, bool notify = false, const std::vector<std::size_t>& without = {}) {
    take_snapshot(without);
    reckon();
    std::vector<const Edge*> found;
    for (const Edge& edge : edges_) {
      const Worker& w = workers[live_[edge.waiter]];
      if (edge.node->queue() == nullptr) continue;
      const bool here = notify ? w.waits == Waits::condition && w.thing == thing && edge.node->queue()->resource() == nullptr
                               : edge.node->queue()->resource() == things[thing].resource;
      if (here) found.push_back(&edge);
    }
    std::sort(found.begin(), found.end(), [&](const Edge* a, const Edge* b) { return before(*a, *b); });
    std::vector<std::size_t> result;
    for (const Edge* edge : found) result.push_back(live_[edge->waiter]);
    return result;
  }

  /// Whether one of this urgency that came now would go before worker `other`, which waits.
  bool would_pass(std::size_t id, std::size_t other, const std::vector<std::size_t>& without) {
    take_snapshot(without);
    reckon();
    const double mine = value_[place_of(workers[id].task.get())];
    for (const Edge& edge : edges_) {
      if (live_[edge.waiter] == other) return loop.policy().key(Urgency{mine}, loop.now_ns()) < key(edge);
    }
    return true;
  }

  /// Compares everything; the first difference stays in `wrong`.
  void check(const std::string& after) {
    if (!wrong.empty()) return;
    ++looks;
    notice_ends();
    notice_forced();
    std::string text = states_wrong(loop);
    if (text.empty()) text = compare_owners();
    if (text.empty()) {
      take_snapshot();
      notice_waits();
      reckon();
      text = compare_urgencies();
    }
    if (text.empty()) text = compare_queues();
    if (text.empty()) text = compare_deadlocks();
    if (!text.empty()) fail("after " + after + ": " + text);
    if (in_cycle() != 0) ++looks_at_cycles;
  }

  // ---- StepObserver ----

  void step_begins(const Entry& entry, std::int64_t now_ns) override {
    step_now_ns_ = now_ns;
    running_ = none;
    if (entry.kind() != Entry::Kind::task) return;
    running_ = index_of(static_cast<const Task*>(&entry));
    if (running_ == none) return;
    Worker& w = workers[running_];
    w.counts_loosely = w.counts_loosely || w.ends_group;
    if (w.waits == Waits::condition && !elected(w) && !owners_of(w.thing).empty()) {
      // It takes the lock again, whatever happens: no limit ends that.
      const auto limits = std::exchange(w.limits, {});
      w.retake_refused = stuck_if_waits_for(running_, w.thing);
      w.limits = limits;
      refusals += w.retake_refused ? 1 : 0;
    }
  }
  void step_ended() override {}

 private:
  struct Edge {
    std::size_t waiter = 0;  // place in live_
    const WaitNode* node = nullptr;
    Needs needs = Needs::all;
    std::uint32_t owners = 0;  // bits by place in live_
    bool has_owner = false;
    bool for_item = false, is_one_of_several = false;  // the second: of a select
    std::int64_t since_ns = 0;
    std::uint64_t order = 0;
  };
  struct Known {
    std::uint64_t arrival;
    std::int64_t since_ns;
    std::uint64_t order;
  };

  std::size_t place_of(const Task* task) const {
    for (std::size_t i = 0; i < live_.size(); ++i) {
      if (workers[live_[i]].task.get() == task) return i;
    }
    return none;
  }
  std::uint32_t bit_of(const Task* task) const {
    const std::size_t place = place_of(task);
    return place == none ? 0 : std::uint32_t{1} << place;
  }
  std::int64_t key(const Edge& edge) const { return loop.policy().key(Urgency{value_[edge.waiter]}, edge.since_ns); }
  bool before(const Edge& a, const Edge& b) const {
    const std::int64_t ka = key(a);
    const std::int64_t kb = key(b);
    return ka != kb ? ka < kb : a.order < b.order;
  }

  void take_snapshot(const std::vector<std::size_t>& without = {}) {
    live_.clear();
    edges_.clear();
    blocked_ = 0;
    for (std::size_t i = 0; i < workers.size(); ++i) {
      if (workers[i].task && !workers[i].task.done()) live_.push_back(i);
    }
    for (std::size_t place = 0; place < live_.size(); ++place) {
      const Worker& w = workers[live_[place]];
      if (!blocked(w) || std::find(without.begin(), without.end(), live_[place]) != without.end()) continue;
      blocked_ |= std::uint32_t{1} << place;
      const Wait& wait = *w.task.get()->wait();
      for (const WaitNode* node = wait.nodes(); node != nullptr; node = node->next_of_wait()) {
        Edge& edge = edges_.emplace_back();
        edge.waiter = place;
        edge.node = node;
        edge.is_one_of_several = wait.nodes()->next_of_wait() != nullptr;
        if (node->queue() != nullptr) node->queue()->number();
        for (const Known& known : known_) {
          if (known.arrival == node->arrival()) std::tie(edge.since_ns, edge.order) = std::tie(known.since_ns, known.order);
        }
        find_owners(edge);
      }
    }
  }

  /// By the model's own record.
  void find_owners(Edge& edge) {
    const auto add = [&](const Task* owner) {
      edge.owners |= bit_of(owner);
      edge.has_owner = true;
    };
    if (edge.node->awaited() != nullptr) return add(edge.node->awaited());
    const Resource* resource = edge.node->queue()->resource();
    if (resource == nullptr) return;
    for (std::size_t t = 0; t < things.size(); ++t) {
      if (things[t].resource != resource) continue;
      edge.needs = things[t].needs;
      edge.for_item = things[t].is_channel;
      for (const Owner& owner : owners_of(t)) add(owner.task);
      return;
    }
    for (const Group* group : groups) {
      if (group->resource != resource) continue;
      for (const std::size_t child : group->children) {
        if (workers[child].task && !workers[child].task.done()) add(workers[child].task.get());
      }
      return;
    }
    const Worker& w = workers[live_[edge.waiter]];
    if (w.interrupts != none) return add(workers[w.interrupts].task.get());
    fail("somebody waits for something that the model does not know");
  }

  void reckon() {
    value_.clear();
    for (const std::size_t i : live_) value_.push_back(workers[i].base);
    if (!loop.options().inheritance) return;
    for (bool changed = true; changed;) {
      changed = false;
      for (const Edge& edge : edges_) {
        for (std::uint32_t left = edge.owners; left != 0; left &= left - 1) {
          double& its = value_[static_cast<std::size_t>(std::countr_zero(left))];
          if (value_[edge.waiter] >= its) continue;
          its = value_[edge.waiter];
          changed = true;
        }
      }
    }
  }

  /// Whether a limit will end the wait of this one: not when it has been sent already, nor while a condition's lock is taken
  /// again, for that goes on in any case.
  static bool limited(const Worker& w) {
    if (w.waits == Waits::condition && w.on_lock) return false;
    return std::any_of(w.limits.begin(), w.limits.end(), [](const TimeLimit* l) { return l->is_pending(); });
  }

  /// `items_come`: as if for every channel there were a sender. Of a select one way is enough.
  std::uint32_t able(bool items_come = false) const {
    std::uint32_t all = 0;
    for (std::size_t place = 0; place < live_.size(); ++place) {
      const std::uint32_t bit = std::uint32_t{1} << place;
      if ((blocked_ & bit) == 0 || limited(workers[live_[place]])) all |= bit;
    }
    for (std::uint32_t before = ~all; before != all;) {
      before = all;
      std::uint32_t held_back = 0, has_a_way = 0;
      for (const Edge& edge : edges_) {
        const bool one_is_enough = edge.needs == Needs::any;
        const bool owners_go_on = one_is_enough ? (edge.owners & all) != 0 : (edge.owners & ~all) == 0;
        const bool is_way = !edge.has_owner || owners_go_on || (items_come && edge.for_item);
        if (is_way && !edge.is_one_of_several) continue;
        (is_way ? has_a_way : held_back) |= std::uint32_t{1} << edge.waiter;
      }
      held_back &= ~has_a_way;
      const std::uint32_t everybody = live_.size() >= 32 ? ~std::uint32_t{0} : (std::uint32_t{1} << live_.size()) - 1;
      all |= everybody & ~held_back;
    }
    return all;
  }

  /// Who waits, directly or through others, for itself.
  std::uint32_t in_cycle() const {
    std::uint32_t reach[32] = {};
    for (const Edge& edge : edges_) reach[edge.waiter] |= edge.owners;
    for (std::size_t k = 0; k < live_.size(); ++k) {
      for (std::size_t i = 0; i < live_.size(); ++i) {
        if ((reach[i] >> k & 1U) != 0) reach[i] |= reach[k];
      }
    }
    std::uint32_t found = 0;
    for (std::size_t i = 0; i < live_.size(); ++i) found |= reach[i] & (std::uint32_t{1} << i);
    return found;
  }

  /// Tasks that have ended since the last look, holding what they held.
  void notice_ends() {
    for (std::size_t d = 0; d < workers.size(); ++d) {
      if (!workers[d].task || workers[d].ended || !workers[d].task.done()) continue;
      workers[d].ended = true;
      const Task* dead = workers[d].task.get();
      for (std::size_t t = 0; t < things.size(); ++t) {
        Thing& thing = things[t];
        if (std::erase_if(thing.owners, [&](const Owner& o) { return o.task == dead; }) == 0) continue;
        const bool sole = std::all_of(thing.seen.begin(), thing.seen.end(), [&](const Task* o) { return o == dead; });
        if (!sole && !thing.is_channel) continue;
        for (Worker& w : workers) {
          if (w.task && w.queued_on == thing.resource && !blocked(w)) w.owner_died = true;
          if (w.owner_died) w.on_lock = false;
        }
      }
    }
  }

  /// A group that could never end has ended the waits of its tasks, also of those that took a condition's lock again.
  void notice_forced() {
    for (const Group* group : groups) {
      if (!workers[group->of].counts_loosely) continue;
      for (const std::size_t child : group->children) {
        Worker& w = workers[child];
        if (w.waits != Waits::condition || !elected(w) || !w.task.get()->wait()->is_withdrawn()) continue;
        const Holding* h = things[w.thing].resource->holdings();
        if (h == nullptr || h->owner != w.task.get()) w.on_lock = false;
      }
    }
  }

  void notice_waits() {
    std::vector<Known> all;
    std::vector<Edge*> fresh;
    for (Edge& edge : edges_) {
      const auto at = std::find_if(known_.begin(), known_.end(),
                                   [&](const Known& k) { return k.arrival == edge.node->arrival(); });
      if (at != known_.end()) {
        all.push_back(*at);
      } else {
        fresh.push_back(&edge);
      }
    }
    std::sort(fresh.begin(), fresh.end(), [](auto* a, auto* b) { return a->node->arrival() < b->node->arrival(); });
    for (Edge* edge : fresh) {
      edge->since_ns = step_now_ns_;
      edge->order = ++order_;
      all.push_back({edge->node->arrival(), edge->since_ns, edge->order});
    }
    known_ = std::move(all);
    for (Worker& w : workers) {
      if (!blocked(w)) {
        if (w.waits != Waits::condition || w.task.state() == TaskState::running) w.on_lock = false;
        w.queued_on = nullptr;
      }
    }
    for (const Edge& edge : edges_) {
      Worker& w = workers[live_[edge.waiter]];
      w.queued_on = edge.node->queue() == nullptr ? nullptr : edge.node->queue()->resource();
      if (w.waits == Waits::condition) w.on_lock = w.queued_on != nullptr;
      w.owner_died = false;
    }
  }

  // ---- what is compared ----

  static std::string text_of(std::vector<const Task*> tasks, const WaitGraphModel& model) {
    std::string text = "{";
    for (const Task* task : tasks) text += " " + std::to_string(model.index_of(task));
    return text + " }";
  }

  /// Invariant 1.
  std::string compare_owners() {
    for (std::size_t t = 0; t < things.size(); ++t) {
      Thing& thing = things[t];
      if (thing.resource == nullptr) continue;
      std::vector<const Task*> mine;
      for (const Owner& owner : owners_of(t)) mine.push_back(owner.task);
      std::vector<const Task*> chain;
      for (const Holding* h = thing.resource->holdings(); h != nullptr; h = h->next_of_resource) chain.push_back(h->owner);
      std::sort(mine.begin(), mine.end());
      std::sort(chain.begin(), chain.end());
      if (mine != chain) {
        return thing.name + " is owned by the workers " + text_of(chain, *this) + ", it should be " + text_of(mine, *this);
      }
      thing.seen = std::move(mine);
    }
    for (const Group* group : groups) {
      if (group->resource == nullptr) continue;
      std::size_t owned = 0;
      for (const Holding* h = group->resource->holdings(); h != nullptr; h = h->next_of_resource) ++owned;
      std::size_t open = 0;
      for (const std::size_t child : group->children) {
        if (!workers[child].task.done()) ++open;
      }
      if (owned != open) return "a group has " + std::to_string(owned) + " owners, not " + std::to_string(open);
    }
    return {};
  }

  std::string compare_urgencies() {
    for (std::size_t place = 0; place < live_.size(); ++place) {
      const Worker& w = workers[live_[place]];
      const std::string name = "worker " + std::to_string(live_[place]);
      if (w.task.priority() != w.base) return name + " has another base than was set";
      if (w.task.effective_priority() != value_[place]) {
        return name + " has effective priority " + std::to_string(w.task.effective_priority()) + ", it should be " +
               std::to_string(value_[place]);
      }
      if (w.task.get()->inherits() != (value_[place] != w.base)) return name + " says wrongly whether it inherits";
      std::size_t holdings = 0;
      for (const Holding* h = w.task.get()->holdings(); h != nullptr; h = h->behind, ++holdings) {
        if (h->owner != w.task.get()) return name + " lists what belongs to another";
      }
      if (holdings != holdings_of(live_[place])) return name + " lists other holdings than it has";
    }
    for (const Edge& edge : edges_) {
      if (edge.node->urgency().priority == value_[edge.waiter]) continue;
      return "worker " + std::to_string(live_[edge.waiter]) + " waits with another urgency than it has";
    }
    return {};
  }

  /// What it has to give back: a sender that is about to put its item has not.
  std::size_t holdings_of(std::size_t id) const {
    std::size_t count = 0;
    const Task* task = workers[id].task.get();
    for (std::size_t t = 0; t < things.size(); ++t) {
      for (const Task* owner : things[t].seen) count += owner == task ? 1 : 0;
    }
    const Worker& w = workers[id];
    if (w.waits == Waits::send && elected(w)) --count;
    for (const Group* group : groups) {
      for (const std::size_t child : group->children) count += child == id ? 1 : 0;
    }
    return count;
  }

  std::string compare_queues() {
    for (const Edge& edge : edges_) {
      const WaiterQueue* queue = edge.node->queue();
      if (queue == nullptr) continue;
      std::size_t count = 0;
      const Edge* first = &edge;
      for (const Edge& other : edges_) {
        if (other.node->queue() != queue) continue;
        ++count;
        if (before(other, *first)) first = &other;
      }
      if (count != queue->size()) return "a queue counts other waiters";
      if (queue->next() != first->node) {
        return "a queue would go to worker " + std::to_string(index_of(queue->next()->wait().task())) +
               ", it should be " + std::to_string(live_[first->waiter]);
      }
    }
    return {};
  }

  /// Invariant 4.
  std::string compare_deadlocks() {
    if (loop.deadlocks() != refusals) {
      if (loop.deadlocks() < refusals) return "a deadlock was not found";
      if (!ran_loosely()) return "a deadlock was reported where there is none";
      refusals = loop.deadlocks();
    }
    const std::uint32_t stuck = blocked_ & ~able(true);
    if (stuck == 0) return {};
    return "worker " + std::to_string(live_[static_cast<std::size_t>(std::countr_zero(stuck))]) + " waits for ever";
  }

  /// Whether somebody ran in this step, if only in an eager start, whose refusals are not reckoned.
  bool ran_loosely() const {
    for (std::size_t i = 0; i < workers.size(); ++i) {
      if (workers[i].counts_loosely && (i == running_ || workers[i].began == loop.dispatches())) return true;
    }
    return false;
  }

  std::vector<std::size_t> live_;  // who has not ended
  std::vector<Edge> edges_;        // of those that are blocked
  std::uint32_t blocked_ = 0;
  std::vector<double> value_;
  std::vector<Known> known_;
  std::uint64_t order_ = 0;
  std::int64_t step_now_ns_ = 0;
  std::size_t running_ = none;
};

}  // namespace heirloop::testing
