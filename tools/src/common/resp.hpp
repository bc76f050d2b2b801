// The Redis protocol, version 2, as both sides write it: requests and replies in pieces, and where a reply
// ends.
//
// A piece is appended to `out`. Cost: O(bytes).
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tools::resp {

/// The words of a request: the command's name and its arguments.
using Args = std::span<const std::string_view>;

/// The integer that `text` spells the way Redis takes it: no sign but a minus, no leading zero, no space.
inline bool parse_integer(std::string_view text, std::integral auto& value) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

/// A line of a type and a number.
inline void put_line(std::string& out, char type, std::int64_t value) {
  const fmt::format_int digits(value);
  out += type;
  out.append(digits.data(), digits.size()).append("\r\n", 2);
}
inline void put_integer(std::string& out, std::int64_t value) { put_line(out, ':', value); }
/// `size` replies follow.
inline void put_array(std::string& out, std::size_t size) {
  put_line(out, '*', static_cast<std::int64_t>(size));
}
inline void put_simple(std::string& out, std::string_view text) {
  out.append("+").append(text).append("\r\n");
}
/// Line breaks become spaces.
inline void put_error(std::string& out, std::string_view text) {
  out += '-';
  for (const char c : text) out += c == '\r' || c == '\n' ? ' ' : c;
  out += "\r\n";
}
inline void put_bulk(std::string& out, std::string_view bytes) {
  put_line(out, '$', static_cast<std::int64_t>(bytes.size()));
  out.append(bytes).append("\r\n", 2);
}
inline void put_null(std::string& out) { out += "$-1\r\n"; }
/// An array of bulks; a request has this form.
inline void put_bulks(std::string& out, Args words) {
  put_array(out, words.size());
  for (const std::string_view word : words) put_bulk(out, word);
}
inline void put_bulks(std::string& out, std::initializer_list<std::string_view> words) {
  put_bulks(out, Args(words.begin(), words.size()));
}

/// The length of the simple string, error, integer or bulk string that `bytes` begin with; 0 while it is not
/// whole. Errors: std::runtime_error when they begin with none of these.
inline std::size_t reply_length(std::string_view bytes) {
  if (bytes.empty()) return 0;
  const char type = bytes.front();
  const std::size_t line = bytes.find("\r\n");
  const bool has_line = line != std::string_view::npos;
  std::int64_t size = -1;  // of a bulk string that is not null
  const bool has_size = type == '$' && has_line;
  if (std::string_view("+-:$").find(type) == std::string_view::npos ||
      (has_size && (!parse_integer(bytes.substr(1, line - 1), size) || size < -1))) {
    throw std::runtime_error("not a simple string, error, integer or bulk string of the Redis protocol");
  }
  const std::size_t length = line + 2 + (size >= 0 ? static_cast<std::size_t>(size) + 2 : 0);
  return has_line && bytes.size() >= length ? length : 0;
}

}  // namespace tools::resp
