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

#include <heirloop/heirloop.hpp>

#include "common/histogram.hpp"
#include "kvserver/commands.hpp"
#include "kvserver/housekeeping.hpp"
#include "kvserver/journal.hpp"
#include "kvserver/options.hpp"
#include "kvserver/store.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace kv {

class Server {
 public:
  /// Recovers the keys. Errors: DamagedLog, std::system_error.
  explicit Server(const Options& options);

  /// Serves until the program is asked to drain, or a client sends SHUTDOWN; the exit status.
  heirloop::Coro<int> run();

 private:
  struct Connection {
    Server& server;
    heirloop::TaskRef task;
    Session session;
    heirloop::TcpStream stream;
    Parser parser;
    std::string out;
    bool waits_for_request = false;
    bool closing = false;
    bool has_recorded = false;

    Connection(Server& owner, heirloop::TcpStream peer);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
  };

  heirloop::Coro<heirloop::TcpListener> listen();
  heirloop::Coro<void> accept_clients(heirloop::TcpListener& listener);
  heirloop::Coro<void> serve(heirloop::TcpStream peer);
  static heirloop::Coro<void> refuse(heirloop::TcpStream peer);
  heirloop::Coro<void> answer(Connection& client);
  heirloop::Coro<heirloop::LockGuard> wait_for_keys();
  bool execute_ready(Connection& client);
  heirloop::Coro<void> drain();

  Hooks hooks();
  void info(Args sections, std::string& text) const;
  void reset_statistics();

  const Options options_;
  Store store_;
  heirloop::PriorityLock keys_{"keys"};
  std::optional<Executor> executor_;
  std::optional<Journal> journal_;
  Housekeeping housekeeping_;

  std::vector<Connection*> clients_;
  std::int64_t next_client_ = 1;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_ = 0;
  std::uint16_t port_ = 0;
  bool draining_ = false;

  // Of requests that found the keyspace lock taken: how long they waited for it, and how many steps of
  // housekeeping ran meanwhile.
  tools::Histogram lock_wait_;
  std::uint64_t lock_wait_steps_max_ = 0;
};

}  // namespace kv
