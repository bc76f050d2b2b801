// kvserver: a Redis-protocol server on heirloop, as the example of a real service. Here: its command line.
#include "common/option_checks.hpp"
#include "kvserver/options.hpp"
#include "kvserver/server.hpp"

#include <CLI/CLI.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <csignal>

namespace {

/// Reads the command line. Errors: CLI::ParseError, also for --help.
void parse(CLI::App& app, int argc, char** argv, kv::Options& options) {
  app.option_defaults()->always_capture_default();
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return fmt::format("kvserver: {} (kvserver --help lists the options)\n", error.what());
  });
  const auto add = [&](const char* name, auto& value, const char* what, const CLI::Validator& check) {
    app.add_option(name, value, what)->check(check);
  };
  std::string append_only = "yes", sync = "everysec", policy = "aging";
  double age_unit_ms = 100;
  const auto count = tools::whole_within(0, 1000000);
  app.add_option("--bind", options.bind, "Address to listen on");
  app.add_option("--dir", options.dir, "Directory of the append-only file");
  add("--port", options.port, "TCP port; 0 takes a free one", tools::whole_within(0, 65535));
  add("--maxclients", options.max_clients, "Connections at a time", tools::whole_within(1, 1000000));
  add("--appendonly", append_only, "Keep an append-only file", CLI::IsMember({"yes", "no"}));
  add("--appendfsync", sync,
      "When it is forced to the disk; everysec and no don't wait for the file, so a kill may lose 50 ms",
      CLI::IsMember(kv::sync_names));
  add("--rewrite-min-bytes", options.rewrite_min_bytes, "Size from which it is rewritten",
      tools::whole_within(1, std::uint64_t{1} << 50));
  add("--policy", policy, "Order of ready tasks", CLI::IsMember({"fifo", "strict", "aging"}));
  add("--age-unit-ms", age_unit_ms, "Waiting that is worth one unit of priority, under aging",
      tools::number_within(0, 1e9, tools::LowEnd::excluded, " ms"));
  app.add_flag("!--no-inheritance", options.runtime.inheritance,
               "Waiting for a lock lends its holder nothing");
  add("--housekeeping", options.housekeeping, "Synthetic LOW tasks that are always ready", count);
  add("--step-us", options.step_us, "Microseconds that a synthetic step computes", count);
  add("--hold-lock", options.hold_lock_steps, "Steps through which one holds the keyspace lock", count);
  add("--flood", options.flood, "Synthetic NORMAL tasks that come in bursts", count);
  app.parse(argc, argv);
  options.append_only = append_only == "yes";
  options.sync = static_cast<kv::Sync>(std::ranges::find(kv::sync_names, sync) - kv::sync_names.begin());
  options.runtime.policy = heirloop::policy_from_name(policy);
  options.runtime.age_unit =
      std::chrono::nanoseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(age_unit_ms * 1e6)));
  // Beside the command line, what redis-benchmark and clients look for.
  options.config = {{"save", ""}, {"maxmemory", "0"}, {"databases", "1"}};
  options.config.emplace_back("inheritance", options.runtime.inheritance ? "yes" : "no");
  const auto has_value = [](const CLI::Option* option) { return option->get_type_size() > 0; };
  for (const CLI::Option* option : app.get_options(has_value)) {
    options.config.emplace_back(option->get_single_name(), option->as<std::string>());
  }
}

}  // namespace

int main(int argc, char** argv) {
  kv::Options options;
  CLI::App app("A Redis-protocol server on heirloop: requests at HIGH, housekeeping at LOW.", "kvserver");
  try {
    parse(app, argc, argv, options);
    // Standard output has the line `ready` alone.
    spdlog::set_default_logger(spdlog::stderr_color_mt("kvserver"));
    std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, as a full disk is
    kv::Server server(options);
    return heirloop::run(server.run(), options.runtime);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const heirloop::Interrupted& e) {
    return 128 + e.signal();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kvserver: %s\n", e.what());
    return 1;
  }
}
