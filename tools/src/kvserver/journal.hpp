// The append-only file while the server runs: written, forced to the disk, and rewritten in the background.
//
// Owns: the file and the task that writes it. Commands record into `log()`; connections wait in `durable()`,
// under `always`, before they send their replies.
//
//   execute ──records──▶ Log ──take──▶ writer task (HIGH) ──append, fdatasync──▶ file ──progress──▶ durable()
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

#include "kvserver/commands.hpp"
#include "kvserver/options.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

namespace kv {

namespace hl = heirloop;
using namespace std::chrono_literals;

/// Throws what errno says.
[[noreturn]] inline void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// The keys, for what is done within a step. (An acquire may give way behind a free lock: requests would wait
/// for that.)
inline hl::Coro<hl::LockGuard> take_within_step(hl::PriorityLock& keys) {
  if (std::optional<hl::LockGuard> held = keys.try_acquire()) co_return std::move(*held);
  co_return co_await keys.acquire();
}

/// How bytes, and the names in a directory, are forced to the disk. Errors: std::system_error. Tests put
/// failures here.
class Forcing {
 public:
  virtual ~Forcing() = default;
  virtual hl::Coro<void> data(hl::File& file) { co_await file.fdatasync(); }
  virtual void names(const std::string& path, int directory) {  // blocks
    if (::fsync(directory) != 0) fail("can't force the names in " + path + " to the disk");
  }
};

class Journal {
 public:
  /// Reads the file in `options.dir` into the executor, which records here from then on; cuts off a torn end
  /// with a warning. Blocks: for use before the loop serves. Errors: DamagedLog, std::system_error.
  Journal(const Options& options, Executor& executor, hl::PriorityLock& keys,
          std::unique_ptr<Forcing> forcing = std::make_unique<Forcing>())
      : options_(options), executor_(executor), keys_(keys), forcing_(std::move(forcing)) {
    dir_.reset(::opendir(options.dir.c_str()));
    if (!dir_) fail("choose another --dir, or make this one a directory that can be read: " + options.dir);
    const bool is_ours = ::flock(::dirfd(dir_.get()), LOCK_EX | LOCK_NB) == 0;
    constexpr const char* taken = "--dir {} is in use by another kvserver: end that one, or choose another";
    if (!is_ours) throw std::runtime_error(fmt::format(taken, options.dir));
    const Loaded loaded = load_log(path_, [&](Args args) { executor.replay(args); });
    if (loaded.torn_bytes > 0) {
      spdlog::warn("{}: the last record was not written to its end; {} bytes from byte {} on are cut off",
                   path_, loaded.torn_bytes, loaded.valid_bytes);
      const bool is_cut = ::truncate(path_.c_str(), static_cast<off_t>(loaded.valid_bytes)) == 0;
      if (!is_cut) fail("can't cut the end off " + path_);
    }
    log_ = Log(loaded.valid_bytes == 0);
    file_bytes_ = rewritten_bytes_ = loaded.valid_bytes;
    executor.log = &log_;
  }

  /// Opens the file for appending and starts the writer.
  hl::Coro<void> start() {
    try {
      file_ = co_await hl::File::open(path_, O_WRONLY | O_CREAT | O_APPEND);
      // A new file gets its first line now, so that what can't be written is found now.
      co_await append_batch(true);
      forcing_->names(options_.dir, ::dirfd(dir_.get()));
    } catch (const std::system_error& e) {
      throw std::runtime_error(
          fmt::format("can't write in --dir; choose another, or let this user write there: {}", e.what()));
    }
    writer_ = hl::create_task(write_for_ever(), {.name = "journal", .priority = hl::priority::high});
  }

  /// How many commands have been recorded.
  std::uint64_t recorded() const { return log_.commands(); }

  /// True when a reply has to wait in durable(), whose step began when so many commands were recorded: under
  /// `always` while something that it acknowledges, or may show, is not on the disk. While `failing()` what
  /// is read is shown.
  bool reply_waits(std::uint64_t recorded_before) const {
    if (options_.sync != Sync::always || durable_ >= recorded()) return false;
    return !failing() || recorded() != recorded_before;
  }

  /// Until all that was recorded is on the disk; false when it could not be written, or the journal is
  /// failing already.
  /// Suspends: unless it is there or failing. Interrupt: the records are written all the same.
  hl::Coro<bool> durable() {
    const std::uint64_t mine = recorded();
    if (!failing()) work_.set();
    while (durable_ < mine && !failing()) co_await progress_.wait();
    co_return durable_ >= mine;
  }

  /// Begins to rewrite the file at LOW priority; false when that is under way. A rewrite ends `failing()`.
  bool rewrite() {
    if (rewriting()) return false;
    log_.begin_rewrite();
    rewriter_ = hl::create_task(rewrite_file(), {.name = "rewrite", .priority = hl::priority::low});
    return true;
  }

  /// Writes and forces what is left, and ends the writer; while `failing()`, by a last rewrite.
  hl::Coro<void> stop() {
    stopping_ = true;
    work_.set();
    co_await writer_;
    co_await write_batch(true);
    if (failing()) {
      rewrite();  // if none is under way
      co_await rewriter_;
    }
    if (failing()) spdlog::error("{}: the last writes may be lost", executor_.refuse_writes);
  }

  bool failing() const { return !executor_.refuse_writes.empty(); }
  bool rewriting() const { return log_.rewriting(); }
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  static constexpr std::size_t rewrite_budget = 500;  // buckets and keys a step, some 50 µs
  static constexpr auto gather_time = 50ms;           // between two writes, unless replies wait for one
  static constexpr std::chrono::milliseconds first_retry_time = 250ms, last_retry_time = 10s;  // doubled

  hl::Coro<void> write_for_ever() {
    auto next_force = hl::loop_time() + 1s;
    while (!stopping_) {
      co_await hl::move_on_after(gather_time, [this]() -> hl::Coro<void> { co_await work_.wait(); });
      work_.clear();
      const bool second_over = hl::loop_time() >= next_force;
      if (second_over) next_force = hl::loop_time() + 1s;
      if (durable_ < recorded() || failing()) {
        co_await write_batch(options_.sync == Sync::always ||
                             (options_.sync == Sync::everysec && second_over));
      }
      const bool has_grown = file_bytes_ >= options_.rewrite_min_bytes && file_bytes_ >= 2 * rewritten_bytes_;
      if ((has_grown || failing()) && hl::loop_time() >= no_rewrite_before_ && !stopping_) rewrite();
    }
  }

  /// What has been recorded goes into the file, and to the disk when `force`.
  hl::Coro<void> write_batch(bool force) {
    auto held = co_await file_lock_.acquire();
    try {
      co_await append_batch(force);
    } catch (const std::system_error& e) {
      std::string why = e.what();
      if (::ftruncate(file_.native_handle(), static_cast<off_t>(file_bytes_)) != 0) {
        why += fmt::format("; and the file could not be cut back: {}", std::strerror(errno));
      }
      failed(why);
    }
    tell_progress();
  }

  hl::Coro<void> append_batch(bool force) {
    if (batch_.empty()) {
      in_batch_ = recorded();
      log_.take(batch_);
    }
    co_await file_.append(batch_);
    file_bytes_ += batch_.size();
    batch_.clear();
    if (!force) co_return;
    co_await forcing_->data(file_);
    if (!failing()) durable_ = in_batch_;
  }

  void failed(const std::string& why) {
    const bool before = failing();
    executor_.refuse_writes = "MISCONF the append-only file can't be written: " + why;
    if (!before) spdlog::error("{}; writes are refused until it has been rewritten", executor_.refuse_writes);
  }

  /// All who wait in durable() look again.
  void tell_progress() {
    progress_.set();
    progress_.clear();
  }

  hl::Coro<void> rewrite_file() {
    const std::string fresh_path = path_ + ".rewrite";
    try {
      auto fresh = co_await hl::File::open(fresh_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
      std::string chunk;
      for (bool all = false; !all;) {  // the keys as they are, a few at a time; requests come in between
        auto held = co_await take_within_step(keys_);
        all = log_.rewrite(executor_.store, rewrite_budget, unix_time_ms());
        held.release();
        log_.take_rewritten(chunk);
        co_await fresh.append(chunk);
        co_await hl::sleep(0);
      }
      // From here on the writer waits, and what it would write goes to the new file alone.
      auto held = co_await file_lock_.acquire();
      log_.take_rewritten(chunk);
      const std::uint64_t covered = recorded();
      co_await fresh.append(chunk);
      co_await forcing_->data(fresh);
      const std::uint64_t size = co_await fresh.size();
      if (std::rename(fresh_path.c_str(), path_.c_str()) != 0) fail("can't rename " + fresh_path);
      spdlog::info("the append-only file was rewritten: {} bytes, before {}", size, file_bytes_);
      // The new file has the name: it is what is appended to, whatever becomes of the name on the disk.
      log_.switch_over();
      file_ = std::move(fresh);
      batch_.clear();
      in_batch_ = covered;
      file_bytes_ = rewritten_bytes_ = size;
      forcing_->names(options_.dir, ::dirfd(dir_.get()));
      durable_ = covered;
      if (failing()) spdlog::info("the append-only file is whole again, writes are accepted");
      executor_.refuse_writes.clear();
      retry_time_ = first_retry_time;
    } catch (const std::system_error& e) {
      if (rewriting()) {
        log_.abort_rewrite();
        ::unlink(fresh_path.c_str());
        spdlog::error("the append-only file could not be rewritten: {}", e.what());
      } else {
        failed(e.what());  // after a crash the old file may be there
      }
      no_rewrite_before_ = hl::loop_time() + retry_time_;
      retry_time_ = std::min(2 * retry_time_, last_retry_time);
    }
    tell_progress();             // the new file has what some wait for
    if (failing()) work_.set();  // the writer begins the next rewrite
  }

  const Options& options_;
  Executor& executor_;
  hl::PriorityLock& keys_;
  const std::unique_ptr<Forcing> forcing_;
  const std::string path_ = options_.dir + "/appendonly.heirloop";
  std::unique_ptr<DIR, int (*)(DIR*)> dir_{nullptr, &::closedir};  // locked for this process
  Log log_{true};

  hl::File file_;
  hl::PriorityLock file_lock_{"append-only file"};
  hl::Event work_{"work for the journal"}, progress_{"progress of the journal"};
  hl::PriorityTask<void> writer_, rewriter_;
  std::string batch_;           // taken from the log and not yet in the file
  std::uint64_t in_batch_ = 0;  // commands in the batch or in the file
  std::uint64_t durable_ = 0;   // of these, on the disk
  std::uint64_t file_bytes_ = 0;
  std::uint64_t rewritten_bytes_ = 0;  // size after the last rewrite
  std::chrono::steady_clock::time_point no_rewrite_before_{};
  std::chrono::milliseconds retry_time_ = first_retry_time;  // before a rewrite that failed is begun again
  bool stopping_ = false;
};

}  // namespace kv
