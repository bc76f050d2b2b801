// kvserver: a Redis-protocol server on heirloop, as the example of a real service.
#include "kvserver/options.hpp"
#include "kvserver/server.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <system_error>
#include <variant>

namespace {

int serve(const kv::Options& options) {
  // Standard output has the line `ready` alone.
  spdlog::set_default_logger(spdlog::stderr_color_mt("kvserver"));
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, as a full disk is
  kv::Server server(options);
  return heirloop::run(server.run(), options.runtime);
}

}  // namespace

int main(int argc, char** argv) {
  const auto parsed = kv::parse_options({argv + 1, argv + argc});
  if (const auto* exit = std::get_if<kv::Exit>(&parsed)) {
    std::fputs(exit->text.c_str(), exit->status == 0 ? stdout : stderr);
    return exit->status;
  }
  try {
    return serve(std::get<kv::Options>(parsed));
  } catch (const heirloop::Interrupted& e) {
    return 128 + e.signal();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kvserver: %s\n", e.what());
    return 1;
  }
}
