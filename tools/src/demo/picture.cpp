#include "demo/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace demo {
namespace {

constexpr std::string_view green = "\x1b[32m";
constexpr std::string_view red = "\x1b[31m";
constexpr std::string_view bold = "\x1b[1m";
constexpr std::string_view plain = "\x1b[0m";

std::string coloured(std::string_view text, std::string_view colour, const Screen& screen) {
  return screen.colours ? fmt::format("{}{}{}", colour, text, plain) : std::string(text);
}

// Columns on the screen: every byte that does not continue a character.
int columns_of(std::string_view text) {
  return static_cast<int>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

std::string padding(int columns) { return std::string(static_cast<std::size_t>(std::max(columns, 0)), ' '); }

struct Column {
  std::string heading;
  int importance;  // the least important column goes first when the screen is too narrow
  std::vector<std::string> cells;

  [[nodiscard]] int width() const {
    int widest = columns_of(heading);
    for (const std::string& cell : cells) widest = std::max(widest, columns_of(cell));
    return widest;
  }
};

int width_of(const std::vector<Column>& columns) {
  int width = static_cast<int>(columns.size()) - 1;
  for (const Column& column : columns) width += column.width();
  return width;
}

// The first column is set to the left, all others to the right, one space between.
std::string set_table(std::vector<Column> columns, const Screen& screen) {
  while (columns.size() > 2 && width_of(columns) > screen.width) {
    columns.erase(std::min_element(
        columns.begin() + 1, columns.end(),
        [](const Column& left, const Column& right) { return left.importance < right.importance; }));
  }
  const auto line = [&](auto&& cell_of) {
    std::string text;
    for (std::size_t index = 0; index < columns.size(); ++index) {
      const std::string& cell = cell_of(columns[index]);
      const std::string space = padding(columns[index].width() - columns_of(cell));
      text += index == 0 ? cell + space : " " + space + cell;
    }
    return text;
  };
  std::string table =
      coloured(line([](const Column& column) -> const std::string& { return column.heading; }), bold,
               screen) +
      "\n";
  for (std::size_t row = 0; row < columns.front().cells.size(); ++row) {
    table += line([&](const Column& column) -> const std::string& { return column.cells[row]; }) + "\n";
  }
  return table;
}

std::string_view micro_on(const Screen& screen) { return screen.utf8 ? "µs" : "us"; }

// Breaks `text` between words so that no line is wider than the screen.
std::string wrapped(std::string_view text, const Screen& screen) {
  std::string result;
  int used = 0;
  while (!text.empty()) {
    const std::size_t end = text.find(' ');
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const int width = columns_of(word);
    if (used != 0 && used + 1 + width > screen.width) {
      result += '\n';
      used = 0;
    } else if (used != 0) {
      result += ' ';
      ++used;
    }
    result += word;
    used += width;
  }
  return result + "\n";
}

std::string times(double ratio) {
  if (!std::isfinite(ratio)) return "endlessly";
  return ratio >= 10 ? fmt::format("{:.0f} times", ratio) : fmt::format("{:.1f} times", ratio);
}

std::string latency_sentence(const Figures& figures, const Screen& screen) {
  const RunFigures& fifo = figures.run("fifo");
  const auto part = [&](std::string_view name) {
    const RunFigures& run = figures.run(name);
    const double factor = run.p99_us > 0 ? fifo.p99_us / run.p99_us : INFINITY;
    return factor >= 1
               ? fmt::format("{} under {} ({} quicker)", short_time(run.p99_us, screen), name, times(factor))
               : fmt::format("{} under {} ({} slower)", short_time(run.p99_us, screen), name,
                             times(1 / factor));
  };
  const double kept = fifo.housekeeping_steps_per_s > 0
                          ? std::min(figures.run("strict").housekeeping_steps_per_s,
                                     figures.run("aging").housekeeping_steps_per_s) /
                                fifo.housekeeping_steps_per_s
                          : 0;
  return fmt::format(
      "Beside {} busy housekeeping tasks 99 of 100 requests are answered within {} under fifo, {} and {}, "
      "while housekeeping keeps {:.0f}% of its pace; for a held lock a request waits up to {} dispatches "
      "with inheritance, {} without.",
      housekeeping_tasks, short_time(fifo.p99_us, screen), part("strict"), part("aging"), 100 * kept,
      grouped(figures.run("lock_inheritance_on").lock_wait_steps_max),
      grouped(figures.run("lock_inheritance_off").lock_wait_steps_max));
}

std::string redis_sentence(const Figures& figures) {
  const auto percent = [](double ours, double theirs) { return theirs > 0 ? 100 * ours / theirs : 0; };
  std::string text = "kvserver takes";
  for (const RedisRow& row : figures.redis) {
    const bool is_first = &row == &figures.redis.front();
    text += fmt::format("{} {:.0f}%{} at {:.0f}%{} ({})", is_first ? "" : ",",
                        percent(row.kvserver.cpu_ns, row.redis_server.cpu_ns),
                        is_first ? " of redis-server's CPU time a request" : "",
                        percent(row.kvserver.rps, row.redis_server.rps), is_first ? " of its requests/s" : "",
                        row.mode.title);
  }
  return text + ".";
}

}  // namespace

std::string short_time(double time_us, const Screen& screen) {
  const auto with_three_digits = [](double value, std::string_view unit) {
    if (value < 9.995) return fmt::format("{:.2f}{}", value, unit);
    if (value < 99.95) return fmt::format("{:.1f}{}", value, unit);
    return fmt::format("{:.0f}{}", value, unit);
  };
  if (time_us <= 0) return "0";
  const std::string_view micro = micro_on(screen);
  if (time_us < 9.95) return fmt::format("{:.1f}{}", time_us, micro);
  if (time_us < 999.5) return fmt::format("{:.0f}{}", time_us, micro);
  if (time_us < 999'500) return with_three_digits(time_us / 1e3, "ms");
  return with_three_digits(time_us / 1e6, "s");
}

std::string grouped(double value) {
  std::string digits = fmt::format("{:.0f}", std::abs(value));
  for (std::size_t place = digits.size(); place > 3; place -= 3) digits.insert(place - 3, 1, ',');
  return (value <= -0.5 ? "-" : "") + digits;
}

std::string bar(double part, int width, const Screen& screen) {
  constexpr std::array<std::string_view, 8> eighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (width <= 0 || !(part > 0)) return "";
  const long filled = std::lround(std::min(part, 1.0) * width * 8);
  std::string text;
  if (!screen.utf8) return std::string(static_cast<std::size_t>((filled + 4) / 8), '#');
  for (long column = 0; column < filled / 8; ++column) text += "█";
  return text + std::string(eighths[static_cast<std::size_t>(filled % 8)]);
}

std::string run_table(const Figures& figures, const Screen& screen) {
  std::vector<Column> columns{{"run", 9, {}},     {"p50", 5, {}},      {"p99", 8, {}},
                              {"p99.9", 2, {}},   {"max", 1, {}},      {"req/s", 3, {}},
                              {"steps/s", 6, {}}, {"lock p99", 4, {}}, {"wait", 7, {}}};
  for (const RunFigures& run : figures.runs) {
    const std::array<std::string, 9> row{
        std::string(run.variant.name),         short_time(run.p50_us, screen),
        short_time(run.p99_us, screen),        short_time(run.p999_us, screen),
        short_time(run.max_us, screen),        grouped(run.reached_rps),
        grouped(run.housekeeping_steps_per_s), short_time(run.lock_p99_us, screen),
        grouped(run.lock_wait_steps_max)};
    for (std::size_t index = 0; index < columns.size(); ++index) columns[index].cells.push_back(row[index]);
  }
  const std::string legend = fmt::format(
      "Requests: {} offered a second, latency from when each was due, req/s answered. steps/s: steps of "
      "{}{} that housekeeping made. lock p99, wait: time and most dispatches from asking for the keyspace "
      "lock to having it. Median of {} round{}.",
      grouped(offered_rps), step_us, micro_on(screen), figures.runs.empty() ? 0 : figures.runs.front().rounds,
      !figures.runs.empty() && figures.runs.front().rounds == 1 ? "" : "s");
  return set_table(std::move(columns), screen) + wrapped(legend, screen);
}

std::string run_bars(const Figures& figures, const Screen& screen) {
  if (figures.runs.empty()) return "";
  int name_width = 0;
  double longest = 0;
  double shortest = INFINITY;
  for (const RunFigures& run : figures.runs) {
    name_width = std::max(name_width, columns_of(run.variant.name));
    longest = std::max(longest, run.p99_us);
    if (run.p99_us > 0) shortest = std::min(shortest, run.p99_us);
  }
  if (!(longest > 0)) return "";
  // The scale begins at the power of ten below the shortest, so that one more power is one more length.
  const double start = std::pow(10, std::ceil(std::log10(shortest)) - 1);
  constexpr int time_width = 7;
  const int bar_width = std::max(screen.width - name_width - 1 - time_width, 1);
  const double idle_us = figures.run("idle").p99_us;
  std::string text =
      coloured(fmt::format("p99 of requests, log scale from {}", short_time(start, screen)), bold, screen);
  text += '\n';
  for (const RunFigures& run : figures.runs) {
    const double part = run.p99_us > 0 ? std::log(run.p99_us / start) / std::log(longest / start) : 0;
    const std::string picture = bar(part, bar_width, screen);
    const std::string_view colour = run.p99_us > 10 * idle_us ? red : green;
    text += fmt::format("{}{} {} {}\n", run.variant.name, padding(name_width - columns_of(run.variant.name)),
                        coloured(picture, colour, screen), short_time(run.p99_us, screen));
  }
  return text;
}

std::string redis_table(const Figures& figures, const Screen& screen) {
  std::vector<Column> columns{
      {"redis-benchmark", 9, {}}, {"kvserver", 5, {}},  {"redis-server", 4, {}}, {"ratio", 7, {}},
      {"kvserver CPU", 6, {}},    {"redis CPU", 3, {}}, {"ratio", 8, {}}};
  const auto percent = [](double ours, double theirs) {
    return theirs > 0 ? fmt::format("{:.0f}%", 100 * ours / theirs) : std::string("-");
  };
  for (const RedisRow& row : figures.redis) {
    const std::array<std::string, 7> cells{std::string(row.mode.title),
                                           grouped(row.kvserver.rps) + "/s",
                                           grouped(row.redis_server.rps) + "/s",
                                           percent(row.kvserver.rps, row.redis_server.rps),
                                           grouped(row.kvserver.cpu_ns) + "ns",
                                           grouped(row.redis_server.cpu_ns) + "ns",
                                           percent(row.kvserver.cpu_ns, row.redis_server.cpu_ns)};
    for (std::size_t index = 0; index < columns.size(); ++index) columns[index].cells.push_back(cells[index]);
  }
  return set_table(std::move(columns), screen) +
         wrapped(fmt::format("PING, SET and GET together, {} clients: requests answered a second, where the "
                             "client is the limit, and CPU time of the server per request.",
                             redis_connections),
                 screen);
}

std::string verdict(const Figures& figures, const Screen& screen) {
  std::string text = wrapped(latency_sentence(figures, screen), screen);
  text += wrapped(redis_sentence(figures), screen);
  const std::vector<Expectation> list = expectations(figures);
  const auto met = std::count_if(list.begin(), list.end(), [](const Expectation& one) { return one.met; });
  if (static_cast<std::size_t>(met) == list.size()) {
    text += coloured(fmt::format("All {} expectations are met.", list.size()), green, screen) + "\n";
  } else {
    text += coloured(fmt::format("{} of {} expectations are met. Not met:", met, list.size()), red, screen) +
            "\n";
    for (const Expectation& one : list) {
      if (!one.met) text += wrapped("- " + one.text, screen);
    }
  }
  for (const RunFigures& run : figures.runs) {
    if (run.rounds_off_pace != 0) {
      text +=
          wrapped(fmt::format("{}: loadgen could not keep its pace in {} of {} rounds; its delay is part of "
                              "the latencies there.",
                              run.variant.name, run.rounds_off_pace, run.rounds),
                  screen);
    }
    if (run.errors > 0) {
      text += wrapped(fmt::format("{}: {} of {} requests got an error or no answer.", run.variant.name,
                                  grouped(run.errors), grouped(run.requests)),
                      screen);
    }
  }
  return text;
}

}  // namespace demo
