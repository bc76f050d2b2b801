// Coroutines that are run to their end inside a call, nested on the machine stack: where something is closed that can't be
// awaited.
//
// Owns: the refusal of every wait meanwhile. Entered by destructors; asked by each await that is about to suspend, before
// anything is registered or submitted.
//
// 1. What runs inside a call does so under the identity of the caller, if any, and does not wait: the await that would gets
//    InvalidStateError, with its place. Awaits that hand over to another frame go on (`HandsOver`).
// 2. Nothing that came for the caller meanwhile is thrown in there: it stays pending.
// 3. Who goes on waiting after the third refusal ends the program, with the place named.
// 4. Tasks that start eagerly in there, and loops, may wait: they have a life of their own.
#pragma once

#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string>

#include <heirloop/sched/this_thread.hpp>

namespace heirloop::detail {

/// "FILE:LINE".
std::string place_text(const std::source_location& place);

class Drive {
 public:
  /// How often an await or a yield is refused before the program ends.
  static constexpr int most_refusals = 3;

  /// How many of these may nest on the machine stack; one more ends the program.
  static constexpr int most_nested = 1000;

  /// Of what `rule` says: "a generator that is dropped ends its clean-up without waiting".
  explicit Drive(const char* rule, const std::source_location& where) noexcept;
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;
  ~Drive() { this_thread = before_; }

  /// Runs `frame`, and what it awaits, until no frame is named to go on.
  void run(std::coroutine_handle<> frame) const noexcept;

  /// Answers who would wait, or yields: `did`, at `place`. Errors: InvalidStateError, always.
  [[noreturn]] void refuse(const char* did, const std::source_location& place);

 private:
  const char* rule_;
  ThisThread before_;
  int depth_;
  int refusals_ = 0;
};

/// The innermost drive's refusal of an await.
[[noreturn]] void refuse_wait(const std::source_location& place);

}  // namespace heirloop::detail
