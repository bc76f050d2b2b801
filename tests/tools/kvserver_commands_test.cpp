// Every command of kvserver over the wire, and the forms in which requests can come.
#include "kvserver_child.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace kvtest;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

class KvServerCommands : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(server_.stop(), clean_end); }

  /// The reply to the words of `line`, shown.
  std::string ask(const std::string& line) {
    std::vector<std::string_view> words;
    for (std::string_view rest = line; !rest.empty();) {
      const std::size_t end = rest.find(' ');
      words.push_back(rest.substr(0, end));
      rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    }
    return peer_.shown(words);
  }

  demo::ScratchDir dir_;
  KvServer server_{dir_.path()};
  Peer peer_ = server_.connect();
};

TEST_F(KvServerCommands, of_strings) {
  EXPECT_EQ(ask("PING"), "+PONG");
  EXPECT_EQ(ask("ping hello"), "$hello");
  EXPECT_EQ(ask("ECHO hello"), "$hello");
  EXPECT_EQ(ask("SET k 1"), "+OK");
  EXPECT_EQ(ask("GET k"), "$1");
  EXPECT_EQ(ask("GET none"), "null");
  EXPECT_EQ(ask("SET k 2 NX"), "null");
  EXPECT_EQ(ask("SET k 2 XX"), "+OK");
  EXPECT_EQ(ask("SET none 2 XX"), "null");
  EXPECT_EQ(ask("SET k 3 GET"), "$2");
  EXPECT_EQ(ask("INCR k"), ":4");
  EXPECT_EQ(ask("INCRBY k 10"), ":14");
  EXPECT_EQ(ask("DECR k"), ":13");
  EXPECT_EQ(ask("DECRBY k 20"), ":-7");
  EXPECT_EQ(ask("APPEND k ab"), ":4");
  EXPECT_EQ(ask("GET k"), "$-7ab");
  EXPECT_EQ(ask("STRLEN k"), ":4");
  EXPECT_EQ(ask("STRLEN none"), ":0");
  EXPECT_EQ(ask("MSET a 1 b 2"), "+OK");
  EXPECT_EQ(ask("MGET a none b"), "[$1 null $2]");
  EXPECT_EQ(ask("EXISTS a b none a"), ":3");
  EXPECT_EQ(ask("TYPE a"), "+string");
  EXPECT_EQ(ask("TYPE none"), "+none");
  EXPECT_EQ(ask("DBSIZE"), ":3");
  EXPECT_EQ(ask("DEL a b none"), ":2");
  EXPECT_EQ(ask("FLUSHALL"), "+OK");
  EXPECT_EQ(ask("DBSIZE"), ":0");
}

TEST_F(KvServerCommands, of_deadlines) {
  EXPECT_EQ(ask("SET k v EX 100"), "+OK");
  EXPECT_THAT(ask("TTL k"), MatchesRegex(":(100|[4-9][0-9])"));
  EXPECT_THAT(ask("PTTL k"), MatchesRegex(":(100000|[4-9][0-9][0-9][0-9][0-9])"));
  EXPECT_EQ(ask("PERSIST k"), ":1");
  EXPECT_EQ(ask("PERSIST k"), ":0");
  EXPECT_EQ(ask("TTL k"), ":-1");
  EXPECT_EQ(ask("TTL none"), ":-2");
  EXPECT_EQ(ask("EXPIRE k 50"), ":1");
  EXPECT_EQ(ask("EXPIRE none 50"), ":0");
  EXPECT_EQ(ask("PEXPIRE k 1"), ":1");
  EXPECT_TRUE(comes_true([&] { return ask("GET k") == "null"; }));
  EXPECT_EQ(ask("SET gone v PX 1"), "+OK");
  EXPECT_TRUE(comes_true([&] { return ask("DBSIZE") == ":0"; })) << "the sweep removes what nobody asks for";
}

TEST_F(KvServerCommands, of_the_connection_and_the_server) {
  EXPECT_EQ(ask("SELECT 0"), "+OK");
  EXPECT_THAT(ask("SELECT 1"), StartsWith("-ERR"));
  EXPECT_EQ(ask("CLIENT SETNAME me"), "+OK");
  EXPECT_EQ(ask("CLIENT GETNAME"), "$me");
  EXPECT_THAT(ask("CLIENT ID"), MatchesRegex(":[0-9]+"));
  EXPECT_THAT(ask("CLIENT LIST"), HasSubstr("name=me"));
  EXPECT_THAT(ask("HELLO 2"), HasSubstr("$proto :2"));
  EXPECT_THAT(ask("HELLO 3"), StartsWith("-NOPROTO"));
  EXPECT_EQ(ask("PING"), "+PONG");
  EXPECT_THAT(ask("COMMAND"), StartsWith("["));
  EXPECT_EQ(ask("CONFIG GET appendfsync"), "[$appendfsync $everysec]");
  EXPECT_EQ(ask("CONFIG GET save"), "[$save $]");
  EXPECT_THAT(ask("INFO"), HasSubstr("lock_wait_steps_max:"));
  EXPECT_THAT(ask("INFO clients"), HasSubstr("connected_clients:1\r\n"));
  EXPECT_EQ(ask("CONFIG RESETSTAT"), "+OK");
  EXPECT_EQ(ask("QUIT"), "+OK");
  EXPECT_EQ(peer_.read().shown(), "closed");
}

TEST_F(KvServerCommands, that_are_wrong_get_an_error_and_change_nothing) {
  ask("SET k text");
  for (const char* line : {"NOSUCH",
                           "GET",
                           "GET a b",
                           "SET k",
                           "SET k v BAD",
                           "SET k v EX",
                           "SET k v EX x",
                           "SET k v EX 0",
                           "SET k v NX XX",
                           "INCR k",
                           "INCRBY k x",
                           "MSET a",
                           "MSET a 1 b",
                           "EXPIRE k x",
                           "SCAN x",
                           "SCAN 0 COUNT 0",
                           "SCAN 0 MATCH",
                           "CONFIG SET a b",
                           "CLIENT NOSUCH",
                           "FLUSHALL now",
                           "SHUTDOWN tomorrow",
                           "DECRBY k -9223372036854775808"}) {
    EXPECT_THAT(ask(line), StartsWith("-ERR")) << line;
  }
  EXPECT_EQ(ask("MGET k a"), "[$text null]");
  ask("SET n 9223372036854775807");
  EXPECT_THAT(ask("INCR n"), StartsWith("-ERR"));
  EXPECT_EQ(ask("GET n"), "$9223372036854775807");
}

TEST_F(KvServerCommands, scan_finds_every_key_once_or_more) {
  constexpr int count = 3000;
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += request({"SET", "key:" + std::to_string(i), "v"});
  peer_.send(bytes);
  for (int i = 0; i < count; ++i) ASSERT_EQ(peer_.read().shown(), "+OK");
  std::set<std::string> found;
  std::string cursor = "0";
  do {
    const Reply reply = peer_.ask({"SCAN", cursor, "COUNT", "100"});
    ASSERT_EQ(reply.items.size(), 2U) << reply.shown();
    cursor = reply.items[0].text;
    for (const Reply& key : reply.items[1].items) found.insert(key.text);
  } while (cursor != "0");
  EXPECT_EQ(found.size(), static_cast<std::size_t>(count));
}

TEST_F(KvServerCommands, in_a_pipeline_are_answered_in_order) {
  constexpr int count = 20'000;
  std::string bytes;
  for (int i = 0; i < count; ++i) {
    bytes += i % 3 == 0   ? request({"INCR", "n"})
             : i % 3 == 1 ? request({"ECHO", std::to_string(i)})
                          : "PING\r\n";
  }
  // Both sides at once: neither side's buffers hold all of it.
  std::size_t sent = 0;
  for (int i = 0; i < count;) {
    sent += peer_.send_some(std::string_view(bytes).substr(sent, 100'000));
    for (auto reply = peer_.read_ready(); reply && i < count; reply = peer_.read_ready(), ++i) {
      const std::string expected = i % 3 == 0   ? ":" + std::to_string(i / 3 + 1)
                                   : i % 3 == 1 ? "$" + std::to_string(i)
                                                : "+PONG";
      ASSERT_EQ(reply->shown(), expected) << i;
    }
  }
  EXPECT_EQ(sent, bytes.size());
}

TEST_F(KvServerCommands, cut_anywhere_are_the_same) {
  const std::string bytes =
      request({"SET", "cut", "a\r\nb"}) + "SET inline \"x y\"\r\n" + request({"MGET", "cut", "inline"});
  for (std::size_t at = 1; at < bytes.size(); ++at) {
    peer_.send(bytes.substr(0, at));
    peer_.send(bytes.substr(at));
    ASSERT_EQ(peer_.read().shown(), "+OK");
    ASSERT_EQ(peer_.read().shown(), "+OK");
    ASSERT_EQ(peer_.read().shown(), "[$a\r\nb $x y]");
  }
}

TEST_F(KvServerCommands, can_be_typed) {
  peer_.send("set typed 'one two'\r\nget typed\n\r\n\r\n  PING  \r\nset q \"\\x00\\n\\\"\"\r\nget q\r\n");
  EXPECT_EQ(peer_.read().shown(), "+OK");
  EXPECT_EQ(peer_.read().shown(), "$one two");
  EXPECT_EQ(peer_.read().shown(), "+PONG");
  EXPECT_EQ(peer_.read().shown(), "+OK");
  EXPECT_EQ(peer_.read().text, std::string("\0\n\"", 3));
}

TEST_F(KvServerCommands, take_any_byte_in_keys_and_values) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string key = all + "\r\n$3\r\n";
  EXPECT_EQ(peer_.shown({"SET", key, all + all}), "+OK");
  EXPECT_EQ(peer_.ask({"GET", key}).text, all + all);
  EXPECT_EQ(peer_.shown({"SET", "", ""}), "+OK");
  EXPECT_EQ(peer_.shown({"GET", ""}), "$");
}

TEST_F(KvServerCommands, take_values_of_many_mib_and_keep_them) {
  std::string value(20 << 20, 0);
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<char>(i * 2654435761U >> 13);
  EXPECT_EQ(peer_.shown({"SET", "big", value}), "+OK");
  EXPECT_TRUE(peer_.ask({"GET", "big"}).text == value);
  EXPECT_EQ(peer_.shown({"APPEND", "big", value}), ":" + std::to_string(2 * value.size()));
  EXPECT_EQ(peer_.shown({"STRLEN", "big"}), ":" + std::to_string(2 * value.size()));
  EXPECT_TRUE(peer_.ask({"GET", "big"}).text == value + value);
  ASSERT_EQ(server_.stop(), clean_end);
  const KvServer again(dir_.path());
  EXPECT_TRUE(again.connect().ask({"GET", "big"}).text == value + value);
}

}  // namespace
