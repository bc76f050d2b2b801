// The requests of the Redis protocol, version 2, cut out of the bytes that arrive.
//
// Parser owns how far one request has been read, and nothing of its bytes: arguments are views into the
// caller's buffer (of an inline request, with its quotes resolved, into the parser). Used by a connection,
// and by the loader of the log.
//
// Invariants:
// 1. No byte is looked at twice, however a request is cut into pieces, but the 22 of the length that came
// last.
// 2. What is answered depends on the bytes alone, never on how they are cut.
// 3. Memory grows with what has arrived, never with what is announced; in steady state nothing is allocated.
#pragma once

#include "common/resp.hpp"

#include <algorithm>
#include <initializer_list>
#include <utility>
#include <vector>

namespace kv {

using namespace tools::resp;

inline char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// Whether two words are the same but for case.
inline bool same_word(std::string_view left, std::string_view right) {
  return std::ranges::equal(left, right, {}, to_lower, to_lower);
}

inline bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::ranges::any_of(words, [&](std::string_view each) { return same_word(word, each); });
}

/// What can't be carried out: the text of the error reply, without the dash.
struct Refused {
  std::string text;
};

/// Cuts the bytes of a connection into requests.
class Parser {
 public:
  static constexpr std::int64_t max_args = 1024 * 1024;
  static constexpr std::int64_t max_bulk = 512 * 1024 * 1024;  // bytes of one argument
  static constexpr std::size_t max_inline = 64 * 1024;         // bytes of an inline request

  /// Cuts the next request off the front of `input`, the bytes not yet consumed: its words are args() then.
  /// False while none is whole: to be called again when more have come behind the rest, which may have been
  /// moved. Empty requests are skipped. Errors: Refused; the connection can only be closed then. Cost: O(new
  /// bytes), for a bulk O(1).
  bool parse(std::string_view& input) {
    while (!input.empty()) {
      const bool is_array = input.front() == '*';
      const bool whole = is_array ? parse_array(input) : parse_inline(input);
      if (!whole) return false;
      const char* base = is_array ? input.data() : unquoted_.data();
      input.remove_prefix(std::exchange(at_, 0));
      if (parts_.empty()) continue;

      if (args_.capacity() > many_args && parts_.size() <= many_args) args_ = {};
      args_.clear();
      for (const Part part : parts_) args_.emplace_back(base + part.at, part.size);
      if (parts_.capacity() > many_args) parts_ = {};
      return true;
    }
    return false;
  }

  /// The words of the last request, as long as the bytes given to parse() stay and parse() is not called
  /// again.
  Args args() const { return args_; }

 private:
  struct Part {
    std::size_t at, size;
  };
  static constexpr std::size_t max_length_digits = 20;
  static constexpr std::size_t many_args = 1024;  // room for more is given back

  // Each of these says whether what it reads is whole.

  bool parse_array(std::string_view input) {
    if (at_ == 0) {
      parts_.clear();
      if (!parse_length(input, at_, missing_, INT64_MIN, max_args, "invalid multibulk length")) return false;
    }
    for (; missing_ > 0; --missing_) {
      if (at_ == input.size()) return false;
      if (input[at_] != '$') fail(fmt::format("expected '$', got '{}'", input[at_]));
      std::size_t at = at_;
      std::int64_t length;
      if (!parse_length(input, at, length, 0, max_bulk, "invalid bulk length")) return false;
      const auto size = static_cast<std::size_t>(length);
      if (input.size() - at < size + 2) return false;
      if (input.substr(at + size, 2) != "\r\n") fail("expected a line break after a bulk");
      parts_.push_back({at, size});
      at_ = at + size + 2;
    }
    return true;
  }

  /// Reads the `<type><number>\r\n` at `at`, and sets `at` behind it.
  bool parse_length(std::string_view input, std::size_t& at, std::int64_t& length, std::int64_t smallest,
                    std::int64_t largest, const char* what) {
    const std::string_view line = input.substr(at + 1, max_length_digits + 2);
    const std::size_t end = std::min(line.find('\r'), line.size());
    if (end <= max_length_digits && end + 1 >= line.size()) return false;
    const bool is_number = end <= max_length_digits && parse_integer(line.substr(0, end), length);
    if (!is_number || line[end + 1] != '\n' || length < smallest || length > largest) fail(what);
    at += 1 + end + 2;
    return true;
  }

  bool parse_inline(std::string_view input) {
    const std::size_t end = input.substr(0, max_inline + 1).find('\n', at_);
    at_ = std::min(end, input.size() - 1) + 1;
    if (end == input.npos && at_ > max_inline) fail("too big inline request");
    if (end != input.npos && !split(input.substr(0, end))) fail("unbalanced quotes in request");
    return end != input.npos;
  }

  /// Cuts an inline request into words: "..." with escapes, '...' with \' alone; a closing quote ends its
  /// word.
  bool split(std::string_view line) {
    const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; };
    parts_.clear();
    unquoted_.clear();
    bool in_word = false;
    char quote = '\0';  // that is open
    for (std::size_t i = 0; i < line.size(); ++i) {
      const char c = line[i];
      const bool ends_word = quote == '\0' && is_space(c);
      if (!ends_word && !in_word) parts_.push_back({unquoted_.size(), 0});
      in_word = !ends_word;
      if (ends_word) continue;
      if (c == quote) {
        if (i + 1 < line.size() && !is_space(line[i + 1])) return false;
        quote = '\0';
      } else if (quote == '\0' && (c == '"' || c == '\'')) {
        quote = c;
      } else {
        unquoted_ += quote != '\0' && c == '\\' ? unescape(line, i, quote) : c;
      }
      parts_.back().size = unquoted_.size() - parts_.back().at;
    }
    return quote == '\0';
  }

  /// What the backslash at `i` and what is behind it stand for; moves `i` to the last character of that.
  static char unescape(std::string_view line, std::size_t& i, char quote) {
    if (i + 1 == line.size() || (quote == '\'' && line[i + 1] != '\'')) return '\\';
    const char c = line[++i];
    const std::string_view hex = line.substr(i + 1, 2);
    unsigned char byte = 0;
    if (c == 'x' && hex.size() == 2 && std::from_chars(&hex[0], &hex[0] + 2, byte, 16).ptr == &hex[0] + 2) {
      i += 2;
      return static_cast<char>(byte);
    }
    static constexpr std::string_view letters = "nrtba", meanings = "\n\r\t\b\a";
    const std::size_t letter = letters.find(c);
    return letter == letters.npos ? c : meanings[letter];
  }

  [[noreturn]] static void fail(std::string_view text) {
    throw Refused{fmt::format("ERR Protocol error: {}", text)};
  }

  std::size_t at_ = 0;        // of this request's bytes, those read
  std::int64_t missing_ = 0;  // arguments still to come
  std::vector<Part> parts_;   // places, for the bytes may move between two calls
  std::string unquoted_;      // the words of an inline request
  std::vector<std::string_view> args_;
};

}  // namespace kv
