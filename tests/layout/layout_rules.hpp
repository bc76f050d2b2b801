// The rules that keep the tree in shape, as functions over text and names: no file system here, so that
// layout_test.cpp can show each rule failing on a small made-up input and then hold the real tree to it.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace heirloop::layout {

/// A file of the tree: its path from the top, with '/', and its text.
struct File {
  std::string path;
  std::string text;
};

/// What is wrong, one line each, beginning with the path (and line) it is about.
using Complaints = std::vector<std::string>;

/// The names in `#include <name>` and `#include "name"`, with their line numbers.
struct Include {
  std::size_t line;
  std::string name;
};
std::vector<Include> includes_of(std::string_view text);

/// The rank of a folder of the library (sched 0, sync 1, io 2, runtime 3) for a path such as "sync/lock.hpp",
/// or nothing for what has no rank and may include everything (tests, bench, tools).
std::optional<int> rank_of_file(std::string_view path);

/// The rank of what an include names, whichever way it is written (<heirloop/io/tcp.hpp>, "io/tcp.hpp",
/// "../io/tcp.hpp", <heirloop/heirloop.hpp>, <heirloop/testing/sim_driver.hpp>), or nothing for what is not
/// of the library.
std::optional<int> rank_of_include(std::string_view name);

/// Lower rank never includes higher rank.
Complaints check_ranks(const std::vector<File>& files);

/// One file at most includes liburing.h.
Complaints check_liburing(const std::vector<File>& files);

/// At the top stand the folders and files that have a reason to be there; names that begin with a dot, and
/// build/, are not looked at.
Complaints check_top_level(const std::vector<std::string>& names);

/// Nothing is left as a note to oneself, and no test is switched off.
Complaints check_left_open(const std::vector<File>& files);

/// No test sleeps on the wall clock.
Complaints check_sleeps(const std::vector<File>& tests);

/// Every library folder explains itself.
Complaints check_readmes(const std::vector<File>& files);

/// No source file is longer than `limit` lines. `longer` lists those that have a reason to be, with the
/// length at which they stand: they may shrink, and leave the list once they fit.
Complaints check_lengths(const std::vector<File>& sources, std::size_t limit,
                         const std::map<std::string, std::size_t>& longer);

}  // namespace heirloop::layout
