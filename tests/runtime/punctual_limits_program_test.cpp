// Random nests of limits of both kinds, groups with failing children, gathers and shielded clean-up, in which much happens within
// one instant: whatever the order there, no limit is late, and nothing of what is inside comes out.
//
// The naive interpreter of task_tree_program_test.cpp says exactly what happens, and leaves out what hangs on that order.
#include <heirloop/heirloop.hpp>

#include "support/property.hpp"
#include "support/sim.hpp"

#include <chrono>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

class Nest {
 public:
  explicit Nest(std::uint64_t seed) : random_(seed) {}

  /// What went wrong, or nothing.
  const std::string& wrong() const noexcept { return wrong_; }

  Coro<void> root() {
    const auto began = loop_time();
    try {
      co_await timeout(20ms, [this] { return block(6); });
    } catch (const TimeoutError&) {
    } catch (...) {
      wrong_ += "out of the root: " + describe_exception(std::current_exception()) + "\n";
    }
    check_time("the root", began, 20ms);
    if (current_task().cancelling() != 0) wrong_ += "a cancel request is left\n";
    try {
      co_await sleep(1ms);
    } catch (...) {
      wrong_ += "behind the root: " + describe_exception(std::current_exception()) + "\n";
    }
  }

 private:
  static constexpr auto clean_ups = 300ms;  // more than those of a whole nest take
  static constexpr auto endless = 10s;

  int below(int limit) { return static_cast<int>(random_() % static_cast<std::uint64_t>(limit)); }

  void check_time(const char* what, std::chrono::steady_clock::time_point began, std::chrono::nanoseconds limit) {
    if (loop_time() > began + limit + clean_ups) wrong_ += std::string(what) + " has ended late\n";
  }

  Coro<void> block(int depth) {
    switch (depth <= 0 ? 0 : below(9)) {
      case 1:
      case 2: co_await group(depth - 1); break;
      case 3: co_await limited(depth - 1); break;
      case 4: co_await interrupted(depth - 1); break;
      case 5: co_await cleaned_up(depth - 1); break;
      case 6:
      case 7:
        co_await block(depth - 1);
        co_await block(depth - 1);
        break;
      case 8: co_await gathered(depth - 1); break;
      default:
        const int span = below(6);
        co_await sleep(span == 5 ? std::chrono::nanoseconds(endless) : milliseconds(span));
    }
  }

  Coro<void> child(int depth, bool fails) {
    co_await block(depth);
    if (fails) throw std::runtime_error("a child has failed");
  }

  Coro<void> group(int depth) {
    const auto body = [&](TaskGroup& of) -> Coro<void> {
      for (int children = below(4); children > 0; --children) {
        const double priority = below(3) * 5.0 - 5.0;
        const bool fails = below(2) == 0;
        of.start_soon(child(depth, fails), {.priority = priority, .eager_start = below(5) == 0});
      }
      co_await block(depth);
    };
    try {
      co_await with_task_group(body);
    } catch (const ExceptionGroup& errors) {
      if (errors.subgroup<TimeoutInterrupt>()) throw;  // of a limit outside, perhaps
    }
  }

  Coro<void> gathered(int depth) {
    std::vector<Coro<void>> parts;
    for (int i = below(3); i >= 0; --i) parts.push_back(child(depth, below(4) == 0));
    const auto outcomes = co_await gather(return_exceptions, std::move(parts));
    for (const Outcome<void>& part : outcomes) {
      if (!part.has_value()) note_part(part.error());
    }
  }

  /// A part is a task of its own, in which no limit outside is sent.
  void note_part(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const TimeoutError&) {
      wrong_ += "a limit has come out of its block in a gather\n";
    } catch (...) {
    }
  }

  Coro<void> limited(int depth) {
    const auto began = loop_time();
    const auto span = milliseconds(1 + below(6));
    try {
      co_await timeout(span, [&] { return block(depth); });
    } catch (const TimeoutError&) {
    }
    check_time("timeout", began, span);
  }

  /// An interrupt that came with failures is in their group. That of a limit outside goes on to it.
  Coro<void> interrupted(int depth) {
    const auto began = loop_time();
    const auto span = milliseconds(1 + below(6));
    const auto body = [&](TimeLimit& limit) -> Coro<void> {
      bool outside = false;
      try {
        co_await block(depth);
      } catch (const ExceptionGroup& errors) {
        for (const auto& error : errors.leaves()) outside |= is_of_one_outside(error, limit);
        if (outside) throw;
      }
    };
    std::exception_ptr from_outside;
    try {
      co_await task_timeout(span, body);
    } catch (const TimeoutError&) {
    } catch (const ExceptionGroup&) {
      from_outside = std::current_exception();
    }
    check_time("task_timeout", began, span);
    if (from_outside) std::rethrow_exception(from_outside);
  }

  static bool is_of_one_outside(const std::exception_ptr& error, const TimeLimit& limit) {
    try {
      std::rethrow_exception(error);
    } catch (const TimeoutInterrupt& interrupt) {
      for (const TimeLimit* outer = limit.outer(); outer != nullptr; outer = outer->outer()) {
        if (outer->has_sent(interrupt)) return true;
      }
    } catch (...) {
    }
    return false;
  }

  Coro<void> cleaned_up(int depth) {
    co_await ensure([&] { return block(depth); }, [this]() -> Coro<void> { co_await sleep(milliseconds(below(3))); });
  }

  std::mt19937_64 random_;
  std::string wrong_;
};

TEST(PunctualLimits, are_never_late_and_let_nothing_out) {
  check_property(8000, 100, [] {
    const auto seed = *rc::gen::arbitrary<std::uint64_t>();
    LogCapture log;
    Nest nest(seed);
    Sim sim;
    sim.run(nest.root());
    RC_ASSERT(nest.wrong() == "");
  });
}

}  // namespace
}  // namespace heirloop::testing
