// The service: connections, requests under the keyspace lock, housekeeping, and the drain.
//
// Owns: the keys, the lock that protects them, the journal and the connections. `main` runs it.
//
//   socket ──fill──▶ inbox ──Parser──▶ request ──Executor, under the lock──▶ reply ──(durable)──▶ write ──▶
//   socket
//
// 1. The keys are touched by who holds `keys_`; a request never holds it across a wait.
// 2. A reply is sent after its record is as durable as `--appendfsync` promises.
// 3. Requests run at HIGH; housekeeping at LOW inherits that while it holds what a request waits for.
#pragma once

#include "kvserver/journal.hpp"

#include <sys/resource.h>
#include <sys/socket.h>

namespace kv {

class Server {
 public:
  /// Recovers the keys. Errors: DamagedLog, std::system_error.
  explicit Server(const Options& options) : options_(options) {
    if (options_.append_only) journal_.emplace(options_, executor_, keys_);
  }

  /// Serves until the program is asked to drain, or a client sends SHUTDOWN; the exit status.
  hl::Coro<int> run() {
    raise_descriptor_limit();
    if (journal_) co_await journal_->start();
    hl::TcpListener listener;
    // Of a server that was killed the kernel lets the port go a moment later.
    for (int more_tries = 5; !listener.is_open(); --more_tries) {
      try {
        listener = co_await hl::TcpListener::bind(options_.bind, options_.port);
      } catch (const std::system_error& e) {
        if (more_tries == 0 || e.code() != std::errc::address_in_use) {
          throw std::runtime_error(fmt::format("{}; choose another --port or --bind", e.what()));
        }
      }
      if (!listener.is_open()) co_await hl::sleep(20ms);
    }
    port_ = listener.local_port();
    start_housekeeping();
    auto accepting = hl::create_task(accept(listener), {.name = "accept", .priority = hl::priority::high});
    fmt::print("ready port={}\n", port_);
    std::fflush(stdout);

    try {
      co_await hl::drain_requested();
    } catch (const hl::Cancelled&) {
      // SIGINT; what was acknowledged is saved all the same. A second one ends the process at once.
    }
    spdlog::info("draining: {} connections", executor_.sessions.size());
    draining_ = true;
    accepting.cancel();
    // Those who wait for a request read the end of their streams; the others get the replies to what was
    // read.
    for (const auto& [id, session] : executor_.sessions) ::shutdown(session->socket, SHUT_RD);
    const auto limit = hl::loop_time() + drain_limit;
    while (!executor_.sessions.empty() && hl::loop_time() < limit) co_await hl::sleep(1ms);
    if (journal_) co_await journal_->stop();
    co_return journal_ && journal_->failing() ? 1 : 0;
  }

 private:
  static constexpr std::size_t out_limit = 256 * 1024;  // bytes of replies sent before the next request
  static constexpr int requests_per_step = 64;          // of one client, before others that are as urgent
  static constexpr std::size_t unread_limit = std::size_t{1} << 30;  // bytes of one request
  static constexpr auto drain_limit = 5s;
  static constexpr std::size_t sweep_budget = 500;  // buckets and keys a step, some 50 µs
  static constexpr auto sweep_pause = 100ms;        // between two rounds

  // ---- Connections ----

  /// Its session is among those that the commands know as long as it lives.
  struct Connection {
    Connection(Server& its_server, hl::TcpStream peer)
        : server(its_server),
          stream(std::move(peer)),
          session{++server.accepted_, "", stream.peer_address().to_string(), stream.native_handle()} {
      server.executor_.sessions.emplace(session.id, &session);
    }
    ~Connection() { server.executor_.sessions.erase(session.id); }

    Server& server;
    hl::TcpStream stream;
    Session session;
    Parser parser;
    std::string out;
    bool closing = false;
  };

  /// As many descriptors as the system allows: a connection takes one.
  static void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }

  hl::Coro<void> accept(hl::TcpListener& listener) {
    for (;;) {
      bool accepted = true;
      try {
        auto peer = co_await listener.accept();
        hl::create_task(serve(std::move(peer)),
                        {.name = "client", .priority = hl::priority::high, .eager_start = true});
      } catch (const std::system_error& e) {
        spdlog::warn("can't accept: {}", e.what());
        accepted = false;  // out of descriptors, for one: those who are connected go on
      }
      if (!accepted) co_await hl::sleep(100ms);
    }
  }

  hl::Coro<void> serve(hl::TcpStream peer) {
    try {
      if (executor_.sessions.size() >= options_.max_clients) {
        ++refused_;
        co_await peer.write("-ERR max number of clients reached\r\n");
        co_return;
      }
      Connection client(*this, std::move(peer));
      while (co_await client.stream.fill(unread_limit)) {
        co_await answer(client);
        if (client.closing || draining_) break;
      }
    } catch (const std::system_error&) {
      // This peer is gone; the service is not.
    } catch (const std::bad_alloc&) {
      spdlog::warn("out of memory: a connection is closed");
    }
  }

  /// Answers every whole request that has arrived.
  hl::Coro<void> answer(Connection& client) {
    for (bool more = true; more && !client.closing;) {
      std::optional<hl::LockGuard> held = keys_.try_acquire();
      if (!held) held = co_await wait_for_keys();
      const std::uint64_t recorded = journal_ ? journal_->recorded() : 0;
      more = execute_ready(client);
      held->release();
      // What is not stored is neither acknowledged nor shown.
      const bool waits = journal_ && journal_->reply_waits(recorded);
      if (waits && !co_await journal_->durable()) co_return void(client.closing = true);
      if (!client.out.empty()) {
        co_await client.stream.write(client.out);
        client.out.clear();
      }
      if (more) co_await hl::checkpoint();
    }
  }

  /// Executes requests until none is whole or the step has done its share; true when there may be more.
  bool execute_ready(Connection& client) {
    const std::int64_t now_ms = unix_time_ms();
    std::string_view rest = client.stream.unread();
    const std::size_t unread = rest.size();
    const auto may_go_on = [&] { return !client.closing && client.out.size() < out_limit; };
    bool more = true;
    for (int requests = 0; more && may_go_on() && requests < requests_per_step; ++requests) {
      Next next = Next::close;  // as after what is no request
      try {
        more = client.parser.parse(rest);
        next = Next::go_on;
        if (more) next = executor_.execute(client.parser.args(), client.session, now_ms, client.out);
      } catch (const Refused& refused) {
        put_error(client.out, refused.text);
      }
      client.closing = next == Next::close || next == Next::shutdown;
      if (next == Next::shutdown) hl::request_drain();
      if (next == Next::rewrite) journal_->rewrite();
    }
    client.stream.consume(unread - rest.size());
    return more;
  }

  /// The lock is taken: waits for it, and counts what runs meanwhile.
  hl::Coro<hl::LockGuard> wait_for_keys() {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t steps = housekeeping_steps_;
    auto held = co_await keys_.acquire();
    Statistics& counts = executor_.statistics;
    counts.lock_wait.record(std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
    counts.lock_wait_steps_max = std::max(counts.lock_wait_steps_max, housekeeping_steps_ - steps);
    co_return held;
  }

  // ---- Housekeeping: what keeps the thread busy while requests are answered ----

  void start_housekeeping() {
    const auto start = [](hl::Coro<void> coro, const char* name, double priority = hl::priority::low) {
      hl::create_task(std::move(coro), {.name = name, .priority = priority});
    };
    start(sweep(), "sweep");
    for (std::uint32_t i = 0; i < options_.housekeeping; ++i) start(work(1, 0ms), "housekeeping");
    if (options_.hold_lock_steps > 0) start(work(options_.hold_lock_steps, 2ms, &keys_), "lock holder");
    for (std::uint32_t i = 0; i < options_.flood; ++i) start(work(20, 5ms), "flood", hl::priority::normal);
  }

  /// Removes expired keys.
  hl::Coro<void> sweep() {
    for (;;) {
      auto held = co_await take_within_step(keys_);
      ++housekeeping_steps_;
      const bool round_done = store_.sweep(sweep_budget, unix_time_ms());
      held.release();
      co_await hl::sleep(round_done ? sweep_pause : 0ms);
    }
  }

  /// Synthetic work to measure with: so many steps of `step_us` in a row, under the lock if there is one, and
  /// a pause.
  hl::Coro<void> work(std::uint32_t steps, std::chrono::milliseconds pause,
                      hl::PriorityLock* lock = nullptr) {
    for (;;) {
      std::optional<hl::LockGuard> held;
      if (lock != nullptr) held = co_await lock->acquire();
      for (std::uint32_t i = 0; i < steps; ++i) {
        ++housekeeping_steps_;
        const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(options_.step_us);
        while (std::chrono::steady_clock::now() < end) {
        }
        co_await hl::sleep(0);
      }
      held.reset();
      if (pause > 0ms) co_await hl::sleep(pause);
    }
  }

  // ---- What INFO shows ----

  Pairs info() const {
    const Statistics& counts = executor_.statistics;
    const bool fails = journal_ && journal_->failing(), rewrites = journal_ && journal_->rewriting();
    const auto keys =
        fmt::format("db0:keys={},expires={},avg_ttl=0\r\n", store_.size(), store_.with_deadline());
    return {
        {"Server", fmt::format("redis_version:7.0.0\r\nserver_name:heirloop-kvserver\r\nprocess_id:{}\r\n"
                               "tcp_port:{}\r\n",
                               ::getpid(), port_)},
        {"Clients", fmt::format("connected_clients:{}\r\nmaxclients:{}\r\n", executor_.sessions.size(),
                                options_.max_clients)},
        {"Persistence", fmt::format("loading:0\r\naof_enabled:{:d}\r\naof_rewrite_in_progress:{:d}\r\n"
                                    "aof_last_write_status:{}\r\naof_current_size:{}\r\n",
                                    options_.append_only, rewrites, fails ? "err" : "ok",
                                    journal_ ? journal_->file_bytes() : 0)},
        {"Stats", fmt::format("total_connections_received:{}\r\nrejected_connections:{}\r\n"
                              "total_commands_processed:{}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n",
                              accepted_, refused_, counts.commands, counts.hits, counts.misses)},
        {"heirloop",
         fmt::format("policy:{}\r\ninheritance:{}\r\ndispatches:{}\r\nhousekeeping_steps:{}\r\n"
                     "lock_waits:{}\r\nlock_wait_steps_max:{}\r\nlock_wait_p99_us:{:.1f}\r\n",
                     hl::to_string(options_.runtime.policy), options_.runtime.inheritance ? "on" : "off",
                     hl::Loop::current().dispatches(), housekeeping_steps_, counts.lock_wait.count(),
                     counts.lock_wait_steps_max,
                     static_cast<double>(counts.lock_wait.percentile(0.99)) / 1e3)},
        {"Keyspace", store_.size() > 0 ? keys : ""},
    };
  }

  const Options options_;
  Store store_;
  hl::PriorityLock keys_{"keys"};
  Executor executor_{store_, nullptr, [this] { return info(); }, options_.config};
  std::optional<Journal> journal_;

  std::int64_t accepted_ = 0;
  std::int64_t refused_ = 0;
  std::uint16_t port_ = 0;
  bool draining_ = false;

  std::uint64_t housekeeping_steps_ = 0;  // each less urgent than any request by its own priority
};

}  // namespace kv
