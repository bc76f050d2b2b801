#include <heirloop/io/socket.hpp>
#include <heirloop/sched/errors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace heirloop::detail {

/// A write on its way out. Lives until the kernel has it all, or the socket has failed.
struct PendingWrite final : Pooled {
  PendingWrite* next = nullptr;
  WriteWait* writer = nullptr;  // null when it has left
  Buffer copy;
  std::string text;
  std::size_t sent = 0;
  std::size_t size = 0;

  char* data() noexcept { return copy.data() != nullptr ? copy.data() : text.data(); }
};

void Socket::fail(const char* what, int error) const {
  throw std::system_error(error, std::system_category(), std::string(what) + " " + peer_.to_string());
}

// ---- in ----

void Socket::consume(std::size_t count) {
  if (count > end_ - begin_) throw std::invalid_argument("consume: more than there is unread");
  begin_ += count;
  seen_ = std::max(seen_, begin_);
}

bool Socket::news() const {
  if (end_ != seen_) return true;
  if (read_error_ != 0) fail("read from", read_error_);
  if (at_end_) return false;
  if (!is_open()) fail("read from", EBADF);
  return true;
}

void Socket::begin_read(FillWait& reader, std::size_t limit) {
  if (receive_.waiter_ != nullptr) {
    throw InvalidStateError("two tasks can't read from " + peer_.to_string() + " at the same time");
  }
  if (!receive_.in_flight()) {
    IoDriver& driver = io_driver();
    make_room(limit);
    arm_receive(driver, current_urgency());
  }
  receive_.waiter_ = &reader;
}

void Socket::leave_reader(const FillWait& reader) noexcept {
  if (receive_.waiter_ == &reader) receive_.waiter_ = nullptr;
}

/// Room behind the unread bytes: at least half of the inbox. It grows with what comes, and shrinks again.
void Socket::make_room(std::size_t limit) {
  const std::size_t unread = end_ - begin_;
  const std::size_t capacity = inbox_.capacity();
  const bool may_grow = filled_ && capacity < inbox_limit;
  if (unread == 0) {
    begin_ = end_ = seen_ = 0;
    if (capacity == 0) {
      inbox_ = Buffer(Buffer::smallest);
    } else if (may_grow) {
      inbox_ = Buffer(capacity * 2);
    } else if (small_receives_ >= 16 && capacity > Buffer::smallest) {
      inbox_ = Buffer(capacity / 2);
      small_receives_ = 0;
    }
    return;
  }
  if (unread >= limit) fail("no room to read more before what is unread is consumed: read from", ENOBUFS);
  if (unread > capacity / 2 || may_grow) {
    move_inbox(capacity * 2);
  } else if (capacity - end_ < capacity / 2) {
    std::memmove(inbox_.data(), inbox_.data() + begin_, unread);
    seen_ -= begin_;
    begin_ = 0;
    end_ = unread;
  }
}

void Socket::move_inbox(std::size_t capacity) {
  Buffer larger(capacity);
  const std::size_t unread = end_ - begin_;
  std::memcpy(larger.data(), inbox_.data() + begin_, unread);
  inbox_ = std::move(larger);
  seen_ -= begin_;
  begin_ = 0;
  end_ = unread;
}

void Socket::arm_receive(IoDriver& driver, const Urgency& urgency) {
  Request& request = receive_.request_;
  request.fd = fd_;
  request.memory = inbox_.data() + end_;
  request.length = inbox_.capacity() - end_;
  request.likely_to_wait = !receive_.more_ready();
  driver.start(receive_, urgency);
  driver_ = &driver;
  retain();
}

void Socket::received() noexcept {
  const int result = receive_.result();
  if (result > 0) {
    const auto count = static_cast<std::size_t>(result);
    end_ += count;
    filled_ = count == receive_.request_.length;
    small_receives_ = count <= inbox_.capacity() / 4 && small_receives_ < 255
                          ? static_cast<std::uint8_t>(small_receives_ + 1)
                          : std::uint8_t{0};
  } else if (result == 0) {
    at_end_ = true;
  } else if ((result == -EINTR || result == -EAGAIN) && is_open()) {
    arm_receive(*driver_, receive_.urgency());
  } else if (is_open()) {
    read_error_ = -result;
  }
  if (!receive_.in_flight()) receive_.wake_waiter();
  release();
}

// ---- out ----

int Socket::write_error() const noexcept {
  if (!is_open()) return EBADF;
  if (write_shut_) return EPIPE;
  return write_error_;
}

std::ptrdiff_t Socket::send_now(std::string_view data) noexcept {
  for (;;) {
    const auto count = ::send(fd_, data.data(), std::min(data.size(), longest_send), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) return count;
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == ENOBUFS) return 0;
    write_error_ = errno;
    return -errno;
  }
}

PendingWrite* Socket::enqueue(WriteWait& writer, std::string_view data, std::string&& text) {
  IoDriver& driver = io_driver();
  auto* record = new PendingWrite;
  try {
    if (!text.empty()) {
      record->sent = text.size() - data.size();
      record->size = text.size();
      record->text = std::move(text);
    } else if (!data.empty()) {
      record->copy = Buffer(data.size());
      record->size = data.size();
      std::memcpy(record->copy.data(), data.data(), data.size());
    }
    if (outbox_ == nullptr) {
      outbox_ = outbox_last_ = record;
      arm_send(driver, current_urgency());
    } else {
      outbox_last_->next = record;
      outbox_last_ = record;
    }
  } catch (...) {
    if (outbox_ == record) outbox_ = outbox_last_ = nullptr;
    delete record;
    throw;
  }
  record->writer = &writer;
  if (outbox_ == record) send_.waiter_ = &writer;
  return record;
}

void Socket::leave_writer(const WriteWait& writer) noexcept {
  if (send_.waiter_ == &writer) send_.waiter_ = nullptr;
}

void Socket::arm_send(IoDriver& driver, const Urgency& urgency) {
  Request& request = send_.request_;
  request.fd = fd_;
  request.memory = outbox_->data() + outbox_->sent;
  request.length = std::min(outbox_->size - outbox_->sent, longest_send);
  request.flags = MSG_NOSIGNAL | MSG_WAITALL;
  driver.start(send_, urgency);
  driver_ = &driver;
  send_.waiter_ = outbox_->writer;
  retain();
}

void Socket::sent() noexcept {
  const int result = send_.result();
  send_.waiter_ = nullptr;
  if (!is_open()) {
    fail_writes(ECANCELED);
  } else if (result >= 0 || result == -EINTR || result == -EAGAIN) {
    outbox_->sent += static_cast<std::size_t>(std::max(result, 0));
    while (outbox_ != nullptr && outbox_->sent == outbox_->size) pop_write(0);
    if (outbox_ != nullptr) arm_send(*driver_, send_.urgency());
  } else {
    write_error_ = -result;
    fail_writes(-result);
  }
  release();
}

void Socket::pop_write(int error) noexcept {
  PendingWrite* record = outbox_;
  outbox_ = record->next;
  if (outbox_ == nullptr) outbox_last_ = nullptr;
  if (WriteWait* writer = record->writer) {
    writer->ended(error);
    writer->task()->loop().wake(*writer);
  }
  delete record;
}

void Socket::fail_writes(int error) noexcept {
  while (outbox_ != nullptr) pop_write(error);
}

void Socket::shutdown_write() {
  if (const int error = write_error(); error != 0) fail("shutdown_write to", error);
  write_shut_ = true;
  if (::shutdown(fd_, SHUT_WR) != 0 && errno != ENOTCONN) fail("shutdown_write to", errno);
}

void Socket::shut() noexcept {
  if (!is_open()) return;
  const int fd = std::exchange(fd_, -1);
  if (receive_.in_flight() && driver_->cancel(receive_) == IoDriver::CancelAnswer::withdrawn) release();
  if (send_.in_flight() && driver_->cancel(send_) == IoDriver::CancelAnswer::withdrawn) release();
  // What the kernel still holds keeps the connection open: end it for the peer now.
  if (receive_.in_flight() || send_.in_flight()) ::shutdown(fd, SHUT_RDWR);
  ::close(fd);
  read_error_ = ECANCELED;
  receive_.wake_waiter();
  receive_.abandon();
  send_.abandon();
  if (!send_.in_flight()) {
    fail_writes(ECANCELED);
    return;
  }
  // The write at the front lends its memory to the kernel until the completion; nobody waits for it any more.
  if (WriteWait* writer = std::exchange(outbox_->writer, nullptr)) {
    writer->ended(ECANCELED);
    writer->task()->loop().wake(*writer);
  }
}

// ---- the writer's wait ----

bool WriteWait::await_ready() noexcept {
  error_ = socket_->write_error();
  if (error_ != 0 || data_.empty()) return true;
  if (!socket_->outbox_empty()) return false;
  const std::ptrdiff_t count = socket_->send_now(data_);
  if (count < 0) {
    error_ = static_cast<int>(-count);
    return true;
  }
  data_.remove_prefix(static_cast<std::size_t>(count));
  return data_.empty() && !Loop::current().should_yield();
}

void WriteWait::await_suspend(std::coroutine_handle<> frame) {
  Loop& loop = Loop::current();
  if (data_.empty() && socket_->outbox_empty()) {
    suspended_ = true;
    loop.yield(frame);
    return;
  }
  record_ = socket_->enqueue(*this, data_, std::move(text_));
  suspended_ = true;
  loop.block(*this, frame);
}

AbortResult WriteWait::abort() noexcept {
  if (record_ != nullptr) {
    record_->writer = nullptr;
    socket_->leave_writer(*this);
  }
  return AbortResult::done;
}

}  // namespace heirloop::detail
