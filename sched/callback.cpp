#include <heirloop/sched/callback.hpp>

#include <heirloop/sched/loop.hpp>

namespace heirloop {

void Callback::free_block() noexcept {
  if (origin_ == Origin::timer) {
    auto* block = static_cast<TimedCall*>(this);
    block->~TimedCall();
    detail::FramePool::deallocate(block, sizeof(TimedCall));
  } else if (origin_ == Origin::loop) {
    this->~Callback();
    detail::FramePool::deallocate(this, sizeof(Callback));
  } else {
    this->~Callback();
    detail::PostPool::deallocate(this);
  }
}

/// The caller holds a handle.
bool Callback::cancel() noexcept {
  if (stage_ != Stage::pending) return false;
  stage_ = Stage::cancelled;
  if (listed_) {
    list_->erase(*this);
  } else if (is_ready()) {
    loop_->ready().erase(*this);
  } else if (origin_ == Origin::timer && static_cast<TimedCall*>(this)->is_set()) {
    loop_->forget_timer(*static_cast<TimedCall*>(this));
  } else {
    destroy_callable();  // somebody has taken it out of the ready queue and will put it back
    return true;
  }
  destroy_callable();
  let_go();
  return true;
}

void CallHandle::empty() { throw InvalidStateError("this handle is empty"); }

bool CallHandle::cancel() const {
  if (callback().stage_ != Callback::Stage::pending) return false;
  Loop::check_thread(*callback_->loop_);
  return callback_->cancel();
}

std::chrono::steady_clock::time_point TimerHandle::when() const {
  auto& call = static_cast<TimedCall&>(callback());
  if (call.is_undated()) {
    Loop::check_thread(*call.loop_);
    call.loop_->deadline_of(call);
  }
  return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(call.time_ns()));
}

void TimedCall::due(Timer& timer) noexcept {
  auto& call = static_cast<TimedCall&>(timer);
  call.loop_->make_ready(call);
}

}  // namespace heirloop
