// Channels and select, stopped at every suspension and at every moment between wake-up and run: no item is lost or doubled.
#include <heirloop/sync/select.hpp>

#include "support/suspension_harness.hpp"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

namespace heirloop::testing {
namespace {

using namespace std::chrono_literals;

/// What was sent and what was received, and by whom: every item that was sent is received once, or left in the channel.
struct Items {
  std::map<int, int> sent;
  std::map<int, int> received;

  /// In both forms.
  Coro<void> send(Channel<int>& channel, int item) {
    if (item % 2 == 0) {
      auto sending = channel.send(item);
      co_await note(sending, channel, item);
    } else {
      int from = item;
      auto sending = channel.send_from(from);
      co_await note(sending, channel, item);
    }
  }
  template <class Sending>
  Coro<void> note(Sending& sending, const Channel<int>& channel, int item) {
    std::exception_ptr stopped;
    try {
      co_await sending;
      ++sent[item];
      EXPECT_TRUE(sending.sent());
    } catch (...) {
      stopped = std::current_exception();
      if (sending.sent()) {
        EXPECT_EQ(channel.capacity(), 0U) << "only a rendezvous can be over before the sender runs";
        ++sent[item];
      }
    }
    if (stopped) std::rethrow_exception(stopped);
  }
  Coro<void> receive(Channel<int>& channel) {
    const std::optional<int> item = co_await channel.receive();
    EXPECT_TRUE(item.has_value());
    if (item) ++received[*item];
  }
  void drain(Channel<int>& channel) {
    while (const std::optional<int> item = channel.try_receive()) ++received[*item];
    EXPECT_EQ(sent, received);
    for (const auto& [item, times] : received) EXPECT_EQ(times, 1) << item;
    EXPECT_EQ(channel.waiting_receivers(), 0U);
    EXPECT_EQ(channel.waiting_senders(), 0U);
  }
};

/// The victim sends into a channel that is full most of the time, among others.
template <std::size_t capacity>
struct SendScene {
  Channel<int> channel{capacity};
  Items items;

  Coro<void> operate() {
    for (const int item : {1, 2, 3}) co_await items.send(channel, item);
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> others;
    for (const double value : {0.5, 3.0}) {
      others.push_back(create_task(items.send(channel, 100 + static_cast<int>(value * 10)),
                                   {.priority = value, .eager_start = true}));
    }
    for (int i = 0; i < 8; ++i) {
      co_await sleep(1ms);
      if (const auto item = channel.try_receive()) ++items.received[*item];
    }
    for (const auto& task : others) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(items.sent.size(), ending == Ending::value ? 5U : items.sent.size());
    items.drain(channel);
  }
};

TEST(StoppedChannel, send) {
  stop_in_both_states<SendScene<1>>();
  stop_in_both_states<SendScene<2>>();
}

TEST(StoppedChannel, send_in_a_rendezvous) { stop_in_both_states<SendScene<0>>(); }

/// The victim receives from a channel that is empty most of the time, among others.
template <std::size_t capacity>
struct ReceiveScene {
  Channel<int> channel{capacity};
  Items items;

  Coro<void> operate() {
    for (int i = 0; i < 3; ++i) co_await items.receive(channel);
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> others;
    for (const double value : {0.5, 3.0}) {
      others.push_back(create_task(items.receive(channel), {.priority = value, .eager_start = true}));
    }
    for (int item = 0; item < 5; ++item) {
      co_await sleep(1ms);
      if (channel.try_send(item) == TrySendResult::sent) ++items.sent[item];
    }
    for (const auto& task : others) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    EXPECT_EQ(items.received.size(), ending == Ending::value ? 5U : items.received.size());
    items.drain(channel);
  }
};

TEST(StoppedChannel, receive) {
  stop_in_both_states<ReceiveScene<1>>();
  stop_in_both_states<ReceiveScene<2>>();
}

TEST(StoppedChannel, receive_in_a_rendezvous) { stop_in_both_states<ReceiveScene<0>>(); }

/// Two stages: what the victim takes from one channel it sends on; what it holds when it is stopped is known.
template <std::size_t capacity>
struct PipeScene {
  Channel<int> in{capacity};
  Channel<int> out{capacity};
  Items before;
  Items behind;
  std::map<int, int> dropped;

  Coro<void> operate() {
    while (const std::optional<int> item = co_await in.receive()) {
      ++before.received[*item];
      std::exception_ptr stopped;
      try {
        co_await behind.send(out, *item);
      } catch (...) {
        stopped = std::current_exception();
      }
      if (stopped) {
        if (!behind.sent.contains(*item)) ++dropped[*item];
        std::rethrow_exception(stopped);
      }
    }
  }
  Coro<void> feed() {
    for (int item = 0; item < 4; ++item) {
      if (item % 2 == 0) co_await sleep(1ms);
      co_await before.send(in, item);
    }
    in.close();
  }
  Coro<void> help() {
    const auto feeder = create_task(feed(), {.priority = 2.0});
    int last = -1;
    for (int i = 0; i < 20; ++i) {
      co_await sleep(1ms);
      if (const auto item = out.try_receive()) {
        EXPECT_GT(*item, last) << "the order survives";
        last = *item;
        ++behind.received[*item];
      }
      if (i >= 10) {
        while (const auto item = in.try_receive()) ++before.received[*item];  // the victim is gone or done
      }
    }
    co_await feeder;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    before.drain(in);
    behind.drain(out);
    EXPECT_LE(dropped.size(), ending == Ending::value ? 0U : 1U);
  }
};

TEST(StoppedChannel, pipe) {
  stop_in_both_states<PipeScene<1>>();
  stop_in_both_states<PipeScene<0>>();
}

/// The victim sends into one channel or receives from either of two, among others in each.
template <std::size_t capacity>
struct SelectScene {
  Channel<int> a{capacity};
  Channel<int> b{capacity};
  Channel<int> out{capacity};
  Items of_a;
  Items of_b;
  Items of_out;

  Coro<void> operate() {
    int next = 500;
    for (int i = 0; i < 6; ++i) {
      int item = next;
      std::exception_ptr stopped;
      try {
        const auto which = co_await select(a.receive(), out.send_from(item), b.receive());
        if (which.index() == 0) ++of_a.received[std::get<0>(which).value()];
        if (which.index() == 1) ++of_out.sent[next++];
        if (which.index() == 2) ++of_b.received[std::get<2>(which).value()];
      } catch (...) {
        stopped = std::current_exception();
      }
      if (stopped) {
        // In a rendezvous the item may have been taken before the select could run.
        if (capacity == 0 && of_out.received.contains(next)) ++of_out.sent[next];
        std::rethrow_exception(stopped);
      }
    }
  }
  Coro<void> help() {
    std::vector<PriorityTask<void>> others;
    for (const double value : {0.5, 3.0}) {
      const int item = static_cast<int>(value * 10);
      others.push_back(create_task(of_a.receive(a), {.priority = value}));
      others.push_back(create_task(of_b.receive(b), {.priority = value}));
      others.push_back(create_task(of_out.send(out, item), {.priority = value}));
    }
    for (int i = 0; i < 24; ++i) {
      co_await sleep(1ms);
      if (i % 3 == 0 && a.try_send(i) == TrySendResult::sent) ++of_a.sent[i];
      if (i % 3 == 1 && b.try_send(i) == TrySendResult::sent) ++of_b.sent[i];
      if (i % 3 == 2) {
        if (const auto item = out.try_receive()) ++of_out.received[*item];
      }
    }
    for (const auto& task : others) co_await task;
  }
  void check(Ending ending) {
    EXPECT_NE(ending, Ending::other);
    of_a.drain(a);
    of_b.drain(b);
    of_out.drain(out);
  }
};

TEST(StoppedChannel, select) {
  stop_in_both_states<SelectScene<1>>();
  stop_in_both_states<SelectScene<0>>();
}

}  // namespace
}  // namespace heirloop::testing
