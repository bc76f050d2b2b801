// Channels with a named owner: what it inherits, what happens as it ends, deadlocks through it, also through select.
#include <heirloop/sync/lock.hpp>
#include <heirloop/sync/select.hpp>

#include "sync/waiting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ChannelOwner : public StrictTest {};

Coro<void> receive_one(Channel<int>& channel, Order& order, std::string name) {
  try {
    const std::optional<int> item = co_await channel.receive();
    order.push_back(name + " " + (item ? std::to_string(*item) : "end"));
  } catch (const OwnerDied& error) {
    EXPECT_THAT(error.what(), HasSubstr("Channel 'jobs'"));
    order.push_back(name + " OwnerDied");
  }
}

Coro<void> stay(std::chrono::milliseconds span) { co_await sleep(span); }

TEST_F(ChannelOwner, inherits_from_who_waits_to_receive_and_from_nobody_else) {
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> channel(1, "jobs");
    auto owner = start(stay(5ms), 10);
    auto other = start(stay(5ms), 20);
    channel.set_owner(owner);
    EXPECT_EQ(channel.owner(), owner.get());
    auto low = start(receive_one(channel, t.order, "low"), 5);
    EXPECT_EQ(owner.effective_priority(), 5);
    auto high = start(receive_one(channel, t.order, "high"), -5);
    EXPECT_EQ(owner.effective_priority(), -5);
    high.set_priority(-7);
    EXPECT_EQ(owner.effective_priority(), -7);
    channel.set_owner(other);
    EXPECT_EQ(owner.effective_priority(), 10);
    EXPECT_EQ(other.effective_priority(), -7);
    channel.set_owner({});
    EXPECT_EQ(channel.owner(), nullptr);
    EXPECT_EQ(other.effective_priority(), 20);
    channel.set_owner(owner);
    high.cancel();
    EXPECT_EQ(owner.effective_priority(), 5) << "who leaves lends nothing any more";
    co_await channel.send(1);
    EXPECT_EQ(owner.effective_priority(), 10);
    co_await channel.send(2);
    auto sender = start([](Channel<int>& c) -> Coro<void> { co_await c.send(3); }(channel), -9);
    EXPECT_EQ(sender.state(), TaskState::blocked);
    EXPECT_EQ(owner.effective_priority(), 10) << "senders do not depend on it";
    co_await low;
    EXPECT_EQ(co_await channel.receive(), 2);
    EXPECT_EQ(co_await channel.receive(), 3);
    co_await sender;
    co_await owner;
    co_await other;
  }(*this));
  EXPECT_EQ(order, (Order{"low 1"}));
}

TEST_F(ChannelOwner, lends_on_through_what_it_waits_for) {
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> channel(0, "jobs");
    PriorityLock lock("keys");
    auto holder = start([](PriorityLock& l) -> Coro<void> {
      const auto held = co_await l.acquire();
      co_await sleep(1ms);
    }(lock), 10);
    auto owner = start([](PriorityLock& l, Channel<int>& c) -> Coro<void> {
      const auto held = co_await l.acquire();
      co_await c.send(1);
    }(lock, channel), 8);
    channel.set_owner(owner);
    auto receiver = start(receive_one(channel, t.order, "receiver"), -5);
    EXPECT_EQ(owner.effective_priority(), -5);
    EXPECT_EQ(holder.effective_priority(), -5);
    co_await receiver;
    EXPECT_EQ(holder.effective_priority(), 10);
    co_await owner;
  }(*this));
  EXPECT_EQ(order, (Order{"receiver 1"}));
}

TEST_F(ChannelOwner, that_ends_gives_OwnerDied_to_who_waits_and_leaves_the_channel_usable) {
  LogCapture log;
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> channel(1, "jobs");
    auto owner = start(stay(1ms), 1, "owner");
    channel.set_owner(owner);
    auto low = start(receive_one(channel, t.order, "low"), 10);
    auto high = start(receive_one(channel, t.order, "high"), -10);
    co_await owner;
    EXPECT_EQ(channel.owner(), nullptr);
    EXPECT_EQ(channel.waiting_receivers(), 0U);
    co_await low;
    EXPECT_EQ(channel.try_send(1), TrySendResult::sent);
    co_await receive_one(channel, t.order, "late");
    EXPECT_THROW(channel.set_owner(owner), InvalidStateError);
  }(*this));
  EXPECT_EQ(order, (Order{"high OwnerDied", "low OwnerDied", "late 1"}));
  EXPECT_EQ(log.count("owner ended while it owned Channel 'jobs'; 2 waiting receivers get OwnerDied"), 1U) << log.text();
}

TEST_F(ChannelOwner, that_ends_while_nobody_waits_is_no_error) {
  LogCapture log;
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> channel(1, "jobs");
    auto owner = start(stay(1ms), 1);
    channel.set_owner(owner);
    co_await owner;
    EXPECT_EQ(channel.owner(), nullptr);
    co_await channel.send(1);
    co_await receive_one(channel, t.order, "after");
  }(*this));
  EXPECT_EQ(order, Order{"after 1"});
  EXPECT_EQ(log.text(), "");
}

TEST_F(ChannelOwner, may_outlive_the_channel) {
  sim.run([]() -> Coro<void> {
    auto owner = start(stay(1ms), 1);
    {
      Channel<int> channel(1);
      channel.set_owner(owner);
    }
    co_await owner;
  }());
}

// ---- deadlocks ----

TEST_F(ChannelOwner, that_would_wait_for_itself_gets_a_DeadlockError) {
  sim.run([](ChannelOwner&) -> Coro<void> {
    Channel<int> channel(1, "jobs");
    channel.set_owner(current_task());
    try {
      co_await channel.receive();
      ADD_FAILURE();
    } catch (const DeadlockError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr("main"), HasSubstr("Channel 'jobs' to have an item")));
    }
    EXPECT_EQ(channel.waiting_receivers(), 0U);
    co_await channel.send(1);
    EXPECT_EQ(co_await channel.receive(), 1) << "nothing to wait for";
  }(*this));
}

TEST_F(ChannelOwner, that_waits_for_a_receiver_is_refused_with_nothing_changed) {
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> channel(1, "jobs");
    auto before = start(stay(5ms), 10);
    channel.set_owner(before);
    auto receiver = start(receive_one(channel, t.order, "receiver"), -1);
    auto waits = start([](PriorityTask<void> task) -> Coro<void> { co_await task; }(receiver), 3);
    EXPECT_THROW(channel.set_owner(waits), DeadlockError);
    EXPECT_EQ(channel.owner(), before.get());
    EXPECT_EQ(before.effective_priority(), -1);
    EXPECT_EQ(waits.effective_priority(), 3);
    co_await channel.send(1);
    co_await waits;
    co_await before;
  }(*this));
  EXPECT_EQ(order, Order{"receiver 1"});
}

// ---- select ----

TEST_F(ChannelOwner, each_inherits_from_a_select_until_one_channel_is_chosen) {
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> a(1, "a");
    Channel<int> b(1, "b");
    auto of_a = start(stay(5ms), 10);
    auto of_b = start(stay(5ms), 11);
    a.set_owner(of_a);
    b.set_owner(of_b);
    auto selects = start([](Channel<int>& x, Channel<int>& y, Order& o) -> Coro<void> {
      const auto which = co_await select(x.receive(), y.receive());
      o.push_back(std::to_string(which.index()));
    }(a, b, t.order), -5);
    EXPECT_EQ(of_a.effective_priority(), -5);
    EXPECT_EQ(of_b.effective_priority(), -5);
    co_await b.send(1);
    EXPECT_EQ(of_a.effective_priority(), 10);
    EXPECT_EQ(of_b.effective_priority(), 11);
    co_await selects;
    co_await of_a;
    co_await of_b;
  }(*this));
  EXPECT_EQ(order, Order{"1"});
}

TEST_F(ChannelOwner, a_select_goes_on_as_long_as_any_of_its_channels_can) {
  for (const bool last : {false, true}) {
    order.clear();
    sim.run([](ChannelOwner& t, bool owned_last) -> Coro<void> {
      Channel<int> owned(1, "owned");
      Channel<int> open(1, "open");
      PriorityTask<void> selects;
      // The owner waits for the select, so its channel gives nothing; the other may.
      auto owner = create_task([](PriorityTask<void>& task) -> Coro<void> { co_await task; }(selects), {.priority = 1});
      owned.set_owner(owner);
      selects = create_task([](Channel<int>& x, Channel<int>& y, Order& o) -> Coro<void> {
        co_await sleep(1ms);
        const auto which = co_await select(x.receive(), y.receive());
        o.push_back("index " + std::to_string(which.index()));
      }(owned_last ? open : owned, owned_last ? owned : open, t.order), {.priority = 0});
      co_await sleep(2ms);
      EXPECT_EQ(owner.state(), TaskState::blocked);
      EXPECT_EQ(selects.state(), TaskState::blocked);
      co_await open.send(1);
      co_await owner;
    }(*this, last));
    EXPECT_EQ(order, Order{last ? "index 0" : "index 1"});
  }
}

TEST_F(ChannelOwner, a_select_of_which_nothing_could_come_gets_a_DeadlockError) {
  sim.run([](ChannelOwner& t) -> Coro<void> {
    Channel<int> a(1, "a");
    Channel<int> b(1, "b");
    PriorityTask<void> selects;
    const auto waits = [](PriorityTask<void>& task) -> Coro<void> { co_await task; };
    auto of_a = create_task(waits(selects), {.priority = 1});
    auto of_b = create_task(waits(selects), {.priority = 2});
    a.set_owner(of_a);
    b.set_owner(of_b);
    selects = create_task([](Channel<int>& x, Channel<int>& y, Order& o) -> Coro<void> {
      co_await sleep(1ms);
      try {
        co_await select(x.receive(), y.receive());
        ADD_FAILURE();
      } catch (const DeadlockError& error) {
        EXPECT_THAT(error.what(), HasSubstr("Channel 'a' to have an item or Channel 'b' to have an item"));
        o.push_back("deadlock");
      }
      EXPECT_EQ(x.waiting_receivers() + y.waiting_receivers(), 0U);
    }(a, b, t.order), {.priority = 0});
    co_await of_a;
    co_await of_b;
  }(*this));
  EXPECT_EQ(order, Order{"deadlock"});
}

}  // namespace
}  // namespace heirloop::testing
