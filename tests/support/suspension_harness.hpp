// One harness for every primitive: an operation is cancelled, thrown at and interrupted at each of its
// suspensions, and at each moment between its wake-up and its run; after each, what must hold is checked.
//
// A scene is made anew for every case:
//
//   struct Scene {
//     Coro<void> operate();            // what is tested; runs in the victim, may suspend any number of times
//     Coro<void> help();               // the others: whatever makes the operation go on; runs in a task of
//     its own
//     Coro<void> after();              // if there: what the main task does when both have ended
//     void check(Ending ending);       // what must hold then
//   };
//
// The victim is stopped at its n-th look between two dispatches, for n = 0, 1, 2 …, until the scene ends
// without having been stopped: so each blocked state is met, and each ready one (elected and not yet run, or
// given way). A stage is the driver on which this happens: simulated here, a ring for io.
// tests/layout/awaitables_test.cpp lists everything that can be awaited, with its scenes.
#pragma once

#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/operations.hpp>

#include "support/sim.hpp"
#include "support/watched_driver.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace heirloop::testing {

/// How the victim was stopped.
enum class Stop {
  by_cancel,
  by_throw,
  by_interrupt,
  by_timeout,       ///< a limit that cancels, around all of the operation
  by_task_timeout,  ///< one that interrupts
  // Two at once: the second comes before the first is delivered.
  by_throw_and_cancel,
  by_throw_and_timeout,  ///< the limit passes
  by_two_throws,
  by_interrupt_and_cancel,
  by_cancel_and_timeout,
};
inline constexpr Stop all_stops[] = {Stop::by_cancel,
                                     Stop::by_throw,
                                     Stop::by_interrupt,
                                     Stop::by_timeout,
                                     Stop::by_task_timeout,
                                     Stop::by_throw_and_cancel,
                                     Stop::by_throw_and_timeout,
                                     Stop::by_two_throws,
                                     Stop::by_interrupt_and_cancel,
                                     Stop::by_cancel_and_timeout};

/// On virtual time.
struct SimStage {
  explicit SimStage(std::function<void()> watch) : driver(std::move(watch)) {}
  static constexpr std::chrono::nanoseconds patience = std::chrono::milliseconds(1);
  static constexpr PolicyKind policies[] = {PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging};
  WatchedDriver driver;
};

/// How its operation ended.
enum class Ending { value, stopped, other };

/// In how many cases the victim was stopped in which state.
struct StoppedCounts {
  int blocked = 0;
  int ready = 0;  ///< woken and not yet run, given way, or not yet begun
};

namespace harness {

template <class Scene, class Stage>
class SuspensionRun {
 public:
  SuspensionRun(std::unique_ptr<Scene> scene, const LoopOptions& options, Stop stop, int moment)
      : scene_(std::move(scene)),
        stage_([this] { look(); }),
        loop_(stage_.driver, options),
        stop_(stop),
        moment_(moment) {}

  /// False when the scene ended before the moment came.
  bool run() {
    run_to_end(loop_, direct());
    EXPECT_EQ(states_wrong(loop_), "");
    scene_->check(ending_);
    EXPECT_TRUE(stopped_ || ending_ == Ending::value) << "nobody stopped it";
    return stopped_;
  }

  bool was_ready() const { return was_ready_; }

 private:
  Coro<void> direct() {
    victim_ = create_task(operate(), {.name = "victim", .priority = 1.0});
    auto helper = create_task(scene_->help(), {.name = "helper", .priority = 2.0});
    for (const TaskRef& task : {TaskRef(victim_), TaskRef(helper)}) {
      while (!task.done()) co_await sleep(Stage::patience);
    }
    EXPECT_EQ(helper.exception(), nullptr);
    if constexpr (requires { scene_->after(); }) co_await scene_->after();
    if (ending_ == Ending::other && victim_.cancelled()) ending_ = Ending::stopped;  // before its first line
    if (ending_ == Ending::other && victim_.exception()) {
      try {
        std::rethrow_exception(victim_.exception());
      } catch (const InterruptException&) {
        ending_ = Ending::stopped;
      } catch (...) {
      }
    }
  }

  Coro<void> operate() {
    try {
      co_await in_a_limit();
      ending_ = Ending::value;
    } catch (const InterruptException&) {
      ending_ = Ending::stopped;
    } catch (const Cancelled&) {
      ending_ = Ending::stopped;
    } catch (const TimeoutError&) {
      ending_ = Ending::stopped;
    }
  }

  bool needs_limit() const noexcept {
    return stop_ == Stop::by_timeout || stop_ == Stop::by_task_timeout || stop_ == Stop::by_throw_and_timeout ||
           stop_ == Stop::by_cancel_and_timeout;
  }

  /// What stops by a limit begins with the block.
  Coro<void> in_a_limit() {
    const auto body = [this](TimeLimit& limit) { return limited(limit); };
    if (!needs_limit()) {
      co_await scene_->operate();
    } else if (stop_ == Stop::by_task_timeout) {
      co_await task_timeout(std::nullopt, body);
    } else {
      co_await timeout(std::nullopt, body);
    }
  }
  Coro<void> limited(TimeLimit& limit) {
    struct Note {
      Note(TimeLimit*& p, TimeLimit& l) noexcept : place(p) { place = &l; }
      Note(const Note&) = delete;
      Note& operator=(const Note&) = delete;
      ~Note() { place = nullptr; }
      TimeLimit*& place;
    } note(limit_, limit);
    co_await scene_->operate();
  }
  void pass_limit() { limit_->reschedule(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(loop_.now_ns()))); }

  /// Between two dispatches.
  void look() {
    if (!wrong_states_.empty()) return;
    wrong_states_ = states_wrong(loop_);
    EXPECT_EQ(wrong_states_, "");
    if (std::exchange(cancel_follows_, false) && !victim_.done()) victim_.cancel("by the harness");
    if (stopped_ || !victim_ || victim_.done() || (needs_limit() && limit_ == nullptr) || looks_++ < moment_) return;
    stopped_ = true;
    was_ready_ = victim_.state() == TaskState::ready;
    switch (stop_) {
      case Stop::by_cancel:
        EXPECT_TRUE(victim_.cancel("by the harness"));
        break;
      case Stop::by_throw:
        task_throw(victim_, InterruptException("by the harness"));
        break;
      case Stop::by_interrupt:
      case Stop::by_interrupt_and_cancel:
        create_task_at_front();
        break;
      case Stop::by_timeout:
      case Stop::by_task_timeout:
        pass_limit();
        break;
      case Stop::by_throw_and_cancel:
        task_throw(victim_, InterruptException("by the harness"));
        EXPECT_TRUE(victim_.cancel("by the harness"));
        break;
      case Stop::by_throw_and_timeout:
        task_throw(victim_, InterruptException("by the harness"));
        pass_limit();
        break;
      case Stop::by_two_throws:
        task_throw(victim_, std::runtime_error("replaced before it is delivered"));
        task_throw(victim_, InterruptException("by the harness"));
        break;
      case Stop::by_cancel_and_timeout:
        EXPECT_TRUE(victim_.cancel("by the harness"));
        pass_limit();
        break;
    }
  }

  /// An interrupter that runs next of all.
  void create_task_at_front() {
    const auto interrupter = [](SuspensionRun& run) -> Coro<void> {
      if (run.victim_.done()) co_return;
      const bool alone = run.stop_ == Stop::by_interrupt;
      run.cancel_follows_ = !alone;  // as soon as the exception is set
      const auto outcome = co_await task_interrupt(run.victim_, InterruptException("by the harness"));
      EXPECT_NE(outcome, alone ? InterruptOutcome::replaced : InterruptOutcome::delivered);
    };
    const auto task = loop_.create_task(interrupter(*this), {.name = "interrupter", .priority = 0.0});
    loop_.to_front(*task.get());
  }

  std::unique_ptr<Scene> scene_;
  Stage stage_;
  Loop loop_;
  const Stop stop_;
  const int moment_;  // looks before the stop
  bool was_ready_ = false;
  PriorityTask<void> victim_;
  Ending ending_ = Ending::other;
  TimeLimit* limit_ = nullptr;  // of the block that runs
  int looks_ = 0;
  bool stopped_ = false;
  bool cancel_follows_ = false;
  std::string wrong_states_;
};

}  // namespace harness

/// Stops the scene's operation in each way at each moment, under each policy.
template <class Stage = SimStage, class MakeScene>
StoppedCounts stop_everywhere(MakeScene make_scene) {
  using Scene = typename decltype(make_scene())::element_type;
  StoppedCounts counts;
  for (const PolicyKind policy : Stage::policies) {
    for (const Stop stop : all_stops) {
      LoopOptions options;
      options.policy = policy;
      for (int moment = 0;; ++moment) {
        SCOPED_TRACE(std::string(to_string(policy)) + ", way " + std::to_string(static_cast<int>(stop)) +
                     ", moment " + std::to_string(moment));
        harness::SuspensionRun<Scene, Stage> run(make_scene(), options, stop, moment);
        const bool stopped = run.run();
        if (::testing::Test::HasFailure()) return counts;
        if (!stopped) break;
        ++(run.was_ready() ? counts.ready : counts.blocked);
      }
    }
  }
  return counts;
}

/// The same for a scene that is made without arguments: it must have been met blocked, and ready, at least so often.
template <class Scene>
void stop_in_both_states(int least = 9) {
  const StoppedCounts counts = stop_everywhere([] { return std::make_unique<Scene>(); });
  EXPECT_GE(counts.blocked, least);
  EXPECT_GE(counts.ready, least);
}

}  // namespace heirloop::testing
