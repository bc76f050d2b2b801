#include <heirloop/io/submission_queue.hpp>

#include <algorithm>
#include <new>

namespace heirloop {

void SubmissionQueue::push(Operation& operation) noexcept {
  operation.queued_ = true;
  operation.queue_next_ = nullptr;
  operation.queue_before_ = last_;
  (last_ != nullptr ? last_->queue_next_ : first_) = &operation;
  last_ = &operation;
  ++size_;
  operation.queued_as_ = operation.urgency();
  count(operation);
}

Operation* SubmissionQueue::pop() noexcept {
  Operation* operation = first_;
  if (operation != nullptr) erase(*operation);
  return operation;
}

void SubmissionQueue::erase(Operation& operation) noexcept {
  unlink(operation);
  operation.queued_ = false;
  --size_;
  uncount(operation);
}

void SubmissionQueue::unlink(Operation& operation) noexcept {
  Operation* before = operation.queue_before_;
  Operation* next = operation.queue_next_;
  (before != nullptr ? before->queue_next_ : first_) = next;
  (next != nullptr ? next->queue_before_ : last_) = before;
  operation.queue_next_ = operation.queue_before_ = nullptr;
}

void SubmissionQueue::count(Operation& operation) noexcept {
  if (best_count_ == 0 || more_urgent(operation.queued_as_, best_)) {
    best_ = operation.queued_as_;
    best_count_ = 1;
  } else if (operation.queued_as_ == best_) {
    ++best_count_;
  }
}

void SubmissionQueue::uncount(const Operation& operation) noexcept {
  if (operation.queued_as_ != best_ || --best_count_ != 0) return;
  best_ = Urgency::none();
  for (Operation* other = first_; other != nullptr; other = other->queue_next_) count(*other);
}

void SubmissionQueue::arrange(std::size_t batch) noexcept {
  if (size_ <= batch) return;
  try {
    items_.clear();
    items_.reserve(size_);
  } catch (const std::bad_alloc&) {
    return;
  }
  std::uint32_t index = 0;
  for (Operation* operation = first_; operation != nullptr; operation = operation->queue_next_) {
    items_.push_back({operation->urgency(), operation->request().fd, index++, operation});
  }
  // Within a descriptor, from the last back: who stands before a more urgent one is as urgent as that.
  std::sort(items_.begin(), items_.end(),
            [](const Item& a, const Item& b) { return a.fd != b.fd ? a.fd < b.fd : a.index > b.index; });
  for (std::size_t i = 1; i < items_.size(); ++i) {
    if (items_[i].fd == items_[i - 1].fd && items_[i].fd >= 0) {
      items_[i].urgency = most_urgent(items_[i].urgency, items_[i - 1].urgency);
    }
  }
  std::sort(items_.begin(), items_.end(), [](const Item& a, const Item& b) {
    if (a.urgency != b.urgency) return more_urgent(a.urgency, b.urgency);
    return a.index < b.index;
  });
  first_ = last_ = nullptr;
  for (const Item& item : items_) {
    Operation& operation = *item.operation;
    operation.queue_next_ = nullptr;
    operation.queue_before_ = last_;
    (last_ != nullptr ? last_->queue_next_ : first_) = &operation;
    last_ = &operation;
  }
}

}  // namespace heirloop
