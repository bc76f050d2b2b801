// Programs of tasks over all primitives that have owners, and some that have none, beside the WaitGraphModel: each worker
// takes the next operation of one list, so that a list and the loop's options are the whole program.
//
// Called by the tests of random programs and of all small ones.
//
// 1. After every operation and between every two dispatches everything equals the model.
// 2. At the end every worker has ended by itself, under virtual time: no wake-up is lost. Nothing is held, every permit is
//    back, and the items that were put, in their order, are those that were got and those that are left.
#pragma once

#include <heirloop/runtime/task_group.hpp>

#include "support/owners_ops.hpp"
#include "support/owners_stage.hpp"

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace heirloop::testing {

class OwnersProgram : private OwnersStage {
 public:
  OwnersProgram(const LoopOptions& options, std::vector<Op> ops, const Cast& cast = {})
      : OwnersStage(options, cast), ops_(std::move(ops)) {}

  /// Empty, or the first difference. Then the program can't be taken down: what it holds stays.
  std::string run() {
    try {
      run_to_end(loop_, direct());
    } catch (const std::exception& error) {
      model_.fail(trace_ + ": the run ended with " + error.what());
    }
    if (model_.wrong.empty()) check_end();
    return model_.wrong;
  }

  std::uint64_t dispatches() const { return loop_.dispatches(); }
  const WaitGraphModel& model() const { return model_; }

  /// Who did what in which dispatch.
  const std::string& history() const { return history_; }

 private:
  // ---- the program ----

  bool over() const { return next_ >= ops_.size() || !model_.wrong.empty(); }

  Op take() {
    const Op op = ops_[next_++];
    trace_ = std::to_string(next_) + " " + act_names[static_cast<std::size_t>(op.act)];
    return op;
  }

  void check() {
    history_ += trace_ + " by " + std::to_string(model_.index_of(heirloop::detail::this_thread.task)) + " at " +
                std::to_string(loop_.dispatches()) + "\n";
    look();
  }

  std::size_t target(std::uint8_t draw) const { return 1 + draw % (model_.workers.size() - 1); }
  TaskRef owner(std::uint8_t draw) const { return draw % 5 == 0 ? TaskRef() : model_.workers[target(draw)].task; }

  void spawn(std::uint8_t a, std::uint8_t b, TaskGroup* group = nullptr, WaitGraphModel::Group* record = nullptr) {
    const auto left = std::count_if(model_.workers.begin(), model_.workers.end(),
                                    [](const auto& w) { return w.task && !w.task.done(); });
    if (static_cast<std::size_t>(left) > cast_.most) return;
    const std::size_t id = model_.workers.size();
    model_.workers.emplace_back().base = priority_of(a);
    const TaskOptions options{.priority = priority_of(a), .eager_start = b % 4 == 0};
    if (group == nullptr) {
      worker(id).task = create_task(work(id), options);
    } else {
      try {
        worker(id).task = group->create_task(work_in_group(id, *record), options);
      } catch (const InvalidStateError&) {
        return;  // it cancels its tasks already
      }
      if (!worker(id).task.done()) join_group(*worker(id).task.get(), id, *record);
    }
  }

  /// A child belongs to its group before its first line, which may run inside its creation.
  Coro<void> work_in_group(std::size_t id, WaitGraphModel::Group& record) {
    join_group(*current_task().get(), id, record);
    co_await work(id);
  }
  static void join_group(const Task& task, std::size_t id, WaitGraphModel::Group& record) {
    if (std::find(record.children.begin(), record.children.end(), id) != record.children.end()) return;
    record.children.push_back(id);
    const Holding* membership = task.holdings();
    while (membership->behind != nullptr) membership = membership->behind;  // the first that it had
    record.resource = membership->resource;
  }

  /// The main task: what it does can't block for long, so that every program goes on.
  Coro<void> direct() {
    model_.workers.emplace_back().task = current_task();
    find_resources();
    for (std::size_t i = 0; i < cast_.at_first; ++i) spawn(static_cast<std::uint8_t>(2 + 4 * i), 1);
    while (!over()) {
      co_await sleep(std::chrono::milliseconds(1));
      check();
      if (over()) break;
      const Op op = take();
      if (!from_outside(op)) spawn(op.a, op.b);
      check();
    }
    trace_ = "the end";
    for (int round = 0; round < 100 && model_.wrong.empty(); ++round) {
      if (all_have_ended()) co_return;
      let_go();
      co_await sleep(std::chrono::milliseconds(1));
      check();
    }
    for (std::size_t i = 1; i < model_.workers.size(); ++i) {
      const TaskRef& task = worker(i).task;
      if (!task || task.done()) continue;
      fail("worker " + std::to_string(i) + " never ends" +
           (task.state() == TaskState::blocked ? ": it waits for " + task.get()->wait()->describe() : ""));
    }
  }

  bool all_have_ended() const {
    return std::all_of(model_.workers.begin() + 1, model_.workers.end(),
                       [](const auto& w) { return !w.task || w.task.done(); });
  }

  /// What nobody but the program can do: everybody who waits for a notify, a value, an item or a place has it.
  void let_go() {
    for (std::size_t c = 0; c < locks_.size(); ++c) {
      auto guard = locks_[c].try_acquire();
      if (!guard) {  // by who may wait for one that waits for a notify
        for (const std::size_t id : model_.order(c, true)) worker(id).task.cancel("nobody can notify");
        check();
        continue;
      }
      keep(c, std::move(*guard));
      conditions_[c].notify_all();
      check();
      end_guard(guards_.back());
    }
    for (std::size_t f = 0; f < futures_.size(); ++f) set_value(f);
    let_items_go();
    check();
  }

  /// False when it is not that kind of operation.
  bool from_outside(const Op& op) {
    if (op.act != Act::cancel && op.act != Act::raise && op.act != Act::set_priority) return false;
    if (model_.workers.size() < 2) return true;
    auto& w = worker(target(op.a));
    if (!w.task) return true;
    const bool refuses = w.task.done() || w.task.state() == TaskState::running;
    const bool leaves_late = w.ends_group || w.interrupts != none || (w.waits == Waits::condition && w.on_lock);
    const bool may_keep = w.at_once || w.task == current_task();
    try {
      if (op.act == Act::cancel) {
        if (w.task.cancel("by the program") == w.task.done()) fail("cancel answers wrongly");
        if (!may_keep) check_passed_on(w);
      } else if (op.act == Act::raise) {
        task_throw(w.task, InterruptException("thrown"));
        if (refuses) fail("a throw at a task that is done or running was not refused");
        if (w.task.state() != TaskState::ready && !leaves_late) fail("a task thrown at is not ready");
        if (!may_keep) check_passed_on(w);
      } else {
        w.base = priority_of(op.b);
        w.task.set_priority(w.base);
      }
    } catch (const InvalidStateError&) {
      // Refused: done, running, or an undelivered cancel. The check finds whatever it has changed.
    }
    return true;
  }

  /// One that is stopped, also after its election, has passed the lock on in the same call.
  void check_passed_on(const WaitGraphModel::Worker& w) {
    if (w.waits != Waits::share || w.thing >= locks_.size()) return;
    const WaitGraphModel::Owner from_before{w.task.get()};  // it waits for itself, for a while
    const auto& owners = model_.things[w.thing].owners;
    if (std::find(owners.begin(), owners.end(), from_before) != owners.end()) return;
    if (locks_[w.thing].owner() == w.task.get()) fail("a stopped waiter keeps the lock");
  }

  Coro<void> work(std::size_t id) {
    worker(id).task = current_task();
    worker(id).began = loop_.dispatches();
    bool ends = false;
    bool dies = false;
    std::exception_ptr failure;
    while (!ends && !over()) {
      check();
      const Op op = take();
      const bool survives = op.b % 3 == 0;
      try {
        ends = co_await act(id, op);
        dies = ends && op.act == Act::die_holding;
        continue;
      } catch (const InterruptException&) {
        ends = !survives;
      } catch (const Cancelled&) {
        ends = !survives;
      } catch (...) {
        check();
        continue;
      }
      check();
      if (ends && op.b % 2 == 0) failure = std::current_exception();
    }
    check();
    while (!dies) {  // in another order than acquired
      Held* held = mine(0);
      if (held == nullptr) break;
      end_guard(*held);
      check();
    }
    if (failure) std::rethrow_exception(failure);
  }

  Coro<bool> act(std::size_t id, Op op) {
    switch (op.act) {
      case Act::lock:
        co_await take_share(id, op.act, op.a % locks_.size());
        break;
      case Act::permit:
        co_await take_share(id, op.act, semaphore(op.a));
        break;
      case Act::read:
      case Act::write:
        co_await take_share(id, op.act, table(op.a));
        break;
      case Act::wait:
        co_await wait(id, op.a);
        break;
      case Act::join:
        co_await join(id, target(op.a));
        break;
      case Act::interrupt:
        co_await interrupt(id, target(op.a));
        break;
      case Act::group:
        co_await group(id, op);
        break;
      case Act::limit: {
        const bool ends = co_await limited(id, op);
        check();
        co_return ends;
      }
      case Act::future:
        co_await await_future(id, op.a % futures_.size());
        break;
      case Act::send: {
        const Waiting waiting(*this, id, Waits::send, channel(), false);
        const int item = ++next_item_;
        co_await channel_.send(item);
        channel_items_.push_back(item);
        break;
      }
      case Act::receive: {
        const Waiting waiting(*this, id, Waits::other, channel(), channel_.empty());
        received(channel_items_, (co_await channel_.receive()).value());
        break;
      }
      case Act::put: {
        const int item = ++next_item_;
        co_await queue_.put(item);
        queue_items_.push_back(item);
        break;
      }
      case Act::get: {
        const int item = co_await queue_.get();
        received(queue_items_, item);
        break;
      }
      case Act::hand:
        co_await hand();
        break;
      case Act::take:
        co_await take_handed();
        break;
      case Act::select:
        co_await choose(op.a % 2 == 0);
        break;
      case Act::event:
        co_await event_.wait();
        break;
      case Act::barrier:
        co_await meet();
        break;
      case Act::sleep:
        co_await sleep(std::chrono::microseconds(100 * (op.a % 30)));
        break;
      case Act::yield:
        co_await sleep(0);
        break;
      case Act::end:
      case Act::die_holding:
        co_return true;
      default:
        at_once(op);
    }
    check();
    co_return false;
  }

  /// What never suspends.
  void at_once(const Op& op) {
    Held* held = mine(op.a);
    switch (op.act) {
      case Act::try_lock: {
        const std::size_t l = op.a % locks_.size();
        const bool free = model_.owners_of(l).empty();
        auto guard = locks_[l].try_acquire();
        if (guard.has_value() != free) fail("try_acquire of a lock answers wrongly");
        if (guard) keep(l, std::move(*guard));
        break;
      }
      case Act::release:
        if (held != nullptr) release(*held);
        break;
      case Act::drop:
        if (!guards_.empty()) drop(guards_[op.a % guards_.size()]);
        break;
      case Act::downgrade:
        if (held != nullptr && std::holds_alternative<WriteGuard>(held->guard)) {
          held->guard = std::get<WriteGuard>(held->guard).downgrade();
          model_.gave(held->thing, self());
          model_.took(held->thing, self());
          check_head(held->thing);
        }
        break;
      case Act::transfer:
        if (held != nullptr) transfer(*held, target(op.b));
        break;
      case Act::notify:
        notify(op.a % locks_.size(), 1 + op.b % 2U);
        break;
      case Act::set_value:
        set_value(op.a % futures_.size());
        break;
      case Act::add_permits:
        if (op.b % 4 == 0) add_permits(op.a % semaphores_.size(), 1 + op.a % 2U);
        break;
      case Act::set_event:
        event_.set();
        if (op.a % 4 != 0) event_.clear();
        break;
      case Act::future_owner:
        set_owner(future(op.a % futures_.size()), owner(op.b));
        break;
      case Act::channel_owner:
        set_owner(channel(), owner(op.b));
        break;
      case Act::advance:
        driver_.sim().advance(std::chrono::microseconds(100 * (op.a % 30)));
        break;
      case Act::spawn:
        spawn(op.a, op.b);
        break;
      default:
        from_outside(op);
    }
  }

  // ---- waits ----

  /// The wait that a worker is about to begin, and whether it has to be refused.
  class Waiting {
   public:
    Waiting(OwnersProgram& program, std::size_t id, Waits waits, std::size_t thing, bool depends, bool owns_at_once = false)
        : worker_(program.worker(id)) {
      if (depends) program.model_.refusals += program.model_.stuck_if_waits_for(id, thing) ? 1 : 0;
      worker_.waits = waits;
      worker_.thing = thing;
      worker_.at_once = owns_at_once;
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() {
      worker_.waits = Waits::nothing;
      worker_.at_once = worker_.on_lock = worker_.owner_died = false;
    }

   private:
    WaitGraphModel::Worker& worker_;
  };

  Coro<void> take_share(std::size_t id, Act act, std::size_t t) {
    const bool writes = act == Act::write;
    bool free = false;
    if (act == Act::read) {
      free = may_read(id, t);
    } else if (act == Act::permit) {
      free = model_.owners_of(t).size() < cast_.permits[t - cast_.locks];
    } else {
      free = model_.owners_of(t).empty();
    }
    const bool depends = !free && act != Act::read;
    const Waiting waiting(*this, id, writes ? Waits::write : Waits::share, t, depends, free);
    if (act == Act::lock) {
      keep(t, co_await locks_[t].acquire());
    } else if (act == Act::permit) {
      keep(t, co_await semaphores_[t - cast_.locks].acquire());
    } else if (act == Act::read) {
      keep(t, co_await tables_[t - table(0)].read());
    } else {
      keep(t, co_await tables_[t - table(0)].write());
    }
  }

  /// Readers whose urgency has risen above the writers' go in first, and lend nothing from then on. When the worker has to
  /// wait then, it is reckoned whether that is refused.
  bool may_read(std::size_t id, std::size_t t) {
    const auto owners = model_.owners_of(t);
    const bool written = std::any_of(owners.begin(), owners.end(), [](const auto& o) { return o.writes; });
    std::vector<std::size_t> gone;
    while (!written) {
      const auto order = model_.order(t, false, gone);
      if (order.empty()) return true;
      if (worker(order[0]).waits == Waits::write) {
        if (!owners.empty() || !gone.empty()) {
          if (model_.would_pass(id, order[0], gone)) return true;
        } else {
          fail("a table is free and somebody waits");
        }
        break;
      }
      gone.push_back(order[0]);
    }
    model_.refusals += model_.stuck_if_waits_for(id, t, gone) ? 1 : 0;
    return false;
  }

  Coro<void> wait(std::size_t id, std::uint8_t draw) {
    Held* held = nullptr;
    for (Held& h : guards_) {
      if (h.owner == self() && h.thing < locks_.size() && (held == nullptr || draw % 2 == 0)) held = &h;
    }
    if (held == nullptr) co_return;
    const std::size_t c = held->thing;
    model_.gave(c, self());
    worker(id).retake_refused = false;
    std::exception_ptr error;
    try {
      const Waiting waiting(*this, id, Waits::condition, c, false);
      co_await conditions_[c].wait();
    } catch (...) {
      error = std::current_exception();
    }
    if (locks_[c].held_by_current_task() == worker(id).retake_refused) fail("a condition's wait ended wrongly");
    if (worker(id).retake_refused) {
      for (std::size_t i = 0; i < guards_.size(); ++i) {
        if (guards_[i].thing != c || guards_[i].owner != self()) continue;
        guards_.erase(guards_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    } else {
      model_.took(c, self());
    }
    if (error) std::rethrow_exception(error);
  }

  void notify(std::size_t c, std::size_t n) {
    if (!locks_[c].held_by_current_task()) return;
    auto order = model_.order(c, true);
    order.resize(std::min(order.size(), n));
    if (conditions_[c].notify(n) != order.size()) fail("notify counts wrongly");
    for (const std::size_t id : order) {
      if (worker(id).task.get()->wait()->nodes()->queue()->resource() == nullptr) fail("notify chose another");
    }
  }

  Coro<void> join(std::size_t id, std::size_t other) {
    const TaskRef task = worker(other).task;
    if (!task) co_return;
    if (!task.done()) model_.refusals += model_.stuck_if_waits(id, Needs::all, {task.get()}) ? 1 : 0;
    co_await PriorityTask<void>(static_cast<heirloop::detail::TaskBlock<void>*>(task.get()));
  }

  Coro<void> interrupt(std::size_t id, std::size_t other) {
    const TaskRef task = worker(other).task;
    if (!task) co_return;
    const auto& victim = worker(other);
    bool refused = false;
    if (model_.blocked(victim) && victim.waits == Waits::condition && victim.on_lock) {
      std::vector<std::size_t> replaced;
      for (std::size_t i = 0; i < model_.workers.size(); ++i) {
        if (worker(i).interrupts == other) replaced.push_back(i);
      }
      refused = model_.stuck_if_waits(id, Needs::all, {task.get()}, replaced);
    }
    model_.refusals += refused ? 1 : 0;
    struct Interrupting {
      std::size_t& whom;
      ~Interrupting() { whom = none; }
    };
    worker(id).interrupts = other;
    const Interrupting interrupting{worker(id).interrupts};
    const bool no_victim = task.done() || task.state() == TaskState::running;
    try {
      co_await task_interrupt(task, InterruptException("interrupted"));
      if (no_victim) fail("an interrupt of a task that is done or running was not refused");
    } catch (const InvalidStateError&) {
      model_.refusals -= refused ? 1 : 0;
    }
  }

  Coro<bool> limited(std::size_t id, Op op) {
    if (over()) co_return false;
    struct Limited {
      Limited(std::vector<const TimeLimit*>& all, std::int64_t span_ns) : limits(all), limit(TimeLimit::Sends::cancel, span_ns) {
        limits.push_back(&limit);
      }
      Limited(const Limited&) = delete;
      Limited& operator=(const Limited&) = delete;
      ~Limited() { limits.pop_back(); }
      std::vector<const TimeLimit*>& limits;
      TimeLimit limit;
    };
    Limited inside(worker(id).limits, 100'000 * (op.a % 30));
    try {
      const Op next = take();
      co_return co_await act(id, next);
    } catch (const Cancelled&) {
      if (!inside.limit.end()) throw;
    }
    co_return false;
  }

  Coro<void> group(std::size_t id, Op op) {
    WaitGraphModel::Group record{.of = id, .resource = nullptr, .children = {}};
    struct Open {
      Open(WaitGraphModel& of, WaitGraphModel::Group& record, std::size_t who) : model(of), id(who) {
        model.groups.push_back(&record);
        outer = &record;
      }
      Open(const Open&) = delete;
      Open& operator=(const Open&) = delete;
      ~Open() {
        std::erase(model.groups, outer);
        model.workers[id].counts_loosely = model.workers[id].ends_group = false;
      }
      WaitGraphModel& model;
      std::size_t id;
      WaitGraphModel::Group* outer;
    };
    const Open open(model_, record, id);
    auto body = [this, id, op, &record](TaskGroup& group) -> Coro<void> {
      struct Loosely {
        bool& loosely;
        bool well = false;
        ~Loosely() { loosely = loosely || !well; }
      };
      Loosely end{worker(id).counts_loosely};
      for (unsigned i = 0; i <= op.b % 3U; ++i) spawn(static_cast<std::uint8_t>(op.a + i), op.b, &group, &record);
      check();
      for (unsigned i = 0; i < op.a % 3U && !over(); ++i) {
        const Op next = take();
        if (co_await act(id, next)) break;
      }
      end.well = true;
      end_of_group(id, record);
    };
    co_await with_task_group(body);
  }

  void end_of_group(std::size_t id, const WaitGraphModel::Group& record) {
    std::vector<const Task*> open;
    for (const std::size_t child : record.children) {
      if (!worker(child).task.done()) open.push_back(worker(child).task.get());
    }
    worker(id).ends_group = true;
    if (open.empty() || !model_.stuck_if_waits(id, Needs::all, open)) return;
    ++model_.refusals;
    worker(id).counts_loosely = true;  // it tries again
  }

  Coro<void> await_future(std::size_t id, std::size_t f) {
    const Future<int> outcome = futures_[f].future();
    const int expected = generation_;
    const Waiting waiting(*this, id, Waits::other, future(f), true);
    const int value = co_await outcome;
    if (value <= expected) fail("a future has the value of another");
  }

  std::vector<Op> ops_;
  std::size_t next_ = 0;
  std::string history_;
};

}  // namespace heirloop::testing
