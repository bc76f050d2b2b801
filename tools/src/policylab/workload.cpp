#include "policylab/workload.hpp"

#include <algorithm>
#include <cmath>

namespace policylab {

std::int64_t Distribution::draw(Random& random) const noexcept {
  double value = low;
  switch (shape) {
    case Shape::fixed:
      return static_cast<std::int64_t>(low);
    case Shape::uniform:
      value = low + std::floor(random.unit() * (high - low + 1));
      break;
    case Shape::exponential:
      value = -low * std::log1p(-random.unit());
      break;
    case Shape::pareto:
      value = low * std::pow(1 - random.unit(), -1 / alpha);
      break;
  }
  return static_cast<std::int64_t>(std::clamp(std::round(value), 1.0, high));
}

std::size_t most_urgent_class(const Workload& workload) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < workload.classes.size(); ++i) {
    if (workload.classes[i].priority < workload.classes[best].priority) best = i;
  }
  return best;
}

std::int64_t longest_step_ns(const Workload& workload) {
  double longest = 0;
  for (const TaskClass& each : workload.classes) longest = std::max(longest, each.step.high);
  return static_cast<std::int64_t>(longest);
}

}  // namespace policylab
