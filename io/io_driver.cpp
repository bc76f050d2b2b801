#include <heirloop/io/io_driver.hpp>
#include <heirloop/sched/errors.hpp>

namespace heirloop {
namespace {

// The driver seen last in this thread, so that the type is looked up once, not once per operation.
struct LastSeen {
  const Driver* driver;
  IoDriver* io;
};
thread_local constinit LastSeen last_seen{nullptr, nullptr};

}  // namespace

IoDriver::~IoDriver() {
  if (last_seen.driver == this) last_seen = {nullptr, nullptr};
}

IoDriver& io_driver(const Loop& loop) {
  Driver* driver = &loop.driver();
  if (last_seen.driver == driver) [[likely]]
    return *last_seen.io;
  auto* io = dynamic_cast<IoDriver*>(driver);
  if (io == nullptr) {
    throw InvalidStateError(
        "this loop has no input and output: it runs on a simulated driver; sockets and files need run() or a "
        "UringDriver");
  }
  last_seen = {driver, io};
  return *io;
}

}  // namespace heirloop
