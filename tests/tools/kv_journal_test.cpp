// The journal of kvserver on a disk that fails: what could not be forced is never taken for durable, writes are refused
// until a rewrite has made the file whole, and a name that can't be forced is no failed rewrite.
#include "kvserver/aof.hpp"
#include "kvserver/commands.hpp"
#include "kvserver/journal.hpp"

#include "demo/process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

namespace hl = heirloop;
using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// What the disk does.
struct Disk {
  bool file_fails = false;   // forcing the file that has the name
  bool fresh_fails = false;  // forcing one that is being written by a rewrite
  int names_fail = 0;        // so many times
  int forced = 0;            // the file that has the name, with success
  std::function<void()> before_names;  // once
};

class FailingForcing final : public kv::Forcing {
 public:
  explicit FailingForcing(Disk& disk) : disk_(disk) {}

  hl::Coro<void> data(hl::File& file) override {
    const auto link = "/proc/self/fd/" + std::to_string(file.native_handle());
    const bool is_fresh = std::filesystem::read_symlink(link).extension() == ".rewrite";
    if (is_fresh ? disk_.fresh_fails : disk_.file_fails) {
      throw std::system_error(EIO, std::generic_category(), "fdatasync");
    }
    co_await file.fdatasync();
    if (!is_fresh) ++disk_.forced;
  }
  void names(const std::string& path, int directory) override {
    if (const auto call = std::exchange(disk_.before_names, nullptr)) call();
    if (disk_.names_fail == 0) return Forcing::names(path, directory);
    --disk_.names_fail;
    throw std::system_error(EIO, std::generic_category(), "fsync");
  }

 private:
  Disk& disk_;
};

/// Takes what is logged.
struct Logged {
  std::ostringstream text;
  std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
  Logged() {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text)));
  }
  ~Logged() { spdlog::set_default_logger(before); }
};

struct Server {
  Server(const demo::ScratchDir& dir, kv::Sync sync) : options(make_options(dir, sync)) {}
  static kv::Options make_options(const demo::ScratchDir& dir, kv::Sync sync) {
    kv::Options options;
    options.dir = dir.path().string();
    options.sync = sync;
    return options;
  }

  std::string operator()(std::vector<std::string_view> words) {
    std::string out;
    try {
      executor.execute(words, session, 1'000'000, out);
    } catch (const kv::Refused& refused) {
      kv::put_error(out, refused.text);
    }
    return out;
  }
  std::string set(std::string_view key) { return (*this)({"SET", key, "v"}); }

  hl::Coro<void> until_failing(bool failing) {
    while (journal.failing() != failing) co_await hl::sleep(1ms);
  }
  hl::Coro<void> until_forced(int more) {
    const int enough = disk.forced + more;
    while (disk.forced < enough) co_await hl::sleep(1ms);
  }

  Logged logged;
  Disk disk;
  const kv::Options options;
  kv::Store store;
  hl::PriorityLock keys{"keys"};
  kv::Executor executor{store, nullptr, {}};
  kv::Journal journal{options, executor, keys, std::make_unique<FailingForcing>(disk)};
  kv::Session session;
};

/// The keys in the file, in the order of their names.
std::string keys_in_file(const demo::ScratchDir& dir) {
  std::map<std::string, int> keys;
  kv::load_log(dir.path() / "appendonly.heirloop", [&](kv::Args args) {
    keys[std::string(args[1])] = 1;
  });
  std::string names;
  for (const auto& [name, one] : keys) names += name + " ";
  return names;
}

hl::Coro<void> force_fails(Server& server, bool always) {
  co_await server.journal.start();
  EXPECT_FALSE(server.journal.reply_waits(0));
  EXPECT_EQ(server.set("a"), "+OK\r\n");
  EXPECT_EQ(server.journal.reply_waits(0), always);
  EXPECT_EQ(server.journal.reply_waits(1), always) << "what is read is not on the disk";
  if (always) {
    EXPECT_TRUE(co_await server.journal.durable());
    EXPECT_FALSE(server.journal.reply_waits(1));
  }
  server.disk.file_fails = server.disk.fresh_fails = true;
  EXPECT_EQ(server.set("b"), "+OK\r\n");
  if (always) {
    EXPECT_FALSE(co_await server.journal.durable());
    EXPECT_TRUE(server.journal.reply_waits(1)) << "that write is not acknowledged";
    EXPECT_FALSE(server.journal.reply_waits(2)) << "what is read is shown while it fails";
  }
  co_await server.until_failing(true);
  EXPECT_THAT(server.set("refused"), StartsWith("-MISCONF the append-only file can't be written: "));

  // The kernel reports lost pages once; the next force succeeds, and says nothing about them.
  server.disk.file_fails = false;
  co_await server.until_forced(always ? 3 : 1);
  EXPECT_TRUE(server.journal.failing());
  EXPECT_THAT(server.set("refused"), StartsWith("-MISCONF"));
  EXPECT_EQ(server({"GET", "b"}), "$1\r\nv\r\n");

  server.disk.fresh_fails = false;
  co_await server.until_failing(false);
  EXPECT_EQ(server.set("c"), "+OK\r\n");
  if (always) {
    EXPECT_TRUE(co_await server.journal.durable());
  }
  co_await server.journal.stop();
  EXPECT_FALSE(server.journal.failing());
}

TEST(KvJournal, refuses_writes_after_a_failed_force_until_a_rewrite_has_succeeded) {
  for (const bool always : {true, false}) {
    SCOPED_TRACE(always ? "always" : "everysec");
    const demo::ScratchDir dir;
    {
      Server server(dir, always ? kv::Sync::always : kv::Sync::everysec);
      hl::run(force_fails(server, always));
      EXPECT_THAT(server.logged.text.str(), HasSubstr("writes are refused until it has been rewritten"));
      EXPECT_THAT(server.logged.text.str(), HasSubstr("could not be rewritten"));
      EXPECT_THAT(server.logged.text.str(), HasSubstr("writes are accepted"));
    }
    EXPECT_EQ(keys_in_file(dir), "a b c ");
  }
}

hl::Coro<void> names_fail(Server& server, const demo::ScratchDir& dir) {
  co_await server.journal.start();
  EXPECT_EQ(server.set("a"), "+OK\r\n");
  EXPECT_TRUE(co_await server.journal.durable());
  server.disk.names_fail = 1;
  server.disk.before_names = [&server] {
    // The new file has the name by now, and no rewrite after this one will succeed: this key gets there by an append.
    server.disk.fresh_fails = true;
    EXPECT_EQ(server.set("behind"), "+OK\r\n");
  };
  EXPECT_TRUE(server.journal.rewrite());
  co_await server.until_failing(true);
  EXPECT_THAT(server.logged.text.str(), Not(HasSubstr("could not be rewritten")));
  EXPECT_THAT(server.set("refused"), StartsWith("-MISCONF"));
  const auto log_size = [&dir] { return std::filesystem::file_size(dir.path() / "appendonly.heirloop"); };
  // The bytes are in the file a little before the journal counts them.
  while (keys_in_file(dir) != "a behind " || log_size() != server.journal.file_bytes()) co_await hl::sleep(1ms);
  EXPECT_FALSE(co_await server.journal.durable());

  server.disk.fresh_fails = false;
  co_await server.until_failing(false);
  EXPECT_TRUE(co_await server.journal.durable());
  co_await server.journal.stop();
}

TEST(KvJournal, appends_to_the_new_file_when_its_name_can_not_be_forced) {
  const demo::ScratchDir dir;
  {
    Server server(dir, kv::Sync::always);
    hl::run(names_fail(server, dir));
  }
  EXPECT_EQ(keys_in_file(dir), "a behind ");
}

hl::Coro<void> stops_while_failing(Server& server, bool mended) {
  co_await server.journal.start();
  server.disk.file_fails = server.disk.fresh_fails = true;
  EXPECT_EQ(server.set("a"), "+OK\r\n");
  co_await server.until_failing(true);
  while (server.journal.rewriting()) co_await hl::sleep(1ms);
  server.disk.fresh_fails = !mended;
  co_await server.journal.stop();
  EXPECT_EQ(server.journal.failing(), !mended);
}

TEST(KvJournal, is_rewritten_at_the_end_when_it_has_failed) {
  for (const bool mended : {true, false}) {
    SCOPED_TRACE(mended);
    const demo::ScratchDir dir;
    {
      Server server(dir, kv::Sync::everysec);
      hl::run(stops_while_failing(server, mended));
      if (!mended) {
        EXPECT_THAT(server.logged.text.str(), HasSubstr("the last writes may be lost"));
      }
    }
    EXPECT_EQ(keys_in_file(dir), "a ");
  }
}

}  // namespace
