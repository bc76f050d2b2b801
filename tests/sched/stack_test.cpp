// Where tasks and coroutines are: get_stack, print_stack, get_coro, coro_get_frame, and the names of functions.
#include <heirloop/sched/stack.hpp>
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/lock.hpp>

#include "support/sim.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace stack_test {

using namespace std::chrono_literals;
using heirloop::Coro;

constexpr unsigned leaf_line = __LINE__ + 1;
Coro<void> leaf() { co_await heirloop::sleep(1h); }

struct Middle {
  static constexpr unsigned line = __LINE__ + 2;
  Coro<int> call(int value) const {
    co_await leaf();
    co_return value;
  }
};

template <class T>
Coro<T> root(T value) {
  const Middle middle;
  co_return co_await middle.call(value);
}
constexpr unsigned root_line = __LINE__ - 2;

}  // namespace stack_test

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;

std::vector<std::string> functions(const std::vector<CoroFrame>& frames) {
  std::vector<std::string> names;
  for (const CoroFrame& frame : frames) names.push_back(frame.function());
  return names;
}

// ---- get_stack ----

TEST(GetStack, is_the_chain_of_awaiting_coroutines_oldest_first) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(stack_test::root(5), {.eager_start = true});
    EXPECT_EQ(task.state(), TaskState::blocked);
    const auto frames = get_stack(task);
    EXPECT_THAT(functions(frames), ElementsAre("stack_test::root", "stack_test::Middle::call", "stack_test::leaf"));
    for (const CoroFrame& frame : frames) EXPECT_THAT(std::string(frame.file()), EndsWith("tests/sched/stack_test.cpp"));
#ifndef HEIRLOOP_NO_AWAIT_PLACES
    EXPECT_EQ(frames[0].line(), stack_test::root_line);
    EXPECT_EQ(frames[1].line(), stack_test::Middle::line + 0U);
    EXPECT_EQ(frames[2].line(), stack_test::leaf_line);
#endif
    EXPECT_THAT(functions(get_stack(task, 2)), ElementsAre("stack_test::Middle::call", "stack_test::leaf")) << "the newest";
    EXPECT_TRUE(get_stack(task, 0).empty());
    task.cancel();
    co_await sleep(0);
    EXPECT_TRUE(get_stack(task).empty()) << "a task that is done has no frames";
    EXPECT_THROW((void)get_stack(TaskRef()), InvalidStateError);
  }());
}

TEST(GetStack, of_a_ready_task_is_where_it_goes_on) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(stack_test::root(5), {.eager_start = true});
    task_throw(task, InterruptException());
    EXPECT_EQ(task.state(), TaskState::ready);
    EXPECT_EQ(get_stack(task).size(), 3U);
    EXPECT_EQ(get_stack(task).back().line(), stack_test::leaf_line);
    co_await sleep(0);
    (void)task.exception();
  }());
}

TEST(GetStack, of_a_new_task_is_its_function) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(stack_test::root(5));
    const auto frames = get_stack(task);
    EXPECT_THAT(functions(frames), ElementsAre("stack_test::root"));
    EXPECT_GE(frames.at(0).line(), stack_test::root_line - 3);
    EXPECT_LE(frames.at(0).line(), stack_test::root_line + 1);
    task.cancel();
    co_await sleep(0);
  }());
}

Coro<std::size_t> looks_at_itself(std::vector<std::string>& into) {
  into = functions(get_stack(current_task()));
  co_return into.size();
}

Coro<void> looks_after_children(std::vector<std::string>& into) {
  std::vector<std::string> inside;
  const std::size_t depth = co_await looks_at_itself(inside);
  EXPECT_EQ(depth, inside.size());
  EXPECT_THAT(inside.back(), EndsWith("looks_at_itself"));
  EXPECT_THAT(inside.at(inside.size() - 2), EndsWith("looks_after_children"));
  into = functions(get_stack(current_task()));
  co_await sleep(0);
  EXPECT_EQ(functions(get_stack(current_task())), into) << "also after a suspension";
}

TEST(GetStack, of_the_current_task_ends_with_the_coroutine_that_runs) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    std::vector<std::string> names;
    co_await looks_after_children(names);
    EXPECT_EQ(names.size(), 2U);
    EXPECT_THAT(names.back(), EndsWith("looks_after_children"));
    EXPECT_EQ(get_stack(current_task()).size(), 1U) << "the child has ended";
  }());
}

TEST(GetStack, of_who_starts_the_current_task_eagerly_ends_with_the_coroutine_that_starts_it) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    co_await []() -> Coro<void> {
      const TaskRef starter = current_task();
      const std::size_t depth = get_stack(starter).size();
      auto eager = create_task(
          [](TaskRef s, std::size_t d) -> Coro<void> {
            EXPECT_EQ(get_stack(s).size(), d);
            EXPECT_EQ(get_stack(current_task()).size(), 1U);
            co_return;
          }(starter, depth),
          {.eager_start = true});
      co_await eager;
    }();
  }());
}

Coro<void> nest(std::int64_t depth) {
  if (depth > 0) {
    co_await nest(depth - 1);
  } else {
    co_await sleep(1h);
  }
}

TEST(GetStack, of_a_chain_a_million_deep_needs_no_machine_stack) {
  constexpr std::int64_t depth = 1'000'000;
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(nest(depth), {.eager_start = true});
    const auto frames = get_stack(task);
    EXPECT_EQ(frames.size(), static_cast<std::size_t>(depth) + 1);
    EXPECT_THAT(frames.front().function(), EndsWith("nest"));
    EXPECT_EQ(get_stack(task, 3).size(), 3U);
    EXPECT_TRUE(task.get_coro().frame().has_value());
    task.cancel();
    co_await sleep(0);
  }());
}

TEST(PrintStack, writes_a_line_for_the_task_and_for_each_frame) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    const auto task = create_task(stack_test::root(5), {.name = "printed", .eager_start = true});
    std::ostringstream out;
    print_stack(task, out);
    EXPECT_EQ(out.str(), stack_text(task));
    EXPECT_THAT(out.str(), HasSubstr("printed (blocked), oldest first:\n  "));
#ifndef HEIRLOOP_NO_AWAIT_PLACES
    EXPECT_THAT(out.str(), EndsWith("stack_test.cpp:" + std::to_string(stack_test::leaf_line) + " in stack_test::leaf\n"));
#endif
    EXPECT_THAT(stack_text(task, 1), ::testing::Not(HasSubstr("root")));
    task.cancel();
    co_await sleep(0);
    EXPECT_EQ(stack_text(task), "printed (done), oldest first:\n");
  }());
}

// ---- coroutines ----

TEST(GetCoro, shows_the_coroutine_of_a_task_in_each_state) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    EXPECT_TRUE(current_task().get_coro().is_running());
    EXPECT_THROW((void)TaskRef().get_coro(), InvalidStateError);
    const auto task = create_task(stack_test::root(1));
    const CoroView coro = task.get_coro();
    const auto states = [&coro] {
      std::string text;
      if (coro_is_new(coro)) text += "new ";
      if (coro_is_suspended(coro)) text += "suspended ";
      if (coro.is_running()) text += "running ";
      if (coro_is_finished(coro)) text += "finished ";
      return text;
    };
    EXPECT_EQ(states(), "new ");
    EXPECT_THAT(coro_get_frame(coro)->function(), "stack_test::root");
    co_await sleep(0);
    EXPECT_EQ(states(), "suspended ");
    EXPECT_EQ(coro_get_frame(coro)->function(), "stack_test::root") << "its own frame, not the leaf";
#ifndef HEIRLOOP_NO_AWAIT_PLACES
    EXPECT_EQ(coro_get_frame(coro)->line(), stack_test::root_line);
#endif
    task_throw(task, InterruptException());
    EXPECT_EQ(states(), "suspended ") << "ready to go on";
    co_await sleep(0);
    EXPECT_EQ(states(), "finished ");
    EXPECT_FALSE(coro_get_frame(coro).has_value());
    (void)task.exception();

    const auto never_begun = create_task(stack_test::root(1));
    never_begun.cancel();
    EXPECT_EQ(never_begun.get_coro().is_new(), true);
    co_await sleep(0);
    EXPECT_TRUE(never_begun.get_coro().is_finished());
  }());
}

TEST(CoroGetFrame, tells_where_a_coroutine_object_is) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Coro<int> coro = stack_test::root(1);
    EXPECT_TRUE(iscoroutine(coro));
    EXPECT_FALSE(iscoroutine(1));
    EXPECT_TRUE(coro_is_new(coro));
    EXPECT_FALSE(coro_is_suspended(coro));
    EXPECT_EQ(coro_get_frame(coro)->function(), "stack_test::root");
    const auto task = create_task([](Coro<int>& c) -> Coro<int> { co_return co_await c; }(coro), {.eager_start = true});
    EXPECT_TRUE(coro_is_suspended(coro));
    EXPECT_FALSE(coro_is_finished(coro));
    EXPECT_EQ(coro_get_frame(coro)->line(), stack_test::root_line);
    task.cancel();
    co_await sleep(0);
    EXPECT_TRUE(coro_is_finished(coro));
    EXPECT_FALSE(coro_get_frame(coro).has_value());
    EXPECT_FALSE(coro_get_frame(Coro<int>()).has_value());
    Coro<int> given = stack_test::root(1);
    create_task(std::move(given));
    EXPECT_FALSE(coro_get_frame(given).has_value());  // NOLINT(bugprone-use-after-move)
  }());
}

// ---- names of functions ----

TEST(FunctionName, is_cut_out_of_what_each_compiler_says) {
  using detail::function_name;
  // g++ 12: the frame function's text, and that of the coroutine.
  EXPECT_EQ(function_name("void ns::{anonymous}::plain(plain(int)::_ZN2ns12_GLOBAL__N_15plainEi.Frame*)"), "ns::plain");
  EXPECT_EQ(function_name("C<void> ns::{anonymous}::plain(int)"), "ns::plain");
  EXPECT_EQ(function_name("C<T> ns::tmpl(std::vector<T>*, T*) [with T = void*]"), "ns::tmpl");
  EXPECT_EQ(function_name("static C<int> ns::{anonymous}::S::stat()"), "ns::S::stat");
  EXPECT_EQ(function_name("void ns::S::operator()(ns::S::operator()(int)::_ZN2ns1SclEi.Frame*)"), "ns::S::operator()");
  EXPECT_EQ(function_name("void ns::S::operator<(ns::S::operator<(int)::_ZN2ns1SltEi.Frame*)"), "ns::S::operator<");
  EXPECT_EQ(function_name("ns::S::operator void(ns::S::operator C<char>()::_ZN2ns1ScvEv.Frame*)"), "ns::S::operator");
  EXPECT_EQ(function_name("void ns::TS<std::__cxx11::basic_string<char> >::m(ns::TS<std::string>::m()::_ZN.Frame*)"), "ns::TS::m");
  EXPECT_EQ(function_name("void outer::G::run()::<lambda(int)>::operator()(outer::G::run()::<lambda(int)>::_ZZN.Frame*)"),
            "outer::G::run::lambda");
  EXPECT_EQ(function_name("main()::<lambda(std::string (*)(int))>"), "main::lambda");
  EXPECT_EQ(function_name("outer::G::run()::<lambda(auto:11)>::<lambda(int)>"), "outer::G::run::lambda::lambda");
  // clang 19
  EXPECT_EQ(function_name("C<void> ns::(anonymous namespace)::plain(int)"), "ns::plain");
  EXPECT_EQ(function_name("C<T> ns::tmpl(std::vector<T> *, T *) [T = void *]"), "ns::tmpl");
  EXPECT_EQ(function_name("C<void> ns::(anonymous namespace)::S::member(int) const"), "ns::S::member");
  EXPECT_EQ(function_name("const Foo &ns::refers(int)"), "ns::refers");
  EXPECT_EQ(function_name("auto outer::G::run()::(anonymous class)::operator()(int) const"), "outer::G::run::lambda");
  EXPECT_EQ(function_name("auto outer::G::run() const::(anonymous class)::operator()(int)::(anonymous class)::operator()(int) const"),
            "outer::G::run::lambda::lambda");
  EXPECT_EQ(function_name("C<int> ns::S::operator<<(int)"), "ns::S::operator<<");
  EXPECT_EQ(function_name("C<int> operators(int)"), "operators");
  // and what is none of these comes back as it is
  EXPECT_EQ(function_name(""), "");
  EXPECT_EQ(function_name("main"), "main");
}

}  // namespace
}  // namespace heirloop::testing
