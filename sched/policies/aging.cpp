// `aging`, the default: the most urgent first, but waiting counts. The key is fixed when an entry becomes ready, so
// nothing is scanned or sorted again.
//
// The bound (promise 2). Let p and q be priorities, P ready since t with key t + p·u, where u is `age_unit` in
// nanoseconds, and let Q become ready at s > t + (p − q)·u. Then key(Q) = s + q·u > t + p·u = key(P), and the queue runs
// the smaller key first. Keys don't change while an entry waits, except by inheritance, which can only make P's smaller.
// So no entry of priority q that became ready more than (p − q)·u after P runs before P; P waits for finitely many
// entries, one step each. t and s are readings of the loop's cached clock, which is refreshed by every harvest and wait
// and at least once in `Loop::refresh_interval` steps: that is the resolution. Offsets are clamped to ±2^60 ns (36
// years) in double before the cast; the infinities lie outside all clamped values, at ±2^61, and key arithmetic can't
// overflow while time stays below 2^60.
#include <heirloop/sched/policies/policies.hpp>

namespace heirloop {
namespace {

class Aging final : public Policy {
 public:
  explicit Aging(std::chrono::nanoseconds age_unit) : age_unit_ns_(static_cast<double>(age_unit.count())) {}

  std::string_view name() const noexcept override { return "aging"; }
  bool keyed_by_time() const noexcept override { return true; }
  std::int64_t offset(const Urgency& urgency) const noexcept override {
    return policies::age_offset(urgency.priority, age_unit_ns_);
  }

 private:
  double age_unit_ns_;
};

}  // namespace

std::unique_ptr<Policy> policies::make_aging(const PolicyOptions& options) {
  return std::make_unique<Aging>(options.age_unit);
}

}  // namespace heirloop
