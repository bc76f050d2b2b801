#include "layout/layout_rules.hpp"

#include <algorithm>
#include <array>
#include <regex>
#include <sstream>
#include <utility>

namespace heirloop::layout {
namespace {

constexpr std::array<std::string_view, 4> ranked_folders = {"sched", "sync", "io", "runtime"};

constexpr std::array<std::string_view, 12> top_level = {"CMakeLists.txt",
                                                        "CMakePresets.json",
                                                        "LICENSE",
                                                        "README.md",
                                                        "bench",
                                                        "build",
                                                        "io",
                                                        "runtime",
                                                        "sched",
                                                        "sync",
                                                        "tests",
                                                        "tools"};

std::optional<int> rank_of_folder(std::string_view folder) {
  const auto* const found = std::find(ranked_folders.begin(), ranked_folders.end(), folder);
  if (found == ranked_folders.end()) return std::nullopt;
  return static_cast<int>(found - ranked_folders.begin());
}

// Calls `visit(number, line)` for each line; numbers begin at 1.
template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  std::size_t number = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    visit(++number, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string at(std::string_view path, std::size_t line) {
  std::ostringstream out;
  out << path << ':' << line << ": ";
  return std::move(out).str();
}

// One complaint for each line in which `pattern` occurs.
Complaints find_in_lines(const std::vector<File>& files, const std::regex& pattern, std::string_view what) {
  Complaints complaints;
  for (const auto& file : files) {
    for_each_line(file.text, [&](std::size_t number, std::string_view line) {
      std::match_results<std::string_view::const_iterator> match;
      if (std::regex_search(line.begin(), line.end(), match, pattern)) {
        complaints.push_back(at(file.path, number) + match.str() + ' ' + std::string(what));
      }
    });
  }
  return complaints;
}

}  // namespace

std::vector<Include> includes_of(std::string_view text) {
  std::vector<Include> result;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    const auto skip_blanks = [&] {
      line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    };
    skip_blanks();
    if (!line.starts_with('#')) return;
    line.remove_prefix(1);
    skip_blanks();
    if (!line.starts_with("include")) return;
    line.remove_prefix(std::string_view("include").size());
    skip_blanks();
    if (!line.starts_with('<') && !line.starts_with('"')) return;
    const auto end = line.find_first_of(">\"", 1);
    if (end != std::string_view::npos) result.push_back({number, std::string(line.substr(1, end - 1))});
  });
  return result;
}

std::optional<int> rank_of_file(std::string_view path) {
  return rank_of_folder(path.substr(0, std::min(path.find('/'), path.size())));
}

std::optional<int> rank_of_include(std::string_view name) {
  for (;;) {
    if (name.starts_with("../")) {
      name.remove_prefix(3);
    } else if (name.starts_with("./")) {
      name.remove_prefix(2);
    } else {
      break;
    }
  }
  constexpr std::string_view project = "heirloop/";
  if (name.starts_with(project)) {
    name.remove_prefix(project.size());
    if (name == "heirloop.hpp" || name.starts_with("testing/")) return rank_of_folder("runtime");
  }
  if (name.find('/') == std::string_view::npos) return std::nullopt;
  return rank_of_file(name);
}

Complaints check_ranks(const std::vector<File>& files) {
  Complaints complaints;
  for (const auto& file : files) {
    const auto own = rank_of_file(file.path);
    if (!own) continue;
    for (const auto& include : includes_of(file.text)) {
      const auto other = rank_of_include(include.name);
      if (other && *other > *own) {
        complaints.push_back(at(file.path, include.line) + "includes " + include.name +
                             ", which is of higher rank");
      }
    }
  }
  return complaints;
}

Complaints check_liburing(const std::vector<File>& files) {
  std::vector<std::string> users;
  for (const auto& file : files) {
    for (const auto& include : includes_of(file.text)) {
      if (include.name == "liburing.h" || include.name.starts_with("liburing/")) {
        users.push_back(at(file.path, include.line) + "includes " + include.name + "; one file alone may");
        break;
      }
    }
  }
  return users.size() > 1 ? users : Complaints{};
}

Complaints check_top_level(const std::vector<std::string>& names) {
  Complaints complaints;
  for (const auto& name : names) {
    if (name.starts_with('.')) continue;
    if (std::find(top_level.begin(), top_level.end(), name) == top_level.end()) {
      complaints.push_back(name + ": has no place at the top of the tree");
    }
  }
  return complaints;
}

Complaints check_left_open(const std::vector<File>& files) {
  // Put together here, so that this file does not complain about itself.
  static const std::regex pattern(std::string("\\b(TO") + "DO|FIX" + "ME|XX" + "X|HA" + "CK)\\b|\\bDIS" +
                                  "ABLED_\\w");
  return find_in_lines(files, pattern, "is left open");
}

Complaints check_sleeps(const std::vector<File>& tests) {
  static const std::regex pattern(std::string("\\b(sleep_") + "for|this_thread::sleep_" + "until|u" +
                                  "sleep|nano" + "sleep)\\b");
  return find_in_lines(tests, pattern, "sleeps on the wall clock");
}

Complaints check_readmes(const std::vector<File>& files) {
  Complaints complaints;
  for (const auto folder : ranked_folders) {
    const auto path = std::string(folder) + "/README.md";
    const auto found =
        std::find_if(files.begin(), files.end(), [&](const File& file) { return file.path == path; });
    if (found == files.end()) {
      complaints.push_back(path + ": is missing");
    } else if (found->text.find_first_not_of(" \n") == std::string::npos) {
      complaints.push_back(path + ": is empty");
    }
  }
  return complaints;
}

Complaints check_lengths(const std::vector<File>& sources, std::size_t limit,
                         const std::map<std::string, std::size_t>& longer) {
  Complaints complaints;
  auto unused = longer;
  for (const auto& file : sources) {
    const auto lines = static_cast<std::size_t>(std::count(file.text.begin(), file.text.end(), '\n'));
    const auto listed = longer.find(file.path);
    unused.erase(file.path);
    std::ostringstream out;
    out << file.path << ": has " << lines << " lines, ";
    if (listed == longer.end()) {
      if (lines <= limit) continue;
      out << "more than " << limit;
    } else if (lines > listed->second) {
      out << "more than the " << listed->second << " it is listed with";
    } else if (lines <= limit) {
      out << "so it can leave the list of long files";
    } else {
      continue;
    }
    complaints.push_back(std::move(out).str());
  }
  for (const auto& [path, lines] : unused)
    complaints.push_back(path + ": is in the list of long files and not there");
  return complaints;
}

}  // namespace heirloop::layout
