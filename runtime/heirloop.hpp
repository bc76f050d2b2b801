// Everything of heirloop that works without a choice of headers.
#pragma once

#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sched/operations.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/lock.hpp>
