// Figures for the tests of the demo: those of a run in which every expectation is met.
#pragma once

#include "demo/figures.hpp"

#include <cstddef>

inline demo::Figures good_figures() {
  demo::Figures figures;
  const double p99_us[] = {91, 7439, 92, 95, 240, 1.9e6};
  for (std::size_t index = 0; index < demo::variants.size(); ++index) {
    demo::RunFigures run;
    run.variant = demo::variants[index];
    run.reached_rps = 1999.5;
    run.p50_us = p99_us[index] / 2;
    run.p99_us = p99_us[index];
    run.p999_us = p99_us[index] * 1.5;
    run.max_us = p99_us[index] * 2;
    run.housekeeping_steps_per_s = index == 0 ? 0 : 19'876;
    run.rounds = 5;
    run.requests = 16'000;
    figures.runs.push_back(run);
  }
  figures.runs[4].lock_wait_steps_max = demo::hold_lock_steps + 1;
  figures.runs[4].lock_p99_us = 170;
  figures.runs[5].lock_wait_steps_max = 41'234;
  figures.runs[5].lock_p99_us = 2.1e6;
  for (const demo::RedisMode& mode : demo::redis_modes) {
    figures.redis.push_back({mode, {100'000, 6'700}, {99'000, 7'800}});
  }
  return figures;
}
