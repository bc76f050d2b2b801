// The program behind tools/demo: reads the options, finds out what the terminal can show, measures, and
// prints.
#include "common/output_file.hpp"
#include "demo/measure.hpp"
#include "demo/options.hpp"
#include "demo/picture.hpp"

#include <fmt/format.h>
#include <langinfo.h>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>

namespace {

constexpr int widest_useful = 120;

bool is_terminal(int fd) {
  const char* const kind = std::getenv("TERM");
  return ::isatty(fd) != 0 && kind != nullptr && std::string_view(kind) != "dumb";
}

int width_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) return size.ws_col;
  const char* const columns = std::getenv("COLUMNS");
  const int named = columns == nullptr ? 0 : std::atoi(columns);
  return named > 0 ? named : 100;
}

demo::Screen screen_on(int fd) {
  demo::Screen screen;
  screen.width = std::clamp(width_of(fd), 40, widest_useful);
  screen.utf8 = std::string_view(::nl_langinfo(CODESET)) == "UTF-8";
  screen.colours = is_terminal(fd) && std::getenv("NO_COLOR") == nullptr;
  return screen;
}

void print(std::FILE* file, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

int fail(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  print(stderr, fmt::format("demo: {}\n", text));
  return 1;
}

void measure_and_print(const demo::Options& options) {
  // What may be wrong is found before the load and not after it.
  const demo::Programs programs = demo::find_programs();
  if (!options.json_path.empty()) tools::check_writable(options.json_path);

  const demo::Screen screen = screen_on(STDOUT_FILENO);
  const demo::Plan plan = demo::plan_for(options.seconds);
  demo::Signals signals;
  demo::Progress progress(screen_on(STDERR_FILENO), is_terminal(STDERR_FILENO), plan.total_s);
  demo::Measurement measurement(programs, plan, signals, progress);
  const demo::Figures figures = measurement.run();
  progress.clear();
  std::string text = run_table(figures, screen) + "\n" + run_bars(figures, screen) + "\n" +
                     redis_table(figures, screen) + "\n" + verdict(figures, screen);
  for (const std::string& note : measurement.notes()) text += note + "\n";
  print(stdout, text);
  if (!options.json_path.empty()) tools::write_file(options.json_path, to_json(figures).dump(2) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::setlocale(LC_CTYPE, "");
  const auto outcome = demo::parse_options({argv + std::min(argc, 1), argv + argc});
  if (const auto* const exit = std::get_if<demo::Exit>(&outcome)) {
    print(exit->status == 0 ? stdout : stderr, exit->text);
    return exit->status;
  }
  try {
    measure_and_print(std::get<demo::Options>(outcome));
    return 0;
  } catch (const demo::Interrupted& interrupted) {
    fail(fmt::format("stopped by SIG{}; so is everything it started", ::sigabbrev_np(interrupted.signal)));
    return 128 + interrupted.signal;
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
