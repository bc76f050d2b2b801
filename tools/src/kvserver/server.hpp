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

#include "common/histogram.hpp"
#include "kvserver/journal.hpp"

#include <sys/resource.h>
#include <sys/socket.h>

#include <map>

namespace kv {

class Server {
 public:
  /// Recovers the keys. Errors: DamagedLog, std::system_error.
  explicit Server(const Options& options) : options_(options) {
    if (options_.append_only) journal_.emplace(options_, executor_, store_, keys_);
  }

  /// Serves until the program is asked to drain, or a client sends SHUTDOWN; the exit status.
  hl::Coro<int> run() {
    raise_descriptor_limit();
    if (journal_) co_await journal_->start();
    hl::TcpListener listener;
    try {
      listener = co_await hl::TcpListener::bind(options_.bind, options_.port);
    } catch (const std::system_error& e) {
      throw std::runtime_error(fmt::format("{}; choose another --port or --bind", e.what()));
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
    spdlog::info("draining: {} connections", clients_.size());
    draining_ = true;
    accepting.cancel();
    // Those who wait for a request read the end of their streams; the others get their replies first.
    for (const auto& [id, client] : clients_) ::shutdown(client->stream.native_handle(), SHUT_RD);
    const auto limit = hl::loop_time() + drain_limit;
    while (!clients_.empty() && hl::loop_time() < limit) co_await hl::sleep(1ms);
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

  /// Among `clients_` as long as it lives.
  struct Connection {
    Connection(Server& its_server, hl::TcpStream peer)
        : server(its_server), stream(std::move(peer)), session{.id = ++its_server.accepted_, .name = {}} {
      server.clients_.emplace(session.id, this);
    }
    ~Connection() { server.clients_.erase(session.id); }

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
      if (clients_.size() >= options_.max_clients) {
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
      const bool waits = journal_ && journal_->replies_wait() && journal_->recorded() != recorded;
      // What was not stored is not acknowledged.
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
    for (int requests = 0; !client.closing; ++requests) {
      if (requests == requests_per_step || client.out.size() >= out_limit) return true;
      const Parser::Result parsed = client.parser.parse(client.stream.unread());
      Next next = Next::close;  // as after an error
      if (parsed.status == Parser::Status::error) {
        put_error(client.out, client.parser.error());
      } else if (parsed.status == Parser::Status::request) {
        next = executor_.execute(client.parser.args(), client.session, now_ms, client.out);
      }
      client.stream.consume(parsed.consumed);
      if (parsed.status == Parser::Status::need_more) return false;
      client.closing = next == Next::close || next == Next::shutdown;
      if (next == Next::shutdown) hl::request_drain();
      if (next == Next::rewrite) journal_->rewrite();
    }
    return false;
  }

  /// The lock is taken: waits for it, and counts what runs meanwhile.
  hl::Coro<hl::LockGuard> wait_for_keys() {
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t steps = housekeeping_steps_;
    auto held = co_await keys_.acquire();
    lock_wait_.record(std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count());
    lock_wait_steps_max_ = std::max(lock_wait_steps_max_, housekeeping_steps_ - steps);
    co_return held;
  }

  // ---- Housekeeping: what keeps the thread busy while requests are answered ----

  void start_housekeeping() {
    const auto start = [](hl::Coro<void> coro, const char* name, double priority = hl::priority::low) {
      hl::create_task(std::move(coro), {.name = name, .priority = priority});
    };
    start(sweep(), "sweep");
    for (std::uint32_t i = 0; i < options_.housekeeping; ++i) start(work(1, 0ms, nullptr), "housekeeping");
    if (options_.hold_lock_steps > 0) start(work(options_.hold_lock_steps, 2ms, &keys_), "lock holder");
    for (std::uint32_t i = 0; i < options_.flood; ++i) {
      start(work(20, 5ms, nullptr), "flood", hl::priority::normal);
    }
  }

  /// Removes expired keys.
  hl::Coro<void> sweep() {
    for (;;) {
      auto held = co_await keys_.acquire();  // a request that waits for it lends its priority
      ++housekeeping_steps_;
      const Store::Swept swept = store_.sweep(sweep_budget, unix_time_ms());
      held.release();
      co_await hl::sleep(swept.round_done ? sweep_pause : 0ms);
    }
  }

  /// Synthetic work to measure with: so many steps of `step_us` in a row, under the lock if there is one, and
  /// a pause.
  hl::Coro<void> work(std::uint32_t steps, std::chrono::milliseconds pause, hl::PriorityLock* lock) {
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

  // ---- What INFO, CLIENT LIST and CONFIG show ----

  Hooks hooks() {
    Hooks hooks;
    hooks.info = [this](Args sections, std::string& text) { info(sections, text); };
    hooks.clients = [this](const Session* only, std::string& text) {
      for (const auto& [id, client] : clients_) {
        if (only != nullptr && only != &client->session) continue;
        fmt::format_to(std::back_inserter(text), "id={} addr={} name={} resp=2\n", id,
                       client->stream.peer_address().to_string(), client->session.name);
      }
    };
    hooks.reset_statistics = [this] {
      lock_wait_.reset();
      lock_wait_steps_max_ = 0;
    };
    const auto yes_or_no = [](bool value) { return value ? "yes" : "no"; };
    hooks.config = {{"save", ""},
                    {"appendonly", yes_or_no(options_.append_only)},
                    {"appendfsync", sync_names[static_cast<std::size_t>(options_.sync)]},
                    {"dir", options_.dir},
                    {"port", std::to_string(options_.port)},
                    {"bind", options_.bind},
                    {"maxclients", std::to_string(options_.max_clients)},
                    {"maxmemory", "0"},
                    {"databases", "1"},
                    {"policy", std::string(hl::to_string(options_.runtime.policy))},
                    {"inheritance", yes_or_no(options_.runtime.inheritance)}};
    return hooks;
  }

  void info(Args wanted, std::string& text) const {
    // A section is shown by its name, by one of the words for all, or because none was named.
    const auto section = [&]<class... Values>(std::string_view name, fmt::format_string<Values...> format,
                                              Values&&... values) {
      const auto names_it = [&](std::string_view word) {
        return is_one_of(word, {name, "all", "everything", "default"});
      };
      if (!wanted.empty() && std::none_of(wanted.begin(), wanted.end(), names_it)) return;
      text += fmt::format("# {}\r\n{}\r\n", name, fmt::format(format, std::forward<Values>(values)...));
    };
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const Executor::Counts& counts = executor_.counts();
    section("Server",
            "redis_version:7.0.0\r\nserver_name:heirloop-kvserver\r\nprocess_id:{}\r\ntcp_port:{}\r\n",
            ::getpid(), port_);
    section("Clients", "connected_clients:{}\r\nmaxclients:{}\r\n", clients_.size(), options_.max_clients);
    section("Persistence",
            "loading:0\r\naof_enabled:{:d}\r\naof_rewrite_in_progress:{:d}\r\naof_last_write_status:{}\r\n"
            "aof_current_size:{}\r\n",
            journal_.has_value(), journal_ && journal_->rewriting(),
            journal_ && journal_->failing() ? "err" : "ok", journal_ ? journal_->file_bytes() : 0);
    section("Stats",
            "total_connections_received:{}\r\nrejected_connections:{}\r\ntotal_commands_processed:{}\r\n"
            "keyspace_hits:{}\r\nkeyspace_misses:{}\r\n",
            accepted_, refused_, counts.commands, counts.hits, counts.misses);
    section("CPU", "used_cpu_sys:{:.6f}\r\nused_cpu_user:{:.6f}\r\n", seconds(usage.ru_stime),
            seconds(usage.ru_utime));
    section("heirloop",
            "policy:{}\r\ninheritance:{}\r\ndispatches:{}\r\nhousekeeping_steps:{}\r\n"
            "lock_waits:{}\r\nlock_wait_steps_max:{}\r\nlock_wait_p99_us:{:.1f}\r\n",
            hl::to_string(options_.runtime.policy), options_.runtime.inheritance ? "on" : "off",
            hl::Loop::current().dispatches(), housekeeping_steps_, lock_wait_.count(), lock_wait_steps_max_,
            static_cast<double>(lock_wait_.percentile(0.99)) / 1e3);
    const auto keys =
        fmt::format("db0:keys={},expires={},avg_ttl=0\r\n", store_.size(), store_.with_deadline());
    section("Keyspace", "{}", store_.size() > 0 ? keys : "");
  }

  const Options options_;
  Store store_;
  hl::PriorityLock keys_{"keys"};
  Executor executor_{store_, nullptr, hooks()};
  std::optional<Journal> journal_;

  std::map<std::int64_t, Connection*> clients_;  // by the number in the session
  std::int64_t accepted_ = 0;
  std::int64_t refused_ = 0;
  std::uint16_t port_ = 0;
  bool draining_ = false;

  std::uint64_t housekeeping_steps_ = 0;  // each less urgent than any request by its own priority
  // Of requests that found the keyspace lock taken: how long they waited for it, and how many steps of
  // housekeeping ran meanwhile.
  tools::Histogram lock_wait_;
  std::uint64_t lock_wait_steps_max_ = 0;
};

}  // namespace kv
