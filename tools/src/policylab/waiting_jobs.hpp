// The ready jobs of one class, by the key that `aging` gives them: who may not be overtaken by whom.
//
// 1. The first has the smallest key. 2. Each job knows its place, so that any can be taken out.
// Cost: O(log n) to add, take out and re-key; nothing is allocated once the array has grown.
#pragma once

#include <heirloop/sched/quad_heap.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace policylab {

class WaitingJobs {
 public:
  static constexpr std::uint32_t nowhere = UINT32_MAX;

  /// What a job has to have to stand here.
  struct Place {
    std::int64_t key = 0;  ///< ns: ready since, plus priority times age_unit
    double priority = 0;   ///< the effective one
    std::uint32_t slot = nowhere;
  };

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] const Place& first() const noexcept { return *items_.front().place; }
  [[nodiscard]] std::int64_t first_key() const noexcept { return items_.front().key; }

  void add(Place& place) {
    items_.push_back({place.key, &place});
    heirloop::detail::quad_sift_up(items_, items_.size() - 1, before, moved);
  }
  void erase(Place& place) noexcept {
    heirloop::detail::quad_erase(items_, place.slot, before, moved);
    place.slot = nowhere;
  }

 private:
  struct Item {
    std::int64_t key;
    Place* place;
  };
  static bool before(const Item& a, const Item& b) noexcept { return a.key < b.key; }
  static void moved(const Item& item, std::size_t index) noexcept {
    item.place->slot = static_cast<std::uint32_t>(index);
  }

  std::vector<Item> items_;
};

}  // namespace policylab
