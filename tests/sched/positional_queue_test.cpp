// PosPriorityQueue<T> against what its original promises, and a plain list.
#include <heirloop/sched/positional_queue.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>

namespace heirloop::testing {
namespace {

using ::testing::ElementsAre;

struct Job {
  std::string name;
  double priority = 0;
  friend bool operator==(const Job& a, const Job& b) { return a.name == b.name; }
};

class PosPriorityQueueTest : public ::testing::Test {
 protected:
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Job& job : queue.ordered()) all.push_back(job.name);
    return all;
  }
  std::vector<std::string> drain() {
    std::vector<std::string> all;
    while (!queue.empty()) all.push_back(queue.popleft().name);
    return all;
  }

  std::map<std::string, double> priorities;
  PosPriorityQueue<Job> queue{[this](const Job& job) {
    const auto set = priorities.find(job.name);
    return set == priorities.end() ? job.priority : set->second;
  }};
};

TEST_F(PosPriorityQueueTest, append_sorts_by_priority_and_is_fifo_among_equals) {
  queue.append({"c", 1});
  queue.append({"a", 0});
  queue.append({"d", 1});
  queue.append({"b", 0});
  queue.append({"first", priority::always_first});
  EXPECT_EQ(queue.size(), 5U);
  EXPECT_THAT(names(), ElementsAre("first", "a", "b", "c", "d"));
  EXPECT_THAT(drain(), ElementsAre("first", "a", "b", "c", "d"));
  EXPECT_THROW(queue.popleft(), std::out_of_range);
}

TEST_F(PosPriorityQueueTest, append_pri_overrides_until_reschedule_all) {
  queue.append({"a", 0});
  queue.append_pri({"b", 0}, -5);
  EXPECT_THAT(names(), ElementsAre("b", "a"));
  queue.reschedule_all();
  EXPECT_THAT(names(), ElementsAre("a", "b"));
}

TEST_F(PosPriorityQueueTest, insert_comes_before_all_priorities_and_promotes_nobody) {
  queue.append({"a", 0});
  queue.append({"b", 1});
  queue.append({"c", 2});
  queue.insert(1, {"one", 99});
  queue.insert(0, {"zero", 99});
  EXPECT_THAT(names(), ElementsAre("zero", "a", "one", "b", "c"));
  queue.append({"urgent", -1});  // before a, which keeps its own priority
  EXPECT_THAT(drain(), ElementsAre("zero", "urgent", "one", "a", "b", "c"));
}

TEST_F(PosPriorityQueueTest, remove_and_find_look_in_pop_order) {
  for (const char* name : {"a", "b", "c"}) queue.append({name, 0});
  queue.insert(0, {"p", 0});
  EXPECT_TRUE(queue.remove({"b"}));
  EXPECT_FALSE(queue.remove({"b"}));
  EXPECT_EQ(queue.find([](const Job& job) { return job.name > "a"; })->name, "p");
  EXPECT_EQ(queue.find([](const Job& job) { return job.name == "x"; }), nullptr);
  EXPECT_TRUE(queue.remove_if([](const Job& job) { return job.name == "p"; }));
  EXPECT_THAT(names(), ElementsAre("a", "c"));
}

TEST_F(PosPriorityQueueTest, reschedule_keeps_arrival) {
  for (const char* name : {"a", "b", "c"}) queue.append({name, 0});
  EXPECT_EQ(queue.reschedule([](const Job& job) { return job.name == "c"; }, -1)->name, "c");
  EXPECT_THAT(names(), ElementsAre("c", "a", "b"));
  queue.reschedule([](const Job& job) { return job.name == "a"; }, -1);
  EXPECT_THAT(names(), ElementsAre("a", "c", "b"));
  EXPECT_EQ(queue.reschedule([](const Job&) { return false; }, 0), nullptr);
}

TEST_F(PosPriorityQueueTest, reschedule_all_asks_again_and_leaves_positions) {
  for (const char* name : {"a", "b", "c"}) queue.append({name, 0});
  queue.insert(0, {"p", 0});
  priorities = {{"c", -1}, {"a", 1}, {"p", 100}};
  queue.reschedule_all();
  EXPECT_THAT(names(), ElementsAre("p", "c", "b", "a"));
}

TEST_F(PosPriorityQueueTest, nan_is_refused_and_changes_nothing) {
  queue.append({"a", 0});
  EXPECT_THROW(queue.append({"b", std::nan("")}), std::invalid_argument);
  EXPECT_THROW(queue.append_pri({"b", 0}, std::nan("")), std::invalid_argument);
  EXPECT_THROW(queue.reschedule([](const Job&) { return true; }, std::nan("")), std::invalid_argument);
  priorities = {{"a", std::nan("")}};
  EXPECT_THROW(queue.reschedule_all(), std::invalid_argument);
  EXPECT_THAT(drain(), ElementsAre("a"));
}

TEST_F(PosPriorityQueueTest, what_is_left_goes_with_the_queue) {
  auto alive = std::make_shared<int>(0);
  {
    PosPriorityQueue<std::shared_ptr<int>> owners([](const auto&) { return 0.0; });
    owners.append(alive);
    owners.insert(0, alive);
    EXPECT_EQ(alive.use_count(), 3);
  }
  EXPECT_EQ(alive.use_count(), 1);
}

TEST_F(PosPriorityQueueTest, equals_a_stable_sort_in_random_use) {
  std::mt19937 random(3);
  PosPriorityQueue<std::pair<int, int>> values([](const auto& value) { return value.first; });
  std::vector<std::pair<int, int>> model;
  for (int i = 0; i < 5000; ++i) {
    if (random() % 5 < 3) {
      const std::pair<int, int> value(static_cast<int>(random() % 100), i);
      values.append(value);
      model.insert(std::upper_bound(model.begin(), model.end(), value), value);
    } else if (!model.empty()) {
      ASSERT_EQ(values.popleft(), model.front());
      model.erase(model.begin());
    }
    ASSERT_EQ(values.size(), model.size());
  }
}

}  // namespace
}  // namespace heirloop::testing
