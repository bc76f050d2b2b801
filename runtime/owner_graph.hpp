// Who waits for what, and who owns that: a picture of one moment, for people and programs.
//
// Owns nothing: a snapshot is a copy. Called by tasks and handles of the loop, and by whoever debugs a service that hangs.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <heirloop/sched/task.hpp>

namespace heirloop {

struct OwnerGraph {
  struct TaskNode {
    std::string name;
    TaskState state;
    double priority;
    double effective_priority;
    std::string waits_for;                ///< empty: it is not blocked
    std::string place;                    ///< "file:line" of the await in which it is; empty when not known
    std::vector<std::size_t> waits_in;    ///< `resources` in whose queues it stands
    std::vector<std::size_t> awaits;      ///< `tasks` whose end it waits for
    std::vector<std::size_t> holds;       ///< `resources` of which it has a share
  };

  std::vector<TaskNode> tasks;         ///< those that hold something, wait for something that has an owner, or are awaited
  std::vector<std::string> resources;  ///< what they are: "PriorityLock 'keys'"
};

/// Of the loop that runs in this thread. Errors: InvalidStateError outside a loop. Cost: linear in the tasks; allocates.
OwnerGraph owner_graph();

enum class GraphFormat {
  text,      ///< a paragraph for each task
  json,      ///< {"tasks": […], "resources": […]}, indices as in OwnerGraph; an infinite priority is "inf" or "-inf"
  graphviz,  ///< for dot: waiter → resource → owner
};

std::string format(const OwnerGraph& graph, GraphFormat form);

/// The same in one call. Errors and cost: as `owner_graph`.
inline std::string dump_owner_graph(GraphFormat form = GraphFormat::text) { return format(owner_graph(), form); }

}  // namespace heirloop
