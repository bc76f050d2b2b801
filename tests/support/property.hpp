// Running RapidCheck properties inside GoogleTest with a number of runs of their own.
//
// RapidCheck prints its seed as it starts; RC_PARAMS="seed=..." replays a run and RC_PARAMS="reproduce=..."
// (printed with a failure) a single case. HEIRLOOP_NIGHTLY=1 makes every property run fifty times as often.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>

namespace heirloop::testing {

inline bool nightly() {
  const char* value = std::getenv("HEIRLOOP_NIGHTLY");
  return value != nullptr && std::string_view(value) != "0" && std::string_view(value) != "";
}

/// Checks `property` with `runs` random inputs (a max_success in RC_PARAMS comes first), of sizes up to
/// `max_size`.
template <class Property>
void check_property(int runs, int max_size, Property&& property) {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  rc::detail::TestMetadata metadata;
  metadata.id = std::string(info->test_suite_name()) + "/" + info->name();
  metadata.description = info->name();
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  const char* given = std::getenv("RC_PARAMS");
  if (given == nullptr || std::string_view(given).find("max_success") == std::string_view::npos) {
    params.maxSuccess = nightly() ? runs * 50 : runs;
  }
  params.maxSize = max_size;
  const auto result = rc::detail::checkTestable(std::forward<Property>(property), metadata, params);
  if (result.template is<rc::detail::SuccessResult>()) return;
  std::ostringstream text;
  rc::detail::printResultMessage(result, text);
  FAIL() << text.str() << "\nseed=" << params.seed;
}

}  // namespace heirloop::testing
