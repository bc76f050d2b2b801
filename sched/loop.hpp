// The dispatch loop (DESIGN section 4): completions, posts, timers, then one step of the entry that the policy chooses.
//
// Owns: the ready queue, the timers, the inbox, the registry of tasks and the cached clock. Called by awaiters (block,
// wake), by the runtime (run), and by other threads (post).
//
// 1. Between every two steps the loop looks whether a completion or a post is there: loads of memory, no call.
// 2. One way to become blocked (`block`), one to become ready (`make_ready`), one pending exception per task.
// 3. all tasks = ready ∪ blocked ∪ {running}. A task that started eagerly enters as it first suspends.
// 4. The cached clock is refreshed by every harvest and wait and at least once in `refresh_interval` steps.
// 5. Nothing here allocates in steady state.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <heirloop/sched/callback.hpp>
#include <heirloop/sched/driver.hpp>
#include <heirloop/sched/group.hpp>
#include <heirloop/sched/open_frame.hpp>
#include <heirloop/sched/ready_queue.hpp>
#include <heirloop/sched/task.hpp>
#include <heirloop/sched/this_thread.hpp>
#include <heirloop/sched/timer.hpp>

namespace heirloop {

/// What becomes of a wait that would close a cycle in which nobody can go on.
enum class Deadlocks : std::uint8_t {
  throws,  ///< DeadlockError in the task that closes it
  log,     ///< it is logged and counted, and waits, for ever unless somebody from outside ends one of the waits
  off,     ///< nobody looks
};

/// Sees how each task is about to be made, and may change it: its name (what that refers to must live until `create_task`
/// returns), priority, deadline, group, and whether it starts eagerly.
using TaskFactory = std::function<void(TaskOptions& options)>;

struct LoopOptions {
  PolicyKind policy = PolicyKind::aging;
  std::chrono::nanoseconds age_unit = std::chrono::milliseconds(100);
  std::uint64_t policy_seed = 1;                            ///< of a policy with random numbers
  std::function<std::unique_ptr<Policy>()> custom_policy{};  ///< when set, instead of `policy`
  bool inheritance = true;  ///< off: waiting lends nothing; to compare
  Deadlocks deadlocks = Deadlocks::throws;
  std::chrono::nanoseconds step_budget = std::chrono::microseconds(500);
  unsigned max_nested_starts = 1000;
  bool eager_tasks = false;  ///< every task that is created inside the loop starts inside the call unless asked otherwise
  std::optional<std::uint64_t> tie_seed{};  ///< equals run in an order of this seed; gives up FIFO among equals; for tests
  std::optional<std::chrono::nanoseconds> slow_step{};  ///< longer steps are counted and logged; costs two clock reads a step
  std::optional<std::chrono::nanoseconds> end_deadline{};  ///< see `finish`; empty: it waits for ever
};

/// Sees every dispatch. Costs a virtual call before and after each step while it is set.
class StepObserver {
 public:
  virtual ~StepObserver() = default;

  /// The loop has chosen `entry`; `now_ns` is its cached clock. Runs in the loop: must not touch a task.
  virtual void step_begins(const Entry& entry, std::int64_t now_ns) = 0;

  /// The step is over; the entry may be gone.
  virtual void step_ended() = 0;
};

namespace detail {
/// Tells those who may outlive a loop whether it is there still. Counted.
struct LoopLife : Pooled {
  explicit LoopLife(Loop& whose) noexcept : loop(&whose) {}
  LoopLife* retain() noexcept {
    ++references;
    return this;
  }
  void let_go() noexcept {
    if (--references == 0) delete this;
  }

  Loop* loop;  // null: it has ended
  std::uint32_t references = 1;
};
}  // namespace detail

class Loop {
 public:
  static constexpr unsigned refresh_interval = 64;
  static constexpr std::int64_t min_tick_ns = 100'000;
  static constexpr unsigned checkpoints_per_look = 16;  // at the clock, for the step budget

  Loop(Driver& driver, const LoopOptions& options);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  /// The loop that runs in this thread. Errors: InvalidStateError when none does.
  static Loop& current() {
    Loop* loop = detail::this_thread.loop;
    if (loop == nullptr) [[unlikely]] no_loop();
    return *loop;
  }

  /// Dispatches until `task` is done. The calling thread must not be inside a loop.
  void run_until_done(const TaskRef& task);

  /// Cancels every task that is left once, last created first, also one that has swallowed a cancel before, and
  /// dispatches until all have ended, and the handles that are there then; logs exceptions that nobody fetched. Who has not
  /// ended after `end_deadline` is named in the log and cancelled again, shielded or not; who ignores three of these ends the
  /// program, with the place named. Generators that have begun and not ended by then are closed, last begun first, each in a
  /// task of its own, which has `end_deadline` for itself; what comes out of them is logged.
  void finish();

  const LoopOptions& options() const noexcept { return options_; }
  Driver& driver() const noexcept { return driver_; }
  ReadyQueue& ready() noexcept { return ready_; }
  TimerQueue& timers() noexcept { return timers_; }
  const Policy& policy() const noexcept { return ready_.policy(); }

  /// From the next step on entries run in this order. Every ready task stays ready, every waiter waiting.
  /// Errors: std::invalid_argument for null; InvalidStateError inside the eager part of a start.
  /// Cost: O(n log n) in the number of tasks; allocates.
  void set_policy(std::unique_ptr<Policy> policy);

  /// Lives as long as the loop. Errors: std::invalid_argument as GroupTree::create.
  SchedulingGroup& create_group(const GroupOptions& options) { return groups_.create(options); }
  const GroupTree& groups() const noexcept { return groups_; }

  /// Tasks whose deadline had passed when they ended or got another one. By the cached clock.
  std::uint64_t missed_deadlines() const noexcept { return missed_deadlines_; }

  /// Steps that were longer than `slow_step`.
  std::uint64_t slow_steps() const noexcept { return slow_steps_; }

  /// Cycles of waits in which nobody could go on, refused or logged.
  std::uint64_t deadlocks() const noexcept { return deadlocks_; }

  /// Those in which somebody waits under a time limit, whose end will end them. Each was logged as it closed.
  std::uint64_t timed_cycles() const noexcept { return timed_cycles_; }

  /// How often the searches for deadlocks have looked at a wait for something or at a share in it: what they cost.
  std::uint64_t deadlock_looks() const noexcept { return deadlock_looks_; }

  detail::LoopLife& life() noexcept { return *life_; }

  /// From the next step on; null: none. The observer must live until it is taken back; it does not see the end of that step.
  void set_observer(StepObserver* observer) noexcept {
    observer_ = observer;
    watched_ = observer != nullptr || options_.slow_step.has_value();
    attend_at_ = 0;
  }

  /// The cached clock, ns.
  std::int64_t now_ns() const noexcept { return now_ns_; }

  /// Steps run so far.
  std::uint64_t dispatches() const noexcept { return dispatches_; }

  std::vector<TaskRef> all_tasks() const;

  // ---- for awaiters ----

  /// The current task suspends until `wait` is woken. Called last in `await_suspend`, when the wait stands in its
  /// queues. When an exception is pending already, the wait is withdrawn at once.
  void block(Wait& wait, std::coroutine_handle<> frame) noexcept {
    wait.state_ = Wait::State::blocked;
    Task& task = *detail::this_thread.task;
    wait.task_ = &task;
    task.resume_ = frame;
    task.wait_ = &wait;
    task.standing_.state = TaskState::blocked;
    if (task.pending_ != Task::Pending::nothing) [[unlikely]] withdraw(task);
  }

  /// The current task suspends and stays ready, at the end of its own priority.
  void yield(std::coroutine_handle<> frame) {
    Task& task = *detail::this_thread.task;
    task.resume_ = frame;
    task.wait_ = nullptr;
    ready_.push(task, now_ns_);
  }

  /// Takes the wait out of its queues and makes its task ready. The wait is blocked, or withdrawn and `pending`.
  void wake(Wait& wait) noexcept;

  /// The same for a wait that is out of its queues already.
  void wake_left(Wait& wait) noexcept {
    Task& task = *wait.task_;
    contract(wait.nodes_ == nullptr, "a wait is out of every queue when its task goes on");
    const bool blocked = wait.state_ == Wait::State::blocked;
    contract(blocked || (task.wait_ == &wait && task.state() == TaskState::blocked), "a wait is woken once, while its task waits");
    if (blocked) [[likely]] wait.state_ = Wait::State::elected;
    make_ready(task);
  }

  /// At the start of every `await_resume` of a suspension: throws what is pending for the current task. Inside a call in which
  /// nothing may wait it stays pending. The throw is part of the coroutine: each function between it and who catches would cost
  /// the unwinder a look.
  [[gnu::always_inline]] static void resumed() {
    if (detail::this_thread.task->pending_ == Task::Pending::nothing) [[likely]] return;
    if (detail::this_thread.drive != nullptr) return;
    if (std::exception_ptr error = take_pending()) std::rethrow_exception(std::move(error));
  }

  /// True when the current step should end: a completion, a post or a tick is there, an entry precedes the current one,
  /// or the step is over its budget.
  /// Never where nothing may wait.
  bool should_yield() noexcept {
    // What a checkpoint costs that goes on: one branch for all that may have come, and one for the clock.
    const bool looks_at_clock = ++checkpoints_ % checkpoints_per_look == 0;
    const bool came = (std::uint64_t{driver_.look()} | inbox_.look() | (changes() ^ not_preceded_at_)) != 0;
    if (!came && !looks_at_clock) [[likely]] return false;
    return should_yield_after_all(looks_at_clock);
  }

  /// For operations that need not wait: every 64th of them counts as a checkpoint, so that a task which never blocks
  /// does not keep the loop.
  bool should_yield_now_and_then() noexcept { return ++unblocked_ % 64 == 0 && should_yield(); }

  /// Sets a timer from a relative time; it is dated before the next step.
  void set_timer_after(Timer& timer, std::int64_t span_ns) noexcept {
    timers_.set_after(timer, span_ns);
    refresh_before_next();
  }

  /// The deadline of a timer that is set, or was the last time; one that was set by a span in this step is dated now.
  std::int64_t deadline_of(Timer& timer) { return timers_.deadline_of(timer, timer.is_undated() ? driver_.now_ns() : 0); }

  /// Sets a timer to a deadline of the loop's clock.
  void set_timer_at(Timer& timer, std::int64_t deadline_ns) {
    timers_.set_at(timer, deadline_ns);
    refresh_before_next();
  }

  // ---- tasks ----

  template <class T>
  [[gnu::always_inline]] PriorityTask<T> create_task(Coro<T>&& coro, const TaskOptions& options = {}) {
    // In the caller, who knows what it asks for: options that are not looked at are not made.
    if (!special_creation_ && options.asks_for_nothing()) [[likely]] {
      const bool eager = options.eager_start.value_or(false);
      check_creation(coro, eager);
      const auto frame = coro.release();
      return {*(eager ? create_plain<true, T>(frame) : create_plain<false, T>(frame)), TaskRef::Made{}};
    }
    return {*create_decided(std::move(coro), decided(options)), TaskRef::Made{}};
  }

  /// `create_task` in parts, for who must know the task before its first line: what was made must be started, with the same
  /// options, which have to be `decided`.
  template <class T>
  PriorityTask<T> make_task(Coro<T>&& coro, const TaskOptions& options) {
    return {*make_block(std::move(coro), options), TaskRef::Made{}};
  }
  void start(Task& task, const TaskOptions& options) { start(task, options.eager_start.value_or(false)); }

  /// What the factory and `eager_tasks` make of the options.
  TaskOptions decided(TaskOptions options) const {
    if (special_creation_) [[unlikely]] decide(options);
    return options;
  }

  /// Every `create_task` asks it from now on; empty: none. It must not change the factory.
  void set_task_factory(TaskFactory factory);
  const TaskFactory& task_factory() const noexcept { return task_factory_; }

  /// The task whose step this is; null inside handles.
  Task* current_task() const noexcept { return detail::this_thread.task; }

  /// As TaskRef::cancel. It does not come back to `sender`, the task in whose name this is done, if any.
  bool cancel(Task& task, std::string message, const Task* sender = nullptr);
  bool deliver(Task& first, CancelWalk& walk);

  /// The same for the task's own wait, whatever it awaits; for what belongs to this scope of it (`Shield`).
  void set_cancelled(Task& task, Cancelled cancelled, const Shield* scope = nullptr);

  /// Makes `error` the pending exception, by the table of DESIGN section 8; `withdraw` makes it felt.
  /// Errors: as `task_throw`.
  static void set_thrown(Task& task, std::exception_ptr error);

  /// A task with a pending exception does not run: takes back its wait, or what it was elected for. True when it is
  /// ready now; false when the wake-up will come by itself.
  bool withdraw(Task& task) noexcept;

  /// The current task suspends and runs when `position` others have run.
  void yield_at(std::size_t position, std::coroutine_handle<> frame) noexcept;

  /// A ready task goes before everything else.
  void to_front(Task& task) noexcept;

  /// The current task suspends: the ready `victim` runs next, then the current task, then the rest.
  void yield_behind(Task& victim, Task& caller, std::coroutine_handle<> frame) noexcept;

  /// Errors: InvalidStateError when called on another thread than the loop's.
  static void check_thread(const Task& task) { check_thread(*task.loop_); }
  static void check_thread(const Loop& loop) {
    if (detail::this_thread.loop != &loop) [[unlikely]] wrong_thread();
  }

  // ---- handles ----

  /// One that is not yet on its way. `Block`: Callback or TimedCall.
  template <class Block = Callback, class F>
  Block* make_callback(F&& function, const CallOptions& options) {
    const double priority = options.priority ? checked_priority(*options.priority) : creator_priority();
    constexpr auto origin = std::is_same_v<Block, TimedCall> ? Callback::Origin::timer : Callback::Origin::loop;
    Block* block = Callback::create<Block>(std::forward<F>(function), origin);
    Callback& callback = *block;
    callback.loop_ = this;
    callback.priority_ = priority;
    callback.group_ = creator_group();
    return block;
  }

  /// All become ready, in their order.
  void make_all_ready(detail::CallbackList& callbacks) noexcept {
    while (Callback* callback = callbacks.pop_front()) make_ready(*callback);
  }
  void make_ready(Callback& callback) {
    set_urgency(callback);
    ready_.push(callback, now_ns_);
  }

  /// `callback`, of `make_callback`, runs soon after the task has ended.
  void call_when_done(Task& task, Callback& callback);

  /// Runs `function` as a step of its own. The handle can cancel it.
  /// Errors: std::invalid_argument for a NaN priority.
  template <class F>
  CallHandle call_soon(F&& function, const CallOptions& options = {}) {
    Callback* callback = make_callback(std::forward<F>(function), options);
    make_ready(*callback);
    return CallHandle(callback);
  }

  /// The same, `span_ns` after the next reading of the clock.
  template <class F>
  TimerHandle call_after(std::int64_t span_ns, F&& function, const CallOptions& options = {}) {
    TimedCall* call = make_callback<TimedCall>(std::forward<F>(function), options);
    set_timer_after(*call, span_ns);
    return TimerHandle(call);
  }

  /// The same, when the loop's clock shows `deadline_ns`.
  template <class F>
  TimerHandle call_at(std::int64_t deadline_ns, F&& function, const CallOptions& options = {}) {
    TimedCall* call = make_callback<TimedCall>(std::forward<F>(function), options);
    try {
      set_timer_at(*call, deadline_ns);
    } catch (...) {
      call->dispose();
      throw;
    }
    return TimerHandle(call);
  }

  /// As `call_soon`, when `position` others have run.
  template <class F>
  CallHandle call_pos(std::size_t position, F&& function, const CallOptions& options = {}) {
    Callback* callback = make_callback(std::forward<F>(function), options);
    set_urgency(*callback);
    ready_.push_positional(*callback, position, now_ns_);
    return CallHandle(callback);
  }

  /// As `call_soon` from any thread: lock-free, wakes a sleeping loop once. The priority is NORMAL unless given.
  /// Errors: std::invalid_argument for NaN; std::bad_alloc.
  template <class F>
  void post(F&& function, double priority = priority::normal) {
    Callback* callback = Callback::create(std::forward<F>(function), Callback::Origin::other_thread);
    post_callback(*callback, priority);
  }

  /// From any thread: `completion`, which is none of the loop's memory, is called between two steps. It runs no user code.
  void post_completion(Callback& completion) noexcept;

  /// A frame that has begun here, and has to end before the loop does.
  void add_open(detail::OpenFrame& frame) noexcept { open_frames_.add(frame); }

  /// Takes what other threads have posted: completions are called, the rest becomes ready. The loop does so by itself
  /// while it runs.
  void take_posts() noexcept;

  /// True from the end of a run to the beginning of the next. From any thread; ordered after the caller's posts.
  bool has_ended() const noexcept { return ended_.load(std::memory_order_seq_cst); }

  /// The base priority of the current task; NORMAL outside tasks.
  static double creator_priority() noexcept {
    const Task* task = detail::this_thread.task;
    return task == nullptr ? priority::normal : task->base_.priority;
  }

  static SchedulingGroup* creator_group() noexcept {
    const Task* task = detail::this_thread.task;
    return task == nullptr ? nullptr : task->group_;
  }

 private:
  friend class TaskRef;
  friend class InterruptWait;
  friend struct Inheritance;
  friend struct DeadlockSearch;
  friend class Task;
  friend class CancelWalk;
  friend class TimedCall;
  friend class Callback;
  friend class TimerHandle;
  friend void detail::check_first_line();

  [[noreturn]] static void no_loop();
  [[noreturn]] static void wrong_thread();
  [[gnu::cold]] static std::exception_ptr take_pending() noexcept;  // null: a cancel was passed on, and the wait has ended
  [[noreturn]] static void not_new();
  [[noreturn]] void nested_too_deep() const;

  // Every step goes through these: they are inlined into the loops that call them.
  [[gnu::always_inline]] void turn();
  [[gnu::always_inline]] void dispatch(Entry& entry);
  [[gnu::always_inline]] void run_task(Task& task);
  void dispatch_watched(Entry& entry);
  void log_slow_step(const TaskRef& task, std::int64_t took_ns) const;

  /// What is refused stays with its caller.
  template <class T>
  void check_creation(const Coro<T>& coro, bool eager) const {
    if (!coro.is_new()) [[unlikely]] not_new();
    if (eager && nested_ >= options_.max_nested_starts) [[unlikely]] nested_too_deep();
  }

  template <class T>
  detail::TaskBlock<T>* make_block(Coro<T>&& coro, const TaskOptions& options) {
    const bool eager = options.eager_start.value_or(false);
    check_creation(coro, eager);
    const Task* creator = detail::this_thread.task;
    if (options.asks_for_nothing() && creator != nullptr && creator->is_copied_by_children()) {
      return make_task_like(std::move(coro), *creator);
    }
    return make_task_like(std::move(coro), options);
  }

  /// `like`: its options, or the creator, which it copies.
  template <class T, class Like>
  [[gnu::always_inline]] detail::TaskBlock<T>* make_task_like(Coro<T>&& coro, const Like& like) {
    auto* block = new detail::TaskBlock<T>(*this, coro.frame(), like);
    coro.release();
    return block;
  }
  [[gnu::always_inline]] void start(Task& task, bool eager) {
    if (eager) return run_nested(task);
    register_task(task);
    ready_.push(task, now_ns_);
  }

  /// With the reference of who makes it.
  template <bool eager, class T>
  [[gnu::noinline]] detail::TaskBlock<T>* create_plain(typename Coro<T>::Handle frame) {
    Coro<T> coro(frame);
    const Task* creator = detail::this_thread.task;
    if (creator == nullptr || !creator->is_copied_by_children()) [[unlikely]] {
      return create_decided(std::move(coro), {.eager_start = eager});
    }
    detail::TaskBlock<T>* task = make_task_like(std::move(coro), *creator);
    start(*task, eager);
    return task;
  }

  template <class T>
  [[gnu::noinline]] detail::TaskBlock<T>* create_decided(Coro<T>&& coro, const TaskOptions& options) {
    detail::TaskBlock<T>* task = make_block(std::move(coro), options);
    start(*task, options);
    return task;
  }
  void decide(TaskOptions& options) const;

  void run_nested(Task& task);
  void run_callback(Callback& callback) noexcept;
  void sleep();
  void attend();
  void leave_step() noexcept;
  void refresh();
  void refresh_before_next() noexcept { refresh_at_ = attend_at_ = 0; }
  void post_callback(Callback& callback, double priority);
  void push_post(Callback& callback) noexcept;
  bool should_yield_after_all(bool looks_at_clock) noexcept;
  bool over_budget() noexcept;
  template <class Done>
  void turn_until(Done done);
  class Deadline;
  void end_tasks(std::uint64_t& told);
  void close_open_frames();
  Coro<void> close_newest();

  /// Grows with every step, and whenever a ready entry may have come to precede the current one.
  std::uint64_t changes() const noexcept { return ready_.changes() + dispatches_; }

  /// Whose step this is; null between two, also for who starts eagerly then.
  Entry* this_step() const noexcept { return step_of_ != nullptr || nested_ != 0 ? step_of_ : detail::this_thread.task; }

  /// A ready entry precedes the current one. Asks the queue only when something has changed there, or in another step.
  bool is_preceded() noexcept {
    const std::uint64_t present = changes();
    if (present == not_preceded_at_) return false;
    if (const Entry* step = this_step(); step != nullptr && ready_.precedes(step->key(), step->urgency())) return true;
    if (!ready_.divides()) not_preceded_at_ = present;
    return false;
  }

  void count_deadline(const Task& task) noexcept {
    if (task.deadline_ns_ < now_ns_) [[unlikely]] ++missed_deadlines_;
  }
  void register_task(Task& task) noexcept {
    task.registered_ = true;
    task.id_ = next_task_id_++;
    tasks_.push_front(task);
  }
  void task_ended(Task& task, std::coroutine_handle<> root) noexcept;
  [[gnu::noinline]] void task_ended_rarely(Task& task) noexcept;
  void make_ready(Task& task) noexcept {
    ready_.push(task, now_ns_);
    // Who is interrupted has that pending: whether there is an interrupter, in another cache line, is asked only then.
    if (task.pending_ != Task::Pending::nothing) [[unlikely]] tell_interrupter(task);
  }
  static void tell_interrupter(Task& task) noexcept;

  void set_urgency(Callback& callback) {
    ready_.set_urgency(callback, policy().urgency({.priority = callback.priority_, .group = callback.group_}));
  }
  void call_done_callbacks(Task& task) noexcept;
  void forget_timer(Timer& timer) noexcept { timers_.remove(timer, now_ns_); }

  void forget_unfetched(Task& task) noexcept;

  Driver& driver_;
  GroupTree groups_;
  ReadyQueue ready_;
  TimerQueue timers_;
  Inbox inbox_;
  std::atomic<bool> asleep_{false};
  std::atomic<bool> ended_{false};
  LoopOptions options_;

  std::int64_t now_ns_ = 0;
  std::int64_t armed_tick_ns_ = Driver::no_deadline;

  std::uint64_t dispatches_ = 0;
  std::uint64_t refresh_at_ = 0;  // so many dispatches; 0: before the next
  std::uint64_t attend_at_ = 0;   // as Driver::serve; not later than `refresh_at_`, and 0 while a step is watched
  Entry* step_of_ = nullptr;  // whose step this is, where it is not the current task's: a handle's; of a starter, in an eager start
  std::uint64_t not_preceded_at_ = 0;  // the changes as the queue said so; each of them only grows, so the sum tells all
  unsigned checkpoints_ = 0;
  unsigned unblocked_ = 0;
  std::uint64_t budget_step_ = 0;  // the dispatch in which the clock was last read for the budget, and what it said
  std::int64_t budget_start_ns_ = 0;
  std::uint64_t budget_look_ticks_ = 0;  // the processor's counter as it was read last and showed a step within its budget
  std::uint64_t budget_spared_ticks_;    // for so many behind that it is not read again
  unsigned nested_ = 0;
  bool watched_ = false;  // by an observer, or for slow steps
  StepObserver* observer_ = nullptr;
  std::uint64_t slow_steps_ = 0;
  std::uint64_t missed_deadlines_ = 0;
  std::uint64_t deadlocks_ = 0;
  std::uint64_t timed_cycles_ = 0;
  std::uint64_t deadlock_looks_ = 0;

  std::uint64_t next_task_id_ = 1;
  bool special_creation_ = false;  // by a factory, or eager
  TaskList tasks_;      // registered and not done, last created first
  detail::OpenFrames open_frames_;
  TaskList unfetched_;  // ended with an exception that nobody has seen
  TaskFactory task_factory_;
  detail::LoopLife* life_ = nullptr;
};

inline Task::Task(Loop& loop, const Outcome& outcome, std::coroutine_handle<> root, const TaskOptions& options)
    : Entry(Kind::task), loop_(&loop), outcome_(&outcome) {
  resume_ = root;
  apply(options);
}

template <class Handle, class F>
CallHandle TaskRef::add_done_callback_for(const Handle& handle, F&& function) const {
  Task& t = task();
  Loop::check_thread(t);
  using Call = detail::CalledWith<std::decay_t<F>, Handle>;
  Callback* callback = t.loop().make_callback(Call{std::forward<F>(function), handle}, {});
  const CallHandle added(callback);
  t.loop().call_when_done(t, *callback);
  return added;
}

inline bool JoinWait::has_failed() const {
  if (was_blocked()) Loop::resumed();
  const bool failed = awaited_.get()->failed();
  if (failed) [[unlikely]] awaited_.mark_fetched();
  return failed;
}

}  // namespace heirloop
