#include "measure.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace heirloop::bench {
namespace {

struct Sample {
  double ns;      // per operation
  double allocs;  // per operation
};

/// Keeps the run instead of printing it.
class Keeper final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    const Run& run = runs.front();
    const auto operations = static_cast<double>(run.iterations);
    sample = {run.cpu_accumulated_time * 1e9 / operations, run.counters.at("allocs").value / operations};
  }
  Sample sample{};
};

Sample run_once(const Body& body, std::int64_t operations) {
  benchmark::ClearRegisteredBenchmarks();
  benchmark::RegisterBenchmark("body", [&body](benchmark::State& state) {
    body(state);
  })->Iterations(operations);
  Keeper keeper;
  benchmark::RunSpecifiedBenchmarks(&keeper, ".");
  return keeper.sample;
}

struct Series {
  const Body* body;
  std::int64_t operations = 0;  // in each round
  std::vector<Sample> samples{};
};

/// As many operations as take about the time of a sample. Warms the body up.
std::int64_t calibrate(const Body& body, std::int64_t unit, std::chrono::duration<double> wanted) {
  const auto in_units = [unit](double operations) {
    return std::max<std::int64_t>(1, static_cast<std::int64_t>(operations / static_cast<double>(unit))) *
           unit;
  };
  const double wanted_ns = wanted.count() * 1e9;
  std::int64_t operations = unit;
  for (;;) {
    const double took_ns = run_once(body, operations).ns * static_cast<double>(operations);
    if (took_ns >= wanted_ns / 4) return in_units(static_cast<double>(operations) * wanted_ns / took_ns);
    operations = in_units(static_cast<double>(operations) * std::clamp(wanted_ns / 2 / took_ns, 2.0, 100.0));
  }
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

double median_of(const Series& series, double Sample::*what) {
  std::vector<double> values;
  for (const Sample& sample : series.samples) values.push_back(sample.*what);
  return median(std::move(values));
}

double median_ratio(const Series& a, const Series& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < a.samples.size(); ++i) ratios.push_back(a.samples[i].ns / b.samples[i].ns);
  return median(std::move(ratios));
}

/// All rounds, here and now.
Measured measure_here(const Row& row, const Plan& plan) {
  Measured result{.name = row.name};
  if (row.bytes_per_task) std::thread([&] { result.bytes_per_task = row.bytes_per_task(); }).join();

  std::vector<Series> all{{&row.ours}, {&row.floor}};
  for (const auto& [name, body] : row.peers) all.push_back({&body});
  const auto begin = std::chrono::steady_clock::now();
  for (Series& series : all) series.operations = calibrate(*series.body, row.unit, plan.sample);

  std::chrono::duration<double> longest_round{};
  for (std::chrono::duration<double> spent{}; result.rounds < plan.max_rounds; ++result.rounds) {
    if (result.rounds >= plan.min_rounds && spent + longest_round > plan.per_row) break;
    for (std::size_t i = 0; i < all.size(); ++i) {
      Series& series = all[(i + result.rounds) % all.size()];
      series.samples.push_back(run_once(*series.body, series.operations));
    }
    const std::chrono::duration<double> now = std::chrono::steady_clock::now() - begin;
    longest_round = std::max(longest_round, now - spent);
    spent = now;
  }

  result.ns = median_of(all[0], &Sample::ns);
  result.floor_ns = median_of(all[1], &Sample::ns);
  result.ratio = median_ratio(all[0], all[1]);
  result.allocs = median_of(all[0], &Sample::allocs);
  std::size_t next = 2;
  for (const auto& [name, body] : row.peers) result.peers[name] = median_of(all[next++], &Sample::ns);
  return result;
}

/// The figures of a row, in memory that it shares with the process that makes them.
class SharedFigures {
 public:
  explicit SharedFigures(std::size_t count) : bytes_(count * sizeof(double)) {
    void* const memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    first_ = static_cast<double*>(memory);
  }
  SharedFigures(const SharedFigures&) = delete;
  SharedFigures& operator=(const SharedFigures&) = delete;
  ~SharedFigures() { munmap(first_, bytes_); }

  double& operator[](std::size_t index) noexcept { return first_[index]; }

 private:
  std::size_t bytes_;
  double* first_;
};

constexpr std::size_t figures_without_peers = 6;

void put(const Measured& from, SharedFigures& to) {
  to[0] = from.ns;
  to[1] = from.floor_ns;
  to[2] = from.ratio;
  to[3] = from.allocs;
  to[4] = from.bytes_per_task.value_or(std::nan(""));
  to[5] = static_cast<double>(from.rounds);
  std::size_t next = figures_without_peers;
  for (const auto& [name, ns] : from.peers) to[next++] = ns;
}

Measured taken(const Row& row, SharedFigures& from) {
  Measured result{.name = row.name, .ns = from[0], .floor_ns = from[1], .ratio = from[2], .allocs = from[3]};
  if (!std::isnan(from[4])) result.bytes_per_task = from[4];
  result.rounds = static_cast<std::size_t>(from[5]);
  std::size_t next = figures_without_peers;
  for (const auto& [name, body] : row.peers) result.peers[name] = from[next++];
  return result;
}

}  // namespace

Measured measure(const Row& row, const Plan& plan) {
  SharedFigures figures(figures_without_peers + row.peers.size());
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    try {
      put(measure_here(row, plan), figures);
      _exit(EXIT_SUCCESS);
    } catch (const std::exception& error) {
      std::cerr << row.name << ": " << error.what() << std::endl;
      _exit(EXIT_FAILURE);
    }
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "waitpid");
  }
  if (status != 0) throw std::runtime_error(row.name + " was not measured to its end");
  return taken(row, figures);
}

}  // namespace heirloop::bench
