// Functions on threads: their outcome, their context, how many run at once, and in which order they begin.
#include "runtime/thread_support.hpp"
#include "support/sim.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

void run_main(Coro<void> main, const RuntimeOptions& options = {}) {
  Runtime runtime(options);
  runtime.run(std::move(main));
}

// ---- outcomes ----

TEST(ToThread, gives_what_the_function_gives) {
  run_main([]() -> Coro<void> {
    int number = 7;
    const int next = co_await to_thread([&number] { return number + 1; });
    EXPECT_EQ(next, 8);
    co_await to_thread([&number] { number = 9; });
    EXPECT_EQ(number, 9);
    int& same = co_await to_thread([&number]() -> int& { return number; });
    EXPECT_EQ(&same, &number);
    const auto owned = co_await to_thread([] { return std::make_unique<int>(5); });
    EXPECT_EQ(*owned, 5);
    auto captured = [text = std::string(100, 'x')] { return text.size(); };
    const std::size_t size = co_await to_thread(std::move(captured));
    EXPECT_EQ(size, 100U);
  }());
}

TEST(ToThread, throws_what_the_function_throws) {
  run_main([]() -> Coro<void> {
    std::string what;
    try {
      co_await to_thread([] { throw std::runtime_error("in the job"); });
    } catch (const std::runtime_error& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "in the job");
  }());
}

TEST(ToThread, runs_beside_the_loop) {
  run_main([]() -> Coro<void> {
    const auto loops_thread = std::this_thread::get_id();
    Hold hold;
    auto job = create_task([](Hold& door) -> Coro<std::thread::id> {
      co_return co_await to_thread([&door] {
        door.pass();
        EXPECT_THROW(current_task(), InvalidStateError);
        EXPECT_THROW(Loop::current(), InvalidStateError);
        return std::this_thread::get_id();
      });
    }(hold));
    co_await until([&hold] { return hold.arrived(); });
    hold.open();
    EXPECT_NE(co_await job, loops_thread);
  }());
}

TEST(ToThread, outside_a_runtime_is_refused) {
  EXPECT_THROW(to_thread([] {}), InvalidStateError);
  Sim sim;
  sim.run([]() -> Coro<void> {
    EXPECT_THROW(to_thread([] {}), InvalidStateError);
    co_return;
  }());
}

TEST(ToThread, several_runs_of_a_runtime_have_threads_each) {
  Runtime runtime;
  for (int i = 0; i < 3; ++i) {
    const int got = runtime.run([](int number) -> Coro<int> {
      co_return co_await to_thread([&number] { return number * 2; });
    }(i));
    EXPECT_EQ(got, i * 2);
  }
}

TEST(ToThread, a_second_await_is_refused_and_runs_nothing) {
  run_main([]() -> Coro<void> {
    int runs = 0;
    auto job = to_thread([&runs] { return ++runs; });
    const int first = co_await job;
    EXPECT_EQ(first, 1);
    std::string what;
    try {
      static_cast<void>(co_await job);
    } catch (const InvalidStateError& error) {
      what = error.what();
    }
    EXPECT_EQ(what, "a job in a thread is awaited once");
    EXPECT_EQ(runs, 1);
  }());
}

// ---- context ----

const ContextVar<std::string> user("user");

TEST(ToThread, the_context_travels_there_and_not_back) {
  run_main([]() -> Coro<void> {
    user.set("ann");
    co_await to_thread([] {
      EXPECT_EQ(user.get(), "ann");
      user.set("bob");
      EXPECT_EQ(user.get(), "bob");
    });
    EXPECT_EQ(user.get(), "ann");
    const Context other;
    co_await coro_await([]() -> Coro<void> { co_await to_thread([] { EXPECT_EQ(user.find(), nullptr); }); }(), other);
  }(),
           {.threads = 1});
}

TEST(ToThread, a_queued_job_has_the_context_of_its_call) {
  run_main([]() -> Coro<void> {
    ThreadPool pool(1);
    Hold hold;
    auto first = create_task([](ThreadPool& p, Hold& door) -> Coro<void> {
      co_await run_in_executor(p, [&door] { door.pass(); });
    }(pool, hold));
    const Context shared;
    auto second = create_task(
        [](ThreadPool& p) -> Coro<void> {
          user.set("ann");
          co_await run_in_executor(p, [] { EXPECT_EQ(user.get(), "ann"); });
        }(pool),
        {.context = shared});
    co_await until([&] { return pool.queued() == 1; });
    shared.run([] { user.set("bob"); });
    hold.open();
    co_await first;
    co_await second;
  }());
}

// ---- bounds and order ----

TEST(ThreadPool, needs_a_thread_and_a_loop) {
  EXPECT_THROW(ThreadPool(2), InvalidStateError);
  run_main([]() -> Coro<void> {
    EXPECT_THROW(ThreadPool(0), std::invalid_argument);
    co_return;
  }());
}

TEST(ThreadPool, of_another_loop_is_refused) {
  run_main([]() -> Coro<void> {
    ThreadPool pool(1);
    std::jthread([&pool] {
      run_main([](ThreadPool& others) -> Coro<void> {
        std::string what;
        try {
          co_await run_in_executor(others, [] {});
        } catch (const InvalidStateError& error) {
          what = error.what();
        }
        EXPECT_EQ(what, "this thread pool belongs to another loop");
      }(pool),
               {.handle_signals = false});
    }).join();
    co_return;
  }());
}

TEST(ThreadPool, never_runs_more_jobs_than_it_has_threads) {
  run_main([]() -> Coro<void> {
    ThreadPool pool(3);
    std::atomic<int> now{0};
    std::atomic<int> most{0};
    std::vector<PriorityTask<void>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(create_task([](ThreadPool& p, std::atomic<int>& running, std::atomic<int>& peak) -> Coro<void> {
        co_await run_in_executor(p, [&] {
          const int count = ++running;
          int seen = peak.load();
          while (seen < count && !peak.compare_exchange_weak(seen, count)) {
          }
          std::this_thread::yield();
          --running;
        });
      }(pool, now, most)));
    }
    for (const auto& task : tasks) co_await task;
    EXPECT_LE(most.load(), 3);
    EXPECT_EQ(pool.queued(), 0U);
    EXPECT_EQ(pool.running(), 0U);
  }());
}

/// A pool of one thread that a job holds, and jobs that wait behind it and note when they run.
class Queue {
 public:
  Queue() : held_(create_task(occupy(*this))) {}

  PriorityTask<void> add(std::string name, double priority) {
    tasks_.push_back(create_task(job(*this, name), {.name = name, .priority = priority}));
    return tasks_.back();
  }
  Coro<void> until_queued(std::size_t count) {
    co_await until([this, count] { return hold_.arrived() && pool_.queued() == count; });
  }

  /// The order in which the jobs ran.
  Coro<Order> run_all() {
    hold_.open();
    co_await held_;
    co_await until([this] { return pool_.queued() == 0 && pool_.running() == 0; });
    for (const auto& task : tasks_) co_await task;  // not before: an await lends
    co_return order_;
  }

  Coro<void> run_job(std::string name) {
    co_await run_in_executor(pool_, [this, &name] { order_.push_back(name); });
  }

 private:
  static Coro<void> occupy(Queue& queue) {
    co_await run_in_executor(queue.pool_, [&queue] { queue.hold_.pass(); });
  }
  static Coro<void> job(Queue& queue, std::string name) { co_await queue.run_job(name); }

  ThreadPool pool_{1};
  Hold hold_;
  Order order_;  // of the one thread
  std::vector<PriorityTask<void>> tasks_;
  PriorityTask<void> held_;
};

TEST(ThreadPool, starts_queued_jobs_in_order_of_priority_then_arrival) {
  run_main([]() -> Coro<void> {
    Queue queue;
    co_await queue.until_queued(0);
    queue.add("low", priority::low);
    queue.add("first", priority::normal);
    queue.add("second", priority::normal);
    queue.add("high", priority::high);
    co_await queue.until_queued(4);
    const Order order = co_await queue.run_all();
    EXPECT_EQ(order, (Order{"high", "first", "second", "low"}));
  }(),
           {.policy = PolicyKind::strict});
}

TEST(ThreadPool, a_queued_job_follows_the_priority_of_its_awaiter) {
  run_main([]() -> Coro<void> {
    Queue queue;
    co_await queue.until_queued(0);
    auto risen = queue.add("risen", 5);
    auto fallen = queue.add("fallen", -5);
    auto moved_twice = queue.add("moved twice", 0);
    queue.add("three", 3);
    co_await queue.until_queued(4);
    risen.set_priority(-1);
    fallen.set_priority(4);
    moved_twice.set_priority(-20);
    moved_twice.set_priority(3.5);
    const Order order = co_await queue.run_all();
    EXPECT_EQ(order, (Order{"risen", "three", "moved twice", "fallen"}));
  }(),
           {.policy = PolicyKind::strict});
}

Coro<void> job_under_lock(Queue& queue, PriorityLock& lock, std::string name) {
  auto held = co_await lock.acquire();
  co_await queue.run_job(name);
}

Coro<void> take(PriorityLock& lock) { auto held = co_await lock.acquire(); }

TEST(ThreadPool, a_queued_job_moves_up_with_who_waits_for_its_awaiters_lock) {
  run_main([]() -> Coro<void> {
    Queue queue;
    co_await queue.until_queued(0);
    PriorityLock outer("outer");
    PriorityLock lock("lock");
    auto holder = create_task(job_under_lock(queue, lock, "holder"), {.priority = 5.0});
    queue.add("three", 3);
    co_await queue.until_queued(2);
    // Through a chain: the urgent one waits for who waits for the lock.
    auto between = create_task(
        [](PriorityLock& o, PriorityLock& l) -> Coro<void> {
          auto held = co_await o.acquire();
          co_await take(l);
        }(outer, lock),
        {.priority = 8.0});
    co_await until([&lock] { return lock.waiter_count() == 1; });
    EXPECT_EQ(holder.effective_priority(), 5);
    auto urgent = create_task(take(outer), {.priority = -3.0});
    co_await until([&outer] { return outer.waiter_count() == 1; });
    EXPECT_EQ(holder.effective_priority(), -3);
    const Order order = co_await queue.run_all();
    co_await holder;
    EXPECT_EQ(order, (Order{"holder", "three"}));
    co_await urgent;
    co_await between;
  }(),
           {.policy = PolicyKind::strict});
}

TEST(ThreadPool, a_queued_job_falls_back_when_the_urgent_waiter_leaves) {
  run_main([]() -> Coro<void> {
    Queue queue;
    co_await queue.until_queued(0);
    PriorityLock lock("lock");
    auto holder = create_task(job_under_lock(queue, lock, "holder"), {.priority = 5.0});
    queue.add("three", 3);
    co_await queue.until_queued(2);
    auto urgent = create_task(take(lock), {.priority = -3.0});
    co_await until([&lock] { return lock.waiter_count() == 1; });
    EXPECT_EQ(holder.effective_priority(), -3);
    urgent.cancel();
    EXPECT_EQ(holder.effective_priority(), 5);
    const Order order = co_await queue.run_all();
    co_await holder;  // it has the lock until then
    EXPECT_EQ(order, (Order{"three", "holder"}));
  }(),
           {.policy = PolicyKind::strict});
}

TEST(ThreadPool, a_wait_for_a_job_that_runs_is_no_deadlock) {
  run_main([]() -> Coro<void> {
    Hold hold;
    PriorityLock lock("lock");
    auto holder = create_task([](PriorityLock& l, Hold& door) -> Coro<void> {
      auto held = co_await l.acquire();
      co_await to_thread([&door] { door.pass(); });
    }(lock, hold));
    auto waiter = create_task(take(lock));
    co_await until([&] { return hold.arrived() && lock.waiter_count() == 1; });
    hold.open();
    co_await waiter;
    co_await holder;
    EXPECT_EQ(Loop::current().deadlocks(), 0U);
  }());
}

TEST(ThreadPool, runs_a_great_many_jobs_of_many_tasks) {
  run_main([]() -> Coro<void> {
    ThreadPool pool(4);
    int sum = 0;
    std::vector<PriorityTask<void>> tasks;
    for (int i = 0; i < 20; ++i) {
      tasks.push_back(create_task(
          [](ThreadPool& p, int& total) -> Coro<void> {
            for (int j = 0; j < 50; ++j) {
              const int got = co_await run_in_executor(p, [&j] { return j; });
              total += got;
            }
          }(pool, sum),
          {.priority = static_cast<double>(i % 3)}));
    }
    for (const auto& task : tasks) co_await task;
    EXPECT_EQ(sum, 20 * 49 * 50 / 2);
  }());
}

}  // namespace
}  // namespace heirloop::testing
