// Random programs of tasks over all primitives, compared after every operation and every dispatch with the naive model of
// support/wait_graph_model.hpp: inheritance is exact (DESIGN section 1, promise 3), and a deadlock is reported exactly when
// there is one.
#include "support/owners_program.hpp"
#include "support/property.hpp"

#include <cstdlib>
#include <iostream>
#include <memory>

namespace heirloop::testing {
namespace {

// How often each is drawn.
constexpr Act acts[] = {
    Act::lock,      Act::lock,      Act::lock,         Act::lock,         Act::permit,       Act::permit,  Act::permit,
    Act::permit,    Act::permit,    Act::read,         Act::read,         Act::read,         Act::write,   Act::write,
    Act::try_lock,  Act::release,   Act::release,      Act::release,      Act::release,      Act::drop,    Act::downgrade,
    Act::transfer,  Act::transfer,  Act::wait,         Act::wait,         Act::notify,       Act::notify,  Act::join,
    Act::join,      Act::interrupt, Act::interrupt,    Act::cancel,       Act::raise,        Act::raise,   Act::set_priority,
    Act::sleep,     Act::yield,     Act::set_priority, Act::set_priority, Act::advance,      Act::spawn,   Act::spawn,
    Act::spawn,     Act::group,     Act::group,        Act::limit,        Act::limit,        Act::future,  Act::future,
    Act::set_value, Act::send,      Act::future_owner, Act::future_owner, Act::send,         Act::receive, Act::receive,
    Act::put,       Act::get,       Act::channel_owner, Act::end,         Act::die_holding,
    Act::add_permits, Act::add_permits, Act::hand,         Act::hand,         Act::take,         Act::take,   Act::select,
    Act::select,    Act::select,    Act::event,        Act::set_event,    Act::barrier,      Act::barrier};

struct Counts {
  std::uint64_t dispatches = 0;
  std::uint64_t looks = 0;
  std::uint64_t looks_at_cycles = 0;
  std::uint64_t refusals = 0;
};

std::vector<Op> draw_ops() {
  return *rc::gen::container<std::vector<Op>>(
      rc::gen::construct<Op>(rc::gen::elementOf(std::vector<Act>(std::begin(acts), std::end(acts))),
                             rc::gen::arbitrary<std::uint8_t>(), rc::gen::arbitrary<std::uint8_t>()));
}

void check_program(const LoopOptions& options, Counts& counts, const Cast& cast = {}) {
  auto program = std::make_unique<OwnersProgram>(options, draw_ops(), cast);
  const std::string wrong = program->run();
  counts.dispatches += program->dispatches();
  counts.looks += program->model().looks;
  counts.looks_at_cycles += program->model().looks_at_cycles;
  counts.refusals += program->model().refusals;
  if (wrong.empty()) return;
  if (std::getenv("HEIRLOOP_HISTORY") != nullptr) std::cerr << wrong << '\n' << program->history();
  static_cast<void>(program.release());
  RC_FAIL(wrong);
}

LoopOptions with(PolicyKind policy, bool inheritance = true) {
  LoopOptions options;
  options.policy = policy;
  options.age_unit = std::chrono::microseconds(200);
  options.inheritance = inheritance;
  return options;
}

TEST(OwnersProgram, equals_the_naive_model_after_every_dispatch) {
  Counts counts;
  check_property(3300, 400, [&] {
    constexpr PolicyKind kinds[] = {PolicyKind::strict, PolicyKind::aging, PolicyKind::fifo};
    const auto kind = *rc::gen::inRange(0, 3);
    Cast cast;
    cast.locks = *rc::gen::inRange<std::size_t>(2, 6);
    cast.most = *rc::gen::inRange<std::size_t>(4, 12);
    check_program(with(kinds[kind]), counts, cast);
  });
  std::cout << counts.dispatches << " dispatches, " << counts.looks << " looks, of them " << counts.looks_at_cycles
            << " at legal cycles; " << counts.refusals << " deadlocks refused\n";
  if (std::getenv("RC_PARAMS") != nullptr) return;
  EXPECT_GE(counts.dispatches, nightly() ? 10'000'000U : 200'000U);
  EXPECT_GT(counts.looks_at_cycles, 0U);
  EXPECT_GT(counts.refusals, 0U);
}

/// One of the many: a limit that has passed while its task had something else thrown at it is still going to end the wait.
TEST(OwnersProgram, knows_a_limit_that_is_kept_back) {
  OwnersProgram program(with(PolicyKind::strict), {{Act::join, 143, 0},
                                                   {Act::limit, 1, 0},
                                                   {Act::group, 1, 23},
                                                   {Act::lock, 143, 0},
                                                   {Act::raise, 83, 0},
                                                   {Act::future, 0, 0},
                                                   {Act::future, 0, 0},
                                                   {Act::lock, 167, 0},
                                                   {Act::raise, 56, 0},
                                                   {Act::advance, 1, 0}});
  EXPECT_EQ(program.run(), "");
}

/// Promise 6: a run is the same to the last dispatch.
TEST(OwnersProgram, runs_twice_in_the_same_way) {
  check_property(200, 400, [] {
    const auto ops = draw_ops();
    OwnersProgram first(with(PolicyKind::aging), ops);
    OwnersProgram second(with(PolicyKind::aging), ops);
    RC_ASSERT(first.run() == second.run());
    RC_ASSERT(first.history() == second.history());
  });
}

TEST(OwnersProgram, equals_the_naive_model_without_inheritance) {
  Counts counts;
  check_property(300, 400, [&] { check_program(with(PolicyKind::strict, false), counts); });
}

}  // namespace
}  // namespace heirloop::testing
