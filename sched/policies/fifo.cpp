// `fifo`: in order of becoming ready. Priority decides nothing about who runs; inheritance goes on underneath.
//
// Bound: an entry waits for those that were ready before it, one step each.
#include <heirloop/sched/policies/policies.hpp>

namespace heirloop {
namespace {

class Fifo final : public Policy {
 public:
  std::string_view name() const noexcept override { return "fifo"; }
  bool keyed_by_time() const noexcept override { return true; }
  std::int64_t offset(const Urgency&) const noexcept override { return 0; }
  LevelId level(const Urgency&) const noexcept override { return {}; }
  bool priority_breaks_ties() const noexcept override { return false; }
};

}  // namespace

std::unique_ptr<Policy> policies::make_fifo(const PolicyOptions&) { return std::make_unique<Fifo>(); }

}  // namespace heirloop
