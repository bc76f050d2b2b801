// The rows of table A of the features (tasks and running), in its order: the names of its first two columns
// and each clause of the third, through the public headers. The moments of a task's life are in
// tests/sched/features_a_test.cpp.
#include <heirloop/heirloop.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

Coro<int> give(int value) { co_return value; }
Coro<int> fail() {
  co_await sleep(0);
  throw std::out_of_range("too far");
}
Coro<void> note(Order& order, std::string what) {
  order.push_back(what);
  co_return;
}
/// Says how it was cancelled.
Coro<void> sleep_long(Order& order, std::string name) {
  try {
    co_await sleep(1h);
  } catch (const Cancelled& cancelled) {
    order.push_back(name + " cancelled: " + cancelled.message());
    throw;
  }
}

// ---- run ----

TEST(FeaturesA, run_goes_to_the_end_and_gives_the_value_or_rethrows) {
  EXPECT_EQ(run(give(42)), 42);
  EXPECT_EQ(run(give(42), {.policy = PolicyKind::strict}), 42);
  EXPECT_THROW(run(fail()), std::out_of_range);
  Runtime runtime;
  EXPECT_EQ(runtime.run(give(1)), 1);
  EXPECT_THROW(runtime.run(fail()), std::out_of_range);
  EXPECT_EQ(runtime.run(give(2)), 2);
}

TEST(FeaturesA, run_cancels_at_exit_what_is_left_and_awaits_it) {
  Order order;
  run([](Order& o) -> Coro<void> {
    const auto cleans_up = [](Order& out) -> Coro<void> {
      try {
        co_await sleep(1h);
      } catch (const Cancelled&) {
        out.push_back("cancelled");
      }
      co_await sleep(1ms);
      out.push_back("cleaned up");
    };
    create_task(cleans_up(o), {.eager_start = true});
    o.push_back("main ended");
    co_return;
  }(order));
  EXPECT_EQ(order, (Order{"main ended", "cancelled", "cleaned up"}));
}

TEST(FeaturesA, run_takes_the_first_sigint_as_one_cancel_of_the_main_task) {
  Order order;
  const auto main = [](Order& o) -> Coro<int> {
    const auto other = create_task(sleep_long(o, "other"), {.eager_start = true});
    call_soon([] { ::raise(SIGINT); });
    try {
      co_await sleep(1h);
    } catch (const Cancelled&) {
      EXPECT_EQ(current_task().cancelling(), 1U);
      EXPECT_EQ(other.cancelling(), 0U);
      o.push_back("main cancelled");
    }
    co_await sleep(1ms);  // it does not come again
    o.push_back("main ended");
    co_return 5;
  };
  EXPECT_EQ(run(main(order)), 5);
  EXPECT_THAT(order, ElementsAre("main cancelled", "main ended", HasSubstr("other cancelled")));
}

TEST(FeaturesA, run_leaves_the_second_sigint_to_end_the_process) {
  const auto ignores = []() -> Coro<void> {
    for (;;) {
      try {
        ::raise(SIGINT);
        co_await sleep(1h);
      } catch (const Cancelled&) {
      }
    }
  };
  EXPECT_EXIT(run(ignores()), ::testing::KilledBySignal(SIGINT), "");
}

// ---- coroutine object ----

static_assert(!std::is_copy_constructible_v<Coro<int>> && !std::is_copy_assignable_v<Coro<int>>);
static_assert(std::is_move_constructible_v<Coro<int>> && std::is_move_assignable_v<Coro<int>>);

TEST(FeaturesA, coroutine_object_is_lazy_and_awaited_once) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    Coro<void> made = note(o, "ran");
    Coro<void> coro = std::move(made);
    EXPECT_EQ(o, Order());
    co_await coro;
    EXPECT_EQ(o, Order{"ran"});
    EXPECT_THROW(co_await coro, InvalidStateError);
    EXPECT_THROW(co_await made, InvalidStateError) << "moved from";  // NOLINT(bugprone-use-after-move)
  }(order));
  EXPECT_EQ(order, Order{"ran"});
}

TEST(FeaturesA, coroutine_object_is_destroyed_unawaited_without_a_leak) {
  const auto token = std::make_shared<int>(1);
  const auto holds = [](std::shared_ptr<int> t) -> Coro<int> { co_return *t; };
  {
    const Coro<int> never = holds(token);
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

constexpr unsigned pause_line = __LINE__ + 1;
Coro<void> pause() { co_await sleep(1ms); }

TEST(FeaturesA, coroutine_object_tells_its_state_and_where_it_is) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Coro<void> coro = pause();
    EXPECT_TRUE(coro_is_new(coro) && !coro_is_suspended(coro) && !coro_is_finished(coro));
    const auto awaiter =
        create_task([](Coro<void>& c) -> Coro<void> { co_await c; }(coro), {.eager_start = true});
    EXPECT_TRUE(!coro_is_new(coro) && coro_is_suspended(coro) && !coro_is_finished(coro));
    const auto frame = coro_get_frame(coro);
    EXPECT_TRUE(frame.has_value());
    if (frame) {
      EXPECT_THAT(frame->function(), EndsWith("pause"));
      EXPECT_THAT(std::string(frame->file()), EndsWith("features_a_test.cpp"));
      EXPECT_EQ(frame->line(), pause_line);
    }
    co_await awaiter;
    EXPECT_TRUE(!coro_is_new(coro) && !coro_is_suspended(coro) && coro_is_finished(coro));
    EXPECT_FALSE(coro_get_frame(coro).has_value());
  }());
}

// ---- create_task(coro, {.name, .priority, .context, .eager_start}) ----

TEST(FeaturesA, create_task_takes_name_priority_context_and_eager_start) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const Context context;
    const auto look = [](const Context& own) -> Coro<std::string> {
      EXPECT_TRUE(current_task().context() == own);
      co_return current_task().name();
    };
    PriorityTask<std::string> lazy =
        create_task(look(context), {.name = "lazy", .priority = 2.5, .context = context});
    EXPECT_FALSE(lazy.done());
    EXPECT_EQ(lazy.priority(), 2.5);
    const PriorityTask<std::string> eager =
        create_task(look(context), {.context = context, .eager_start = true});
    EXPECT_TRUE(eager.done());
    const PriorityTask<std::string> copy = lazy;
    lazy = {};
    EXPECT_EQ(co_await copy, "lazy");
  }());
}

TEST(FeaturesA, create_task_runs_also_what_nobody_holds) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    create_task(note(o, "ran"));
    co_await sleep(0);
    EXPECT_EQ(o, Order{"ran"});
  }(order));
}

TEST(FeaturesA, create_task_logs_an_exception_that_nobody_fetched_when_the_last_handle_goes) {
  LogCapture log;
  Sim sim;
  sim.run([](const LogCapture& text) -> Coro<void> {
    PriorityTask<int> task = create_task(fail(), {.name = "careless"});
    PriorityTask<int> copy = task;
    while (!task.done()) co_await sleep(0);
    task = {};
    EXPECT_EQ(text.text(), "") << "one handle is left";
    copy = {};
    EXPECT_EQ(text.count("error: "), 1U);
    EXPECT_THAT(text.text(), HasSubstr("careless"));
    EXPECT_THAT(text.text(), HasSubstr("too far"));
    const PriorityTask<int> fetched = create_task(fail());
    while (!fetched.done()) co_await sleep(0);
    EXPECT_NE(fetched.exception(), nullptr);
  }(log));
  EXPECT_EQ(log.count("error: "), 1U) << "what was fetched is not logged";
}

// ---- done, result, exception, cancelled ----

TEST(FeaturesA, done_result_exception_and_cancelled_tell_how_a_task_ended) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto sleeps = []() -> Coro<int> { co_return co_await sleep(1h, 0); };
    const auto value = create_task(give(3));
    const auto failure = create_task(fail());
    const auto cancelled = create_task(sleeps());
    for (const auto& task : {value, failure, cancelled}) {
      EXPECT_FALSE(task.done() || task.cancelled());
      EXPECT_THROW(task.result(), InvalidStateError);
      EXPECT_THROW((void)task.exception(), InvalidStateError);
    }
    cancelled.cancel("enough");
    co_await sleep(1ms);
    EXPECT_TRUE(value.done() && failure.done() && cancelled.done());
    EXPECT_EQ(value.result(), 3);
    EXPECT_EQ(value.exception(), nullptr);
    EXPECT_THROW(failure.result(), std::out_of_range);
    EXPECT_THROW(std::rethrow_exception(failure.exception()), std::out_of_range);
    EXPECT_THROW(cancelled.result(), Cancelled);
    EXPECT_THROW((void)cancelled.exception(), Cancelled);
    EXPECT_TRUE(cancelled.cancelled() && !value.cancelled() && !failure.cancelled());
  }());
}

// ---- add_done_callback, remove_done_callback ----

TEST(FeaturesA, add_done_callback_runs_on_the_loop_in_order_and_never_inside_the_caller) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto task = create_task(note(o, "task"));
    task.add_done_callback(
        [&o](const PriorityTask<void>& ended) { o.push_back(ended.done() ? "first" : "?"); });
    const CallHandle removed = task.add_done_callback([&o] { o.push_back("removed"); });
    task.add_done_callback([&o] {
      EXPECT_THROW(current_task(), InvalidStateError) << "no task runs here";
      o.push_back("second");
    });
    EXPECT_TRUE(task.remove_done_callback(removed));
    EXPECT_FALSE(task.remove_done_callback(removed));
    co_await task;
    while (o.size() < 3) co_await sleep(0);
    task.add_done_callback([&o] { o.push_back("late"); });
    EXPECT_EQ(o.size(), 3U) << "not inside the call, though the task is done";
    co_await sleep(0);
  }(order));
  EXPECT_EQ(order, (Order{"task", "first", "second", "late"}));
}

// ---- name, set_name, context, get_coro ----

TEST(FeaturesA, get_name_is_a_number_unless_set_name_or_the_creator_gave_another) {
  run([]() -> Coro<void> {
    EXPECT_EQ(current_task().name(), "Task-1");
    const auto second = create_task(give(1));
    const auto named = create_task(give(1), {.name = "named"});
    EXPECT_EQ(second.name(), "Task-2");
    EXPECT_EQ(named.name(), "named");
    named.set_name("renamed");
    EXPECT_EQ(named.name(), "renamed");
    co_await second;
    co_await named;
  }());
}

TEST(FeaturesA, get_context_and_get_coro_show_those_of_the_task) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const Context context;
    const auto task = create_task(pause(), {.context = context});
    EXPECT_TRUE(task.context() == context);
    const CoroView coro = task.get_coro();
    EXPECT_TRUE(coro_is_new(coro));
    co_await sleep(0);
    EXPECT_TRUE(coro_is_suspended(coro));
    EXPECT_EQ(coro_get_frame(coro)->line(), pause_line);
    co_await task;
    EXPECT_TRUE(coro_is_finished(coro));
  }());
}

// ---- get_stack, print_stack ----

constexpr unsigned leaf_line = __LINE__ + 1;
Coro<void> leaf() { co_await sleep(1ms); }
constexpr unsigned middle_line = __LINE__ + 1;
Coro<void> middle() { co_await leaf(); }
constexpr unsigned root_line = __LINE__ + 1;
Coro<void> root() { co_await middle(); }

TEST(FeaturesA, get_stack_is_the_chain_of_awaiting_coroutines_oldest_first) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(root(), {.name = "chain", .eager_start = true});
    const auto frames = get_stack(task);
    std::vector<std::string> functions;
    std::vector<unsigned> lines;
    for (const CoroFrame& frame : frames) {
      functions.push_back(frame.function());
      lines.push_back(frame.line());
      EXPECT_THAT(std::string(frame.file()), EndsWith("features_a_test.cpp"));
    }
    EXPECT_THAT(functions, ElementsAre(EndsWith("root"), EndsWith("middle"), EndsWith("leaf")));
    EXPECT_EQ(lines, (std::vector<unsigned>{root_line, middle_line, leaf_line}));
    std::ostringstream text;
    print_stack(task, text);
    const std::string printed = text.str();
    EXPECT_THAT(printed, HasSubstr("chain"));
    EXPECT_LT(printed.find("root"), printed.find("middle"));
    EXPECT_LT(printed.find("middle"), printed.find("leaf"));
    EXPECT_THAT(printed, HasSubstr("features_a_test.cpp:" + std::to_string(leaf_line)));
    co_await task;
  }());
}

// ---- cancel, cancelling, uncancel ----

TEST(FeaturesA, cancel_counts_requests_and_is_delivered_at_the_next_resume_with_its_message) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const auto task = create_task(sleep_long(o, "task"), {.eager_start = true});
    EXPECT_TRUE(task.cancel("first"));
    EXPECT_TRUE(task.cancel("second"));
    EXPECT_EQ(task.cancelling(), 2U);
    EXPECT_EQ(task.uncancel(), 1U);
    EXPECT_EQ(o, Order()) << "not inside the call";
    co_await sleep(0);
    EXPECT_EQ(o, Order{"task cancelled: first"});
    EXPECT_TRUE(task.cancelled());
    std::string message;
    try {
      co_await task;
    } catch (const Cancelled& cancelled) {
      message = cancelled.message();
    }
    EXPECT_EQ(message, "first") << "it travels to who awaits the task";
    EXPECT_FALSE(task.cancel());
  }(order));
}

// ---- current_task, all_tasks, iscoroutine ----

/// Each task in one of the three, and in `all_tasks`.
void expect_sets() {
  std::set<const Task*> all;
  std::set<const Task*> parts;
  for (const TaskRef& task : all_tasks()) EXPECT_TRUE(all.insert(task.get()).second);
  for (const TaskRef& task : runnable_tasks()) EXPECT_TRUE(parts.insert(task.get()).second);
  for (const TaskRef& task : blocked_tasks()) EXPECT_TRUE(parts.insert(task.get()).second);
  EXPECT_TRUE(parts.insert(current_task().get()).second);
  EXPECT_EQ(all, parts);
}

TEST(FeaturesA, current_task_and_all_tasks_are_exact_at_every_moment) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Order order;
    const auto looks = []() -> Coro<void> {
      expect_sets();
      co_await sleep(1ms);
      expect_sets();
    };
    const auto fresh = create_task(looks());
    const auto blocked = create_task(sleep_long(order, "blocked"), {.eager_start = true});
    EXPECT_THAT(runnable_tasks(), ElementsAre(TaskRef(fresh)));
    EXPECT_THAT(blocked_tasks(), ElementsAre(TaskRef(blocked)));
    expect_sets();
    blocked.cancel();
    EXPECT_THAT(runnable_tasks(), ElementsAre(TaskRef(fresh), TaskRef(blocked)));
    expect_sets();
    co_await sleep(0);
    EXPECT_TRUE(blocked.done());
    expect_sets();
    co_await fresh;
    EXPECT_THAT(all_tasks(), ElementsAre(current_task()));
    EXPECT_EQ(current_task().name(), "main");
  }());
  EXPECT_THROW(current_task(), InvalidStateError);
}

TEST(FeaturesA, iscoroutine_knows_coroutine_objects) {
  static_assert(is_coroutine<Coro<int>> && !is_coroutine<PriorityTask<int>> && !is_coroutine<int>);
  EXPECT_TRUE(iscoroutine(give(1)));
  EXPECT_FALSE(iscoroutine(1));
}

// ---- Future, Promise ----

TEST(FeaturesA, future_has_many_awaiters_callbacks_and_a_cancel) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    Promise<int> promise;
    const auto waits = [](Order& out, Future<int> future) -> Coro<void> {
      out.push_back("value " + std::to_string(co_await future));
    };
    create_task(waits(o, promise.future()), {.eager_start = true});
    create_task(waits(o, promise.future()), {.eager_start = true});
    promise.future().add_done_callback(
        [&o](const Future<int>& future) { o.push_back("callback " + std::to_string(future.result())); });
    EXPECT_THROW((void)promise.future().result(), InvalidStateError);
    promise.set_value(4);
    EXPECT_THROW(promise.set_value(5), InvalidStateError);
    EXPECT_EQ(o, Order());
    co_await sleep(1ms);
    EXPECT_THAT(o, ::testing::UnorderedElementsAre("value 4", "value 4", "callback 4"));

    Promise<int> unwanted;
    const Future<int> future = unwanted.future();
    EXPECT_TRUE(future.cancel("not needed"));
    EXPECT_TRUE(future.cancelled() && future.done() && unwanted.cancelled());
    EXPECT_THROW(co_await future, Cancelled);
    EXPECT_FALSE(future.cancel());
  }(order));
}

// ---- RuntimeOptions.eager_tasks, set_task_factory ----

TEST(FeaturesA, eager_tasks_start_inside_the_call) {
  Order order;
  run(
      [](Order& o) -> Coro<void> {
        const auto task = create_task(give(3));
        EXPECT_TRUE(task.done());
        create_task(sleep_long(o, "blocked"));
        EXPECT_EQ(blocked_tasks().size(), 1U) << "it started, and blocks";
        const auto lazy = create_task(note(o, "lazy"), {.eager_start = false});
        EXPECT_FALSE(lazy.done());
        co_await lazy;
      }(order),
      {.eager_tasks = true});
  EXPECT_EQ(order.at(0), "lazy");
}

TEST(FeaturesA, set_task_factory_decides_for_every_created_task) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    set_task_factory([](TaskOptions& options) { options.eager_start = true; });
    EXPECT_TRUE(create_task(give(1)).done());
    set_task_factory({});
    const auto lazy = create_task(give(1));
    EXPECT_FALSE(lazy.done());
    co_await lazy;
  }());
}

// ---- call_soon, call_later, call_at ----

TEST(FeaturesA, call_soon_call_later_and_call_at_give_handles_that_cancel) {
  Sim sim;
  Order order;
  sim.run([](Order& o) -> Coro<void> {
    const CallHandle soon = call_soon([&o] { o.push_back("soon"); });
    const TimerHandle later = call_later(2ms, [&o] { o.push_back("later"); });
    const TimerHandle at = call_at(loop_time() + 1ms, [&o] { o.push_back("at"); });
    const CallHandle never[] = {call_soon([&o] { o.push_back("never"); }),
                                call_later(1ms, [&o] { o.push_back("never"); }),
                                call_at(loop_time() + 1ms, [&o] { o.push_back("never"); })};
    EXPECT_EQ(o, Order());
    EXPECT_EQ(later.when() - at.when(), 1ms);
    for (const CallHandle& handle : never) {
      EXPECT_TRUE(handle.cancel());
      EXPECT_TRUE(handle.cancelled());
      EXPECT_FALSE(handle.cancel());
    }
    co_await sleep(3ms);
    EXPECT_FALSE(soon.cancel()) << "it has run";
  }(order));
  EXPECT_EQ(order, (Order{"soon", "at", "later"}));
}

// ---- ContextVar, Context, copy_context, coro_await ----

const ContextVar<std::string> user("user", "nobody");

Coro<std::string> set_user(std::string name) {
  std::string before = user.get();
  user.set(std::move(name));
  co_await sleep(0);
  co_return before;
}

TEST(FeaturesA, contextvars_of_a_task_are_a_copy_of_its_creators) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    ContextToken token = user.set("ann");
    const Context copy = copy_context();
    const auto task = create_task(set_user("bob"));
    user.set("carol");
    EXPECT_EQ(co_await task, "ann") << "what its creator sets later it does not see";
    EXPECT_EQ(user.get(), "carol") << "nor its creator what it sets";
    EXPECT_EQ(*copy.find(user), "ann");
    EXPECT_EQ(copy.run([] { return user.get(); }), "ann");
    user.reset(token);
    EXPECT_EQ(user.get(), "nobody");
  }());
}

TEST(FeaturesA, contextvars_of_a_coroutine_are_those_of_the_context_given) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    user.set("ann");
    const Context context;
    EXPECT_EQ(co_await coro_await(set_user("bob"), context), "nobody");
    EXPECT_EQ(user.get(), "ann");
    EXPECT_EQ(*context.find(user), "bob") << "it ran in the one given, not in a copy";
    EXPECT_EQ(co_await set_user("carol"), "ann");
    EXPECT_EQ(user.get(), "carol") << "awaited without one it shares its awaiter's";
  }());
}

}  // namespace
}  // namespace heirloop::testing
