#include "policylab/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cmath>
#include <string_view>

namespace policylab {
namespace {

using nlohmann::json;

/// Shares and rates with six decimals: enough, and no digits of chance.
double rounded(double value) { return std::round(value * 1e6) / 1e6; }

json to_json(const Spread& spread, Detail detail) {
  json made{{"count", spread.count},
            {"p50_ns", spread.p50_ns},
            {"p99_ns", spread.p99_ns},
            {"p999_ns", spread.p999_ns},
            {"max_ns", spread.max_ns}};
  if (detail == Detail::pictures) made["curve_ns"] = spread.curve;
  return made;
}

json to_json(const ClassResult& each, Detail detail) {
  return {{"name", each.name},
          {"arrived", each.arrived},
          {"finished", each.finished},
          {"unfinished", each.unfinished},
          {"finished_per_s", rounded(each.finished_per_s)},
          {"share", rounded(each.share)},
          {"longest_step_ns", each.longest_step_ns},
          {"ready_to_run", to_json(each.wait, detail)},
          {"arrival_to_end", to_json(each.latency, detail)},
          {"bound",
           {{"kept", each.late_ns == 0},
            {"late_ns", each.late_ns},
            {"late_steps", each.late_steps},
            {"starved_ns", each.starved_ns}}},
          {"less_urgent_first", each.less_urgent_first},
          {"deadlines", each.deadlines},
          {"missed", each.missed},
          {"inversions",
           {{"count", each.inversions},
            {"total_ns", each.inverted_ns},
            {"longest_ns", each.longest_inversion_ns}}}};
}

json to_json(const RunResult& run, Detail detail) {
  json made{
      {"policy", run.policy},      {"elapsed_ns", run.elapsed_ns},          {"dispatches", run.dispatches},
      {"idle", rounded(run.idle)}, {"bound_kept", worst_late_ns(run) == 0}, {"classes", json::array()}};
  for (const ClassResult& each : run.classes) made["classes"].push_back(to_json(each, detail));
  if (detail == Detail::figures) return made;
  json& waits = made["wait_by_priority"] = json::array();
  for (const PriorityWaits& each : run.by_priority) {
    waits.push_back(
        {{"priority", rounded(each.priority)}, {"ready_to_run", to_json(each.wait, Detail::figures)}});
  }
  json& overview = made["overview"] = json::array();
  for (const std::vector<double>& parts : run.overview) {
    json row = json::array();
    for (const double part : parts) row.push_back(std::round(part * 1000) / 1000);
    overview.push_back(std::move(row));
  }
  json& stretches = made["stretches"] = json::array();
  for (const Stretch& each : run.stretches) stretches.push_back({each.task_class, each.from_ns, each.to_ns});
  return made;
}

json to_json(const WorkloadStudy& study, Detail detail) {
  const Workload& workload = study.workload;
  json made{{"name", workload.name},           {"about", workload.about},
            {"length_ns", workload.length_ns}, {"age_unit_ns", workload.age_unit_ns},
            {"classes", json::array()},        {"runs", json::array()},
            {"findings", findings(study)}};
  for (const TaskClass& each : workload.classes) {
    json row{{"name", each.name}, {"priority", each.priority}};
    if (each.deadline_ns) row["deadline_ns"] = *each.deadline_ns;
    if (each.group) row["group"] = workload.groups[*each.group].name;
    made["classes"].push_back(std::move(row));
  }
  for (const RunResult& run : study.runs) made["runs"].push_back(to_json(run, detail));
  if (const auto urgent = compare_urgent(study)) {
    made["urgent"] = {{"class", urgent->task_class},
                      {"strict_p99_ns", urgent->strict_p99_ns},
                      {"aging_p99_ns", urgent->aging_p99_ns},
                      {"longest_step_ns", urgent->longest_step_ns},
                      {"within_one_step", urgent->within_one_step},
                      {"less_urgent_first", urgent->less_urgent_first}};
  }
  return made;
}

}  // namespace

json to_json(const Study& study, Detail detail) {
  json made{{"seed", study.seed},
            {"time", study.real_time ? "real" : "virtual"},
            {"inheritance", study.inheritance},
            {"workloads", json::array()}};
  if (detail == Detail::pictures) made["curve_quantiles"] = curve_quantiles();
  for (const WorkloadStudy& each : study.workloads) made["workloads"].push_back(to_json(each, detail));
  return made;
}

std::string to_csv(const Study& study) {
  std::string text =
      "workload,policy,class,priority,arrived,finished,unfinished,finished_per_s,share,"
      "wait_p50_ns,wait_p99_ns,wait_p999_ns,wait_max_ns,latency_p50_ns,latency_p99_ns,latency_p999_ns,"
      "latency_max_ns,"
      "late_ns,late_steps,starved_ns,less_urgent_first,deadlines,missed,inversions,inverted_ns,longest_"
      "inversion_ns\n";
  for (const WorkloadStudy& each : study.workloads) {
    for (const RunResult& run : each.runs) {
      for (const ClassResult& row : run.classes) {
        text += fmt::format(
            "{},{},{},{:g},{},{},{},{:.6f},{:.6f},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
            each.workload.name, run.policy, row.name, row.priority, row.arrived, row.finished, row.unfinished,
            row.finished_per_s, row.share, row.wait.p50_ns, row.wait.p99_ns, row.wait.p999_ns,
            row.wait.max_ns, row.latency.p50_ns, row.latency.p99_ns, row.latency.p999_ns, row.latency.max_ns,
            row.late_ns, row.late_steps, row.starved_ns, row.less_urgent_first, row.deadlines, row.missed,
            row.inversions, row.inverted_ns, row.longest_inversion_ns);
      }
    }
  }
  return text;
}

}  // namespace policylab
