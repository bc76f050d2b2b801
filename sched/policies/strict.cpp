// `strict`: the most urgent first, always; first in, first out among equals.
//
// No bound: as long as somebody more urgent is ready, the others wait.
#include <heirloop/sched/policies/policies.hpp>

namespace heirloop {
namespace {

class Strict final : public Policy {
 public:
  std::string_view name() const noexcept override { return "strict"; }
  bool keyed_by_time() const noexcept override { return false; }
  std::int64_t offset(const Urgency& urgency) const noexcept override {
    return policies::ordered_bits(urgency.priority);
  }
};

}  // namespace

std::unique_ptr<Policy> policies::make_strict(const PolicyOptions&) { return std::make_unique<Strict>(); }

}  // namespace heirloop
