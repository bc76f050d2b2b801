// Signals as events.
#include <heirloop/io/signals.hpp>

#include "io/io_support.hpp"

#include <sys/wait.h>

#include <csignal>
#include <optional>

namespace heirloop::testing {
namespace {

class Signals : public RingTest {
 protected:
  static void (*handler_of(int signal))(int) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    return now.sa_handler;
  }
};

TEST_F(Signals, come_to_who_waits_and_are_kept_for_who_comes) {
  run([]() -> Coro<void> {
    SignalWatch watch({SIGUSR1, SIGUSR2});
    auto waiting = create_task([](SignalWatch& from) -> Coro<int> { co_return co_await from.next(); }(watch));
    co_await sleep(0);
    ::raise(SIGUSR1);
    EXPECT_EQ(co_await waiting, SIGUSR1);
    ::raise(SIGUSR2);
    ::raise(SIGUSR1);
    EXPECT_EQ(co_await watch.next(), SIGUSR2);
    EXPECT_EQ(co_await watch.next(), SIGUSR1);
  });
}

TEST_F(Signals, come_as_a_call_that_may_end_the_watch) {
  RingLoop ring;
  std::vector<int> seen;
  std::optional<SignalWatch> watch;
  TaskRef victim;
  watch.emplace(ring.loop, std::initializer_list<int>{SIGTERM}, [&](int signal) {
    seen.push_back(signal);
    watch.reset();
    victim.cancel("signal");
  });
  EXPECT_NE(handler_of(SIGTERM), SIG_DFL);
  auto task = ring.loop.create_task([]() -> Coro<void> {
    ::raise(SIGTERM);
    ::raise(SIGTERM);
    co_await sleep(std::chrono::hours(1));
  }());
  victim = task;
  ring.loop.run_until_done(task);
  ring.loop.finish();
  EXPECT_TRUE(task.cancelled());
  EXPECT_EQ(seen, std::vector<int>{SIGTERM});
  EXPECT_EQ(handler_of(SIGTERM), SIG_DFL);
}

TEST_F(Signals, leave_the_former_disposition_behind) {
  const auto mine = [](int) {};
  const auto before = std::signal(SIGUSR1, mine);
  run([&]() -> Coro<void> {
    {
      SignalWatch watch({SIGUSR1});
      EXPECT_NE(handler_of(SIGUSR1), static_cast<void (*)(int)>(mine));
      ::raise(SIGUSR1);
    }
    EXPECT_EQ(handler_of(SIGUSR1), static_cast<void (*)(int)>(mine));
    ::raise(SIGUSR1);
    SignalWatch again({SIGUSR1});
    ::raise(SIGUSR1);
    EXPECT_EQ(co_await again.next(), SIGUSR1);
  });
  std::signal(SIGUSR1, before);
}

TEST_F(Signals, refuse_a_second_watch_and_what_can_not_be_caught) {
  run([]() -> Coro<void> {
    SignalWatch watch({SIGUSR1});
    EXPECT_THROW(SignalWatch second({SIGUSR2, SIGUSR1}), InvalidStateError);
    EXPECT_EQ(handler_of(SIGUSR2), SIG_DFL);
    EXPECT_THROW(SignalWatch never({SIGKILL}), std::system_error);
    EXPECT_THROW(SignalWatch never({4711}), std::system_error);
    SignalWatch other({SIGUSR2});
    co_return;
  });
}

TEST_F(Signals, are_not_lost_when_the_waiter_is_cancelled_after_its_election) {
  run([]() -> Coro<void> {
    SignalWatch watch({SIGUSR1});
    auto waiting = create_task([](SignalWatch& from) -> Coro<int> { co_return co_await from.next(); }(watch),
                               {.priority = priority::low});
    while (waiting.state() != TaskState::blocked) co_await sleep(std::chrono::microseconds(1));
    ::raise(SIGUSR1);
    while (!waiting.get()->wait()->is_elected()) co_await sleep(0);
    waiting.cancel();
    EXPECT_EQ(co_await watch.next(), SIGUSR1);
  });
}

TEST_F(Signals, end_the_wait_of_a_watch_that_goes_away) {
  run([]() -> Coro<void> {
    auto watch = std::make_unique<SignalWatch>(std::initializer_list<int>{SIGUSR1});
    auto waiting = create_task(failure_of([](SignalWatch& from) -> Coro<void> { co_await from.next(); }(*watch)));
    co_await sleep(0);
    watch.reset();
    EXPECT_EQ((co_await waiting).code, std::errc::operation_canceled);
  });
}

TEST_F(Signals, of_a_forked_child_do_not_reach_the_parent) {
  run([]() -> Coro<void> {
    SignalWatch watch({SIGUSR1, SIGUSR2});
    const pid_t child = ::fork();
    if (child == 0) {
      ::raise(SIGUSR1);
      ::_exit(0);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    ::raise(SIGUSR2);
    EXPECT_EQ(co_await watch.next(), SIGUSR2);
  });
}

}  // namespace
}  // namespace heirloop::testing
