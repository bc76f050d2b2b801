#include "kvserver/journal.hpp"

#include "kvserver/housekeeping.hpp"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <system_error>

namespace kv {

namespace hl = heirloop;
using namespace std::chrono_literals;

namespace {
constexpr std::size_t rewrite_budget = 500;  // buckets and keys a step, some 50 µs
constexpr auto gather_time = 50ms;           // between two writes, unless replies wait for them
constexpr std::chrono::milliseconds first_retry_time = 250ms, last_retry_time = 10s;  // doubled in between

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}
}  // namespace

Journal::Directory::Directory(const std::string& path)
    : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0) fail(errno, "can't use --dir " + path);
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    ::close(fd_);
    fail(error, "--dir " + path + " is in use by another kvserver");
  }
}

Journal::Directory::~Directory() { ::close(fd_); }

hl::Coro<void> Forcing::data(hl::File& file) { co_await file.fdatasync(); }

bool Forcing::names(int directory) noexcept { return ::fsync(directory) == 0; }

void Journal::Directory::sync(Forcing& forcing) const {
  if (!forcing.names(fd_)) fail(errno, "can't force the names in " + path_ + " to the disk");
}

Journal::Journal(const Options& options, Executor& executor, Store& store, hl::PriorityLock& keys,
                 std::unique_ptr<Forcing> forcing)
    : sync_(options.sync),
      forcing_(std::move(forcing)),
      dir_(options.dir),
      path_(options.dir + "/appendonly.heirloop"),
      rewrite_min_bytes_(options.rewrite_min_bytes),
      executor_(executor),
      store_(store),
      keys_(keys),
      log_(::access(path_.c_str(), F_OK) != 0),
      retry_time_(first_retry_time) {
  const Loaded loaded = load_log(path_, [&](Args args) { return executor.replay(args); });
  if (loaded.torn_bytes > 0) {
    spdlog::warn("{}: the last record was not written to its end; {} bytes from byte {} on are cut off",
                 path_, loaded.torn_bytes, loaded.valid_bytes);
    if (::truncate(path_.c_str(), static_cast<off_t>(loaded.valid_bytes)) != 0)
      fail(errno, "can't cut the end off " + path_);
  }
  if (loaded.valid_bytes == 0) log_ = Log(true);
  file_bytes_ = rewritten_bytes_ = loaded.valid_bytes;
}

hl::Coro<void> Journal::start() {
  std::string why;
  try {
    file_.emplace(co_await hl::File::open(path_, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
    // A new file gets its first line now, so that what can't be written is found now.
    co_await append_batch(true);
    dir_.sync(*forcing_);
  } catch (const std::system_error& e) {
    why = e.what();
  }
  if (!why.empty()) throw std::runtime_error("can't write in --dir: " + why);
  writer_ = hl::create_task(write_for_ever(), {.name = "journal", .priority = hl::priority::high});
}

hl::Coro<bool> Journal::durable() {
  const std::uint64_t mine = recorded_;
  const std::uint64_t failures = failures_;
  if (failing()) co_return durable_ >= mine;
  auto held = co_await state_lock_.acquire();
  work_.notify();
  while (durable_ < mine && failures_ == failures) co_await progress_.wait();
  co_return durable_ >= mine;
}

hl::Coro<void> Journal::write_for_ever() {
  auto next_force = hl::loop_time() + 1s;
  while (!stopping_) {
    if (replies_wait() && !failing()) {
      auto held = co_await state_lock_.acquire();
      while (recorded_ == durable_ && !stopping_ && !failing()) co_await work_.wait();
    } else {
      napping_ = true;
      try {
        co_await hl::sleep(gather_time);
      } catch (const hl::InterruptException&) {
        // stop() does not want to wait
      }
      napping_ = false;
    }
    const bool second_over = hl::loop_time() >= next_force;
    if (second_over) next_force = hl::loop_time() + 1s;
    if (written_ < recorded_ || failing() || durable_ < written_) {
      co_await write_batch(replies_wait() || (sync_ == Sync::everysec && second_over));
    }
    const bool has_grown = file_bytes_ >= rewrite_min_bytes_ && file_bytes_ >= 2 * rewritten_bytes_;
    if ((has_grown || failing()) && hl::loop_time() >= no_rewrite_before_ && !stopping_) rewrite();
  }
}

/// What has been recorded goes into the file, and to the disk when `force`.
hl::Coro<void> Journal::write_batch(bool force) {
  std::string why;
  {
    auto held = co_await file_lock_.acquire();
    try {
      co_await append_batch(force);
    } catch (const std::system_error& e) {
      why = e.what();
    }
    if (!why.empty()) {
      try {
        co_await file_->truncate(file_bytes_);
      } catch (const std::system_error& e) {
        why += std::string("; and the file could not be cut back: ") + e.what();
      }
      failed(why);
    }
  }
  auto held = co_await state_lock_.acquire();
  progress_.notify_all();
}

hl::Coro<void> Journal::append_batch(bool force) {
  if (batch_.empty()) {
    in_batch_ = recorded_;
    if (log_.pending()) log_.take(batch_);
  }
  if (!batch_.empty()) co_await file_->append(batch_);
  file_bytes_ += batch_.size();
  batch_.clear();
  written_ = in_batch_;
  if (!force) co_return;
  const std::uint64_t forced = written_;
  co_await forcing_->data(*file_);
  if (!failing()) durable_ = forced;
}

void Journal::failed(const std::string& why) {
  ++failures_;
  if (!failing())
    spdlog::error("the append-only file can't be written, writes are refused until it has been rewritten: {}",
                  why);
  executor_.refuse_writes = "MISCONF the append-only file can't be written: " + why;
}

bool Journal::rewrite() {
  if (log_.rewriting()) return false;
  log_.begin_rewrite();
  rewriter_ = hl::create_task(rewrite_file(), {.name = "rewrite", .priority = hl::priority::low});
  return true;
}

hl::Coro<void> Journal::rewrite_file() {
  const std::string fresh_path = path_ + ".rewrite";
  const std::uint64_t before = file_bytes_;
  bool switched = false;
  std::string why;
  try {
    auto fresh =
        co_await hl::File::open(fresh_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    co_await fill(fresh);
    // From here on the writer waits, and what it would write goes to the new file alone.
    auto held = co_await file_lock_.acquire();
    std::string rest;
    log_.take_rewritten(rest);
    const std::uint64_t covered = recorded_;
    co_await fresh.append(rest);
    co_await forcing_->data(fresh);
    const std::uint64_t size = co_await fresh.size();
    if (std::rename(fresh_path.c_str(), path_.c_str()) != 0) fail(errno, "can't rename " + fresh_path);
    switched = true;
    switch_to(std::move(fresh), size, covered);
  } catch (const std::system_error& e) {
    why = e.what();
  }
  if (switched) {
    spdlog::info("the append-only file was rewritten: {} bytes, before {}", file_bytes_, before);
  } else {
    log_.abort_rewrite();
    ::unlink(fresh_path.c_str());
    spdlog::error("the append-only file could not be rewritten: {}", why);
  }
  if (switched && !failing()) {
    retry_time_ = first_retry_time;
  } else {
    no_rewrite_before_ = hl::loop_time() + retry_time_;
    retry_time_ = std::min(2 * retry_time_, last_retry_time);
  }
  auto held = co_await state_lock_.acquire();
  progress_.notify_all();         // the new file has what some wait for
  if (failing()) work_.notify();  // the writer begins the next rewrite
}

/// The new file has the name: it is what is appended to, whatever becomes of the name on the disk.
void Journal::switch_to(hl::File&& fresh, std::uint64_t size, std::uint64_t covered) {
  log_.switch_over();
  file_ = std::move(fresh);
  batch_.clear();
  in_batch_ = written_ = covered;
  file_bytes_ = rewritten_bytes_ = size;
  try {
    dir_.sync(*forcing_);
  } catch (const std::system_error& e) {
    failed(e.what());  // after a crash the old file may be there
    return;
  }
  durable_ = covered;
  if (failing()) spdlog::info("the append-only file is whole again, writes are accepted");
  executor_.refuse_writes.clear();
}

/// The keys as they are, a few at a time; requests come in between.
hl::Coro<void> Journal::fill(hl::File& fresh) {
  std::string chunk;
  for (bool all = false; !all;) {
    {
      auto held = co_await keys_.acquire();
      all = log_.rewrite(store_, rewrite_budget, unix_time_ms());
    }
    log_.take_rewritten(chunk);
    co_await fresh.append(chunk);
    co_await hl::sleep(0);
  }
}

hl::Coro<void> Journal::stop() {
  stopping_ = true;
  {
    auto held = co_await state_lock_.acquire();
    work_.notify();
  }
  if (napping_) co_await hl::task_interrupt(writer_, hl::InterruptException("the server stops"));
  co_await writer_;
  co_await write_batch(true);
  if (failing()) {
    rewrite();  // if none is under way
    co_await rewriter_;
  }
  if (failing()) spdlog::error("{}: the last writes may be lost", executor_.refuse_writes);
}

}  // namespace kv
