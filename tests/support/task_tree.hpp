// Programs of structured concurrency: trees of statements, made from random bytes, and what heirloop makes of them. Every time
// in a program is different from every other, so that what ends when does not hang on the order of equal times.
#pragma once

#include <heirloop/runtime/ensure.hpp>
#include <heirloop/runtime/gather.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/interrupt.hpp>

#include "support/sim.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace heirloop::testing {

enum class Does : std::uint8_t {
  sleep,
  fail,          // after a sleep
  sequence,
  group,         // the first part is the body, the others are children
  gather,        // each part is a task
  timeout,
  task_timeout,
  move_on,
  ensure,        // the first part is the body, the second the clean-up
  swallow,       // a cancel of its part
  rescue,        // everything of its part but cancels and a limit's interrupts
};

struct Statement {
  Does does = Does::sleep;
  int id = 0;
  std::int64_t span_ns = 0;  // of a sleep, a limit
  std::vector<Statement> parts{};
};

/// From outside, to the task that runs the whole.
struct FromOutside {
  std::int64_t time_ns;
  bool is_cancel;  // else a throw
};

struct TreeProgram {
  Statement root;
  std::vector<FromOutside> events{};
};

/// What a program does, as far as it can be seen: when each sleep ended and how, and how it all ended.
struct TreeTrace {
  std::vector<std::tuple<std::int64_t, int, std::string>> sleeps{};
  std::int64_t end_ns = 0;
  std::string ending{};
};

/// A program from bytes: whatever they are, one comes out.
class TreeMaker {
 public:
  TreeMaker(const std::vector<std::uint8_t>& bytes, std::uint64_t seed) : bytes_(bytes), seed_(seed) {}

  TreeProgram make() {
    TreeProgram program{.root = statement(0)};
    const int events = take() % 4;
    for (int i = 0; i < events; ++i) {
      const bool is_cancel = take() % 2 == 0;
      program.events.push_back({span() * 2, is_cancel});
    }
    std::sort(program.events.begin(), program.events.end(),
              [](const FromOutside& a, const FromOutside& b) { return a.time_ns < b.time_ns; });
    return program;
  }

 private:
  std::uint8_t take() { return next_ < bytes_.size() ? bytes_[next_++] : std::uint8_t{0}; }

  std::int64_t span() {
    std::uint64_t x = seed_ + 0x9E3779B97F4A7C15U * static_cast<std::uint64_t>(++spans_);
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
    return static_cast<std::int64_t>(1'000'000 + (x >> 34U));  // 1 ms to about a second
  }

  Statement statement(int depth) {
    constexpr int kinds = 11;
    Statement made{.does = static_cast<Does>(take() % kinds), .id = ++ids_};
    if (depth >= 5) made.does = made.does == Does::fail ? Does::fail : Does::sleep;
    const auto parts = [&](int most) {
      const int count = 1 + take() % most;
      for (int i = 0; i < count; ++i) made.parts.push_back(statement(depth + 1));
    };
    switch (made.does) {
      case Does::sleep:
      case Does::fail:
        made.span_ns = span();
        break;
      case Does::sequence:
        parts(3);
        break;
      case Does::group:
      case Does::gather:
        parts(4);
        break;
      case Does::ensure:
        made.parts.push_back(statement(depth + 1));
        made.parts.push_back(statement(depth + 1));
        break;
      default:
        made.span_ns = span();
        made.parts.push_back(statement(depth + 1));
        break;
    }
    return made;
  }

  const std::vector<std::uint8_t>& bytes_;
  std::uint64_t seed_;
  std::size_t next_ = 0;
  std::uint64_t spans_ = 0;
  int ids_ = 0;
};

/// The exception of a `fail`.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Runs a program on a loop in virtual time.
class TreeRun {
 public:
  static TreeTrace run(const TreeProgram& program, PolicyKind policy) {
    TreeRun run(program);
    LogCapture log;  // of failures of tasks that a gather has left
    Sim sim({.policy = policy});
    sim.run(run.direct());
    std::sort(run.trace_.sleeps.begin(), run.trace_.sleeps.end());
    return run.trace_;
  }

 private:
  explicit TreeRun(const TreeProgram& program) : program_(program) {}

  std::int64_t now() const { return (loop_time() - began_).count(); }

  Coro<void> direct() {
    began_ = loop_time();
    auto task = create_task(root(), {.name = "root"});
    for (const FromOutside& event : program_.events) {
      co_await sleep_until(began_ + std::chrono::nanoseconds(event.time_ns));
      if (event.is_cancel) {
        task.cancel();
      } else {
        try {
          task_throw(task, InterruptException());
        } catch (const InvalidStateError&) {
          // It is done, or a cancel is pending.
        }
      }
    }
    co_await sleep(std::chrono::hours(24));  // until all that a gather has left has ended
    contract(task.done(), "a program of statements ends within a day");
    if (trace_.ending.empty()) trace_.ending = task.cancelled() ? "cancelled" : "?";
  }

  Coro<void> root() {
    try {
      co_await act(program_.root);
      trace_.ending = "value";
    } catch (...) {
      trace_.ending = name_of_current();
    }
    trace_.end_ns = now();
  }

  static std::string name_of_current() {
    try {
      throw;
    } catch (const Failure&) {
      return "failure";
    } catch (const TimeoutError&) {
      return "timeout";
    } catch (const ExceptionGroup&) {
      return "group";
    } catch (const TimeoutInterrupt&) {
      return "limit";
    } catch (const InterruptException&) {
      return "interrupt";
    } catch (const Cancelled&) {
      return "cancelled";
    }
  }

  Coro<void> sleep_noted(const Statement& s) {
    std::exception_ptr error;
    std::string ending = "value";
    try {
      co_await sleep(std::chrono::nanoseconds(s.span_ns));
    } catch (...) {
      ending = name_of_current();
      error = std::current_exception();
    }
    trace_.sleeps.emplace_back(now(), s.id, ending);
    if (error) std::rethrow_exception(error);
  }

  Coro<void> act(const Statement& s) {
    const auto part = [&] { return act(s.parts[0]); };
    const std::chrono::nanoseconds span(s.span_ns);
    switch (s.does) {
      case Does::sleep:
        co_await sleep_noted(s);
        break;
      case Does::fail:
        co_await sleep_noted(s);
        throw Failure(std::to_string(s.id));
      case Does::sequence:
        for (const Statement& one : s.parts) co_await act(one);
        break;
      case Does::group:
        co_await in_group(s);
        break;
      case Does::gather: {
        std::vector<Coro<void>> all;
        for (const Statement& one : s.parts) all.push_back(act(one));
        co_await gather(std::move(all));
        break;
      }
      case Does::timeout:
        co_await timeout(span, part);
        break;
      case Does::task_timeout:
        co_await task_timeout(span, part);
        break;
      case Does::move_on:
        co_await move_on_after(span, part);
        break;
      case Does::ensure:
        co_await ensure(part, [&] { return act(s.parts[1]); });
        break;
      case Does::swallow:
      case Does::rescue:
        co_await caught(s);
        break;
    }
  }

  Coro<void> in_group(const Statement& s) {
    co_await with_task_group([&](TaskGroup& group) -> Coro<void> {
      for (std::size_t i = 1; i < s.parts.size(); ++i) group.start_soon(act(s.parts[i]));
      co_await act(s.parts[0]);
    });
  }

  Coro<void> caught(const Statement& s) {
    try {
      co_await act(s.parts[0]);
    } catch (...) {
      const std::string name = name_of_current();
      const bool is_caught = s.does == Does::swallow ? name == "cancelled" : name != "cancelled" && name != "limit";
      if (!is_caught) throw;
    }
  }

  const TreeProgram& program_;
  std::chrono::steady_clock::time_point began_{};
  TreeTrace trace_;
};

}  // namespace heirloop::testing
