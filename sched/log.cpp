#include <heirloop/sched/log.hpp>

#include <mutex>

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

namespace heirloop {

spdlog::logger& logger() {
  static std::mutex mutex;
  static std::shared_ptr<spdlog::logger> ours;
  const std::lock_guard lock(mutex);
  if (auto registered = spdlog::get("heirloop")) {
    ours = std::move(registered);
  } else if (ours == nullptr) {
    ours = spdlog::stderr_color_mt("heirloop");
  }
  return *ours;
}

}  // namespace heirloop
