// All small programs over primitives with owners, each compared after every dispatch with the model of
// support/wait_graph_model.hpp: three tasks of different priorities, one lock with its condition, one semaphore of two
// permits, one reader-writer lock; every sequence of four operations (in the nightly run of five) of an alphabet of
// fourteen. The task that runs takes the next one; under `fifo` each task has its turn when the one before it waits.
#include "support/owners_program.hpp"
#include "support/property.hpp"

#include <iostream>
#include <memory>

namespace heirloop::testing {
namespace {

constexpr Op alphabet[] = {{Act::lock, 0, 0},      {Act::permit, 0, 0},       {Act::read, 0, 0}, {Act::write, 0, 0},
                           {Act::release, 0, 0},   {Act::transfer, 0, 1},     {Act::join, 0, 0}, {Act::join, 1, 0},
                           {Act::wait, 0, 0},      {Act::notify, 0, 1},       {Act::yield, 0, 0}, {Act::cancel, 0, 0},
                           {Act::set_priority, 1, 0}, {Act::die_holding, 0, 0}};

std::string text_of(const std::vector<Op>& ops) {
  std::ostringstream text;
  for (const Op& op : ops) text << op << ' ';
  return text.str();
}

class OwnersExhaustive : public ::testing::TestWithParam<PolicyKind> {};

TEST_P(OwnersExhaustive, every_small_program_equals_the_naive_model) {
  const std::size_t length = nightly() ? 5 : 4;
  LoopOptions options;
  options.policy = GetParam();
  const Cast cast{.locks = 1, .permits = {2}, .tables = 1, .futures = 1, .at_first = 3, .most = 4};
  std::uint64_t programs = 0;
  std::uint64_t dispatches = 0;
  std::uint64_t refusals = 0;
  std::vector<std::size_t> letters(length, 0);
  for (bool more = true; more; ++programs) {
    std::vector<Op> ops;
    for (const std::size_t letter : letters) ops.push_back(alphabet[letter]);
    auto program = std::make_unique<OwnersProgram>(options, ops, cast);
    const std::string wrong = program->run();
    if (!wrong.empty()) {
      static_cast<void>(program.release());
      FAIL() << text_of(ops) << "under " << to_string(GetParam()) << ": " << wrong;
    }
    dispatches += program->dispatches();
    refusals += program->model().refusals;
    more = false;
    for (std::size_t at = 0; at < length && !more; ++at) {
      letters[at] = (letters[at] + 1) % std::size(alphabet);
      more = letters[at] != 0;
    }
  }
  std::uint64_t all = 1;
  for (std::size_t i = 0; i < length; ++i) all *= std::size(alphabet);
  EXPECT_EQ(programs, all);
  EXPECT_GT(refusals, 0U);
  std::cout << programs << " programs, " << dispatches << " dispatches, " << refusals << " deadlocks refused\n";
}

INSTANTIATE_TEST_SUITE_P(Policies, OwnersExhaustive, ::testing::Values(PolicyKind::strict, PolicyKind::fifo),
                         [](const auto& p) { return std::string(to_string(p.param)); });

}  // namespace
}  // namespace heirloop::testing
