#include <heirloop/io/uring_driver.hpp>

#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>

namespace heirloop {
namespace {

// Known by their numbers: the packaged headers are older than the kernels that have them.
constexpr unsigned enter_absolute_timer = 1U << 5;  // IORING_ENTER_ABS_TIMER
constexpr unsigned feature_min_wait = 1U << 15;     // IORING_FEAT_MIN_TIMEOUT

/// io_uring_getevents_arg as of Linux 6.12: before, `min_wait_us` had to be 0.
struct WaitArgument {
  std::uint64_t signals;
  std::uint32_t signals_size;
  std::uint32_t min_wait_us;
  std::uint64_t time;
};
static_assert(sizeof(WaitArgument) == sizeof(io_uring_getevents_arg));

// The driver's own user data, below OperationTable::first_slot.
constexpr std::uint64_t ignored_data = 0;  // cancels and updates
constexpr std::uint64_t wake_data = 1;
constexpr std::uint64_t tick_data = 2;
constexpr std::uint64_t probe_data = 3;

constexpr unsigned mode_flags(UringMode mode) noexcept {
  switch (mode) {
    case UringMode::deferred:
      return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
             IORING_SETUP_SUBMIT_ALL;
    case UringMode::plain:
      return 0;
  }
  return 0;
}

__kernel_timespec to_timespec(std::int64_t ns) noexcept {
  __kernel_timespec time{};
  time.tv_sec = ns / 1'000'000'000;
  time.tv_nsec = ns % 1'000'000'000;
  return time;
}

/// The kernel's I/O priority: best effort, 0 (first) to 7; 4 is what everybody has by default.
std::uint16_t io_priority(const Urgency& urgency) noexcept {
  constexpr unsigned best_effort = 2U << 13;
  const double level = std::clamp(4.0 + urgency.priority * 0.35, 0.0, 7.0);
  return static_cast<std::uint16_t>(best_effort | static_cast<unsigned>(level));
}

std::string unavailable_text(IoUringUnavailable::Refused refused, int error) {
  using Refused = IoUringUnavailable::Refused;
  std::string text = "io_uring can't be used: ";
  switch (refused) {
    case Refused::setup:
      text += "io_uring_setup was refused";
      break;
    case Refused::enter:
      text += "io_uring_enter was refused";
      break;
    case Refused::registration:
      text += "io_uring_register was refused";
      break;
    case Refused::features:
      return text + "this kernel's is too old; Linux 5.13 or newer is needed";
  }
  switch (error) {
    case EPERM:
    case EACCES:
      text +=
          " (a container's seccomp profile, or the sysctl kernel.io_uring_disabled, forbids it: allow io_uring_setup, "
          "io_uring_enter and io_uring_register in the profile, or set the sysctl to 0)";
      break;
    case ENOSYS:
      text +=
          " (this kernel has no io_uring, or a seccomp profile hides it: use Linux 5.13 or newer, or allow "
          "io_uring_setup, io_uring_enter and io_uring_register in the profile)";
      break;
    case ENOMEM:
      text += " (the limit of locked memory is too low: raise `ulimit -l` to 64 KiB or more)";
      break;
    case EMFILE:
    case ENFILE:
      text += " (too many open files: raise `ulimit -n`)";
      break;
    case EINVAL:
      text += " (this kernel's io_uring is too old: use Linux 5.13 or newer)";
      break;
    default:
      break;
  }
  return text;
}

}  // namespace

IoUringUnavailable::IoUringUnavailable(Refused refused, int error)
    : std::system_error(std::error_code(error, std::generic_category()), unavailable_text(refused, error)),
      refused_(refused) {}

// ---- the ring ----

struct UringDriver::Ring {
  io_uring uring{};
  __kernel_timespec tick_time{};  // read by the kernel when the tick is submitted
  bool ready = false;

  ~Ring() {
    if (ready) io_uring_queue_exit(&uring);
  }

  unsigned room() const noexcept {
    return uring.sq.ring_entries - (uring.sq.sqe_tail - io_uring_smp_load_acquire(uring.sq.khead));
  }
  unsigned unsubmitted() const noexcept { return uring.sq.sqe_tail - io_uring_smp_load_acquire(uring.sq.khead); }

  /// An empty entry of the submission queue, which has room.
  io_uring_sqe& take() noexcept {
    const unsigned index = uring.sq.sqe_tail++ & uring.sq.ring_mask;
    io_uring_sqe& entry = uring.sq.sqes[index];
    std::memset(&entry, 0, sizeof(entry));
    return entry;
  }
};

UringDriver::UringDriver(const UringOptions& options) : ring_(std::make_unique<Ring>()), gather_(options.gather_ns) {
  set_up(options);
  probe();
  if (mode_ != UringMode::deferred || !absolute_waits_ || (ring_->uring.features & feature_min_wait) == 0) {
    gather_ = Gather(0);
  }
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd for waking the loop");
  arm_wake();
  submit();
}

UringDriver::~UringDriver() {
  end_operations();
  ring_.reset();
  ::close(wake_fd_);
}

/// The best mode that the kernel takes; where memory may not be locked, a smaller ring.
void UringDriver::set_up(const UringOptions& options) {
  int error = 0;
  for (auto mode = static_cast<int>(options.best_mode); mode <= static_cast<int>(UringMode::plain); ++mode) {
    mode_ = static_cast<UringMode>(mode);
    for (unsigned entries = options.entries;; entries /= 2) {
      io_uring_params parameters{};
      parameters.flags = mode_flags(mode_) | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
      parameters.cq_entries = std::max(
          entries, static_cast<unsigned>(std::uint64_t{options.completion_entries} * entries / options.entries));
      error = -io_uring_queue_init_params(entries, &ring_->uring, &parameters);
      if (error != ENOMEM || entries <= 16) break;
    }
    if (error == 0) break;
    if (error != EINVAL) throw IoUringUnavailable(IoUringUnavailable::Refused::setup, error);
  }
  if (error != 0) throw IoUringUnavailable(IoUringUnavailable::Refused::setup, error);
  ring_->ready = true;
  // Resource tags came with Linux 5.13, as did the multishot poll that wakes this loop.
  constexpr unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL |
                              IORING_FEAT_EXT_ARG | IORING_FEAT_RSRC_TAGS;
  if ((ring_->uring.features & needed) != needed) {
    throw IoUringUnavailable(IoUringUnavailable::Refused::features, EINVAL);
  }
  if ((ring_->uring.features & IORING_FEAT_CQE_SKIP) != 0) quiet_flag_ = IOSQE_CQE_SKIP_SUCCESS;
  auto& sq = ring_->uring.sq;
  for (unsigned i = 0; i < sq.ring_entries; ++i) sq.array[i] = i;
  set_look();
  keeps_real_time_ = true;
}

/// Each of the three system calls can be refused by itself: one registration and one no-op show it.
void UringDriver::probe() {
  constexpr unsigned op_count = 256;
  constexpr std::size_t size = sizeof(io_uring_probe) + op_count * sizeof(io_uring_probe_op);
  const auto memory = std::make_unique<std::uint64_t[]>((size + 7) / 8);
  auto* ops = reinterpret_cast<io_uring_probe*>(memory.get());
  const int registered = io_uring_register_probe(&ring_->uring, ops, op_count);
  if (registered < 0) throw IoUringUnavailable(IoUringUnavailable::Refused::registration, -registered);
  for (const int op : {IORING_OP_ACCEPT, IORING_OP_CONNECT, IORING_OP_RECV, IORING_OP_SEND, IORING_OP_READ,
                       IORING_OP_WRITE, IORING_OP_FSYNC, IORING_OP_OPENAT, IORING_OP_CLOSE, IORING_OP_POLL_ADD,
                       IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL}) {
    if (!io_uring_opcode_supported(ops, op)) throw IoUringUnavailable(IoUringUnavailable::Refused::features, EINVAL);
  }
  registered_ = io_uring_register_ring_fd(&ring_->uring) == 1;

  io_uring_sqe& nop = ring_->take();
  nop.opcode = IORING_OP_NOP;
  nop.user_data = probe_data;
  if (const int error = enter(1, IORING_ENTER_GETEVENTS); error < 0) {
    throw IoUringUnavailable(IoUringUnavailable::Refused::enter, -error);
  }
  reap();
  absolute_waits_ = true;
  absolute_waits_ = enter(1, IORING_ENTER_GETEVENTS, 1) == -ETIME;
}

std::string UringDriver::describe() const {
  std::string text = "io_uring (";
  text += mode_ == UringMode::deferred ? "deferred completions" : "default set-up";
  text += ", " + std::to_string(ring_->uring.sq.ring_entries) + " entries";
  if (registered_) text += ", registered ring";
  if (absolute_waits_) text += ", absolute waits";
  if (gather_.window_ns() > 0) text += ", gathering for " + std::to_string(gather_.window_ns() / 1'000) + " us";
  return text + ")";
}

std::int64_t UringDriver::now_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// ---- to the kernel ----

void UringDriver::start(Operation& operation, const Urgency& urgency) {
  const std::uint32_t new_slot = table_.insert(operation);
  slot(operation) = new_slot;
  begin(operation, urgency);
  queue_.push(operation);
  set_queued_urgency(queue_.best());
}

bool UringDriver::withdraw(Operation& operation) noexcept {
  contract(operation.in_flight(), "only an operation in flight is withdrawn or cancelled");
  if (!is_queued(operation)) return false;
  queue_.erase(operation);
  set_queued_urgency(queue_.best());
  table_.erase(slot(operation));
  set_idle(operation);
  return true;
}

IoDriver::CancelAnswer UringDriver::cancel(Operation& operation) noexcept {
  if (withdraw(operation)) return CancelAnswer::withdrawn;
  if (cancel_sent(operation)) return CancelAnswer::requested;
  cancel_sent(operation) = true;
  if (ring_->room() == 0) enter_working(0, 0);
  if (ring_->room() != 0) {
    io_uring_sqe& entry = ring_->take();
    entry.opcode = IORING_OP_ASYNC_CANCEL;
    entry.fd = -1;
    entry.addr = table_.user_data(slot(operation));
    entry.user_data = ignored_data;
    entry.flags = quiet_flag_;
    ++counters_.cancels;
  }
  return CancelAnswer::requested;
}

/// From the queue into the ring, as much as it holds.
void UringDriver::fill_ring() noexcept {
  if (queue_.empty()) return;
  unsigned room = ring_->room();
  queue_.arrange(room);
  for (; room != 0 && !queue_.empty(); --room) fill(*queue_.pop());
  set_queued_urgency(queue_.best());
}

void UringDriver::fill(Operation& operation) noexcept {
  const Request& request = operation.request();
  io_uring_sqe& entry = ring_->take();
  const auto length = static_cast<unsigned>(std::min(request.length, Request::longest_transfer));
  entry.fd = request.fd;
  entry.addr = reinterpret_cast<std::uintptr_t>(request.memory);
  entry.user_data = table_.user_data(slot(operation));
  switch (request.kind) {
    case OperationKind::nop:
      entry.opcode = IORING_OP_NOP;
      break;
    case OperationKind::accept:
      entry.opcode = IORING_OP_ACCEPT;
      entry.addr2 = reinterpret_cast<std::uintptr_t>(request.address_length);
      entry.accept_flags = request.flags;
      break;
    case OperationKind::connect:
      entry.opcode = IORING_OP_CONNECT;
      entry.off = length;
      break;
    case OperationKind::receive:
      entry.opcode = IORING_OP_RECV;
      entry.len = length;
      entry.msg_flags = request.flags;
      if (request.likely_to_wait && mode_ != UringMode::plain) entry.ioprio = IORING_RECVSEND_POLL_FIRST;
      break;
    case OperationKind::send:
      entry.opcode = IORING_OP_SEND;
      entry.len = length;
      entry.msg_flags = request.flags;
      break;
    case OperationKind::read:
    case OperationKind::write:
      entry.opcode = request.kind == OperationKind::read ? IORING_OP_READ : IORING_OP_WRITE;
      entry.len = length;
      entry.off = request.offset;
      entry.ioprio = io_priority(operation.urgency());
      break;
    case OperationKind::fsync:
      entry.opcode = IORING_OP_FSYNC;
      break;
    case OperationKind::fdatasync:
      entry.opcode = IORING_OP_FSYNC;
      entry.fsync_flags = IORING_FSYNC_DATASYNC;
      break;
    case OperationKind::open:
      entry.opcode = IORING_OP_OPENAT;
      entry.len = length;
      entry.open_flags = request.flags;
      break;
    case OperationKind::close:
      entry.opcode = IORING_OP_CLOSE;
      break;
    case OperationKind::poll:
      entry.opcode = IORING_OP_POLL_ADD;
      entry.poll32_events = request.flags;
      break;
  }
}

/// One system call. −errno, or how many were submitted.
int UringDriver::enter(unsigned min_complete, unsigned flags, std::int64_t deadline_ns) noexcept {
  auto& uring = ring_->uring;
  io_uring_smp_store_release(uring.sq.ktail, uring.sq.sqe_tail);
  const unsigned to_submit = ring_->unsubmitted();
  if (registered_) flags |= IORING_ENTER_REGISTERED_RING;
  ++counters_.system_calls;
  int answer = 0;
  if (deadline_ns == no_deadline) {
    answer =
        io_uring_enter2(static_cast<unsigned>(uring.enter_ring_fd), to_submit, min_complete, flags, nullptr, _NSIG / 8);
  } else {
    __kernel_timespec time = to_timespec(absolute_waits_ ? deadline_ns : deadline_ns - now_ns());
    WaitArgument argument{};
    argument.signals_size = _NSIG / 8;
    argument.time = reinterpret_cast<std::uintptr_t>(&time);
    if (min_complete > 1) argument.min_wait_us = static_cast<std::uint32_t>(gather_.window_ns() / 1'000);
    flags |= IORING_ENTER_EXT_ARG | (absolute_waits_ ? enter_absolute_timer : 0U);
    answer = io_uring_enter2(static_cast<unsigned>(uring.enter_ring_fd), to_submit, min_complete, flags,
                             reinterpret_cast<sigset_t*>(&argument), sizeof(argument));
  }
  counters_.submissions += to_submit - ring_->unsubmitted();
  set_look();
  return answer;
}

/// As `enter`, where the ring is known to work. What it may still say: the time is over, a signal came, memory is short,
/// or completions that found no room must be taken first.
int UringDriver::enter_working(unsigned min_complete, unsigned flags, std::int64_t deadline_ns) noexcept {
  const int answer = enter(min_complete, flags, deadline_ns);
  contract(answer >= 0 || answer == -ETIME || answer == -EINTR || answer == -EAGAIN || answer == -EBUSY,
           "the ring answers the thread that made it");
  return answer;
}

void UringDriver::submit() {
  if (mode_ != UringMode::deferred) set_look();  // an overflow may have been flagged behind the last look at it
  while (!queue_.empty() || ring_->unsubmitted() != 0) {
    fill_ring();
    const int answer = enter_working(0, 0);
    if (answer != -EAGAIN && answer != -EBUSY) continue;
    reap();
    enter_working(0, IORING_ENTER_GETEVENTS);
    reap();
    if (ring_->room() == 0) return;  // the loop tries again
  }
}

void UringDriver::wait(std::int64_t deadline_ns) {
  if (queue_.size() > ring_->room()) submit();
  fill_ring();
  const std::int64_t now = now_ns();
  if (completions_pending() || deadline_ns <= now) {
    enter_working(0, IORING_ENTER_GETEVENTS);
    reap();
  } else {
    sleep_until(deadline_ns, now);
  }
}

void UringDriver::sleep_until(std::int64_t deadline_ns, std::int64_t now_ns) noexcept {
  ++counters_.waits;
  const std::uint64_t before = counters_.completions;
  unsigned count = gather_.begin(now_ns, before);
  // The kernel looks at the deadline when the window is over.
  if (count > 1 && deadline_ns - now_ns <= gather_.window_ns()) count = gather_.alone();
  if (count > 1) {
    ++counters_.gathers;
    // Without a deadline the kernel would end the wait with the window, also when nothing has come.
    constexpr std::int64_t far_ns = std::int64_t{3600} * 1'000'000'000;
    deadline_ns = std::min(deadline_ns, now_ns + far_ns);
  }
  enter_working(count, IORING_ENTER_GETEVENTS, deadline_ns);
  reap();
  if (gather_.window_ns() != 0) gather_.end(UringDriver::now_ns(), counters_.completions - before);
}

void UringDriver::wake() noexcept {
  const int saved = errno;  // async-signal-safe
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_, &one, sizeof(one));
  errno = saved;
}

/// The kernel posts a completion for every write to the eventfd; nobody needs to read it.
void UringDriver::arm_wake() noexcept {
  if (ring_->room() == 0) enter_working(0, 0);
  io_uring_sqe& entry = ring_->take();
  entry.opcode = IORING_OP_POLL_ADD;
  entry.fd = wake_fd_;
  entry.len = IORING_POLL_ADD_MULTI;
  entry.poll32_events = POLLIN;
  entry.user_data = wake_data;
}

// ---- the tick ----

void UringDriver::set_tick(std::int64_t deadline_ns) {
  tick_target_ns_ = deadline_ns;
  if (tick_armed_ns_ <= deadline_ns) return;  // as it fires, the next is armed
  arm_tick(deadline_ns);
  submit();
}

void UringDriver::arm_tick(std::int64_t deadline_ns) noexcept {
  if (ring_->room() == 0) enter_working(0, 0);
  ring_->tick_time = to_timespec(deadline_ns);
  io_uring_sqe& entry = ring_->take();
  entry.fd = -1;
  if (tick_armed_ns_ == no_deadline) {
    entry.opcode = IORING_OP_TIMEOUT;
    entry.addr = reinterpret_cast<std::uintptr_t>(&ring_->tick_time);
    entry.len = 1;
    entry.timeout_flags = IORING_TIMEOUT_ABS;
    entry.user_data = tick_data;
  } else {
    // When it has fired meanwhile the update fails, and the tick's own completion says all that there is to say.
    entry.opcode = IORING_OP_TIMEOUT_REMOVE;
    entry.addr = tick_data;
    entry.off = reinterpret_cast<std::uintptr_t>(&ring_->tick_time);
    entry.timeout_flags = IORING_TIMEOUT_UPDATE | IORING_TIMEOUT_ABS;
    entry.user_data = ignored_data;
    entry.flags = quiet_flag_;
  }
  tick_armed_ns_ = deadline_ns;
}

// ---- from the kernel ----

/// With deferred completions the kernel adds to the queue only while we are in it, and says in its flags that it would like
/// to; else the tail moves by itself, and a full queue moves it no more.
void UringDriver::set_look() noexcept {
  const auto& cq = ring_->uring.cq;
  const unsigned head = *cq.khead;
  if (mode_ != UringMode::deferred) {
    look_ = work_flagged() ? something_came : Look{cq.ktail, head};
  } else {
    look_ = io_uring_smp_load_acquire(cq.ktail) != head ? something_came : Look{ring_->uring.sq.kflags, 0};
  }
}

/// The kernel has completions that are not in the queue yet.
bool UringDriver::work_flagged() const noexcept { return __atomic_load_n(ring_->uring.sq.kflags, __ATOMIC_RELAXED) != 0; }

void UringDriver::harvest(std::int64_t budget_ns) {
  reap();
  std::int64_t end_ns = 0;
  while (work_flagged()) {
    fill_ring();
    enter_working(0, IORING_ENTER_GETEVENTS);
    reap();
    if (!work_flagged()) return;
    const std::int64_t now = now_ns();
    if (end_ns == 0) end_ns = now + budget_ns;
    if (now >= end_ns) return;
  }
}

void UringDriver::reap() noexcept {
  auto& cq = ring_->uring.cq;
  unsigned head = *cq.khead;
  const unsigned tail = io_uring_smp_load_acquire(cq.ktail);
  if (head == tail) return;
  bring_clock_up_to_date();
  counters_.completions += tail - head;
  do {
    const io_uring_cqe completion = cq.cqes[head & cq.ring_mask];
    ++head;
    handle(completion.user_data, completion.res, completion.flags);
  } while (head != tail);
  io_uring_smp_store_release(cq.khead, head);
  set_look();
}

void UringDriver::handle(std::uint64_t user_data, int result, unsigned flags) noexcept {
  if (const Operation* found = table_.find(user_data)) [[likely]] {
    const std::uint32_t ended = slot(const_cast<Operation&>(*found));
    gather_.ended(table_.mark(ended));
    Operation& operation = *table_.erase(ended);
    complete(operation, result, (flags & IORING_CQE_F_SOCK_NONEMPTY) != 0);
    return;
  }
  if (ending_) return;
  if (user_data == wake_data && (flags & IORING_CQE_F_MORE) == 0) {
    arm_wake();
  } else if (user_data == tick_data) {
    tick_armed_ns_ = no_deadline;
    if (tick_target_ns_ != no_deadline && tick_target_ns_ > now_ns()) {
      arm_tick(tick_target_ns_);
    } else {
      tick_target_ns_ = no_deadline;
    }
  }
}

// ---- the end ----

void UringDriver::end_operations() noexcept {
  ending_ = true;
  constexpr std::int64_t patience_ns = 100'000'000;
  while (table_.size() != 0) {
    while (Operation* operation = queue_.pop()) {
      table_.erase(slot(*operation));
      complete(*operation, -ECANCELED, false);
    }
    table_.for_each([this](Operation& operation) {
      if (is_queued(operation)) return;
      cancel_sent(operation) = false;  // a cancel that came too early for the kernel is sent again
      cancel(operation);
    });
    const std::int64_t again_ns = now_ns() + patience_ns;
    while (table_.size() != 0 && queue_.empty()) {
      if (enter_working(1, IORING_ENTER_GETEVENTS, again_ns) == -ETIME) break;
      reap();
    }
  }
}

}  // namespace heirloop
