#include "policylab/builtin.hpp"

#include <array>

namespace policylab {
namespace {

constexpr std::string_view requests = R"(workload requests
about Short urgent requests while housekeeping always has something to do.
length 30 s

group front weight 4 target 2 ms
group back weight 1

class request            # a third of the processor
  arrives poisson 2000/s
  steps uniform 1 4
  step exponential 60 us max 500 us
  priority high
  group front
  deadline 5 ms

class report             # a sixth
  arrives poisson 40/s
  steps fixed 20
  step uniform 100 us 300 us
  priority normal
  group front

class housekeeping       # whatever is left
  arrives closed 4 think fixed 0 ms
  steps fixed 500
  step fixed 100 us
  priority low
  group back
)";

constexpr std::string_view inversion = R"(workload inversion
about An urgent task wants a lock whose holder waits for a second lock, held by a background task,
about while a crowd of medium urgency keeps the processor busy.
length 40 s

lock index
lock journal
group front weight 4 target 5 ms
group back weight 1

class urgent
  arrives poisson 100/s
  steps fixed 2
  step fixed 50 us
  priority high
  group front
  deadline 10 ms
  takes index before step 1 for 2

class writer             # holds the index and then needs the journal
  arrives poisson 50/s
  steps fixed 4
  step fixed 100 us
  priority 5
  group back
  takes index before step 1 for 4
  takes journal before step 2 for 2

class flush              # holds the journal for 2 ms of work
  arrives closed 1 think exponential 5 ms max 50 ms
  steps fixed 20
  step fixed 100 us
  priority low
  group back
  takes journal before step 1 for 20

class crowd
  arrives closed 3 think exponential 5 ms max 50 ms
  steps fixed 30
  step fixed 100 us
  priority normal
  group front
)";

constexpr std::string_view herd = R"(workload herd
about Every half second 500 tasks become ready at once and want one lock, beside steady urgent work.
length 30 s

lock cache
group front weight 4 target 2 ms
group back weight 1

class probe
  arrives poisson 500/s
  steps fixed 2
  step exponential 50 us max 300 us
  priority high
  group front
  deadline 3 ms

class herd
  arrives burst 500 every 500 ms offset 10 ms
  steps fixed 4
  step exponential 100 us max 1 ms
  priority normal
  group back
  deadline 450 ms
  takes cache before step 2 for 2

class batch
  arrives closed 2 think fixed 0 ms
  steps fixed 200
  step fixed 100 us
  priority low
  group back
)";

constexpr std::string_view churn = R"(workload churn
about Two hundred clients keep the processor busy, and five thousand times a second one of their
about tasks gets another priority; beside them a steady class more urgent than all.
length 20 s

group front weight 1 target 2 ms
group back weight 1

class steady
  arrives poisson 500/s
  steps fixed 2
  step fixed 40 us
  priority -20
  group front
  deadline 3 ms

class shifting
  arrives closed 200 think exponential 20 ms max 200 ms
  steps uniform 5 50
  step uniform 10 us 50 us
  priority normal
  churn every 200 us from high to low
  group back
)";

constexpr std::string_view deadlines = R"(workload deadlines
about Deadlines that do not follow the priorities, on a processor that is busy nine tenths of the time.
length 40 s

group control weight 2 target 3 ms
group media weight 2
group bulk weight 1

class video
  arrives periodic 40 ms
  steps fixed 40
  step fixed 250 us
  priority high
  group media
  deadline 40 ms

class sensor
  arrives periodic 5 ms offset 1 ms
  steps fixed 2
  step fixed 200 us
  priority normal
  group control
  deadline 3 ms

class control
  arrives poisson 300/s
  steps uniform 1 3
  step exponential 300 us max 2 ms
  priority 5
  group control
  deadline 8 ms

class bulk
  arrives poisson 20/s
  steps fixed 100
  step pareto 120 us 2.5 max 2 ms
  priority low
  group bulk
  deadline 800 ms
)";

constexpr std::string_view overload = R"(workload overload
about Urgent work comes a tenth faster than it can be done: what is left for the others, and when?
length 12 s
age_unit 20 ms           # low gives way to high for 400 ms

group front weight 3
group back weight 1

class urgent
  arrives poisson 6000/s
  steps fixed 2
  step exponential 92 us max 1 ms
  priority high
  group front
  deadline 20 ms

class report
  arrives poisson 20/s
  steps fixed 10
  step fixed 100 us
  priority normal
  group back
  deadline 1 s

class background
  arrives closed 2 think fixed 0 ms
  steps fixed 50
  step fixed 100 us
  priority low
  group back
)";

constexpr std::array<Builtin, 6> all{{{"requests", requests},
                                      {"inversion", inversion},
                                      {"herd", herd},
                                      {"churn", churn},
                                      {"deadlines", deadlines},
                                      {"overload", overload}}};

}  // namespace

std::span<const Builtin> builtin_workloads() noexcept { return all; }

}  // namespace policylab
