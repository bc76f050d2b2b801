#include "policylab/recording.hpp"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>

namespace policylab {
namespace {

constexpr std::string_view first_line = "heirloop policylab recording 1";
constexpr std::int64_t longest_ns = 3'600'000'000'000;

[[noreturn]] void fail(const char* what, const std::string& path, int error) {
  throw std::system_error(error, std::generic_category(), fmt::format("can't {} '{}'", what, path));
}

/// The next word of a line, which is taken off.
std::string_view word_of(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), in_(path, std::ios::binary) {
    if (std::filesystem::is_directory(path)) fail("read", path, EISDIR);
    if (!in_) fail("read", path, errno);
  }

  Recording read() {
    Recording recording;
    if (next() != first_line) refuse(first_line);
    std::string_view line = next();
    if (word_of(line) != "seed") refuse("'seed N'");
    recording.seed = number<std::uint64_t>(line, 0, UINT64_MAX, "a seed");
    line = next();
    if (line != "inheritance on" && line != "inheritance off")
      refuse("'inheritance on' or 'inheritance off'");
    recording.inheritance = line == "inheritance on";
    for (line = next(); line != "end"; line = next()) recording.runs.push_back(run(line));
    if (recording.runs.empty()) refuse("a run");
    return recording;
  }

 private:
  RecordedRun run(std::string_view line) {
    RecordedRun made;
    if (word_of(line) != "run") refuse("'run POLICY LENGTH_NS LINES FILE' or 'end'");
    try {
      made.policy = heirloop::policy_from_name(word_of(line));
    } catch (const std::invalid_argument&) {
      refuse("a policy");
    }
    made.length_ns = number<std::int64_t>(line, 1, longest_ns, "the length of a run");
    const auto lines = number<std::uint32_t>(line, 1, 1'000'000, "the number of the workload's lines");
    made.file = line;
    for (std::uint32_t i = 0; i < lines; ++i) made.text += std::string(next()) + "\n";
    try {
      made.schedule = heirloop::testing::Schedule::load(in_);
    } catch (const heirloop::testing::ScheduleFormatError& error) {
      throw RecordingFormatError(
          fmt::format("'{}' is no recording of policylab: in the schedule behind line {}: {}", path_, line_,
                      error.what()));
    }
    line_ += made.schedule.dispatches.size() + 2;
    line_ += static_cast<std::size_t>(
        std::ranges::count_if(made.schedule.names, [](const auto& name) { return !name.empty(); }));
    return made;
  }

  std::string_view next() {
    ++line_;
    ended_ = !std::getline(in_, text_);
    if (ended_) refuse("another line");
    return text_;
  }

  template <class Number>
  Number number(std::string_view& line, Number low, Number high, std::string_view what) const {
    const std::string_view word = word_of(line);
    Number value{};
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size() || value < low || value > high) refuse(what);
    return value;
  }

  [[noreturn]] void refuse(std::string_view expected) const {
    throw RecordingFormatError(
        fmt::format("'{}' is no recording of policylab: line {}: expected {}, found {}", path_, line_,
                    expected, ended_ ? "the end of the file" : fmt::format("'{:.60}'", text_)));
  }

  const std::string& path_;
  std::ifstream in_;
  std::string text_;
  std::size_t line_ = 0;
  bool ended_ = false;
};

}  // namespace

void write_recording(const std::string& path, const Recording& recording) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  fmt::print(out, "{}\nseed {}\ninheritance {}\n", first_line, recording.seed,
             recording.inheritance ? "on" : "off");
  for (const RecordedRun& run : recording.runs) {
    const bool whole = run.text.ends_with('\n');
    const auto lines = std::ranges::count(run.text, '\n') + (whole ? 0 : 1);
    fmt::print(out, "run {} {} {} {}\n{}{}", heirloop::to_string(run.policy), run.length_ns, lines, run.file,
               run.text, whole ? "" : "\n");
    run.schedule.save(out);
  }
  fmt::print(out, "end\n");
  out.flush();
  if (!out) fail("write", path, errno);
}

Recording read_recording(const std::string& path) { return Reader(path).read(); }

}  // namespace policylab
