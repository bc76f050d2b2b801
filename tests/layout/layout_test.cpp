// Holds the tree to the rules of layout_rules.hpp, and shows first that each rule finds what it is for.
#include "layout/layout_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace heirloop::layout {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::size_t longest_file = 600;

// Files that have a reason to be longer, each with the length at which it stands.
const std::map<std::string, std::size_t> long_files = {};

// The tree as it lies on disk, without build/ and what begins with a dot.
std::vector<File> read_tree(const auto& wanted) {
  const fs::path top = HEIRLOOP_SOURCE_DIR;
  std::vector<File> files;
  for (auto entry = fs::recursive_directory_iterator(top); entry != fs::recursive_directory_iterator();
       ++entry) {
    const auto path = entry->path().lexically_relative(top).generic_string();
    if (path == "build" || entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
      continue;
    }
    if (!entry->is_regular_file() || !wanted(path)) continue;
    std::ifstream in(entry->path(), std::ios::binary);
    files.push_back({path, std::string(std::istreambuf_iterator<char>(in), {})});
  }
  std::sort(files.begin(), files.end(), [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

bool is_source(std::string_view path) {
  return path.ends_with(".hpp") || path.ends_with(".cpp") || path.ends_with(".h");
}

bool is_script(std::string_view path) {
  return path.ends_with("CMakeLists.txt") || path.ends_with(".cmake") || path.ends_with(".sh") ||
         (path.starts_with("tools/") && path.find('.') == std::string_view::npos);
}

const std::vector<File>& sources() {
  static const std::vector<File> files = read_tree(is_source);
  return files;
}

// ---- The rules find what they are for
// ---------------------------------------------------------------------------------

TEST(LayoutRules, sees_includes_however_they_are_written) {
  const auto found =
      includes_of("#include <a/b.hpp>\n  #  include \"c.hpp\" // why\n// #include <d>\n#include M\nint x;\n");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].line, 1U);
  EXPECT_EQ(found[0].name, "a/b.hpp");
  EXPECT_EQ(found[1].line, 2U);
  EXPECT_EQ(found[1].name, "c.hpp");
}

TEST(LayoutRules, a_lower_rank_may_not_include_a_higher_one) {
  const auto verdict = [](std::string path, const std::string& include) {
    return check_ranks({{std::move(path), "#pragma once\n#include " + include + "\n"}});
  };
  EXPECT_THAT(verdict("sched/a.hpp", "<heirloop/sync/lock.hpp>"),
              ElementsAre("sched/a.hpp:2: includes heirloop/sync/lock.hpp, which is of higher rank"));
  EXPECT_EQ(verdict("sync/a.cpp", "<heirloop/io/tcp.hpp>").size(), 1U);
  EXPECT_EQ(verdict("sync/a.cpp", "\"../io/tcp.hpp\"").size(), 1U);
  EXPECT_EQ(verdict("io/a.cpp", "\"runtime/run.hpp\"").size(), 1U);
  EXPECT_EQ(verdict("io/a.cpp", "<heirloop/heirloop.hpp>").size(), 1U);
  EXPECT_EQ(verdict("sched/a.cpp", "<heirloop/testing/sim_driver.hpp>").size(), 1U);

  EXPECT_THAT(verdict("runtime/testing/a.cpp", "<heirloop/runtime/run.hpp>"), IsEmpty());
  EXPECT_THAT(verdict("sync/a.cpp", "<heirloop/sync/b.hpp>"), IsEmpty());
  EXPECT_THAT(verdict("io/a.cpp", "<heirloop/sched/b.hpp>"), IsEmpty());
  EXPECT_THAT(verdict("sched/a.cpp", "<sys/io.h>"), IsEmpty());
  EXPECT_THAT(verdict("sched/a.cpp", "\"b.hpp\""), IsEmpty());
  EXPECT_THAT(verdict("tests/sched/a_test.cpp", "<heirloop/testing/sim_driver.hpp>"), IsEmpty());
  EXPECT_THAT(verdict("tools/src/kvserver/main.cpp", "<heirloop/heirloop.hpp>"), IsEmpty());
}

TEST(LayoutRules, liburing_is_included_once) {
  const File first{"io/ring.cpp", "#include <liburing.h>\n"};
  const File second{"io/tcp.cpp", "\n#include <liburing/io_uring.h>\n"};
  EXPECT_THAT(check_liburing({first}), IsEmpty());
  EXPECT_THAT(check_liburing({first, {"io/other.cpp", "#include <vector>\n"}}), IsEmpty());
  EXPECT_THAT(check_liburing({first, second}),
              ElementsAre(HasSubstr("io/ring.cpp:1: "), HasSubstr("io/tcp.cpp:2: ")));
}

TEST(LayoutRules, the_top_level_is_a_closed_list) {
  EXPECT_THAT(check_top_level({"CMakeLists.txt", ".clang-format", "build", "sched", "README.md"}), IsEmpty());
  EXPECT_THAT(check_top_level({"sched", "notes.txt", "src"}),
              ElementsAre(HasSubstr("notes.txt"), HasSubstr("src")));
}

TEST(LayoutRules, nothing_is_left_open) {
  // Put together here, so that this file does not complain about itself.
  const std::string note = std::string("TO") + "DO";
  EXPECT_THAT(check_left_open({{"a.cpp", "int x;\n// " + note + ": more\n"}}),
              ElementsAre("a.cpp:2: " + note + " is left open"));
  EXPECT_EQ(check_left_open({{"a.cpp", std::string("// XX") + "X\n"}}).size(), 1U);
  EXPECT_EQ(check_left_open({{"a.cpp", std::string("// FIX") + "ME(me)\n"}}).size(), 1U);
  EXPECT_EQ(check_left_open({{"a.cpp", std::string("TEST(A, DIS") + "ABLED_b) {\n"}}).size(), 1U);
  EXPECT_THAT(check_left_open({{"a.cpp", "mkstemp(\"/tmp/XXXXXX\");\nint todo;\n"}}), IsEmpty());
}

TEST(LayoutRules, tests_do_not_sleep_on_the_wall_clock) {
  EXPECT_EQ(check_sleeps({{"a_test.cpp", std::string("std::this_thread::sleep_") + "for(1ms);\n"}}).size(),
            1U);
  EXPECT_EQ(check_sleeps({{"a_test.cpp", std::string("u") + "sleep(1);\n"}}).size(), 1U);
  EXPECT_EQ(check_sleeps({{"a_test.cpp", std::string("::nano") + "sleep(&t, nullptr);\n"}}).size(), 1U);
  EXPECT_THAT(check_sleeps({{"a_test.cpp", "co_await hl::sleep(1ms);\nco_await sleep_insert(2);\n"}}),
              IsEmpty());
}

TEST(LayoutRules, every_library_folder_has_a_readme) {
  const std::vector<File> all = {
      {"sched/README.md", "x"}, {"sync/README.md", "x"}, {"io/README.md", "x"}, {"runtime/README.md", "x"}};
  EXPECT_THAT(check_readmes(all), IsEmpty());
  EXPECT_THAT(check_readmes({all[0], all[1], {"io/README.md", "\n"}}),
              ElementsAre("io/README.md: is empty", "runtime/README.md: is missing"));
}

TEST(LayoutRules, long_files_are_listed_and_may_only_shrink) {
  const File three{"a.cpp", "1\n2\n3\n"};
  EXPECT_THAT(check_lengths({three}, 3, {}), IsEmpty());
  EXPECT_THAT(check_lengths({three}, 2, {}), ElementsAre("a.cpp: has 3 lines, more than 2"));
  EXPECT_THAT(check_lengths({three}, 1, {{"a.cpp", 3}}), IsEmpty());
  EXPECT_THAT(check_lengths({three}, 1, {{"a.cpp", 2}}),
              ElementsAre(HasSubstr("more than the 2 it is listed with")));
  EXPECT_THAT(check_lengths({three}, 5, {{"a.cpp", 9}}), ElementsAre(HasSubstr("can leave the list")));
  EXPECT_THAT(check_lengths({three}, 5, {{"b.cpp", 9}}), ElementsAre(HasSubstr("b.cpp: is in the list")));
}

// ---- The tree keeps the rules
// -----------------------------------------------------------------------------------------

TEST(Layout, the_sources_are_found) {
  const auto& files = sources();
  EXPECT_TRUE(std::any_of(files.begin(), files.end(),
                          [](const File& file) { return file.path == "tests/layout/layout_test.cpp"; }));
}

TEST(Layout, lower_rank_never_includes_higher_rank) { EXPECT_THAT(check_ranks(sources()), IsEmpty()); }

TEST(Layout, one_file_includes_liburing) { EXPECT_THAT(check_liburing(sources()), IsEmpty()); }

TEST(Layout, the_top_level_holds_nothing_else) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(HEIRLOOP_SOURCE_DIR))
    names.push_back(entry.path().filename().string());
  EXPECT_THAT(check_top_level(names), IsEmpty());
}

TEST(Layout, nothing_is_left_open) {
  EXPECT_THAT(check_left_open(read_tree([](const auto& path) { return is_source(path) || is_script(path); })),
              IsEmpty());
}

TEST(Layout, no_test_sleeps_on_the_wall_clock) {
  EXPECT_THAT(
      check_sleeps(read_tree([](const auto& path) { return path.starts_with("tests/") && is_source(path); })),
      IsEmpty());
}

TEST(Layout, every_library_folder_has_a_readme) {
  EXPECT_THAT(check_readmes(read_tree([](const auto& path) { return path.ends_with("/README.md"); })),
              IsEmpty());
}

TEST(Layout, no_file_is_too_long) {
  EXPECT_THAT(check_lengths(sources(), longest_file, long_files), IsEmpty());
}

}  // namespace
}  // namespace heirloop::layout
