// ExceptionGroup: what it holds, how it reads, and how it is parted.
#include <heirloop/sched/errors.hpp>

#include <gtest/gtest.h>

#include <ios>
#include <stdexcept>
#include <string>
#include <vector>

namespace heirloop::testing {
namespace {

template <class E>
std::exception_ptr made(E error) {
  return std::make_exception_ptr(std::move(error));
}

/// failures: a range_error, [inner: an out_of_range, a Cancelled], [empty of logic errors: a range_error]
ExceptionGroup tree() {
  return ExceptionGroup("outer", {made(std::range_error("one")),
                                  made(ExceptionGroup("inner", {made(std::out_of_range("two")), made(Cancelled("three"))})),
                                  made(ExceptionGroup("others", {made(std::range_error("four"))}))});
}

TEST(ExceptionGroup, reads_as_a_tree) {
  EXPECT_STREQ(tree().what(),
               "outer (3 exceptions)\n"
               "- std::range_error: one\n"
               "- heirloop::ExceptionGroup: inner (2 exceptions)\n"
               "  - std::out_of_range: two\n"
               "  - heirloop::Cancelled: three\n"
               "- heirloop::ExceptionGroup: others (1 exception)\n"
               "  - std::range_error: four");
}

TEST(ExceptionGroup, needs_an_exception) { EXPECT_THROW(ExceptionGroup("none", {}), std::invalid_argument); }

TEST(ExceptionGroup, gives_its_leaves_from_left_to_right) {
  std::string all;
  for (const auto& leaf : tree().leaves()) all += describe_exception(leaf) + "; ";
  EXPECT_EQ(all, "std::range_error: one; std::out_of_range: two; heirloop::Cancelled: three; std::range_error: four; ");
}

TEST(ExceptionGroup, is_split_by_type_into_two_of_its_shape) {
  const auto [logic, rest] = tree().split<std::logic_error>();
  ASSERT_TRUE(logic && rest);
  EXPECT_STREQ(logic->what(),
               "outer (1 exception)\n"
               "- heirloop::ExceptionGroup: inner (1 exception)\n"
               "  - std::out_of_range: two");
  EXPECT_STREQ(rest->what(),
               "outer (3 exceptions)\n"
               "- std::range_error: one\n"
               "- heirloop::ExceptionGroup: inner (1 exception)\n"
               "  - heirloop::Cancelled: three\n"
               "- heirloop::ExceptionGroup: others (1 exception)\n"
               "  - std::range_error: four");
}

TEST(ExceptionGroup, a_part_without_a_leaf_is_empty) {
  const auto [none, all] = tree().split<std::ios_base::failure>();
  EXPECT_FALSE(none);
  ASSERT_TRUE(all);
  EXPECT_STREQ(all->what(), tree().what());
  EXPECT_FALSE(tree().subgroup<std::ios_base::failure>());
}

TEST(ExceptionGroup, has_the_part_for_which_a_function_says_yes) {
  const auto part = tree().subgroup([](const std::exception_ptr& error) { return describe_exception(error).ends_with("four"); });
  ASSERT_TRUE(part);
  EXPECT_EQ(part->leaves().size(), 1U);
  EXPECT_EQ(part->message(), "outer");
}

}  // namespace
}  // namespace heirloop::testing
