// Scheduling as an operation: section C of the features, a test for each row, and positions exactly.
#include <heirloop/sched/scheduling.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names(const std::vector<TaskRef>& tasks) {
  std::vector<std::string> all;
  for (const TaskRef& task : tasks) all.push_back(task.name());
  return all;
}

std::vector<std::string> ready_names() { return names(runnable_tasks()); }

Coro<void> note(Order& order, std::string name) {
  order.push_back(std::move(name));
  co_return;
}

class Scheduling : public ::testing::Test {
 public:  // for the coroutines of the tests
  PriorityTask<void> start(std::string name, double priority = 0) {
    auto coro = note(order, name);
    return create_task(std::move(coro), {.name = name, .priority = priority});
  }
  void start_all(const std::vector<std::string>& tasks) {
    for (const std::string& name : tasks) start(name);
  }

  Sim sim;
  Order order;
};

// ---- sleep_insert ----

TEST_F(Scheduling, sleep_insert_resumes_after_pos_others) {
  for (std::size_t position = 0; position <= 4; ++position) {
    order.clear();
    sim.run([](Scheduling& t, std::size_t at) -> Coro<void> {
      t.start_all({"a", "b", "c"});
      co_await sleep_insert(at);
      t.order.push_back("me");
      co_await sleep(0);
    }(*this, position));
    const auto me = std::find(order.begin(), order.end(), "me") - order.begin();
    EXPECT_EQ(static_cast<std::size_t>(me), std::min<std::size_t>(position, 3)) << position;
  }
}

/// How many run before one that is put in at `position` last of all: a row of tokens, each an entry with a position or one
/// ordinary step. `others`: positions, nothing for an ordinary entry.
std::size_t runs_before_me(const std::vector<std::optional<std::size_t>>& others, std::size_t position) {
  enum Token { step, other, me };
  std::vector<Token> row;
  const auto put = [&row](std::size_t at, Token token) {
    if (row.size() < at) row.resize(at, step);
    row.insert(row.begin() + static_cast<std::ptrdiff_t>(at), token);
  };
  std::size_t ordinary = 0;
  for (const auto& at : others) at ? put(*at, other) : static_cast<void>(++ordinary);
  put(position, me);
  for (std::size_t ran = 0;; ++ran) {
    auto next = row.begin();
    if (*next == step && ordinary > 0) {
      --ordinary;
    } else {
      next = std::find_if(next, row.end(), [](Token token) { return token != step; });
      if (*next == me) return ran;
    }
    row.erase(next);
  }
}

/// Every mix of up to six others, each ordinary of one of two priorities or at one of three positions.
TEST_F(Scheduling, sleep_insert_is_exact_in_every_mix_of_up_to_six_entries) {
  constexpr int kinds = 5;
  for (int others = 0; others <= 6; ++others) {
    int mixes = 1;
    for (int i = 0; i < others; ++i) mixes *= kinds;
    for (int mix = 0; mix < mixes; ++mix) {
      const auto position = static_cast<std::size_t>(mix % (others + 2));
      std::vector<std::optional<std::size_t>> entries;
      for (int i = 0, code = mix; i < others; ++i, code /= kinds) {
        const int kind = code % kinds;
        entries.push_back(kind < 2 ? std::nullopt : std::optional<std::size_t>(kind - 2));
      }
      order.clear();
      sim.run([](Scheduling& t, const std::vector<std::optional<std::size_t>>& all, int code, std::size_t at) -> Coro<void> {
        for (const auto& entry : all) {
          const auto task = t.start("other", code % kinds == 1 ? priority::low : 0);
          if (entry) task_reinsert(task, *entry);
          code /= kinds;
        }
        co_await sleep_insert(at);
        t.order.push_back("me");
        co_await sleep(1ms);
      }(*this, entries, mix, position));
      const auto me = std::find(order.begin(), order.end(), "me") - order.begin();
      ASSERT_EQ(static_cast<std::size_t>(me), runs_before_me(entries, position))
          << others << " others, mix " << mix << ", position " << position;
    }
  }
}

TEST_F(Scheduling, sleep_insert_interrupted_before_it_runs_leaves_nothing) {
  sim.run([](Scheduling& t) -> Coro<void> {
    const auto sleeper = create_task([](Order& o) -> Coro<void> {
      try {
        co_await sleep_insert(5);
      } catch (const Cancelled&) {
        o.push_back("cancelled");
      }
    }(t.order));
    co_await sleep(0);
    t.start_all({"a", "b"});
    sleeper.cancel();
    EXPECT_TRUE(task_is_runnable(sleeper));
    co_await sleeper;
    co_await sleep(0);
    EXPECT_TRUE(ready_queue().empty());
  }(*this));
  EXPECT_EQ(std::count(order.begin(), order.end(), "cancelled"), 1);
}

// ---- task_reinsert ----

TEST_F(Scheduling, task_reinsert_moves_a_ready_task_and_refuses_others) {
  sim.run([](Scheduling& t) -> Coro<void> {
    t.start_all({"a", "b"});
    const auto c = t.start("c");
    task_reinsert(c, 1);
    EXPECT_THAT(ready_names(), ElementsAre("a", "c", "b"));
    task_reinsert(c, 0);
    EXPECT_THAT(ready_names(), ElementsAre("c", "a", "b"));
    task_reinsert(c, 9);
    EXPECT_THAT(ready_names(), ElementsAre("a", "b", "c"));
    const auto blocked = create_task([]() -> Coro<void> { co_await sleep(1s); }(), {.name = "blocked", .eager_start = true});
    try {
      task_reinsert(blocked, 0);
      ADD_FAILURE();
    } catch (const InvalidStateError& error) {
      EXPECT_THAT(error.what(), HasSubstr("blocked is blocked"));
    }
    EXPECT_THROW(task_reinsert(current_task(), 0), InvalidStateError);
    EXPECT_THROW(task_reinsert(TaskRef(), 0), InvalidStateError);
    co_await c;
    EXPECT_THROW(task_reinsert(c, 0), InvalidStateError);
  }(*this));
}

// ---- task_switch ----

TEST_F(Scheduling, task_switch_runs_the_target_next_and_puts_the_caller_where_it_says) {
  const std::pair<std::optional<std::size_t>, std::vector<std::string>> cases[] = {
      {std::nullopt, {"c", "a", "b", "me"}},
      {1, {"c", "me", "a", "b"}},
      {0, {"me", "c", "a", "b"}},
      {2, {"c", "a", "me", "b"}},
  };
  for (const auto& [position, expected] : cases) {
    order.clear();
    sim.run([](Scheduling& t, std::optional<std::size_t> at) -> Coro<void> {
      t.start_all({"a", "b"});
      const auto c = t.start("c");
      co_await task_switch(c, at);
      t.order.push_back("me");
      co_await sleep(1ms);
    }(*this, position));
    EXPECT_EQ(order, expected);
  }
}

TEST_F(Scheduling, task_switch_to_what_is_not_ready_changes_nothing) {
  sim.run([](Scheduling& t) -> Coro<void> {
    t.start_all({"a", "b"});
    bool refused = false;
    try {
      co_await task_switch(current_task());
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    EXPECT_TRUE(t.order.empty());
    EXPECT_THAT(ready_names(), ElementsAre("a", "b"));
    EXPECT_EQ(states_wrong(t.sim.loop), "");
  }(*this));
}

// ---- introspection ----

TEST_F(Scheduling, task_is_blocked_and_runnable_are_exact_also_between_a_wake_up_and_the_run) {
  sim.run([]() -> Coro<void> {
    const auto child = create_task([]() -> Coro<void> { co_await sleep(1ms); }(), {.name = "child"});
    EXPECT_TRUE(task_is_runnable(child));
    co_await sleep(0);
    EXPECT_TRUE(task_is_blocked(child));
    EXPECT_FALSE(task_is_runnable(child));
    EXPECT_THAT(names(blocked_tasks()), ElementsAre("child"));
    EXPECT_FALSE(task_is_blocked(current_task()));
    EXPECT_FALSE(task_is_runnable(current_task()));
    child.cancel();  // woken, not yet run
    EXPECT_FALSE(task_is_blocked(child));
    EXPECT_TRUE(task_is_runnable(child));
    EXPECT_THAT(ready_names(), ElementsAre("child"));
    EXPECT_TRUE(blocked_tasks().empty());
    co_await sleep(0);
    EXPECT_FALSE(task_is_blocked(child));
    EXPECT_FALSE(task_is_runnable(child));
    EXPECT_EQ(all_tasks().size(), 1U);
  }());
}

// ---- create_task_descend, create_task_start ----

Coro<void> tree(Order& order, std::string name, int depth, bool descend) {
  order.push_back(name);
  if (depth == 0) co_return;
  for (int i = 0; i < 2; ++i) {
    auto child = tree(order, name + std::to_string(i), depth - 1, descend);
    if (descend) {
      co_await create_task_descend(std::move(child));
    } else {
      co_await create_task_start(std::move(child));
    }
  }
}

Coro<void> whole_tree(Order& order, bool descend) {
  co_await tree(order, "t", 2, descend);
  co_await sleep(1ms);
}

TEST_F(Scheduling, create_task_descend_goes_depth_first) {
  sim.run(whole_tree(order, true));
  EXPECT_THAT(order, ElementsAre("t", "t0", "t00", "t01", "t1", "t10", "t11"));
}

TEST_F(Scheduling, create_task_start_goes_breadth_first) {
  sim.run(whole_tree(order, false));
  // Each parent gives its child one turn, among all that are ready.
  EXPECT_THAT(order, ElementsAre("t", "t0", "t00", "t1", "t01", "t10", "t11"));
}

TEST_F(Scheduling, create_task_descend_and_start_give_the_task) {
  sim.run([]() -> Coro<void> {
    const auto value = [](int v) -> Coro<int> {
      co_await sleep(0);
      co_return v;
    };
    const PriorityTask<int> a = co_await create_task_descend(value(1), {.name = "a", .priority = -1});
    const PriorityTask<int> b = co_await create_task_start(value(2));
    EXPECT_EQ(a.name(), "a");
    EXPECT_EQ(co_await a + co_await b, 3);
  }());
}

// ---- the ready queue ----

TEST_F(Scheduling, the_ready_queue_gives_and_takes_entries) {
  sim.run([](Scheduling& t) -> Coro<void> {
    t.start_all({"a", "b", "c", "d"});
    ReadyTasks queue = ready_queue();
    EXPECT_EQ(queue.size(), 4U);

    TakenEntry a = queue.pop();
    EXPECT_EQ(a.task().name(), "a");
    EXPECT_EQ(queue.size(), 3U);
    queue.append(std::move(a));
    EXPECT_THAT(ready_names(), ElementsAre("b", "c", "d", "a"));

    queue.append_pri(queue.pop(), priority::low);
    EXPECT_THAT(ready_names(), ElementsAre("c", "d", "a", "b"));
    EXPECT_EQ(queue.items().back().effective_priority, 0);
    queue.reschedule_all();
    EXPECT_THAT(ready_names(), ElementsAre("c", "d", "a", "b"));  // it was appended last

    const auto found = queue.find([](const ReadyItem& item) { return item.task.name() == "d"; });
    EXPECT_TRUE(found);
    if (!found) co_return;
    queue.insert(0, queue.remove(found->task));
    EXPECT_THAT(ready_names(), ElementsAre("d", "c", "a", "b"));
    EXPECT_TRUE(queue.items().front().has_position);
    EXPECT_FALSE(queue.find([](const ReadyItem& item) { return item.task.name() == "x"; }));

    queue.reschedule(queue.items()[3].task, priority::high);
    EXPECT_THAT(ready_names(), ElementsAre("d", "b", "c", "a"));
    EXPECT_THROW(queue.remove(current_task()), InvalidStateError);
    EXPECT_EQ(states_wrong(t.sim.loop), "");
    co_await sleep(1ms);
  }(*this));
  EXPECT_THAT(order, ElementsAre("d", "b", "c", "a"));
}

TEST_F(Scheduling, a_taken_entry_that_is_dropped_goes_back) {
  sim.run([](Scheduling& t) -> Coro<void> {
    t.start_all({"a", "b"});
    { const TakenEntry a = ready_queue().pop(); }
    EXPECT_THAT(ready_names(), ElementsAre("b", "a"));
    TakenEntry b = ready_queue().pop();
    b.task().cancel();
    EXPECT_THAT(ready_names(), ElementsAre("a", "b")) << "the cancel has put it back";
    EXPECT_THROW(ready_queue().insert(0, std::move(b)), InvalidStateError);
    EXPECT_THAT(ready_names(), ElementsAre("a", "b"));

    TakenEntry first = ready_queue().pop();
    TakenEntry second = std::move(first);
    EXPECT_FALSE(first);
    second = TakenEntry();
    EXPECT_EQ(ready_queue().size(), 2U);
    EXPECT_FALSE([] {
      TakenEntry x = ready_queue().pop();
      TakenEntry y = ready_queue().pop();
      return static_cast<bool>(ready_queue().pop());
    }());
    EXPECT_EQ(ready_queue().size(), 2U);
    EXPECT_EQ(states_wrong(t.sim.loop), "");
    co_return;
  }(*this));
}

TEST_F(Scheduling, an_interrupt_of_a_taken_task_puts_it_back_once) {
  sim.run([](Scheduling& t) -> Coro<void> {
    const auto victim = create_task([](Order& o) -> Coro<void> {
      try {
        co_await sleep(0);
      } catch (const std::runtime_error&) {
        o.push_back("interrupted");
      }
    }(t.order));
    co_await sleep(0);
    TakenEntry taken = ready_queue().remove(victim);
    co_await task_interrupt(victim, std::runtime_error("now"));
    EXPECT_TRUE(victim.done());
    EXPECT_THROW(ready_queue().append(std::move(taken)), InvalidStateError);
    EXPECT_TRUE(ready_queue().empty());
  }(*this));
  EXPECT_THAT(order, ElementsAre("interrupted"));
}

TEST_F(Scheduling, call_pos_runs_a_handle_at_its_position) {
  sim.run([](Scheduling& t) -> Coro<void> {
    t.start_all({"a", "b", "c"});
    ready_queue().call_pos(2, [&t] { t.order.push_back("handle"); });
    ready_queue().call_pos(0, [&t] { t.order.push_back("first"); });
    EXPECT_FALSE(ready_queue().items().front().task);
    co_await sleep(1ms);
  }(*this));
  EXPECT_THAT(order, ElementsAre("first", "a", "b", "handle", "c"));
}

TEST_F(Scheduling, rotate_turns_the_order) {
  for (std::ptrdiff_t n = -6; n <= 6; ++n) {
    sim.run([](Scheduling& t, std::ptrdiff_t turn) -> Coro<void> {
      t.start("d", priority::low);
      t.start_all({"b", "c"});
      t.start("a", priority::high);
      std::vector<std::string> expected{"a", "b", "c", "d"};
      const std::ptrdiff_t left = ((-turn % 4) + 4) % 4;
      std::rotate(expected.begin(), expected.begin() + left, expected.end());
      ready_queue().rotate(turn);
      EXPECT_EQ(ready_names(), expected) << turn;
      EXPECT_EQ(states_wrong(t.sim.loop), "");
      co_return;
    }(*this, n));
  }
}

}  // namespace
}  // namespace heirloop::testing
