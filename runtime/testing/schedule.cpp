#include <heirloop/testing/schedule.hpp>

#include <bit>
#include <charconv>
#include <istream>
#include <ostream>
#include <string_view>

#include <fmt/format.h>

namespace heirloop::testing {
namespace {

constexpr std::string_view first_line = "heirloop schedule 1";

/// The dispatch of an entry, and the name of its task when it is new.
Schedule::Dispatch dispatch_of(const Entry& entry, std::int64_t now_ns, std::vector<std::string>& names) {
  Schedule::Dispatch dispatch{now_ns, 0, entry.urgency().priority};
  if (entry.kind() != Entry::Kind::task) return dispatch;
  const auto& task = static_cast<const Task&>(entry);
  dispatch.task = task.id();
  if (dispatch.task >= names.size()) names.resize(dispatch.task + 1);
  if (std::string& name = names[dispatch.task]; name.empty()) name = task.name();
  return dispatch;
}

[[noreturn]] void refuse(std::size_t line, std::string_view expected, std::string_view found) {
  throw ScheduleFormatError(fmt::format("line {}: expected {}, found '{}'", line, expected, found));
}

template <class T>
T number(std::string_view& rest, std::size_t line, std::string_view expected) {
  T value{};
  const char* end = rest.data() + rest.size();
  const auto [after, error] = std::from_chars(rest.data(), end, value);
  if (error != std::errc() || (after != end && *after != ' ')) refuse(line, expected, rest);
  rest.remove_prefix(static_cast<std::size_t>(after - rest.data()));
  if (!rest.empty()) rest.remove_prefix(1);
  return value;
}

}  // namespace

void Schedule::save(std::ostream& out) const {
  out << first_line << '\n';
  for (std::size_t task = 0; task < names.size(); ++task) {
    if (!names[task].empty()) out << fmt::format("task {} {}\n", task, names[task]);
  }
  for (const Dispatch& d : dispatches) out << fmt::format("{} {} {}\n", d.time_ns, d.task, d.priority);
  out << "end\n";
}

Schedule Schedule::load(std::istream& in) {
  Schedule schedule;
  std::string text;
  std::size_t line = 1;
  if (!std::getline(in, text) || text != first_line) refuse(line, fmt::format("'{}'", first_line), text);
  while (std::getline(in, text)) {
    ++line;
    std::string_view rest = text;
    if (rest == "end") return schedule;
    if (rest.starts_with("task ")) {
      rest.remove_prefix(5);
      const auto task = number<std::uint64_t>(rest, line, "the number of a task");
      if (task > 100'000'000) refuse(line, "the number of a task", text);
      if (task >= schedule.names.size()) schedule.names.resize(task + 1);
      schedule.names[task] = rest;
      continue;
    }
    Dispatch dispatch;
    dispatch.time_ns = number<std::int64_t>(rest, line, "a time in ns, a task and a priority");
    dispatch.task = number<std::uint64_t>(rest, line, "the number of a task, or 0 for a handle");
    dispatch.priority = number<double>(rest, line, "a priority");
    if (!rest.empty()) refuse(line, "the end of the line", rest);
    schedule.dispatches.push_back(dispatch);
  }
  refuse(line + 1, "'end'", "the end of the file");
}

std::string Schedule::describe(const Dispatch& dispatch) const {
  const double ms = static_cast<double>(dispatch.time_ns) / 1e6;
  if (dispatch.task == 0) return fmt::format("a handle at {} ms, priority {}", ms, dispatch.priority);
  const std::string_view name = dispatch.task < names.size() ? std::string_view(names[dispatch.task]) : "";
  return fmt::format("task {} '{}' at {} ms, priority {}", dispatch.task, name, ms, dispatch.priority);
}

void ScheduleRecorder::step_begins(const Entry& entry, std::int64_t now_ns) {
  schedule_.dispatches.push_back(dispatch_of(entry, now_ns, schedule_.names));
}

void ScheduleReplay::step_begins(const Entry& entry, std::int64_t now_ns) {
  if (departure_) return;
  const Schedule::Dispatch dispatch = dispatch_of(entry, now_ns, now_.names);
  const auto name_in = [&](const Schedule& schedule) {
    return dispatch.task < schedule.names.size() ? std::string_view(schedule.names[dispatch.task]) : "";
  };
  if (verified_ >= recorded_.dispatches.size()) {
    departure_ = Departure{verified_, "the end", now_.describe(dispatch)};
  } else if (recorded_.dispatches[verified_] != dispatch || name_in(recorded_) != name_in(now_)) {
    departure_ = Departure{verified_, recorded_.describe(recorded_.dispatches[verified_]), now_.describe(dispatch)};
  } else {
    ++verified_;
  }
}

std::optional<Departure> ScheduleReplay::departure(bool run_has_ended) const {
  if (departure_ || !run_has_ended || verified_ == recorded_.dispatches.size()) return departure_;
  return Departure{verified_, recorded_.describe(recorded_.dispatches[verified_]), "the end"};
}

}  // namespace heirloop::testing
