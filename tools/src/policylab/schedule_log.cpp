#include "policylab/schedule_log.hpp"

#include <fmt/format.h>

namespace policylab {
namespace {

Dispatch dispatch_of(const heirloop::Entry& entry, std::int64_t now_ns) {
  const bool is_task = entry.kind() == heirloop::Entry::Kind::task;
  return {is_task ? static_cast<const heirloop::Task&>(entry).id() : 0, now_ns};
}

/// Seven bits a byte, the lowest first; the top bit says that another follows. Differences alternate in sign:
/// 0, -1, 1, -2 … are 0, 1, 2, 3 …
void put(std::vector<std::uint8_t>& bytes, std::uint64_t difference) {
  const auto value = static_cast<std::int64_t>(difference);
  std::uint64_t left = (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
  for (; left >= 0x80; left >>= 7) bytes.push_back(static_cast<std::uint8_t>(left | 0x80));
  bytes.push_back(static_cast<std::uint8_t>(left));
}

bool get(std::span<const std::uint8_t>& bytes, std::uint64_t& difference) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const std::uint8_t byte = bytes.front();
    bytes = bytes.subspan(1);
    value |= std::uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) {
      difference = (value >> 1) ^ (~(value & 1) + 1);
      return true;
    }
  }
  return false;
}

std::string describe(const std::optional<Dispatch>& dispatch) {
  if (!dispatch) return "the end";
  const std::string who =
      dispatch->task == 0 ? std::string("a handle") : fmt::format("Task-{}", dispatch->task);
  return fmt::format("{} at {} ns", who, dispatch->time_ns);
}

}  // namespace

std::string Departure::text() const {
  return fmt::format("dispatch {}: recorded is {}, now it is {}", number, describe(recorded), describe(now));
}

void ScheduleWriter::step_begins(const heirloop::Entry& entry, std::int64_t now_ns) {
  const Dispatch now = dispatch_of(entry, now_ns);
  put(bytes_, now.task - last_.task);
  put(bytes_, static_cast<std::uint64_t>(now.time_ns) - static_cast<std::uint64_t>(last_.time_ns));
  last_ = now;
  ++count_;
}

std::optional<Dispatch> ScheduleChecker::next() {
  std::uint64_t task = 0;
  std::uint64_t time_ns = 0;
  if (!get(left_, task) || !get(left_, time_ns)) return std::nullopt;
  last_.task += task;
  last_.time_ns = static_cast<std::int64_t>(static_cast<std::uint64_t>(last_.time_ns) + time_ns);
  return last_;
}

void ScheduleChecker::step_begins(const heirloop::Entry& entry, std::int64_t now_ns) {
  if (departure_) return;
  ++count_;
  const Dispatch now = dispatch_of(entry, now_ns);
  const std::optional<Dispatch> recorded = next();
  if (recorded != now) departure_ = Departure{count_, recorded, now};
}

std::optional<Departure> ScheduleChecker::finish() {
  if (departure_) return departure_;
  if (const std::optional<Dispatch> recorded = next())
    departure_ = Departure{count_ + 1, recorded, std::nullopt};
  return departure_;
}

}  // namespace policylab
