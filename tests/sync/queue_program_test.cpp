// Random programs over the queues: any number of producers and consumers, stopped and re-prioritised at any moment.
#include <heirloop/sync/queue.hpp>

#include "support/property.hpp"
#include "sync/waiting.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// One number is one step: what it does, and with which of the tasks.
using Program = std::vector<std::uint16_t>;

template <class Q>
class QueueProgram {
 public:
  QueueProgram(std::size_t maxsize, bool in_order) : queue_(maxsize, "queue"), in_order_(in_order) {}

  Coro<void> run(const Program& program) {
    for (const std::uint16_t code : program) {
      co_await step(code % 8, code / 8);
      check_bounds();
    }
    queue_.shutdown();
    while (!queue_.empty()) co_await gets(1);
    for (const auto& task : tasks_) {
      while (!task.done()) co_await sleep(1ms);
      (void)was_stopped(task);
    }
  }

  void check() {
    RC_ASSERT(queue_.empty());
    RC_ASSERT(queue_.getter_count() + queue_.putter_count() == 0U);
    RC_ASSERT(queue_.unfinished() == put_.size());
    if (in_order_) {
      std::map<int, int> last;
      for (const int item : got_) {
        const auto [entry, is_new] = last.try_emplace(item / 1000, item);
        RC_ASSERT((is_new || entry->second < item));
        entry->second = item;
      }
    }
    std::sort(put_.begin(), put_.end());
    std::sort(got_.begin(), got_.end());
    RC_ASSERT(put_ == got_);
  }

 private:
  Coro<void> step(int action, int argument) {
    const double priority = argument % 5 - 2;
    switch (action) {
      case 0:
        tasks_.push_back(start(puts(1000 * static_cast<int>(tasks_.size() + 1), 1 + argument % 7), priority));
        break;
      case 1:
        tasks_.push_back(start(gets(1 + argument % 7), priority));
        break;
      case 2:
        if (const auto task = pick(argument); task && !task.done()) task.cancel();
        break;
      case 3:
        if (const auto task = pick(argument); task && !task.done() && task.cancelling() == 0) {
          task_throw(task, InterruptException());
        }
        break;
      case 4:
        if (const auto task = pick(argument); task && !task.done() && task.cancelling() == 0) {
          co_await task_interrupt(task, InterruptException());
        }
        break;
      case 5:
        if (const auto task = pick(argument)) task.set_priority(priority);
        break;
      case 6:
        if (argument % 2 == 0) {
          if (const auto item = queue_.try_get()) got_.push_back(*item);
        } else if (queue_.try_put(tried_)) {
          put_.push_back(tried_++);
        }
        break;
      default:
        co_await sleep(0);
    }
  }

  PriorityTask<void> pick(int argument) const {
    if (tasks_.empty()) return {};
    return tasks_[static_cast<std::size_t>(argument) % tasks_.size()];
  }

  Coro<void> puts(int first, int n) {
    try {
      for (int item = first; item < first + n; ++item) {
        co_await queue_.put(item);
        put_.push_back(item);
      }
    } catch (const QueueShutDown&) {
    }
  }
  Coro<void> gets(int n) {
    try {
      for (int i = 0; i < n; ++i) got_.push_back(co_await queue_.get());
    } catch (const QueueShutDown&) {
    }
  }

  void check_bounds() {
    RC_ASSERT((queue_.maxsize() == 0 || queue_.size() <= queue_.maxsize()));
    RC_ASSERT((queue_.getter_count() == 0 || !queue_.try_get()));
    RC_ASSERT((queue_.putter_count() == 0 || !queue_.try_put(-1)));
  }

  Q queue_;
  bool in_order_;
  std::vector<PriorityTask<void>> tasks_;
  std::vector<int> put_;
  std::vector<int> got_;
  int tried_ = 0;  // the items of try_put are 0, 1 ...; those of a task begin at 1000 times its number
};

template <class Q>
void check_programs(bool in_order) {
  check_property(200, 100, [in_order](const Program& program) {
    for (const PolicyKind policy : {PolicyKind::strict, PolicyKind::aging, PolicyKind::fifo}) {
      LoopOptions options;
      options.policy = policy;
      Sim sim(options);
      QueueProgram<Q> queue(program.size() % 4, in_order);
      sim.run(queue.run(program));
      queue.check();
    }
  });
}

TEST(QueueProgram, of_a_queue_loses_and_doubles_nothing_and_keeps_the_order) { check_programs<Queue<int>>(true); }
TEST(QueueProgram, of_a_priority_queue_loses_and_doubles_nothing) { check_programs<PriorityQueue<int>>(false); }
TEST(QueueProgram, of_a_lifo_queue_loses_and_doubles_nothing) { check_programs<LifoQueue<int>>(false); }

}  // namespace
}  // namespace heirloop::testing
