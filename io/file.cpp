#include <heirloop/io/detached.hpp>
#include <heirloop/io/file.hpp>
#include <heirloop/io/owned_fd.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace heirloop {
namespace detail {

FileState::~FileState() {
  if (fd_ >= 0) ::close(fd_);
}

void FileWait::check_open() const {
  if (!file_->is_open()) fail(EBADF);
}

void FileWait::fail(int error) const {
  throw std::system_error(error, std::system_category(), std::string(what_) + " " + file_->path());
}

void FileWait::await_suspend(std::coroutine_handle<> frame) {
  check_open();
  Loop& loop = Loop::current();
  IoDriver& driver = io_driver(loop);
  request_.fd = file_->fd();
  driver.start(*this, current_urgency());
  driver_ = &driver;
  waiter_ = this;
  loop.block(*this, frame);
}

AbortResult FileWait::abort() noexcept {
  if (!in_flight()) return AbortResult::done;
  if (!begun_ && driver_->withdraw(*this)) {
    waiter_ = nullptr;
    return AbortResult::done;
  }
  return AbortResult::pending;
}

void SyncWait::await_resume() const {
  Loop::resumed();
  if (result() < 0) fail(-result());
}

TransferWait::TransferWait(OperationKind kind, FileRef file, const char* what, void* memory, std::size_t size,
                           std::uint64_t offset) noexcept
    : FileWait(kind, std::move(file), what) {
  request_.memory = memory;
  request_.length = size;
  request_.offset = offset;
}

/// The next part, until all is done, the file ends, or the kernel says no.
void TransferWait::completed() noexcept {
  const int part = result();
  if (part > 0) {
    const auto count = static_cast<std::size_t>(part);
    done_ += count;
    begun_ = true;
    request_.memory = static_cast<std::byte*>(request_.memory) + count;
    request_.length -= count;
    if (request_.offset != Request::current_position) request_.offset += count;
  } else if (part < 0 && part != -EINTR && part != -EAGAIN) {
    error_ = -part;
  }
  if (part != 0 && error_ == 0 && request_.length != 0) {
    driver_->start(*this, urgency());
  } else {
    wake_waiter();
  }
}

std::size_t ReadWait::await_resume() const {
  if (was_blocked()) Loop::resumed();
  if (error_ != 0) fail(error_);
  return done_;
}

void FileWriteWait::await_resume() const {
  if (was_blocked()) Loop::resumed();
  if (request_.length == 0) return;
  throw WriteError(std::error_code(error_ != 0 ? error_ : ENOSPC, std::system_category()),
                   std::string(what_) + " " + file_->path() + " (" + std::to_string(done_) + " bytes of " +
                       std::to_string(done_ + request_.length) + " are written)",
                   done_);
}

void AppendWait::await_suspend(std::coroutine_handle<> frame) {
  if (file_->appending) throw InvalidStateError("two tasks can't append to " + file_->path() + " at the same time");
  FileWait::await_suspend(frame);
  file_->appending = started_ = true;
}

namespace {

class Open final : public Detached {
 public:
  static constexpr const char* what = "a file to open";

  Open(std::string path, int flags, unsigned mode) noexcept : Detached(OperationKind::open), path_(std::move(path)) {
    request_.fd = AT_FDCWD;
    request_.memory = path_.data();
    request_.flags = static_cast<std::uint32_t>(flags | O_CLOEXEC);
    request_.length = mode;
  }
  ~Open() override {
    if (state() == State::done && result() >= 0 && !taken_) ::close(result());
  }

  FileRef take() {
    if (result() < 0) throw std::system_error(-result(), std::system_category(), "open " + path_);
    taken_ = true;
    OwnedFd fd(result());
    auto* file = new FileState(fd.get(), std::move(path_));
    fd.release();
    return FileRef(file);
  }
  std::string describe() const { return "the opening of " + path_; }

 private:
  std::string path_;
  bool taken_ = false;
};

class Close final : public Detached {
 public:
  static constexpr const char* what = "a file to close";

  explicit Close(FileRef file) noexcept : Detached(OperationKind::close), file_(std::move(file)) {
    request_.fd = file_->release_fd();
  }
  ~Close() override {
    if (state() != State::done || result() == -ECANCELED) ::close(request_.fd);
  }

  void check() const {
    if (result() < 0) throw std::system_error(-result(), std::system_category(), "close " + file_->path());
  }
  std::string describe() const { return "the close of " + file_->path(); }

 private:
  FileRef file_;
};

Coro<void> close_file(FileRef file) {
  if (!file->is_open()) co_return;
  file->close();
  // Two references are the handle's and this one; any other is an operation's, and the last of those closes.
  if (file->references() > 2) co_return;
  DetachedWait<Close> wait(file);
  (co_await wait).check();
}

}  // namespace
}  // namespace detail

Coro<File> File::open(std::string path, int flags, unsigned mode) {
  detail::DetachedWait<detail::Open> wait(std::move(path), flags, mode);
  co_return File((co_await wait).take());
}

int File::checked_open() const {
  if (!checked()->is_open()) throw std::system_error(EBADF, std::system_category(), "use of " + path());
  return file_->fd();
}

Coro<void> File::truncate(std::uint64_t size) {
  if (::ftruncate(checked_open(), static_cast<off_t>(size)) != 0) {
    throw std::system_error(errno, std::system_category(), "truncate " + path());
  }
  co_return;
}

Coro<std::uint64_t> File::size() const {
  struct stat status {};
  if (::fstat(checked_open(), &status) != 0) {
    throw std::system_error(errno, std::system_category(), "size of " + path());
  }
  co_return static_cast<std::uint64_t>(status.st_size);
}

Coro<void> File::close() { return detail::close_file(checked()); }

}  // namespace heirloop
