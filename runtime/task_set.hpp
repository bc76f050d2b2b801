// Tasks for which somebody waits together: what is under groups, `gather`, `wait` and `as_completed`.
//
// Owns: which tasks belong to it. Lives in the frame of who waits. Called by the loop as a task ends.
//
// 1. Each task is a joint owner of the set (a Holding), so that whoever waits for the set lends to every task.
// 2. A task leaves as it ends, and then `member_ended` hears of it; when the set goes first, its tasks just leave it.
// 3. `all` or `any` of them are needed; by this the search for deadlocks judges who waits for the set.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include <heirloop/sched/inheritance.hpp>

namespace heirloop::detail {

class TaskSet : public Resource {
 public:
  struct Member : Holding, Pooled {
    Member* older = nullptr;
    Member* newer = nullptr;
    bool own = false;  // made for the set, not only watched by it
  };

  explicit TaskSet(Needs needs) noexcept : needs_(needs) {}
  ~TaskSet();

  std::size_t size() const noexcept { return size_; }
  Needs needs() const noexcept override { return needs_; }

  /// Last one first.
  Member* newest() const noexcept { return members_; }

  /// A task that belongs to the set before its first line. It must be started, with the same options, which have to be
  /// `decided`.
  template <class T>
  PriorityTask<T> make(Loop& loop, Coro<T> coro, const TaskOptions& options, bool own) {
    auto member = std::make_unique<Member>();
    member->own = own;
    PriorityTask<T> task = loop.make_task(std::move(coro), options);
    add(std::move(member), *task.get());
    return task;
  }

  /// A task that others have made; when it is done already, that is heard of at once. Errors: std::bad_alloc.
  void watch(const TaskRef& task) {
    if (task.done()) return member_ended(*task.get(), false);
    add(std::make_unique<Member>(), *task.get());
  }

 protected:
  /// It has left the set.
  virtual void member_ended(Task& task, bool own) noexcept = 0;

  /// Those that others have made leave.
  void let_go_of_foreign() noexcept;

 private:
  void add(std::unique_ptr<Member> member, Task& task) noexcept;
  void owner_died(Holding& holding) noexcept final;
  void remove(Member& member) noexcept;

  Member* members_ = nullptr;
  std::size_t size_ = 0;
  const Needs needs_;
};

}  // namespace heirloop::detail
