// Generators for the tests of their ends.
#pragma once

#include <heirloop/runtime/async_generator.hpp>

#include "support/sim.hpp"

#include <functional>
#include <string>
#include <utility>

namespace heirloop::testing {

/// Notes the end of a scope.
struct Note {
  Note(Order& o, std::string t) : order(o), text(std::move(t)) {}
  Note(const Note&) = delete;
  Note& operator=(const Note&) = delete;
  ~Note() { order.push_back(text); }
  Order& order;
  std::string text;
};

inline AsyncGenerator<int> noted(Order& order, std::string name = "closed") {
  const Note note(order, std::move(name));
  for (int i = 1;; ++i) co_yield i;
}

using CleanUp = std::function<Coro<void>()>;

/// Yields once. The clean-up runs behind that, whatever came of it.
inline AsyncGenerator<int> with_clean_up(CleanUp clean_up) {
  std::exception_ptr error;
  try {
    co_yield 1;
  } catch (...) {
    error = std::current_exception();
  }
  co_await clean_up();
  if (error) std::rethrow_exception(error);
}

inline Coro<void> drop_at_the_first_yield(AsyncGenerator<int> generator) {
  co_await generator.next();
  const auto closed = std::move(generator);
}

/// Answers its close by waits or yields.
inline AsyncGenerator<int> wait_again(int times, bool yields, int& refused) {
  int first = 0;
  try {
    co_yield first;
  } catch (const GeneratorExit&) {
  }
  for (int i = 0; i < times; ++i) {
    try {
      if (yields) {
        co_yield i;
      } else {
        co_await sleep(std::chrono::seconds(1));
      }
    } catch (const InvalidStateError&) {
      ++refused;
    }
  }
}

/// Holds what it consumes as a local.
inline AsyncGenerator<int> consume(Order& order, AsyncGenerator<int> source, std::string name) {
  const Note note(order, std::move(name));
  auto own = std::move(source);
  while (auto value = co_await own.next()) co_yield *value + 1;
}

}  // namespace heirloop::testing
