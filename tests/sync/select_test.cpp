// select: which is chosen, in which order, what the others keep, what an abort leaves.
#include <heirloop/sched/scheduling.hpp>
#include <heirloop/sync/select.hpp>

#include "sync/waiting.hpp"
#include "sync/counted_new.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

class SelectTest : public StrictTest {};

/// Notes "name index item".
Coro<void> choose(Channel<int>& a, Channel<int>& b, Order& order, std::string name) {
  const auto which = co_await select(a.receive(), b.receive());
  const auto& item = which.index() == 0 ? std::get<0>(which) : std::get<1>(which);
  order.push_back(name + " " + std::to_string(which.index()) + " " + (item ? std::to_string(*item) : "end"));
}

TEST_F(SelectTest, takes_the_first_argument_of_those_that_are_possible) {
  sim.run([]() -> Coro<void> {
    Channel<int> a(2);
    Channel<std::string> b(2);
    Channel<int> full(0);
    co_await b.send("text");
    const auto first = co_await select(full.send(1), a.receive(), b.receive());
    EXPECT_EQ(first.index(), 2U);
    EXPECT_EQ(std::get<2>(first), "text");
    co_await a.send(1);
    co_await a.send(2);
    co_await b.send("more");
    const auto second = co_await select(a.receive(), b.receive());
    EXPECT_EQ(std::get<0>(second), 1);
    const auto third = co_await select(b.receive(), a.receive());
    EXPECT_EQ(std::get<0>(third), "more");
    const auto fourth = co_await select(b.send("sent"), a.receive());
    EXPECT_EQ(std::get<0>(fourth), Done());
    EXPECT_EQ(a.size(), 1U) << "the others keep what they have";
    EXPECT_EQ(b.size(), 1U);
  }());
}

TEST_F(SelectTest, waits_for_whichever_comes_first_and_leaves_the_other_queues) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> a(1);
    Channel<int> b(1);
    auto selects = start(choose(a, b, t.order, "selects"));
    EXPECT_EQ(a.waiting_receivers(), 1U);
    EXPECT_EQ(b.waiting_receivers(), 1U);
    EXPECT_EQ(selects.get()->wait()->describe(), "an unnamed Channel to have an item or an unnamed Channel to have an item");
    co_await b.send(1);
    EXPECT_EQ(selects.state(), TaskState::ready);
    EXPECT_EQ(a.waiting_receivers(), 0U) << "in the same call";
    co_await a.send(2);
    EXPECT_EQ(a.size(), 1U) << "a claimed wait is offered nothing more";
    co_await selects;
    EXPECT_EQ(a.try_receive(), 2);
  }(*this));
  EXPECT_EQ(order, Order{"selects 1 1"});
}

TEST_F(SelectTest, sends_and_receives_in_one_wait) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> in(0);
    Channel<int> out(1);
    co_await out.send(0);
    const auto both = [](Channel<int>& i, Channel<int>& o, Order& order_) -> Coro<void> {
      for (int n = 1; n <= 2; ++n) {
        auto which = co_await select(i.receive(), o.send(10 * n));
        order_.push_back(which.index() == 0 ? "received " + std::to_string(*std::get<0>(which)) : "sent");
      }
    };
    auto selects = start(both(in, out, t.order), 1);
    EXPECT_EQ(out.waiting_senders(), 1U);
    EXPECT_EQ(co_await out.receive(), 0);
    EXPECT_EQ(co_await out.receive(), 10);
    co_await sleep(1ms);
    EXPECT_TRUE(selects.done()) << "the second time the send is possible at once";
    EXPECT_EQ(out.try_receive(), 20);
    EXPECT_EQ(in.waiting_receivers(), 0U);
  }(*this));
  EXPECT_EQ(order, (Order{"sent", "sent"}));
}

TEST_F(SelectTest, stands_in_each_queue_by_urgency_and_in_the_order_of_coming) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> a(0);
    Channel<int> b(0);
    start(choose(a, b, t.order, "first"), 5);
    start(choose(b, a, t.order, "second"), 5);
    start(choose(a, b, t.order, "urgent"), 1);
    for (const int item : {1, 2, 3}) co_await a.send(item);
    co_await sleep(1ms);
  }(*this));
  EXPECT_EQ(order, (Order{"urgent 0 1", "first 0 2", "second 1 3"}));
}

TEST_F(SelectTest, that_was_elected_and_leaves_passes_its_right_on) {
  for (const char* how : {"cancel", "throw", "interrupt"}) {
    order.clear();
    sim.run([](SelectTest& t, std::string way) -> Coro<void> {
      Channel<int> a(1);
      Channel<int> b(1);
      auto elected = start(choose(a, b, t.order, "elected"), 1);
      auto next = start(choose(b, a, t.order, "next"), 2);
      co_await b.send(1);
      EXPECT_EQ(elected.state(), TaskState::ready);
      if (way == "cancel") {
        elected.cancel();
      } else if (way == "throw") {
        task_throw(elected, InterruptException());
      } else {
        EXPECT_EQ(co_await task_interrupt(elected, InterruptException()), InterruptOutcome::ended);
      }
      EXPECT_EQ(next.state(), TaskState::ready);
      EXPECT_EQ(a.waiting_receivers() + b.waiting_receivers(), 0U);
      co_await next;
      co_await sleep(1ms);
      EXPECT_TRUE(elected.cancelled() || elected.exception());
    }(*this, how));
    EXPECT_EQ(order, Order{"next 0 1"}) << how;
  }
}

TEST_F(SelectTest, that_was_elected_to_send_and_leaves_has_not_sent) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> a(1);
    Channel<int> b(1);
    co_await a.send(0);
    auto elected = start([](Channel<int>& to, Channel<int>& from) -> Coro<void> {
      co_await select(from.receive(), to.send(1));
      ADD_FAILURE();
    }(a, b), 1);
    auto next = start([](Channel<int>& to, Order& o) -> Coro<void> {
      co_await to.send(2);
      o.push_back("next");
    }(a, t.order), 2);
    EXPECT_EQ(a.try_receive(), 0);
    elected.cancel();
    EXPECT_EQ(co_await a.receive(), 2);
    co_await next;
    EXPECT_EQ(b.waiting_receivers(), 0U);
  }(*this));
  EXPECT_EQ(order, Order{"next"});
}

TEST_F(SelectTest, leaves_an_item_that_it_did_not_send_where_it_was) {
  sim.run([]() -> Coro<void> {
    Channel<std::unique_ptr<int>> a(1);
    Channel<int> b(1);
    auto item = std::make_unique<int>(1);
    co_await b.send(7);
    auto which = co_await select(b.receive(), a.send_from(item));
    EXPECT_EQ(which.index(), 0U);
    EXPECT_NE(item, nullptr);
    auto then = co_await select(b.receive(), a.send_from(item));
    EXPECT_EQ(then.index(), 1U);
    EXPECT_EQ(item, nullptr);
    auto moved = co_await select(a.receive(), b.receive());
    EXPECT_EQ(*std::get<0>(moved).value(), 1);
    co_await select(b.receive(), a.send(std::make_unique<int>(2)));
    EXPECT_EQ(a.size(), 1U);
  }());
}

TEST_F(SelectTest, meets_another_select_but_not_itself) {
  sim.run([](SelectTest& t) -> Coro<void> {
    const auto swaps = [](Channel<int>& c, int item, Order& o) -> Coro<void> {
      auto which = co_await select(c.receive(), c.send(item));
      const auto* received = std::get_if<0>(&which);
      o.push_back(std::to_string(item) + (received ? " received " + std::to_string(**received) : " sent"));
    };
    Channel<int> channel(0);
    auto first = start(swaps(channel, 1, t.order), 1);
    EXPECT_EQ(first.state(), TaskState::blocked);
    auto second = start(swaps(channel, 2, t.order), 1);
    EXPECT_TRUE(second.done());
    co_await first;
    EXPECT_EQ(channel.size(), 0U);
  }(*this));
  EXPECT_EQ(order, (Order{"2 received 1", "1 sent"}));
}

TEST_F(SelectTest, a_closed_channel_is_possible) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> a(1);
    Channel<int> b(1);
    auto waits = start(choose(a, b, t.order, "waits"), 1);
    b.close();
    co_await waits;
    co_await choose(a, b, t.order, "late");
    bool thrown = false;
    try {
      co_await select(a.receive(), b.send(1));
    } catch (const ChannelClosed&) {
      thrown = true;
    }
    EXPECT_TRUE(thrown);
    EXPECT_EQ(a.waiting_receivers(), 0U);
  }(*this));
  EXPECT_EQ(order, (Order{"waits 1 end", "late 1 end"}));
}

TEST_F(SelectTest, try_select_never_waits) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> a(0);
    Channel<int> b(1);
    EXPECT_FALSE(try_select(a.receive(), b.receive()).has_value());
    EXPECT_EQ(try_select(a.send(1), b.send(2))->index(), 1U);
    auto sender = start([](Channel<int>& c) -> Coro<void> { co_await c.send(3); }(a), 1);
    const auto which = try_select(a.receive(), b.receive());
    EXPECT_EQ(std::get<0>(*which), 3);
    EXPECT_EQ(std::get<1>(*try_select(a.receive(), b.receive())), 2);
    t.sim.loop.call_soon([&] { EXPECT_EQ(try_select(b.send(4))->index(), 0U); });
    co_await sender;
    EXPECT_EQ(co_await b.receive(), 4);
    EXPECT_EQ(a.waiting_receivers() + b.waiting_receivers(), 0U);
  }(*this));
}

TEST_F(SelectTest, that_never_has_to_wait_gives_way_now_and_then_and_loses_nothing) {
  sim.run([](SelectTest& t) -> Coro<void> {
    Channel<int> a(Channel<int>::unbounded);
    Channel<int> b(1);
    for (int i = 0; i < 1000; ++i) a.try_send(i);
    int taken = 0;
    const auto spinner = create_task([](SelectTest& test, Channel<int>& x, Channel<int>& y, int& n) -> Coro<void> {
      for (int i = 0; i < 1000; ++i) {
        const auto which = co_await select(y.receive(), x.receive());
        EXPECT_EQ(std::get<1>(which), i);
        ++n;
        test.sim.driver.advance(1us);
      }
    }(t, a, b, taken), {.priority = 1});
    co_await sleep(10us);
    EXPECT_TRUE(task_is_runnable(spinner));
    spinner.cancel();
    co_await sleep(1ms);
    EXPECT_GT(taken, 0);
    EXPECT_EQ(a.size(), static_cast<std::size_t>(1000 - taken));
  }(*this));
}

TEST_F(SelectTest, allocates_nothing_in_steady_state) {
  sim.run([]() -> Coro<void> {
    Channel<int> a(1);
    Channel<int> b(0);
    auto sender = create_task([](Channel<int>& x, Channel<int>& y) -> Coro<void> {
      for (int i = 0; i < 1000; ++i) co_await select(x.send(i), y.send(i));
    }(a, b));
    std::size_t before = 0;
    for (int i = 0; i < 1000; ++i) {
      if (i == 100) before = allocations();
      const auto which = co_await select(b.receive(), a.receive());
      EXPECT_TRUE(which.index() == 0 || std::get<1>(which));
    }
    EXPECT_EQ(allocations() - before, 0U);
    co_await sender;
  }());
}

}  // namespace
}  // namespace heirloop::testing
