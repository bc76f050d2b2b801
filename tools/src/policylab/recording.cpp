#include "policylab/recording.hpp"

#include "common/output_file.hpp"
#include "policylab/parser.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string_view>

namespace policylab {
namespace {

using nlohmann::json;

constexpr std::string_view format = "heirloop policylab recording";
constexpr int version = 1;

RecordedRun run_from(const json& from) {
  RecordedRun run;
  run.file = from.at("file").get<std::string>();
  run.text = from.at("text").get<std::string>();
  run.policy = heirloop::policy_from_name(from.at("policy").get<std::string>());
  run.length_ns = from.at("length_ns").get<std::int64_t>();
  run.dispatches = from.at("dispatches").get<std::uint64_t>();
  run.schedule = from.at("schedule").get_binary();
  if (run.length_ns <= 0) throw std::invalid_argument("a run has no length");
  return run;
}

}  // namespace

void write_recording(const std::string& path, const Recording& recording) {
  json runs = json::array();
  for (const RecordedRun& run : recording.runs) {
    runs.push_back({{"file", run.file},
                    {"text", run.text},
                    {"policy", heirloop::to_string(run.policy)},
                    {"length_ns", run.length_ns},
                    {"dispatches", run.dispatches},
                    {"schedule", json::binary(run.schedule)}});
  }
  const json all{{"format", format},
                 {"version", version},
                 {"seed", recording.seed},
                 {"inheritance", recording.inheritance},
                 {"runs", std::move(runs)}};
  const std::vector<std::uint8_t> bytes = json::to_cbor(all);
  tools::write_file(path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Recording read_recording(const std::string& path) {
  const std::string bytes = read_file(path);
  try {
    const json all = json::from_cbor(bytes);
    if (all.at("format") != format || all.at("version") != version)
      throw std::invalid_argument("another format");
    Recording recording;
    recording.seed = all.at("seed").get<std::uint64_t>();
    recording.inheritance = all.at("inheritance").get<bool>();
    for (const json& run : all.at("runs")) recording.runs.push_back(run_from(run));
    return recording;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("'{}' is no recording of policylab: {}", path, error.what()));
  }
}

}  // namespace policylab
