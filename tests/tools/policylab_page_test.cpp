// The page: complete in itself, with data that parses.
#include "policylab/page.hpp"
#include "policylab/parser.hpp"
#include "policylab/report.hpp"
#include "policylab/run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace {

using namespace policylab;
using testing::HasSubstr;
using testing::Not;

const Study& study() {
  static const Study made = [] {
    Study one;
    WorkloadStudy& each = one.workloads.emplace_back();
    each.workload = parse_workload(
        "workload w\nabout </script><b>not an end</b>\nlength 100 ms\n"
        "class a\narrives poisson 500/s\nsteps fixed 2\nstep exponential 100 us max 1 ms\npriority "
        "high\ndeadline 2 ms\n"
        "class b\narrives closed 2 think fixed 0 ms\nstep fixed 300 us\n",
        "test");
    for (const auto policy : heirloop::all_policies()) {
      RunOptions options;
      options.policy = policy;
      each.runs.push_back(run_workload(each.workload, options));
    }
    return one;
  }();
  return made;
}

std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const std::size_t from = text.find(begin);
  if (from == std::string::npos) return {};
  const std::size_t at = from + begin.size();
  return text.substr(at, text.find(end, at) - at);
}

TEST(PolicylabPage, refers_to_nothing_outside) {
  const std::string page = to_html(study());
  for (const char* reference :
       {"http", "//cdn", "src=", "href=", "@import", "url(", "fetch(", "<link", "<iframe"}) {
    EXPECT_THAT(page, Not(HasSubstr(reference)));
  }
}

TEST(PolicylabPage, holds_the_figures_of_the_report) {
  const std::string page = to_html(study());
  const std::string text = between(page, "<script type=\"application/json\" id=\"data\">", "</script>");
  EXPECT_EQ(nlohmann::json::parse(text), to_json(study(), Detail::pictures))
      << "a text in it ended the element";
}

TEST(PolicylabPage, has_what_its_pictures_are_drawn_from) {
  const auto data = to_json(study(), Detail::pictures);
  const auto& run = data["workloads"][0]["runs"][0];
  EXPECT_EQ(run["classes"].size(), 2U);
  EXPECT_EQ(run["classes"][0]["ready_to_run"]["curve_ns"].size(), data["curve_quantiles"].size());
  EXPECT_EQ(run["classes"][0]["arrival_to_end"]["curve_ns"].size(), data["curve_quantiles"].size());
  EXPECT_EQ(run["overview"].size(), 2U);
  EXPECT_GT(run["stretches"].size(), 10U);
  EXPECT_EQ(run["wait_by_priority"].size(), 2U);
  const std::string page = to_html(study());
  for (const char* id :
       {"curves", "overview", "timeline", "waits", "figures", "findings", "workload", "policy"}) {
    EXPECT_THAT(page, HasSubstr(std::string("id=\"") + id + "\""));
    EXPECT_THAT(std::string(page_script()), HasSubstr(std::string("'") + id + "'"));
  }
}

TEST(PolicylabPage, follows_the_readers_choice_of_light_or_dark) {
  EXPECT_THAT(std::string(page_style()), HasSubstr("prefers-color-scheme: dark"));
}

}  // namespace
