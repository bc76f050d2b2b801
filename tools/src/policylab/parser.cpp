#include "policylab/parser.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace policylab {
namespace {

constexpr double most_jobs = 5e6;  // what a run may create; a job that nobody runs stays in memory
constexpr std::size_t most_locks = 16;
constexpr std::size_t most_groups = 32;
constexpr std::size_t most_classes = 16;

/// Which lock is taken while which is held, as far as the file was read; it must stay without a cycle.
class LockOrder {
 public:
  /// False when `later` comes before `earlier` elsewhere.
  bool add(std::size_t earlier, std::size_t later) {
    if (reaches_[later][earlier]) return false;
    for (std::size_t from = 0; from < most_locks; ++from) {
      if (from != earlier && !reaches_[from][earlier]) continue;
      reaches_[from][later] = true;
      for (std::size_t to = 0; to < most_locks; ++to) {
        if (reaches_[later][to]) reaches_[from][to] = true;
      }
    }
    return true;
  }

 private:
  std::array<std::array<bool, most_locks>, most_locks> reaches_{};
};

/// What a line of a class set, so that it is not set again and nothing is missing at its end.
enum class Part : std::uint8_t { arrives, steps, step, priority, churn, group, deadline, takes };
constexpr std::array<std::string_view, 8> part_names{"arrives", "steps", "step",     "priority",
                                                     "churn",   "group", "deadline", "takes"};

class Parser {
 public:
  explicit Parser(std::string_view file) : file_(file) {}

  Workload parse(std::string_view text) {
    std::size_t line = 0;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      Words words(file_, ++line, text.substr(0, end));
      text.remove_prefix(std::min(end + 1, text.size()));
      if (words.at_end()) continue;
      statement(words);
      words.end();
    }
    finish_class();
    finish(line);
    return std::move(workload_);
  }

 private:
  void statement(Words& words) {
    if (workload_.name.empty()) {
      words.require("workload");
      workload_.name = words.name("the workload's name");
      return;
    }
    if (!workload_.classes.empty() && class_statement(words)) return;
    if (words.accept("class")) return begin_class(words);
    if (!workload_.classes.empty()) {
      words.fail(fmt::format("'class' or a line of class '{}' ({})", workload_.classes.back().name,
                             fmt::join(part_names, ", ")));
    }
    if (words.accept("about")) {
      workload_.about += (workload_.about.empty() ? "" : " ") + words.rest();
    } else if (words.accept("length")) {
      if (workload_.length_ns != 0) words.fail_before("'length' once");
      workload_.length_ns = words.span_ns(1'000'000, longest_span_ns);
    } else if (words.accept("age_unit")) {
      if (age_unit_set_) words.fail_before("'age_unit' once");
      age_unit_set_ = true;
      workload_.age_unit_ns = words.span_ns(1, longest_span_ns);
    } else if (words.accept("lock")) {
      lock(words);
    } else if (words.accept("group")) {
      group(words);
    } else {
      words.fail("'about', 'length', 'age_unit', 'lock', 'group' or 'class'");
    }
  }

  void lock(Words& words) {
    if (workload_.locks.size() == most_locks) words.fail_before(fmt::format("at most {} locks", most_locks));
    std::string name = words.name("a lock's name");
    if (std::ranges::count(workload_.locks, name) != 0) words.fail_before("a lock's name that is not taken");
    workload_.locks.push_back(std::move(name));
  }

  void group(Words& words) {
    if (workload_.groups.size() == most_groups)
      words.fail_before(fmt::format("at most {} groups", most_groups));
    Group made;
    made.name = words.name("a group's name");
    if (group_named(made.name)) words.fail_before("a group's name that is not taken");
    words.require("weight");
    made.weight = words.number(0.001, 1e6, "a weight");
    if (words.accept("under")) made.parent = known_group(words);
    if (words.accept("target")) made.target_ns = words.span_ns(1, longest_span_ns);
    workload_.groups.push_back(std::move(made));
  }

  std::optional<std::uint32_t> group_named(std::string_view name) const {
    for (std::uint32_t i = 0; i < workload_.groups.size(); ++i) {
      if (workload_.groups[i].name == name) return i;
    }
    return std::nullopt;
  }

  std::uint32_t known_group(Words& words) const {
    const auto found = group_named(words.name("a group's name"));
    if (!found) words.fail_before("the name of a group that was declared above");
    return *found;
  }

  void begin_class(Words& words) {
    finish_class();
    if (workload_.classes.size() == most_classes)
      words.fail_before(fmt::format("at most {} classes", most_classes));
    TaskClass made;
    made.name = words.name("a class's name");
    const auto same = [&](const TaskClass& each) { return each.name == made.name; };
    if (std::ranges::any_of(workload_.classes, same)) words.fail_before("a class's name that is not taken");
    workload_.classes.push_back(std::move(made));
    class_line_ = words.line();
    parts_set_ = {};
  }

  bool class_statement(Words& words) {
    for (std::size_t i = 0; i < part_names.size(); ++i) {
      if (!words.accept(part_names[i])) continue;
      const auto part = static_cast<Part>(i);
      if (parts_set_[i] && part != Part::takes) {
        words.fail_before(fmt::format("'{}' once in a class", part_names[i]));
      }
      parts_set_[i] = true;
      set(part, words);
      return true;
    }
    return false;
  }

  void set(Part part, Words& words) {
    TaskClass& made = workload_.classes.back();
    switch (part) {
      case Part::arrives:
        return arrives(words, made.arrival);
      case Part::steps:
        made.steps = words.counts();
        return;
      case Part::step:
        made.step = words.spans(1);
        return;
      case Part::priority:
        made.priority = words.priority();
        return;
      case Part::churn: {
        Churn churn;
        words.require("every");
        churn.every_ns = words.span_ns(1000, longest_span_ns);
        words.require("from");
        churn.from = words.priority();
        words.require("to");
        churn.to = words.priority();
        if (churn.to < churn.from) words.fail_before("a second priority that is not below the first");
        made.churn = churn;
        return;
      }
      case Part::group:
        made.group = known_group(words);
        return;
      case Part::deadline:
        made.deadline_ns = words.span_ns(1, longest_span_ns);
        return;
      case Part::takes:
        return takes(words, made);
    }
  }

  static void arrives(Words& words, Arrival& arrival) {
    static constexpr std::array<std::string_view, 4> kinds{"periodic", "poisson", "burst", "closed"};
    arrival.kind = static_cast<Arrival::Kind>(words.one_of(kinds, "an arrival process"));
    switch (arrival.kind) {
      case Arrival::Kind::poisson:
        arrival.rate_per_s = words.rate();
        return;
      case Arrival::Kind::closed:
        arrival.count = words.whole(1, 100'000, "the number of clients");
        words.require("think");
        arrival.think = words.spans(0);
        return;
      case Arrival::Kind::burst:
        arrival.count = words.whole(1, largest_count, "the number of jobs in a burst");
        words.require("every");
        [[fallthrough]];
      case Arrival::Kind::periodic:
        arrival.every_ns = words.span_ns(1000, longest_span_ns);
        if (words.accept("offset")) arrival.offset_ns = words.span_ns(0, longest_span_ns);
        return;
    }
  }

  void takes(Words& words, TaskClass& made) {
    if (made.holds.size() == max_holds)
      words.fail_before(fmt::format("at most {} locks in a class", max_holds));
    const std::string name = words.name("a lock's name");
    const auto found = std::ranges::find(workload_.locks, name);
    if (found == workload_.locks.end()) words.fail_before("the name of a lock that was declared above");
    Hold hold;
    hold.lock = static_cast<std::uint32_t>(found - workload_.locks.begin());
    words.require("before");
    words.require("step");
    hold.first = words.whole(1, largest_count, "a step");
    words.require("for");
    hold.steps = words.whole(1, largest_count, "a number of steps");
    for (const Hold& other : made.holds) {
      const bool apart = hold.first >= other.first + other.steps || other.first >= hold.first + hold.steps;
      if (apart) continue;
      if (other.lock == hold.lock) {
        throw ParseError(file_, words.line(), "a lock that the class does not hold at that time",
                         fmt::format("'{}'", name));
      }
      const bool other_first = other.first <= hold.first;
      if (!(other_first ? order_.add(other.lock, hold.lock) : order_.add(hold.lock, other.lock))) {
        throw ParseError(file_, words.line(),
                         "the locks in the order in which they are taken above (no deadlocks)",
                         fmt::format("'{}' together with '{}'", name, workload_.locks[other.lock]));
      }
    }
    // In the order of taking; of those before one step, in the order of the file.
    made.holds.insert(std::ranges::upper_bound(made.holds, hold.first, {}, &Hold::first), hold);
  }

  void finish_class() {
    if (workload_.classes.empty()) return;
    for (const Part part : {Part::arrives, Part::step}) {
      const auto index = static_cast<std::size_t>(part);
      if (parts_set_[index]) continue;
      throw ParseError(file_, class_line_, fmt::format("a line '{}' in this class", part_names[index]),
                       "none");
    }
  }

  void finish(std::size_t last_line) const {
    const auto missing = [&](std::string_view what) {
      throw ParseError(file_, std::max<std::size_t>(last_line, 1), what, "the end of the file");
    };
    if (workload_.name.empty()) missing("a line 'workload NAME'");
    if (workload_.length_ns == 0) missing("a line 'length TIME' before the classes");
    if (workload_.classes.empty()) missing("a class");
    double jobs = 0;
    for (const TaskClass& each : workload_.classes) jobs += jobs_of(each.arrival);
    if (jobs > most_jobs) {
      throw ParseError(file_, last_line, fmt::format("at most {:.0f} jobs in a run", most_jobs),
                       fmt::format("about {:.0f}", jobs));
    }
  }

  double jobs_of(const Arrival& arrival) const {
    const double length_s = static_cast<double>(workload_.length_ns) / 1e9;
    switch (arrival.kind) {
      case Arrival::Kind::poisson:
        return arrival.rate_per_s * length_s;
      case Arrival::Kind::closed:
        return arrival.count;  // at a time
      default:
        return arrival.count * std::ceil(length_s * 1e9 / static_cast<double>(arrival.every_ns));
    }
  }

  std::string_view file_;
  Workload workload_;
  LockOrder order_;
  bool age_unit_set_ = false;
  std::size_t class_line_ = 0;
  std::array<bool, part_names.size()> parts_set_{};
};

}  // namespace

Workload parse_workload(std::string_view text, std::string_view file) { return Parser(file).parse(text); }

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (std::filesystem::is_directory(path)) {
    throw std::system_error(EISDIR, std::generic_category(), "can't read '" + path + "'");
  }
  if (file) text << file.rdbuf();
  if (!file) throw std::system_error(errno, std::generic_category(), "can't read '" + path + "'");
  return std::move(text).str();
}

}  // namespace policylab
