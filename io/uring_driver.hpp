// The io_uring driver: one ring per loop, seen only by the loop's thread.
//
// Owns: the ring, the table of operations in flight, the queue of operations not yet submitted, the tick and the
// eventfd that wakes a sleeping loop. Called by the loop through `Driver`, by everything in io/ through `IoDriver`.
//
//   start ──▶ SubmissionQueue ──submit, harvest or wait: one system call──▶ kernel ──completion──▶ Operation::completed
//
// 1. The loop sees completions in memory: the flag that says "the kernel has work for you" and the completion queue's
//    ends. No system call is made to ask.
// 2. At most one kernel timeout, the tick, is armed.
// 3. A harvest goes on until nothing is left or its budget is used up. (One call of the kernel brings 20 completions
//    at most; the flag stays set while more wait.)
// 4. A wait ends with its first completion, its deadline or a wake; only while completions come fast and the loop is busy
//    it may go on for `gather_ns` more, to bring several. Deadlines are not late for it.
// 5. At the end of the driver nothing is in flight: what was is cancelled, and its last completion awaited.
#pragma once

#include <heirloop/io/gather.hpp>
#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/operation_table.hpp>
#include <heirloop/io/submission_queue.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

namespace heirloop {

/// The kernel refuses io_uring. `what()` says which call, why, and what to do.
class IoUringUnavailable : public std::system_error {
 public:
  enum class Refused : std::uint8_t {
    setup,         ///< io_uring_setup
    enter,         ///< io_uring_enter: a no-op did not come back
    registration,  ///< io_uring_register
    features,      ///< the ring works, but the kernel is too old for what this driver needs
  };

  IoUringUnavailable(Refused refused, int error);
  Refused refused() const noexcept { return refused_; }

 private:
  Refused refused_;
};

/// How completions come; each needs a newer kernel than the one below it.
enum class UringMode : std::uint8_t {
  deferred,  ///< when the loop asks, and a flag in memory says that there are some (Linux 6.1)
  plain,     ///< when the kernel likes (5.13)
};

struct UringOptions {
  unsigned entries = 256;              ///< of the submission queue: one batch
  unsigned completion_entries = 4096;  ///< more wait in the kernel, none is lost
  UringMode best_mode = UringMode::deferred;
  /// How long a busy loop lets the first completion wait for others while they come fast (gather.hpp); 0: never.
  /// Needs Linux 6.12 and deferred completions, else it is 0.
  std::int64_t gather_ns = 40'000;
};

class UringDriver final : public IoDriver {
 public:
  /// Sets up the best ring that the kernel allows. The constructing thread is the loop's thread.
  /// Errors: IoUringUnavailable.
  explicit UringDriver(const UringOptions& options = {});

  /// Cancels what is in flight and waits for the last completions; a file operation that has started runs to its end.
  ~UringDriver() override;

  std::int64_t now_ns() noexcept override;
  void harvest(std::int64_t budget_ns) override;
  void submit() override;
  void wait(std::int64_t deadline_ns) override;
  void set_tick(std::int64_t deadline_ns) override;
  void wake() noexcept override;

  void start(Operation& operation, const Urgency& urgency) override;
  CancelAnswer cancel(Operation& operation) noexcept override;
  bool withdraw(Operation& operation) noexcept override;
  std::size_t in_flight() const noexcept override { return table_.size(); }
  std::string describe() const override;

  UringMode mode() const noexcept { return mode_; }

 private:
  struct Ring;

  void set_up(const UringOptions& options);
  void probe();
  void fill_ring() noexcept;
  void fill(Operation& operation) noexcept;
  int enter(unsigned min_complete, unsigned flags, std::int64_t deadline_ns = no_deadline) noexcept;
  int enter_working(unsigned min_complete, unsigned flags, std::int64_t deadline_ns = no_deadline) noexcept;
  void sleep_until(std::int64_t deadline_ns, std::int64_t now_ns) noexcept;
  void set_look() noexcept;
  bool work_flagged() const noexcept;
  void reap() noexcept;
  void handle(std::uint64_t user_data, int result, unsigned flags) noexcept;
  void arm_wake() noexcept;
  void arm_tick(std::int64_t deadline_ns) noexcept;
  void end_operations() noexcept;

  std::unique_ptr<Ring> ring_;
  OperationTable table_;
  SubmissionQueue queue_;
  Gather gather_;
  std::int64_t tick_armed_ns_ = no_deadline;   // of the one kernel timeout; no_deadline: none is armed
  std::int64_t tick_target_ns_ = no_deadline;  // what the loop asked for last
  int wake_fd_ = -1;                           // an eventfd; the kernel polls it for the ring
  UringMode mode_ = UringMode::plain;
  std::uint8_t quiet_flag_ = 0;  // for entries whose success is nobody's business
  bool absolute_waits_ = false;
  bool registered_ = false;
  bool ending_ = false;
};

}  // namespace heirloop
