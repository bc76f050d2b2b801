// The figures as text for a terminal: tables, bars and sentences. Pure functions of the figures and of what
// the terminal can show.
#pragma once

#include "demo/figures.hpp"

#include <string>

namespace demo {

/// What the terminal can show.
struct Screen {
  int width = 100;    ///< columns; no line of the tables and bars is wider
  bool utf8 = false;  ///< block characters and µ, else plain ASCII
  bool colours = false;
};

/// A time as `92µs`, `7.44ms`, `2.01s`: at most six columns up to 999 s.
[[nodiscard]] std::string short_time(double time_us, const Screen& screen);

/// A whole number with a comma at every third digit.
[[nodiscard]] std::string grouped(double value);

/// A bar of `part` (0 to 1) of `width` columns, in eighths of a column where blocks can be shown.
[[nodiscard]] std::string bar(double part, int width, const Screen& screen);

/// The table of all variants, narrowed to the screen by leaving out the less telling columns, and its legend.
[[nodiscard]] std::string run_table(const Figures& figures, const Screen& screen);

/// p99 of every variant as a bar, on a logarithmic scale.
[[nodiscard]] std::string run_bars(const Figures& figures, const Screen& screen);

/// The table of kvserver and redis-server under redis-benchmark.
[[nodiscard]] std::string redis_table(const Figures& figures, const Screen& screen);

/// What the figures show in plain words, a line on the policies and the lock and one on redis-server, then
/// every expectation that is not met, and what spoiled a run.
[[nodiscard]] std::string verdict(const Figures& figures, const Screen& screen);

}  // namespace demo
