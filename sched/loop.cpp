#include <heirloop/sched/loop.hpp>

#include <spdlog/fmt/chrono.h>
#include <spdlog/spdlog.h>

#include <heirloop/sched/inheritance.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/log.hpp>
#include <heirloop/sched/shield.hpp>
#include <heirloop/sched/time_limit.hpp>

namespace heirloop {

using detail::this_thread;

namespace {
std::unique_ptr<Policy> first_policy(const LoopOptions& options) {
  if (!options.custom_policy) return make_policy(options.policy, {options.age_unit, options.policy_seed});
  auto policy = options.custom_policy();
  if (policy == nullptr) throw std::invalid_argument("custom_policy gave no policy");
  return policy;
}

/// The processor's counter, where every program may read it. A tick is a nanosecond or less.
std::uint64_t processor_ticks() noexcept {
#ifdef __x86_64__
  return __builtin_ia32_rdtsc();
#else
  return 0;
#endif
}

/// How long the step budget may be taken as kept, once that was seen: a small part of it. None of it without a counter, and where
/// the budget is one of virtual time.
std::uint64_t spared_ticks(const Driver& driver, std::chrono::nanoseconds step_budget) noexcept {
#ifdef __x86_64__
  constexpr int parts = 64;
  if (driver.keeps_real_time()) return static_cast<std::uint64_t>(step_budget.count() / parts);
#endif
  return 0;
}
}  // namespace

Loop::Loop(Driver& driver, const LoopOptions& options)
    : driver_(driver), ready_(first_policy(options)), options_(options) {
  if (options.step_budget.count() <= 0) throw std::invalid_argument("step_budget must be longer than zero");
  if (options.slow_step && options.slow_step->count() <= 0) {
    throw std::invalid_argument("slow_step must be longer than zero; leave it empty to watch nothing");
  }
  if (options.end_deadline && options.end_deadline->count() <= 0) {
    throw std::invalid_argument("end_deadline must be longer than zero; leave it empty to wait for ever");
  }
  ready_.policy().attach(driver_, groups_);
  if (options.tie_seed) ready_.break_ties(*options.tie_seed);
  budget_spared_ticks_ = spared_ticks(driver_, options.step_budget);
  watched_ = options.slow_step.has_value();
  special_creation_ = options.eager_tasks;
  now_ns_ = driver_.now_ns();
  life_ = new detail::LoopLife(*this);  // last: options that are refused leave nothing behind
  driver_.serve(&now_ns_, &attend_at_);
}

Loop::~Loop() {
  contract(tasks_.first() == nullptr, "a loop ends when its tasks have ended; call finish()");
  while (Entry* entry = ready_.pop()) static_cast<Callback*>(entry)->dispose();
  while (Timer* timer = timers_.any()) {
    timers_.remove(*timer);
    if (timer->fires_by(TimedCall::due)) static_cast<TimedCall*>(timer)->dispose();
  }
  driver_.serve(nullptr, nullptr);
  life_->loop = nullptr;
  life_->let_go();
}

void Loop::no_loop() { throw InvalidStateError("no heirloop loop runs in this thread; call this inside run()"); }

void Loop::not_new() { throw InvalidStateError("create_task needs a coroutine that was never awaited"); }

void Loop::nested_too_deep() const {
  throw InvalidStateError("eager starts are nested " + std::to_string(nested_) +
                          " deep, the limit of max_nested_starts; await the coroutine or start the task without "
                          "eager_start");
}

void Loop::set_task_factory(TaskFactory factory) {
  task_factory_ = std::move(factory);
  special_creation_ = options_.eager_tasks || task_factory_ != nullptr;
}

void Loop::decide(TaskOptions& options) const {
  if (task_factory_) task_factory_(options);
  if (!options.eager_start) options.eager_start = options_.eager_tasks && this_thread.loop == this;
}

void Loop::wrong_thread() {
  throw InvalidStateError("a task handle was used outside its loop's thread; use post() to get there");
}

// ---- the turn ----

inline void Loop::turn() {
  if ((driver_.look() | inbox_.look()) != 0 || dispatches_ >= attend_at_) [[unlikely]] return attend();
  Entry* entry = ready_.pop();
  if (entry == nullptr) [[unlikely]] return sleep();
  dispatch(*entry);
}

/// A turn in which there is more to see to than the next entry.
void Loop::attend() {
  leave_step();
  if (driver_.look() != 0) {
    driver_.harvest(options_.step_budget.count());
    refresh_before_next();
  }
  if (inbox_.look() != 0) take_posts();
  if (dispatches_ >= refresh_at_) refresh();
  Entry* entry = ready_.pop();
  if (entry == nullptr) return sleep();
  if (driver_.holds_anything() && driver_.holds_more_urgent_than(entry->urgency())) driver_.submit();
  attend_at_ = watched_ || driver_.holds_anything() ? 0 : refresh_at_;
  if (watched_) return dispatch_watched(*entry);
  dispatch(*entry);
}

/// What is done between two steps is nobody's. Steps that follow each other at once do without.
void Loop::leave_step() noexcept { this_thread.task = nullptr; }

inline void Loop::dispatch(Entry& entry) {
  ++dispatches_;
  if (entry.has_frame()) [[likely]] {
    run_task(static_cast<Task&>(entry));
  } else {
    run_callback(static_cast<Callback&>(entry));
  }
}

[[gnu::always_inline]] inline void Loop::task_ended(Task& task, std::coroutine_handle<> root) noexcept {
  contract(root.done(), "a task suspends only in awaiters of heirloop");
  task.standing_.state = TaskState::done;
  task.resume_ = nullptr;
  root.destroy();
  if (task.registered_) tasks_.erase(task);
  if (!task.joiners_.empty()) {
    if (Wait* only = task.joiners_.take_only()) [[likely]] {
      wake_left(*only);
    } else {
      [this](Joiners& joiners) __attribute__((noinline)) {
        joiners.take_all([this](Wait& joiner) { wake(joiner); });
      }(task.joiners_);
    }
    if (task.inherits()) [[unlikely]] {
      ready_.set_urgency(task, task.base_);
      task.inherits_ = false;
    }
  }
  while (Holding* holding = task.holdings_) holding->resource->owner_died(*holding);
  if (InterruptWait* interrupter = task.interrupter_) interrupter->forget();
  if (task.failed_ || task.has_extras_ || task.has_deadline_) [[unlikely]] task_ended_rarely(task);
  this_thread.task = nullptr;  // what the result's destructor does is not the task's any more
  if (--task.references_ == 0) task.last_reference_gone();  // a task no longer keeps itself alive
}

/// One step: the trampoline resumes frame after frame until the task suspends or ends. `resume_` is the frame that runs.
inline void Loop::run_task(Task& task) {
  this_thread.task = &task;
  std::coroutine_handle<> frame = task.resume_;
  for (;;) {
    frame.resume();
    if (task.state() < TaskState::running) [[likely]] break;
    const std::coroutine_handle<> next = this_thread.next;
    if (!next) {
      task_ended(task, frame);
      break;
    }
    this_thread.next = nullptr;
    task.resume_ = frame = next;
  }
}

/// As dispatch, for an observer and the limit of a step.
void Loop::dispatch_watched(Entry& entry) {
  StepObserver* const observer = observer_;
  if (observer != nullptr) observer->step_begins(entry, now_ns_);
  if (!options_.slow_step) {
    dispatch(entry);
    leave_step();
  } else {
    const TaskRef task(entry.kind() == Entry::Kind::task ? static_cast<Task*>(&entry) : nullptr);
    const std::int64_t began_ns = driver_.now_ns();
    dispatch(entry);
    leave_step();
    const std::int64_t took_ns = driver_.now_ns() - began_ns;
    if (took_ns > options_.slow_step->count()) {
      ++slow_steps_;
      log_slow_step(task, took_ns);
    }
  }
  if (observer != nullptr && observer == observer_) observer->step_ended();
}

/// "waiting for … at FILE:LINE", or the state of a task that does not wait.
static std::string describe_place(const Task& task) {
  const Wait* wait = task.state() == TaskState::blocked ? task.wait() : nullptr;
  return (wait != nullptr ? "waiting for " + wait->describe() : std::string(to_string(task.state()))) +
         detail::place_of(task, " at ");
}

void Loop::log_slow_step(const TaskRef& task, std::int64_t took_ns) const {
  const auto us = [](std::int64_t ns) { return static_cast<double>(ns) / 1e3; };
  const std::string place = task ? task.name() + " (then " + describe_place(*task.get()) + ")" : "a handle";
  logger().warn("a step of {} took {:.1f} us, over the limit of {:.1f} us; nothing else ran meanwhile", place, us(took_ns),
                us(options_.slow_step->count()));
}

void Loop::set_policy(std::unique_ptr<Policy> policy) {
  if (policy == nullptr) throw std::invalid_argument("set_policy needs a policy");
  if (nested_ != 0) throw InvalidStateError("the policy can't be changed in the eager part of a start");
  policy->attach(driver_, groups_);
  ready_.set_policy(std::move(policy), [this] { settle_all(*this); });
  if (Entry* step = this_step()) ready_.renew_key(*step);
}

template <class Done>
void Loop::turn_until(Done done) {
  contract(this_thread.task == nullptr, "a loop is not run from inside a task");
  struct Scope {
    detail::ThisThread before = this_thread;
    Loop& loop;
    ~Scope() {
      this_thread = before;
      loop.step_of_ = nullptr;
    }
  } scope{.loop = *this};
  if (this_thread.loop != nullptr && this_thread.loop != this) {
    throw InvalidStateError("a loop runs in this thread already");
  }
  this_thread.loop = this;
  this_thread.drive = nullptr;
  while (!done()) turn();
}

void Loop::run_until_done(const TaskRef& task) {
  if (!task) throw InvalidStateError("this task handle is empty");
  ended_.store(false, std::memory_order_seq_cst);
  turn_until([awaited = task.get()] { return awaited->done(); });
}

/// Presses those who do not end.
class Loop::Deadline : private Timer {
 public:
  /// It counts `from` what the loop asked them for.
  Deadline(Loop& loop, const char* from) : Timer(fired), loop_(loop), from_(from) { set(); }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() {
    if (is_set()) loop_.timers_.remove(*this);
  }

 private:
  static constexpr int most_ignored = 3;

  /// Their waits have been withdrawn, and end by themselves: a job in a thread, a file operation.
  bool all_are_leaving() const noexcept {
    for (Task* task = loop_.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      if (task->state() != TaskState::blocked || !task->wait()->is_withdrawn()) return false;
    }
    return true;
  }

  static void fired(Timer& timer) noexcept { static_cast<Deadline&>(timer).press(); }
  void set() noexcept {
    if (loop_.options_.end_deadline) loop_.set_timer_after(*this, loop_.options_.end_deadline->count());
  }
  void press() noexcept {
    ++round_;
    for (Task* task = loop_.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      logger().error("{} has not ended {} after {} by the end of the loop: it is {}", task->name(),
                     std::chrono::duration<double>(*loop_.options_.end_deadline * round_), from_, describe_place(*task));
    }
    if (!all_are_leaving()) ++ignored_;
    contract(ignored_ <= most_ignored, "every task ends when it is cancelled; those named in the log do not");
    for (Task* task = loop_.tasks_.first(); task != nullptr; task = TaskList::behind(*task)) {
      loop_.set_cancelled(*task, Cancelled("the loop ends, and waits no longer"), Shield::scope_of(*task));
    }
    set();
  }

  Loop& loop_;
  const char* from_;
  int round_ = 0;
  int ignored_ = 0;
};

/// `told`: those with lesser ids were cancelled. Tasks that come while the others end are cancelled as well.
void Loop::end_tasks(std::uint64_t& told) {
  const Deadline deadline(*this, "its cancel");
  turn_until([&] {
    if (told != next_task_id_) {
      leave_step();
      for (Task* task = tasks_.first(); task != nullptr && task->id_ >= told; task = TaskList::behind(*task)) {
        cancel(*task, "the loop ends");
      }
      told = next_task_id_;
    }
    return tasks_.first() == nullptr;
  });
}

/// One after another: the last that began may be what an earlier one holds, and be dropped by its end.
void Loop::close_open_frames() {
  while (open_frames_.newest() != nullptr) {
    const Deadline deadline(*this, "its start");
    const auto closing = make_task(close_newest(), {});
    start(*closing.get(), {});
    turn_until([&] { return closing.done(); });
  }
}

/// The frame is looked up as the task begins: until then anybody may drop it.
Coro<void> Loop::close_newest() {
  detail::OpenFrame* frame = open_frames_.newest();
  if (frame == nullptr) co_return;
  this_thread.task->set_name("the close of what stood open at " + detail::place_text(frame->where));
  detail::OpenFrames::remove(*frame);
  co_await frame->close();
}

void Loop::finish() {
  std::uint64_t told = 0;
  const auto end_all = [&] {
    do {
      end_tasks(told);
      close_open_frames();
    } while (tasks_.first() != nullptr);
  };
  end_all();
  // Who posts from here on sees that the loop has ended; what came before it is run.
  ended_.store(true, std::memory_order_seq_cst);
  if (inbox_.any_ordered()) take_posts();
  turn_until([this, handles = ready_.size()]() mutable { return ready_.empty() || handles-- == 0; });
  end_all();
  while (Task* task = unfetched_.first()) forget_unfetched(*task);
}

void Loop::run_nested(Task& task) {
  const detail::ThisThread before = this_thread;
  Entry* const step = std::exchange(step_of_, this_step());
  this_thread.drive = nullptr;
  ++nested_;
  task.standing_.state = TaskState::running;
  run_task(task);
  if (!task.done()) register_task(task);
  --nested_;
  step_of_ = step;
  this_thread = before;
}

void Loop::run_callback(Callback& callback) noexcept {
  this_thread.task = nullptr;
  step_of_ = &callback;
  std::swap(detail::thread_context, callback.context().word);
  try {
    callback();
  } catch (...) {
    logger().error("a callback failed: {}", describe_exception(std::current_exception()));
  }
  std::swap(detail::thread_context, callback.context().word);
  step_of_ = nullptr;
  callback.dispose();
}

void Loop::refresh() {
  refresh_at_ = dispatches_ + refresh_interval;
  now_ns_ = driver_.now_ns();
  if (timers_.has_undated()) timers_.date_all(now_ns_);
  if (timers_.next_deadline() <= now_ns_) timers_.fire_due(now_ns_);
  driver_.submit();
  ready_.policy().maintain(ready_);
  if (armed_tick_ns_ <= now_ns_) armed_tick_ns_ = Driver::no_deadline;
  if (timers_.next_deadline() < armed_tick_ns_ && !ready_.empty()) {
    armed_tick_ns_ = std::max(timers_.next_deadline(), now_ns_ + min_tick_ns);
    driver_.set_tick(armed_tick_ns_);
  }
}

/// Publish "asleep", look again, then one system call.
void Loop::sleep() {
  leave_step();
  asleep_.store(true, std::memory_order_seq_cst);
  if (!inbox_.any_ordered()) driver_.wait(timers_.next_deadline());
  asleep_.store(false, std::memory_order_relaxed);
  refresh_before_next();
}

void Loop::take_posts() noexcept {
  for (Callback* post = inbox_.take_all(); post != nullptr;) {
    Callback* following = Inbox::next(*post);
    if (post->is_completion()) {
      (*post)();
    } else {
      make_ready(*post);
    }
    post = following;
  }
}

void Loop::post_callback(Callback& callback, double priority) {
  try {
    callback.set_posted_priority(checked_priority(priority));
  } catch (...) {
    callback.dispose();
    throw;
  }
  push_post(callback);
}

void Loop::post_completion(Callback& completion) noexcept { push_post(completion); }

void Loop::push_post(Callback& callback) noexcept {
  inbox_.push(callback);
  if (asleep_.load(std::memory_order_seq_cst) && asleep_.exchange(false)) driver_.wake();
}

bool Loop::should_yield_after_all(bool looks_at_clock) noexcept {
  return ((driver_.look() | inbox_.look()) != 0 || is_preceded() || (looks_at_clock && over_budget())) &&
         this_thread.drive == nullptr;
}

/// By the driver's clock. That is not read while the processor's counter, at less than half the price, tells that it would show
/// about the same.
bool Loop::over_budget() noexcept {
  const std::uint64_t ticks = processor_ticks();
  if (budget_step_ == dispatches_ && ticks - budget_look_ticks_ < budget_spared_ticks_) return false;
  const std::int64_t now = driver_.now_ns();
  if (budget_step_ != dispatches_) {
    budget_step_ = dispatches_;
    budget_start_ns_ = now;
  }
  if (now - budget_start_ns_ > options_.step_budget.count()) return true;
  budget_look_ticks_ = ticks;
  return false;
}

// ---- suspension ----

void Loop::wake(Wait& wait) noexcept {
  if (wait.nodes_ != nullptr) leave_queues(wait);
  wake_left(wait);
}

void Loop::tell_interrupter(Task& task) noexcept {
  if (task.interrupter_ != nullptr) task.interrupter_->victim_wakes();
}

void Loop::to_front(Task& task) noexcept { ready_.reposition(task, 0); }

void Loop::yield_at(std::size_t position, std::coroutine_handle<> frame) noexcept {
  Task& task = *this_thread.task;
  task.resume_ = frame;
  task.wait_ = nullptr;
  ready_.push_positional(task, position, now_ns_);
}

void Loop::yield_behind(Task& victim, Task& caller, std::coroutine_handle<> frame) noexcept {
  yield(frame);
  to_front(caller);
  to_front(victim);
}

bool Loop::withdraw(Task& task) noexcept {
  Wait* wait = task.wait_;
  if (task.state() != TaskState::blocked) {
    if (task.is_taken_out()) ready_.push(task, now_ns_);
    if (wait != nullptr && wait->state_ == Wait::State::elected) {
      wait->state_ = Wait::State::withdrawn;
      wait->abort();
    }
    return true;
  }
  if (wait->state_ == Wait::State::withdrawn) return false;
  wait->state_ = Wait::State::withdrawn;
  if (wait->abort() == AbortResult::pending) return false;
  leave_queues(*wait);
  make_ready(task);
  return true;
}

// ---- exceptions from outside ----

std::exception_ptr Loop::take_pending() noexcept {
  Task& task = *this_thread.task;
  std::exception_ptr error;
  if (task.pending_ != Task::Pending::passed_on) error = std::move(task.pending_error_);
  task.interrupter_ = nullptr;
  task.drop_pending();
  if (task.time_limits_ != nullptr) TimeLimit::go_on(task);
  return error;
}

void Loop::set_thrown(Task& task, std::exception_ptr error) {
  const auto refuse = [&](const char* why) { throw InvalidStateError("can't throw into " + task.name() + ": " + why); };
  if (task.done()) refuse("it is done");
  check_thread(task);
  if (task.state() == TaskState::running) {
    refuse(this_thread.task == &task ? "it is the current task" : "it is starting the current task eagerly");
  }
  if (task.pending_ == Task::Pending::passed_on) {
    task.pending_limit_ = nullptr;  // its cancel comes behind, and is taken back with its block
  } else if (TimeLimit* limit = task.pending_limit_) {
    limit->stay_due();
  } else if (task.pending_ == Task::Pending::cancel) {
    refuse("it has a cancel that is not delivered yet");
  }
  if (InterruptWait* interrupter = task.interrupter_) interrupter->replaced();
  task.put_throw_first(std::move(error));
}

// ---- the registry, and the end of a task ----

std::vector<TaskRef> Loop::all_tasks() const {
  std::vector<TaskRef> tasks;
  for (Task* task = tasks_.first(); task != nullptr; task = TaskList::behind(*task)) tasks.emplace_back(task);
  return tasks;
}

/// With an exception, or with somebody to tell, or in time or not.
void Loop::task_ended_rarely(Task& task) noexcept {
  count_deadline(task);
  if (task.has_extras_) call_done_callbacks(task);
  if (task.failed_ && !task.outcome_cancelled() && !task.fetched_) {
    task.listed_as_unfetched_ = true;
    unfetched_.push_front(task);
  }
}

/// The last chance to see the exception has passed: it is logged.
void Loop::forget_unfetched(Task& task) noexcept {
  unfetched_.erase(task);
  task.listed_as_unfetched_ = false;
  logger().error("{} failed, and nobody fetched its exception: {}", task.name(),
                 describe_exception(*task.outcome_error()));
}

}  // namespace heirloop
