// The logger "heirloop" (spdlog). A program replaces it by registering its own under that name.
#pragma once

#include <spdlog/logger.h>

namespace heirloop {

/// The registered logger of that name, made with the default sinks when there is none.
spdlog::logger& logger();

}  // namespace heirloop
