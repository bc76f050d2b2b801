// A loop on a ring on which things go wrong.
#pragma once

#include "io/io_support.hpp"
#include "support/faulty_driver.hpp"

#include <cstdint>
#include <exception>
#include <utility>

namespace heirloop::testing {

/// Runs `main` to its end and all that is left with it; throws what ended it.
inline void run_main(Loop& loop, Coro<void> main) {
  const auto task = loop.create_task(std::move(main), {.name = "main"});
  loop.run_until_done(task);
  const std::exception_ptr error = task.cancelled() ? std::make_exception_ptr(Cancelled("main")) : task.exception();
  loop.finish();
  if (error) std::rethrow_exception(error);
}

class FaultyLoop {
 public:
  explicit FaultyLoop(std::uint64_t seed, const Faults& faults = {}) : driver(seed, faults), loop(driver, {}) {}

  void run(Coro<void> main) { run_main(loop, std::move(main)); }

  FaultyDriver driver;
  Loop loop;
};

}  // namespace heirloop::testing
