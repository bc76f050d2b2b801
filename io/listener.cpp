#include <heirloop/io/listener.hpp>
#include <heirloop/sched/errors.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace heirloop::detail {
namespace {

// The connection went away before it was taken, or the network hiccuped; the next one may be well (accept(2)).
bool concerns_one_connection(int error) noexcept {
  switch (error) {
    case ECONNABORTED:
    case EINTR:
    case EAGAIN:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EPERM:
      return true;
    default:
      return false;
  }
}

}  // namespace

Listener::Listener(int fd, const SocketAddress& address)
    : Operation(OperationKind::accept), listening_fd_(fd), address_(address) {
  kept_.reserve(4);
}

Listener::~Listener() {
  for (const Accepted& accepted : kept_) ::close(accepted.fd);
}

void Listener::fail(int error) const {
  throw std::system_error(error, std::system_category(), "accept on " + address_.to_string());
}

Accepted Listener::take_kept() noexcept {
  if (kept_.empty()) return {};
  const Accepted accepted = kept_.front();
  kept_.erase(kept_.begin());
  return accepted;
}

void Listener::arm() {
  if (in_flight()) return;
  IoDriver& driver = io_driver();
  peer_size_ = SocketAddress::capacity;
  request_.fd = listening_fd_;
  request_.flags = SOCK_CLOEXEC;
  request_.memory = peer_.data();
  request_.address_length = &peer_size_;
  driver.start(*this, current_urgency());
  driver_ = &driver;
  retain();
}

void Listener::enter(WaitNode& node) {
  arm();
  enter_queue(Loop::current(), node, waiters_);
}

void Listener::give(const Accepted& accepted) noexcept {
  if (!is_open()) {
    ::close(accepted.fd);
  } else if (WaitNode* next = waiters_.next()) {
    auto& wait = static_cast<AcceptWaitBase&>(next->wait());
    wait.deliver(accepted, 0);
    wait.task()->loop().wake(wait);
  } else {
    try {
      kept_.push_back(accepted);
    } catch (...) {
      ::close(accepted.fd);
    }
  }
}

void Listener::completed() noexcept {
  if (result() >= 0) {
    give({result(), peer_});
  } else if (is_open() && !concerns_one_connection(-result())) {
    if (WaitNode* next = waiters_.next()) {
      auto& wait = static_cast<AcceptWaitBase&>(next->wait());
      wait.deliver({}, -result());
      wait.task()->loop().wake(wait);
    }
  }
  if (is_open() && !waiters_.empty()) {
    const Urgency urgency = waiters_.best();
    peer_size_ = SocketAddress::capacity;
    driver_->start(*this, urgency);
    return;  // the reference goes on with it
  }
  wake_waiter();
  release();
}

void Listener::shut() noexcept {
  if (!is_open()) return;
  const int fd = std::exchange(listening_fd_, -1);
  retain();
  if (in_flight() && driver_->cancel(*this) == IoDriver::CancelAnswer::withdrawn) release();
  if (in_flight()) ::shutdown(fd, SHUT_RDWR);
  ::close(fd);
  abandon();
  for (const Accepted& accepted : kept_) ::close(accepted.fd);
  kept_.clear();
  while (WaitNode* next = waiters_.next()) {
    auto& wait = static_cast<AcceptWaitBase&>(next->wait());
    wait.deliver({}, ECANCELED);
    wait.task()->loop().wake(wait);
  }
  release();
}

// ---- the wait ----

AcceptWaitBase::~AcceptWaitBase() {
  if (accepted_.fd >= 0) listener_->give(accepted_);
}

bool AcceptWaitBase::await_ready() noexcept {
  if (!listener_->is_open()) {
    error_ = EBADF;
    return true;
  }
  accepted_ = listener_->take_kept();
  return accepted_.fd >= 0;
}

void AcceptWaitBase::await_suspend(std::coroutine_handle<> frame) {
  Loop& loop = Loop::current();
  listener_->enter(node_);
  loop.block(*this, frame);
}

AbortResult AcceptWaitBase::abort() noexcept {
  if (accepted_.fd >= 0) listener_->give(std::exchange(accepted_, {}));
  return AbortResult::done;
}

Accepted AcceptWaitBase::finish() {
  if (was_blocked()) Loop::resumed();
  if (error_ != 0) listener_->fail(error_);
  return std::exchange(accepted_, {});
}

}  // namespace heirloop::detail
