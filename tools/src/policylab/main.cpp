// policylab: workloads under scheduling policies, compared.
#include <heirloop/runtime/run.hpp>

#include "common/output_file.hpp"
#include "policylab/builtin.hpp"
#include "policylab/options.hpp"
#include "policylab/page.hpp"
#include "policylab/parser.hpp"
#include "policylab/report.hpp"
#include "policylab/run.hpp"
#include "policylab/study.hpp"
#include "policylab/tables.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace {

using namespace policylab;

constexpr std::int64_t longest_real_ns = 2'000'000'000;

void print(std::FILE* file, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

/// What is being done, on a line of the terminal that the next one replaces; nothing where there is no
/// terminal.
class Progress {
 public:
  explicit Progress(std::size_t total) : total_(total), shown_(::isatty(STDERR_FILENO) != 0) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { clear(); }

  void next(std::string_view workload, std::string_view policy) {
    ++done_;
    if (shown_)
      print(stderr, fmt::format("\r\033[Krun {} of {}: {} under {}", done_, total_, workload, policy));
  }
  void clear() const {
    if (shown_) print(stderr, "\r\033[K");
  }

 private:
  std::size_t total_;
  std::size_t done_ = 0;
  bool shown_;
};

Workload named(const std::string& name) {
  for (const Builtin& each : builtin_workloads()) {
    if (each.name == name) return parse_workload(each.text, fmt::format("built-in {}", name));
  }
  return load_workload(name);
}

/// What may be wrong is found before the first run and not after the last. Errors: anything, about the
/// arguments.
std::vector<Workload> prepare(const Options& options) {
  std::vector<std::string> names = options.workloads;
  if (names.empty()) {
    for (const Builtin& each : builtin_workloads()) names.emplace_back(each.name);
  }
  std::vector<Workload> workloads;
  for (const std::string& name : names) {
    Workload workload = named(name);
    if (options.seconds) {
      workload.length_ns = static_cast<std::int64_t>(std::round(*options.seconds * 1e9));
    } else if (options.real_time) {
      workload.length_ns = std::min(workload.length_ns, longest_real_ns);
    }
    workloads.push_back(std::move(workload));
  }
  for (const std::string* path : {&options.json_path, &options.csv_path, &options.html_path}) {
    if (!path->empty()) tools::check_writable(*path);
  }
  return workloads;
}

void run(const Options& options, std::vector<Workload> workloads) {
  Study study;
  study.seed = options.seed;
  study.inheritance = options.inheritance;
  study.real_time = options.real_time;
  Progress progress(workloads.size() * options.policies.size());
  for (Workload& workload : workloads) {
    WorkloadStudy& each = study.workloads.emplace_back();
    each.workload = std::move(workload);
    for (const auto policy : options.policies) {
      progress.next(each.workload.name, heirloop::to_string(policy));
      RunOptions run_options;
      run_options.policy = policy;
      run_options.seed = options.seed;
      run_options.inheritance = options.inheritance;
      run_options.clock = options.real_time ? Clock::real_time : Clock::virtual_time;
      each.runs.push_back(run_workload(each.workload, run_options));
    }
    progress.clear();
    print(stdout, to_text(each) + "\n");
  }
  print(stdout, legend() + speed(study));
  if (!options.json_path.empty())
    tools::write_file(options.json_path, to_json(study, Detail::figures).dump(2) + "\n");
  if (!options.csv_path.empty()) tools::write_file(options.csv_path, to_csv(study));
  if (!options.html_path.empty()) tools::write_file(options.html_path, to_html(study));
}

int fail(int status, std::string_view text) {
  print(stderr, fmt::format("policylab: {}\n", text));
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = parse_options({argv + std::min(argc, 1), argv + argc});
  if (const auto* exit = std::get_if<Exit>(&parsed)) {
    print(exit->status == 0 ? stdout : stderr, exit->text);
    return exit->status;
  }
  const auto& options = std::get<Options>(parsed);
  std::vector<Workload> workloads;
  try {
    workloads = prepare(options);
  } catch (const std::exception& error) {
    return fail(2, error.what());
  }
  try {
    run(options, std::move(workloads));
    return 0;
  } catch (const heirloop::Interrupted& interrupted) {
    return 128 + interrupted.signal();
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}
