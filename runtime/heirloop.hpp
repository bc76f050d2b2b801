// Everything of heirloop.
#pragma once

#include <heirloop/io/file.hpp>
#include <heirloop/io/signals.hpp>
#include <heirloop/io/tcp.hpp>
#include <heirloop/runtime/owner_graph.hpp>
#include <heirloop/runtime/run.hpp>
#include <heirloop/runtime/task_group.hpp>
#include <heirloop/runtime/timeout.hpp>
#include <heirloop/sched/future.hpp>
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/sched/positional_queue.hpp>
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/channel.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/event.hpp>
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/once.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/select.hpp>
#include <heirloop/sync/semaphore.hpp>
#include <heirloop/sync/shared.hpp>
#include <heirloop/sync/signal_semaphore.hpp>
#include <heirloop/sync/wait_group.hpp>
