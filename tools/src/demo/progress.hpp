// Tells on the standard error how far the demo is: one line that is rewritten on a terminal, else a line per
// round.
#pragma once

#include "demo/picture.hpp"
#include "demo/process.hpp"

#include <string>
#include <string_view>

namespace demo {

class Progress {
 public:
  /// `total_s`: how long everything is expected to take.
  Progress(const Screen& screen, bool is_terminal, double total_s);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void begin_round(int round, int rounds);
  /// Says what runs now.
  void say(std::string_view what);
  /// Draws the line again if it is time to; cheap.
  void tick();
  /// Takes the line away.
  void clear();

 private:
  void draw();

  Screen screen_;
  bool is_terminal_;
  double total_s_;
  Clock::time_point start_ = Clock::now();
  Clock::time_point drawn_{};
  bool visible_ = false;
  std::string round_;
  std::string what_;
};

}  // namespace demo
