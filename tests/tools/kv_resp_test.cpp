// The protocol parser of kvserver: what it takes, what it refuses, and that cuts between reads change
// neither.
#include "kvserver/resp.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Words = std::vector<std::string>;

struct Parsed {
  std::vector<Words> requests;
  std::string error;
  std::size_t left = 0;  // bytes of an unfinished request

  bool operator==(const Parsed&) const = default;
};

/// Gives the parser `bytes` in pieces that end at `cuts` (and at the end), from a buffer that moves every
/// time.
Parsed parse(const std::string& bytes, const std::vector<std::size_t>& cuts = {}) {
  kv::Parser parser;
  Parsed parsed;
  std::string inbox;
  auto feed = [&](std::string_view piece) {
    inbox = std::string(inbox).append(piece);
    std::string_view rest = inbox;
    try {
      while (parser.parse(rest)) parsed.requests.emplace_back(parser.args().begin(), parser.args().end());
    } catch (const kv::Refused& refused) {
      parsed.error = refused.text;
    }
    inbox.erase(0, inbox.size() - rest.size());
  };
  std::size_t at = 0;
  for (std::size_t cut : cuts) {
    if (cut < at || !parsed.error.empty()) continue;
    feed(std::string_view(bytes).substr(at, cut - at));
    at = cut;
  }
  if (parsed.error.empty()) feed(std::string_view(bytes).substr(at));
  parsed.left = parsed.error.empty() ? inbox.size() : 0;
  return parsed;
}

std::vector<std::size_t> every_byte(const std::string& bytes) {
  std::vector<std::size_t> cuts(bytes.size());
  for (std::size_t i = 0; i < cuts.size(); ++i) cuts[i] = i + 1;
  return cuts;
}

std::string request(const Words& words) {
  std::string bytes;
  kv::put_bulks(bytes, std::vector<std::string_view>(words.begin(), words.end()));
  return bytes;
}

TEST(KvParser, reads_arrays_and_inline_requests_in_a_row) {
  std::string value("\r\n\0$5\r\n*", 8);
  Parsed parsed = parse(request({"SET", "k", value}) + "PING\r\n" + request({"GET", ""}) + "get  k \n");
  EXPECT_EQ(parsed.requests, (std::vector<Words>{{"SET", "k", value}, {"PING"}, {"GET", ""}, {"get", "k"}}));
  EXPECT_EQ(parsed.error, "");
  EXPECT_EQ(parsed.left, 0U);
}

TEST(KvParser, skips_empty_requests_and_keeps_none_of_their_bytes) {
  Parsed parsed = parse("\r\n\n*0\r\n*-1\r\n  \t\r\n*-7\r\nPING\r\n*0\r\n");
  EXPECT_EQ(parsed.requests, (std::vector<Words>{{"PING"}}));
  EXPECT_EQ(parsed.left, 0U);
}

TEST(KvParser, resolves_the_quotes_of_inline_requests) {
  struct {
    std::string line;
    Words words;
  } cases[] = {
      {R"(set "a b" 'c d')", {"set", "a b", "c d"}},
      {R"("\x41\x7a\n\r\t\b\a\q\"\\")", {"Az\n\r\t\b\aq\"\\"}},
      {R"('\n\'' "'" '"')", {"\\n'", "'", "\""}},
      {R"("\xzz" "\x4")", {"xzz", "x4"}},
      {R"("" '')", {"", ""}},
      {R"(pre"fix")", {"prefix"}},
  };
  for (const auto& each : cases) {
    EXPECT_EQ(parse(each.line + "\r\n").requests, std::vector<Words>{each.words}) << each.line;
  }
}

TEST(KvParser, refuses_with_the_words_of_redis) {
  std::string too_long(kv::Parser::max_inline + 1, 'x');
  struct {
    std::string bytes;
    std::string error;
  } cases[] = {
      {"*1000000000\r\n", "invalid multibulk length"},
      {"*1048577\r\n", "invalid multibulk length"},
      {"*abc\r\n", "invalid multibulk length"},
      {"*\r\n", "invalid multibulk length"},
      {"*01\r\n", "invalid multibulk length"},
      {"*+1\r\n", "invalid multibulk length"},
      {"*1\rx", "invalid multibulk length"},
      {"*9223372036854775808\r\n", "invalid multibulk length"},
      {"*" + std::string(22, '1'), "invalid multibulk length"},
      {"*1\r\nPING\r\n", "expected '$', got 'P'"},
      {"*2\r\n$1\r\na\r\n:1\r\n", "expected '$', got ':'"},
      {"*1\r\n\r\n", "expected '$', got '\r'"},
      {"*1\r\n$-1\r\n", "invalid bulk length"},
      {"*1\r\n$536870913\r\n", "invalid bulk length"},
      {"*1\r\n$x\r\n", "invalid bulk length"},
      {"*1\r\n$1\r\nab\r\n", "expected a line break after a bulk"},
      {"get \"abc\r\n", "unbalanced quotes in request"},
      {"get 'abc\r\n", "unbalanced quotes in request"},
      {"get \"abc\"d\r\n", "unbalanced quotes in request"},
      {too_long, "too big inline request"},
      {too_long + "\r\n", "too big inline request"},
  };
  for (const auto& each : cases) {
    Parsed whole = parse(each.bytes);
    EXPECT_EQ(whole.error, "ERR Protocol error: " + each.error) << each.bytes.substr(0, 40);
    EXPECT_TRUE(whole.requests.empty());
    EXPECT_EQ(parse(each.bytes.substr(0, 100), every_byte(each.bytes.substr(0, 100))),
              parse(each.bytes.substr(0, 100)));
  }
  EXPECT_EQ(parse("PING\r\n*x\r\n").requests.size(), 1U);
}

TEST(KvParser, takes_lengths_up_to_the_limits) {
  EXPECT_EQ(parse("*1048576\r\n$536870912\r\nx").left, 23U);
  std::string line(kv::Parser::max_inline, 'x');
  EXPECT_EQ(parse(line + "\n").requests, (std::vector<Words>{{line}}));
}

TEST(KvParser, does_not_begin_again_with_every_piece) {
  // 200,000 arguments, a byte at a time: hours if every byte began at the front.
  std::string bytes = request(Words(200000, "ab"));
  kv::Parser parser;
  std::string_view rest;
  for (std::size_t size = 1; size <= bytes.size(); ++size) {
    rest = std::string_view(bytes).substr(0, size);
    ASSERT_EQ(parser.parse(rest), size == bytes.size());
  }
  EXPECT_EQ(rest, "");
  EXPECT_EQ(parser.args().size(), 200000U);
}

rc::Gen<std::string> any_bytes() {
  return rc::gen::container<std::string>(rc::gen::oneOf(
      rc::gen::arbitrary<char>(), rc::gen::elementOf(std::string("*$\r\n0123456789-\"'\\ x"))));
}

rc::Gen<std::string> any_piece() {
  auto array = rc::gen::map(rc::gen::container<Words>(any_bytes()), request);
  auto line = rc::gen::map(any_bytes(), [](std::string text) { return text + "\r\n"; });
  auto fixed = rc::gen::elementOf(
      Words{"\r\n", "*0\r\n", "*-1\r\n", "PING\r\n", "*1\r\n", "$4\r\n", "set \"a b\" 'c'\r\n"});
  return rc::gen::weightedOneOf<std::string>({{6, array}, {2, line}, {2, fixed}, {1, any_bytes()}});
}

RC_GTEST_PROP(KvParser, answers_the_same_however_the_bytes_are_cut, ()) {
  Words pieces = *rc::gen::container<Words>(any_piece());
  std::string bytes;
  for (const std::string& piece : pieces) bytes += piece;
  auto cuts =
      *rc::gen::container<std::vector<std::size_t>>(rc::gen::inRange<std::size_t>(0, bytes.size() + 1));
  std::sort(cuts.begin(), cuts.end());
  Parsed whole = parse(bytes);
  RC_ASSERT(parse(bytes, cuts) == whole);
  RC_ASSERT(parse(bytes, every_byte(bytes)) == whole);
}

RC_GTEST_PROP(KvParser, gives_back_the_words_that_were_sent, ()) {
  auto requests =
      *rc::gen::container<std::vector<Words>>(rc::gen::nonEmpty(rc::gen::container<Words>(any_bytes())));
  std::string bytes;
  for (const Words& words : requests) bytes += request(words);
  RC_ASSERT(parse(bytes) == (Parsed{requests, "", 0}));
}

TEST(KvReply, has_the_form_of_the_protocol) {
  std::string out;
  kv::put_simple(out, "OK");
  kv::put_error(out, "ERR a\r\nb");
  kv::put_integer(out, INT64_MIN);
  kv::put_bulk(out, std::string_view("a\0b", 3));
  kv::put_bulks(out, {"-12", ""});
  kv::put_null(out);
  kv::put_array(out, 0);
  EXPECT_EQ(out,
            std::string(
                "+OK\r\n-ERR a  b\r\n:-9223372036854775808\r\n$3\r\na\0b\r\n*2\r\n$3\r\n-12\r\n$0\r\n\r\n$-1\r\n*0\r\n",
                76));
}

TEST(KvReply, integers_are_read_as_redis_reads_them) {
  std::int64_t value = 0;
  for (const char* right : {"0", "-1", "10", "9223372036854775807", "-9223372036854775808"}) {
    EXPECT_TRUE(kv::parse_integer(right, value)) << right;
    EXPECT_EQ(std::to_string(value), right);
  }
  for (const char* wrong :
       {"", "-", "-0", "00", "01", "+1", " 1", "1 ", "1x", "0x1", "9223372036854775808", "--1"}) {
    EXPECT_FALSE(kv::parse_integer(wrong, value)) << wrong;
  }
}

}  // namespace
