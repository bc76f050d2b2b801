#include "policylab/run.hpp"

#include <heirloop/runtime/run.hpp>
#include <heirloop/testing/sim_driver.hpp>

#include "policylab/engine.hpp"

#include <time.h>

#include <chrono>
#include <exception>

namespace policylab {
namespace {

namespace hl = heirloop;

double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

RunResult run_virtually(const Workload& workload, const RunOptions& options) {
  hl::testing::SimDriver driver;
  hl::LoopOptions loop_options;
  loop_options.policy = options.policy;
  loop_options.age_unit = std::chrono::nanoseconds(workload.age_unit_ns);
  loop_options.policy_seed = options.seed;
  loop_options.inheritance = options.inheritance;
  hl::Loop loop(driver, loop_options);
  Engine engine(workload, options.seed, loop, &driver, options.observer != nullptr);
  const auto main = loop.create_task(engine.run());
  loop.set_observer(options.observer);
  std::exception_ptr error;
  try {
    loop.run_until_done(main);
    error = main.exception();
  } catch (...) {  // what has begun is ended in any case
    error = std::current_exception();
  }
  loop.set_observer(nullptr);
  loop.finish();
  if (error) std::rethrow_exception(error);
  return engine.result();
}

RunResult run_really(const Workload& workload, const RunOptions& options) {
  hl::RuntimeOptions runtime_options;
  runtime_options.policy = options.policy;
  runtime_options.age_unit = std::chrono::nanoseconds(workload.age_unit_ns);
  runtime_options.policy_seed = options.seed;
  runtime_options.inheritance = options.inheritance;
  hl::Runtime runtime(runtime_options);
  Engine engine(workload, options.seed, runtime.loop(), nullptr, false);
  runtime.run(engine.run());
  return engine.result();
}

}  // namespace

RunResult run_workload(const Workload& workload, const RunOptions& options) {
  const double begin_s = seconds_of(CLOCK_MONOTONIC);
  const double cpu_begin_s = seconds_of(CLOCK_THREAD_CPUTIME_ID);
  RunResult result =
      options.clock == Clock::virtual_time ? run_virtually(workload, options) : run_really(workload, options);
  result.policy = hl::to_string(options.policy);
  result.real_seconds = seconds_of(CLOCK_MONOTONIC) - begin_s;
  result.cpu_seconds = seconds_of(CLOCK_THREAD_CPUTIME_ID) - cpu_begin_s;
  return result;
}

}  // namespace policylab
