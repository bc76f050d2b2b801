// policylab: workloads under scheduling policies, compared.
#include <heirloop/runtime/run.hpp>

#include "common/output_file.hpp"
#include "policylab/options.hpp"
#include "policylab/page.hpp"
#include "policylab/report.hpp"
#include "policylab/session.hpp"
#include "policylab/tables.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string_view>
#include <variant>

namespace {

using namespace policylab;

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

void run(const Options& options, const Plan& plan) {
  Progress progress(plan.run_count());
  Listener listener;
  listener.begins = [&](std::string_view workload, std::string_view policy) {
    progress.next(workload, policy);
  };
  listener.ended = [&](const WorkloadStudy& study) {
    progress.clear();
    print(stdout, to_text(study) + "\n");
  };
  const Outcome outcome = carry_out(plan, listener);
  const Study& study = outcome.study;
  print(stdout, legend() + speed(study));
  if (!options.replay_path.empty()) {
    print(stdout, fmt::format("The replay is the recording: {} dispatches verified.\n", outcome.verified));
  }
  if (!options.json_path.empty())
    tools::write_file(options.json_path, to_json(study, Detail::figures).dump(2) + "\n");
  if (!options.csv_path.empty()) tools::write_file(options.csv_path, to_csv(study));
  if (!options.html_path.empty()) tools::write_file(options.html_path, to_html(study));
  if (!options.record_path.empty()) write_recording(options.record_path, outcome.recording);
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
  Plan plan;
  try {
    plan = prepare(options);
  } catch (const std::exception& error) {
    return fail(2, error.what());
  }
  try {
    run(options, plan);
    return 0;
  } catch (const heirloop::Interrupted& interrupted) {
    return 128 + interrupted.signal();
  } catch (const std::exception& error) {
    return fail(1, error.what());
  }
}
