// Random programs of tasks, semaphores, reader-writer locks and awaits, compared after every operation and every dispatch
// with a naive reckoning from their public state:
//
// 1. Effective = the least of the base priority and of what the waiters lend to each holder, to a fixpoint.
// 2. Each queue goes to the waiter with the least (policy key of its effective priority and the begin of its wait, order).
// 3. A wait or a transfer is refused exactly when it would leave somebody stuck: "can go on" spread from those that are not
//    blocked, over all holders (reader-writer lock, task) or any of them (semaphore).
// 4. A free permit or a free lock has no waiters; when a share has come back, no reader is left at the head of a lock that
//    is read.
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/semaphore.hpp>

#include "support/property.hpp"
#include "support/sim.hpp"
#include "support/watched_driver.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace heirloop::testing {
namespace {

enum class Act : std::uint8_t {
  permit, read, write, join, release, downgrade, transfer, drop, add, cancel, raise, set_priority, sleep, yield, advance,
  spawn, end, die_holding,
};
constexpr const char* act_names[] = {"permit",   "read",   "write", "join",         "release", "downgrade",
                                     "transfer", "drop",   "add",   "cancel",       "raise",   "set_priority",
                                     "sleep",    "yield",  "advance", "spawn",      "end",     "die_holding"};
// How often each is drawn.
constexpr Act acts[] = {Act::permit, Act::permit, Act::permit, Act::permit, Act::read, Act::read, Act::read, Act::read,
                        Act::write, Act::write, Act::write, Act::join, Act::release, Act::release, Act::release,
                        Act::downgrade, Act::transfer, Act::transfer, Act::drop, Act::add, Act::cancel, Act::raise,
                        Act::set_priority, Act::set_priority, Act::set_priority, Act::sleep, Act::yield, Act::yield,
                        Act::advance, Act::spawn, Act::spawn, Act::spawn, Act::end, Act::die_holding};

struct Op {
  Act act = Act::yield;
  std::uint8_t a = 0;
  std::uint8_t b = 0;
};

enum class Waits : std::uint8_t { nothing, permit, read, write, join };

struct Worker {
  TaskRef task;
  double base = 0;
  Waits waits = Waits::nothing;
  std::size_t target = 0;
  std::int64_t since_ns = 0;
  std::uint64_t arrival = 0;
};

using Guard = std::variant<Permit, ReadGuard, WriteGuard>;

class JointProgram {
 public:
  JointProgram(const LoopOptions& options, std::vector<Op> ops)
      : driver_([this] { check(); }), loop_(driver_, options), ops_(std::move(ops)) {
    semaphores_.emplace_back(1);
    semaphores_.emplace_back(2);
    semaphores_.emplace_back(3);
    tables_.resize(2);
  }

  /// Empty, or the first difference.
  std::string run() {
    run_to_end(loop_, direct());
    guards_.clear();
    for (const Semaphore& s : semaphores_) {
      if (!s.holders().empty()) fail("a permit is held at the end");
    }
    for (const RWLock& t : tables_) {
      if (t.locked()) fail("a reader-writer lock is held at the end");
    }
    return wrong_;
  }

 private:
  // ---- the reckoning ----

  static bool blocked(const Worker& w) {
    return w.task && w.task.state() == TaskState::blocked && w.waits != Waits::nothing;
  }

  std::vector<TaskRef> owners(Waits waits, std::size_t target) const {
    switch (waits) {
      case Waits::permit:
        return semaphores_[target].holders();
      case Waits::read:
      case Waits::write: {
        auto all = tables_[target].readers();
        if (Task* writer = tables_[target].writer()) all.emplace_back(writer);
        return all;
      }
      case Waits::join:
        return {workers_[target].task};
      case Waits::nothing:
        break;
    }
    return {};
  }

  Worker* worker_of(const TaskRef& task) {
    for (Worker& w : workers_) {
      if (w.task == task) return &w;
    }
    return nullptr;
  }

  std::vector<double> effective() {
    std::vector<double> value;
    for (const Worker& w : workers_) value.push_back(w.base);
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = 0; i < workers_.size(); ++i) {
        if (!blocked(workers_[i])) continue;
        for (const TaskRef& owner : owners(workers_[i].waits, workers_[i].target)) {
          double& its = value[index_of(owner)];
          if (value[i] >= its) continue;
          its = value[i];
          changed = true;
        }
      }
    }
    return value;
  }

  std::size_t index_of(const TaskRef& task) {
    const Worker* w = worker_of(task);
    if (w == nullptr) fail("something is owned by a task that took nothing");
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if (&workers_[i] == w) return i;
    }
    return 0;
  }

  /// Whether `who` could never go on if it waited so, or, when `given`, if that guard of the current task belonged to it;
  /// `who` null: whether anybody can't.
  bool stuck(const Worker* who, Waits waits, std::size_t target, const Guard* given = nullptr) {
    std::vector<bool> able(workers_.size());
    const auto is_able = [&](const TaskRef& task) { return able[index_of(task)]; };
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = 0; i < workers_.size(); ++i) {
        if (able[i]) continue;
        const Worker& w = workers_[i];
        const bool hypothetical = &w == who && given == nullptr;
        if ((blocked(w) && !goes_in(i)) || hypothetical) {
          auto all = owners(hypothetical ? waits : w.waits, hypothetical ? target : w.target);
          if (given != nullptr && w.waits != Waits::join && of(*given) == resource(w.waits, w.target)) {
            *std::find(all.begin(), all.end(), current_task()) = who->task;
          }
          const bool any = (hypothetical ? waits : w.waits) == Waits::permit;
          const bool goes_on =
              any ? std::any_of(all.begin(), all.end(), is_able) : std::all_of(all.begin(), all.end(), is_able);
          if (!all.empty() && !goes_on) continue;
        }
        able[i] = changed = true;
      }
    }
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      if (&workers_[i] == who) return !able[i];
    }
    return std::find(able.begin(), able.end(), false) != able.end();
  }

  /// The read that begins lets this one in before it looks for a deadlock.
  bool goes_in(std::size_t i) const { return std::find(go_in_.begin(), go_in_.end(), i) != go_in_.end(); }

  const void* resource(Waits waits, std::size_t target) const {
    return waits == Waits::permit ? static_cast<const void*>(&semaphores_[target]) : &tables_[target];
  }
  const void* of(const Guard& guard) const { return of_[static_cast<std::size_t>(&guard - guards_.data())]; }

  std::int64_t key(const Worker& w, double urgency) const { return loop_.policy().key(Urgency{urgency}, w.since_ns); }

  std::vector<std::size_t> in_order(bool permits, std::size_t target, const std::vector<double>& urgency) const {
    std::vector<std::size_t> found;
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      const Worker& w = workers_[i];
      if (!blocked(w) || w.target != target || w.waits == Waits::join || (w.waits == Waits::permit) != permits) continue;
      found.push_back(i);
    }
    std::sort(found.begin(), found.end(), [&](std::size_t a, std::size_t b) {
      const std::int64_t ka = key(workers_[a], urgency[a]);
      const std::int64_t kb = key(workers_[b], urgency[b]);
      return ka != kb ? ka < kb : workers_[a].arrival < workers_[b].arrival;
    });
    return found;
  }

  void compare_queue(const std::string& name, const std::vector<std::size_t>& order, std::size_t count) {
    if (order.size() != count) return fail(name + " counts other waiters");
    if (order.empty()) return;
    const WaiterQueue& queue = *workers_[order[0]].task.get()->wait()->nodes()->queue();
    if (queue.next()->wait().task() != workers_[order[0]].task.get()) fail(name + " would go to another");
  }

  void check() {
    if (!wrong_.empty()) return;
    if (std::string text = states_wrong(loop_); !text.empty()) return fail(text);
    const std::vector<double> urgency = effective();
    for (std::size_t i = 0; i < workers_.size(); ++i) {
      const TaskRef& task = workers_[i].task;
      if (!task || task.done() || task.effective_priority() == urgency[i]) continue;
      return fail("worker " + std::to_string(i) + " has effective priority " + std::to_string(task.effective_priority()) +
                  ", it should be " + std::to_string(urgency[i]));
    }
    for (std::size_t i = 0; i < semaphores_.size(); ++i) {
      const Semaphore& s = semaphores_[i];
      compare_queue("a semaphore", in_order(true, i, urgency), s.waiter_count());
      if (s.available() != 0 && s.waiter_count() != 0) fail("a permit is free and somebody waits");
      if (s.available() + s.holders().size() != i + 1 + added_[i]) fail("a permit is lost or made");
    }
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      compare_queue("a table", in_order(false, i, urgency), tables_[i].waiter_count());
      if (!tables_[i].locked() && tables_[i].waiter_count() != 0) fail("a table is free and somebody waits");
    }
    if (stuck(nullptr, Waits::nothing, 0)) fail("somebody waits for ever");
  }

  /// After a share of it came back.
  void check_head(const void* resource) {
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      const auto order = in_order(false, i, effective());
      if (&tables_[i] != resource || order.empty() || tables_[i].writer() != nullptr) continue;
      if (workers_[order[0]].waits == Waits::read) fail("a reader stands at the head of a lock that is read");
    }
  }

  void fail(const std::string& what) {
    if (wrong_.empty()) wrong_ = "at " + trace_ + ": " + what;
  }

  // ---- the program ----

  bool over() const { return next_ >= ops_.size() || !wrong_.empty(); }

  Op take() {
    const Op op = ops_[next_++];
    trace_ = std::to_string(next_) + " " + act_names[static_cast<std::size_t>(op.act)];
    return op;
  }

  static double priority_of(std::uint8_t draw) {
    constexpr double values[] = {-20, -10, -10, -5, 0, 0, 0, 5, 10, 10, 20, priority::always_first};
    return values[draw % std::size(values)];
  }

  void spawn(std::uint8_t a, std::uint8_t b) {
    if (workers_.size() >= 9 + finished_) return;
    const std::size_t id = workers_.size();
    workers_.emplace_back();
    workers_[id].base = priority_of(a);
    workers_[id].task = create_task(work(id), {.priority = priority_of(a), .eager_start = b % 4 == 0});
  }

  Coro<void> direct() {
    for (std::uint8_t i = 0; i < 3; ++i) spawn(i, 1);
    while (!over()) {
      co_await sleep(std::chrono::milliseconds(1));
      check();
      if (over()) break;
      const Op op = take();
      if (!from_outside(op)) spawn(op.a, op.b);
      check();
    }
  }

  /// False when it is not that kind of operation.
  bool from_outside(const Op& op) {
    Worker& w = workers_[op.a % workers_.size()];
    if (op.act != Act::cancel && op.act != Act::raise && op.act != Act::set_priority) return false;
    if (!w.task) return true;
    try {
      if (op.act == Act::cancel) {
        w.task.cancel("by the program");
      } else if (op.act == Act::raise) {
        task_throw(w.task, InterruptException("thrown"));
      } else {
        w.base = priority_of(op.b);
        w.task.set_priority(w.base);
      }
    } catch (const InvalidStateError&) {
      // Refused: done, running, or an undelivered cancel. The check finds whatever it has changed.
    }
    return true;
  }

  Coro<void> work(std::size_t id) {
    workers_[id].task = current_task();
    Op op;
    bool ends = false;
    while (!ends && !over()) {
      check();
      op = take();
      const bool survives = op.b % 3 == 0;
      try {
        ends = co_await act(id, op);
      } catch (const DeadlockError&) {
      } catch (const OwnerDied&) {
      } catch (const InterruptException&) {
        if (!survives) break;
      } catch (const Cancelled&) {
        if (!survives) break;
      }
    }
    check();
    ++finished_;
    if (op.act == Act::die_holding && ends) co_return;
    while (Guard* guard = owned(0)) {
      remove(*guard);
      check();
    }
  }

  Coro<bool> act(std::size_t id, Op op) {
    Guard* mine = owned(op.a);
    switch (op.act) {
      case Act::permit: {
        const std::size_t s = op.a % semaphores_.size();
        const Expect expect(*this, id, Waits::permit, s, semaphores_[s].available() == 0);
        keep(co_await semaphores_[s].acquire(), &semaphores_[s]);
        break;
      }
      case Act::read: {
        const std::size_t t = op.a % tables_.size();
        const Expect expect(*this, id, Waits::read, t, !reads_at_once(id, t));
        go_in_.clear();
        keep(co_await tables_[t].read(), &tables_[t]);
        break;
      }
      case Act::write: {
        const std::size_t t = op.a % tables_.size();
        const Expect expect(*this, id, Waits::write, t, tables_[t].locked());
        keep(co_await tables_[t].write(), &tables_[t]);
        break;
      }
      case Act::join: {
        const std::size_t other = op.a % workers_.size();
        const TaskRef task = workers_[other].task;
        if (!task) break;
        const Expect expect(*this, id, Waits::join, other, !task.done());
        co_await PriorityTask<void>(static_cast<detail::TaskBlock<void>*>(task.get()));
        break;
      }
      case Act::release:
        if (mine != nullptr) {
          const void* resource = of(*mine);
          std::visit([](auto& guard) { guard.release(); }, *mine);
          remove(*mine);
          check_head(resource);
        }
        break;
      case Act::downgrade:
        if (mine != nullptr && std::holds_alternative<WriteGuard>(*mine)) {
          *mine = std::get<WriteGuard>(*mine).downgrade();
          check_head(of(*mine));
        }
        break;
      case Act::transfer:
        if (mine != nullptr) transfer(*mine, workers_[op.b % workers_.size()]);
        break;
      case Act::drop:
        if (!guards_.empty()) remove(guards_[op.a % guards_.size()]);
        break;
      case Act::add:
        if (op.b % 4 == 0) {
          ++added_[op.a % semaphores_.size()];
          semaphores_[op.a % semaphores_.size()].release();
        }
        break;
      case Act::sleep:
        co_await sleep(std::chrono::microseconds(100 * (op.a % 30)));
        break;
      case Act::yield:
        co_await sleep(0);
        break;
      case Act::advance:
        driver_.sim().advance(std::chrono::microseconds(100 * (op.a % 30)));
        break;
      case Act::spawn:
        spawn(op.a, op.b);
        break;
      case Act::end:
      case Act::die_holding:
        co_return true;
      default:
        from_outside(op);
    }
    check();
    co_return false;
  }

  /// The wait that begins, and whether it has to be refused.
  class Expect {
   public:
    Expect(JointProgram& program, std::size_t id, Waits waits, std::size_t target, bool has_to_wait)
        : program_(program), worker_(program.workers_[id]), exceptions_(std::uncaught_exceptions()) {
      refused_ = has_to_wait && program.stuck(&worker_, waits, target);
      refusals_ = program.loop_.deadlocks();
      worker_.waits = waits;
      worker_.target = target;
      worker_.since_ns = program.loop_.now_ns();
      worker_.arrival = ++program.arrivals_;
      dispatch_ = program.loop_.dispatches();
    }
    Expect(const Expect&) = delete;
    Expect& operator=(const Expect&) = delete;
    ~Expect() {
      worker_.waits = Waits::nothing;
      const bool thrown_at_once = std::uncaught_exceptions() > exceptions_ && program_.loop_.dispatches() == dispatch_ &&
                                  program_.loop_.deadlocks() == refusals_ + 1;
      if (thrown_at_once == refused_) return;
      program_.fail(refused_ ? "a deadlock was not found" : "a deadlock where there is none");
    }

   private:
    JointProgram& program_;
    Worker& worker_;
    int exceptions_;
    bool refused_ = false;
    std::uint64_t refusals_ = 0;
    std::uint64_t dispatch_ = 0;
  };

  /// Readers whose urgency has risen above the writers' go in first, and lend nothing from then on.
  bool reads_at_once(std::size_t id, std::size_t t) {
    if (tables_[t].writer() != nullptr) return false;
    std::vector<std::size_t>& gone = go_in_;
    gone.clear();
    for (;;) {
      const std::vector<double> urgency = effective();
      const auto order = in_order(false, t, urgency);
      if (!order.empty() && workers_[order[0]].waits == Waits::read) {
        workers_[gone.emplace_back(order[0])].waits = Waits::nothing;
        continue;
      }
      for (const std::size_t i : gone) workers_[i].waits = Waits::read;
      if (order.empty()) return true;
      const std::int64_t mine = loop_.policy().key(Urgency{urgency[id]}, loop_.now_ns());
      return mine < key(workers_[order[0]], urgency[order[0]]);
    }
  }

  /// One of the guards whose owner is the current task; null when there is none.
  Guard* owned(std::size_t draw) {
    std::vector<Guard*> all;
    for (Guard& guard : guards_) {
      const Task* owner = std::visit([](const auto& g) { return g.owner(); }, guard);
      if (owner == current_task().get()) all.push_back(&guard);
    }
    return all.empty() ? nullptr : all[draw % all.size()];
  }

  template <class G>
  void keep(G guard, const void* resource) {
    guards_.emplace_back(std::move(guard));
    of_.push_back(resource);
  }

  void remove(Guard& guard) {
    const auto at = &guard - guards_.data();
    const Guard gone = std::move(guard);
    guards_.erase(guards_.begin() + at);
    of_.erase(of_.begin() + at);
  }

  void transfer(Guard& guard, Worker& to) {
    if (!to.task) return;
    const bool refused = !to.task.done() && stuck(&to, Waits::nothing, 0, &guard);
    try {
      std::visit([&](auto& g) { g.transfer(to.task); }, guard);
      if (refused) fail("a transfer that leaves somebody stuck was not refused");
    } catch (const DeadlockError&) {
      if (!refused) fail("a transfer was refused without need");
    } catch (const InvalidStateError&) {
      if (!to.task.done()) fail("a transfer was refused as misuse");
    }
  }

  LogCapture log_;
  WatchedDriver driver_;
  Loop loop_;
  std::vector<std::size_t> go_in_;  // readers at the head of a queue that the read which begins lets in
  std::deque<Semaphore> semaphores_;  // i + 1 permits each
  std::deque<RWLock> tables_;
  std::deque<Worker> workers_;
  std::vector<Guard> guards_;  // of all, the owners that ended among them
  std::vector<const void*> of_;
  std::array<std::size_t, 3> added_{};
  std::vector<Op> ops_;
  std::size_t next_ = 0;
  std::size_t finished_ = 0;
  std::uint64_t arrivals_ = 0;
  std::string trace_ = "the start";
  std::string wrong_;
};

std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << act_names[static_cast<std::size_t>(op.act)] << '(' << int{op.a} << ',' << int{op.b} << ')';
}

class JointOwners : public ::testing::TestWithParam<PolicyKind> {};

TEST_P(JointOwners, equal_the_naive_reckoning_after_every_operation) {
  check_property(500, 200, [] {
    LoopOptions options;
    options.policy = GetParam();
    options.age_unit = std::chrono::microseconds(200);
    const auto ops = *rc::gen::container<std::vector<Op>>(
        rc::gen::construct<Op>(rc::gen::elementOf(std::vector<Act>(std::begin(acts), std::end(acts))),
                               rc::gen::arbitrary<std::uint8_t>(), rc::gen::arbitrary<std::uint8_t>()));
    JointProgram program(options, ops);
    const std::string wrong = program.run();
    if (!wrong.empty()) RC_FAIL(wrong);
  });
}

INSTANTIATE_TEST_SUITE_P(Policies, JointOwners,
                         ::testing::Values(PolicyKind::strict, PolicyKind::aging, PolicyKind::fifo),
                         [](const auto& p) { return std::string(to_string(p.param)); });

}  // namespace
}  // namespace heirloop::testing
