// select: the first of several operations that is possible.
//
// Owns: one wait with a node in each queue. Called by tasks.
//
//   auto which = co_await select(jobs.receive(), stop.receive(), results.send_from(result));
//   if (which.index() == 1) …  std::get<1>(which) …
//
// 1. Of those that are possible at once it takes the first in the order of the arguments: always the same one.
// 2. While it waits, what becomes possible first claims it, and takes it out of the other queues in the same call. In each
//    queue it has its place by urgency and begin of wait, like any other waiter.
// 3. Nothing is done for the others: nothing taken, nothing sent.
// 4. When it is stopped before it ran, what it was elected for goes on to the next.
//
// What can be an argument: an awaiter whose `op()` has the members of SelectOp, and whose node stands in one queue.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <heirloop/sync/channel.hpp>

namespace heirloop {

/// In the answer of a select: an operation without a value was done.
struct Done {
  friend bool operator==(Done, Done) = default;
};

namespace detail {

/// An operation that a select can wait for. It is a WaitNode, made from a Wait and an operation to be like.
template <class Op>
concept SelectOp = std::derived_from<Op, WaitNode> && std::constructible_from<Op, Wait&, Op&&> &&
                   requires(Op& op, const Op& seen) {
  typename Op::Result;
  { op.begin() } -> std::same_as<bool>;             // done at once if possible: what it needs belongs to it then
  { seen.is_decided() } -> std::same_as<bool>;      // true from then on; set by who elects it while it waits
  { seen.ends_by_itself() } -> std::same_as<bool>;  // need not count as a checkpoint
  { op.gives_way() };                               // it is decided, and others run first
  { seen.queue() } -> std::same_as<WaiterQueue&>;
  { op.finish() } -> std::same_as<typename Op::Result>;
  { op.pass_on() };  // it is stopped: what belongs to it goes to the next
  { seen.describe() } -> std::same_as<std::string>;
};

template <class R>
using Selected = std::conditional_t<std::is_void_v<R>, Done, R>;

/// An operation made in its place, for it can't be moved.
template <class Op>
struct SelectArm : Op {
  explicit SelectArm(std::pair<Wait*, Op*> from) noexcept : Op(*from.first, std::move(*from.second)) {}
};

template <SelectOp... Ops>
class [[nodiscard("nothing is chosen until this is awaited")]] Select final : public CheckpointWait {
  static_assert(sizeof...(Ops) > 0, "a select needs something to wait for");

 public:
  using Result = std::variant<Selected<typename Ops::Result>...>;

  explicit Select(Ops&... ops) noexcept : arms_(std::pair<Wait*, Ops*>(this, &ops)...) {}

  bool await_ready() {
    Task& task = first_await(*this);
    if (!begin()) return false;
    bool ends_by_itself = false;
    for_each([&](auto& op) { ends_by_itself |= op.is_decided() && op.ends_by_itself(); });
    return ends_by_itself ? goes_on_at_once() : goes_on(task);
  }

  void await_suspend(std::coroutine_handle<> frame) {
    Loop& loop = Loop::current();
    if (gives_way()) {
      for_each([](auto& op) {
        if (op.is_decided()) op.gives_way();
      });
      return loop.yield(frame);
    }
    wait_where(loop, frame, [&] { enter_queues(loop, std::index_sequence_for<Ops...>()); });
  }

  Result await_resume() {
    if (was_blocked()) Loop::resumed();  // what it was elected for has been passed on then
    gave_way_or([this] { pass_on(); });
    return finish();
  }

  std::optional<Result> try_now() {
    if (!begin()) return std::nullopt;
    return finish();
  }

  AbortResult abort() noexcept override {
    pass_on();
    return AbortResult::done;
  }
  Needs needs() const noexcept override { return Needs::any; }

  std::string describe() const override {
    std::string text;
    std::apply([&](const auto&... op) { ((text += (text.empty() ? "" : " or ") + op.describe()), ...); }, arms_);
    return text;
  }

 private:
  template <class F>
  void for_each(F f) {
    std::apply([&](auto&... op) { (f(op), ...); }, arms_);
  }

  bool begin() {
    return std::apply([](auto&... op) { return (op.begin() || ...); }, arms_);
  }

  void pass_on() noexcept {
    for_each([](auto& op) { op.pass_on(); });
  }

  /// The search for a deadlock comes with the last, when all that it could wait for is known.
  template <std::size_t... I>
  void enter_queues(Loop& loop, std::index_sequence<I...>) {
    constexpr std::size_t last = sizeof...(Ops) - 1;
    const auto stand = [&](auto& op, bool is_last) {
      if (is_last) {
        enter_queue(loop, op, op.queue());
      } else {
        stand_in_queue(loop, op, op.queue());
      }
    };
    try {
      (stand(std::get<I>(arms_), I == last), ...);
    } catch (...) {
      leave_queues(*this);
      throw;
    }
  }

  template <std::size_t I = 0>
  Result finish() {
    auto& op = std::get<I>(arms_);
    if constexpr (I + 1 < sizeof...(Ops)) {
      if (!op.is_decided()) return finish<I + 1>();
    }
    if constexpr (std::is_void_v<decltype(op.finish())>) {
      op.finish();
      return Result(std::in_place_index<I>);
    } else {
      return Result(std::in_place_index<I>, op.finish());
    }
  }

  std::tuple<SelectArm<Ops>...> arms_;
};

}  // namespace detail

/// Waits until one of the operations is possible, does it alone, and answers which: a std::variant with the result of the
/// argument of that index (`Done` for a send). Of several that are possible at once it is the first argument.
///
///     auto which = co_await select(a.receive(), b.receive(), c.send(item));
///
/// An item given to `send` goes with the select when another operation was chosen; `send_from` leaves it with the caller.
/// A channel that is closed is possible: a receive gives nothing, a send throws; so is one whose named owner ends while the
/// select waits: OwnerDied. Each named owner inherits; the select depends on any of them.
/// Suspends: while none is possible; those that need not wait give way now and then as checkpoints do. Interrupt: nothing
/// was taken or sent, with the exception for a rendezvous that `Channel::send` names. Errors: what the chosen operation
/// throws; DeadlockError when not one of them could ever be possible; InvalidStateError outside tasks.
/// Cost: O(log n) for each operation.
template <class... Ops>
detail::Select<Ops...> select(detail::OneOp<Ops>&&... operations) {
  return detail::Select<Ops...>(operations.op()...);
}

/// Does the first of the operations that is possible now; empty when none is. Never suspends.
/// Errors: what the chosen operation throws.
template <class... Ops>
auto try_select(detail::OneOp<Ops>&&... operations) {
  return detail::Select<Ops...>(operations.op()...).try_now();
}

}  // namespace heirloop
