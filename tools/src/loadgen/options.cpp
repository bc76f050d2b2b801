#include "loadgen/options.hpp"

#include "common/option_checks.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace loadgen {
namespace {

using tools::LowEnd;
using tools::number_within;
using tools::whole_within;

constexpr std::array<std::string_view, 5> command_names{"ping", "get", "set", "incr", "del"};
constexpr std::uint32_t max_weight = 1'000'000;

std::uint32_t parse_weight(std::string_view name, std::string_view text) {
  std::uint32_t weight = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), weight);
  if (error != std::errc{} || end != text.data() + text.size() || weight == 0 || weight > max_weight) {
    throw std::invalid_argument(fmt::format(
        "the weight of '{}' must be a whole number from 1 to {}, not '{}'", name, max_weight, text));
  }
  return weight;
}

}  // namespace

std::string_view name_of(Command command) noexcept {
  return command_names[static_cast<std::size_t>(command)];
}

Mix Mix::parse(std::string_view text) {
  Mix mix;
  if (text.empty()) throw std::invalid_argument("the mix is empty; write for example get:80,set:20");
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    const std::size_t colon = part.find(':');
    const std::string_view name = part.substr(0, colon);
    const auto* const found = std::find(command_names.begin(), command_names.end(), name);
    if (found == command_names.end()) {
      throw std::invalid_argument(
          fmt::format("'{}' is no command of a mix; there are {}", name, fmt::join(command_names, ", ")));
    }
    auto& weight = mix.weights_[static_cast<std::size_t>(found - command_names.begin())];
    if (weight != 0) throw std::invalid_argument(fmt::format("'{}' is in the mix twice", name));
    weight = colon == std::string_view::npos ? 1 : parse_weight(name, part.substr(colon + 1));
    mix.total_ += weight;
    if (comma == std::string_view::npos) return mix;
    text.remove_prefix(comma + 1);
  }
}

Command Mix::pick(std::uint64_t random) const noexcept {
  std::uint64_t left = random % total_;
  std::size_t kind = 0;
  while (left >= weights_[kind]) left -= weights_[kind++];
  return static_cast<Command>(kind);
}

double Mix::share(Command command) const noexcept {
  return static_cast<double>(weights_[static_cast<std::size_t>(command)]) / static_cast<double>(total_);
}

std::variant<Options, Exit> parse_options(std::vector<std::string> arguments) {
  Options options;
  std::string mix_text = "get:80,set:20";
  CLI::App app{
      "Open-loop load on a RESP server: every request is due by the clock, whether or not the last one was "
      "answered, and its latency counts from the moment it was due.",
      "loadgen"};
  app.add_option("--host", options.host, "IPv4 address of the server")->capture_default_str();
  app.add_option("--port", options.port, "TCP port of the server")
      ->check(whole_within(1, 65535))
      ->capture_default_str();
  app.add_option("--rate", options.rate_rps, "requests due in a second, over all connections")
      ->check(number_within(0, 10'000'000, LowEnd::excluded, " requests/s"))
      ->capture_default_str();
  app.add_option("--connections", options.connections, "connections that the requests take turns on")
      ->check(whole_within(1, 10'000))
      ->capture_default_str();
  app.add_option("--seconds", options.seconds, "time of measured load")
      ->check(number_within(0, 86'400, LowEnd::excluded, " s"))
      ->capture_default_str();
  app.add_option("--warmup", options.warmup_seconds, "time of load before that, not in the figures")
      ->check(number_within(0, 3'600, LowEnd::included, " s"))
      ->capture_default_str();
  app.add_option("--drain", options.drain_seconds,
                 "longest wait for late answers after the load; a request not answered by then is an error")
      ->check(number_within(0, 3'600, LowEnd::included, " s"))
      ->capture_default_str();
  app.add_option("--mix", mix_text, "commands and their weights, of ping, get, set, incr, del")
      ->capture_default_str();
  app.add_option("--keys", options.keys, "number of different keys")
      ->check(whole_within(1, 100'000'000))
      ->capture_default_str();
  app.add_option("--value-bytes", options.value_bytes, "length of the values set")
      ->check(whole_within(0, 1'048'576))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "for the order of commands and keys and the times between requests")
      ->check(whole_within(0, UINT64_MAX))
      ->capture_default_str();
  app.add_option("--json", options.json_path, "write the figures to this file")->type_name("FILE");

  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(std::move(arguments));
    if (app.count("--json") != 0 && options.json_path.empty()) {
      throw std::invalid_argument("--json: the path is empty");
    }
    try {
      options.mix = Mix::parse(mix_text);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument(fmt::format("--mix: {}", error.what()));
    }
  } catch (const CLI::CallForHelp&) {
    return Exit{0, app.help()};
  } catch (const std::exception& error) {
    return Exit{2, fmt::format("loadgen: {} (--help shows the options)\n", error.what())};
  }
  return options;
}

}  // namespace loadgen
