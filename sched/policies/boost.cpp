// `boost`: strict order, with a random promotion of those who wait long, as Python's asynkit has it; kept to compare.
//
// Now and then (with every fourth refresh of the loop's clock) one entry is drawn that has waited long: since more arrivals than
// there are entries, ten at least. Its priority is moved towards the most urgent one that is ready, by a random part of
// 1.2 times the distance, so that one in six gets in front. The promotion ends when the entry runs or its priority changes.
// (asynkit goes through all who wait long at once, after as many arrivals; a draw at a time costs every step the same.)
//
// No bound: it is only improbable to wait for ever, and a stream of arrivals that is more urgent than anything before can
// keep everybody waiting.
#include <algorithm>
#include <random>

#include <heirloop/sched/policies/policies.hpp>
#include <heirloop/sched/ready_queue.hpp>

namespace heirloop {
namespace {

class Boost final : public Policy {
 public:
  explicit Boost(std::uint64_t seed) : random_(seed) {}

  std::string_view name() const noexcept override { return "boost"; }
  bool keyed_by_time() const noexcept override { return false; }
  std::int64_t offset(const Urgency& urgency) const noexcept override {
    return policies::ordered_bits(urgency.priority);
  }

  void maintain(ReadyQueue& queue) override {
    if (++calls_ % 4 != 0) return;
    Entry* waiting = queue.sample(random_());
    if (waiting == nullptr) return;
    if (queue.arrivals() - waiting->arrival() <= std::max<std::size_t>(least, queue.size())) return;
    const double distance = queue.first_of(0)->urgency().priority - waiting->urgency().priority;
    if (!(distance < 0) || !std::isfinite(distance)) return;
    const double part = static_cast<double>(random_() >> 11) * 0x1p-53 * reach;
    queue.rekey(*waiting, policies::ordered_bits(waiting->urgency().priority + distance * part));
  }

 private:
  static constexpr std::size_t least = 10;
  static constexpr double reach = 1.2;

  std::mt19937_64 random_;
  unsigned calls_ = 0;
};

}  // namespace

std::unique_ptr<Policy> policies::make_boost(const PolicyOptions& options) {
  return std::make_unique<Boost>(options.seed);
}

}  // namespace heirloop
