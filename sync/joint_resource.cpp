#include <heirloop/sync/joint_resource.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>

namespace heirloop::detail {

std::vector<TaskRef> JointResource::holders() const {
  std::vector<TaskRef> tasks;
  for (const Holding* h = holdings(); h != nullptr; h = h->next_of_resource) tasks.emplace_back(h->owner);
  return tasks;
}

std::string JointResource::holders_text() const {
  const Holding* first = holdings();
  if (first == nullptr) return {};
  std::size_t others = 0;
  for (const Holding* h = first->next_of_resource; h != nullptr; h = h->next_of_resource) ++others;
  const std::string text = " held by " + first->owner->name();
  return others == 0 ? text : text + " and " + std::to_string(others) + (others == 1 ? " other" : " others");
}

/// All shares of the dead go back at once, so that one look tells whether it was the sole owner.
void JointResource::owner_died(Holding& holding) noexcept {
  const Task& dead = *holding.owner;
  for (Holding* h = holdings(); h != nullptr;) {
    Holding* following = h->next_of_resource;
    if (h->owner == &dead) {
      unlink_holding(*h);
      h->resource = nullptr;  // the guard may outlive it
      given_back(static_cast<Share&>(*h));
    }
    h = following;
  }
  if (holdings() != nullptr) {
    logger().error("{} ended while it held {}, as others do; its share is given back", dead.name(), describe());
    return admit();
  }
  logger().error("{} ended while it held {}; {} waiting tasks get OwnerDied and it is free", dead.name(), describe(),
                 waiters().size());
  Waiter::owner_died(waiters(), what_);
}

/// Who leaves the queue may have stood before others who may go in.
AbortResult ShareWait::abort() noexcept {
  if (handed_over()) {
    resource_.give_back(*share_);
  } else if (!lost_its_owner()) {
    leave_queues(*this);
    resource_.admit();
  }
  return AbortResult::done;
}

void ShareGuard::check_owned() const {
  if (share_ == nullptr) throw InvalidStateError("this guard holds nothing: it has given its share away already");
  if (share_->owner == nullptr) throw InvalidStateError("the owner of this guard ended: its share was given back then");
  if (!owned_here()) {
    throw InvalidStateError("a share of " + resource().describe() + " belongs to " + share_->owner->name() +
                            ", not to the current task");
  }
}

void ShareGuard::release() {
  check_owned();
  resource().give_back(*share_);
  share_.reset();
}

void ShareGuard::transfer(const TaskRef& to) {
  check_owned();
  if (to.done()) throw InvalidStateError(to.name() + " is done: it can't own a share of " + resource().describe());
  Loop::check_thread(*to.get());
  transfer_holding(*share_, *to.get());
}

void ShareGuard::drop_foreign() noexcept {
  if (share_->owner == nullptr) return;  // logged as the owner ended
  logger().warn("a guard of {} is destroyed by a task that does not own its share", resource().describe());
  resource().give_back(*share_);
}

}  // namespace heirloop::detail
