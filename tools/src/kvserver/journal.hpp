// The append-only file while the server runs: written, forced to the disk, and rewritten in the background.
//
// Owns: the file and the task that writes it. Connections record through `log()` and, under `always`, wait in
// `durable()` before they send their replies.
//
//   execute ──records──▶ Log ──take──▶ writer task (HIGH) ──append, fdatasync──▶ file ──notify──▶ durable()
//
// 1. One task writes the file; nobody that a client can cancel holds it half-written.
// 2. What `durable()` has returned for is on the disk.
// 3. After a failed write or force of the file nothing in it counts as durable, whatever a later force says:
//    the kernel may have dropped pages, and reports that once. `failing()` then, and writes are refused,
//    until a rewrite has put the keys into a new file that is on the disk, under its name. Rewrites are tried
//    at once, and at growing intervals.
// 4. While `failing()` the file ends at a whole batch, and what is not in it yet is still appended where that
//    works.
#pragma once

#include <heirloop/heirloop.hpp>

#include "kvserver/aof.hpp"
#include "kvserver/commands.hpp"
#include "kvserver/options.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace kv {

/// How bytes and names are forced to the disk. Tests put failures here.
class Forcing {
 public:
  virtual ~Forcing() = default;
  virtual heirloop::Coro<void> data(heirloop::File& file);
  /// Blocks. False with errno when it fails.
  virtual bool names(int directory) noexcept;
};

class Journal {
 public:
  /// Reads the file in `options.dir` into the executor; cuts off a torn end with a warning.
  /// Blocks: for use before the loop serves. Errors: DamagedLog, std::system_error.
  Journal(const Options& options, Executor& executor, Store& store, heirloop::PriorityLock& keys,
          std::unique_ptr<Forcing> forcing = std::make_unique<Forcing>());

  Log& log() { return log_; }

  /// Opens the file for appending and starts the writer.
  heirloop::Coro<void> start();

  /// After a request: true when it has recorded something.
  bool note_records() {
    const bool more = log_.commands() != recorded_;
    recorded_ = log_.commands();
    return more;
  }

  /// True when replies have to wait for the disk.
  bool replies_wait() const { return sync_ == Sync::always; }

  /// Until all that was recorded is on the disk; false when it could not be written, or the journal is
  /// failing already.
  /// Suspends: unless it is there or failing. Interrupt: the records are written all the same.
  heirloop::Coro<bool> durable();

  /// Begins to rewrite the file at LOW priority; false when that is under way. A rewrite ends `failing()`.
  bool rewrite();

  /// Writes and forces what is left, and ends the writer; while `failing()`, by a last rewrite.
  heirloop::Coro<void> stop();

  bool failing() const { return !executor_.refuse_writes.empty(); }
  bool rewriting() const { return log_.rewriting(); }
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  /// The directory, locked for this process, as a descriptor.
  class Directory {
   public:
    explicit Directory(const std::string& path);
    ~Directory();
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    void sync(Forcing& forcing) const;

   private:
    std::string path_;
    int fd_;
  };

  heirloop::Coro<void> write_for_ever();
  heirloop::Coro<void> write_batch(bool force);
  heirloop::Coro<void> append_batch(bool force);
  heirloop::Coro<void> rewrite_file();
  void switch_to(heirloop::File&& fresh, std::uint64_t size, std::uint64_t covered);
  heirloop::Coro<void> fill(heirloop::File& fresh);
  void failed(const std::string& why);

  const Sync sync_;
  const std::unique_ptr<Forcing> forcing_;
  const Directory dir_;
  const std::string path_;
  const std::uint64_t rewrite_min_bytes_;
  Executor& executor_;
  Store& store_;
  heirloop::PriorityLock& keys_;
  Log log_;

  std::optional<heirloop::File> file_;
  heirloop::PriorityLock file_lock_{"append-only file"};
  heirloop::PriorityLock state_lock_{"journal state"};
  heirloop::PriorityCondition work_{state_lock_};      // for the writer
  heirloop::PriorityCondition progress_{state_lock_};  // for those who wait for the disk
  heirloop::PriorityTask<void> writer_;
  heirloop::PriorityTask<void> rewriter_;
  std::string batch_;           // taken from the log and not yet in the file
  std::uint64_t recorded_ = 0;  // requests that have recorded something
  std::uint64_t in_batch_ = 0;  // of these, in the batch or in the file
  std::uint64_t written_ = 0;   // of these, in the file
  std::uint64_t durable_ = 0;   // of these, on the disk
  std::uint64_t failures_ = 0;  // batches that could not be written or forced
  std::uint64_t file_bytes_ = 0;
  std::uint64_t rewritten_bytes_ = 0;  // size after the last rewrite
  std::chrono::steady_clock::time_point no_rewrite_before_{};
  std::chrono::milliseconds retry_time_;  // before a rewrite that failed is begun again by itself
  bool stopping_ = false;
  bool napping_ = false;
};

}  // namespace kv
