// Floors that several rows have.
#pragma once

#include <heirloop/sched/quad_heap.hpp>

#include <cstdint>
#include <vector>

#include "floors.hpp"
#include "row.hpp"

namespace heirloop::bench {

inline Bare bare_spin(Ring& ring, const bool& stop) {
  while (!stop) co_await ring.yield();
}

inline Bare bare_lead(Ring& ring, std::int64_t rounds, bool& done) {
  for (std::int64_t i = 0; i < rounds; ++i) co_await ring.yield();
  done = true;
}

/// One switch among bare coroutines in a ring; one of them leads for a number of rounds.
inline void floor_of_switches(benchmark::State& state, std::int64_t tasks) {
  Ring ring(static_cast<std::size_t>(tasks));
  std::vector<Bare> all;
  bool stop = false;
  bool warm = false;
  bool done = false;
  const auto start = [&](Bare bare) {
    all.push_back(bare);
    ring.push(bare.frame);
  };
  for (std::int64_t i = 1; i < tasks; ++i) start(bare_spin(ring, stop));
  start(bare_lead(ring, 2, warm));
  ring.run(warm);
  start(bare_lead(ring, state.max_iterations / tasks, done));
  timed(state, [&] { ring.run(done); });
  stop = true;
  while (!ring.empty()) ring.pop().resume();
  for (const Bare& bare : all) bare.frame.destroy();
}

/// Ready, which the compiler cannot know.
struct Ready {
  volatile bool ready = true;
  bool await_ready() const noexcept { return ready; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  void await_resume() const noexcept {}
};

inline Bare await_what_is_ready(std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) co_await Ready();
}

/// One await that is ready.
inline void floor_of_ready_awaits(benchmark::State& state) {
  const Bare main = await_what_is_ready(state.max_iterations);
  timed(state, [&] { main.frame.resume(); });
  main.frame.destroy();
}

/// A 4-ary heap of nodes that know their index.
template <class Key>
class PlainHeap {
 public:
  struct Node {
    std::uint32_t slot = 0;
  };
  std::size_t size() const noexcept { return items_.size(); }
  void push(Node& node, Key key) {
    items_.push_back({key, &node});
    heirloop::detail::quad_sift_up(items_, items_.size() - 1, before, moved);
  }
  Node& pop() {
    Node& node = *items_.front().node;
    heirloop::detail::quad_erase(items_, 0, before, moved);
    return node;
  }
  void erase(Node& node) { heirloop::detail::quad_erase(items_, node.slot, before, moved); }

 private:
  struct Item {
    Key key;
    Node* node;
  };
  static bool before(const Item& a, const Item& b) noexcept { return a.key < b.key; }
  static void moved(const Item& item, std::size_t index) noexcept { item.node->slot = static_cast<std::uint32_t>(index); }

  std::vector<Item> items_;
};

class Random {
 public:
  std::size_t below(std::size_t limit) noexcept {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>(state_ >> 33) % limit;
  }

 private:
  std::uint64_t state_ = 1;
};

/// One of `tasks` nodes in a heap gets another of `priorities` keys.
inline void floor_of_new_priorities(benchmark::State& state, std::int64_t tasks, std::int64_t priorities) {
  std::vector<PlainHeap<double>::Node> nodes(static_cast<std::size_t>(tasks));
  PlainHeap<double> heap;
  for (std::size_t i = 0; i < nodes.size(); ++i) heap.push(nodes[i], static_cast<double>(static_cast<std::int64_t>(i) % priorities));
  timed(state, [&] {
    Random random;
    for (std::int64_t i = 0; i < state.max_iterations; ++i) {
      PlainHeap<double>::Node& node = nodes[random.below(nodes.size())];
      heap.erase(node);
      heap.push(node, static_cast<double>(random.below(static_cast<std::size_t>(priorities))));
    }
  });
}

}  // namespace heirloop::bench
