// `edf`: the earliest deadline first; priority decides among equal deadlines and among those who have none, who come
// behind all that have one. A waiter lends its deadline.
//
// On one processor this order meets all deadlines whenever any order does (Liu and Layland, 1973), up to one step, for
// steps are not preempted. No bound for tasks without a deadline.
#include <heirloop/sched/policies/policies.hpp>

namespace heirloop {
namespace {

class EarliestDeadlineFirst final : public Policy {
 public:
  std::string_view name() const noexcept override { return "edf"; }
  bool keyed_by_time() const noexcept override { return false; }
  std::int64_t offset(const Urgency& urgency) const noexcept override { return urgency.rank; }
  Urgency urgency(const Demand& demand) const noexcept override { return {demand.priority, demand.deadline_ns}; }
};

}  // namespace

std::unique_ptr<Policy> policies::make_edf(const PolicyOptions&) { return std::make_unique<EarliestDeadlineFirst>(); }

}  // namespace heirloop
