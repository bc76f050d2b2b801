// The demo's tables, bars and sentences on screens of every kind.
#include "demo/picture.hpp"
#include "demo_figures_test.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

namespace {

using demo::Screen;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const Screen utf8{100, true, false};
const Screen ascii{100, false, false};

// Colour sequences and the further bytes of a character take no room.
int columns_of(const std::string& line) {
  int columns = 0;
  for (std::size_t place = 0; place < line.size(); ++place) {
    if (line[place] == '\x1b') {
      place = line.find('m', place);
    } else if ((static_cast<unsigned char>(line[place]) & 0xC0) != 0x80) {
      ++columns;
    }
  }
  return columns;
}

std::string whole_picture(const demo::Figures& figures, const Screen& screen) {
  return run_table(figures, screen) + run_bars(figures, screen) + redis_table(figures, screen) +
         verdict(figures, screen);
}

TEST(DemoPicture, is_never_wider_than_the_screen) {
  for (int width = 40; width <= 130; ++width) {
    for (const bool fancy : {false, true}) {
      const Screen screen{width, fancy, fancy};
      std::istringstream lines(whole_picture(good_figures(), screen));
      for (std::string line; std::getline(lines, line);) EXPECT_LE(columns_of(line), width) << line;
    }
  }
}

TEST(DemoPicture, has_every_column_on_a_screen_of_80) {
  const std::string table = run_table(good_figures(), {80, true, false});
  EXPECT_THAT(table,
              AllOf(HasSubstr("p50"), HasSubstr("p99 "), HasSubstr("p99.9"), HasSubstr("max"),
                    HasSubstr("req/s"), HasSubstr("steps/s"), HasSubstr("lock p99"), HasSubstr("wait")));
  EXPECT_THAT(table, AllOf(HasSubstr("7.44ms"), HasSubstr("92µs"), HasSubstr("19,876"), HasSubstr("41,234")));
  const std::string redis = redis_table(good_figures(), {80, true, false});
  EXPECT_THAT(redis, AllOf(HasSubstr("kvserver CPU"), HasSubstr("redis-server"), HasSubstr("101%"),
                           HasSubstr("86%")));
}

TEST(DemoPicture, keeps_the_telling_columns_on_a_narrow_screen) {
  const std::string table = run_table(good_figures(), {48, true, false});
  EXPECT_THAT(table.substr(0, table.find('\n')),
              AllOf(HasSubstr("p99"), HasSubstr("wait"), Not(HasSubstr("max"))));
}

TEST(DemoPicture, is_plain_ascii_without_utf8_and_colours) {
  const std::string picture = whole_picture(good_figures(), ascii);
  EXPECT_TRUE(std::all_of(picture.begin(), picture.end(),
                          [](char byte) { return byte == '\n' || (byte >= ' ' && byte <= '~'); }));
  EXPECT_THAT(picture, HasSubstr("92us"));
}

TEST(DemoPicture, has_colours_only_where_they_are_wanted) {
  EXPECT_THAT(whole_picture(good_figures(), {100, true, true}), HasSubstr("\x1b[31m"));
  EXPECT_THAT(whole_picture(good_figures(), utf8), Not(HasSubstr("\x1b")));
}

TEST(DemoPicture, stands_figures_of_nothing) {
  demo::Figures figures = good_figures();
  for (demo::RunFigures& run : figures.runs) run = demo::medians(run.variant, {demo::Sample{}});
  for (demo::RedisRow& row : figures.redis) row.kvserver = row.redis_server = {};
  EXPECT_THAT(whole_picture(figures, utf8),
              AllOf(HasSubstr("Not met"), Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
}

TEST(DemoBar, has_the_length_of_its_part) {
  EXPECT_EQ(demo::bar(1, 3, utf8), "███");
  EXPECT_EQ(demo::bar(0.5, 3, utf8), "█▌");
  EXPECT_EQ(demo::bar(2, 3, utf8), "███");
  EXPECT_EQ(demo::bar(0, 3, utf8), "");
  EXPECT_EQ(demo::bar(-1, 3, utf8), "");
  EXPECT_EQ(demo::bar(1, 3, ascii), "###");
  EXPECT_EQ(demo::bar(0.4, 10, ascii), "####");
}

TEST(DemoBar, grows_with_the_latency) {
  std::istringstream lines(run_bars(good_figures(), ascii));
  std::string line;
  std::getline(lines, line);
  EXPECT_THAT(line, HasSubstr("log scale from 10us"));
  std::vector<long> lengths;
  while (std::getline(lines, line)) lengths.push_back(std::count(line.begin(), line.end(), '#'));
  ASSERT_EQ(lengths.size(), 6U);
  EXPECT_GT(lengths[0], 0);
  EXPECT_GT(lengths[1], 2 * lengths[2]);
  EXPECT_EQ(*std::max_element(lengths.begin(), lengths.end()), lengths[5]);
}

TEST(DemoNumbers, are_short) {
  EXPECT_EQ(demo::short_time(0, utf8), "0");
  EXPECT_EQ(demo::short_time(4.25, ascii), "4.2us");
  EXPECT_EQ(demo::short_time(92.4, utf8), "92µs");
  EXPECT_EQ(demo::short_time(999.4, ascii), "999us");
  EXPECT_EQ(demo::short_time(999.6, ascii), "1.00ms");
  EXPECT_EQ(demo::short_time(7439, ascii), "7.44ms");
  EXPECT_EQ(demo::short_time(74'390, ascii), "74.4ms");
  EXPECT_EQ(demo::short_time(999'400, ascii), "999ms");
  EXPECT_EQ(demo::short_time(999'600, ascii), "1.00s");
  EXPECT_EQ(demo::short_time(12'340'000, ascii), "12.3s");
  EXPECT_EQ(demo::grouped(0), "0");
  EXPECT_EQ(demo::grouped(999), "999");
  EXPECT_EQ(demo::grouped(1'000), "1,000");
  EXPECT_EQ(demo::grouped(1'234'567.8), "1,234,568");
  EXPECT_EQ(demo::grouped(-1'000), "-1,000");
}

TEST(DemoVerdict, says_in_words_what_the_figures_show) {
  const std::string text = verdict(good_figures(), {10'000, true, false});
  EXPECT_THAT(text, AllOf(HasSubstr("7.44ms under fifo"), HasSubstr("92µs under strict (81 times quicker)"),
                          HasSubstr("95µs under aging (78 times quicker)"), HasSubstr("keeps 100%"),
                          HasSubstr("up to 4 dispatches with inheritance, 41,234 without")));
  EXPECT_THAT(text,
              HasSubstr("kvserver takes 86% of redis-server's CPU time a request at 101% of its requests/s"));
  EXPECT_THAT(text, AllOf(HasSubstr("All 14 expectations are met."), Not(HasSubstr("Not met"))));
}

TEST(DemoVerdict, says_what_is_not_met_and_what_spoiled_a_run) {
  demo::Figures figures = good_figures();
  figures.runs[2].p99_us = 10'000;
  figures.runs[3].rounds_off_pace = 2;
  figures.runs[5].errors = 17;
  const std::string text = verdict(figures, {10'000, true, false});
  EXPECT_THAT(text, AllOf(HasSubstr("10.0ms under strict (1.3 times slower)"),
                          HasSubstr("12 of 14 expectations are met. Not met:\n- strict: p99 is 1/0.7"),
                          HasSubstr("aging: loadgen could not keep its pace in 2 of 5 rounds"),
                          HasSubstr("lock_inheritance_off: 17 of 16,000 requests got an error")));
}

}  // namespace
