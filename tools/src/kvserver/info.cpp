// What INFO, CLIENT LIST and CONFIG show of the server.
#include "kvserver/server.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <iterator>

namespace kv {

namespace hl = heirloop;

namespace {

/// Whether a section is wanted: by name, by one of the words for all, or because none was named.
bool wanted(Args sections, std::string_view name) {
  if (sections.empty()) return true;
  return std::any_of(sections.begin(), sections.end(), [&](std::string_view section) {
    const auto same = [&](std::string_view other) {
      return std::equal(section.begin(), section.end(), other.begin(), other.end(),
                        [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
    };
    return same(name) || same("all") || same("everything") || same("default");
  });
}

double cpu_seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

}  // namespace

Hooks Server::hooks() {
  Hooks hooks;
  hooks.info = [this](Args sections, std::string& text) { info(sections, text); };
  hooks.clients = [this](const Session* only, std::string& text) {
    for (const Connection* client : clients_) {
      if (only != nullptr && only != &client->session) continue;
      fmt::format_to(std::back_inserter(text), "id={} addr={} name={} resp=2\n", client->session.id,
                     client->stream.peer_address().to_string(), client->session.name);
    }
  };
  hooks.reset_statistics = [this] { reset_statistics(); };
  hooks.config = {{"save", ""},
                  {"appendonly", options_.append_only ? "yes" : "no"},
                  {"appendfsync", to_string(options_.sync)},
                  {"dir", options_.dir},
                  {"port", std::to_string(options_.port)},
                  {"bind", options_.bind},
                  {"maxclients", std::to_string(options_.max_clients)},
                  {"maxmemory", "0"},
                  {"databases", "1"},
                  {"policy", std::string(hl::to_string(options_.runtime.policy))},
                  {"inheritance", options_.runtime.inheritance ? "yes" : "no"}};
  return hooks;
}

void Server::reset_statistics() {
  lock_wait_.reset();
  lock_wait_steps_max_ = 0;
}

void Server::info(Args sections, std::string& text) const {
  const auto put = [&]<class... Values>(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(text), format, std::forward<Values>(values)...);
  };
  if (wanted(sections, "server")) {
    put("# Server\r\n"
        "redis_version:7.0.0\r\nserver_name:heirloop-kvserver\r\nprocess_id:{}\r\ntcp_port:{}\r\n\r\n",
        ::getpid(), port_);
  }
  if (wanted(sections, "clients")) {
    put("# Clients\r\n"
        "connected_clients:{}\r\nmaxclients:{}\r\n\r\n",
        clients_.size(), options_.max_clients);
  }
  if (wanted(sections, "persistence")) {
    put("# Persistence\r\n"
        "loading:0\r\naof_enabled:{}\r\naof_rewrite_in_progress:{}\r\naof_last_write_status:{}\r\n"
        "aof_current_size:{}\r\n\r\n",
        journal_ ? 1 : 0, journal_ && journal_->rewriting() ? 1 : 0,
        journal_ && journal_->failing() ? "err" : "ok", journal_ ? journal_->file_bytes() : 0);
  }
  if (wanted(sections, "stats")) {
    const Executor::Counts& counts = executor_->counts();
    put("# Stats\r\n"
        "total_connections_received:{}\r\nrejected_connections:{}\r\ntotal_commands_processed:{}\r\n"
        "keyspace_hits:{}\r\nkeyspace_misses:{}\r\n\r\n",
        accepted_, refused_, counts.commands, counts.hits, counts.misses);
  }
  if (wanted(sections, "cpu")) {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    put("# CPU\r\n"
        "used_cpu_sys:{:.6f}\r\nused_cpu_user:{:.6f}\r\n\r\n",
        cpu_seconds(usage.ru_stime), cpu_seconds(usage.ru_utime));
  }
  if (wanted(sections, "heirloop")) {
    put("# heirloop\r\n"
        "policy:{}\r\ninheritance:{}\r\ndispatches:{}\r\nhousekeeping_steps:{}\r\n"
        "lock_waits:{}\r\nlock_wait_steps_max:{}\r\nlock_wait_p99_us:{:.1f}\r\n\r\n",
        hl::to_string(options_.runtime.policy), options_.runtime.inheritance ? "on" : "off",
        hl::Loop::current().dispatches(), housekeeping_.steps(), lock_wait_.count(), lock_wait_steps_max_,
        static_cast<double>(lock_wait_.percentile(0.99)) / 1e3);
  }
  if (wanted(sections, "keyspace")) {
    put("# Keyspace\r\n");
    if (store_.size() > 0) put("db0:keys={},expires={},avg_ttl=0\r\n", store_.size(), store_.with_deadline());
  }
}

}  // namespace kv
