#include <heirloop/runtime/wait_tasks.hpp>

namespace heirloop::detail {

/// The tasks that watched futures are wanted no longer.
Watching::~Watching() {
  if (wanted_ != nullptr) *wanted_ = false;
  for (const Member* member = newest(); member != nullptr; member = member->older) {
    if (member->own) member->owner->loop().cancel(*member->owner, "nobody waits for the future any more");
  }
}

std::string Watching::describe() const {
  return std::string(needs() == Needs::any ? "one of " : "all of ") + std::to_string(size()) + (size() == 1 ? " task" : " tasks");
}

void Watching::make_room() {
  const std::size_t all = ended_.size() + size() + 1;
  if (all > ended_.capacity()) ended_.reserve(2 * all);
}

void Watching::watch(const TaskRef& task) {
  make_room();
  TaskSet::watch(task);
}

void Watching::member_ended(Task& task, bool own) noexcept {
  const TaskRef ended(&task);
  bool failed = task.failed() && !ended.cancelled();
  if (own && failed) {
    refused_ = ended.exception();
    over_ = true;
  } else if (own && !task.failed()) {
    failed = outcome_failed_(task);
  }
  ended_.push_back(ended);
  over_ |= when_ == ReturnWhen::first_completed || (when_ == ReturnWhen::first_exception && failed);
  if (is_over() || needs() == Needs::any) wake_all(waiters());
}

}  // namespace heirloop::detail
