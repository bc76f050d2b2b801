#include <heirloop/io/signals.hpp>
#include <heirloop/sched/errors.hpp>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

namespace heirloop::detail {
namespace {

constexpr int signal_limit = 65;

// What the handler may touch. Lock-free atomics only.
struct Handlers {
  std::atomic<int> pipe[signal_limit];  // descriptor + 1; 0: nobody watches
  std::atomic<unsigned> running{0};     // handlers that may be about to write
  std::atomic<pid_t> owner{0};          // a forked child has the pipes too, and must not write
};
constinit Handlers handlers{};
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void heirloop_on_signal(int signal) {
  const int saved = errno;
  handlers.running.fetch_add(1);
  const int pipe = handlers.pipe[signal].load() - 1;
  if (pipe >= 0 && handlers.owner.load() == ::getpid()) {
    const auto number = static_cast<unsigned char>(signal);
    [[maybe_unused]] const auto written = ::write(pipe, &number, 1);
  }
  handlers.running.fetch_sub(1);
  errno = saved;
}

}  // namespace

SignalState::SignalState(Loop& loop, std::initializer_list<int> signals, Callback callback)
    : Operation(OperationKind::poll), loop_(loop), driver_(io_driver(loop)), callback_(std::move(callback)) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::system_error(errno, std::system_category(), "pipe for signals");
  }
  read_end_ = OwnedFd(ends[0]);
  write_end_ = OwnedFd(ends[1]);
  former_.reserve(signals.size());
  kept_.reserve(16);
  handlers.owner.store(::getpid());
  try {
    for (const int signal : signals) install(signal);
    arm();
  } catch (...) {
    restore();
    throw;
  }
}

SignalState::~SignalState() = default;

void SignalState::install(int signal) {
  if (signal <= 0 || signal >= signal_limit) {
    throw std::system_error(EINVAL, std::system_category(), "watch signal " + std::to_string(signal));
  }
  int nobody = 0;
  if (!handlers.pipe[signal].compare_exchange_strong(nobody, write_end_.get() + 1)) {
    throw InvalidStateError("signal " + std::to_string(signal) + " is watched already");
  }
  struct sigaction action {};
  action.sa_handler = heirloop_on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  Former former{signal, {}};
  if (::sigaction(signal, &action, &former.action) != 0) {
    handlers.pipe[signal].store(0);
    throw std::system_error(errno, std::system_category(), "watch signal " + std::to_string(signal));
  }
  former_.push_back(former);
}

void SignalState::restore() noexcept {
  for (const Former& former : former_) {
    ::sigaction(former.signal, &former.action, nullptr);
    handlers.pipe[former.signal].store(0);
  }
  former_.clear();
  // Another thread may be inside the handler, with the pipe in its hands.
  while (handlers.running.load() != 0) {
  }
}

void SignalState::arm() {
  request_.fd = read_end_.get();
  request_.flags = POLLIN;
  driver_.start(*this, Urgency{priority::always_first});
  retain();
}

void SignalState::stop() noexcept {
  restore();
  stopped_ = true;
  if (in_flight()) {
    if (driver_.cancel(*this) == IoDriver::CancelAnswer::withdrawn) {
      release();
    } else {
      abandon();
    }
  }
  while (WaitNode* next = waiters_.next()) loop_.wake(next->wait());
}

void SignalState::completed() noexcept {
  if (!stopped_ && result() != -ECANCELED) {
    unsigned char numbers[64];
    ssize_t count = 0;
    while ((count = ::read(read_end_.get(), numbers, sizeof(numbers))) > 0) {
      for (ssize_t i = 0; i < count; ++i) arrived(numbers[i]);
    }
    arm();
  }
  release();
}

void SignalState::arrived(int signal) {
  if (callback_ == nullptr) {
    give_back(signal);
    return;
  }
  loop_.post(
      [state = (retain(), SignalRef(this)), signal] {
        if (!state->stopped()) state->callback_(signal);
      },
      priority::always_first);
}

int SignalState::take() noexcept {
  if (kept_.empty()) return 0;
  const int signal = kept_.front();
  kept_.erase(kept_.begin());
  return signal;
}

void SignalState::give_back(int signal) noexcept {
  if (WaitNode* next = waiters_.next()) {
    auto& wait = static_cast<NextSignal&>(next->wait());
    wait.deliver(signal);
    loop_.wake(wait);
  } else {
    kept_.push_back(signal);
  }
}

int NextSignal::await_resume() {
  if (was_blocked()) Loop::resumed();
  if (signal_ == 0) {
    throw std::system_error(std::make_error_code(std::errc::operation_canceled), "the watch of a signal has ended");
  }
  return std::exchange(signal_, 0);
}

}  // namespace heirloop::detail
