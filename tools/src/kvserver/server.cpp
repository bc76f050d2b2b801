#include "kvserver/server.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace kv {

namespace hl = heirloop;
using namespace std::chrono_literals;

namespace {
// Bytes of replies that are sent before the next request is answered.
constexpr std::size_t out_limit = 256 * 1024;
constexpr int requests_per_step = 64;  // of one connection, before others that are as urgent come
constexpr std::size_t unread_limit = std::size_t{1} << 30;  // bytes of one request
constexpr auto drain_limit = 5s;

/// As many descriptors as the system allows: a connection takes one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}
}  // namespace

Server::Connection::Connection(Server& owner, hl::TcpStream peer)
    : server(owner), task(hl::current_task()), stream(std::move(peer)) {
  session.id = server.next_client_++;
  server.clients_.push_back(this);
}

Server::Connection::~Connection() {
  auto& clients = server.clients_;
  *std::find(clients.begin(), clients.end(), this) = clients.back();
  clients.pop_back();
}

Server::Server(const Options& options) : options_(options), housekeeping_(options_, store_, keys_) {
  executor_.emplace(store_, nullptr, hooks());
  if (!options_.append_only) return;
  journal_.emplace(options_, *executor_, store_, keys_);
  executor_->record_to(&journal_->log());
}

hl::Coro<int> Server::run() {
  raise_descriptor_limit();
  if (journal_) co_await journal_->start();
  auto listener = co_await listen();
  port_ = listener.local_port();
  housekeeping_.start();
  auto accepting =
      hl::create_task(accept_clients(listener), {.name = "accept", .priority = hl::priority::high});
  std::printf("ready port=%u\n", static_cast<unsigned>(port_));
  std::fflush(stdout);

  try {
    co_await hl::drain_requested();
  } catch (const hl::Cancelled&) {
    // SIGINT; what was acknowledged is saved all the same. A second one ends the process at once.
  }
  spdlog::info("draining: {} connections", clients_.size());
  draining_ = true;
  accepting.cancel();
  co_await drain();
  if (journal_) co_await journal_->stop();
  co_return journal_ && journal_->failing() ? 1 : 0;
}

hl::Coro<hl::TcpListener> Server::listen() {
  std::string why;
  try {
    auto listener = co_await hl::TcpListener::bind(options_.bind, options_.port);
    co_return listener;
  } catch (const std::system_error& e) {
    why = e.what();
  }
  throw std::runtime_error(why + "; choose another --port or --bind");
}

hl::Coro<void> Server::accept_clients(hl::TcpListener& listener) {
  for (;;) {
    std::string refusal;
    try {
      auto peer = co_await listener.accept();
      if (clients_.size() >= options_.max_clients) {
        ++refused_;
        hl::create_task(refuse(std::move(peer)), {.name = "refusal"});
      } else {
        ++accepted_;
        hl::create_task(serve(std::move(peer)),
                        {.name = "client", .priority = hl::priority::high, .eager_start = true});
      }
    } catch (const std::system_error& e) {
      refusal = e.what();  // out of descriptors, for one: those who are connected go on
    }
    if (!refusal.empty()) {
      spdlog::warn("can't accept: {}", refusal);
      co_await hl::sleep(100ms);
    }
  }
}

hl::Coro<void> Server::refuse(hl::TcpStream peer) {
  try {
    co_await peer.write("-ERR max number of clients reached\r\n");
  } catch (const std::system_error&) {
    // it has gone already
  }
}

hl::Coro<void> Server::serve(hl::TcpStream peer) {
  Connection client(*this, std::move(peer));
  try {
    while (!client.closing) {
      bool more = false;
      client.waits_for_request = true;
      try {
        more = co_await client.stream.fill(unread_limit);
      } catch (const hl::Cancelled&) {
        if (!draining_) throw;
        more = !client.stream.unread().empty();  // came together with the request to drain: is answered
      }
      client.waits_for_request = false;
      if (!more) break;
      co_await answer(client);
      if (draining_) break;
    }
  } catch (const std::system_error&) {
    // This peer is gone; the service is not.
  } catch (const std::bad_alloc&) {
    spdlog::warn("out of memory: a connection is closed");
  }
}

/// Answers every whole request that has arrived.
hl::Coro<void> Server::answer(Connection& client) {
  for (bool more = true; more && !client.closing;) {
    std::optional<hl::LockGuard> held = keys_.try_acquire();
    if (!held) held = co_await wait_for_keys();
    more = execute_ready(client);
    held->release();
    if (client.has_recorded) {
      client.has_recorded = false;
      if (journal_->replies_wait()) {
        const bool durable = co_await journal_->durable();
        if (!durable) co_return void(client.closing = true);  // what was not stored is not acknowledged
      }
    }
    if (!client.out.empty()) {
      co_await client.stream.write(client.out);
      client.out.clear();
    }
    if (more) co_await hl::checkpoint();
  }
}

/// Executes requests until none is whole or the step has done its share; true when there may be more.
bool Server::execute_ready(Connection& client) {
  const std::int64_t now_ms = unix_time_ms();
  for (int requests = 0; !client.closing; ++requests) {
    if (requests == requests_per_step || client.out.size() >= out_limit) return true;
    const Parser::Result parsed = client.parser.parse(client.stream.unread());
    if (parsed.status == Parser::Status::need_more) {
      client.stream.consume(parsed.consumed);
      return false;
    }
    if (parsed.status == Parser::Status::error) {
      put_error(client.out, client.parser.error());
      client.closing = true;
      return false;
    }
    const Next next = executor_->execute(client.parser.args(), client.session, now_ms, client.out);
    if (journal_ && journal_->note_records()) client.has_recorded = true;
    client.stream.consume(parsed.consumed);
    if (next == Next::close) client.closing = true;
    if (next == Next::shutdown) {
      client.closing = true;
      hl::request_drain();
    }
    if (next == Next::rewrite && journal_) journal_->rewrite();
  }
  return false;
}

/// The lock is taken: waits for it, and counts what runs meanwhile.
hl::Coro<hl::LockGuard> Server::wait_for_keys() {
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t steps = housekeeping_.steps();
  auto held = co_await keys_.acquire();
  lock_wait_.record(std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
  lock_wait_steps_max_ = std::max(lock_wait_steps_max_, housekeeping_.steps() - steps);
  co_return held;
}

/// Those who wait for a request are let go; the others get their replies first.
hl::Coro<void> Server::drain() {
  const auto limit = hl::loop_time() + drain_limit;
  while (!clients_.empty() && hl::loop_time() < limit) {
    for (Connection* client : clients_) {
      if (std::exchange(client->waits_for_request, false)) client->task.cancel("the server drains");
    }
    co_await hl::sleep(1ms);
  }
}

}  // namespace kv
