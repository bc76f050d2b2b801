#include "policylab/study.hpp"

#include "policylab/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace policylab {
namespace {

const RunResult* run_of(const WorkloadStudy& study, std::string_view policy) {
  const auto found = std::ranges::find(study.runs, policy, &RunResult::policy);
  return found == study.runs.end() ? nullptr : &*found;
}

std::string bound_sentence(const RunResult& run) {
  if (worst_late_ns(run) == 0) return fmt::format("{}: keeps the bound of aging.", run.policy);
  const auto starved = std::ranges::max_element(run.classes, {}, &ClassResult::starved_ns);
  if (starved->starved_ns > 0) {
    return fmt::format(
        "{}: breaks the bound of aging: what became ready {} later than it allows ran before '{}' (longest "
        "wait {}).",
        run.policy, short_time(starved->starved_ns), starved->name, short_time(starved->wait.max_ns));
  }
  // Of the classes that had to wait for less urgent ones, the most urgent.
  const auto late = std::ranges::min_element(run.classes, {}, [](const ClassResult& each) {
    return each.less_urgent_first == 0 ? std::numeric_limits<double>::infinity() : each.priority;
  });
  return fmt::format(
      "{}: starves nobody, but in {} steps something less urgent ran before '{}' (longest wait {}).",
      run.policy, late->less_urgent_first, late->name, short_time(late->wait.max_ns));
}

std::string urgent_sentence(const WorkloadStudy& study, const UrgentComparison& urgent) {
  const std::string figures =
      fmt::format("p99 of '{}' from ready to run: strict {}, aging {}: ", urgent.task_class,
                  short_time(urgent.strict_p99_ns), short_time(urgent.aging_p99_ns));
  const std::string verdict = urgent.within_one_step
                                  ? fmt::format("within one step ({}).", short_time(urgent.longest_step_ns))
                                  : std::string("further apart than one step.");
  if (urgent.less_urgent_first == 0) {
    return figures + verdict +
           " The backlog was younger than the gap of priorities: nothing less urgent went first.";
  }
  const RunResult& aging = *run_of(study, "aging");
  const RunResult& strict = *run_of(study, "strict");
  std::size_t oldest = aging.classes.size();
  for (std::size_t i = 0; i < aging.classes.size(); ++i) {
    if (aging.classes[i].name == urgent.task_class) continue;
    if (oldest == aging.classes.size() || aging.classes[i].wait.max_ns > aging.classes[oldest].wait.max_ns)
      oldest = i;
  }
  std::string reason =
      fmt::format(" {} steps of tasks that had waited for longer than the gap of priorities went first",
                  urgent.less_urgent_first);
  if (oldest != aging.classes.size()) {
    reason += fmt::format(": '{}' waits {} at most, under strict {}", aging.classes[oldest].name,
                          short_time(aging.classes[oldest].wait.max_ns),
                          short_time(strict.classes[oldest].wait.max_ns));
  }
  return figures + verdict + reason + ".";
}

std::vector<std::string> inversion_sentences(const WorkloadStudy& study) {
  std::vector<std::string> sentences;
  for (const RunResult& run : study.runs) {
    const auto worst = std::ranges::max_element(run.classes, {}, &ClassResult::longest_inversion_ns);
    if (worst->longest_inversion_ns == 0) continue;
    sentences.push_back(fmt::format("{}: {} waits of '{}' for a lock were inverted, the longest for {}.",
                                    run.policy, worst->inversions, worst->name,
                                    short_time(worst->longest_inversion_ns)));
  }
  return sentences;
}

}  // namespace

std::int64_t worst_late_ns(const RunResult& run) {
  std::int64_t worst = 0;
  for (const ClassResult& each : run.classes) worst = std::max(worst, each.late_ns);
  return worst;
}

std::optional<UrgentComparison> compare_urgent(const WorkloadStudy& study) {
  const RunResult* const strict = run_of(study, "strict");
  const RunResult* const aging = run_of(study, "aging");
  if (strict == nullptr || aging == nullptr) return std::nullopt;
  const std::size_t index = most_urgent_class(study.workload);
  UrgentComparison made;
  made.task_class = study.workload.classes[index].name;
  made.strict_p99_ns = strict->classes[index].wait.p99_ns;
  made.aging_p99_ns = aging->classes[index].wait.p99_ns;
  made.less_urgent_first = aging->classes[index].less_urgent_first;
  for (const RunResult* run : {strict, aging}) {
    for (const ClassResult& each : run->classes)
      made.longest_step_ns = std::max(made.longest_step_ns, each.longest_step_ns);
  }
  made.within_one_step = std::abs(made.aging_p99_ns - made.strict_p99_ns) <= made.longest_step_ns;
  return made;
}

std::vector<std::string> findings(const WorkloadStudy& study) {
  std::vector<std::string> sentences;
  for (const RunResult& run : study.runs) sentences.push_back(bound_sentence(run));
  if (const auto urgent = compare_urgent(study)) sentences.push_back(urgent_sentence(study, *urgent));
  const auto inversions = inversion_sentences(study);
  sentences.insert(sentences.end(), inversions.begin(), inversions.end());
  if (!study.workload.locks.empty() && inversions.empty())
    sentences.emplace_back("No wait for a lock was inverted.");
  return sentences;
}

}  // namespace policylab
