// An intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986).
//
// Owns nothing: the hooks lie in the elements. Used for waiter queues and for what a task's holdings lend it.
//
// 1. The root precedes or equals every other element by `Before`.
// 2. An element is in at most one heap per hook; of the root `child` alone means something.
//
// Cost: push O(1); pop, erase and update O(log n) amortised. Nothing recurses, nothing allocates.
#pragma once

#include <cstddef>

namespace heirloop::detail {

/// Means something while its element is in the heap; not set before, so that an element costs nothing until then.
template <class T>
struct HeapHook {
  T* child;
  T* next;  // next sibling
  T* prev;  // previous sibling, or the parent of a first child
};

template <class T, HeapHook<T> T::*Hook, class Before>
class PairingHeap {
 public:
  T* top() const noexcept { return root_; }
  bool empty() const noexcept { return root_ == nullptr; }

  /// The item is all that is in the heap.
  bool holds_only(const T& item) const noexcept { return root_ == &item && (item.*Hook).child == nullptr; }

  void push(T& item) noexcept {
    (item.*Hook).child = nullptr;
    root_ = root_ == nullptr ? &item : meld(root_, &item);
  }

  void erase(T& item) noexcept {
    if (&item == root_) {
      root_ = without_root(item);
    } else {
      erase_below_root(item);
    }
  }

  /// Takes the right place for an element whose order changed in either direction.
  void update(T& item) noexcept {
    erase(item);
    push(item);
  }

  /// The top, taken out; null when the heap is empty.
  T* pop() noexcept {
    T* item = root_;
    if (item != nullptr) root_ = without_root(*item);
    return item;
  }

 private:
  static HeapHook<T>& hook(T* item) noexcept { return item->*Hook; }

  static void detach(T& item) noexcept {
    HeapHook<T>& h = item.*Hook;
    if (hook(h.prev).child == &item) {
      hook(h.prev).child = h.next;
    } else {
      hook(h.prev).next = h.next;
    }
    if (h.next != nullptr) hook(h.next).prev = h.prev;
  }

  static T* without_root(T& root) noexcept { return hook(&root).child == nullptr ? nullptr : merge_children(root); }

  void erase_below_root(T& item) noexcept {
    T* rest = merge_children(item);
    detach(item);
    if (rest != nullptr) root_ = meld(root_, rest);
  }

  // Not inlined: most heaps here hold one element at most, and for these the caller needs neither.

  [[gnu::noinline]] static T* meld(T* a, T* b) noexcept {
    if (Before{}(*b, *a)) {
      T* swap = a;
      a = b;
      b = swap;
    }
    HeapHook<T>& parent = hook(a);
    HeapHook<T>& child = hook(b);
    child.prev = a;
    child.next = parent.child;
    if (parent.child != nullptr) hook(parent.child).prev = b;
    parent.child = b;
    return a;
  }

  /// Two passes over the children: pair them from the left, then meld the pairs from the right.
  [[gnu::noinline]] static T* merge_children(T& item) noexcept {
    T* rest = (item.*Hook).child;
    T* pairs = nullptr;  // linked through next, last pair first
    while (rest != nullptr) {
      T* a = rest;
      T* b = hook(a).next;
      rest = b == nullptr ? nullptr : hook(b).next;
      if (b != nullptr) a = meld(a, b);
      hook(a).next = pairs;
      pairs = a;
    }
    T* merged = nullptr;
    while (pairs != nullptr) {
      T* following = hook(pairs).next;
      merged = merged == nullptr ? pairs : meld(merged, pairs);
      pairs = following;
    }
    return merged;
  }

  T* root_ = nullptr;
};

}  // namespace heirloop::detail
