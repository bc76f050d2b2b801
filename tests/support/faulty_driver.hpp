// A driver on a real ring that lets things go wrong by a seed: short transfers, errors, and completions that come late and
// in another order.
//
// Owns: the ring's driver, and for each operation in flight a shadow of it, which the ring works on in its place.
//
//   start ──▶ shadow ──▶ ring ──completion──▶ held for some looks ──▶ Operation::completed
//                └── an error instead ─────────┘
//
// 1. The contract of IoDriver holds: nothing is completed inside `start` or `cancel`; an operation that was withdrawn is not
//    completed; at the end everything in flight is cancelled, and its last completion delivered.
// 2. An operation is in flight at least until the kernel has let go of its memory.
// 3. While a completion is held the loop finds something to harvest, and does not sleep: each harvest and each wait brings
//    what is held nearer to its delivery.
// 4. An error takes the place of the operation: it has no effect. A close takes place all the same, as in the kernel.
#pragma once

#include <heirloop/io/io_driver.hpp>
#include <heirloop/io/uring_driver.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace heirloop::testing {

constexpr unsigned bit_of(OperationKind kind) noexcept { return 1U << static_cast<unsigned>(kind); }

/// What goes wrong, in which share of the operations (0 to 1).
struct Faults {
  double short_transfers = 0;  ///< a receive, send, read or write of a part only
  double transient = 0;        ///< EINTR, EAGAIN, ECONNABORTED: what is tried again inside io
  double errors = 0;           ///< an error that fits the kind, for its caller
  unsigned error_kinds = ~0U;  ///< `bit_of` each kind that meets errors
  double late = 0;             ///< completions that are held
  unsigned longest_delay = 8;  ///< in harvests and waits
};

struct FaultCounts {
  std::uint64_t short_transfers = 0;
  std::uint64_t transient = 0;
  std::uint64_t errors = 0;
  std::uint64_t late = 0;
};

class FaultyDriver final : public IoDriver {
 public:
  explicit FaultyDriver(std::uint64_t seed, const Faults& faults = {}, const UringOptions& options = {})
      : faults_(faults), random_(seed), ring_(std::make_unique<UringDriver>(options)), inner_(*ring_) {
    after_inner();
  }
  ~FaultyDriver() override {
    ending_ = true;
    while (!held_.empty()) {
      for (Shadow* shadow : held_) shadow->delay = 0;
      deliver();
    }
    ring_.reset();  // cancels; what ends is delivered as it comes, and may start more
    contract(live_ == 0, "every operation has ended as the driver ends");
  }

  void set_faults(const Faults& faults) noexcept { faults_ = faults; }
  const FaultCounts& counts() const noexcept { return counts_; }

  /// The next operation of this kind, behind so many others of it, meets this error.
  void fail_next(OperationKind kind, int error, unsigned behind = 0) { plans_.push_back({kind, error, behind}); }
  bool has_plans() const noexcept { return !plans_.empty(); }

  /// `watch` is called between every two dispatches.
  void set_watch(std::function<void()> watch) {
    watch_ = std::move(watch);
    after_inner();
  }

  std::int64_t now_ns() noexcept override { return inner_.now_ns(); }
  void harvest(std::int64_t budget_ns) override {
    if (inner_.completions_pending()) inner_.harvest(budget_ns);
    deliver();
    after_inner();
    if (watch_) watch_();
  }
  void submit() override {
    inner_.submit();
    after_inner();
  }
  void wait(std::int64_t deadline_ns) override {
    inner_.wait(held_.empty() ? deadline_ns : inner_.now_ns());
    deliver();
    after_inner();
  }
  void set_tick(std::int64_t deadline_ns) override {
    inner_.set_tick(deadline_ns);
    after_inner();
  }
  void wake() noexcept override { inner_.wake(); }

  void start(Operation& operation, const Urgency& urgency) override {
    Shadow& shadow = free_shadow();
    slot(operation) = shadow.index;
    begin(operation, urgency);
    ++live_;
    shadow.original = &operation;
    shadow.result = 0;
    shadow.replacement = 0;
    shadow.asked() = operation.request();
    if (!ending_ && meddle(shadow)) {
      hold(shadow);
    } else {
      inner_.start(shadow, urgency);
    }
    after_inner();
  }

  CancelAnswer cancel(Operation& operation) noexcept override {
    if (withdraw(operation)) return CancelAnswer::withdrawn;
    Shadow& shadow = *shadows_[slot(operation)];
    if (shadow.in_flight()) inner_.cancel(shadow);
    after_inner();
    return CancelAnswer::requested;
  }

  bool withdraw(Operation& operation) noexcept override {
    contract(operation.in_flight(), "only an operation in flight is withdrawn or cancelled");
    Shadow& shadow = *shadows_[slot(operation)];
    if (!shadow.in_flight() || !inner_.withdraw(shadow)) return false;
    release(shadow);
    set_idle(operation);
    after_inner();
    return true;
  }

  std::size_t in_flight() const noexcept override { return live_; }
  std::string describe() const override { return "faulty " + inner_.describe(); }

 private:
  class Shadow final : public Operation {
   public:
    Shadow(FaultyDriver& driver, std::uint32_t place) noexcept
        : Operation(OperationKind::nop), index(place), driver_(driver) {}

    Request& asked() noexcept { return request_; }
    void completed() noexcept override {
      result = replacement != 0 ? replacement : Operation::result();
      driver_.came(*this);
    }

    const std::uint32_t index;
    Operation* original = nullptr;
    int result = 0;
    int replacement = 0;  // of the kernel's result
    unsigned delay = 0;   // looks until it is delivered

   private:
    FaultyDriver& driver_;
  };
  struct Plan {
    OperationKind kind;
    int error;
    unsigned behind;
  };
  /// What a driver keeps for itself and its heirs, of the inner one.
  struct Inner : Driver {
    static auto look(const Driver& driver) noexcept { return driver.*(&Inner::look_); }
    static const Urgency& queued(const Driver& driver) noexcept { return (driver.*(&Inner::queued_urgency))(); }
  };

  bool chance(double share) { return share > 0 && std::uniform_real_distribution<double>(0, 1)(random_) < share; }
  std::size_t below(std::size_t end) { return std::uniform_int_distribution<std::size_t>(0, end - 1)(random_); }
  int one_of(const std::vector<int>& errors) { return errors[below(errors.size())]; }

  /// What each kind may meet.
  static const std::vector<int>& errors_of(OperationKind kind) {
    static const std::vector<int> none, accept{EMFILE, ENFILE, ENOBUFS}, connect{ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH},
        receive{ECONNRESET, ETIMEDOUT}, send{ECONNRESET, EPIPE}, read{EIO}, write{EIO, ENOSPC}, open{EMFILE, EIO};
    switch (kind) {
      case OperationKind::accept:
        return accept;
      case OperationKind::connect:
        return connect;
      case OperationKind::receive:
        return receive;
      case OperationKind::send:
        return send;
      case OperationKind::write:
      case OperationKind::fsync:
      case OperationKind::fdatasync:
        return write;
      case OperationKind::read:
      case OperationKind::close:
        return read;
      case OperationKind::open:
        return open;
      default:
        return none;
    }
  }
  static const std::vector<int>& transient_of(OperationKind kind) {
    static const std::vector<int> none, transfer{EINTR, EAGAIN}, accept{ECONNABORTED, EINTR, EAGAIN};
    if (kind == OperationKind::accept) return accept;
    return is_transfer(kind) ? transfer : none;
  }
  static bool is_transfer(OperationKind kind) noexcept {
    return kind == OperationKind::receive || kind == OperationKind::send || kind == OperationKind::read ||
           kind == OperationKind::write;
  }

  /// The error that it meets; 0: none.
  int error_for(OperationKind kind) {
    const auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& p) { return p.kind == kind; });
    if (plan != plans_.end() && plan->behind > 0) {
      --plan->behind;
    } else if (plan != plans_.end()) {
      const int error = plan->error;
      plans_.erase(plan);
      ++counts_.errors;
      return error;
    }
    if ((faults_.error_kinds & bit_of(kind)) != 0 && !errors_of(kind).empty() && chance(faults_.errors)) {
      ++counts_.errors;
      return one_of(errors_of(kind));
    }
    if (!transient_of(kind).empty() && chance(faults_.transient)) {
      ++counts_.transient;
      return one_of(transient_of(kind));
    }
    return 0;
  }

  /// True when the operation is not to reach the kernel.
  bool meddle(Shadow& shadow) {
    Request& request = shadow.asked();
    if (const int error = error_for(request.kind); error != 0) {
      shadow.result = shadow.replacement = -error;
      return request.kind != OperationKind::close;
    }
    if (is_transfer(request.kind) && request.length > 1 && chance(faults_.short_transfers)) {
      request.length = 1 + below(request.length - 1);
      ++counts_.short_transfers;
    }
    return false;
  }

  Shadow& free_shadow() {
    if (free_.empty()) {
      shadows_.push_back(std::make_unique<Shadow>(*this, static_cast<std::uint32_t>(shadows_.size())));
      held_.reserve(shadows_.size());
      due_.reserve(shadows_.size());
      free_.reserve(shadows_.size());
      return *shadows_.back();
    }
    Shadow& shadow = *free_.back();
    free_.pop_back();
    return shadow;
  }
  void release(Shadow& shadow) noexcept {
    shadow.original = nullptr;
    free_.push_back(&shadow);
    --live_;
  }

  void hold(Shadow& shadow) noexcept {
    shadow.delay = 0;
    if (chance(faults_.late)) {
      shadow.delay = 1 + static_cast<unsigned>(below(faults_.longest_delay));
      ++counts_.late;
    }
    held_.push_back(&shadow);
  }

  /// The kernel has done with it.
  void came(Shadow& shadow) noexcept {
    if (ending_) {
      finish(shadow);
    } else {
      hold(shadow);
    }
  }

  void finish(Shadow& shadow) noexcept {
    Operation& operation = *shadow.original;
    const int result = shadow.result;
    const bool more = shadow.replacement == 0 && shadow.more_ready();
    release(shadow);
    complete(operation, result, more);
  }

  /// Those whose time has come; in any order where completions may be late.
  void deliver() noexcept {
    if (held_.empty()) return;
    bring_clock_up_to_date();
    due_.clear();
    std::erase_if(held_, [this](Shadow* shadow) {
      if (shadow->delay != 0) {
        --shadow->delay;
        return false;
      }
      due_.push_back(shadow);
      return true;
    });
    if (faults_.late > 0) std::shuffle(due_.begin(), due_.end(), random_);
    for (std::size_t i = 0; i < due_.size(); ++i) finish(*due_[i]);  // what is started meanwhile may move the vector
  }

  /// What the loop looks at without a call is the inner driver's, or says "come": something is held, or somebody watches.
  void after_inner() noexcept {
    counters_ = inner_.counters();
    set_queued_urgency(Inner::queued(inner_));
    look_ = Inner::look(inner_);
    if (!held_.empty() || watch_) look_ = something_came;
  }

  Faults faults_;
  FaultCounts counts_;
  std::mt19937_64 random_;
  std::vector<Plan> plans_;
  std::vector<std::unique_ptr<Shadow>> shadows_;
  std::vector<Shadow*> free_;
  std::vector<Shadow*> held_;
  std::vector<Shadow*> due_;  // being delivered
  std::size_t live_ = 0;
  bool ending_ = false;
  std::function<void()> watch_;
  std::unique_ptr<UringDriver> ring_;
  UringDriver& inner_;  // also while its destructor runs
};

}  // namespace heirloop::testing
