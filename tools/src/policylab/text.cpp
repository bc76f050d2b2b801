#include "policylab/text.hpp"

#include <fmt/format.h>

namespace policylab {

std::string short_time(std::int64_t span_ns) {
  if (span_ns < 1000) return span_ns == 0 ? "0" : fmt::format("{}ns", span_ns);
  double value = static_cast<double>(span_ns);
  const char* unit = "ns";
  for (const char* next : {"us", "ms", "s"}) {
    if (value < 999.5) break;
    value /= 1000;
    unit = next;
  }
  return fmt::format("{:.{}f}{}", value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0, unit);
}

std::string percent(double part) {
  if (part > 0 && part < 0.0005) return "<0.1%";
  return fmt::format("{:.1f}%", part * 100);
}

}  // namespace policylab
