#include <heirloop/runtime/async_generator.hpp>

#include <string>
#include <typeinfo>

#include <cxxabi.h>
#include <spdlog/spdlog.h>

#include <heirloop/sched/log.hpp>
#include <heirloop/sched/loop.hpp>

namespace heirloop::detail {

namespace {
bool handling_exit() noexcept {
  const std::type_info* type = abi::__cxa_current_exception_type();
  return type != nullptr && *type == typeid(GeneratorExit);
}
}  // namespace

void GeneratorPromise::begin() noexcept {
  if (this_thread.loop != nullptr) this_thread.loop->add_open(*this);
}

void GeneratorPromise::refuse_second() const {
  throw InvalidStateError("somebody is inside this generator already, at " + place_text(where));
}

bool GeneratorPromise::can_be_thrown_at() {
  if (state_ == State::created) state_ = State::finished;
  return can_go_on();
}

void GeneratorPromise::throw_at_yield(std::exception_ptr error, std::coroutine_handle<> frame) noexcept {
  error_ = std::move(error);
  then_ = Then::throws;
  go_on(frame);
}

void GeneratorPromise::close_at_yield(std::coroutine_handle<> frame) noexcept {
  then_ = Then::ends;
  refused_yields_ = 0;
  go_on(frame);
}

void GeneratorPromise::throw_here() {
  if (then_ == Then::ends) throw GeneratorExit();
  then_ = Then::goes_on;
  std::rethrow_exception(std::exchange(error_, nullptr));
}

bool GeneratorPromise::yields_in_close(const std::source_location& place) {
  if (!awaiter) this_thread.drive->refuse("yields", place);
  const InvalidStateError error("a generator that is closed yields nothing more; this one yields at " + place_text(place));
  if (refused_yields_++ < Drive::most_refusals) throw error;
  error_ = std::make_exception_ptr(error);
  then_ = Then::goes_on;
  return false;
}

void GeneratorPromise::unhandled_exception() noexcept {
  if (then_ != Then::ends || !handling_exit()) error_ = std::current_exception();
}

void GeneratorPromise::drop() noexcept {
  if (closed_by_loop_) {
    dropped_ = true;
    return;
  }
  contract(state_ != State::running, "a generator is not dropped while somebody is inside it", where);
  if (state_ == State::suspended) return close_in_call();
  handle().destroy();
}

void GeneratorPromise::close_in_call() noexcept {
  Drive drive("a generator that is dropped neither waits nor yields any more; co_await aclose() lets it wait", where);
  close_at_yield(nullptr);
  drive.run(std::exchange(this_thread.next, nullptr));
  contract(state_ == State::finished, "a generator that is dropped has ended", where);
  if (error_) logger().error("an exception left a generator that was dropped: {}", describe_exception(error_));
  handle().destroy();  // inside the drive, which counts: parameters may be generators
}

/// Who drops it meanwhile leaves the rest to the loop.
Coro<void> GeneratorPromise::closed_by_loop(OpenFrame& frame) {
  class Closing {
   public:
    explicit Closing(GeneratorPromise& generator) noexcept : generator_(generator) { generator_.closed_by_loop_ = true; }
    Closing(const Closing&) = delete;
    Closing& operator=(const Closing&) = delete;
    ~Closing() {
      generator_.closed_by_loop_ = false;
      if (generator_.dropped_) generator_.drop();
    }

   private:
    GeneratorPromise& generator_;
  };
  const Closing closing(static_cast<GeneratorPromise&>(frame));
  co_await CloseAwaiter(static_cast<GeneratorPromise&>(frame));
}

}  // namespace heirloop::detail
