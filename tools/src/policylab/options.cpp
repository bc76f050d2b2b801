#include "policylab/options.hpp"

#include "common/option_checks.hpp"
#include "policylab/builtin.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace policylab {
namespace {

/// The names, separated by commas.
std::vector<heirloop::PolicyKind> policies_named(std::string_view names) {
  std::vector<heirloop::PolicyKind> found;
  while (true) {
    const std::size_t comma = std::min(names.find(','), names.size());
    const auto policy = heirloop::policy_from_name(names.substr(0, comma));
    if (std::ranges::count(found, policy) == 0) found.push_back(policy);
    if (comma == names.size()) return found;
    names.remove_prefix(comma + 1);
  }
}

Exit list_builtin() {
  std::string text;
  for (const Builtin& each : builtin_workloads()) text += fmt::format("{}\n", each.name);
  return {0, text};
}

Exit show_builtin(const std::string& name) {
  for (const Builtin& each : builtin_workloads()) {
    if (each.name == name) return {0, std::string(each.text)};
  }
  throw std::invalid_argument(
      fmt::format("--show: there is no built-in workload '{}' (--list names them)", name));
}

void check_paths(const CLI::App& app, const Options& options) {
  std::vector<std::string> taken;
  for (const auto& [name, path] : {std::pair<const char*, const std::string&>("--json", options.json_path),
                                   {"--csv", options.csv_path},
                                   {"--html", options.html_path},
                                   {"--record", options.record_path},
                                   {"--replay", options.replay_path}}) {
    if (app.count(name) == 0) continue;
    if (path.empty()) throw std::invalid_argument(fmt::format("{}: the path is empty", name));
    if (std::ranges::count(taken, path) != 0) {
      throw std::invalid_argument(fmt::format("{}: '{}' is to hold something else already", name, path));
    }
    taken.push_back(path);
  }
}

/// A recording says itself what is run.
void check_replay(const CLI::App& app) {
  if (app.count("--record") != 0 && app.count("--real") != 0) {
    throw std::invalid_argument("--record: no run in real time is the same again; leave --real out");
  }
  if (app.count("--replay") == 0) return;
  for (const char* name :
       {"WORKLOAD", "--policy", "--seed", "--seconds", "--real", "--no-inheritance", "--record"}) {
    if (app.count(name) != 0)
      throw std::invalid_argument(fmt::format("--replay: the recording says it; leave {} out", name));
  }
}

}  // namespace

std::variant<Options, Exit> parse_options(std::vector<std::string> arguments) {
  Options options;
  std::string policies;
  std::string show;
  bool list = false;
  bool no_inheritance = false;
  std::vector<std::string_view> names;
  for (const auto policy : heirloop::all_policies()) names.push_back(heirloop::to_string(policy));

  CLI::App app{
      "Runs workloads under scheduling policies, in virtual time, and compares what they do to latency, "
      "throughput, "
      "fairness and the worst wait. Without arguments: every built-in workload under every policy.",
      "policylab"};
  app.add_option("WORKLOAD", options.workloads,
                 "a built-in workload's name, or a file (see tools/src/policylab/README.md)");
  app.add_option("--policy", policies,
                 fmt::format("policies, of {}; all unless given", fmt::join(names, ",")))
      ->type_name("NAME,...");
  app.add_option("--seed", options.seed, "for arrivals, step lengths and all else that chance decides")
      ->check(tools::whole_within(0, UINT64_MAX))
      ->capture_default_str();
  app.add_option(
         "--seconds", options.seconds,
         "length of each run, instead of the workload's own; in real time that is 2 s at most unless given")
      ->check(tools::number_within(0.001, 3600, tools::LowEnd::included, " s"));
  app.add_flag("--real", options.real_time,
               "in real time: steps keep the processor busy, the loop runs on io_uring");
  app.add_flag("--no-inheritance", no_inheritance, "waiting for a lock lends nothing; to compare");
  app.add_option("--json", options.json_path, "write the figures to this file")->type_name("FILE");
  app.add_option("--csv", options.csv_path, "write a table of the figures to this file")->type_name("FILE");
  app.add_option("--html", options.html_path,
                 "write the pictures, with the figures, to this file: a page for a browser")
      ->type_name("FILE");
  app.add_option("--record", options.record_path,
                 "write every dispatch of every run to this file; in virtual time")
      ->type_name("FILE");
  app.add_option(
         "--replay", options.replay_path,
         "run again what was recorded in this file, and verify every dispatch; the file says all else")
      ->type_name("FILE");
  app.add_flag("--list", list, "name the built-in workloads");
  app.add_option("--show", show, "print a built-in workload, as a start for one's own")->type_name("NAME");

  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(std::move(arguments));
    check_paths(app, options);
    check_replay(app);
    if (list) return list_builtin();
    if (app.count("--show") != 0) return show_builtin(show);
    try {
      const auto all = heirloop::all_policies();
      options.policies.assign(all.begin(), all.end());
      if (app.count("--policy") != 0) options.policies = policies_named(policies);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(fmt::format("--policy: {}", error.what()));
    }
    options.inheritance = !no_inheritance;
  } catch (const CLI::CallForHelp&) {
    return Exit{0, app.help()};
  } catch (const std::exception& error) {
    return Exit{2, fmt::format("policylab: {} (--help shows the options)\n", error.what())};
  }
  return options;
}

}  // namespace policylab
