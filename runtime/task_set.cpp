#include <heirloop/runtime/task_set.hpp>

namespace heirloop::detail {

TaskSet::~TaskSet() {
  while (members_ != nullptr) remove(*members_);
}

void TaskSet::add(std::unique_ptr<Member> made, Task& task) noexcept {
  Member& member = *made.release();
  member.resource = this;
  member.older = members_;
  if (members_ != nullptr) members_->newer = &member;
  members_ = &member;
  ++size_;
  link_holding(member, task);
}

void TaskSet::remove(Member& member) noexcept {
  unlink_holding(member);
  (member.newer != nullptr ? member.newer->older : members_) = member.older;
  if (member.older != nullptr) member.older->newer = member.newer;
  --size_;
  delete &member;
}

void TaskSet::let_go_of_foreign() noexcept {
  for (Member* member = members_; member != nullptr;) {
    Member* older = member->older;
    if (!member->own) remove(*member);
    member = older;
  }
}

void TaskSet::owner_died(Holding& holding) noexcept {
  auto& member = static_cast<Member&>(holding);
  Task& task = *member.owner;
  const bool own = member.own;
  remove(member);
  member_ended(task, own);
}

}  // namespace heirloop::detail
