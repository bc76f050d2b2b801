// The append-only file of kvserver: read back whole, torn at every byte, damaged at every bit, and rewritten
// under writes.
#include "kvserver/aof.hpp"
#include "kvserver/commands.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using Words = std::vector<std::string>;
using Keys = std::map<std::string, std::pair<std::string, std::int64_t>>;  // value and deadline

/// What a client sees at `now_ms`.
Keys keys_of(kv::Store& store, std::int64_t now_ms) {
  Keys keys;
  kv::Store::Cursor cursor = 0;
  do {
    cursor = store.walk(cursor, 100'000, kv::Store::Which::all, [&](kv::Store::Item& item) -> std::size_t {
      if (item.second.deadline_ms > now_ms)
        keys[item.first.name] = {item.second.data, item.second.deadline_ms};
      return 1;
    });
  } while (cursor != 0);
  return keys;
}

/// A file of one test, removed at its end.
class TestFile {
 public:
  TestFile() {
    std::string pattern = std::filesystem::temp_directory_path() / "kv_aof_XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  TestFile(const TestFile&) = delete;
  TestFile& operator=(const TestFile&) = delete;
  ~TestFile() { std::filesystem::remove_all(folder_); }

  std::string path() const { return folder_ / "kv.aof"; }
  void write(std::string_view bytes) const {
    // Some file systems force a file to the disk that is cut and written anew.
    std::filesystem::remove(path());
    std::ofstream(path(), std::ios::binary) << bytes;
  }

 private:
  std::filesystem::path folder_;
};

struct Recovered {
  kv::Loaded loaded;
  std::size_t records = 0;
  Keys keys;
};

Recovered recover(const TestFile& file, std::int64_t now_ms = 0) {
  kv::Store store;
  kv::Executor executor(store, nullptr, {});
  Recovered recovered;
  recovered.loaded = kv::load_log(file.path(), [&](kv::Args args) {
    ++recovered.records;
    executor.replay(args);
  });
  EXPECT_TRUE(store.check_invariants());
  recovered.keys = keys_of(store, now_ms);
  return recovered;
}

Recovered recover(std::string_view bytes, std::int64_t now_ms = 0) {
  TestFile file;
  file.write(bytes);
  return recover(file, now_ms);
}

/// The keys, their log, and the file that the log has filled so far.
struct Server {
  kv::Store store;
  kv::Log log{true};
  kv::Executor executor{store, &log, {}};
  kv::Session session;
  std::int64_t now_ms = 1'000'000;
  std::string file;
  std::string fresh;  // by a rewrite

  void run(const Words& words) {
    std::string out;
    try {
      executor.execute(std::vector<std::string_view>(words.begin(), words.end()), session, now_ms, out);
    } catch (const kv::Refused&) {
      // A random command may be wrong, as INCR of a word.
    }
  }
  void flush() {
    std::string bytes;
    log.take(bytes);
    file += bytes;
  }
  bool rewrite(std::size_t budget) {
    bool all = log.rewrite(store, budget, now_ms);
    take_rewritten();
    return all;
  }
  void take_rewritten() {
    std::string bytes;
    log.take_rewritten(bytes);
    fresh += bytes;
  }
  void switch_over() {
    take_rewritten();
    log.switch_over();
    file = std::exchange(fresh, "");
  }
};

/// A log of four frames, where each ends, and the keys at those points.
struct Sample {
  std::string file;
  std::vector<std::size_t> ends;
  std::vector<Keys> keys;

  Sample() {
    Server server;
    auto end_frame = [&] {
      server.flush();
      ends.push_back(server.file.size());
      keys.push_back(keys_of(server.store, server.now_ms));
    };
    end_frame();  // the first line
    server.run({"SET", "name", "value"});
    server.run({"INCR", "n"});
    end_frame();
    server.run({"SET", "binary", std::string("\0\r\n=00\0\0", 8)});
    server.run({"EXPIRE", "n", "100"});
    end_frame();
    server.run({"APPEND", "name", "s"});
    server.run({"DEL", "n"});
    end_frame();
    server.run({"MSET", "a", std::string(40, '\0'), "b", ""});
    end_frame();
    file = server.file;
  }
};

TEST(KvLog, reads_back_what_was_recorded) {
  Sample sample;
  Recovered recovered = recover(sample.file);
  EXPECT_EQ(recovered.keys, sample.keys.back());
  EXPECT_EQ(recovered.records, 7U);
  EXPECT_EQ(recovered.loaded.valid_bytes, sample.file.size());
  EXPECT_EQ(recovered.loaded.torn_bytes, 0U);
}

TEST(KvLog, begins_empty_without_a_file) {
  Recovered recovered = recover(TestFile());
  EXPECT_EQ(recovered.loaded.valid_bytes, 0U);
  EXPECT_EQ(recovered.loaded.torn_bytes, 0U);
  EXPECT_TRUE(recovered.keys.empty());
}

TEST(KvLog, what_can_not_be_read_is_a_system_error_with_the_path) {
  try {
    kv::load_log("/", [](kv::Args) {});
    FAIL();
  } catch (const std::system_error& error) {
    EXPECT_NE(std::string(error.what()).find("cannot read /"), std::string::npos);
  }
}

TEST(KvLog, torn_at_any_byte_it_keeps_the_whole_frames) {
  Sample sample;
  TestFile file;
  for (std::size_t size = 0; size < sample.file.size(); ++size) {
    std::size_t frames = 0;
    while (frames < sample.ends.size() && sample.ends[frames] <= size) ++frames;
    for (std::size_t zeros : {0U, 1U, 60U, 5000U}) {
      file.write(sample.file.substr(0, size) + std::string(zeros, '\0'));
      Recovered recovered = recover(file);
      ASSERT_EQ(recovered.loaded.valid_bytes, frames == 0 ? 0 : sample.ends[frames - 1]) << size;
      ASSERT_EQ(recovered.loaded.torn_bytes, size + zeros - recovered.loaded.valid_bytes) << size;
      ASSERT_EQ(recovered.keys, frames == 0 ? Keys() : sample.keys[frames - 1]) << size;
    }
  }
}

TEST(KvLog, any_flipped_bit_is_damage_at_its_frame) {
  Sample sample;
  TestFile file;
  for (std::size_t at = 0; at < sample.file.size(); ++at) {
    std::size_t frame = 0;
    while (sample.ends[frame] <= at) ++frame;
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = sample.file;
      damaged[at] = static_cast<char>(damaged[at] ^ 1 << bit);
      file.write(damaged);
      try {
        recover(file);
        FAIL() << "byte " << at << " bit " << bit;
      } catch (const kv::DamagedLog& error) {
        ASSERT_EQ(error.offset, frame == 0 ? 0 : sample.ends[frame - 1]);
        ASSERT_NE(std::string(error.what())
                      .find(file.path() + ": damaged at byte " + std::to_string(error.offset)),
                  std::string::npos);
      }
    }
  }
}

TEST(KvLog, what_is_no_torn_end_is_damage) {
  Sample sample;
  std::string file = sample.file;
  std::string without_frame_2 = file;
  without_frame_2.erase(sample.ends[1], 10);
  std::string zeroed = file;
  std::fill_n(zeroed.begin() + static_cast<std::ptrdiff_t>(sample.ends[1]), 50, '\0');
  struct {
    std::string bytes;
    std::size_t offset;
  } cases[] = {
      {"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", 0},
      {"x", 0},
      {file + "x", file.size()},
      {file + "=12x", file.size()},
      {file + "*1\r\n$8\r\nFLUSHALL\r\n", file.size()},
      {file + std::string(100, '\0') + "=", file.size()},
      {file + std::string(100, 'x'), file.size()},
      {file + file, file.size()},
      {without_frame_2, sample.ends[1]},
      {zeroed, sample.ends[1]},
  };
  for (const auto& each : cases) {
    try {
      recover(each.bytes);
      ADD_FAILURE() << each.bytes.substr(0, 30);
    } catch (const kv::DamagedLog& error) {
      EXPECT_EQ(error.offset, each.offset);
    }
  }
}

TEST(KvLog, only_commands_that_write_are_carried_out) {
  for (const Words& words :
       {Words{"GET", "k"}, Words{"SHUTDOWN"}, Words{"NOSUCH"}, Words{"SET", "k"}, Words{"INCR", "k"}}) {
    kv::Log log(true);
    kv::put_bulks(log.records(), std::vector<std::string_view>{"SET", "k", "v"});
    kv::put_bulks(log.records(), std::vector<std::string_view>(words.begin(), words.end()));
    std::string bytes;
    log.take(bytes);
    EXPECT_THROW(recover(bytes), kv::DamagedLog) << words[0];
  }
}

TEST(KvLog, reads_frames_larger_than_its_window) {
  Server server;
  server.run({"SET", "large", std::string(3'000'000, 'x')});
  server.run({"SET", "small", "y"});
  for (int i = 0; i < 30'000; ++i) server.run({"SET", "k" + std::to_string(i), std::string(50, 'v')});
  server.flush();
  EXPECT_EQ(recover(server.file).keys, keys_of(server.store, server.now_ms));
}

TEST(KvLog, hands_over_its_memory) {
  kv::Log log(false);
  std::string bytes;
  log.take(bytes);
  EXPECT_EQ(bytes, "");
  log.records() += "x";
  bytes.assign(1000, 'y');
  const char* room = bytes.data();
  log.take(bytes);
  EXPECT_TRUE(bytes.ends_with("x"));
  log.records() += "z";
  EXPECT_EQ(log.records().data(), room);
}

// ---- The model: random commands, times and rewrites; what is read back is what was there ----

rc::Gen<Words> any_command() {
  // Few keys, so that commands meet, some of them in one map of the store.
  auto key = rc::gen::map(rc::gen::inRange(0, 12), [](int i) { return "k" + std::to_string(i); });
  auto value = rc::gen::oneOf(rc::gen::container<std::string>(rc::gen::arbitrary<char>()),
                              rc::gen::map(rc::gen::inRange(-5, 5), [](int i) { return std::to_string(i); }));
  auto time = rc::gen::map(rc::gen::inRange(-2, 40), [](int i) { return std::to_string(i); });
  auto command = [](const char* name, auto... words) {
    return rc::gen::map(rc::gen::tuple(words...), [name](const auto& tuple) {
      return std::apply([&](const auto&... each) { return Words{name, each...}; }, tuple);
    });
  };
  auto fixed = [](const char* word) { return rc::gen::just(std::string(word)); };
  return rc::gen::weightedOneOf<Words>({
      {6, command("SET", key, value)},
      {4, command("SET", key, value, fixed("PX"), time)},
      {2, command("SET", key, value, fixed("KEEPTTL"))},
      {2, command("SET", key, value, fixed("NX"))},
      {2, command("SET", key, value, fixed("XX"), fixed("PX"), time)},
      {6, command("APPEND", key, value)},
      {6, command("INCR", key)},
      {3, command("DEL", key, key)},
      {3, command("MSET", key, value, key, value)},
      {5, command("PEXPIRE", key, time)},
      {3, command("PERSIST", key)},
      {3, command("GET", key)},
      {1, command("FLUSHALL")},
  });
}

RC_GTEST_PROP(KvLog, gives_the_same_keys_after_any_commands_and_rewrites, ()) {
  Server server;
  enum class Event { command, time, flush, sweep, rewrite, switch_over, abort };
  auto event = rc::gen::weightedElement<Event>({{20, Event::command},
                                                {4, Event::time},
                                                {2, Event::flush},
                                                {1, Event::sweep},
                                                {6, Event::rewrite},
                                                {4, Event::switch_over},
                                                {1, Event::abort}});
  bool all = false;  // the keys are in the new file
  for (Event next : *rc::gen::container<std::vector<Event>>(event)) {
    switch (next) {
      case Event::command:
        server.run(*any_command());
        break;
      case Event::time:
        server.now_ms += *rc::gen::inRange(0, 20);
        break;
      case Event::flush:
        server.flush();
        break;
      case Event::sweep:
        server.store.sweep(1'000'000, server.now_ms);
        break;
      case Event::rewrite:
        if (!server.log.rewriting()) {
          server.log.begin_rewrite();
          all = false;
        }
        if (!all) all = server.rewrite(*rc::gen::inRange<std::size_t>(1, 3000));
        break;
      case Event::switch_over:
        if (server.log.rewriting() && all) server.switch_over();
        break;
      case Event::abort:
        if (server.log.rewriting()) server.log.abort_rewrite();
        server.fresh.clear();
        break;
    }
  }
  Keys keys = keys_of(server.store, server.now_ms);
  server.flush();
  RC_ASSERT(recover(server.file, server.now_ms).keys == keys);
  if (!server.log.rewriting()) server.log.begin_rewrite();
  while (!server.rewrite(*rc::gen::inRange<std::size_t>(1, 3000))) server.run(*any_command());
  server.switch_over();
  server.run(*any_command());
  server.flush();
  RC_ASSERT(recover(server.file, server.now_ms).keys == keys_of(server.store, server.now_ms));
}

TEST(KvLog, a_rewrite_under_writes_keeps_every_key) {
  // Many keys and steps, and a write to a random key between every two.
  Server server;
  std::uint64_t random = 1;
  auto some_key = [&] {
    random = random * 6364136223846793005u + 1442695040888963407u;
    return "k" + std::to_string((random >> 33) % 20'000);
  };
  for (int i = 0; i < 20'000; ++i) server.run({"SET", some_key(), "v", "PX", std::to_string(1 + i % 3000)});
  server.flush();
  std::size_t before = server.file.size();
  server.log.begin_rewrite();
  int steps = 0;
  while (!server.rewrite(20)) {
    server.run({"APPEND", some_key(), "x"});
    server.run({"INCR", "n"});
    server.run({"DEL", some_key()});
    server.run({"MSET", some_key(), "y", some_key(), "z"});
    if (++steps % 10 == 0) ++server.now_ms;
    if (steps == 100) server.run({"PEXPIRE", "n", "50"});
    if (steps % 7 == 0) server.flush();
  }
  EXPECT_GT(steps, 500);
  server.flush();
  Keys keys = keys_of(server.store, server.now_ms);
  EXPECT_EQ(recover(server.file, server.now_ms).keys, keys);
  server.switch_over();
  server.flush();
  EXPECT_EQ(recover(server.file, server.now_ms).keys, keys);
  EXPECT_FALSE(server.log.rewriting());
  server.log.begin_rewrite();
  while (!server.rewrite(1000)) {
  }
  server.switch_over();
  EXPECT_LT(server.file.size(), before);
  EXPECT_EQ(recover(server.file, server.now_ms).keys, keys);
}

}  // namespace
