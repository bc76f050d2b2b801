// What the running thread is doing: its loop, the current task, the frame that the trampoline resumes next, and whether it
// may wait.
//
// Owned by the dispatch loop; written in a suspension by the awaiters of coroutines. Trivial, so that every access is
// one load from thread-local storage.
#pragma once

#include <coroutine>

namespace heirloop {

class Loop;
class Task;

namespace detail {

class Drive;

struct alignas(32) ThisThread {  // in one cache line
  Loop* loop;
  Task* task;                    // null inside handles and outside the loop
  std::coroutine_handle<> next;  // resumed by the trampoline when the present frame has suspended; null: the step ends
  Drive* drive;                  // the innermost call in which nothing may wait; null: awaits suspend
};

inline thread_local constinit ThisThread this_thread{nullptr, nullptr, nullptr, nullptr};

}  // namespace detail
}  // namespace heirloop
