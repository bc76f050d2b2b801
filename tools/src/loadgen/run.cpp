#include "loadgen/run.hpp"

#include "common/resp.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <chrono>
#include <deque>
#include <memory>
#include <random>
#include <system_error>

namespace loadgen {

namespace hl = heirloop;
namespace resp = tools::resp;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

namespace {

struct Times {
  Clock::time_point measured_from;
  Clock::time_point load_ends;
  Clock::time_point drain_ends;
};

/// One connection: what was asked and not answered, and its two tasks.
class Connection {
 public:
  Connection(const Options& options, const Times& times, Tally& tally, hl::TcpStream stream,
             std::uint64_t seed)
      : options_(options),
        times_(times),
        tally_(tally),
        stream_(std::move(stream)),
        random_(seed),
        gap_s_(arrival_gap(options)) {}

  void start() {
    sender_ = hl::create_task(send(), {.name = "sender", .priority = hl::priority::high});
    receiver_ = hl::create_task(receive(), {.name = "receiver"});
  }

  /// Until the load is over and everything answered, or the drain is over.
  hl::Coro<void> finish() {
    const auto ended = [this] { return sender_.done() && (due_.empty() || receiver_.done()); };
    while (!ended() && Clock::now() < times_.drain_ends) co_await hl::sleep(1ms);
    ::shutdown(stream_.native_handle(), SHUT_RDWR);  // who still writes or reads sees the end
    co_await sender_;
    co_await receiver_;
    const auto now = Clock::now();
    for (const auto due : due_) {
      if (due < times_.measured_from) continue;
      tally_.latency.record(std::chrono::nanoseconds(now - due).count());
      ++tally_.unanswered;
    }
    last_answer_ = due_.empty() ? last_answer_ : now;
  }

  Clock::time_point last_answer() const { return last_answer_; }

 private:
  static double arrival_gap(const Options& options) { return options.connections / options.rate_rps; }

  hl::Coro<void> send() {
    std::exponential_distribution<double> gap(1.0 / gap_s_);
    const std::string value(options_.value_bytes, 'x');
    std::string request;
    auto due = Clock::now();
    bool connected = true;
    for (;;) {
      due += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(gap(random_)));
      if (due >= times_.load_ends) co_return;
      co_await hl::sleep_until(due);
      due_.push_back(due);
      const bool measured = due >= times_.measured_from;
      if (measured) ++tally_.due;
      if (!connected) continue;  // due all the same, and unanswered
      make_request(request, value);
      if (measured) tally_.own_delay.record(std::chrono::nanoseconds(Clock::now() - due).count());
      try {
        co_await stream_.write(request);
      } catch (const std::system_error&) {
        connected = false;
      }
    }
  }

  hl::Coro<void> receive() {
    try {
      while (co_await stream_.fill()) {
        for (;;) {
          const std::string_view bytes = stream_.unread();
          const std::size_t length = resp::reply_length(bytes);
          if (length == 0) break;
          answered(bytes[0] == '-');
          stream_.consume(length);
        }
      }
    } catch (const std::exception&) {
      // What is unanswered counts as that.
    }
  }

  void answered(bool error) {
    if (due_.empty()) throw std::runtime_error("the server sent a reply that nobody asked for");
    const auto due = due_.front();
    due_.pop_front();
    if (due < times_.measured_from) return;
    last_answer_ = Clock::now();
    tally_.latency.record(std::chrono::nanoseconds(last_answer_ - due).count());
    if (error) ++tally_.error_replies;
  }

  void make_request(std::string& out, const std::string& value) {
    const Command command = options_.mix.pick(random_());
    const std::string key = fmt::format("key:{:06}", random_() % options_.keys);
    out.clear();
    const std::size_t words = command == Command::ping ? 1 : command == Command::set ? 3 : 2;
    resp::put_array(out, words);
    resp::put_bulk(out, name_of(command));
    // Counters have keys of their own: the other values are no numbers.
    if (words > 1) resp::put_bulk(out, command == Command::incr ? "counter:" + key : key);
    if (words > 2) resp::put_bulk(out, value);
  }

  const Options& options_;
  const Times& times_;
  Tally& tally_;
  hl::TcpStream stream_;
  std::mt19937_64 random_;
  double gap_s_;
  std::deque<Clock::time_point> due_;  // of the requests that are not answered
  Clock::time_point last_answer_{};
  hl::PriorityTask<void> sender_;
  hl::PriorityTask<void> receiver_;
};

Clock::duration seconds(double count) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(count));
}

}  // namespace

hl::Coro<Tally> run_load(const Options& options) {
  Tally tally;
  tally.offered_rps = options.rate_rps;
  Times times{};
  std::mt19937_64 seeds(options.seed);
  std::vector<hl::TcpStream> streams;
  for (int i = 0; i < options.connections; ++i) {
    streams.push_back(co_await hl::TcpStream::connect(options.host, options.port));
  }
  const auto start = Clock::now();
  times.measured_from = start + seconds(options.warmup_seconds);
  times.load_ends = times.measured_from + seconds(options.seconds);
  times.drain_ends = times.load_ends + seconds(options.drain_seconds);
  std::vector<std::unique_ptr<Connection>> connections;
  for (auto& stream : streams) {
    connections.push_back(std::make_unique<Connection>(options, times, tally, std::move(stream), seeds()));
  }
  for (auto& connection : connections) connection->start();
  auto last_answer = times.load_ends;
  for (auto& connection : connections) {
    co_await connection->finish();
    last_answer = std::max(last_answer, connection->last_answer());
  }
  tally.measured_seconds = std::chrono::duration<double>(last_answer - times.measured_from).count();
  co_return tally;
}

}  // namespace loadgen
