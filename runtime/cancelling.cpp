#include <heirloop/runtime/cancelling.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop {

void detail::log_not_cancelled(const std::exception& error) noexcept {
  logger().error("a scope could not cancel what it holds: {}", error.what());
}

}  // namespace heirloop
