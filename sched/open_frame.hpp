// Frames that stay suspended between the calls of their holder, and have to be closed before their loop is gone.
//
// Owns: the list of a loop's, by which the end of a run finds those that nobody has ended. Entered by generators as they
// begin, left as they end; the links are in the frame, so that its holder may be moved.
//
// 1. A frame stands in one list at most, from its begin to its end, or to the beginning of its close by the loop.
#pragma once

#include <heirloop/sched/coro.hpp>

namespace heirloop::detail {

/// The promise of such a frame.
class OpenFrame : public CoroPromiseBase {
 public:
  /// `close` awaits the end of the frame, which it is given.
  using Close = Coro<void> (*)(OpenFrame& frame);

  explicit OpenFrame(Close how) noexcept : close_(how) {}
  OpenFrame(const OpenFrame&) = delete;
  OpenFrame& operator=(const OpenFrame&) = delete;

  Coro<void> close() { return close_(*this); }

 protected:
  ~OpenFrame() = default;

 private:
  friend class OpenFrames;

  OpenFrame* before_ = nullptr;
  OpenFrame* behind_ = nullptr;
  class OpenFrames* list_ = nullptr;
  Close close_;
};

class OpenFrames {
 public:
  OpenFrames() = default;
  OpenFrames(const OpenFrames&) = delete;
  OpenFrames& operator=(const OpenFrames&) = delete;
  ~OpenFrames() {
    while (newest_ != nullptr) remove(*newest_);
  }

  /// The last that began; null when there is none.
  OpenFrame* newest() const noexcept { return newest_; }

  void add(OpenFrame& frame) noexcept {
    frame.list_ = this;
    frame.before_ = nullptr;
    frame.behind_ = newest_;
    if (newest_ != nullptr) newest_->before_ = &frame;
    newest_ = &frame;
  }

  /// Nothing happens when it stands in no list.
  static void remove(OpenFrame& frame) noexcept {
    OpenFrames* list = std::exchange(frame.list_, nullptr);
    if (list == nullptr) return;
    (frame.before_ != nullptr ? frame.before_->behind_ : list->newest_) = frame.behind_;
    if (frame.behind_ != nullptr) frame.behind_->before_ = frame.before_;
  }

 private:
  OpenFrame* newest_ = nullptr;
};

}  // namespace heirloop::detail
