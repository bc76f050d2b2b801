// A primitive that ends while tasks that it let go have not run yet: they don't touch it any more, whatever comes. These
// tests mean most under AddressSanitizer.
#include <heirloop/sched/interrupt.hpp>
#include <heirloop/sync/barrier.hpp>
#include <heirloop/sync/condition.hpp>
#include <heirloop/sync/queue.hpp>
#include <heirloop/sync/rw_lock.hpp>
#include <heirloop/sync/select.hpp>
#include <heirloop/sync/semaphore.hpp>
#include <heirloop/sync/signal_semaphore.hpp>

#include "sync/waiting.hpp"

#include <memory>

namespace heirloop::testing {
namespace {

// In each scene `wait` is a wait for a primitive, `let_go` ends it, and then the primitive may end.

template <class Primitive>
struct Scene {
  template <class... Args>
  explicit Scene(Args... args) : primitive(std::make_unique<Primitive>(args...)) {}
  std::unique_ptr<Primitive> primitive;
};

/// An owner ends, holding it. Who awaits that runs before the waiters, for it is more urgent.
template <class Primitive, class Guard>
struct OwnerScene : Scene<Primitive> {
  using Scene<Primitive>::Scene;

  template <class Take>
  void own(Take take) {
    owner = start(hold(*this, take), -5);
  }
  template <class Take>
  static Coro<void> hold(OwnerScene& scene, Take take) {
    scene.kept = take(*scene.primitive);
    co_await scene.die.wait();
  }
  Coro<void> let_go() {
    die.set();
    co_await owner;
    kept.reset();
  }

  Event die;
  std::optional<Guard> kept;
  PriorityTask<void> owner;
};

struct LockScene : OwnerScene<PriorityLock, LockGuard> {
  LockScene() : OwnerScene("keys") {
    own([](PriorityLock& lock) { return lock.try_acquire(); });
  }
  Coro<void> wait() { const LockGuard held = co_await primitive->acquire(); }
  static constexpr std::string_view ending = "the owner of PriorityLock 'keys' ended without releasing it";
};

struct ReadScene : OwnerScene<RWLock, WriteGuard> {
  ReadScene() : OwnerScene("table") {
    own([](RWLock& lock) { return lock.try_write(); });
  }
  Coro<void> wait() { const ReadGuard held = co_await primitive->read(); }
  static constexpr std::string_view ending = "the owner of RWLock 'table' ended without releasing it";
};

struct PermitScene : OwnerScene<Semaphore, Permit> {
  PermitScene() : OwnerScene(1, "permits") {
    own([](Semaphore& semaphore) { return semaphore.try_acquire(); });
  }
  Coro<void> wait() { const Permit held = co_await primitive->acquire(); }
  static constexpr std::string_view ending = "the owner of Semaphore 'permits' ended without releasing it";
};

struct OpenBarrierScene : Scene<Barrier> {
  OpenBarrierScene() : Scene(2, "start") {}
  Coro<void> wait() { co_await primitive->wait(); }
  Coro<void> let_go() { co_await primitive->wait(); }
  static constexpr std::string_view ending = "value";
};

struct BrokenBarrierScene : OpenBarrierScene {
  Coro<void> let_go() {
    primitive->abort();
    co_return;
  }
  static constexpr std::string_view ending = "Barrier 'start' is broken";
};

struct EventScene : Scene<Event> {
  Coro<void> wait() { co_await primitive->wait(); }
  Coro<void> let_go() {
    primitive->set();
    co_return;
  }
  static constexpr std::string_view ending = "value";
};

struct WaitGroupScene : Scene<WaitGroup> {
  WaitGroupScene() { primitive->add(); }
  Coro<void> wait() { co_await primitive->wait(); }
  Coro<void> let_go() {
    primitive->done();
    co_return;
  }
  static constexpr std::string_view ending = "value";
};

struct JoinScene : Scene<Queue<int>> {
  JoinScene() { primitive->try_put(1); }
  Coro<void> wait() { co_await primitive->join(); }
  Coro<void> let_go() {
    primitive->task_done();
    co_return;
  }
  static constexpr std::string_view ending = "value";
};

struct ConditionScene {
  PriorityLock lock;
  std::unique_ptr<PriorityCondition> primitive = std::make_unique<PriorityCondition>(lock);
  Coro<void> wait() {
    const LockGuard held = co_await lock.acquire();
    co_await primitive->wait();
    EXPECT_TRUE(held);
  }
  Coro<void> let_go() {
    const LockGuard held = co_await lock.acquire();
    primitive->notify_all();
  }
  static constexpr std::string_view ending = "value";
};

struct ClosedSendScene : Scene<Channel<int>> {
  ClosedSendScene() : Scene(0, "jobs") {}
  Coro<void> wait() { co_await primitive->send(1); }
  Coro<void> let_go() {
    primitive->close();
    co_return;
  }
  static constexpr std::string_view ending = "Channel 'jobs' is closed";
};

struct MetSendScene : ClosedSendScene {
  Coro<void> let_go() {
    EXPECT_EQ(primitive->try_receive(), 1);
    co_return;
  }
  static constexpr std::string_view ending = "value";
};

struct ClosedReceiveScene : ClosedSendScene {
  Coro<void> wait() { EXPECT_EQ(co_await primitive->receive(), std::nullopt); }
  static constexpr std::string_view ending = "value";
};

struct ClosedSelectScene : ClosedSendScene {
  Channel<int> other{1};
  Coro<void> wait() { static_cast<void>(co_await select(other.receive(), primitive->send(1))); }
};

struct OwnedReceiveScene : OwnerScene<Channel<int>, int> {
  OwnedReceiveScene() : OwnerScene(0, "answers") {
    own([](Channel<int>&) { return 0; });
    primitive->set_owner(owner);
  }
  Coro<void> wait() { static_cast<void>(co_await primitive->receive()); }
  static constexpr std::string_view ending = "the owner of Channel 'answers' ended while others waited to receive";
};

template <class Scene>
Coro<void> note_ending(Scene& scene, std::string& how) {
  try {
    co_await scene.wait();
    how = "value";
  } catch (const InterruptException&) {
    how = "stopped";
  } catch (const std::exception& error) {
    how = error.what();
  }
}

enum class Then { runs, is_stopped };

template <class Scene>
Coro<void> play(Then then, std::string& how) {
  const LogCapture log;
  Scene scene;
  const auto waiter = start(note_ending(scene, how), 5);
  EXPECT_EQ(waiter.state(), TaskState::blocked);
  co_await scene.let_go();
  EXPECT_EQ(waiter.state(), TaskState::ready);
  scene.primitive.reset();
  if (then == Then::is_stopped) task_throw(waiter, InterruptException());
  co_await waiter;
}

template <class Scene>
class EndedPrimitive : public StrictTest {};
using Scenes =
    ::testing::Types<LockScene, ReadScene, PermitScene, OpenBarrierScene, BrokenBarrierScene, EventScene, WaitGroupScene,
                     JoinScene, ConditionScene, ClosedSendScene, MetSendScene, ClosedReceiveScene, ClosedSelectScene,
                     OwnedReceiveScene>;
TYPED_TEST_SUITE(EndedPrimitive, Scenes);

TYPED_TEST(EndedPrimitive, lets_those_run_who_were_let_go) {
  std::string how;
  this->sim.run(play<TypeParam>(Then::runs, how));
  EXPECT_EQ(how, TypeParam::ending);
}

TYPED_TEST(EndedPrimitive, lets_those_be_stopped_who_were_let_go) {
  std::string how;
  this->sim.run(play<TypeParam>(Then::is_stopped, how));
  EXPECT_EQ(how, "stopped");
}

// What has been given and not been taken goes back to its primitive when its task is stopped: that has to be there.

Coro<void> ends_before_the_elected_runs() {
  const auto takes = [](SignalSemaphore& from) -> Coro<void> { co_await from.acquire(); };
  SignalSemaphore semaphore(0);
  const auto waiter = start(takes(semaphore));
  semaphore.release();
  co_return;
}

TEST(SignalSemaphoreDeathTest, does_not_end_before_who_was_given_a_permit_has_run) {
  EXPECT_DEATH(Sim().run(ends_before_the_elected_runs()), "nobody is about to take a permit");
}

TEST_F(StrictTest, a_signal_semaphore_may_end_when_all_who_were_given_a_permit_have_run_or_were_stopped) {
  sim.run([]() -> Coro<void> {
    const auto takes = [](SignalSemaphore& from) -> Coro<void> { co_await from.acquire(); };
    SignalSemaphore semaphore(0);
    const auto first = start(takes(semaphore));
    const auto second = start(takes(semaphore));
    semaphore.release(2);
    first.cancel();
    co_await second;
    EXPECT_EQ(semaphore.available(), 1U);
    for (int i = 0; i < 1000; ++i) {  // some give way
      co_await semaphore.acquire();
      semaphore.release();
    }
  }());
}

}  // namespace
}  // namespace heirloop::testing
