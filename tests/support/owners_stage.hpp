// What the programs of owners_program.hpp play with: a loop under virtual time, its model, and every primitive; who holds
// which guard; which items are under way.
//
// Base of OwnersProgram, which says what happens when.
//
// 1. What is taken, given back or given on here is told to the model in the same call.
// 2. A guard stays in `guards_` when its owner has ended: it outlives the task.
#pragma once

#include <heirloop/sched/future.hpp>
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/channel.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/select.hpp>
#include <heirloop/sync/semaphore.hpp>

#include "support/wait_graph_model.hpp"
#include "support/watched_driver.hpp"

#include <deque>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace heirloop::testing {

/// How much of everything there is.
struct Cast {
  std::size_t locks = 3;
  std::vector<std::size_t> permits{1, 2, 3};  // of each semaphore
  std::size_t tables = 2;
  std::size_t futures = 2;
  std::size_t at_first = 3;  // workers
  std::size_t most = 8;      // workers that have not ended
};

class OwnersStage {
 protected:
  using Waits = WaitGraphModel::Waits;
  using Guard = std::variant<LockGuard, Permit, ReadGuard, WriteGuard>;
  struct Held {
    std::size_t thing;
    const Task* owner;
    Guard guard;
  };
  static constexpr std::size_t none = WaitGraphModel::none;

  OwnersStage(const LoopOptions& options, const Cast& cast)
      : driver_([this] { look(); }),
        loop_(driver_, options),
        model_(loop_),
        cast_(cast),
        futures_(cast.futures) {
    for (std::size_t i = 0; i < cast.locks; ++i) locks_.emplace_back();
    for (PriorityLock& lock : locks_) conditions_.emplace_back(lock);
    for (const std::size_t n : cast.permits) semaphores_.emplace_back(static_cast<std::ptrdiff_t>(n));
    for (std::size_t i = 0; i < cast.tables; ++i) tables_.emplace_back();
    name_things();
  }
  OwnersStage(const OwnersStage&) = delete;
  OwnersStage& operator=(const OwnersStage&) = delete;
  ~OwnersStage() = default;

  /// When every task has ended and there was no difference.
  void check_end() {
    guards_.clear();
    for (const PriorityLock& l : locks_) {
      if (l.locked()) model_.fail("a lock is held at the end");
    }
    for (std::size_t i = 0; i < semaphores_.size(); ++i) {
      if (semaphores_[i].available() != cast_.permits[i]) model_.fail("a permit is missing at the end");
    }
    for (const RWLock& t : tables_) {
      if (t.locked()) model_.fail("a reader-writer lock is held at the end");
    }
    while (const auto item = channel_.try_receive()) received(channel_items_, *item);
    while (const auto item = queue_.try_get()) received(queue_items_, *item);
    if (!channel_items_.empty() || !queue_items_.empty()) model_.fail("an item is lost");
    while (const auto item = rendezvous_.try_receive()) taken(*item);
    for (const int item : handed_) {
      if (!taken_.contains(item)) model_.fail("an item that was handed over is lost");
    }
    for (const int item : taken_) {
      if (!handed_.contains(item) && !perhaps_handed_.contains(item)) model_.fail("an item was taken that nobody handed over");
    }
    if (event_.waiter_count() + barrier_.n_waiting() != 0) model_.fail("somebody waits at the end");
  }

  // ---- things, by number: locks, semaphores, tables, futures, the channel ----

  std::size_t semaphore(std::size_t draw) const { return cast_.locks + draw % semaphores_.size(); }
  std::size_t table(std::size_t draw) const { return cast_.locks + semaphores_.size() + draw % tables_.size(); }
  std::size_t future(std::size_t f) const { return cast_.locks + semaphores_.size() + tables_.size() + f; }
  std::size_t channel() const { return future(futures_.size()); }
  std::size_t rendezvous() const { return channel() + 1; }

  void name_things() {
    const auto add = [this](const std::string& name, Needs needs) {
      model_.things.push_back({name, nullptr, needs, name == "channel", {}, {}});
    };
    for (std::size_t i = 0; i < locks_.size(); ++i) add("lock " + std::to_string(i), Needs::all);
    for (std::size_t i = 0; i < semaphores_.size(); ++i) add("semaphore " + std::to_string(i), Needs::any);
    for (std::size_t i = 0; i < tables_.size(); ++i) add("table " + std::to_string(i), Needs::all);
    for (std::size_t i = 0; i < futures_.size(); ++i) add("future " + std::to_string(i), Needs::all);
    add("channel", Needs::any);
    add("rendezvous", Needs::any);
  }

  /// What the current task has come to own last.
  static const Resource* last_owned() { return current_task().get()->holdings()->resource; }

  /// In the main task, before anything else.
  void find_resources() {
    std::size_t t = 0;
    for (PriorityLock& lock : locks_) {
      const auto guard = lock.try_acquire();
      model_.things[t++].resource = last_owned();
    }
    for (Semaphore& semaphore : semaphores_) {
      const auto guard = semaphore.try_acquire();
      model_.things[t++].resource = last_owned();
    }
    for (RWLock& table : tables_) {
      const auto guard = table.try_write();
      model_.things[t++].resource = last_owned();
    }
    for (std::size_t f = 0; f < futures_.size(); ++f) renew_future(f);
    channel_.set_owner(current_task());
    model_.things[channel()].resource = last_owned();
    channel_.set_owner({});
    rendezvous_.set_owner(current_task());
    model_.things[rendezvous()].resource = last_owned();
    rendezvous_.set_owner({});
  }

  void renew_future(std::size_t f) {
    const TaskRef& director = worker(0).task;
    futures_[f] = Promise<int>();
    futures_[f].set_owner(director);
    model_.things[future(f)].resource = director.get()->holdings()->resource;
    model_.things[future(f)].owners.clear();
    futures_[f].set_owner({});
  }

  void look() {
    renew_cancelled_futures();
    model_.check(trace_);
    if (model_.wrong.empty()) check_public_state();
  }

  /// How many wait in this thing's queue, or, with `notify`, for a notify of its condition.
  std::size_t waiting(std::size_t thing, bool notify = false) const {
    std::size_t count = 0;
    for (const auto& w : model_.workers) {
      if (!model_.blocked(w)) continue;
      for (const WaitNode* node = w.task.get()->wait()->nodes(); node != nullptr; node = node->next_of_wait()) {
        if (node->queue() == nullptr) continue;
        const Resource* resource = node->queue()->resource();
        const bool here = notify ? w.waits == Waits::condition && w.thing == thing && resource == nullptr
                                 : resource == model_.things[thing].resource;
        count += here ? 1 : 0;
      }
    }
    return count;
  }

  /// What the primitives themselves say.
  void check_public_state() {
    for (std::size_t i = 0; i < locks_.size(); ++i) {
      if (locks_[i].waiter_count() != waiting(i)) fail("a lock counts other waiters");
      if (conditions_[i].waiter_count() != waiting(i, true)) fail("a condition counts other waiters");
      if (!locks_[i].locked() && locks_[i].waiter_count() != 0) fail("a lock is free and somebody waits");
    }
    for (std::size_t i = 0; i < semaphores_.size(); ++i) {
      const Semaphore& s = semaphores_[i];
      if (s.waiter_count() != waiting(semaphore(i))) fail("a semaphore counts other waiters");
      if (s.available() != 0 && s.waiter_count() != 0) fail("a permit is free and somebody waits");
      if (s.available() + s.holders().size() != cast_.permits[i]) fail("a permit is lost or made");
    }
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      if (tables_[i].waiter_count() != waiting(table(i))) fail("a table counts other waiters");
      if (!tables_[i].locked() && tables_[i].waiter_count() != 0) fail("a table is free and somebody waits");
    }
    if (barrier_.n_waiting() >= barrier_.parties()) fail("all have come, and the barrier is not open");
  }

  /// After a share of it came back.
  void check_head(std::size_t thing) {
    if (thing < table(0) || thing >= future(0) || tables_[thing - table(0)].writer() != nullptr) return;
    const auto order = model_.order(thing);
    if (!order.empty() && worker(order[0]).waits != Waits::write) fail("a reader stands at the head of a table that is read");
  }

  /// A cancel of who waits for a future has gone to the future.
  void renew_cancelled_futures() {
    if (model_.workers.empty() || worker(0).task.done()) return;
    for (std::size_t f = 0; f < futures_.size(); ++f) {
      if (futures_[f].done()) renew_future(f);
    }
  }

  void fail(const std::string& what) { model_.fail("at " + trace_ + ": " + what); }

  WaitGraphModel::Worker& worker(std::size_t id) { return model_.workers[id]; }
  static Task* self() { return heirloop::detail::this_thread.task; }

  // ---- what is held ----

  /// One of the guards whose owner is the current task; null when there is none.
  Held* mine(std::size_t draw) {
    std::vector<Held*> all;
    for (Held& h : guards_) {
      if (h.owner == self()) all.push_back(&h);
    }
    return all.empty() ? nullptr : all[draw % all.size()];
  }

  template <class G>
  void keep(std::size_t thing, G guard) {
    model_.took(thing, self(), std::is_same_v<G, WriteGuard>);
    worker(model_.index_of(self())).waits = Waits::nothing;
    guards_.push_back({thing, self(), Guard(std::move(guard))});
  }

  void end_guard(Held& held) {
    const auto at = guards_.begin() + (&held - guards_.data());
    model_.gave(held.thing, held.owner);
    const Held gone = std::move(held);
    guards_.erase(at);
  }

  void release(Held& held) {
    const std::size_t t = held.thing;
    const auto order = model_.order(t);
    std::visit([](auto& guard) { if constexpr (requires { guard.release(); }) guard.release(); }, held.guard);
    end_guard(held);
    if (t < table(0) && !order.empty() && !model_.elected(worker(order[0]))) fail("a release went to another");
    check_head(t);
  }

  /// The semaphore grows, and as many as wait for it go on.
  void add_permits(std::size_t s, std::size_t n) {
    const auto order = model_.order(semaphore(s));
    cast_.permits[s] += n;
    semaphores_[s].release(static_cast<std::ptrdiff_t>(n));
    for (std::size_t i = 0; i < std::min(n, order.size()); ++i) {
      if (!model_.elected(worker(order[i]))) fail("an added permit went to another");
    }
  }

  /// By anybody, also of who has ended.
  void drop(Held& held) {
    const auto& owner = worker(model_.index_of(held.owner));
    if (owner.waits == Waits::condition && owner.thing == held.thing) return;
    if (owner.task.done()) {
      guards_.erase(guards_.begin() + (&held - guards_.data()));
    } else {
      end_guard(held);
    }
  }

  void transfer(Held& held, std::size_t to) {
    const TaskRef task = worker(to).task;
    if (!task || std::holds_alternative<LockGuard>(held.guard)) return;
    const bool refused = !task.done() && model_.stuck_if_owned(held.thing, self(), task.get());
    const bool writes = std::holds_alternative<WriteGuard>(held.guard);
    model_.refusals += refused ? 1 : 0;
    try {
      std::visit([&](auto& guard) { if constexpr (requires { guard.transfer(task); }) guard.transfer(task); }, held.guard);
    } catch (const DeadlockError&) {
      return;
    } catch (const InvalidStateError&) {
      if (!task.done()) fail("a transfer was refused as misuse");
      return;
    }
    model_.gave(held.thing, self());
    model_.took(held.thing, task.get(), writes);
    held.owner = task.get();
  }

  /// Of a future or the channel.
  void set_owner(std::size_t t, const TaskRef& task) {
    auto& owners = model_.things[t].owners;
    const Task* from = owners.empty() ? nullptr : owners[0].task;
    if (task && !task.done()) model_.refusals += model_.stuck_if_owned(t, from, task.get()) ? 1 : 0;
    try {
      if (t == channel()) {
        channel_.set_owner(task);
      } else {
        futures_[t - future(0)].set_owner(task);
      }
    } catch (const DeadlockError&) {
      return;
    } catch (const InvalidStateError&) {
      if (!task.done()) fail("an owner was refused as misuse");
      return;
    }
    owners.clear();
    if (task) owners.push_back({task.get()});
  }

  void set_value(std::size_t f) {
    futures_[f].set_value(++generation_);
    renew_future(f);
  }

  // ---- items ----

  void received(std::deque<int>& items, int item) {
    if (items.empty() || items.front() != item) return fail("an item is out of order, doubled or lost");
    items.pop_front();
  }

  void taken(int item) {
    if (!taken_.insert(item).second) fail("an item was taken twice");
  }

  /// Through the rendezvous channel; the receiver may have run before the sender does.
  Coro<void> hand() {
    const int item = ++next_item_;
    auto sending = rendezvous_.send(item);
    struct Note {
      Note(Channel<int>::Send& s, std::set<int>& h, int i) noexcept : sending(s), handed(h), item(i) {}
      Note(const Note&) = delete;
      Note& operator=(const Note&) = delete;
      ~Note() {
        if (sending.sent()) handed.insert(item);
      }
      Channel<int>::Send& sending;
      std::set<int>& handed;
      int item;
    };
    const Note note(sending, handed_, item);
    co_await sending;
  }
  Coro<void> take_handed() {
    const auto item = co_await rendezvous_.receive();
    taken(item.value());
  }

  /// A wait for what both channels have, or can take.
  Coro<void> choose(bool sends) {
    if (sends) {
      int item = ++next_item_;
      perhaps_handed_.insert(item);  // one that is stopped does not learn it
      const auto which = co_await select(rendezvous_.send_from(item), channel_.receive());
      if (which.index() == 0) {
        handed_.insert(item);
      } else {
        received(channel_items_, std::get<1>(which).value());
      }
    } else {
      const auto which = co_await select(channel_.receive(), rendezvous_.receive());
      if (which.index() == 0) {
        received(channel_items_, std::get<0>(which).value());
      } else {
        taken(std::get<1>(which).value());
      }
    }
  }

  Coro<void> meet() {
    try {
      const std::size_t place = co_await barrier_.wait();
      if (place >= barrier_.parties()) fail("a barrier gives a place that there is not");
    } catch (const BrokenBarrier&) {
    }
  }

  /// Everybody who waits for an item, a place, an event or somebody at the barrier has it.
  void let_items_go() {
    // No room: it is promised to senders that have not run yet.
    while (channel_.waiting_receivers() > 0 && channel_.try_send(next_item_ + 1) == TrySendResult::sent) {
      channel_items_.push_back(++next_item_);
    }
    while (channel_.waiting_senders() > 0) {
      const auto item = channel_.try_receive();
      if (!item) break;
      received(channel_items_, *item);
    }
    while (queue_.getter_count() > 0 && queue_.try_put(next_item_ + 1)) queue_items_.push_back(++next_item_);
    while (queue_.putter_count() > 0) {
      const auto item = queue_.try_get();
      if (!item) break;
      received(queue_items_, *item);
    }
    while (rendezvous_.waiting_receivers() > 0 && rendezvous_.try_send(next_item_ + 1) == TrySendResult::sent) {
      handed_.insert(++next_item_);
    }
    while (rendezvous_.waiting_senders() > 0) {
      const auto item = rendezvous_.try_receive();
      if (!item) break;
      taken(*item);
    }
    event_.set();
    event_.clear();
    if (barrier_.n_waiting() > 0) barrier_.reset();
  }

  LogCapture log_;
  WatchedDriver driver_;
  Loop loop_;
  WaitGraphModel model_;
  Cast cast_;
  std::deque<PriorityLock> locks_;
  std::deque<PriorityCondition> conditions_;  // one for each lock
  std::deque<Semaphore> semaphores_;
  std::deque<RWLock> tables_;
  std::vector<Promise<int>> futures_;
  Channel<int> channel_{2, "items"};
  Queue<int> queue_{2, "jobs"};
  Channel<int> rendezvous_{0, "hands"};
  Event event_{"event"};
  Barrier barrier_{2, "barrier"};
  std::deque<int> channel_items_;  // that were put and not got
  std::deque<int> queue_items_;
  std::set<int> handed_;          // through the rendezvous channel, by who knows it
  std::set<int> perhaps_handed_;  // by a select
  std::set<int> taken_;
  int next_item_ = 0;
  int generation_ = 0;
  std::vector<Held> guards_;  // of all, of those who have ended too
  std::string trace_ = "the start";
};

}  // namespace heirloop::testing
