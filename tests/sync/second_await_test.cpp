// A wait is awaited once: whatever became of it, the second await is refused and changes nothing.
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/select.hpp>
#include <heirloop/sync/semaphore.hpp>
#include <heirloop/sync/shared.hpp>
#include <heirloop/sync/signal_semaphore.hpp>

#include "sync/waiting.hpp"

#include <optional>

namespace heirloop::testing {
namespace {

const std::string item = "an item too long to lie inside a string";

// Each scene begins with nothing to wait for; `block` changes that, `let_go` ends the wait.

struct LockScene {
  PriorityLock lock;
  std::optional<LockGuard> held;
  auto make() { return lock.acquire(); }
  void block() { held = lock.try_acquire(); }
  void let_go() { held.reset(); }
  bool intact() const { return !lock.locked(); }
};

struct SharedScene {
  Shared<int> shared;
  std::optional<Shared<int>::Guard> held;
  auto make() { return shared.lock(); }
  void block() { held.emplace(std::move(*shared.try_lock())); }
  void let_go() { held.reset(); }
  bool intact() const { return !shared.locked(); }
};

struct ReadScene {
  RWLock lock;
  std::optional<WriteGuard> held;
  auto make() { return lock.read(); }
  void block() { held.emplace(std::move(*lock.try_write())); }
  void let_go() { held.reset(); }
  bool intact() const { return !lock.locked(); }
};

struct WriteScene : ReadScene {
  auto make() { return lock.write(); }
};

struct PermitScene {
  Semaphore semaphore{1};
  std::optional<Permit> held;
  auto make() { return semaphore.acquire(); }
  void block() { held.emplace(std::move(*semaphore.try_acquire())); }
  void let_go() { held.reset(); }
  bool intact() const { return semaphore.available() == 1; }
};

struct SignalScene {
  SignalSemaphore semaphore{2};
  auto make() { return semaphore.acquire(); }
  void block() {
    while (semaphore.try_acquire()) {
    }
  }
  void let_go() { semaphore.release(2); }
  bool intact() const { return semaphore.available() > 0; }
};

struct EventScene {
  Event event;
  EventScene() { event.set(); }
  auto make() { return event.wait(); }
  void block() { event.clear(); }
  void let_go() { event.set(); }
  bool intact() const { return event.waiter_count() == 0; }
};

struct WaitGroupScene {
  WaitGroup group;
  auto make() { return group.wait(); }
  void block() { group.add(); }
  void let_go() { group.done(); }
  bool intact() const { return group.waiter_count() == 0; }
};

struct BarrierScene {
  std::optional<Barrier> barrier{std::in_place, 1};
  auto make() { return barrier->wait(); }
  void block() { barrier.emplace(2); }
  void let_go() {
    if (barrier->n_waiting() == 0) return;
    static_cast<void>(create_task([](Barrier& at) -> Coro<void> { co_await at.wait(); }(*barrier)));
  }
  bool intact() const { return barrier->n_waiting() == 0; }
};

struct PutScene {
  Queue<std::string> queue{2};
  auto make() { return queue.put(item); }
  void block() {
    while (queue.try_put(item)) {
    }
  }
  void let_go() { static_cast<void>(queue.try_get()); }
  bool intact() {
    while (const auto got = queue.try_get()) {
      if (*got != item) return false;
    }
    return queue.putter_count() == 0;
  }
};

struct GetScene {
  Queue<std::string> queue;
  GetScene() {
    queue.try_put(item);
    queue.try_put(item);
  }
  auto make() { return queue.get(); }
  void block() {
    while (queue.try_get()) {
    }
  }
  void let_go() {
    queue.try_put(item);
    queue.try_put(item);
  }
  bool intact() const { return queue.getter_count() == 0 && queue.size() > 0; }
};

struct JoinScene {
  Queue<int> queue;
  auto make() { return queue.join(); }
  void block() { queue.try_put(1); }
  void let_go() { queue.task_done(); }
  bool intact() const { return queue.unfinished() == 0; }
};

struct SendScene {
  Channel<std::string> channel{2};
  auto make() { return channel.send(item); }
  void block() {
    while (channel.try_send(item) == TrySendResult::sent) {
    }
  }
  void let_go() { static_cast<void>(channel.try_receive()); }
  bool intact() {
    while (const auto got = channel.try_receive()) {
      if (*got != item) return false;
    }
    return channel.waiting_senders() == 0;
  }
};

struct SendFromScene : SendScene {
  std::string lent = item;
  auto make() { return channel.send_from(lent); }
};

struct ReceiveScene {
  Channel<std::string> channel{4};
  ReceiveScene() { let_go(); }
  auto make() { return channel.receive(); }
  void block() {
    while (channel.try_receive()) {
    }
  }
  void let_go() {
    channel.try_send(item);
    channel.try_send(item);
  }
  bool intact() const { return channel.waiting_receivers() == 0 && channel.size() > 0; }
};

struct SelectScene : ReceiveScene {
  Channel<std::string> other{4};
  auto make() { return select(other.receive(), channel.receive()); }
};

/// A sender waits already, or comes later: who meets it is done at once.
struct RendezvousScene {
  Channel<std::string> channel{0};
  std::vector<PriorityTask<void>> senders;
  bool blocked = false;
  auto make() {
    if (!blocked) let_go();
    return channel.receive();
  }
  void block() { blocked = true; }
  void let_go() {
    const auto sends = [](Channel<std::string>& to) -> Coro<void> {
      try {
        co_await to.send(item);
      } catch (const ChannelClosed&) {
      }
    };
    for (int i = 0; i < 2; ++i) senders.push_back(start(sends(channel)));
  }
  bool intact() {
    const auto left = channel.try_receive();
    channel.close();
    return left == item;
  }
};

template <class Scene>
Coro<void> twice(Scene& scene, std::string& how) {
  auto wait = scene.make();
  try {
    static_cast<void>(co_await wait);
    how = "value";
  } catch (const InterruptException&) {
    how = "stopped";
  }
  try {
    static_cast<void>(co_await wait);
    how += ", value";
  } catch (const InvalidStateError&) {
    how += ", refused";
  }
}

enum class First { goes_on, waits, is_stopped };

template <class Scene>
Coro<void> play(First first, std::string& how) {
  Scene scene;
  if (first == First::goes_on) {
    co_await create_task(twice(scene, how));
  } else {
    scene.block();
    const auto waits = start(twice(scene, how));
    EXPECT_EQ(waits.state(), TaskState::blocked);
    if (first == First::is_stopped) {
      task_throw(waits, InterruptException());
      co_await sleep(std::chrono::milliseconds(1));
    }
    scene.let_go();
    co_await waits;
  }
  EXPECT_TRUE(scene.intact());
  co_await sleep(std::chrono::milliseconds(1));
}

template <class Scene>
class SecondAwait : public ::testing::Test {};
using Scenes = ::testing::Types<LockScene, SharedScene, ReadScene, WriteScene, PermitScene, SignalScene, EventScene,
                                WaitGroupScene, BarrierScene, PutScene, GetScene, JoinScene, SendScene, SendFromScene,
                                ReceiveScene, SelectScene, RendezvousScene>;
TYPED_TEST_SUITE(SecondAwait, Scenes);

TYPED_TEST(SecondAwait, is_refused_where_nothing_had_to_be_waited_for) {
  Sim sim;
  std::string how;
  sim.run(play<TypeParam>(First::goes_on, how));
  EXPECT_EQ(how, "value, refused");
}

TYPED_TEST(SecondAwait, is_refused_after_a_wait) {
  Sim sim;
  std::string how;
  sim.run(play<TypeParam>(First::waits, how));
  EXPECT_EQ(how, "value, refused");
}

TYPED_TEST(SecondAwait, is_refused_after_a_wait_that_was_interrupted) {
  Sim sim;
  std::string how;
  sim.run(play<TypeParam>(First::is_stopped, how));
  EXPECT_EQ(how, "stopped, refused");
}

TEST(SecondAwaitOfTwoTasks, is_refused_while_the_first_waits) {
  Sim sim;
  sim.run([]() -> Coro<void> {
    Event event("go");
    auto wait = event.wait();
    const auto awaits = [](auto& what) -> Coro<void> { co_await what; };
    const auto first = start(awaits(wait));
    const auto second = start(awaits(wait));
    EXPECT_THROW(second.result(), InvalidStateError);
    event.set();
    co_await first;
  }());
}

}  // namespace
}  // namespace heirloop::testing
