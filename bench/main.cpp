// heirloop_bench: measures every row beside its floor and prints the ratios.
#include "report.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <regex>

namespace heirloop::bench {
namespace {

constexpr int wrong_use = 2;

struct Options {
  std::string json;
  std::string filter;
  bool quick = false;
};

Rows all_rows() {
  Rows rows;
  add_yield_rows(rows);
  add_spawn_rows(rows);
  add_structured_rows(rows);
  add_await_rows(rows);
  add_lock_rows(rows);
  add_interrupt_rows(rows);
  add_timer_rows(rows);
  add_burst_rows(rows);
  add_scheduling_rows(rows);
  add_sync_rows(rows);
  add_inheritance_rows(rows);
  add_thread_rows(rows);
  add_depth_rows(rows);
  add_sleepers_rows(rows);
  return rows;
}

Rows rows_that_match(const std::string& filter) {
  Rows rows = all_rows();
  std::erase_if(
      rows, [pattern = std::regex(filter)](const Row& row) { return !std::regex_search(row.name, pattern); });
  return rows;
}

/// However many rows there are: quick in less than 50 s, else in less than 15 minutes. Each row has its share of the time
/// that those before it have left; some take longer in any case, for what they measure takes long to set up.
class Schedule {
 public:
  Schedule(std::size_t rows, bool quick) : quick_(quick), left_(rows), end_(Clock::now() + Seconds(quick ? 25 : 600)) {}

  Plan next() {
    const Seconds share = std::max(Seconds(0), Seconds(end_ - Clock::now()) / static_cast<double>(left_--));
    if (quick_) return {.sample = Seconds(0.005), .per_row = std::min(Seconds(1.5), share), .min_rounds = 1};
    return {.sample = Seconds(0.05), .per_row = std::min(Seconds(10), share), .min_rounds = 3};
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;

  bool quick_;
  std::size_t left_;
  std::chrono::time_point<Clock, Seconds> end_;
};

int fail(const std::string& why) {
  std::cerr << "heirloop_bench: " << why << '\n';
  return wrong_use;
}

int run(const Options& options) {
  Rows rows;
  try {
    rows = rows_that_match(options.filter);
  } catch (const std::regex_error& error) {
    return fail(fmt::format("--filter '{}' is not a regular expression: {}", options.filter, error.what()));
  }
  if (rows.empty()) return fail(fmt::format("--filter '{}' matches no row", options.filter));
  if (!options.json.empty() && !std::ofstream(options.json, std::ios::app)) {
    return fail(fmt::format("--json {}: {}", options.json, std::strerror(errno)));
  }

  Schedule schedule(rows.size(), options.quick);
  std::cout << machine() << '\n';
  print_head(std::cout);
  std::vector<Measured> measured;
  for (const Row& row : rows) {
    measured.push_back(measure(row, schedule.next()));
    print_row(std::cout, measured.back());
  }
  if (!options.json.empty()) {
    std::ofstream file(options.json, std::ios::trunc);
    file << as_json(measured) << std::flush;
    if (!file) return fail(fmt::format("--json {}: {}", options.json, std::strerror(errno)));
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace heirloop::bench

int main(int argc, char** argv) {
  CLI::App app("Measures heirloop: each row beside its floor, and beside Asio where that has the same thing",
               "bench");
  heirloop::bench::Options options;
  app.add_option("--json", options.json, "Write the rows to this file")->type_name("FILE");
  app.add_option("--filter", options.filter, "Only rows whose name matches")->type_name("REGEX");
  app.add_flag("--quick", options.quick, "Less than 50 seconds, and less exact")->disable_flag_override();
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::string why = error.what();
    std::replace(why.begin(), why.end(), '\n', ' ');
    return heirloop::bench::fail(why + " (--help lists the options)");
  }
  try {
    return heirloop::bench::run(options);
  } catch (const std::exception& error) {
    std::cerr << "heirloop_bench: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
