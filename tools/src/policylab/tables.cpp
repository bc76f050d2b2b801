#include "policylab/tables.hpp"

#include "policylab/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace policylab {
namespace {

constexpr std::size_t width = 100;

/// Broken into lines of at most `width`, each behind `indent` blanks but the first.
std::string wrapped(std::string_view text, std::string_view first, std::size_t indent) {
  std::string all(first);
  std::size_t column = first.size();
  bool fresh = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    if (!fresh && column + 1 + end > width) {
      all += "\n" + std::string(indent, ' ');
      column = indent;
      fresh = true;
    }
    if (!fresh) {
      all += ' ';
      ++column;
    }
    all += text.substr(0, end);
    column += end;
    fresh = false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all + "\n";
}

std::string spread(const Spread& times) {
  return fmt::format("{:>9}{:>9}{:>9}{:>9}", short_time(times.p50_ns), short_time(times.p99_ns),
                     short_time(times.p999_ns), short_time(times.max_ns));
}

template <class Row>
std::string table(const WorkloadStudy& study, std::string_view head, Row row) {
  std::string text(head);
  for (std::size_t i = 0; i < study.workload.classes.size(); ++i) {
    for (const RunResult& run : study.runs) {
      const bool first = &run == &study.runs.front();
      text += fmt::format("{:<16} {:<7}", first ? study.workload.classes[i].name : "", run.policy) +
              row(run.classes[i]) + "\n";
    }
  }
  return text;
}

std::string times_row(const ClassResult& each) {
  return " " + spread(each.wait) + "  " + spread(each.latency);
}

std::string rest_row(const ClassResult& each) {
  const std::string missed =
      each.deadlines == 0 ? "-"
                          : percent(static_cast<double>(each.missed) / static_cast<double>(each.deadlines));
  const std::string late = each.late_ns == 0 ? "kept" : short_time(each.late_ns);
  return fmt::format("{:>10.1f}{:>8}{:>8}{:>10}{:>10}{:>8}{:>9}{:>9}", each.finished_per_s,
                     percent(each.share), each.unfinished, short_time(each.wait.max_ns), late, missed,
                     each.inversions, short_time(each.longest_inversion_ns));
}

}  // namespace

std::string to_text(const WorkloadStudy& study) {
  const Workload& workload = study.workload;
  std::string text =
      wrapped(fmt::format("{} ({}, age_unit {})", workload.about, short_time(study.runs.front().elapsed_ns),
                          short_time(workload.age_unit_ns)),
              fmt::format("== {}: ", workload.name), 3);
  text += "\n" + table(study,
                       fmt::format("{:<16} {:<7} {:^36}  {:^36}\n{:<24}", "class", "policy",
                                   "from ready to run", "from arrival to end", "") +
                           fmt::format(" {0:>9}{1:>9}{2:>9}{3:>9}  {0:>9}{1:>9}{2:>9}{3:>9}\n", "p50", "p99",
                                       "p99.9", "max"),
                       times_row);
  text +=
      "\n" + table(study,
                   fmt::format("{:<16} {:<7}{:>10}{:>8}{:>8}{:>10}{:>10}{:>8}{:>9}{:>9}\n", "class", "policy",
                               "jobs/s", "cpu", "open", "worst", "bound", "missed", "inverted", "longest"),
                   rest_row);
  text += "\n";
  for (const std::string& sentence : findings(study)) text += wrapped(sentence, " * ", 3);
  return text;
}

std::string legend() {
  return wrapped(
      "open: jobs not done at the end, counted with their age. worst: the longest wait from ready to run. "
      "bound: what ran "
      "before a job of this class became ready this much later than the bound of aging allows. missed: part "
      "of the "
      "deadlines. inverted: waits for a lock while something less urgent ran that did not hold it up; "
      "longest: for how "
      "long at most.",
      "", 0);
}

std::string speed(const Study& study) {
  double dispatches = 0;
  double seconds = 0;
  double cpu_seconds = 0;
  std::size_t runs = 0;
  for (const WorkloadStudy& each : study.workloads) {
    for (const RunResult& run : each.runs) {
      dispatches += static_cast<double>(run.dispatches);
      seconds += run.real_seconds;
      cpu_seconds += run.cpu_seconds;
      ++runs;
    }
  }
  const std::string all =
      fmt::format("{} runs, {:.2f} million dispatches in {:.2f} s", runs, dispatches / 1e6, seconds);
  if (study.real_time || cpu_seconds <= 0) return all + " of real time.\n";
  return all +
         fmt::format(
             ", {:.2f} s of them on the processor:\n{:.1f} million a second of the processor's time, with "
             "statistics on.\n",
             cpu_seconds, dispatches / cpu_seconds / 1e6);
}

}  // namespace policylab
