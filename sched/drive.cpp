#include <heirloop/sched/drive.hpp>

#include <optional>
#include <utility>

#include <heirloop/sched/contract.hpp>
#include <heirloop/sched/errors.hpp>
#include <heirloop/sched/task.hpp>

namespace heirloop::detail {

std::string place_text(const std::source_location& place) {
  return std::string(place.file_name()) + ":" + std::to_string(place.line());
}

Drive::Drive(const char* rule, const std::source_location& where) noexcept
    : rule_(rule), before_(this_thread), depth_(before_.drive == nullptr ? 1 : before_.drive->depth_ + 1) {
  contract(depth_ <= most_nested, "coroutines that are closed inside each other's close nest no deeper; await the close", where);
  this_thread.drive = this;
  this_thread.next = nullptr;
}

void Drive::run(std::coroutine_handle<> frame) const noexcept {
  const Task* task = this_thread.task;
  const std::optional<TaskState> state = task != nullptr ? std::optional(task->state()) : std::nullopt;
  while (frame) {
    frame.resume();
    contract(task == nullptr || task->state() == state, "what runs inside a call waits nowhere, not in an awaiter of its own");
    frame = std::exchange(this_thread.next, nullptr);
  }
}

void Drive::refuse(const char* did, const std::source_location& place) {
  contract(++refusals_ <= most_refusals, rule_, place);
  throw InvalidStateError(std::string(rule_) + "; this one " + did + " at " + place_text(place));
}

void refuse_wait(const std::source_location& place) { this_thread.drive->refuse("waits", place); }

}  // namespace heirloop::detail
