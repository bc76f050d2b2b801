// A study as one HTML page that needs nothing but a browser: figures as JSON inside, pictures drawn by its
// own script.
#pragma once

#include "policylab/study.hpp"

#include <string>
#include <string_view>

namespace policylab {

/// The page: latency curves for each class, who ran when, waits over priority, the figures and the findings;
/// light or dark as the reader's browser wants it. No outside reference. Pure.
[[nodiscard]] std::string to_html(const Study& study);

/// The parts that are the same for every study.
[[nodiscard]] std::string_view page_style() noexcept;
[[nodiscard]] std::string_view page_body() noexcept;
[[nodiscard]] std::string_view page_script() noexcept;

}  // namespace policylab
