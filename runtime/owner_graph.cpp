#include <heirloop/runtime/owner_graph.hpp>

#include <cmath>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <heirloop/sched/loop.hpp>

namespace heirloop {
namespace {

/// Numbers for what is met, in the order in which it is met.
template <class T>
class Numbers {
 public:
  std::size_t of(const T& thing) {
    const auto [found, is_new] = numbers_.try_emplace(&thing, things_.size());
    if (is_new) things_.push_back(&thing);
    return found->second;
  }
  const std::vector<const T*>& things() const noexcept { return things_; }

 private:
  std::map<const T*, std::size_t> numbers_;
  std::vector<const T*> things_;
};

bool has_edges(const Task& task) {
  if (task.holdings() != nullptr || task.is_awaited()) return true;
  if (task.state() != TaskState::blocked) return false;
  for (const WaitNode* node = task.wait()->nodes(); node != nullptr; node = node->next_of_wait()) {
    if (node->awaited() != nullptr || node->queue()->resource() != nullptr) return true;
  }
  return false;
}

std::string priorities(const OwnerGraph::TaskNode& task) {
  if (task.priority == task.effective_priority) return fmt::format("priority {}", task.priority);
  return fmt::format("priority {}, effective {}", task.priority, task.effective_priority);
}

std::string to_text(const OwnerGraph& graph) {
  std::vector<std::size_t> waiters(graph.resources.size());
  for (const auto& task : graph.tasks) {
    for (const std::size_t r : task.waits_in) ++waiters[r];
  }
  std::string text;
  for (const auto& task : graph.tasks) {
    text += fmt::format("{}: {}, {}\n", task.name, to_string(task.state), priorities(task));
    for (const std::size_t r : task.holds) text += fmt::format("  holds {}; {} waiting\n", graph.resources[r], waiters[r]);
    if (!task.waits_for.empty()) text += fmt::format("  waits for {}", task.waits_for);
    if (!task.waits_for.empty()) text += task.place.empty() ? "\n" : fmt::format(" at {}\n", task.place);
  }
  return text;
}

nlohmann::json number(double value) {
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return value;
}

std::string to_json(const OwnerGraph& graph) {
  nlohmann::json tasks = nlohmann::json::array();
  for (const auto& task : graph.tasks) {
    nlohmann::json node = {{"name", task.name},
                           {"state", to_string(task.state)},
                           {"priority", number(task.priority)},
                           {"effective_priority", number(task.effective_priority)},
                           {"waits_in", task.waits_in},
                           {"awaits", task.awaits},
                           {"holds", task.holds}};
    if (!task.waits_for.empty()) node["waits_for"] = task.waits_for;
    if (!task.place.empty()) node["place"] = task.place;
    tasks.push_back(std::move(node));
  }
  // A name may be any bytes: what is not UTF-8 is replaced.
  return nlohmann::json{{"tasks", std::move(tasks)}, {"resources", graph.resources}}.dump(
      2, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string to_graphviz(const OwnerGraph& graph) {
  std::string text = "digraph owners {\n";
  for (std::size_t r = 0; r < graph.resources.size(); ++r) {
    text += fmt::format("  r{} [shape=box, label={}];\n", r, quoted(graph.resources[r]));
  }
  for (std::size_t t = 0; t < graph.tasks.size(); ++t) {
    const auto& task = graph.tasks[t];
    text += fmt::format("  t{} [label={}];\n", t, quoted(task.name + "\n" + priorities(task)));
    for (const std::size_t r : task.holds) text += fmt::format("  r{} -> t{};\n", r, t);
    for (const std::size_t r : task.waits_in) text += fmt::format("  t{} -> r{} [label={}];\n", t, r, quoted(task.place));
    for (const std::size_t a : task.awaits) text += fmt::format("  t{} -> t{} [label={}];\n", t, a, quoted(task.place));
  }
  return text + "}\n";
}

}  // namespace

OwnerGraph owner_graph() {
  Numbers<Task> tasks;
  Numbers<Resource> resources;
  std::vector<TaskRef> all = Loop::current().all_tasks();
  for (auto task = all.rbegin(); task != all.rend(); ++task) {  // in the order in which they came
    if (has_edges(*task->get())) tasks.of(*task->get());
  }
  OwnerGraph graph;
  for (std::size_t i = 0; i < tasks.things().size(); ++i) {  // grows while somebody met is not in all_tasks
    const Task& task = *tasks.things()[i];
    OwnerGraph::TaskNode& node = graph.tasks.emplace_back();
    node.name = task.name();
    node.state = task.state();
    node.priority = task.priority();
    node.effective_priority = task.urgency().priority;
    if (task.state() != TaskState::running) node.place = detail::place_of(task);
    for (const Holding* h = task.holdings(); h != nullptr; h = h->behind) node.holds.push_back(resources.of(*h->resource));
    if (task.state() != TaskState::blocked) continue;
    node.waits_for = task.wait()->describe();
    for (const WaitNode* n = task.wait()->nodes(); n != nullptr; n = n->next_of_wait()) {
      if (n->awaited() != nullptr) {
        node.awaits.push_back(tasks.of(*n->awaited()));
      } else if (n->queue()->resource() != nullptr) {
        node.waits_in.push_back(resources.of(*n->queue()->resource()));
      }
    }
  }
  for (const Resource* resource : resources.things()) graph.resources.push_back(resource->describe());
  return graph;
}

std::string format(const OwnerGraph& graph, GraphFormat form) {
  switch (form) {
    case GraphFormat::json:
      return to_json(graph);
    case GraphFormat::graphviz:
      return to_graphviz(graph);
    case GraphFormat::text:
      break;
  }
  return to_text(graph);
}

}  // namespace heirloop
