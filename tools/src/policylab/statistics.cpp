#include "policylab/statistics.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace policylab {
namespace {

constexpr std::size_t overview_parts = 200;
constexpr std::size_t most_stretches = 600;
constexpr std::size_t priority_bins = 41;

Spread spread_of(const tools::Histogram& histogram) {
  Spread spread;
  spread.count = histogram.count();
  spread.p50_ns = histogram.percentile(0.5);
  spread.p99_ns = histogram.percentile(0.99);
  spread.p999_ns = histogram.percentile(0.999);
  spread.max_ns = histogram.max();
  if (histogram.count() != 0) {
    for (const double quantile : curve_quantiles()) spread.curve.push_back(histogram.percentile(quantile));
  }
  return spread;
}

heirloop::PolicyOptions aging_options(const Workload& workload) {
  heirloop::PolicyOptions options;
  options.age_unit = std::chrono::nanoseconds(workload.age_unit_ns);
  return options;
}

double part_of(std::int64_t part_ns, std::int64_t whole_ns) {
  return whole_ns > 0 ? static_cast<double>(part_ns) / static_cast<double>(whole_ns) : 0;
}

}  // namespace

const std::vector<double>& curve_quantiles() {
  static const std::vector<double> quantiles = [] {
    std::vector<double> made{0};
    for (int i = 1; i < 20; ++i) made.push_back(i * 0.05);
    for (double left = 0.04; left > 0.00005; left *= 0.75) made.push_back(1 - left);
    made.push_back(1);
    return made;
  }();
  return quantiles;
}

Statistics::Statistics(const Workload& workload)
    : aging_(heirloop::make_policy(heirloop::PolicyKind::aging, aging_options(workload))),
      classes_(workload.classes.size()),
      by_priority_(priority_bins),
      stretches_from_ns_(workload.length_ns / 2) {
  double highest = -INFINITY;
  lowest_priority_ = INFINITY;
  for (std::size_t i = 0; i < classes_.size(); ++i) {
    const TaskClass& each = workload.classes[i];
    classes_[i].task_class = &each;
    classes_[i].overview_ns.resize(overview_parts);
    lowest_priority_ =
        std::min(lowest_priority_, each.churn ? std::min(each.churn->from, each.priority) : each.priority);
    highest = std::max(highest, each.churn ? std::max(each.churn->to, each.priority) : each.priority);
  }
  if (highest > lowest_priority_) bins_per_unit_ = (priority_bins - 1) / (highest - lowest_priority_);
  part_ns_ = std::max<std::int64_t>(
      1, (workload.length_ns + std::int64_t{overview_parts} - 1) / std::int64_t{overview_parts});
  stretches_.reserve(most_stretches);
}

void Statistics::ready(JobRecord& job, const heirloop::Urgency& urgency, std::int64_t loop_ns,
                       std::int64_t now_ns) {
  job.ready_ns = now_ns;
  job.loop_ready_ns = loop_ns;
  job.priority = urgency.priority;
  job.key = aging_->key(urgency, loop_ns);
  classes_[job.task_class].waiting.add(job);
}

void Statistics::urgency_changed(JobRecord& job, const heirloop::Urgency& urgency) {
  if (urgency.priority == job.priority) return;
  WaitingJobs& waiting = classes_[job.task_class].waiting;
  waiting.erase(job);
  job.priority = urgency.priority;
  job.key = aging_->key(urgency, job.loop_ready_ns);
  waiting.add(job);
}

void Statistics::begins(JobRecord& job, const heirloop::Urgency& urgency, std::int64_t now_ns) {
  ++dispatches_;
  urgency_changed(job, urgency);
  PerClass& own = classes_[job.task_class];
  own.waiting.erase(job);
  for (PerClass& each : classes_) {
    if (each.waiting.empty()) continue;
    const std::int64_t late_ns = job.key - each.waiting.first_key();
    const bool less_urgent = each.waiting.first().priority < job.priority;
    if (less_urgent) ++each.less_urgent_first;
    if (late_ns > 0) {
      ++each.late_steps;
      each.late_ns = std::max(each.late_ns, late_ns);
      if (!less_urgent) each.starved_ns = std::max(each.starved_ns, late_ns);
    }
  }
  const std::int64_t wait_ns = now_ns - job.ready_ns;
  own.wait.record(wait_ns);
  by_priority_[bin_of(job.priority)].record(wait_ns);
}

std::size_t Statistics::bin_of(double priority) const noexcept {
  const double bin = std::round((priority - lowest_priority_) * bins_per_unit_);
  return static_cast<std::size_t>(std::clamp(bin, 0.0, static_cast<double>(priority_bins - 1)));
}

void Statistics::ran(const JobRecord& job, std::int64_t from_ns, std::int64_t to_ns) noexcept {
  PerClass& own = classes_[job.task_class];
  const std::int64_t length_ns = to_ns - from_ns;
  own.busy_ns += length_ns;
  own.longest_step_ns = std::max(own.longest_step_ns, length_ns);
  for (std::int64_t at = from_ns; at < to_ns;) {  // nearly always one turn
    const auto part = std::min(static_cast<std::size_t>(at / part_ns_), overview_parts - 1);
    const std::int64_t end =
        part + 1 == overview_parts ? to_ns : std::min(to_ns, static_cast<std::int64_t>(part + 1) * part_ns_);
    own.overview_ns[part] += end - at;
    at = end;
  }
  if (from_ns >= stretches_from_ns_) note_stretch(job.task_class, from_ns, to_ns);
}

void Statistics::note_stretch(std::uint32_t task_class, std::int64_t from_ns, std::int64_t to_ns) noexcept {
  if (!stretches_.empty() && stretches_.back().task_class == task_class &&
      stretches_.back().to_ns == from_ns) {
    if (stretches_.size() < most_stretches) stretches_.back().to_ns = to_ns;
  } else if (stretches_.size() < most_stretches) {
    stretches_.push_back({task_class, from_ns, to_ns});
  }
}

void Statistics::waited_for_lock(JobRecord& job) noexcept {
  if (job.inverted_ns == 0) return;
  PerClass& own = classes_[job.task_class];
  ++own.inversions;
  own.inverted_ns += job.inverted_ns;
  own.longest_inversion_ns = std::max(own.longest_inversion_ns, job.inverted_ns);
  job.inverted_ns = 0;
}

void Statistics::count_deadline(PerClass& counts, std::int64_t latency_ns, bool over) noexcept {
  const auto& deadline_ns = counts.task_class->deadline_ns;
  if (!deadline_ns) return;
  const bool missed = latency_ns > *deadline_ns;
  if (!over && !missed) return;  // still open
  ++counts.deadlines;
  if (missed) ++counts.missed;
}

void Statistics::finished(const JobRecord& job, std::int64_t now_ns) noexcept {
  PerClass& own = classes_[job.task_class];
  ++own.finished;
  own.latency.record(now_ns - job.arrival_ns);
  count_deadline(own, now_ns - job.arrival_ns, true);
}

void Statistics::unfinished(const JobRecord& job, std::int64_t now_ns) noexcept {
  PerClass& own = classes_[job.task_class];
  ++own.unfinished;
  own.latency.record(now_ns - job.arrival_ns);
  count_deadline(own, now_ns - job.arrival_ns, false);
  if (job.slot == WaitingJobs::nowhere) return;
  own.wait.record(now_ns - job.ready_ns);
  by_priority_[bin_of(job.priority)].record(now_ns - job.ready_ns);
}

RunResult Statistics::result(std::int64_t elapsed_ns) const {
  RunResult made;
  made.elapsed_ns = elapsed_ns;
  made.dispatches = dispatches_;
  made.stretches = stretches_;
  std::int64_t busy_ns = 0;
  for (const PerClass& each : classes_) {
    ClassResult result;
    result.name = each.task_class->name;
    result.priority = each.task_class->priority;
    result.arrived = each.arrived;
    result.finished = each.finished;
    result.unfinished = each.unfinished;
    result.finished_per_s =
        elapsed_ns > 0 ? static_cast<double>(each.finished) * 1e9 / static_cast<double>(elapsed_ns) : 0;
    result.share = part_of(each.busy_ns, elapsed_ns);
    result.longest_step_ns = each.longest_step_ns;
    result.wait = spread_of(each.wait);
    result.latency = spread_of(each.latency);
    result.late_ns = each.late_ns;
    result.late_steps = each.late_steps;
    result.starved_ns = each.starved_ns;
    result.less_urgent_first = each.less_urgent_first;
    result.deadlines = each.deadlines;
    result.missed = each.missed;
    result.inversions = each.inversions;
    result.inverted_ns = each.inverted_ns;
    result.longest_inversion_ns = each.longest_inversion_ns;
    made.classes.push_back(std::move(result));
    busy_ns += each.busy_ns;

    std::vector<double> parts;
    for (const std::int64_t part : each.overview_ns) parts.push_back(part_of(part, part_ns_));
    made.overview.push_back(std::move(parts));
  }
  made.idle = std::max(0.0, 1 - part_of(busy_ns, elapsed_ns));
  for (std::size_t i = 0; i < by_priority_.size(); ++i) {
    if (by_priority_[i].count() == 0) continue;
    const double priority =
        bins_per_unit_ > 0 ? lowest_priority_ + static_cast<double>(i) / bins_per_unit_ : lowest_priority_;
    made.by_priority.push_back({priority, spread_of(by_priority_[i])});
  }
  return made;
}

}  // namespace policylab
