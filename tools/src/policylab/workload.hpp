// What a workload is: classes of tasks, how they arrive, what they do. Plain data; parser.hpp makes it from
// text.
//
// 1. All times are nanoseconds, all probabilities come from `Distribution`.
// 2. A class's locks are taken in one order by all classes: no workload can deadlock. The parser checks that.
#pragma once

#include "policylab/random.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace policylab {

/// A distribution over whole numbers (nanoseconds, or counts), never below 1 unless it is fixed at 0, and
/// never above `high`: what would be larger counts as that.
struct Distribution {
  enum class Shape : std::uint8_t { fixed, uniform, exponential, pareto };

  Shape shape = Shape::fixed;
  double low =
      1;  ///< fixed: the value; uniform: the lowest; exponential: the mean; pareto: the scale, its lowest
  double high = 1;   ///< the largest that can come
  double alpha = 1;  ///< pareto: the exponent of its tail

  [[nodiscard]] std::int64_t draw(Random& random) const noexcept;
};

struct Arrival {
  enum class Kind : std::uint8_t {
    periodic,  ///< one job every `every_ns`, from `offset_ns` on
    poisson,   ///< `rate_per_s` jobs a second, exponential gaps
    burst,     ///< `count` jobs at once every `every_ns`, from `offset_ns` on
    closed,    ///< `count` clients, each with one job at a time and a pause (`think`) behind its end
  };

  Kind kind = Kind::periodic;
  std::int64_t every_ns = 0;
  std::int64_t offset_ns = 0;
  double rate_per_s = 0;
  std::uint32_t count = 1;
  Distribution think;
};

/// A lock that a job holds: taken before its step `first` (from 1), given back behind the last of `steps`
/// steps, or at the job's end.
struct Hold {
  std::uint32_t lock = 0;  ///< index into Workload::locks
  std::uint32_t first = 1;
  std::uint32_t steps = 1;
};

/// Every `every_ns` one job of the class, chosen by chance, gets a priority from `from` to `to`.
struct Churn {
  std::int64_t every_ns = 0;
  double from = 0;
  double to = 0;
};

struct Group {
  std::string name;
  double weight = 1;
  std::optional<std::uint32_t> parent;  ///< index of an earlier group
  std::optional<std::int64_t> target_ns;
};

/// A class of tasks. One job is one task.
struct TaskClass {
  std::string name;
  Arrival arrival;
  Distribution steps;  ///< how many a job has
  Distribution step;   ///< how long one is, ns
  double priority = 0;
  std::optional<Churn> churn;
  std::optional<std::uint32_t> group;
  std::optional<std::int64_t> deadline_ns;  ///< from the arrival
  std::vector<Hold> holds;                  ///< in the order of taking
};

struct Workload {
  std::string name;
  std::string about;
  std::int64_t length_ns = 0;
  std::int64_t age_unit_ns = 100'000'000;
  std::vector<std::string> locks;
  std::vector<Group> groups;
  std::vector<TaskClass> classes;
};

/// How many locks one class can take; a job keeps room for each.
inline constexpr std::size_t max_holds = 4;

/// The index of the class whose jobs are the most urgent; of equals the first.
[[nodiscard]] std::size_t most_urgent_class(const Workload& workload);

/// The longest step that the workload can have, ns.
[[nodiscard]] std::int64_t longest_step_ns(const Workload& workload);

}  // namespace policylab
