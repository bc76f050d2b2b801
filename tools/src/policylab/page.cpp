#include "policylab/page.hpp"

#include "policylab/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace policylab {
namespace {

/// JSON that can stand inside a script element: nothing in it can end the element or begin a comment.
std::string for_script(const nlohmann::json& data) {
  std::string text;
  for (const char letter : data.dump()) {
    if (letter == '<') {
      text += "\\u003c";
    } else {
      text += letter;
    }
  }
  return text;
}

}  // namespace

std::string to_html(const Study& study) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>heirloop: scheduling policies compared</title>\n<style>\n{}</style>\n</head>\n<body>\n{}"
      "<script type=\"application/json\" id=\"data\">{}</script>\n<script>\n{}</script>\n</body>\n</html>\n",
      page_style(), page_body(), for_script(to_json(study, Detail::pictures)), page_script());
}

}  // namespace policylab
