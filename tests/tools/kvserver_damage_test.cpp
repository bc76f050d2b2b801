// What kvserver does with a file that was cut short, that was damaged, and that can't be written.
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace kvtest;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::size_t first_line = 14, header = 41;

struct File {
  explicit File(const fs::path& dir) : path(dir / "appendonly.heirloop") {}

  std::string read() const { return demo::read_file(path); }
  void write(const std::string& bytes) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  /// Where its frames begin, and where the last one ends.
  std::vector<std::size_t> frames() const {
    const std::string bytes = read();
    std::vector<std::size_t> places{first_line};
    while (places.back() + header <= bytes.size()) {
      const std::size_t at = places.back();
      places.push_back(at + header + std::stoull(bytes.substr(at + 1, 12), nullptr, 16));
    }
    return places;
  }

  fs::path path;
};

/// A file of one frame for every key 0..count-1, each with itself as value.
void make_file(const fs::path& dir, int count) {
  KvServer server(dir, {"--appendfsync", "always"});
  Peer peer = server.connect();
  for (int i = 0; i < count; ++i) ASSERT_EQ(peer.shown({"SET", std::to_string(i), std::to_string(i)}), "+OK");
  ASSERT_EQ(server.stop(), clean_end);
}

TEST(KvServerFile, with_a_torn_end_is_cut_with_a_warning_and_used) {
  const demo::ScratchDir dir;
  const File file(dir.path());
  make_file(dir.path(), 5);
  const std::string whole = file.read();
  const auto frames = file.frames();
  ASSERT_EQ(frames.size(), 6U);
  ASSERT_EQ(frames.back(), whole.size());
  for (std::size_t size = frames[4] + 1; size < whole.size(); size += 1 + (size - frames[4]) / 3) {
    file.write(whole.substr(0, size));
    KvServer server(dir.path(), {"--appendfsync", "always"});
    Peer peer = server.connect();
    EXPECT_EQ(peer.shown({"MGET", "3", "4"}), "[$3 null]") << size;
    EXPECT_THAT(server.child().err(), HasSubstr(std::to_string(size - frames[4]) + " bytes from byte " +
                                                std::to_string(frames[4]) + " on are cut off"));
    EXPECT_EQ(peer.shown({"SET", "4", "again"}), "+OK");
    server.kill();
    KvServer after(dir.path());
    EXPECT_EQ(after.connect().shown({"MGET", "3", "4"}), "[$3 $again]") << size;
    EXPECT_THAT(after.child().err(), Not(HasSubstr("cut off")));
  }
}

TEST(KvServerFile, with_a_flipped_byte_is_refused_and_left_alone) {
  const demo::ScratchDir dir;
  const File file(dir.path());
  make_file(dir.path(), 5);
  const std::string whole = file.read();
  const auto frames = file.frames();
  for (std::size_t at = 0; at < whole.size(); at += at < frames[1] ? 7 : 13) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    file.write(bytes);
    const Finished run = run_kvserver({"--port", "0", "--dir", dir.path().string()});
    EXPECT_EQ(run.end, "exit status 1") << at;
    EXPECT_EQ(run.out, "");
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    const auto next = std::upper_bound(frames.begin(), frames.end(), at);
    const std::size_t damaged = next == frames.begin() ? 0 : *(next - 1);
    EXPECT_THAT(run.err,
                HasSubstr(file.path.string() + ": damaged at byte " + std::to_string(damaged) + ":"));
    EXPECT_EQ(file.read(), bytes);
  }
}

TEST(KvServerFile, is_usable_again_by_the_command_that_the_refusal_names) {
  const demo::ScratchDir dir;
  const File file(dir.path());
  make_file(dir.path(), 5);
  std::string bytes = file.read();
  bytes[file.frames()[3] + header + 2] ^= 1;
  file.write(bytes);
  const Finished refused = run_kvserver({"--port", "0", "--dir", dir.path().string()});
  const std::size_t command = refused.err.find("truncate -s");
  ASSERT_NE(command, std::string::npos) << refused.err;
  ASSERT_EQ(run_program({"/bin/sh", "-c", refused.err.substr(command)}).end, clean_end);
  EXPECT_EQ(KvServer(dir.path()).connect().shown({"MGET", "2", "3"}), "[$2 null]");
}

TEST(KvServerFile, that_is_another_ones_is_refused) {
  const demo::ScratchDir dir;
  const File file(dir.path());
  file.write("REDIS0011 something else\n");
  const Finished run = run_kvserver({"--port", "0", "--dir", dir.path().string()});
  EXPECT_EQ(run.end, "exit status 1");
  EXPECT_THAT(run.err, HasSubstr(file.path.string() + ": damaged at byte 0"));
}

// ---- A file that can't grow ----

void let_files_grow(Child& child) {
  const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
  ASSERT_EQ(::prlimit(child.pid(), RLIMIT_FSIZE, &none, nullptr), 0);
}

TEST(KvServerFile, that_can_not_grow_makes_the_server_refuse_writes_until_it_can) {
  for (const std::string sync : {"always", "everysec", "no"}) {
    SCOPED_TRACE(sync);
    const demo::ScratchDir dir;
    const std::vector<std::string> options{"--appendfsync", sync};
    KvServer server(dir.path(), options, {.file_bytes = 100'000});
    Peer peer = server.connect();
    // So large that a rewrite, which is tried at once, has no room either.
    const std::string value(30'000, 'v');
    int acknowledged = 0;
    Reply reply;
    while (acknowledged < 1'000'000) {
      reply = peer.ask({"SET", std::to_string(acknowledged), value});
      if (reply.shown() != "+OK") break;
      ++acknowledged;
    }
    // Under always the first write that does not reach the file is not acknowledged, and not refused either:
    // it has changed the key.
    if (reply.type == 0) peer = server.connect();
    ASSERT_TRUE(comes_true([&] { return server.info_text("aof_last_write_status") == "err"; }));
    EXPECT_THAT(peer.shown({"SET", "refused", "1"}),
                StartsWith("-MISCONF the append-only file can't be written: "));
    EXPECT_THAT(peer.shown({"DEL", "0"}), StartsWith("-MISCONF"));
    EXPECT_EQ(peer.shown({"STRLEN", "0"}), ":30000");
    EXPECT_EQ(peer.shown({"PING"}), "+PONG");
    EXPECT_TRUE(server.child().running()) << server.child().err();

    let_files_grow(server.child());
    ASSERT_TRUE(comes_true([&] { return peer.shown({"SET", "after", "1"}) == "+OK"; }));
    EXPECT_EQ(server.info_text("aof_last_write_status"), "ok");
    if (sync == "always") {
      server.kill();
    } else {
      EXPECT_EQ(server.stop(), clean_end);
    }
    KvServer restarted(dir.path(), options);
    Peer again = restarted.connect();
    for (int i = 0; i < acknowledged; ++i)
      ASSERT_EQ(again.shown({"STRLEN", std::to_string(i)}), ":30000") << i;
    EXPECT_EQ(again.shown({"MGET", "after", "refused"}), "[$1 null]");
  }
}

TEST(KvServerFile, that_can_not_grow_leaves_what_was_acknowledged_to_a_restart) {
  const demo::ScratchDir dir;
  int acknowledged = 0;
  {
    KvServer server(dir.path(), {"--appendfsync", "always"}, {.file_bytes = 50'000});
    Peer peer = server.connect();
    while (peer.shown({"SET", std::to_string(acknowledged), std::string(700, 'v')}) == "+OK") ++acknowledged;
    server.kill();
  }
  ASSERT_GT(acknowledged, 20);
  KvServer server(dir.path(), {"--appendfsync", "always"});
  Peer peer = server.connect();
  for (int i = 0; i < acknowledged; ++i) ASSERT_EQ(peer.shown({"STRLEN", std::to_string(i)}), ":700") << i;
}

TEST(KvServerFile, that_can_not_be_rewritten_stays_as_it_is) {
  const demo::ScratchDir dir;
  KvServer server(dir.path(), {"--appendfsync", "always"}, {.file_bytes = 300'000});
  Peer peer = server.connect();
  // Longer than any file may get once the limit is lower.
  for (int i = 0; i < 200; ++i)
    ASSERT_EQ(peer.shown({"SET", std::to_string(i), std::string(1000, 'v')}), "+OK");
  const rlimit low{100'000, RLIM_INFINITY};
  ASSERT_EQ(::prlimit(server.child().pid(), RLIMIT_FSIZE, &low, nullptr), 0);
  EXPECT_EQ(peer.shown({"BGREWRITEAOF"}), "+Background append only file rewriting started");
  ASSERT_TRUE(
      comes_true([&] { return server.child().err().find("could not be rewritten") != std::string::npos; }));
  ASSERT_TRUE(comes_true([&] { return server.info("aof_rewrite_in_progress") == 0; }));
  EXPECT_FALSE(fs::exists(dir.path() / "appendonly.heirloop.rewrite"));
  let_files_grow(server.child());
  ASSERT_TRUE(comes_true([&] { return peer.shown({"SET", "after", "1"}) == "+OK"; }));
  EXPECT_EQ(peer.shown({"BGREWRITEAOF"}), "+Background append only file rewriting started");
  ASSERT_TRUE(comes_true([&] { return server.info("aof_rewrite_in_progress") == 0; }));
  server.kill();
  KvServer restarted(dir.path());
  EXPECT_EQ(restarted.connect().shown({"DBSIZE"}), ":201");
}

TEST(KvServerFile, that_can_not_even_begin_ends_the_start_with_one_line) {
  const demo::ScratchDir dir;
  Child child(dir.path(), "kvserver", {HEIRLOOP_KVSERVER, "--port", "0", "--dir", dir.path().string()},
              {.file_bytes = 5});
  EXPECT_EQ(child.wait(), "exit status 1");
  EXPECT_EQ(child.err(), "kvser");  // longer it may not be
  EXPECT_EQ(child.out(), "");
}

}  // namespace
