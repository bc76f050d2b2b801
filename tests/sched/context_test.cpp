// Context variables: what a task, its children and its handles see of them, and contexts as objects.
#include <heirloop/sched/context.hpp>

#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

const ContextVar<std::string> user("user");
const ContextVar<int> depth("depth", 0);
const ContextVar<std::shared_ptr<int>> tracked("tracked");

TEST(ContextVar, without_value_and_default_is_a_lookup_error) {
  const ContextVar<int> unset("unset");
  try {
    static_cast<void>(unset.get());
    FAIL() << "nothing was thrown";
  } catch (const LookupError& error) {
    EXPECT_NE(std::string(error.what()).find("'unset'"), std::string::npos) << error.what();
  }
  EXPECT_EQ(unset.get(7), 7);
  EXPECT_EQ(unset.find(), nullptr);
  EXPECT_EQ(unset.name(), "unset");
}

TEST(ContextVar, gives_its_default_unless_the_call_names_another) {
  EXPECT_EQ(depth.get(), 0);
  EXPECT_EQ(depth.get(5), 5);
  EXPECT_EQ(depth.find(), nullptr);
}

TEST(ContextVar, set_and_reset_give_back_what_was_before) {
  ContextToken outer = depth.set(1);
  ContextToken inner = depth.set(2);
  EXPECT_EQ(depth.get(9), 2);
  depth.reset(inner);
  EXPECT_EQ(depth.get(), 1);
  depth.reset(outer);
  EXPECT_EQ(depth.find(), nullptr);
  EXPECT_EQ(depth.get(), 0);
}

TEST(ContextVar, a_token_is_good_once) {
  ContextToken token = depth.set(1);
  depth.reset(token);
  EXPECT_THROW(depth.reset(token), InvalidStateError);
  ContextToken first = depth.set(1);
  ContextToken moved = std::move(first);
  EXPECT_THROW(depth.reset(first), InvalidStateError);  // NOLINT(bugprone-use-after-move)
  depth.reset(moved);
  EXPECT_EQ(depth.find(), nullptr);
}

TEST(ContextVar, a_token_of_another_variable_or_context_is_refused) {
  const ContextVar<int> other("other");
  ContextToken token = depth.set(1);
  EXPECT_THROW(other.reset(token), std::invalid_argument);
  Context().run([&] { EXPECT_THROW(depth.reset(token), std::invalid_argument); });
  copy_context().run([&] { EXPECT_THROW(depth.reset(token), std::invalid_argument); });
  EXPECT_EQ(depth.get(), 1);
  depth.reset(token);
  EXPECT_EQ(depth.find(), nullptr);
}

TEST(ContextScope, sets_until_the_end_of_its_block) {
  {
    const ContextScope one(depth, 1);
    {
      const ContextScope two(depth, 2);
      EXPECT_EQ(depth.get(), 2);
    }
    EXPECT_EQ(depth.get(), 1);
  }
  EXPECT_EQ(depth.find(), nullptr);
}

TEST(Context, run_keeps_what_is_set_inside) {
  const Context context;
  const int given = context.run([] {
    user.set("ann");
    return 5;
  });
  EXPECT_EQ(given, 5);
  EXPECT_EQ(user.find(), nullptr);
  ASSERT_NE(context.find(user), nullptr);
  EXPECT_EQ(*context.find(user), "ann");
  EXPECT_EQ(context.size(), 1U);
  context.run([] { EXPECT_EQ(user.get(), "ann"); });
}

TEST(Context, run_goes_back_after_an_exception) {
  const Context context;
  EXPECT_THROW(context.run([] {
    user.set("ann");
    throw std::runtime_error("x");
  }),
               std::runtime_error);
  EXPECT_EQ(user.find(), nullptr);
}

TEST(Context, runs_inside_itself) {
  const Context context;
  context.run([&] {
    depth.set(1);
    context.run([] { depth.set(depth.get() + 1); });
    EXPECT_EQ(depth.get(), 2);
  });
}

TEST(Context, a_copy_is_another_context_with_the_same_values) {
  const Context context;
  context.run([] { depth.set(1); });
  const Context copy = context.copy();
  const Context same = context;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_TRUE(same == context);
  EXPECT_FALSE(copy == context);
  copy.run([] { depth.set(2); });
  context.run([] { user.set("ann"); });
  EXPECT_EQ(*context.find(depth), 1);
  EXPECT_EQ(*copy.find(depth), 2);
  EXPECT_EQ(copy.find(user), nullptr);
  EXPECT_EQ(same.size(), 2U);
}

TEST(Context, copy_context_sees_no_later_set) {
  const ContextScope scope(depth, 1);
  const Context copy = copy_context();
  const ContextScope later(depth, 2);
  EXPECT_EQ(*copy.find(depth), 1);
}

TEST(Context, holds_many_variables_set_in_any_order) {
  std::vector<std::unique_ptr<ContextVar<std::string>>> variables;
  for (int i = 0; i < 300; ++i) variables.push_back(std::make_unique<ContextVar<std::string>>(std::to_string(i)));
  const Context context;
  std::vector<Context> copies;
  context.run([&] {
    for (std::size_t i = 0; i < 300; ++i) {
      const auto& variable = *variables[i * 7 % 300];
      variable.set(variable.name());
      if (i % 50 == 0) copies.push_back(copy_context());
    }
  });
  EXPECT_EQ(context.size(), 300U);
  for (const auto& variable : variables) EXPECT_EQ(*context.find(*variable), variable->name());
  for (std::size_t i = 0; i < copies.size(); ++i) EXPECT_EQ(copies[i].size(), i * 50 + 1);
}

TEST(Context, keeps_values_as_long_as_a_copy_has_them) {
  const auto value = std::make_shared<int>(1);
  {
    const Context context;
    context.run([&] { tracked.set(value); });
    EXPECT_EQ(value.use_count(), 2);
    const Context copy = context.copy();
    EXPECT_EQ(value.use_count(), 2);
    copy.run([] {
      ContextToken token = tracked.set(nullptr);
      tracked.reset(token);
    });
    EXPECT_EQ(value.use_count(), 2);
    context.run([] { tracked.set(nullptr); });
    EXPECT_EQ(value.use_count(), 2);
    copy.run([] { tracked.set(nullptr); });
    EXPECT_EQ(value.use_count(), 1);
  }
}

TEST(Context, of_a_thread_ends_with_it) {
  const auto value = std::make_shared<int>(1);
  std::thread([&] {
    tracked.set(value);
    EXPECT_EQ(tracked.get(), value);
  }).join();
  EXPECT_EQ(value.use_count(), 1);
  EXPECT_EQ(tracked.find(), nullptr);
}

// ---- tasks ----

TEST(TaskContext, a_child_sees_its_creators_values_but_no_later_ones) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    user.set("ann");
    auto child = create_task([]() -> Coro<std::string> { co_return user.get(); }());
    user.set("bob");
    EXPECT_EQ(co_await child, "ann");
    EXPECT_EQ(user.get(), "bob");
  }());
  EXPECT_EQ(user.find(), nullptr);
}

TEST(TaskContext, what_a_child_sets_its_creator_does_not_see) {
  Sim sim;
  for (const bool eager : {false, true}) {
    sim.run([](bool starts_eagerly) -> Coro<void> {
      user.set("ann");
      auto child = create_task(
          []() -> Coro<void> {
            user.set("bob");
            co_await sleep(0);
            EXPECT_EQ(user.get(), "bob");
          }(),
          {.eager_start = starts_eagerly});
      EXPECT_EQ(user.get(), "ann");
      co_await child;
      EXPECT_EQ(user.get(), "ann");
    }(eager));
  }
}

TEST(TaskContext, an_awaited_coroutine_shares_the_context) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    co_await []() -> Coro<void> {
      user.set("ann");
      co_return;
    }();
    EXPECT_EQ(user.get(), "ann");
  }());
}

TEST(TaskContext, the_main_task_has_a_copy_of_the_threads_own) {
  Sim sim;
  const ContextScope scope(depth, 1);
  sim.run([]() -> Coro<void> {
    EXPECT_EQ(depth.get(), 1);
    depth.set(2);
    co_return;
  }());
  EXPECT_EQ(depth.get(), 1);
}

TEST(TaskContext, runs_in_the_very_context_that_it_was_given) {
  Sim sim;
  const Context context;
  sim.run([](const Context& given) -> Coro<void> {
    user.set("creator");
    auto first = create_task(
        []() -> Coro<void> {
          EXPECT_EQ(user.find(), nullptr);
          user.set("ann");
          co_await sleep(1ms);
          EXPECT_EQ(user.get(), "bob");
        }(),
        {.context = given});
    auto second = create_task(
        []() -> Coro<void> {
          EXPECT_EQ(user.get(), "ann");
          user.set("bob");
          co_return;
        }(),
        {.context = given});
    EXPECT_TRUE(first.context() == given);
    co_await second;
    co_await first;
    EXPECT_EQ(user.get(), "creator");
  }(context));
  EXPECT_EQ(*context.find(user), "bob");
}

TEST(TaskContext, a_handle_gives_its_context) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    user.set("ann");
    auto child = create_task([]() -> Coro<void> {
      co_await sleep(1ms);
      depth.set(3);
      co_await sleep(1ms);
    }());
    const Context context = child.context();
    EXPECT_FALSE(context == current_task().context());
    EXPECT_TRUE(context == child.context());
    EXPECT_EQ(*context.find(user), "ann");
    context.run([] { user.set("bob"); });
    EXPECT_EQ(context.find(depth), nullptr);
    co_await sleep(1500us);
    EXPECT_EQ(*context.find(depth), 3);
    co_await child;
    EXPECT_EQ(*context.find(user), "bob");
    EXPECT_EQ(user.get(), "ann");
  }());
}

TEST(TaskContext, run_inside_a_task_lasts_for_the_call) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    user.set("ann");
    const Context context = copy_context();
    auto child = context.run([] {
      user.set("bob");
      return create_task([]() -> Coro<std::string> { co_return user.get(); }());
    });
    EXPECT_EQ(user.get(), "ann");
    EXPECT_EQ(co_await child, "bob");
  }());
}

TEST(TaskContext, tasks_keep_apart_over_suspensions) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<PriorityTask<void>> tasks;
    for (int i = 0; i < 10; ++i) {
      tasks.push_back(create_task([](int mine) -> Coro<void> {
        depth.set(mine);
        for (int round = 0; round < 5; ++round) {
          co_await sleep(std::chrono::microseconds(10 - mine));
          EXPECT_EQ(depth.get(), mine);
        }
      }(i)));
    }
    for (const auto& task : tasks) co_await task;
  }());
}

TEST(TaskContext, ends_with_the_task) {
  Sim sim;
  const auto value = std::make_shared<int>(1);
  sim.run([](std::shared_ptr<int> it) -> Coro<void> {
    co_await create_task([](std::shared_ptr<int> mine) -> Coro<void> {
      tracked.set(mine);
      co_return;
    }(it));
    EXPECT_EQ(it.use_count(), 2);
  }(value));
  EXPECT_EQ(value.use_count(), 1);
}

// ---- handles ----

TEST(HandleContext, is_a_copy_of_that_in_which_it_was_made) {
  Sim sim;
  std::vector<std::string> seen;
  sim.run([](std::vector<std::string>& log) -> Coro<void> {
    user.set("ann");
    Loop::current().call_soon([&log] {
      log.push_back(user.get());
      user.set("in the handle");
    });
    user.set("bob");
    Loop::current().call_soon([&log] { log.push_back(user.get()); });
    co_await sleep(0);
    log.push_back(user.get());
  }(seen));
  EXPECT_EQ(seen, (std::vector<std::string>{"ann", "bob", "bob"}));
}

TEST(HandleContext, made_in_an_empty_context_sees_nothing_of_the_thread) {
  Sim sim;
  const ContextScope scope(depth, 1);
  sim.run([]() -> Coro<void> {
    const Context empty;
    empty.run([] { Loop::current().call_soon([] { EXPECT_EQ(depth.find(), nullptr); }); });
    Loop::current().post([] { EXPECT_EQ(depth.find(), nullptr); });
    co_await sleep(1ms);
  }());
  EXPECT_EQ(depth.get(), 1);
}

TEST(HandleContext, is_given_back_when_the_handle_fails_or_never_runs) {
  const LogCapture log;
  const auto value = std::make_shared<int>(1);
  {
    Sim sim;
    sim.run([](std::shared_ptr<int> it) -> Coro<void> {
      tracked.set(it);
      Loop::current().call_soon([] { throw std::runtime_error("x"); });
      co_await sleep(1ms);
      Loop::current().call_soon([] {});
    }(value));
  }
  EXPECT_EQ(value.use_count(), 1);
  EXPECT_EQ(tracked.find(), nullptr);
  EXPECT_EQ(log.count("a callback failed"), 1U);
}

// ---- a coroutine in a context of its own ----

TEST(CoroAwait, runs_the_coroutine_in_the_context_given) {
  Sim sim;
  const Context context;
  sim.run([](const Context& given) -> Coro<void> {
    user.set("outer");
    const int value = co_await coro_await(
        []() -> Coro<int> {
          EXPECT_EQ(user.find(), nullptr);
          user.set("inner");
          co_await sleep(1ms);
          EXPECT_EQ(user.get(), "inner");
          auto child = create_task([]() -> Coro<std::string> { co_return user.get(); }());
          EXPECT_EQ(co_await child, "inner");
          co_return 5;
        }(),
        given);
    EXPECT_EQ(value, 5);
    EXPECT_EQ(user.get(), "outer");
  }(context));
  EXPECT_EQ(*context.find(user), "inner");
}

TEST(CoroAwait, gives_the_outer_context_back_after_an_exception) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    user.set("outer");
    const Context inner;
    try {
      co_await coro_await(
          []() -> Coro<void> {
            user.set("inner");
            co_await sleep(1ms);
            throw std::runtime_error("x");
          }(),
          inner);
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error&) {
      EXPECT_EQ(user.get(), "outer");
    }
  }());
}

TEST(CoroAwait, a_cancel_goes_through_in_both_contexts) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    auto task = create_task([]() -> Coro<void> {
      user.set("outer");
      const Context inner;
      try {
        co_await coro_await(
            []() -> Coro<void> {
              user.set("inner");
              try {
                co_await sleep(1h);
              } catch (const Cancelled&) {
                EXPECT_EQ(user.get(), "inner");
                throw;
              }
            }(),
            inner);
      } catch (const Cancelled&) {
        EXPECT_EQ(user.get(), "outer");
        throw;
      }
    }());
    co_await sleep(1ms);
    task.cancel();
    EXPECT_THROW(co_await task, Cancelled);
  }());
}

TEST(CoroAwait, refuses_a_coroutine_that_was_awaited) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const Context context;
    EXPECT_THROW(coro_await(Coro<void>(), context), InvalidStateError);
    co_return;
  }());
}

}  // namespace
}  // namespace heirloop::testing
