// loadgen: an open-loop load generator for servers of the Redis protocol, on heirloop.
#include <heirloop/runtime/run.hpp>

#include "common/output_file.hpp"
#include "loadgen/options.hpp"
#include "loadgen/report.hpp"
#include "loadgen/run.hpp"

#include <nlohmann/json.hpp>
#include <sys/prctl.h>

#include <cstdio>
#include <exception>
#include <variant>

namespace {

int offer_load(const loadgen::Options& options) {
  if (!options.json_path.empty()) tools::check_writable(options.json_path);
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // nanoseconds: requests are due by the clock
  const loadgen::Tally tally = heirloop::run(loadgen::run_load(options));
  const loadgen::Result result = loadgen::summarize(tally);
  std::fputs(loadgen::to_table(result).c_str(), stdout);
  if (!options.json_path.empty())
    tools::write_file(options.json_path, loadgen::to_json(result).dump(2) + "\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = loadgen::parse_options({argv + 1, argv + argc});
  if (const auto* exit = std::get_if<loadgen::Exit>(&parsed)) {
    std::fputs(exit->text.c_str(), exit->status == 0 ? stdout : stderr);
    return exit->status;
  }
  try {
    return offer_load(std::get<loadgen::Options>(parsed));
  } catch (const heirloop::Interrupted& e) {
    return 128 + e.signal();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "loadgen: %s\n", e.what());
    return 1;
  }
}
