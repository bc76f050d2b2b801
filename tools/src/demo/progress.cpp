#include "demo/progress.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace demo {
namespace {

constexpr int bar_width = 20;

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

Progress::Progress(const Screen& screen, bool is_terminal, double total_s)
    : screen_(screen), is_terminal_(is_terminal), total_s_(total_s) {}

Progress::~Progress() { clear(); }

void Progress::begin_round(int round, int rounds) {
  round_ = fmt::format("round {} of {}", round, rounds);
  if (!is_terminal_)
    put(fmt::format("{} ({:.0f} s of about {:.0f})\n", round_,
                    std::chrono::duration<double>(Clock::now() - start_).count(), total_s_));
}

void Progress::say(std::string_view what) {
  what_ = what;
  if (is_terminal_) draw();
}

void Progress::tick() {
  if (is_terminal_ && Clock::now() - drawn_ >= std::chrono::milliseconds(200)) draw();
}

void Progress::clear() {
  if (visible_) put("\r\x1b[K");
  visible_ = false;
}

void Progress::draw() {
  drawn_ = Clock::now();
  const double passed = std::chrono::duration<double>(drawn_ - start_).count();
  const double part = std::min(passed / total_s_, 0.99);
  const int filled = static_cast<int>(std::lround(part * bar_width));
  const std::string picture = bar(static_cast<double>(filled) / bar_width, bar_width, screen_);
  std::string rest;
  for (int column = filled; column < bar_width; ++column) rest += screen_.utf8 ? "░" : ".";
  std::string line =
      fmt::format("{}{} {:.0f} s left  {}", picture, rest, std::max(total_s_ - passed, 1.0), round_);
  if (!what_.empty()) line += ": " + what_;
  const int room = screen_.width - 1;
  const int plain_columns = bar_width + static_cast<int>(line.size() - picture.size() - rest.size());
  if (plain_columns > room) line = fmt::format("{:.{}}", round_ + ": " + what_, std::max(room, 0));
  put("\r\x1b[K" + line);
  visible_ = true;
}

}  // namespace demo
