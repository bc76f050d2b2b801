#include "report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include <cmath>
#include <fstream>
#include <thread>

namespace heirloop::bench {
namespace {

constexpr auto head_format = "{:<24}{:>10}{:>10}{:>9}{:>10}{:>8}   {}\n";
constexpr auto row_format = "{:<24}{:>10.2f}{:>10.2f}{:>8.2f}x{:>+10.2f}{:>8.2f}   {}\n";

/// Three decimals are more than any figure here is good for; whole numbers stay whole.
nlohmann::ordered_json number(double value) {
  const double rounded = std::round(value * 1000) / 1000;
  if (rounded == std::floor(rounded)) return static_cast<std::int64_t>(rounded);
  return rounded;
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(": ") + 2);
  }
  return "unknown processor";
}

}  // namespace

void print_head(std::ostream& out) {
  out << fmt::format(head_format, "row", "ns", "floor ns", "ratio", "over", "allocs",
                     "peers (ns, how many times ours)")
      << std::flush;
}

void print_row(std::ostream& out, const Measured& row) {
  std::string notes;
  for (const auto& [name, ns] : row.peers)
    notes += fmt::format("{} {:.2f} ({:.2f}x)  ", name, ns, ns / row.ns);
  if (row.bytes_per_task) notes += fmt::format("{:.0f} bytes per task", *row.bytes_per_task);
  while (notes.ends_with(' ')) notes.pop_back();
  out << fmt::format(row_format, row.name, row.ns, row.floor_ns, row.ratio, row.ns - row.floor_ns, row.allocs,
                     notes)
      << std::flush;
}

std::string machine() {
  utsname kernel{};
  uname(&kernel);
  return fmt::format("{}, {} cores, {} {}, {} {}", processor(), std::thread::hardware_concurrency(),
                     kernel.sysname, kernel.release,
#ifdef __clang__
                     "clang", __clang_version__
#else
                     "g++", __VERSION__
#endif
  );
}

std::string as_json(const std::vector<Measured>& rows) {
  nlohmann::ordered_json json;
  json["machine"] = machine();
  auto& list = json["rows"] = nlohmann::ordered_json::array();
  for (const Measured& row : rows) {
    nlohmann::ordered_json line;
    line["name"] = row.name;
    line["ns"] = number(row.ns);
    line["floor_ns"] = number(row.floor_ns);
    line["ratio"] = number(row.ratio);
    line["allocs"] = number(row.allocs);
    line["peers"] = nlohmann::ordered_json::object();
    for (const auto& [name, ns] : row.peers) line["peers"][name] = number(ns);
    if (row.bytes_per_task) line["bytes_per_task"] = number(*row.bytes_per_task);
    list.push_back(std::move(line));
  }
  return json.dump(2) + "\n";
}

}  // namespace heirloop::bench
