// Random programs of structured concurrency (groups, gather, limits of both kinds, shielded clean-up, failures, swallowed
// cancels, nested) against a naive interpreter: every sleep ends at the same time in the same way, and so does the whole.
#include "support/property.hpp"
#include "support/task_tree_model.hpp"

#include <cstdlib>
#include <iostream>
#include <map>

namespace heirloop::testing {
namespace {

void describe(const Statement& s, std::string& text) {
  static const char* names[] = {"sleep",        "fail",    "sequence", "group",   "gather", "timeout",
                                "task_timeout", "move_on", "ensure",   "swallow", "rescue"};
  text += names[static_cast<int>(s.does)] + std::string("#") + std::to_string(s.id);
  if (s.span_ns != 0) text += "@" + std::to_string(s.span_ns);
  if (s.parts.empty()) return;
  text += "(";
  for (const Statement& part : s.parts) {
    if (&part != &s.parts.front()) text += ", ";
    describe(part, text);
  }
  text += ")";
}

std::string describe(const TreeTrace& trace) {
  std::string text = trace.ending + " at " + std::to_string(trace.end_ns);
  for (const auto& [time, id, ending] : trace.sleeps) text += "; #" + std::to_string(id) + " " + ending + " at " + std::to_string(time);
  return text;
}

TEST(TaskTreeProgram, ends_as_a_naive_interpreter_says) {
  std::size_t statements = 0;
  std::map<std::string, int> endings;
  int ambiguous = 0;
  check_property(4000, 120, [&] {
    const auto bytes = *rc::gen::container<std::vector<std::uint8_t>>(rc::gen::inRange<std::uint8_t>(0, 255));
    const auto seed = *rc::gen::arbitrary<std::uint16_t>();
    const TreeProgram program = TreeMaker(bytes, seed).make();
    const TreeTrace expected = TaskTreeModel::run(program);
    if (TaskTreeModel::was_ambiguous()) {
      ++ambiguous;
      return;
    }
    const TreeTrace seen = TreeRun::run(program, seed % 2 == 0 ? PolicyKind::aging : PolicyKind::fifo);
    statements += seen.sleeps.size();
    ++endings[seen.ending];
    if (describe(seen) == describe(expected)) return;
    std::string text;
    describe(program.root, text);
    for (const FromOutside& event : program.events) {
      text += (event.is_cancel ? "\ncancel at " : "\nthrow at ") + std::to_string(event.time_ns);
    }
    RC_FAIL(text + "\nseen:     " + describe(seen) + "\nexpected: " + describe(expected));
  });
  if (std::getenv("RC_PARAMS") != nullptr) return;
  EXPECT_LT(ambiguous, 200) << "programs that were left out";
  for (const char* ending : {"value", "failure", "timeout", "group", "interrupt", "cancelled"}) {
    EXPECT_GT(endings[ending], 0) << ending << " was never met";
  }
  std::cout << statements << " sleeps, " << ambiguous << " programs left out";
  for (const auto& [ending, count] : endings) std::cout << ", " << count << " x " << ending;
  std::cout << "\n";
}

}  // namespace
}  // namespace heirloop::testing
