#include <heirloop/sched/future.hpp>

#include <spdlog/spdlog.h>

#include <heirloop/sched/cancel.hpp>
#include <heirloop/sched/log.hpp>

namespace heirloop::detail {

FutureBase::~FutureBase() {
  if (life_ != nullptr) life_->let_go();
}

std::string FutureBase::describe() const {
  return owner_.owner == nullptr ? "a future" : "a future of " + owner_.owner->name();
}

void FutureBase::set_owner(const TaskRef& task) {
  heirloop::set_owner(owner_, task);
  if (done_ && owner_.owner != nullptr) unlink_holding(owner_);  // nobody waits any more
}

void FutureBase::owner_died(Holding& holding) noexcept {
  logger().error("{} ended and left {} without an outcome; {} waiting tasks get OwnerDied", holding.owner->name(), describe(),
                 waiters().size());
  unlink_holding(holding);
  while (WaitNode* node = waiters().next()) {
    auto& wait = static_cast<Wait&>(node->wait());
    wait.owner_died_ = true;
    wait.task()->loop().wake(wait);
  }
}

bool FutureBase::cancel(Cancelled cancelled) {
  if (done_) return false;
  store_cancelled(std::make_exception_ptr(std::move(cancelled)));
  set_done();
  return true;
}

void FutureBase::check_loop(Loop& loop) const {
  if (life_ != nullptr && life_ != &loop.life()) throw InvalidStateError("functions of another loop wait for this future");
}

void FutureBase::call_when_done(Loop& loop, Callback& callback) noexcept {
  callbacks_.adopt(callback);
  if (done_) return loop.make_ready(callback);
  if (life_ == nullptr) life_ = loop.life().retain();
  callbacks_.push_back(callback);
}

void FutureBase::check_not_done() const {
  if (done_) throw InvalidStateError("this future has its outcome already");
}

void FutureBase::set_done() noexcept {
  done_ = true;
  if (owner_.owner != nullptr) unlink_holding(owner_);
  while (WaitNode* node = waiters().next()) node->wait().task()->loop().wake(node->wait());
  if (callbacks_.empty()) return;
  if (life_->loop != nullptr) return life_->loop->make_all_ready(callbacks_);
  while (Callback* callback = callbacks_.pop_front()) callback->dispose();
}

void FutureBase::log_unless_fetched(const std::exception_ptr& error) const noexcept {
  if (!fetched_) logger().error("a future failed, and nobody fetched its exception: {}", describe_exception(error));
}

void FutureBase::Wait::await_suspend(std::coroutine_handle<> frame) {
  if (is_blocked()) throw InvalidStateError("a task waits by this await of a future already; await the future itself again");
  Loop& loop = Loop::current();
  enter_queue(loop, node_, future_.waiters());
  loop.block(*this, frame);
}

void FutureBase::Wait::await_resume() const {
  if (was_blocked()) Loop::resumed();
  if (owner_died_) throw OwnerDied("the task that was to set the outcome of a future ended without it");
}

bool FutureBase::Wait::forward(CancelWalk& walk) noexcept {
  if (!forwards_ || !future_.cancel(walk.cancelled())) return false;
  walk.has_ended();
  return true;
}

}  // namespace heirloop::detail
