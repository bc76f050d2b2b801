// The moves of a 4-ary heap in an array whose elements know their index (for erase by pointer).
//
// `Items` is a vector; `before(a, b)` compares two items; `moved(item, index)` is told where each one lands.
// Cost: O(log4 n); the hole moves, items are written once.
#pragma once

#include <algorithm>
#include <cstddef>

namespace heirloop::detail {

template <class Items, class Before, class Moved>
void quad_sift_up(Items& items, std::size_t index, Before before, Moved moved) noexcept {
  const auto item = items[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 4;
    if (!before(item, items[parent])) break;
    items[index] = items[parent];
    moved(items[index], index);
    index = parent;
  }
  items[index] = item;
  moved(item, index);
}

template <class Items, class Before, class Moved>
void quad_sift_down(Items& items, std::size_t index, Before before, Moved moved) noexcept {
  const auto item = items[index];
  for (;;) {
    const std::size_t first = index * 4 + 1;
    if (first >= items.size()) break;
    const std::size_t end = std::min(first + 4, items.size());
    std::size_t best = first;
    for (std::size_t child = first + 1; child < end; ++child) {
      if (before(items[child], items[best])) best = child;
    }
    if (!before(items[best], item)) break;
    items[index] = items[best];
    moved(items[index], index);
    index = best;
  }
  items[index] = item;
  moved(item, index);
}

/// Takes out the item at `index`.
template <class Items, class Before, class Moved>
void quad_erase(Items& items, std::size_t index, Before before, Moved moved) noexcept {
  const auto last = items.back();
  items.pop_back();
  if (index == items.size()) return;
  items[index] = last;
  if (index > 0 && before(last, items[(index - 1) / 4])) {
    quad_sift_up(items, index, before, moved);
  } else {
    quad_sift_down(items, index, before, moved);
  }
}

}  // namespace heirloop::detail
