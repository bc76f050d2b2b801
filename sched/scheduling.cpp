#include <heirloop/sched/scheduling.hpp>

namespace heirloop {
namespace {

/// Errors: InvalidStateError when the task is not ready, or on another thread.
Task& ready_task(const TaskRef& task, const char* what) {
  if (!task) throw InvalidStateError(std::string(what) + " needs a task; this handle is empty");
  Loop::check_thread(*task.get());
  if (!task.get()->is_ready()) {
    throw InvalidStateError(std::string(what) + " needs a ready task; " + task.name() + " is " +
                            std::string(to_string(task.state())));
  }
  return *task.get();
}

TaskRef as_task(Entry& entry) noexcept {
  return TaskRef(entry.kind() == Entry::Kind::task ? static_cast<Task*>(&entry) : nullptr);
}

ReadyItem as_item(Entry& entry) { return {as_task(entry), entry.urgency().priority, entry.has_position()}; }

}  // namespace

void detail::SwitchAwaiter::await_suspend(std::coroutine_handle<> frame) const {
  Task& target = ready_task(target_, "task_switch");
  Loop& loop = target.loop();
  loop.to_front(target);
  if (position_) {
    loop.yield_at(*position_, frame);
  } else {
    loop.yield(frame);
  }
}

void task_reinsert(const TaskRef& task, std::size_t position) {
  Task& ready = ready_task(task, "task_reinsert");
  ready.loop().ready().reposition(ready, position);
}

std::vector<TaskRef> runnable_tasks() {
  std::vector<TaskRef> tasks;
  for (Entry* entry : Loop::current().ready().in_pop_order()) {
    if (entry->kind() == Entry::Kind::task) tasks.push_back(as_task(*entry));
  }
  return tasks;
}

std::vector<TaskRef> blocked_tasks() {
  std::vector<TaskRef> tasks = all_tasks();
  std::erase_if(tasks, [](const TaskRef& task) { return !task_is_blocked(task); });
  return tasks;
}

// ---- the ready queue ----

TakenEntry::TakenEntry(Loop& loop, Entry& entry) : entry_(&entry), task_(as_task(entry)), loop_(&loop) {}

Entry* TakenEntry::give() noexcept {
  Entry* entry = std::exchange(entry_, nullptr);
  const bool elsewhere = task_ && (task_.state() != TaskState::ready || entry->is_ready());
  task_ = TaskRef();
  return elsewhere ? nullptr : entry;
}

void TakenEntry::put_back() noexcept {
  if (entry_ == nullptr) return;
  if (Entry* entry = give()) loop_->ready().push(*entry, loop_->now_ns());
}

std::vector<ReadyItem> ReadyTasks::items() const {
  std::vector<ReadyItem> items;
  for (Entry* entry : loop_->ready().in_pop_order()) items.push_back(as_item(*entry));
  return items;
}

std::optional<ReadyItem> ReadyTasks::find(const std::function<bool(const ReadyItem&)>& wanted) const {
  for (Entry* entry : loop_->ready().in_pop_order()) {
    if (ReadyItem item = as_item(*entry); wanted(item)) return item;
  }
  return std::nullopt;
}

TakenEntry ReadyTasks::pop() {
  Entry* entry = loop_->ready().take_out();
  return entry == nullptr ? TakenEntry() : TakenEntry(*loop_, *entry);
}

TakenEntry ReadyTasks::remove(const TaskRef& task) {
  Task& ready = ready_task(task, "remove");
  loop_->ready().erase(ready);
  return TakenEntry(*loop_, ready);
}

/// To be put in; null for an empty one. Errors: InvalidStateError when the task has been woken meanwhile.
Entry* TakenEntry::give_to_insert() {
  if (entry_ == nullptr) return nullptr;
  const TaskRef task = task_;
  Entry* entry = give();
  if (entry == nullptr) throw InvalidStateError(task.name() + " was woken meanwhile: it has its place, or has run");
  return entry;
}

void ReadyTasks::append(TakenEntry entry) {
  if (Entry* given = entry.give_to_insert()) loop_->ready().push(*given, loop_->now_ns());
}

void ReadyTasks::append_pri(TakenEntry entry, double priority) {
  const double checked = checked_priority(priority);
  if (Entry* given = entry.give_to_insert()) loop_->ready().push_at_priority(*given, checked, loop_->now_ns());
}

void ReadyTasks::insert(std::size_t position, TakenEntry entry) {
  if (Entry* given = entry.give_to_insert()) loop_->ready().push_positional(*given, position, loop_->now_ns());
}

void ReadyTasks::reschedule_all() { loop_->ready().replace_all(); }

void ReadyTasks::rotate(std::ptrdiff_t n) { loop_->ready().rotate(n); }

}  // namespace heirloop
