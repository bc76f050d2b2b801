#include <heirloop/runtime/run.hpp>

#include <csignal>
#include <optional>
#include <string>

#include <heirloop/io/signals.hpp>
#include <heirloop/io/uring_driver.hpp>
#include <heirloop/runtime/threads.hpp>
#include <heirloop/sched/inheritance.hpp>

namespace heirloop {

struct Runtime::Parts {
  explicit Parts(const RuntimeOptions& options)
      : most_threads(options.threads),
        driver({.gather_ns = options.gather.count()}),
        loop(driver, LoopOptions{.policy = options.policy,
                                 .age_unit = options.age_unit,
                                 .policy_seed = options.policy_seed,
                                 .custom_policy = options.custom_policy,
                                 .inheritance = options.inheritance,
                                 .deadlocks = options.deadlocks,
                                 .step_budget = options.step_budget,
                                 .max_nested_starts = options.max_nested_starts,
                                 .eager_tasks = options.eager_tasks,
                                 .slow_step = options.slow_step,
                                 .end_deadline = options.end_deadline}) {
    if (!options.handle_signals) return;
    signals.emplace(loop, std::initializer_list<int>{SIGINT, SIGTERM}, [this](int signal) { on_signal(signal); });
  }

  void on_signal(int signal) {
    if (signal == SIGTERM && !drain_asked) {
      const bool somebody_listens = !drain_waiters.empty();
      ask_for_drain();
      if (somebody_listens) return;
    } else if (signal == SIGINT && ended_by != 0) {
      signals.reset();  // the second one: as if nobody handled it
      ::raise(SIGINT);
      return;
    }
    ended_by = signal;
    if (main) main.cancel("signal " + std::to_string(signal));
  }

  void ask_for_drain() noexcept {
    drain_asked = true;
    while (WaitNode* node = drain_waiters.next()) loop.wake(node->wait());
  }

  static thread_local Parts* current;

  const unsigned most_threads;
  UringDriver driver;
  Loop loop;
  std::optional<SignalWatch> signals;
  std::unique_ptr<ThreadPool> threads;
  WaiterQueue drain_waiters;
  TaskRef main;
  bool drain_asked = false;
  int ended_by = 0;  // the signal that cancelled the main task
};

thread_local Runtime::Parts* Runtime::Parts::current = nullptr;

Interrupted::Interrupted(int signal)
    : std::runtime_error("ended by signal " + std::to_string(signal)), signal_(signal) {}

Runtime::Runtime(const RuntimeOptions& options) : parts_(std::make_unique<Parts>(options)) {}

Runtime::~Runtime() = default;

Loop& Runtime::loop() noexcept { return parts_->loop; }

void Runtime::dispatch(const TaskRef& main) {
  struct Scope {
    Parts* before = Parts::current;
    ~Scope() { Parts::current = before; }
  } scope;
  Parts::current = parts_.get();
  parts_->main = main;
  parts_->ended_by = 0;
  parts_->loop.run_until_done(main);
  if (!main.cancelled()) static_cast<void>(main.exception());  // fetched: run() throws it to its caller
  parts_->main = {};
  parts_->loop.finish();
  parts_->threads.reset();
}

void Runtime::translate_signal(const TaskRef& main) const {
  if (parts_->ended_by != 0 && main.cancelled()) throw Interrupted(parts_->ended_by);
}

namespace {
Runtime::Parts& current_parts() {
  if (Runtime::Parts::current == nullptr) throw InvalidStateError("no heirloop runtime runs in this thread");
  return *Runtime::Parts::current;
}
}  // namespace

ThreadPool& detail::runtime_threads() {
  Runtime::Parts& parts = current_parts();
  if (parts.threads == nullptr) {
    const unsigned threads = parts.most_threads != 0 ? parts.most_threads : ThreadPool::default_threads();
    parts.threads = std::make_unique<ThreadPool>(threads, parts.loop);
  }
  return *parts.threads;
}

bool DrainRequest::await_ready() const { return current_parts().drain_asked; }

void DrainRequest::await_suspend(std::coroutine_handle<> frame) {
  Runtime::Parts& parts = current_parts();
  enter_queue(parts.loop, node_, parts.drain_waiters);
  parts.loop.block(*this, frame);
}

bool draining() { return current_parts().drain_asked; }

void request_drain() { current_parts().ask_for_drain(); }

}  // namespace heirloop
