// A loop on the simulated driver, and the log that it writes, for tests.
#pragma once

#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/testing/sim_driver.hpp>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heirloop::testing {

using Order = std::vector<std::string>;

/// What heirloop logs while this lives.
class LogCapture {
 public:
  LogCapture() : before_(spdlog::get("heirloop")) {
    spdlog::drop("heirloop");
    auto log =
        std::make_shared<spdlog::logger>("heirloop", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    log->set_pattern("%l: %v");
    spdlog::register_logger(std::move(log));
  }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() {
    spdlog::drop("heirloop");
    // The library keeps the last registered logger; it must not write to a stream that has gone.
    if (before_ == nullptr) before_ = std::make_shared<spdlog::logger>("heirloop");
    spdlog::register_logger(before_);
  }

  std::string text() const { return text_.str(); }

  std::size_t count(std::string_view part) const {
    const std::string all = text();
    std::size_t found = 0;
    for (auto at = all.find(part); at != std::string::npos; at = all.find(part, at + part.size())) ++found;
    return found;
  }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_;
};

/// Runs `main` to its end and all that is left with it; throws what ended it.
inline void run_to_end(Loop& loop, Coro<void> main) {
  const auto task = loop.create_task(std::move(main), {.name = "main"});
  loop.run_until_done(task);
  const std::exception_ptr error =
      task.cancelled() ? std::make_exception_ptr(Cancelled("main")) : task.exception();
  loop.finish();
  if (error) std::rethrow_exception(error);
}

/// A loop under virtual time.
class Sim {
 public:
  explicit Sim(const LoopOptions& options = {}) : loop(driver, options) {}

  void run(Coro<void> main) { run_to_end(loop, std::move(main)); }

  SimDriver driver;
  Loop loop;
};

/// The tasks that stand in the ready queue, in pop order.
inline std::vector<TaskRef> ready_tasks(Loop& loop) {
  std::vector<TaskRef> tasks;
  for (Entry* entry : loop.ready().in_pop_order()) {
    if (entry->kind() == Entry::Kind::task) tasks.emplace_back(static_cast<Task*>(entry));
  }
  return tasks;
}

/// What is wrong with "all tasks = ready ∪ blocked ∪ {running}" and with the queue's own invariants; empty
/// when nothing.
inline std::string states_wrong(Loop& loop) {
  loop.ready().check_invariants();
  std::size_t ready = 0;
  for (const TaskRef& task : loop.all_tasks()) {
    switch (task.state()) {
      case TaskState::ready:
        ++ready;
        if (!task.get()->is_ready()) return task.name() + " says ready and stands in no queue";
        break;
      case TaskState::blocked:
        if (task.get()->is_ready()) return task.name() + " says blocked and stands in the ready queue";
        if (task.get()->wait() == nullptr) return task.name() + " is blocked without a wait";
        break;
      case TaskState::running:
        if (task.get()->is_ready()) return task.name() + " is running and stands in the ready queue";
        break;
      default:
        return task.name() + " is in all_tasks and " + std::string(to_string(task.state()));
    }
  }
  if (ready_tasks(loop).size() != ready) return "the ready queue holds tasks that all_tasks does not know";
  return {};
}

}  // namespace heirloop::testing
