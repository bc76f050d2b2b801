// The state of a listening socket, shared by its handle, by those who wait in accept, and by the operation in the kernel.
//
// Owns: the descriptor, the accept in flight, the waiters, and connections that came and found nobody.
//
// 1. At most one accept is in flight; it holds a reference, and so does every waiter.
// 2. A connection goes to the waiter that is next by the policy's order; an elected waiter that leaves passes it on;
//    with nobody waiting it is kept for the next accept. After `shut` it is closed.
#pragma once

#include <heirloop/io/address.hpp>
#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/operation.hpp>
#include <heirloop/io/ref.hpp>
#include <heirloop/sched/frame_pool.hpp>
#include <heirloop/sched/inheritance.hpp>

#include <string>
#include <utility>
#include <vector>

namespace heirloop::detail {

class AcceptWaitBase;

/// A connection on its way to who takes it; −1: none.
struct Accepted {
  int fd = -1;
  SocketAddress peer;
};

class Listener final : private Operation, public Pooled {
 public:
  Listener(int fd, const SocketAddress& address);

  int fd() const noexcept { return listening_fd_; }
  bool is_open() const noexcept { return listening_fd_ >= 0; }
  const SocketAddress& address() const noexcept { return address_; }

  /// One that was kept, or none.
  Accepted take_kept() noexcept;

  /// The wait begins; an accept is in flight.
  void enter(WaitNode& node);

  /// To the next waiter, or kept, or closed.
  void give(const Accepted& accepted) noexcept;

  void shut() noexcept;

  /// True until the kernel has let go of the port.
  bool lingers() const noexcept { return in_flight(); }
  void wake_when_gone(Wait* wait) noexcept { waiter_ = wait; }

  [[noreturn]] void fail(int error) const;

  void retain() noexcept { ++references_; }
  void release() noexcept {
    if (--references_ == 0) delete this;
  }

 private:
  ~Listener();
  void arm();
  void completed() noexcept override;

  int listening_fd_;
  std::uint32_t references_ = 1;
  SocketAddress address_;
  SocketAddress peer_;  // written by the kernel
  std::uint32_t peer_size_ = 0;
  IoDriver* driver_ = nullptr;
  WaiterQueue waiters_;
  std::vector<Accepted> kept_;
};

using ListenerRef = Ref<Listener>;

/// Waits for a connection.
class AcceptWaitBase : public Wait {
 public:
  explicit AcceptWaitBase(ListenerRef listener) noexcept : listener_(std::move(listener)), node_(*this) {}

  bool await_ready() noexcept;
  void await_suspend(std::coroutine_handle<> frame);

  AbortResult abort() noexcept override;
  std::string describe() const override { return "a connection to " + listener_->address().to_string(); }

  /// Called as the wait is elected: a connection, or why there is none.
  void deliver(const Accepted& accepted, int error) noexcept {
    accepted_ = accepted;
    error_ = error;
  }

 protected:
  ~AcceptWaitBase();

  /// The connection, the caller's from now on; its descriptor is −1 when there is none.
  Accepted finish();
  const ListenerRef& listener() const noexcept { return listener_; }

 private:
  ListenerRef listener_;
  WaitNode node_;
  Accepted accepted_;
  int error_ = 0;
};

}  // namespace heirloop::detail
