#include "demo/options.hpp"

#include "common/option_checks.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace demo {

std::variant<Options, Exit> parse_options(std::vector<std::string> arguments) {
  Options options;
  CLI::App app{
      "Shows what heirloop is for: kvserver under each scheduling policy, with and without priority "
      "inheritance, answering requests while housekeeping keeps it busy, and beside redis-server.",
      "demo"};
  app.add_option("--seconds", options.seconds, "load per variant, all rounds together")
      ->check(tools::number_within(0.1, max_seconds, tools::LowEnd::included, " s"))
      ->capture_default_str();
  app.add_option("--json", options.json_path, "write the figures to this file")->type_name("FILE");
  try {
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(std::move(arguments));
    if (app.count("--json") != 0 && options.json_path.empty()) {
      throw std::invalid_argument("--json: the path is empty");
    }
  } catch (const CLI::CallForHelp&) {
    return Exit{0, app.help()};
  } catch (const std::exception& error) {
    return Exit{2, fmt::format("demo: {} (--help shows the options)\n", error.what())};
  }
  return options;
}

}  // namespace demo
