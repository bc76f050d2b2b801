// The structures under the queues: the pairing heap, the waiter queue with its two orders.
#include <heirloop/sched/pairing_heap.hpp>
#include <heirloop/sched/policy.hpp>
#include <heirloop/sched/wait.hpp>

#include "support/property.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <vector>

namespace heirloop::testing {
namespace {

struct Node {
  int key = 0;
  int id = 0;
  bool in = false;
  detail::HeapHook<Node> hook;
};
struct Before {
  bool operator()(const Node& a, const Node& b) const { return a.key != b.key ? a.key < b.key : a.id < b.id; }
};
using Heap = detail::PairingHeap<Node, &Node::hook, Before>;

struct Op {
  std::uint8_t act = 0;
  std::uint8_t a = 0;
  std::uint8_t b = 0;
};
std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << int{op.act} << '(' << int{op.a} << ',' << int{op.b} << ')';
}
std::vector<Op> draw_ops() {
  return *rc::gen::container<std::vector<Op>>(rc::gen::construct<Op>(rc::gen::arbitrary<std::uint8_t>(),
                                                                     rc::gen::arbitrary<std::uint8_t>(),
                                                                     rc::gen::arbitrary<std::uint8_t>()));
}

TEST(PairingHeapTest, has_the_least_on_top) {
  check_property(2000, 300, [] {
    std::vector<Node> nodes(32);
    for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i].id = static_cast<int>(i);
    Heap heap;
    for (const Op& op : draw_ops()) {
      Node& node = nodes[op.a % nodes.size()];
      switch (op.act % 4) {
        case 0:
        case 1:
          if (node.in) {
            heap.erase(node);
          } else {
            node.key = op.b % 10;
            heap.push(node);
          }
          node.in = !node.in;
          break;
        case 2:
          if (node.in) {
            node.key = op.b % 10;
            heap.update(node);
          }
          break;
        default:
          if (!heap.empty()) {
            Node& top = *heap.top();
            heap.erase(top);
            top.in = false;
          }
      }
      const Node* least = nullptr;
      for (const Node& n : nodes) {
        if (n.in && (least == nullptr || Before{}(n, *least))) least = &n;
      }
      RC_ASSERT(heap.top() == least);
      RC_ASSERT(heap.empty() == (least == nullptr));
    }
  });
}

TEST(PairingHeapTest, neither_recurses_nor_degrades_when_large) {
  const std::size_t count = nightly() ? 10'000'000 : 200'000;
  std::vector<Node> nodes(count);
  Heap heap;
  for (std::size_t i = 0; i < count; ++i) {
    nodes[i].key = static_cast<int>(i);
    nodes[i].id = static_cast<int>(i);
    heap.push(nodes[i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(heap.top(), &nodes[i]);
    heap.erase(nodes[i]);
  }
  EXPECT_TRUE(heap.empty());
}

// ---- WaiterQueue ----

class TestWait final : public Wait {
 public:
  AbortResult abort() noexcept override { return AbortResult::done; }
  std::string describe() const override { return "a test"; }
};

struct Waiter {
  TestWait wait;
  WaitNode node{wait};
  double priority = 0;
  std::int64_t since_ns = 0;
  std::uint64_t arrival = 0;
  bool in = false;
};

class WaiterQueueModel : public ::testing::TestWithParam<PolicyKind> {};

TEST_P(WaiterQueueModel, equals_a_sorted_list_in_both_orders) {
  const auto policy = make_policy(GetParam(), {.age_unit = std::chrono::nanoseconds(2)});
  check_property(2000, 200, [&] {
    std::deque<Waiter> waiters(12);
    WaiterQueue queue;
    std::int64_t now_ns = 0;
    std::uint64_t arrivals = 0;
    std::size_t size = 0;
    for (const Op& op : draw_ops()) {
      Waiter& w = waiters[op.a % waiters.size()];
      // Half of the time all are of one urgency: the list.
      const double priority = op.b < 128 ? 0 : op.b % 7 - 3;
      switch (op.act % 8) {
        case 0:
        case 1:
        case 2:
          if (w.in) break;
          w.priority = priority;
          w.since_ns = now_ns;
          w.arrival = ++arrivals;
          w.in = true;
          ++size;
          queue.push(w.node, Urgency{priority}, now_ns, *policy);
          break;
        case 3:
        case 4:
          if (!w.in) break;
          queue.erase(w.node);
          w.in = false;
          --size;
          break;
        case 5:
          if (!w.in) break;
          w.priority = priority;
          queue.reorder(w.node, Urgency{priority}, *policy);
          break;
        case 6:
          now_ns += op.b % 4;
          break;
        default:
          if (queue.empty()) break;
          for (Waiter& first : waiters) {
            if (&first.node == queue.next()) first.in = false;
          }
          --size;
          queue.erase(*queue.next());
      }
      const Waiter* next = nullptr;
      std::optional<double> best;
      for (const Waiter& each : waiters) {
        if (!each.in) continue;
        const auto key = [&](const Waiter& x) { return policy->key(Urgency{x.priority}, x.since_ns); };
        if (next == nullptr || key(each) < key(*next) ||
            (key(each) == key(*next) && each.arrival < next->arrival)) {
          next = &each;
        }
        best = std::min(best.value_or(each.priority), each.priority);
      }
      RC_ASSERT(queue.next() == (next == nullptr ? nullptr : &next->node));
      RC_ASSERT(queue.size() == size);
      RC_ASSERT(queue.best().priority == best.value_or(priority::when_idle));
      RC_ASSERT(queue.empty() == !best);
      if (best) RC_ASSERT(queue.most_urgent_waiter()->urgency().priority == *best);
    }
    while (!queue.empty()) queue.erase(*queue.next());
  });
}

INSTANTIATE_TEST_SUITE_P(Policies, WaiterQueueModel,
                         ::testing::Values(PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging),
                         [](const auto& p) { return std::string(to_string(p.param)); });

}  // namespace
}  // namespace heirloop::testing
