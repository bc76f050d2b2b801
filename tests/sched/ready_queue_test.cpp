// ReadyQueue against the naive list of support/queue_model.hpp, after every operation.
#include "support/property.hpp"
#include "support/queue_model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace heirloop::testing {
namespace {

struct Op {
  std::uint8_t act = 0;
  std::uint16_t a = 0;
  std::uint16_t b = 0;
};
std::ostream& operator<<(std::ostream& out, const Op& op) {
  return out << int{op.act} << '(' << op.a << ',' << op.b << ')';
}

double priority_of(std::uint16_t draw, std::uint16_t levels) {
  if (draw % 41 == 0) return priority::always_first;
  if (draw % 43 == 0) return priority::when_idle;
  if (draw % 47 == 0) return draw % 2 == 0 ? 1e300 : -1e301;  // beyond what a key can hold
  return static_cast<double>(draw % levels) - levels / 2;
}

/// Applies one operation to both; false when they differ.
bool apply(QueuePair& pair, const Op& op, std::size_t entries, std::uint16_t levels) {
  const std::size_t id = op.a % entries;
  switch (op.act % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
      if (pair.is_out(id)) pair.push(id);
      break;
    case 5:
    case 6:
    case 7:
      return pair.pop() != QueuePair::differ;
    case 8:
    case 9:
      pair.erase(id);  // also of one that is out
      break;
    case 10:
    case 11:
    case 12:
      pair.set_priority(id, priority_of(op.b, levels));
      break;
    case 13:
      if (pair.is_out(id)) pair.push_positional(id, op.b % 7);
      break;
    case 14:
      pair.now_ns += op.b % 5;
      break;
    default: {
      const QueueModel::Item item{priority_of(op.b, levels), pair.now_ns - op.a % 5, 0};
      const auto key = pair.queue.policy().key(Urgency{item.priority}, item.since_ns);
      return pair.queue.precedes(key, Urgency{item.priority}) == pair.model.precedes(item);
    }
  }
  return true;
}

/// `precedes` for every level, of one ready now and of one ready a little earlier.
bool same_precedes(QueuePair& pair, std::uint16_t levels) {
  for (std::uint16_t level = 0; level < levels; ++level) {
    for (const std::int64_t since_ns : {pair.now_ns, pair.now_ns - 3}) {
      const QueueModel::Item item{static_cast<double>(level) - levels / 2, since_ns, 0};
      const auto key = pair.queue.policy().key(Urgency{item.priority}, since_ns);
      if (pair.queue.precedes(key, Urgency{item.priority}) != pair.model.precedes(item)) return false;
    }
  }
  return true;
}

class ReadyQueueModel : public ::testing::TestWithParam<PolicyKind> {};

/// Few entries and many operations, few levels: all shapes of a small queue.
TEST_P(ReadyQueueModel, equals_a_sorted_list_with_few_levels) {
  check_property(1000, 300, [] {
    const auto ops = *rc::gen::container<std::vector<Op>>(rc::gen::construct<Op>(
        rc::gen::arbitrary<std::uint8_t>(), rc::gen::resize(1000, rc::gen::arbitrary<std::uint16_t>()),
        rc::gen::resize(1000, rc::gen::arbitrary<std::uint16_t>())));
    constexpr std::size_t entries = 24;
    QueuePair pair(GetParam(), 2, entries);
    for (const Op& op : ops) {
      RC_ASSERT(apply(pair, op, entries, 5));
      if (op.b % 4 == 0) RC_ASSERT(same_precedes(pair, 5));
      RC_ASSERT(pair.same_order());
    }
    while (pair.queue.size() > 0) {
      RC_ASSERT(pair.pop() != QueuePair::differ);
      RC_ASSERT(pair.same_order());
    }
  });
}

/// More priorities than rings: renamed levels, entries that find none.
TEST_P(ReadyQueueModel, equals_a_sorted_list_with_more_levels_than_rings) {
  check_property(12, 100, [] {
    const auto seed = *rc::gen::noShrink(rc::gen::arbitrary<std::uint32_t>());
    std::mt19937 random(seed);
    constexpr std::size_t entries = 300;
    constexpr std::uint16_t levels = 150;
    QueuePair pair(GetParam(), 2, entries);
    for (int i = 0; i < 3000; ++i) {
      const Op op{static_cast<std::uint8_t>(random()), static_cast<std::uint16_t>(random()),
                  static_cast<std::uint16_t>(random())};
      RC_ASSERT(apply(pair, op, entries, levels));
      if (i % 16 == 0) RC_ASSERT(pair.same_order());
      // Now and then the queue runs dry, and its rings get other levels.
      while (i % 600 == 599 && pair.queue.size() > 0) RC_ASSERT(pair.pop() != QueuePair::differ);
    }
    while (pair.queue.size() > 0) RC_ASSERT(pair.pop() != QueuePair::differ);
  });
}

/// A ring grows, wraps, and is squeezed when most of it was erased.
TEST_P(ReadyQueueModel, equals_a_sorted_list_through_growth_and_gaps) {
  constexpr std::size_t entries = 200;
  QueuePair pair(GetParam(), 1, entries);
  std::mt19937 random(1);
  for (int round = 0; round < 30; ++round) {
    for (std::size_t id = 0; id < entries; ++id) {
      if (pair.is_out(id)) pair.push(id);
    }
    for (std::size_t id = 0; id < entries; ++id) {
      if (random() % 4 != 0) pair.erase(id);
    }
    ASSERT_TRUE(pair.same_order());
    for (int i = 0; i < 20; ++i) ASSERT_NE(pair.pop(), QueuePair::differ);
    ++pair.now_ns;
  }
  ASSERT_TRUE(pair.same_order());
}

INSTANTIATE_TEST_SUITE_P(Policies, ReadyQueueModel,
                         ::testing::Values(PolicyKind::fifo, PolicyKind::strict, PolicyKind::aging),
                         [](const auto& p) { return std::string(to_string(p.param)); });

// ---- positions ----

/// Every sequence of pushes, positions 0 to 3, pops and removals, of the given length.
TEST(ReadyQueuePositions, hold_in_every_small_mix) {
  constexpr std::size_t kinds =
      9;  // push; at 0, 1, 2, 3; pop; erase the first, the second, the last positional
  const int length = nightly() ? 7 : 5;
  std::vector<std::size_t> acts(static_cast<std::size_t>(length), 0);
  std::size_t sequences = 0;
  for (bool more = true; more;) {
    ++sequences;
    QueuePair pair(PolicyKind::strict, 1, acts.size() + 2);
    pair.push(acts.size());  // there are ordinary entries from the start, in half of what follows
    std::vector<std::size_t> positional;
    for (std::size_t i = 0; i < acts.size(); ++i) {
      const std::size_t act = acts[i];
      if (act == 0) {
        pair.push(i);
      } else if (act <= 4) {
        pair.push_positional(i, act - 1);
        positional.push_back(i);
      } else if (act == 5) {
        const std::size_t popped = pair.pop();
        ASSERT_NE(popped, QueuePair::differ) << "sequence " << sequences;
        std::erase(positional, popped);
      } else if (!positional.empty()) {
        const std::size_t which = act == 6   ? 0
                                  : act == 7 ? std::min<std::size_t>(1, positional.size() - 1)
                                             : positional.size() - 1;
        pair.erase(positional[which]);
        positional.erase(positional.begin() + static_cast<std::ptrdiff_t>(which));
      }
      ASSERT_TRUE(pair.same_order()) << "sequence " << sequences << ", step " << i;
    }
    more = false;
    for (std::size_t& act : acts) {
      if (++act < kinds) {
        more = true;
        break;
      }
      act = 0;
    }
  }
  EXPECT_EQ(sequences, static_cast<std::size_t>(std::pow(kinds, length)));
}

std::vector<std::size_t> pops(QueuePair& pair) {
  std::vector<std::size_t> order;
  for (std::size_t id = pair.pop(); id != QueuePair::npos; id = pair.pop()) order.push_back(id);
  return order;
}

using Ids = std::vector<std::size_t>;

TEST(ReadyQueuePositions, an_entry_at_n_runs_after_n_others) {
  for (std::size_t n = 0; n <= 4; ++n) {
    QueuePair pair(PolicyKind::strict, 1, 6);
    pair.set_priority(0, 10);  // low, and yet it runs where it was put
    for (std::size_t id = 1; id < 5; ++id) pair.push(id);
    pair.push_positional(0, n);
    Ids expected{1, 2, 3, 4};
    expected.insert(expected.begin() + static_cast<std::ptrdiff_t>(n), 0);
    EXPECT_EQ(pops(pair), expected);
  }
}

TEST(ReadyQueuePositions, an_entry_put_in_before_it_later_delays_it) {
  QueuePair pair(PolicyKind::strict, 1, 6);
  for (std::size_t id = 0; id < 4; ++id) pair.push(id);
  pair.push_positional(4, 2);
  pair.push_positional(5, 1);
  EXPECT_EQ(pops(pair), (Ids{0, 5, 1, 4, 2, 3}));
}

TEST(ReadyQueuePositions, one_that_is_removed_leaves_its_place_to_an_ordinary_one) {
  QueuePair pair(PolicyKind::strict, 1, 6);
  for (std::size_t id = 0; id < 4; ++id) pair.push(id);
  pair.push_positional(4, 1);
  pair.push_positional(5, 3);
  pair.erase(4);
  EXPECT_EQ(pops(pair), (Ids{0, 1, 2, 5, 3}));
}

TEST(ReadyQueuePositions, one_without_enough_others_runs_early_and_the_next_keeps_its_gap) {
  QueuePair pair(PolicyKind::strict, 1, 8);
  pair.push(0);
  pair.push_positional(1, 4);
  pair.push_positional(2, 6);
  EXPECT_EQ(pair.pop(), 0U);
  EXPECT_EQ(pair.pop(), 1U) << "early: nothing ordinary is ready";
  for (std::size_t id = 3; id < 8; ++id) pair.push(id);
  EXPECT_EQ(pops(pair), (Ids{3, 4, 5, 6, 2, 7}));
}

TEST(ReadyQueuePositions, an_urgent_arrival_is_not_delayed_by_more_than_the_positional_ones) {
  QueuePair pair(PolicyKind::strict, 1, 4);
  pair.push_positional(0, 0);
  pair.push(1);
  pair.set_priority(2, -10);
  pair.push(2);
  pair.set_priority(0, 50);  // stays put
  EXPECT_EQ(pops(pair), (Ids{0, 2, 1}));
}

}  // namespace
}  // namespace heirloop::testing
