// Random programs of tasks, locks, conditions, awaits and exceptions from outside, compared after every
// operation and every dispatch with the naive model of support/owner_model.hpp: inheritance is exact (DESIGN
// section 1, promise 3).
#include "support/owner_model.hpp"
#include "support/property.hpp"
#include "support/watched_driver.hpp"

#include <map>
#include <optional>

namespace heirloop::testing {
namespace {

constexpr std::size_t lock_count = 4;
constexpr std::size_t condition_count = 2;
constexpr std::size_t most_workers = 9;

enum class Act : std::uint8_t {
  acquire,
  release,
  wait,
  notify,
  join,
  cancel,
  interrupt,
  raise,
  set_priority,
  sleep,
  yield,
  advance,
  spawn,
  end,
  die_holding,
  try_acquire,
};
constexpr const char* act_names[] = {"acquire",   "release", "wait",         "notify",     "join",  "cancel",
                                     "interrupt", "raise",   "set_priority", "sleep",      "yield", "advance",
                                     "spawn",     "end",     "die_holding",  "try_acquire"};
// How often each is drawn.
constexpr Act acts[] = {Act::acquire,      Act::acquire,      Act::acquire, Act::acquire, Act::acquire,
                        Act::release,      Act::release,      Act::wait,    Act::wait,    Act::notify,
                        Act::notify,       Act::join,         Act::join,    Act::cancel,  Act::cancel,
                        Act::interrupt,    Act::interrupt,    Act::raise,   Act::raise,   Act::set_priority,
                        Act::set_priority, Act::set_priority, Act::sleep,   Act::yield,   Act::yield,
                        Act::advance,      Act::spawn,        Act::spawn,   Act::spawn,   Act::end,
                        Act::die_holding,  Act::try_acquire};

struct Op {
  Act act = Act::yield;
  std::uint8_t a = 0;
  std::uint8_t b = 0;
};

class Program {
 public:
  Program(const LoopOptions& options, std::vector<Op> ops)
      : driver_([this] { model_.check(trace_); }),
        loop_(driver_, options),
        model_(loop_, driver_.sim(), lock_count, condition_count),
        ops_(std::move(ops)) {}

  /// Empty, or the first difference.
  std::string run() {
    run_to_end(loop_, direct());
    graveyard_.clear();
    if (model_.wrong.empty()) {
      for (const PriorityLock& lock : model_.locks) {
        if (lock.locked()) model_.wrong = "a lock is held at the end";
      }
    }
    return model_.wrong;
  }

  /// Who did what in which dispatch.
  const std::string& history() const { return history_; }

 private:
  using Waits = OwnerModel::Waits;
  using Waiting = OwnerModel::Waiting;
  using Held = std::map<std::size_t, LockGuard>;

  bool over() const { return next_ >= ops_.size() || !model_.wrong.empty(); }

  Op take() {
    const Op op = ops_[next_++];
    trace_ = std::to_string(next_) + " " + act_names[static_cast<std::size_t>(op.act)];
    return op;
  }

  void check() {
    history_ += trace_ + " by " + std::to_string(model_.index_of(heirloop::detail::this_thread.task)) +
                " at " + std::to_string(loop_.dispatches()) + "\n";
    model_.check(trace_);
  }

  void fail(const std::string& what) {
    if (model_.wrong.empty()) model_.wrong = "at " + trace_ + ": " + what;
  }

  static double priority_of(std::uint8_t draw) {
    constexpr double values[] = {
        -20, -10, -10, -5, 0, 0, 0, 5, 10, 10, 20, priority::always_first, priority::when_idle};
    return values[draw % std::size(values)];
  }

  void spawn(std::uint8_t a, std::uint8_t b) {
    if (model_.workers.size() >= most_workers + finished_) return;
    const std::size_t id = model_.workers.size();
    model_.workers.emplace_back();
    model_.workers[id].base = priority_of(a);
    // The handle of an eager start comes back after its first steps; the worker sets it itself before them.
    auto task = create_task(work(id), {.priority = priority_of(a), .eager_start = b % 4 == 0});
    model_.workers[id].task = std::move(task);
  }

  /// The main task: what it does can't block for long, so that every program goes on.
  Coro<void> direct() {
    for (std::uint8_t i = 0; i < 3; ++i) spawn(i, 1);
    while (!over()) {
      co_await sleep(std::chrono::milliseconds(1));
      check();
      if (over()) break;
      const Op op = take();
      switch (op.act) {
        case Act::cancel:
        case Act::raise:
        case Act::set_priority:
          from_outside(op);
          break;
        default:
          spawn(op.a, op.b);
      }
      check();
    }
  }

  TaskRef target(std::uint8_t draw) const {
    return model_.workers.empty() ? TaskRef() : model_.workers[draw % model_.workers.size()].task;
  }

  void from_outside(const Op& op) {
    const TaskRef task = target(op.a);
    if (!task) return;
    try {
      switch (op.act) {
        case Act::cancel:
          if (task.cancel("by the program") == task.done()) fail("cancel answers wrongly");
          check_passed_on(op.a);
          break;
        case Act::raise:
          task_throw(task, InterruptException("thrown"));
          if (task.state() != TaskState::ready && !retaking(op.a)) fail("a task thrown at is not ready");
          check_passed_on(op.a);
          break;
        default:
          task.set_priority(priority_of(op.b));
          model_.workers[op.a % model_.workers.size()].base = priority_of(op.b);
      }
    } catch (const InvalidStateError&) {
      // Refused: done, running, or an undelivered cancel. The check finds whatever it has changed.
    }
  }

  /// One that is stopped after its election has passed the lock on in the same call.
  void check_passed_on(std::uint8_t draw) {
    const auto& worker = model_.workers[draw % model_.workers.size()];
    if (worker.waits != Waits::lock || worker.task == current_or_none()) return;
    if (model_.locks[worker.target].owner() == worker.task.get()) fail("a stopped waiter keeps the lock");
  }
  static TaskRef current_or_none() { return TaskRef(heirloop::detail::this_thread.task); }

  bool retaking(std::uint8_t draw) const {
    const auto& worker = model_.workers[draw % model_.workers.size()];
    return OwnerModel::blocked(worker) && worker.waits == Waits::condition && worker.on_lock;
  }

  Coro<void> work(std::size_t id) {
    model_.workers[id].task = current_task();
    Held held;
    Op op;
    bool ends = false;
    while (!ends && !over()) {
      check();
      op = take();
      const bool survives = op.b % 3 == 0;
      try {
        ends = co_await act(id, op, held);
      } catch (const DeadlockError&) {
        check();
      } catch (const OwnerDied&) {
        check();
      } catch (const InterruptException&) {
        check();
        if (!survives) break;
      } catch (const Cancelled&) {
        check();
        if (!survives) break;
      }
    }
    check();
    ++finished_;
    if (op.act == Act::die_holding) die_holding(held);
    while (!held.empty()) {  // in another order than acquired
      held.erase(held.begin());
      check();
    }
  }

  Coro<bool> act(std::size_t id, Op op, Held& held) {
    switch (op.act) {
      case Act::acquire:
        co_await acquire(id, op.a % lock_count, held);
        break;
      case Act::try_acquire: {
        const std::size_t l = op.a % lock_count;
        const bool free = !model_.locks[l].locked();
        auto guard = model_.locks[l].try_acquire();
        if (guard.has_value() != free) fail("try_acquire of a lock answers wrongly");
        if (guard) held.emplace(l, std::move(*guard));
        break;
      }
      case Act::release:
        if (!held.empty()) {
          auto which = std::next(held.begin(), static_cast<std::ptrdiff_t>(op.a % held.size()));
          which->second.release();
          held.erase(which);
        }
        break;
      case Act::wait:
        co_await wait(id, op.a % condition_count, held);
        break;
      case Act::notify:
        notify(op.a % condition_count, 1 + op.b % 2U);
        break;
      case Act::join:
        co_await join(id, op.a % model_.workers.size());
        break;
      case Act::interrupt:
        co_await interrupt(id, op.a % model_.workers.size());
        break;
      case Act::cancel:
      case Act::raise:
      case Act::set_priority:
        from_outside(op);
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
        co_return true;
      case Act::die_holding:
        co_return true;
    }
    check();
    co_return false;
  }

  Coro<void> acquire(std::size_t id, std::size_t l, Held& held) {
    const bool deadlock = model_.closes_cycle(id, model_.index_of(model_.locks[l].owner()));
    try {
      const Waiting waiting(model_, id, Waits::lock, l);
      held.emplace(l, co_await model_.locks[l].acquire());
    } catch (const DeadlockError&) {
      if (!deadlock) fail("a DeadlockError without a cycle");
      throw;
    }
    if (deadlock) fail("a cycle through a lock was not found");
    if (!model_.locks[l].held_by_current_task()) fail("acquire gave a lock to somebody else");
  }

  Coro<void> wait(std::size_t id, std::size_t c, Held& held) {
    if (!held.contains(c)) co_return;
    std::exception_ptr error;
    try {
      const Waiting waiting(model_, id, Waits::condition, c);
      co_await model_.conditions[c].wait();
    } catch (const DeadlockError&) {
      held.erase(c);  // the one case in which the lock could not be had again
      throw;
    } catch (...) {
      error = std::current_exception();
    }
    if (!model_.locks[c].held_by_current_task()) fail("a condition's wait ended without the lock");
    if (error) std::rethrow_exception(error);
  }

  void notify(std::size_t c, std::size_t n) {
    if (!model_.locks[c].held_by_current_task()) return;
    auto order = model_.notify_order(c);
    order.resize(std::min(order.size(), n));
    if (model_.conditions[c].notify(n) != order.size()) fail("notify counts wrongly");
    for (const std::size_t id : order) {
      if (model_.workers[id].task.get()->wait()->nodes()->queue()->resource() == nullptr)
        fail("notify chose another");
      model_.notified(id);
    }
  }

  Coro<void> join(std::size_t id, std::size_t other) {
    const TaskRef task = model_.workers[other].task;
    if (!task) co_return;
    const bool deadlock = !task.done() && model_.closes_cycle(id, other);
    try {
      const Waiting waiting(model_, id, Waits::join, other);
      co_await PriorityTask<void>(static_cast<detail::TaskBlock<void>*>(task.get()));
    } catch (const DeadlockError&) {
      if (!deadlock) fail("a DeadlockError without a cycle");
      throw;
    }
    if (deadlock) fail("a cycle through a join was not found");
  }

  Coro<void> interrupt(std::size_t id, std::size_t other) {
    const TaskRef task = model_.workers[other].task;
    if (!task) co_return;
    const auto& victim = model_.workers[other];
    const bool pending = OwnerModel::blocked(victim) && victim.waits == Waits::condition && victim.on_lock;
    const bool deadlock = pending && model_.closes_cycle(id, other);
    const bool refused = task.done() || task.state() == TaskState::running;
    try {
      const Waiting waiting(model_, id, Waits::interrupt, other);
      co_await task_interrupt(task, InterruptException("interrupted"));
    } catch (const InvalidStateError&) {
      co_return;
    } catch (const DeadlockError&) {
      if (!deadlock) fail("a DeadlockError without a cycle");
      throw;
    }
    if (refused) fail("an interrupt of a done or running task was not refused");
    if (deadlock) fail("an interrupt of a task that waits for the caller was not refused");
  }

  /// The guards outlive the task: it ends as the owner, and its waiters get OwnerDied. Nothing is checked in
  /// between.
  void die_holding(Held& held) {
    for (auto& [l, guard] : held) {
      graveyard_.push_back(std::move(guard));
      for (auto& worker : model_.workers) {
        if (worker.waits == Waits::condition && worker.target == l) worker.on_lock = false;
      }
    }
    held.clear();
  }

  LogCapture log_;
  WatchedDriver driver_;
  Loop loop_;
  OwnerModel model_;
  std::vector<Op> ops_;
  std::vector<LockGuard> graveyard_;
  std::size_t next_ = 0;
  std::size_t finished_ = 0;
  std::string trace_ = "the start";
  std::string history_;
};

std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << act_names[static_cast<std::size_t>(op.act)] << '(' << int{op.a} << ',' << int{op.b} << ')';
}

std::vector<Op> draw_ops() {
  return *rc::gen::container<std::vector<Op>>(
      rc::gen::construct<Op>(rc::gen::elementOf(std::vector<Act>(std::begin(acts), std::end(acts))),
                             rc::gen::arbitrary<std::uint8_t>(), rc::gen::arbitrary<std::uint8_t>()));
}

class InheritanceProgram : public ::testing::TestWithParam<LoopOptions> {};

TEST_P(InheritanceProgram, equals_the_naive_model_after_every_operation) {
  check_property(nightly() ? 400 : 600, 200, [] {
    Program program(GetParam(), draw_ops());
    const std::string wrong = program.run();
    if (!wrong.empty()) RC_FAIL(wrong);
  });
}

/// Promise 6: a run is the same to the last dispatch.
TEST_P(InheritanceProgram, runs_twice_in_the_same_way) {
  check_property(100, 200, [] {
    const auto ops = draw_ops();
    Program first(GetParam(), ops);
    Program second(GetParam(), ops);
    RC_ASSERT(first.run() == second.run());
    RC_ASSERT(first.history() == second.history());
  });
}

LoopOptions with(PolicyKind policy, bool inheritance) {
  LoopOptions options;
  options.policy = policy;
  options.age_unit = std::chrono::microseconds(200);
  options.inheritance = inheritance;
  return options;
}

INSTANTIATE_TEST_SUITE_P(Policies, InheritanceProgram,
                         ::testing::Values(with(PolicyKind::strict, true), with(PolicyKind::aging, true),
                                           with(PolicyKind::fifo, true), with(PolicyKind::strict, false)),
                         [](const auto& p) {
                           return std::string(to_string(p.param.policy)) +
                                  (p.param.inheritance ? "" : "_alone");
                         });

}  // namespace
}  // namespace heirloop::testing
