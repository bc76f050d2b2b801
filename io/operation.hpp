// One object per operation of the kernel.
//
// Owns: what the kernel is asked for (`Request`), the state of the operation, and who waits for its end. Derived from by
// sockets, listeners and files; moved through its states by the driver alone.
//
//   idle ──start──▶ submitted ──last completion──▶ done ──start──▶ …
//     ▲                │  └──abandon──▶ abandoned ──last completion──▶ done
//     └───withdrawn────┘
//
// 1. From `start` to the last completion the memory of the request and the operation itself stay where they are: they
//    belong to something that lives on by itself (a counted socket, a pooled block) or to a frame that can't go away
//    before (a file operation's wait answers `pending`).
// 2. An operation in the kernel has one slot in the driver's table. Slot and generation are the kernel's user data: a
//    completion that does not match both is ignored.
// 3. `completed` is called once for each `start` that was not withdrawn, by the driver, between two steps. It runs no
//    user code: it keeps the result, and wakes who waits.
// 4. An abandoned operation has no waiter. What it still brings (bytes, a descriptor) is kept or closed by `completed`.
#pragma once

#include <heirloop/sched/contract.hpp>
#include <heirloop/sched/loop.hpp>
#include <heirloop/sched/priority.hpp>
#include <heirloop/sched/wait.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace heirloop {

enum class OperationKind : std::uint8_t {
  nop,
  accept,     ///< memory: sockaddr; address_length: its size, in and out. Result: the descriptor
  connect,    ///< memory: sockaddr of `length` bytes
  receive,    ///< memory, length. Result: bytes, 0 at the end of the stream
  send,       ///< memory, length. Result: bytes
  read,       ///< memory, length, offset (`current_position` for the file's own)
  write,      ///< as read
  fsync,      ///< data and metadata
  fdatasync,  ///< data, and the metadata needed to read it
  open,       ///< memory: path; flags; length: mode. Result: the descriptor
  close,
  poll,  ///< flags: events. Result: events
};

/// What the kernel is asked for.
struct Request {
  static constexpr std::uint64_t current_position = ~std::uint64_t{0};
  /// The kernel's own bound for one transfer; a longer one goes out in parts.
  static constexpr std::size_t longest_transfer = 0x7ffff000;

  OperationKind kind = OperationKind::nop;
  bool likely_to_wait = false;  ///< receive: nothing is expected to be there yet, so wait first and try then
  int fd = -1;
  std::uint32_t flags = 0;
  std::size_t length = 0;
  void* memory = nullptr;
  std::uint64_t offset = 0;
  std::uint32_t* address_length = nullptr;
};

class Operation {
 public:
  enum class State : std::uint8_t { idle, submitted, abandoned, done };

  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  State state() const noexcept { return state_; }
  bool in_flight() const noexcept { return state_ == State::submitted || state_ == State::abandoned; }
  const Request& request() const noexcept { return request_; }

  /// Of the last completion: what the kind says, or −errno.
  int result() const noexcept { return result_; }

  /// Receive: the kernel saw more data behind this. A hint.
  bool more_ready() const noexcept { return more_ready_; }

  /// By which it leaves the queue to the kernel: its issuer's at the start, or its waiter's now if that is more urgent.
  Urgency urgency() const noexcept {
    if (waiter_ == nullptr) return urgency_;
    return most_urgent(urgency_, waiter_->task()->urgency());
  }

 protected:
  explicit Operation(OperationKind kind) noexcept { request_.kind = kind; }
  ~Operation() { contract(!in_flight(), "an operation outlives its last completion"); }

  virtual void completed() noexcept = 0;

  /// Nobody waits for it any more; it goes on in the kernel.
  void abandon() noexcept {
    waiter_ = nullptr;
    if (state_ == State::submitted) state_ = State::abandoned;
  }

  /// The waiter goes on, if there is one.
  void wake_waiter() noexcept {
    if (Wait* waiter = std::exchange(waiter_, nullptr)) waiter->task()->loop().wake(*waiter);
  }

  Request request_;
  Wait* waiter_ = nullptr;

 private:
  friend class IoDriver;
  friend class SubmissionQueue;

  Operation* queue_next_ = nullptr;  // in the submission queue
  Operation* queue_before_ = nullptr;
  Urgency urgency_;
  Urgency queued_as_;  // by which the submission queue counted it
  int result_ = 0;
  std::uint32_t slot_ = 0;
  State state_ = State::idle;
  bool queued_ = false;  // submitted by the program, not yet given to the kernel
  bool cancel_sent_ = false;
  bool more_ready_ = false;
};

}  // namespace heirloop
