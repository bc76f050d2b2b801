// Channel: order, hand-off, rendezvous, close, what an abort leaves, what waiting receivers lend.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/channel.hpp>

#include "sync/waiting.hpp"
#include "sync/counted_new.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class ChannelTest : public StrictTest {};

/// Notes what it received: "name item", or "name end".
Coro<void> receive_one(Channel<int>& channel, Order& order, std::string name) {
  const std::optional<int> item = co_await channel.receive();
  order.push_back(name + " " + (item ? std::to_string(*item) : "end"));
}

Coro<void> send_one(Channel<int>& channel, Order& order, int item) {
  try {
    co_await channel.send(item);
    order.push_back("sent " + std::to_string(item));
  } catch (const ChannelClosed&) {
    order.push_back("closed " + std::to_string(item));
  }
}

TEST_F(ChannelTest, gives_the_items_in_the_order_in_which_they_were_sent) {
  sim.run([]() -> Coro<void> {
    Channel<int> channel(3);
    for (int i = 0; i < 3; ++i) co_await channel.send(i);
    EXPECT_EQ(channel.size(), 3U);
    EXPECT_EQ(channel.capacity(), 3U);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(co_await channel.receive(), i);
    EXPECT_TRUE(channel.empty());
  }());
}

TEST_F(ChannelTest, that_is_full_lets_senders_wait_and_keeps_their_order) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(2);
    for (const int item : {0, 1, 2, 3}) start(send_one(channel, t.order, item));
    EXPECT_EQ(channel.size(), 2U);
    EXPECT_EQ(channel.waiting_senders(), 2U);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(co_await channel.receive(), i);
    EXPECT_EQ(channel.waiting_senders(), 0U);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"sent 0", "sent 1", "sent 2", "sent 3"}));
}

TEST_F(ChannelTest, without_bound_never_lets_a_sender_wait) {
  sim.run([]() -> Coro<void> {
    Channel<int> channel(Channel<int>::unbounded);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(channel.try_send(i), TrySendResult::sent);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(channel.try_receive(), i);
    for (int i = 1000; i < 3000; ++i) co_await channel.send(i);
    for (int i = 500; i < 3000; ++i) EXPECT_EQ(co_await channel.receive(), i);
  }());
}

TEST_F(ChannelTest, serves_the_most_urgent_receiver_and_among_equals_the_first) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    for (const char* name : {"n1", "n2"}) start(receive_one(channel, t.order, name), 1);
    for (const char* name : {"l1", "l2"}) start(receive_one(channel, t.order, name), 10);
    for (const char* name : {"h1", "h2"}) start(receive_one(channel, t.order, name), -10);
    EXPECT_EQ(channel.waiting_receivers(), 6U);
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(channel.try_send(i), TrySendResult::sent) << "one to whom a receiver is waiting";
      EXPECT_EQ(channel.waiting_receivers(), 5U - static_cast<unsigned>(i));
    }
    EXPECT_EQ(channel.size(), 0U);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"h1 0", "h2 1", "n1 2", "n2 3", "l1 4", "l2 5"}));
}

TEST_F(ChannelTest, serves_the_most_urgent_sender_and_among_equals_the_first) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    co_await channel.send(0);
    for (const int item : {11, 12}) start(send_one(channel, t.order, item), 1);
    for (const int item : {21, 22}) start(send_one(channel, t.order, item), 10);
    for (const int item : {1, 2}) start(send_one(channel, t.order, item), -10);
    for (const int item : {0, 1, 2, 11, 12, 21, 22}) EXPECT_EQ(co_await channel.receive(), item);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"sent 1", "sent 2", "sent 11", "sent 12", "sent 21", "sent 22"}));
}

TEST_F(ChannelTest, under_aging_serves_one_that_has_waited_longer_than_the_difference_is_worth) {
  Sim aging({.policy = PolicyKind::aging, .age_unit = 100ms});
  aging.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    start(receive_one(channel, t.order, "low"), 10);
    co_await sleep(3s);
    start(receive_one(channel, t.order, "high"), -10);
    co_await sleep(1ms);
    co_await channel.send(1);
    co_await sleep(1ms);
    co_await channel.send(2);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"low 1", "high 2"}));
}

TEST_F(ChannelTest, a_change_of_priority_moves_a_waiter) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    start(receive_one(channel, t.order, "first"), 5);
    auto second = start(receive_one(channel, t.order, "second"), 5);
    second.set_priority(4);
    co_await channel.send(1);
    co_await channel.send(2);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"second 1", "first 2"}));
}

TEST_F(ChannelTest, nobody_takes_an_item_between_hand_off_and_run) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(2);
    auto elected = start(receive_one(channel, t.order, "elected"), 10);
    co_await channel.send(1);
    EXPECT_EQ(elected.state(), TaskState::ready);
    EXPECT_EQ(channel.size(), 0U);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
    auto late = start(receive_one(channel, t.order, "late"), -10);
    EXPECT_EQ(late.state(), TaskState::blocked);
    co_await channel.send(2);
    co_await elected;
    co_await late;
  }(*this));
  EXPECT_EQ(order, (Order{"late 1", "elected 2"})) << "each has a right to one; who runs first takes the first";
}

TEST_F(ChannelTest, nobody_takes_a_place_between_hand_off_and_run) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    co_await channel.send(0);
    auto elected = start(send_one(channel, t.order, 1), 10);
    EXPECT_EQ(channel.try_receive(), 0);
    EXPECT_EQ(elected.state(), TaskState::ready);
    EXPECT_EQ(channel.try_send(5), TrySendResult::full);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
    auto late = start(send_one(channel, t.order, 2), -10);
    EXPECT_EQ(late.state(), TaskState::blocked);
    EXPECT_EQ(co_await channel.receive(), 1);
    EXPECT_EQ(co_await channel.receive(), 2);
  }(*this));
  EXPECT_EQ(order, (Order{"sent 1", "sent 2"}));
}

TEST_F(ChannelTest, who_waits_for_an_elected_sender_lends_it_urgency) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    co_await channel.send(0);
    auto elected = start(send_one(channel, t.order, 1), 10);
    EXPECT_EQ(channel.try_receive(), 0);
    auto middle = create_task(send_one(channel, t.order, 9), {.priority = 5.0});
    auto high = start(receive_one(channel, t.order, "high"), -10);
    EXPECT_EQ(elected.effective_priority(), -10);
    co_await high;
    EXPECT_EQ(elected.effective_priority(), 10);
    co_await middle;
  }(*this));
  EXPECT_EQ(order, (Order{"sent 1", "high 1", "sent 9"}));
}

TEST_F(ChannelTest, an_elected_receiver_that_leaves_passes_its_right_on_in_the_same_call) {
  for (const char* how : {"cancel", "throw", "interrupt"}) {
    order.clear();
    sim.run([](ChannelTest& t, std::string way) -> Coro<void> {
      Channel<int> channel(1);
      auto elected = start(receive_one(channel, t.order, "elected"), -10);
      auto next = start(receive_one(channel, t.order, "next"), 5);
      auto other = start(receive_one(channel, t.order, "other"), 10);
      EXPECT_EQ(channel.try_send(1), TrySendResult::sent);
      EXPECT_EQ(elected.state(), TaskState::ready);
      if (way == "cancel") {
        elected.cancel();
      } else if (way == "throw") {
        task_throw(elected, InterruptException());
      } else {
        EXPECT_EQ(co_await task_interrupt(elected, InterruptException()), InterruptOutcome::ended);
      }
      EXPECT_EQ(next.state(), TaskState::ready);
      EXPECT_EQ(other.state(), TaskState::blocked);
      co_await channel.send(2);
      co_await next;
      co_await other;
      EXPECT_TRUE(elected.cancelled() || elected.exception());
    }(*this, how));
    EXPECT_EQ(order, (Order{"next 1", "other 2"})) << how;
  }
}

TEST_F(ChannelTest, an_item_whose_only_receiver_left_stays) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    auto elected = start(receive_one(channel, t.order, "elected"));
    co_await channel.send(1);
    elected.cancel();
    EXPECT_EQ(channel.size(), 1U);
    EXPECT_EQ(channel.try_receive(), 1);
    co_await sleep(1ms);
  }(*this));
}

TEST_F(ChannelTest, an_elected_sender_that_leaves_has_not_sent_and_passes_its_place_on) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    co_await channel.send(0);
    auto elected = start(send_one(channel, t.order, 1), -10);
    auto next = start(send_one(channel, t.order, 2), 5);
    EXPECT_EQ(channel.try_receive(), 0);
    EXPECT_EQ(elected.state(), TaskState::ready);
    elected.cancel();
    EXPECT_EQ(next.state(), TaskState::ready);
    EXPECT_EQ(co_await channel.receive(), 2);
    EXPECT_EQ(channel.size(), 0U);
    EXPECT_TRUE(elected.cancelled());
  }(*this));
  EXPECT_EQ(order, Order{"sent 2"});
}

TEST_F(ChannelTest, one_that_never_has_to_wait_gives_way_now_and_then) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    bool stop = false;
    t.sim.driver.at(50us, [&stop] { stop = true; });
    const auto spinner = create_task([](ChannelTest& test, Channel<int>& c, const bool& end) -> Coro<void> {
      for (int i = 0; i < 1000 && !end; ++i) {
        co_await c.send(i);
        EXPECT_EQ(co_await c.receive(), i);
        test.sim.driver.advance(1us);
        test.order.emplace_back("step");
      }
    }(t, channel, stop));
    co_await spinner;
    EXPECT_TRUE(stop);
    EXPECT_LE(t.order.size(), 128U);
  }(*this));
}

TEST_F(ChannelTest, one_that_is_stopped_as_it_gives_way_has_neither_taken_nor_sent) {
  for (const bool sends : {true, false}) {
    sim.run([](ChannelTest& t, bool sending) -> Coro<void> {
      Channel<int> channel(Channel<int>::unbounded);
      int sent = 0;
      int received = 0;
      for (int i = 0; i < 1000; ++i) channel.try_send(i);
      const auto spinner = create_task([](ChannelTest& test, Channel<int>& c, bool s, int& in, int& out) -> Coro<void> {
        for (int i = 0; i < 1000; ++i) {
          if (s) {
            co_await c.send(i);
            ++in;
          } else {
            EXPECT_EQ(co_await c.receive(), i);
            ++out;
          }
          test.sim.driver.advance(1us);
        }
      }(t, channel, sending, sent, received), {.priority = 1});
      co_await sleep(10us);
      EXPECT_TRUE(task_is_runnable(spinner));
      spinner.cancel();
      co_await sleep(1ms);
      EXPECT_TRUE(spinner.cancelled());
      EXPECT_GT(sent + received, 0);
      EXPECT_EQ(channel.size(), static_cast<std::size_t>(1000 + sent - received));
    }(*this, sends));
  }
}

// ---- rendezvous ----

TEST_F(ChannelTest, rendezvous_lets_the_sender_wait_for_a_receiver) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    EXPECT_EQ(channel.try_send(9), TrySendResult::full);
    auto sender = start(send_one(channel, t.order, 1), 1);
    EXPECT_EQ(sender.state(), TaskState::blocked);
    EXPECT_EQ(channel.size(), 0U);
    EXPECT_EQ(co_await channel.receive(), 1);
    co_await sender;
    auto second = start(send_one(channel, t.order, 2), 1);
    EXPECT_EQ(channel.try_receive(), 2);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
    co_await second;
  }(*this));
  EXPECT_EQ(order, (Order{"sent 1", "sent 2"}));
}

TEST_F(ChannelTest, rendezvous_is_done_for_the_sender_when_a_receiver_waits) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    auto receiver = start(receive_one(channel, t.order, "receiver"), 10);
    co_await send_one(channel, t.order, 1);
    EXPECT_EQ(receiver.state(), TaskState::ready);
    EXPECT_EQ(channel.try_send(2), TrySendResult::full);
    co_await receiver;
  }(*this));
  EXPECT_EQ(order, (Order{"sent 1", "receiver 1"}));
}

TEST_F(ChannelTest, rendezvous_keeps_the_item_of_a_receiver_that_left_for_the_next) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    auto leaves = start(receive_one(channel, t.order, "leaves"), 10);
    co_await channel.send(1);
    leaves.cancel();
    EXPECT_EQ(channel.size(), 1U);
    auto sender = start(send_one(channel, t.order, 2), 1);
    EXPECT_EQ(sender.state(), TaskState::blocked);
    co_await receive_one(channel, t.order, "next");
    EXPECT_EQ(sender.state(), TaskState::blocked);
    co_await receive_one(channel, t.order, "after");
    co_await sender;
  }(*this));
  EXPECT_EQ(order, (Order{"next 1", "after 2", "sent 2"}));
}

TEST_F(ChannelTest, rendezvous_passes_the_item_of_a_receiver_that_left_to_one_that_waits) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    auto leaves = start(receive_one(channel, t.order, "leaves"), 5);
    auto waits = start(receive_one(channel, t.order, "waits"), 10);
    co_await channel.send(1);
    leaves.cancel();
    EXPECT_EQ(waits.state(), TaskState::ready);
    co_await waits;
  }(*this));
  EXPECT_EQ(order, (Order{"waits 1"}));
}

TEST_F(ChannelTest, rendezvous_a_sender_that_is_stopped_can_ask_whether_the_item_was_taken) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    const auto sends = [](Channel<int>& c, Order& o) -> Coro<void> {
      auto sending = c.send(1);
      try {
        co_await sending;
        ADD_FAILURE();
      } catch (const Cancelled&) {
        o.push_back(sending.sent() ? "sent" : "not sent");
      }
    };
    Channel<int> channel(0);
    auto waiting = start(sends(channel, t.order), 1);
    waiting.cancel();
    co_await sleep(1ms);
    auto met = start(sends(channel, t.order), 1);
    EXPECT_EQ(channel.try_receive(), 1);
    met.cancel();
    co_await sleep(1ms);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
  }(*this));
  EXPECT_EQ(order, (Order{"not sent", "sent"}));
}

// ---- close ----

TEST_F(ChannelTest, close_leaves_the_items_and_ends_the_waits) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1, "jobs");
    co_await channel.send(1);
    auto sender = start(send_one(channel, t.order, 2), 1);
    channel.close();
    channel.close();
    EXPECT_TRUE(channel.closed());
    EXPECT_EQ(channel.try_send(3), TrySendResult::closed);
    co_await sender;
    try {
      co_await channel.send(4);
      ADD_FAILURE();
    } catch (const ChannelClosed& error) {
      EXPECT_THAT(error.what(), HasSubstr("Channel 'jobs'"));
    }
    EXPECT_EQ(channel.size(), 1U);
    for (const char* name : {"first", "second"}) co_await receive_one(channel, t.order, name);
    EXPECT_EQ(channel.try_receive(), std::nullopt);
  }(*this));
  EXPECT_EQ(order, (Order{"closed 2", "first 1", "second end"}));
}

TEST_F(ChannelTest, close_tells_all_receivers_that_wait) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0);
    start(receive_one(channel, t.order, "low"), 10);
    start(receive_one(channel, t.order, "high"), 1);
    channel.close();
    EXPECT_EQ(channel.waiting_receivers(), 0U);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"high end", "low end"}));
}

TEST_F(ChannelTest, close_does_not_take_rights_back) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    co_await channel.send(0);
    auto sender = start(send_one(channel, t.order, 1), 10);
    EXPECT_EQ(channel.try_receive(), 0);  // the sender has a place now
    auto first = start(receive_one(channel, t.order, "first"), 5);
    auto second = start(receive_one(channel, t.order, "second"), 6);
    channel.close();
    EXPECT_EQ(second.state(), TaskState::blocked) << "the sender could still leave, or its receiver";
    co_await sender;
    EXPECT_EQ(first.state(), TaskState::ready);
    first.cancel();
    co_await second;
    co_await receive_one(channel, t.order, "late");
  }(*this));
  EXPECT_EQ(order, (Order{"sent 1", "second 1", "late end"}));
}

TEST_F(ChannelTest, close_ends_the_wait_for_a_sender_that_leaves) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(1);
    co_await channel.send(0);
    auto sender = start(send_one(channel, t.order, 1), 10);
    EXPECT_EQ(channel.try_receive(), 0);
    auto receiver = start(receive_one(channel, t.order, "receiver"), 5);
    channel.close();
    EXPECT_EQ(receiver.state(), TaskState::blocked);
    sender.cancel();
    EXPECT_EQ(receiver.state(), TaskState::ready);
    co_await receiver;
  }(*this));
  EXPECT_EQ(order, (Order{"receiver end"}));
}

// ---- items, use, cost ----

TEST_F(ChannelTest, carries_items_that_can_only_be_moved) {
  sim.run([]() -> Coro<void> {
    Channel<std::unique_ptr<int>> channel(1);
    co_await channel.send(std::make_unique<int>(1));
    auto second = std::make_unique<int>(2);
    EXPECT_EQ(channel.try_send(std::move(second)), TrySendResult::full);
    EXPECT_NE(second, nullptr) << "it stays where it was";
    auto sender = start([](Channel<std::unique_ptr<int>>& c, std::unique_ptr<int> item) -> Coro<void> {
      co_await c.send(std::move(item));
    }(channel, std::move(second)));
    for (const int expected : {1, 2}) {
      const auto item = co_await channel.receive();
      EXPECT_EQ(**item, expected);
    }
    co_await sender;
    co_await channel.send(std::make_unique<int>(3));  // goes with the channel
  }());
}

TEST_F(ChannelTest, wrong_use_is_a_catchable_error_and_handles_may_try) {
  sim.run([](ChannelTest& t) -> Coro<void> {
    Channel<int> channel(0, "jobs");
    auto receiver = start(receive_one(channel, t.order, "receiver"));
    EXPECT_EQ(receiver.get()->wait()->describe(), "Channel 'jobs' to have an item");
    t.sim.loop.call_soon([&] {
      EXPECT_EQ(channel.try_send(1), TrySendResult::sent);
      EXPECT_THROW((void)channel.receive().await_ready(), InvalidStateError);
      EXPECT_THROW((void)channel.send(1).await_ready(), InvalidStateError);
    });
    co_await receiver;
    auto sender = start(send_one(channel, t.order, 2));
    EXPECT_EQ(sender.get()->wait()->describe(), "Channel 'jobs' to have a receiver");
    sender.cancel();
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, Order{"receiver 1"});
}

TEST_F(ChannelTest, allocates_nothing_in_steady_state) {
  for (const std::size_t capacity : {std::size_t{0}, std::size_t{3}, Channel<int>::unbounded}) {
    sim.run([](std::size_t bound) -> Coro<void> {
      Channel<int> channel(bound);
      constexpr int warm = 200;
      constexpr int all = 2000;
      auto sender = create_task([](Channel<int>& c) -> Coro<void> {
        for (int i = 0; i < all; ++i) {
          co_await c.send(i);
          if (i % 5 == 0) co_await sleep(0);
        }
      }(channel));
      std::size_t before = 0;
      for (int i = 0; i < all; ++i) {
        if (i == warm) before = allocations();
        EXPECT_EQ(co_await channel.receive(), i);
        if (i % 5 == 0) co_await sleep(0);
      }
      EXPECT_EQ(allocations() - before, 0U);
      co_await sender;
    }(capacity));
  }
}

}  // namespace
}  // namespace heirloop::testing
