// A program's beginning and end: values, exceptions, signals, the drain, what is left over.
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <heirloop/heirloop.hpp>

namespace hl = heirloop;
using namespace std::chrono_literals;

namespace {

hl::Coro<int> give(int value) { co_return value; }

TEST(Run, gives_the_value_of_main) { EXPECT_EQ(hl::run(give(42)), 42); }

TEST(Run, gives_a_move_only_value) {
  auto main = []() -> hl::Coro<std::unique_ptr<int>> { co_return std::make_unique<int>(7); };
  EXPECT_EQ(*hl::run(main()), 7);
}

TEST(Run, rethrows_what_ends_main) {
  auto main = []() -> hl::Coro<void> {
    co_await hl::sleep(0);
    throw std::out_of_range("too far");
  };
  EXPECT_THROW(hl::run(main()), std::out_of_range);
}

hl::Coro<void> note_the_end(std::vector<std::string>& log, std::string name) {
  try {
    co_await hl::sleep(1h);
  } catch (const hl::Cancelled&) {
    log.push_back(name);
    throw;
  }
}

TEST(Run, cancels_what_is_left_last_created_first_and_awaits_it) {
  std::vector<std::string> log;
  auto main = [](std::vector<std::string>& out) -> hl::Coro<void> {
    hl::create_task(note_the_end(out, "first"));
    hl::create_task(note_the_end(out, "second"));
    co_await hl::sleep(0);
    out.push_back("main");
  };
  hl::run(main(log));
  EXPECT_EQ(log, (std::vector<std::string>{"main", "second", "first"}));
}

TEST(Run, awaits_a_clean_up_that_waits) {
  bool cleaned = false;
  auto child = [](bool& done) -> hl::Coro<void> {
    try {
      co_await hl::sleep(1h);
    } catch (const hl::Cancelled&) {
    }
    co_await hl::sleep(1ms);
    done = true;
  };
  auto main = [&]() -> hl::Coro<void> {
    hl::create_task(child(cleaned));
    co_await hl::sleep(0);
  };
  hl::run(main());
  EXPECT_TRUE(cleaned);
}

TEST(Run, several_in_a_row_share_a_runtime) {
  hl::Runtime runtime;
  EXPECT_EQ(runtime.run(give(1)), 1);
  EXPECT_EQ(runtime.run(give(2)), 2);
}

TEST(Run, inside_a_loop_is_refused) {
  auto main = []() -> hl::Coro<void> {
    EXPECT_THROW(hl::run(give(1)), hl::InvalidStateError);
    co_return;
  };
  hl::run(main());
}

TEST(Run, refuses_options_out_of_range) {
  EXPECT_THROW(hl::run(give(1), {.age_unit = 0ns}), std::invalid_argument);
  EXPECT_THROW(hl::run(give(1), {.step_budget = -1ns}), std::invalid_argument);
}

hl::Coro<int> wait_for_a_signal(int signal) {
  ::raise(signal);
  co_await hl::sleep(1h);
  co_return 0;
}

TEST(Run, sigint_cancels_main_and_is_thrown_with_its_number) {
  try {
    hl::run(wait_for_a_signal(SIGINT));
    FAIL() << "the signal was lost";
  } catch (const hl::Interrupted& e) {
    EXPECT_EQ(e.signal(), SIGINT);
  }
}

TEST(Run, gives_the_value_when_main_swallows_the_cancel) {
  auto main = []() -> hl::Coro<int> {
    try {
      co_await wait_for_a_signal(SIGINT);
    } catch (const hl::Cancelled& cancelled) {
      EXPECT_EQ(cancelled.message(), "signal " + std::to_string(SIGINT));
    }
    co_return 5;
  };
  EXPECT_EQ(hl::run(main()), 5);
}

TEST(Run, leaves_the_signals_as_they_were) {
  struct sigaction before {};
  struct sigaction after {};
  ::sigaction(SIGINT, nullptr, &before);
  hl::run(give(1));
  ::sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(Run, the_second_sigint_ends_the_process) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto main = []() -> hl::Coro<void> {
      for (;;) {
        try {
          co_await wait_for_a_signal(SIGINT);
        } catch (const hl::Cancelled&) {
          // ignores it, and gets the second one in the next round
        }
      }
    };
    hl::run(main());
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST(Run, sigterm_asks_for_a_drain) {
  auto main = []() -> hl::Coro<int> {
    EXPECT_FALSE(hl::draining());
    hl::Loop::current().call_soon([] { ::raise(SIGTERM); });
    co_await hl::drain_requested();
    EXPECT_TRUE(hl::draining());
    co_await hl::drain_requested();  // stays ready
    co_return 3;
  };
  EXPECT_EQ(hl::run(main()), 3);
}

TEST(Run, sigterm_cancels_main_when_nobody_drains) {
  EXPECT_THROW(hl::run(wait_for_a_signal(SIGTERM)), hl::Interrupted);
}

TEST(Run, a_drain_can_be_asked_for_from_inside) {
  auto main = []() -> hl::Coro<void> {
    hl::Loop::current().call_soon([] { hl::request_drain(); });
    co_await hl::drain_requested();
  };
  hl::run(main());
}

TEST(Run, drain_outside_of_a_runtime_is_refused) { EXPECT_THROW(hl::draining(), hl::InvalidStateError); }

// ---- policies: at start, of one's own, and per run ----

hl::Coro<std::string> name_of_policy() { co_return std::string(hl::Loop::current().policy().name()); }

TEST(RuntimePolicies, are_set_at_start_and_per_run) {
  for (const hl::PolicyKind kind : hl::all_policies()) {
    hl::Runtime runtime({.policy = kind});
    EXPECT_EQ(runtime.run(name_of_policy()), hl::to_string(kind));
    runtime.loop().set_policy(hl::make_policy(hl::PolicyKind::strict));
    EXPECT_EQ(runtime.run(name_of_policy()), "strict");
  }
}

class Mine final : public hl::Policy {
 public:
  std::string_view name() const noexcept override { return "mine"; }
  bool keyed_by_time() const noexcept override { return true; }
  std::int64_t offset(const hl::Urgency&) const noexcept override { return 0; }
};

TEST(RuntimePolicies, may_be_ones_own) {
  hl::RuntimeOptions options;
  options.custom_policy = [] { return std::make_unique<Mine>(); };
  EXPECT_EQ(hl::run(name_of_policy(), options), "mine");
  options.custom_policy = [] { return std::unique_ptr<hl::Policy>(); };
  EXPECT_THROW(hl::Runtime{options}, std::invalid_argument);
}

TEST(RuntimeDeadlocks, are_thrown_logged_or_not_looked_for) {
  const auto again = []() -> hl::Coro<void> {
    hl::PriorityLock lock;
    auto held = co_await lock.acquire();
    auto never = co_await lock.acquire();
  };
  const auto main = [](auto inner) -> hl::Coro<std::uint64_t> {
    const auto task = hl::create_task(inner());
    co_await hl::sleep(0);
    const bool hangs = !task.done();
    task.cancel();
    bool thrown = false;
    try {
      co_await task;
    } catch (const hl::DeadlockError&) {
      thrown = true;
    } catch (const hl::Cancelled&) {
    }
    EXPECT_NE(hangs, thrown);
    co_return hl::Loop::current().deadlocks() + (thrown ? 10U : 0U);
  };
  EXPECT_EQ(hl::run(main(again)), 11U);
  EXPECT_EQ(hl::run(main(again), {.deadlocks = hl::Deadlocks::log}), 1U);
  EXPECT_EQ(hl::run(main(again), {.deadlocks = hl::Deadlocks::off}), 0U);
}

}  // namespace
