// What inheritance does for requests that find the keyspace lock held by housekeeping, in steps and not in
// time.
#include "kvserver_child.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using namespace kvtest;

constexpr int enough_waits = 25;

/// The most steps of housekeeping that a request had to wait through, of at least `enough_waits` that had to
/// wait.
double longest_wait_in_steps(std::vector<std::string> more_options, double wanted_steps) {
  std::vector<std::string> options{"--appendonly", "no", "--housekeeping", "1", "--hold-lock", "3",
                                   "--flood",      "20", "--step-us",      "50"};
  options.insert(options.end(), more_options.begin(), more_options.end());
  const demo::ScratchDir dir;
  KvServer server(dir.path(), options);
  Peer peer = server.connect();
  const bool enough = comes_true([&] {
    for (int i = 0; i < 50; ++i) peer.ask({"SET", "key", "value"});
    return server.info("lock_waits") >= enough_waits && server.info("lock_wait_steps_max") >= wanted_steps;
  });
  EXPECT_TRUE(enough) << server.info("lock_waits") << " waits";
  const double steps = server.info("lock_wait_steps_max");
  EXPECT_EQ(server.stop(), clean_end);
  return steps;
}

TEST(KvServerLock, with_inheritance_a_request_waits_for_the_holders_steps_alone) {
  for (const char* policy : {"strict", "aging"}) {
    const double steps = longest_wait_in_steps({"--policy", policy}, 1);
    EXPECT_GE(steps, 1) << policy;
    EXPECT_LE(steps, 4) << policy;
  }
}

TEST(KvServerLock, without_it_everything_in_the_middle_comes_first) {
  for (const char* policy : {"strict", "aging"}) {
    // Whether a wait meets a burst of the flood is a matter of chance; that one does comes true soon.
    EXPECT_GE(longest_wait_in_steps({"--policy", policy, "--no-inheritance"}, 40), 40) << policy;
  }
}

}  // namespace
