// Runs the programs in turn and takes the figures: every variant of kvserver under loadgen, then kvserver and
// redis-server under redis-benchmark, round after round.
#pragma once

#include "demo/figures.hpp"
#include "demo/plan.hpp"
#include "demo/process.hpp"
#include "demo/progress.hpp"

#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace demo {

/// Something that keeps the demo from its figures: one sentence for the user.
class DemoError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The programs that the demo starts.
struct Programs {
  std::filesystem::path kvserver;
  std::filesystem::path loadgen;
  std::filesystem::path redis_server;
  std::filesystem::path redis_benchmark;
};

/// Finds kvserver and loadgen beside the running executable and the others in PATH.
/// Errors: DemoError that names the first one missing and how to come by it.
[[nodiscard]] Programs find_programs();

/// One measurement from start to end.
class Measurement {
 public:
  Measurement(Programs programs, const Plan& plan, Signals& signals, Progress& progress);

  /// Runs all rounds. Servers it starts are stopped when it returns or throws.
  /// Errors: DemoError, FigureError, std::system_error; Interrupted.
  [[nodiscard]] Figures run();

  /// What went wrong without spoiling a figure: a sentence each.
  [[nodiscard]] const std::vector<std::string>& notes() const noexcept { return notes_; }

 private:
  struct Server;
  /// What one program said, where a Launch sent it.
  struct Output {
    std::string out;
    std::string err;
  };

  std::unique_ptr<Server> start_kvserver(std::string name, const Arguments& arguments,
                                         std::filesystem::path dir);
  std::unique_ptr<Server> start_redis_server(const RedisMode& mode);
  void await_ready(Server& server);
  void stop(Server& server);
  Sample measure_variant(const Variant& variant, int round);
  RedisFigures measure_redis(Server& server, const RedisMode& mode, std::uint64_t requests);
  void redis_round(int round);
  Output run_client(std::string_view name, const std::filesystem::path& program, const Arguments& arguments,
                    Clock::duration limit, const std::function<void()>& at_every_turn);

  Programs programs_;
  Plan plan_;
  Signals& signals_;
  Progress& progress_;
  ScratchDir scratch_;
  std::optional<std::pair<int, int>> cpus_ = two_processors();
  std::array<std::vector<Sample>, variants.size()> samples_;
  // Per mode: kvserver, then redis-server.
  std::array<std::array<std::vector<RedisFigures>, 2>, redis_modes.size()> redis_samples_;
  std::array<std::array<std::uint64_t, 2>, redis_modes.size()> redis_requests_{};
  std::vector<std::string> notes_;
};

}  // namespace demo
