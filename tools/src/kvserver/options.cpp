#include "kvserver/options.hpp"

#include "common/option_checks.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <map>

namespace kv {

const char* to_string(Sync sync) noexcept {
  switch (sync) {
    case Sync::always:
      return "always";
    case Sync::everysec:
      return "everysec";
    case Sync::no:
      return "no";
  }
  return "?";
}

std::variant<Options, Exit> parse_options(std::vector<std::string> arguments) {
  Options options;
  CLI::App app("A Redis-protocol server on heirloop: requests at HIGH, housekeeping at LOW.", "kvserver");
  std::string append_only = "yes";
  std::string sync = "everysec";
  std::string policy = "aging";
  double age_unit_ms = 100;
  bool no_inheritance = false;

  app.add_option("--port", options.port, "TCP port; 0 takes a free one")
      ->check(tools::whole_within(0, 65535))
      ->capture_default_str();
  app.add_option("--bind", options.bind, "Address to listen on")->capture_default_str();
  app.add_option("--dir", options.dir, "Directory of the append-only file")->capture_default_str();
  app.add_option("--maxclients", options.max_clients, "Connections at a time")
      ->check(tools::whole_within(1, 1000000))
      ->capture_default_str();
  app.add_option("--appendonly", append_only, "Keep an append-only file")
      ->check(CLI::IsMember({"yes", "no"}))
      ->capture_default_str();
  app.add_option("--appendfsync", sync, "When it is forced to the disk")
      ->check(CLI::IsMember({"always", "everysec", "no"}))
      ->capture_default_str();
  app.add_option("--rewrite-min-bytes", options.rewrite_min_bytes, "Size from which it is rewritten")
      ->check(tools::whole_within(1, std::uint64_t{1} << 50))
      ->capture_default_str();
  app.add_option("--policy", policy, "Order of ready tasks")
      ->check(CLI::IsMember({"fifo", "strict", "aging"}))
      ->capture_default_str();
  app.add_option("--age-unit-ms", age_unit_ms, "Waiting that is worth one unit of priority, under aging")
      ->check(tools::number_within(0, 1e9, tools::LowEnd::excluded, " ms"))
      ->capture_default_str();
  app.add_flag("--no-inheritance", no_inheritance, "Waiting for a lock lends its holder nothing");
  app.add_option("--housekeeping", options.housekeeping, "Synthetic LOW tasks that are always ready")
      ->check(tools::whole_within(0, 1000000))
      ->capture_default_str();
  app.add_option("--step-us", options.step_us, "Microseconds that a synthetic step computes")
      ->check(tools::whole_within(0, 1000000))
      ->capture_default_str();
  app.add_option("--hold-lock", options.hold_lock_steps, "Steps through which one holds the keyspace lock")
      ->check(tools::whole_within(0, 1000000))
      ->capture_default_str();
  app.add_option("--flood", options.flood, "Synthetic NORMAL tasks that come in bursts")
      ->check(tools::whole_within(0, 1000000))
      ->capture_default_str();

  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    return Exit{0, app.help()};
  } catch (const CLI::ParseError& e) {
    return Exit{2, std::string("kvserver: ") + e.what() + " (kvserver --help lists the options)\n"};
  }
  options.append_only = append_only == "yes";
  options.sync = sync == "always" ? Sync::always : sync == "no" ? Sync::no : Sync::everysec;
  options.runtime.policy = heirloop::policy_from_name(policy);
  options.runtime.age_unit =
      std::chrono::nanoseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(age_unit_ms * 1e6)));
  options.runtime.inheritance = !no_inheritance;
  return options;
}

}  // namespace kv
