// Files: open, append, read, write, force to the disk.
//
// Owns: handles. The descriptor lives in detail::FileState as long as the handle or an operation needs it.
//
// 1. A file operation that the kernel has begun can't be called off: an interrupted task goes on when it has ended. So
//    memory is lent, not copied, and what began is done whole.
// 2. Everything but `open` and `close` with no operation in flight runs in a worker thread of the kernel, unless the
//    page cache has what is read.
#pragma once

#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/operation.hpp>
#include <heirloop/io/ref.hpp>
#include <heirloop/sched/coro.hpp>
#include <heirloop/sched/errors.hpp>
#include <heirloop/sched/frame_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace heirloop {

/// A write that failed on its way: a full disk, an error of the device.
class WriteError : public std::system_error {
 public:
  WriteError(std::error_code code, const std::string& what, std::size_t written)
      : std::system_error(code, what), written_(written) {}

  /// How many bytes of the write are in the file.
  std::size_t written() const noexcept { return written_; }

 private:
  std::size_t written_;
};

namespace detail {

class FileState final : public Pooled {
 public:
  FileState(int fd, std::string path) noexcept : fd_(fd), path_(std::move(path)) {}

  int fd() const noexcept { return fd_; }
  const std::string& path() const noexcept { return path_; }
  bool is_open() const noexcept { return open_; }
  std::uint32_t references() const noexcept { return references_; }

  /// No new operation; the descriptor closes with the last reference, so that none meets another file under its number.
  void close() noexcept { open_ = false; }
  int release_fd() noexcept { return std::exchange(fd_, -1); }

  bool appending = false;

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

 private:
  ~FileState();

  int fd_;
  std::uint32_t references_ = 1;
  bool open_ = true;
  std::string path_;
};
using FileRef = Ref<FileState>;

/// One operation on a file, in the frame that waits for it.
class FileWait : public Wait, protected Operation {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> frame);

  AbortResult abort() noexcept override;
  std::string describe() const override { return std::string(what_) + " " + file_->path(); }

 protected:
  FileWait(OperationKind kind, FileRef file, const char* what) noexcept
      : Operation(kind), file_(std::move(file)), what_(what) {}
  ~FileWait() = default;

  void completed() noexcept override { wake_waiter(); }
  void check_open() const;
  [[noreturn]] void fail(int error) const;

  FileRef file_;
  const char* what_;
  IoDriver* driver_ = nullptr;
  bool begun_ = false;  // a part is done, so the rest must follow
};

/// fsync and fdatasync.
class SyncWait final : public FileWait {
 public:
  SyncWait(OperationKind kind, FileRef file) noexcept : FileWait(kind, std::move(file), "force to the disk") {}
  void await_resume() const;
};

/// A read or a write, in as many parts as the kernel makes of it.
class TransferWait : public FileWait {
 public:
  bool await_ready() const noexcept { return request_.length == 0; }

 protected:
  TransferWait(OperationKind kind, FileRef file, const char* what, void* memory, std::size_t size,
               std::uint64_t offset) noexcept;
  ~TransferWait() = default;
  void completed() noexcept override;

  std::size_t done_ = 0;
  int error_ = 0;
};

class ReadWait final : public TransferWait {
 public:
  ReadWait(FileRef file, std::span<std::byte> into, std::uint64_t offset) noexcept
      : TransferWait(OperationKind::read, std::move(file), "read", into.data(), into.size(), offset) {}
  std::size_t await_resume() const;
};

class FileWriteWait : public TransferWait {
 public:
  FileWriteWait(FileRef file, const char* what, const void* data, std::size_t size, std::uint64_t offset) noexcept
      : TransferWait(OperationKind::write, std::move(file), what, const_cast<void*>(data), size, offset) {}
  void await_resume() const;
};

class AppendWait final : public FileWriteWait {
 public:
  AppendWait(FileRef file, const void* data, std::size_t size) noexcept
      : FileWriteWait(std::move(file), "append to", data, size, Request::current_position) {}
  ~AppendWait() {
    if (started_) file_->appending = false;
  }
  void await_suspend(std::coroutine_handle<> frame);

 private:
  bool started_ = false;
};

}  // namespace detail

/// An open file. Movable. Errors of all its calls are std::system_error with the operation and the path in the text.
///
/// Interrupt, of all that transfer or force: when the kernel has begun, the task goes on as the operation has ended,
/// whole, and the exception is thrown then; before that, nothing has happened. Memory is lent until the call returns.
class File {
 public:
  File() noexcept = default;
  File(File&& other) noexcept = default;
  File& operator=(File&& other) noexcept {
    std::swap(file_, other.file_);
    return *this;
  }
  /// Closes, as the last operation in flight ends. An error of the close is lost: `close()` reports it.
  ~File() {
    if (file_) file_->close();
  }

  /// Opens as open(2) does: `flags` are O_RDONLY, O_CREAT and so on; O_CLOEXEC is added.
  /// Suspends: always. Interrupt: what was opened is closed again; a created file stays. Errors: what open(2) says.
  static Coro<File> open(std::string path, int flags, unsigned mode = 0644);

  /// Writes all of it at the file's position: its end, with O_APPEND. One task appends at a time.
  /// Suspends: always, unless empty. Errors: WriteError, which knows how much is in the file; InvalidStateError while
  /// another append is under way. Cost: one operation in a worker thread, some 6 µs, none of it on the loop.
  detail::AppendWait append(std::string_view data) { return detail::AppendWait(checked(), data.data(), data.size()); }
  detail::AppendWait append(std::span<const std::byte> data) {
    return detail::AppendWait(checked(), data.data(), data.size());
  }

  /// Writes all of it at `offset`. Errors: WriteError.
  detail::FileWriteWait write_at(std::string_view data, std::uint64_t offset) {
    return detail::FileWriteWait(checked(), "write to", data.data(), data.size(), offset);
  }
  detail::FileWriteWait write_at(std::span<const std::byte> data, std::uint64_t offset) {
    return detail::FileWriteWait(checked(), "write to", data.data(), data.size(), offset);
  }

  /// Fills the span from `offset`; fewer bytes only at the end of the file.
  detail::ReadWait read_at(std::span<std::byte> into, std::uint64_t offset) {
    return detail::ReadWait(checked(), into, offset);
  }

  /// Forces data and metadata to the disk.
  detail::SyncWait fsync() { return detail::SyncWait(OperationKind::fsync, checked()); }

  /// Forces the data, and what is needed to read it.
  detail::SyncWait fdatasync() { return detail::SyncWait(OperationKind::fdatasync, checked()); }

  /// Cuts or extends the file. Suspends: never; ftruncate(2) in the step, tens of microseconds on a local disk.
  Coro<void> truncate(std::uint64_t size);

  /// Bytes in the file. Suspends: never; fstat(2) in the step.
  Coro<std::uint64_t> size() const;

  /// Closes and reports what close(2) says. Suspends: unless an operation is in flight: the file then closes as that
  /// ends. Interrupt: the file closes by itself.
  Coro<void> close();

  bool is_open() const noexcept { return file_ && file_->is_open(); }
  const std::string& path() const { return checked()->path(); }
  int native_handle() const noexcept { return is_open() ? file_->fd() : -1; }

 private:
  explicit File(detail::FileRef file) noexcept : file_(std::move(file)) {}
  const detail::FileRef& checked() const {
    if (!file_) throw InvalidStateError("this File is empty: it was moved from, or never opened");
    return file_;
  }

  int checked_open() const;

  detail::FileRef file_;
};

}  // namespace heirloop
