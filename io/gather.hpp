// How many completions a wait should bring: several, where they come so fast that a wake-up for each is a waste.
//
// Owns: the recent rate of completions, how much of the time the loop slept, and how often gathering has failed. Called by
// a driver around every wait.
//
// A loop that falls asleep between any two requests pays for each with a wake-up, and so does the process that sends
// them, whose system call has to wake a processor. When completions come every few microseconds, the first may wait for
// company: for the length of the window at most.
//
// 1. Nobody waits for company unless two completions or more in a window are usual, and the loop lately was outside its
//    waits for at least as long as in them: a loop that has time to spare wakes at once.
// 2. At most a quarter of the operations that ended lately is waited for: two peers that take turns never wait for each
//    other, nor a few busy ones for many that are silent. Operations are told apart by their slots, which the busy ones
//    pass on among themselves.
// 3. A wait that brought one completion alone may have delayed it for nothing: the next 1, 3, 7, … 255 waits don't gather.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace heirloop {

class Gather {
 public:
  static constexpr unsigned most = 8;
  static constexpr unsigned period = 64;  ///< waits, in which the busy operations are counted

  /// `window_ns`: how long a completion may wait for others, in whole microseconds, 1000 s at most; below 1 µs gathering
  /// is off.
  explicit Gather(std::int64_t window_ns) noexcept
      : window_ns_(std::clamp<std::int64_t>(window_ns, 0, longest_ns) / 1'000 * 1'000) {}

  std::int64_t window_ns() const noexcept { return window_ns_; }

  /// A wait begins: for how many completions. `completions` counts all so far.
  unsigned begin(std::int64_t now_ns, std::uint64_t completions) noexcept {
    if (window_ns_ == 0) return 1;
    // Sums that forget an eighth with every wait; neither a long silence nor a long step is remembered for long.
    awake_ns_ += std::min(now_ns - end_ns_, longest_remembered_ns) - awake_ns_ / 8;
    asleep_ns_ += std::min(end_ns_ - begin_ns_, longest_remembered_ns) - asleep_ns_ / 8;
    const std::uint64_t come = std::min<std::uint64_t>(completions - last_completions_, 1024);
    arrived_ += static_cast<std::int64_t>(come) * unit - arrived_ / 8;
    begin_ns_ = end_ns_ = now_ns;
    last_completions_ = completions;
    if (++waits_ == period) {
      busy_ = std::exchange(ended_, 0);
      waits_ = 0;
      ++mark_;
    }
    asked_ = 1;
    if (waits_off_ != 0) {
      --waits_off_;
      return 1;
    }
    const bool fast = arrived_ * window_ns_ >= 2 * unit * (awake_ns_ + asleep_ns_);
    if (fast && awake_ns_ >= asleep_ns_ && busy_ >= 8) asked_ = std::min(busy_ / 4, most);
    return asked_;
  }

  /// An operation ended whose slot has this mark.
  void ended(std::uint32_t& mark) noexcept {
    if (mark == mark_) return;
    mark = mark_;
    ++ended_;
  }

  /// This wait can't gather.
  unsigned alone() noexcept { return asked_ = 1; }

  /// It ended, with so many.
  void end(std::int64_t now_ns, std::uint64_t brought) noexcept {
    end_ns_ = now_ns;
    if (asked_ == 1) return;
    if (brought == 1) {
      waits_off_ = failures_ = std::min(2 * failures_ + 1, 255U);
    } else if (brought > 1) {
      failures_ = 0;
    }
  }

 private:
  static constexpr std::int64_t unit = 256;  // one completion
  static constexpr std::int64_t longest_ns = 1'000'000'000'000;
  static constexpr std::int64_t longest_remembered_ns = 1'000'000;

  std::int64_t window_ns_;
  std::int64_t begin_ns_ = 0;  // of the last wait
  std::int64_t end_ns_ = 0;
  std::uint64_t last_completions_ = 0;
  std::int64_t awake_ns_ = 0;
  std::int64_t asleep_ns_ = 0;
  std::int64_t arrived_ = 0;
  unsigned asked_ = 1;
  std::uint32_t mark_ = 1;  // of this period
  unsigned waits_ = 0;      // in this period
  unsigned ended_ = 0;      // operations that ended in it
  unsigned busy_ = 0;       // in the last one
  unsigned failures_ = 0;   // in a row, as the length of the last pause
  unsigned waits_off_ = 0;  // that are left of it
};

}  // namespace heirloop
