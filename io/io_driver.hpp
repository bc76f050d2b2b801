// What sockets, files and signals need from a driver, whatever kernel interface it uses.
//
// Owns: the interface. Implemented by the io_uring driver; the seat is there for others. Called by everything in io/
// that starts an operation.
//
// 1. All calls come from the loop's thread.
// 2. `start` and `cancel` never call `completed`: that happens in `harvest`, `wait`, or at the driver's end.
// 3. Two operations on one descriptor reach the kernel in the order of their starts.
// 4. At its end the driver cancels what is in flight and waits for every last completion.
#pragma once

#include <heirloop/io/operation.hpp>
#include <heirloop/sched/driver.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace heirloop {

/// Counts since the driver was made.
struct IoCounters {
  std::uint64_t system_calls = 0;  ///< into the kernel's ring
  std::uint64_t submissions = 0;   ///< operations given to the kernel, cancels and ticks included
  std::uint64_t completions = 0;
  std::uint64_t waits = 0;    ///< system calls that could sleep
  std::uint64_t gathers = 0;  ///< of these, such that waited for more than one completion
  std::uint64_t cancels = 0;
};

class IoDriver : public Driver {
 public:
  enum class CancelAnswer : std::uint8_t {
    withdrawn,  ///< it had not reached the kernel: idle again, no completion comes
    requested,  ///< its completion comes, with its result or −ECANCELED, whichever was first
  };

  ~IoDriver() override;

  /// Queues the operation; it leaves with the next submission.
  /// Errors: std::bad_alloc, with nothing changed, when more are in flight than ever before. Never when called from
  /// `completed`. Cost: a few stores.
  virtual void start(Operation& operation, const Urgency& urgency) = 0;

  /// Asks the kernel to end an operation that is in flight.
  virtual CancelAnswer cancel(Operation& operation) noexcept = 0;

  /// Takes back an operation in flight that has not reached the kernel: idle again, no completion comes. False when it
  /// has.
  virtual bool withdraw(Operation& operation) noexcept = 0;

  /// Operations started whose last completion has not come.
  virtual std::size_t in_flight() const noexcept = 0;

  /// "io_uring (…)" and what was switched on; for logs.
  virtual std::string describe() const = 0;

  const IoCounters& counters() const noexcept { return counters_; }

 protected:
  // The driver's hands on an operation; derived drivers go through these.
  static bool is_queued(const Operation& operation) noexcept { return operation.queued_; }
  static bool& cancel_sent(Operation& operation) noexcept { return operation.cancel_sent_; }
  static std::uint32_t& slot(Operation& operation) noexcept { return operation.slot_; }
  static void begin(Operation& operation, const Urgency& urgency) noexcept {
    contract(!operation.in_flight(), "an operation is started once at a time");
    operation.state_ = Operation::State::submitted;
    operation.urgency_ = urgency;
    operation.cancel_sent_ = false;
  }
  static void set_idle(Operation& operation) noexcept { operation.state_ = Operation::State::idle; }
  static void complete(Operation& operation, int result, bool more_ready) noexcept {
    operation.state_ = Operation::State::done;
    operation.result_ = result;
    operation.more_ready_ = more_ready;
    operation.completed();
  }

  IoCounters counters_;
};

/// The driver of `loop`.
/// Errors: InvalidStateError when the loop runs on a driver without input and output (the simulated one).
/// Cost: two loads.
IoDriver& io_driver(const Loop& loop);

/// The driver of the loop that runs in this thread. Errors: InvalidStateError, also when no loop runs.
inline IoDriver& io_driver() { return io_driver(Loop::current()); }

/// The urgency of the current task; NORMAL outside tasks.
inline Urgency current_urgency() noexcept {
  const Task* task = detail::this_thread.task;
  return task == nullptr ? Urgency{} : task->urgency();
}

}  // namespace heirloop
