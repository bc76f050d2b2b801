// The command line of the load generator and the mix of commands it asks for. Pure: parse_options() neither
// prints nor exits, it answers either the options or what to print and the exit status.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace loadgen {

enum class Command : std::uint8_t { ping, get, set, incr, del };

/// The name of a command as the option --mix and RESP spell it, in lower case.
[[nodiscard]] std::string_view name_of(Command command) noexcept;

/// How often each command is asked for: `get:80,set:20` is four GETs for each SET.
class Mix {
 public:
  /// Reads `NAME:WEIGHT,…`; a name alone has the weight 1.
  /// Errors: std::invalid_argument with a sentence that says what is wrong where.
  static Mix parse(std::string_view text);

  /// The command that a random number stands for; uniform numbers give the commands their shares.
  [[nodiscard]] Command pick(std::uint64_t random) const noexcept;

  /// The part of all requests that are `command`, 0 to 1.
  [[nodiscard]] double share(Command command) const noexcept;

 private:
  Mix() = default;

  static constexpr std::size_t kinds = 5;
  std::array<std::uint32_t, kinds> weights_{};
  std::uint32_t total_ = 0;
};

struct Options {
  std::string host = "127.0.0.1";
  std::uint16_t port = 6379;
  double rate_rps = 2000;  ///< requests due in a second, over all connections
  int connections = 50;
  double seconds = 10;        ///< of measured load
  double warmup_seconds = 1;  ///< of load before that, not in the figures
  double drain_seconds =
      5;  ///< longest wait for late answers after the load; what is unanswered then is an error
  Mix mix = Mix::parse("get:80,set:20");
  std::uint64_t seed = 1;
  std::uint32_t keys = 1000;  ///< different keys asked for
  std::uint32_t value_bytes = 64;
  std::string json_path;  ///< empty: no JSON
};

/// What to print and how to exit instead of running: help, version or an error.
struct Exit {
  int status = 0;    ///< 0: `text` belongs to the standard output, else to the standard error
  std::string text;  ///< complete, with its last line end
};

/// Reads the command line (`arguments` without the program's name).
[[nodiscard]] std::variant<Options, Exit> parse_options(std::vector<std::string> arguments);

}  // namespace loadgen
