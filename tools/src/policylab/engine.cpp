#include "policylab/engine.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <optional>

namespace policylab {

namespace hl = heirloop;

/// Creates the jobs of a class, or those of one client of a closed class.
struct Engine::Source : hl::Timer {
  Source(Engine& of, ClassState& whose) noexcept
      : Timer([](Timer& timer) noexcept {
          auto& self = static_cast<Source&>(timer);
          self.engine.source_fires(self);
        }),
        engine(of),
        class_state(whose) {}

  Engine& engine;
  ClassState& class_state;
  std::int64_t due_ns = 0;
};

/// Calls one of the engine's functions at a time.
struct Engine::Ticker : hl::Timer {
  using Call = void (*)(Engine&, std::size_t);
  Ticker(Engine& of, Call what, std::size_t with) noexcept
      : Timer([](Timer& timer) noexcept {
          auto& self = static_cast<Ticker&>(timer);
          self.call(self.engine, self.argument);
        }),
        engine(of),
        call(what),
        argument(with) {}

  Engine& engine;
  Call call;
  std::size_t argument;
};

struct Engine::Job : LockingJob {
  Source* source = nullptr;
  Random random{0};
  std::uint32_t steps = 0;
  std::size_t live_index = 0;
};

struct Engine::ClassState {
  ClassState(const TaskClass& which, std::uint32_t number, std::uint64_t class_seed) noexcept
      : task_class(which),
        index(number),
        seed(class_seed),
        arrivals(Random::derive(class_seed, "arrivals")) {}

  const TaskClass& task_class;
  std::uint32_t index;
  std::uint64_t seed;
  Random arrivals;
  Random churn{Random::derive(seed, "churn")};
  std::uint64_t jobs = 0;
  std::vector<Job*> live;
  std::unique_ptr<Ticker> churn_timer;
};

Engine::Engine(const Workload& workload, std::uint64_t seed, hl::Loop& loop, hl::testing::SimDriver* driver,
               bool named)
    : workload_(workload),
      seed_(seed),
      loop_(loop),
      driver_(driver),
      statistics_(workload),
      locks_(workload.locks, statistics_),
      named_(named) {}

Engine::~Engine() = default;

hl::Coro<void> Engine::run() {
  start_ns_ = loop_.driver().now_ns();
  open();
  struct Scope {  // when the run is cancelled, too
    Engine& engine;
    ~Scope() {
      if (engine.is_open_) engine.close();
    }
  } scope{*this};
  const std::chrono::nanoseconds end(start_ns_ + workload_.length_ns);
  // The end timer is set for the same moment: it closes the run however late this task has its turn.
  co_await hl::sleep_until(std::chrono::steady_clock::time_point(end));
}

// ---- the frame of the run ----

void Engine::open() {
  is_open_ = true;
  end_ = std::make_unique<Ticker>(
      *this, [](Engine& engine, std::size_t) { engine.close(); }, 0);
  arm(*end_, workload_.length_ns);
  create_groups();
  for (std::uint32_t i = 0; i < workload_.classes.size(); ++i) {
    const TaskClass& each = workload_.classes[i];
    classes_.push_back(std::make_unique<ClassState>(each, i, Random::derive(seed_, each.name)));
    ClassState& state = *classes_.back();
    const bool closed = each.arrival.kind == Arrival::Kind::closed;
    for (std::uint32_t client = 0; client < (closed ? each.arrival.count : 1); ++client) {
      Source& source = sources_.emplace_back(*this, state);
      switch (each.arrival.kind) {
        case Arrival::Kind::poisson:
          source.due_ns =
              static_cast<std::int64_t>(-std::log1p(-state.arrivals.unit()) * 1e9 / each.arrival.rate_per_s);
          break;
        case Arrival::Kind::closed:
          source.due_ns = each.arrival.think.draw(state.arrivals);
          break;
        default:
          source.due_ns = each.arrival.offset_ns;
      }
      arm(source, source.due_ns);
    }
    if (each.churn) {
      state.churn_timer = std::make_unique<Ticker>(
          *this, [](Engine& engine, std::size_t index) { engine.churn_fires(*engine.classes_[index]); }, i);
      arm(*state.churn_timer, each.churn->every_ns);
    }
  }
}

void Engine::create_groups() {
  for (const Group& each : workload_.groups) {
    hl::GroupOptions options;
    options.name = each.name;
    options.weight = each.weight;
    if (each.parent) options.parent = groups_[*each.parent];
    if (each.target_ns) options.latency_target = std::chrono::nanoseconds(*each.target_ns);
    groups_.push_back(&loop_.create_group(options));
  }
}

void Engine::close() {
  is_open_ = false;
  elapsed_ns_ = now_ns();
  locks_.close();
  for (const auto& each : classes_) {
    for (const Job* job : each->live) statistics_.unfinished(*job, elapsed_ns_);
    if (each->churn_timer && each->churn_timer->is_set()) loop_.timers().remove(*each->churn_timer);
  }
  for (Source& source : sources_) {
    if (source.is_set()) loop_.timers().remove(source);
  }
}

// ---- arrivals ----

void Engine::source_fires(Source& source) {
  if (!is_open_) return;
  const Arrival& arrival = source.class_state.task_class.arrival;
  switch (arrival.kind) {
    case Arrival::Kind::periodic:
      create_job(source, source.due_ns);
      source.due_ns += arrival.every_ns;
      break;
    case Arrival::Kind::poisson: {
      create_job(source, source.due_ns);
      const double gap_ns = -std::log1p(-source.class_state.arrivals.unit()) * 1e9 / arrival.rate_per_s;
      source.due_ns += std::max<std::int64_t>(1, static_cast<std::int64_t>(gap_ns));
      break;
    }
    case Arrival::Kind::burst:
      for (std::uint32_t i = 0; i < arrival.count; ++i) create_job(source, source.due_ns);
      source.due_ns += arrival.every_ns;
      break;
    case Arrival::Kind::closed:
      create_job(source, source.due_ns);
      return;  // the next comes when this one has ended
  }
  arm(source, source.due_ns);
}

void Engine::create_job(Source& source, std::int64_t arrival_ns) {
  ClassState& state = source.class_state;
  if (free_jobs_.empty()) free_jobs_.push_back(&jobs_.emplace_back());
  Job& job = *free_jobs_.back();
  free_jobs_.pop_back();
  job.task_class = state.index;
  job.source = &source;
  job.arrival_ns = arrival_ns;
  job.inverted_ns = 0;
  job.random = Random(Random::derive(state.seed, state.jobs++));
  job.steps = static_cast<std::uint32_t>(state.task_class.steps.draw(job.random));
  job.live_index = state.live.size();
  state.live.push_back(&job);

  hl::TaskOptions options;
  if (named_) options.name = state.task_class.name;
  options.priority = state.task_class.priority;
  if (state.task_class.group) options.group = groups_[*state.task_class.group];
  if (state.task_class.deadline_ns) {
    const std::chrono::nanoseconds deadline(start_ns_ + arrival_ns + *state.task_class.deadline_ns);
    options.deadline = std::chrono::steady_clock::time_point(deadline);
  }
  job.task = loop_.create_task(live(job), options);
  statistics_.arrived(job);
  statistics_.ready(job, job.task.get()->urgency(), loop_.now_ns(), arrival_ns);
}

void Engine::churn_fires(ClassState& of) {
  if (!is_open_) return;
  const Churn& churn = *of.task_class.churn;
  arm(*of.churn_timer, (now_ns() / churn.every_ns + 1) * churn.every_ns);
  const double unit = of.churn.unit();
  const auto chosen = static_cast<std::size_t>(unit * static_cast<double>(of.live.size()));
  const double priority = churn.from + of.churn.unit() * (churn.to - churn.from);
  if (chosen >= of.live.size()) return;
  Job& job = *of.live[chosen];
  job.task.set_priority(priority);
  if (job.slot != WaitingJobs::nowhere) statistics_.urgency_changed(job, job.task.get()->urgency());
  if (job.waits_for != nullptr) locks_.priority_changed(job);
}

// ---- the life of a job ----

hl::Coro<void> Engine::live(Job& job) {
  const TaskClass& task_class = workload_.classes[job.task_class];
  std::array<std::optional<hl::LockGuard>, max_holds> guards;
  if (!begins(job)) co_return;
  for (std::uint32_t step = 1;; ++step) {
    for (std::size_t i = 0; i < task_class.holds.size(); ++i) {
      const Hold& hold = task_class.holds[i];
      if (hold.first != step) continue;
      WatchedLock& lock = locks_[hold.lock];
      const bool waits = lock.lock.locked();
      if (waits) {
        locks_.wait_begins(lock, job);
      } else {
        locks_.taken(lock, job);
      }
      auto guard = co_await lock.lock.acquire();
      guards[i].emplace(std::move(guard));
      if (waits && !begins(job)) co_return;
    }
    play(job, task_class.step.draw(job.random));
    for (std::size_t i = task_class.holds.size(); i-- > 0;) {
      const Hold& hold = task_class.holds[i];
      if (!guards[i] || (step != job.steps && step != hold.first + hold.steps - 1)) continue;
      release(locks_[hold.lock], *guards[i]);
      guards[i].reset();
    }
    if (step == job.steps) break;
    statistics_.ready(job, job.task.get()->urgency(), loop_.now_ns(), now_ns());
    co_await hl::sleep(0);
    if (!begins(job)) co_return;
  }
  job_ends(job);
}

/// The job was dispatched. False when the run is over.
bool Engine::begins(Job& job) {
  if (!is_open_) return false;
  locks_.refresh();
  statistics_.begins(job, job.task.get()->urgency(), now_ns());
  return true;
}

void Engine::play(Job& job, std::int64_t span_ns) {
  const std::int64_t from_ns = now_ns();
  if (driver_ != nullptr) {
    driver_->advance(std::chrono::nanoseconds(span_ns));
  } else {
    while (now_ns() - from_ns < span_ns) {
    }
  }
  const std::int64_t to_ns = now_ns();
  locks_.runs(job, to_ns - from_ns);
  statistics_.ran(job, from_ns, to_ns);
}

void Engine::release(WatchedLock& lock, hl::LockGuard& guard) {
  guard.release();
  if (LockingJob* heir = locks_.released(lock)) {
    statistics_.ready(*heir, heir->task.get()->urgency(), loop_.now_ns(), now_ns());
  }
}

void Engine::job_ends(Job& job) {
  statistics_.finished(job, now_ns());
  ClassState& state = job.source->class_state;
  state.live[job.live_index] = state.live.back();
  state.live[job.live_index]->live_index = job.live_index;
  state.live.pop_back();
  if (state.task_class.arrival.kind == Arrival::Kind::closed) {
    job.source->due_ns = now_ns() + state.task_class.arrival.think.draw(job.random);
    arm(*job.source, job.source->due_ns);
  }
  job.task = {};
  free_jobs_.push_back(&job);
}

}  // namespace policylab
