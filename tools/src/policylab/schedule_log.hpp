// A schedule, dispatch by dispatch: written down while a program runs, and compared while it runs again.
//
// A dispatch is the number of its task (0: a handle) and the loop's time, both as differences to the one
// before: two bytes mostly. Called by the loop, as its observer.
// 1. The checker notes the first departure and looks no further.
#pragma once

#include <heirloop/sched/loop.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace policylab {

struct Dispatch {
  std::uint64_t task = 0;
  std::int64_t time_ns = 0;
  friend bool operator==(const Dispatch&, const Dispatch&) = default;
};

/// Where a run left the recorded schedule: the number of the dispatch, from 1, and what each did then;
/// nothing: it had ended.
struct Departure {
  std::uint64_t number = 0;
  std::optional<Dispatch> recorded;
  std::optional<Dispatch> now;

  [[nodiscard]] std::string text() const;
};

class ScheduleWriter final : public heirloop::StepObserver {
 public:
  void step_begins(const heirloop::Entry& entry, std::int64_t now_ns) override;
  void step_ended() override {}

  [[nodiscard]] const std::vector<std::uint8_t>& bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

 private:
  std::vector<std::uint8_t> bytes_;
  Dispatch last_;
  std::uint64_t count_ = 0;
};

class ScheduleChecker final : public heirloop::StepObserver {
 public:
  /// `recorded` must outlive this.
  explicit ScheduleChecker(std::span<const std::uint8_t> recorded) noexcept : left_(recorded) {}

  void step_begins(const heirloop::Entry& entry, std::int64_t now_ns) override;
  void step_ended() override {}

  /// The run is over: what is left of the recording is a departure, too.
  [[nodiscard]] std::optional<Departure> finish();
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

 private:
  std::optional<Dispatch> next();

  std::span<const std::uint8_t> left_;
  Dispatch last_;
  std::uint64_t count_ = 0;
  std::optional<Departure> departure_;
};

}  // namespace policylab
