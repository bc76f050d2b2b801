// `boost`: strict order, with a random promotion of those who wait long, as Python's asynkit has it; kept to compare.
//
// When as many entries have come and gone as are ready (ten at least), every entry that came before the last `size`
// arrivals is a straggler. Its priority is moved towards the most urgent one that is ready, by a random part of 1.2 times
// the distance, so that now and then it gets in front. The promotion ends when the entry runs or its priority changes.
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
    const std::size_t size = queue.size();
    if (queue.arrivals() - last_ <= std::max<std::size_t>(least, size)) return;
    last_ = queue.arrivals();
    const std::uint64_t long_ago = queue.arrivals() - std::min<std::uint64_t>(queue.arrivals(), size);
    double most_urgent = priority::when_idle;
    stragglers_.clear();
    queue.for_each_ordinary([&](Entry& entry) {
      most_urgent = std::min(most_urgent, entry.urgency().priority);
      if (entry.arrival() <= long_ago) stragglers_.push_back(&entry);
    });
    for (Entry* entry : stragglers_) {
      const double distance = most_urgent - entry->urgency().priority;
      if (!(distance < 0) || !std::isfinite(distance)) continue;
      const double part = static_cast<double>(random_() >> 11) * 0x1p-53 * reach;
      queue.rekey(*entry, policies::ordered_bits(entry->urgency().priority + distance * part));
    }
  }

 private:
  static constexpr std::size_t least = 10;
  static constexpr double reach = 1.2;

  std::mt19937_64 random_;
  std::uint64_t last_ = 0;
  std::vector<Entry*> stragglers_;
};

}  // namespace

std::unique_ptr<Policy> policies::make_boost(const PolicyOptions& options) {
  return std::make_unique<Boost>(options.seed);
}

}  // namespace heirloop
