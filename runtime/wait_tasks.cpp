#include <heirloop/runtime/wait_tasks.hpp>

namespace heirloop::detail {

std::string Watching::describe() const {
  return std::string(needs() == Needs::any ? "one of " : "all of ") + std::to_string(size()) + (size() == 1 ? " task" : " tasks");
}

void Watching::watch(const TaskRef& task) {
  const std::size_t all = ended_.size() + size() + 1;
  if (all > ended_.capacity()) ended_.reserve(2 * all);
  TaskSet::watch(task);
}

void Watching::member_ended(Task& task, bool) noexcept {
  ended_.emplace_back(&task);
  over_ |= when_ == ReturnWhen::first_completed || (when_ == ReturnWhen::first_exception && task.failed());
  if (over_ || size() == 0) wake_all(waiters());
}

}  // namespace heirloop::detail
