// The Redis protocol, version 2: requests in, replies out.
//
// Parser owns how far one request has been read, and nothing of its bytes: arguments are views into the
// caller's buffer (of an inline request, with its quotes resolved, into the parser). Used by a connection,
// and by the loader of the log.
//
// Invariants:
// 1. No byte is looked at twice, however a request is cut into pieces, but the 22 of an unfinished length.
// 2. What is answered depends on the bytes alone, never on how they are cut.
// 3. Memory grows with what has arrived, never with what is announced; in steady state nothing is allocated.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kv {

/// A request: the command's name and its arguments, at least one word.
using Args = std::span<const std::string_view>;

/// The 64-bit integer that `text` spells the way Redis takes it: no sign but a minus, no leading zero, no
/// space.
inline bool parse_integer(std::string_view text, std::int64_t& value) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

inline char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

/// Whether two words are the same but for case.
inline bool same_word(std::string_view left, std::string_view right) {
  return std::equal(left.begin(), left.end(), right.begin(), right.end(),
                    [](char a, char b) { return to_lower(a) == to_lower(b); });
}

inline bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](auto each) { return same_word(word, each); });
}

/// Cuts the bytes of a connection into requests.
class Parser {
 public:
  static constexpr std::int64_t max_args = 1024 * 1024;
  static constexpr std::int64_t max_bulk = 512 * 1024 * 1024;  // bytes of one argument
  static constexpr std::size_t max_inline = 64 * 1024;         // bytes of an inline request

  enum class Status : std::uint8_t { need_more, request, error };
  struct Result {
    Status status;
    std::size_t consumed;
  };

  /// Reads one request from `input`, the bytes not yet consumed. Whatever the answer, the caller then drops
  /// the first `consumed` bytes; on `need_more` it calls again when more have come behind the rest, which may
  /// have been moved. Empty requests are skipped. After `error` the connection can only be closed. Cost:
  /// O(new bytes), for a bulk O(1).
  Result parse(std::string_view input) {
    for (std::size_t skipped = 0;;) {
      const std::string_view rest = input.substr(skipped);
      if (rest.empty()) return {Status::need_more, skipped};
      const bool is_array = rest.front() == '*';
      const Status status = is_array ? parse_array(rest) : parse_inline(rest);
      if (status != Status::request) return {status, skipped};
      skipped += std::exchange(at_, 0);
      if (parts_.empty()) continue;

      if (args_.capacity() > many_args && parts_.size() <= many_args) args_ = {};
      args_.clear();
      const char* base = is_array ? rest.data() : unquoted_.data();
      for (const Part part : parts_) args_.emplace_back(base + part.at, part.size);
      if (parts_.capacity() > many_args) parts_ = {};
      return {Status::request, skipped};
    }
  }

  /// The words of the last request, as long as the bytes given to parse() stay and parse() is not called
  /// again.
  Args args() const { return args_; }
  /// The text of the error reply, without the dash.
  const std::string& error() const { return error_; }

 private:
  struct Part {
    std::size_t at;
    std::size_t size;
  };
  static constexpr std::size_t max_length_digits = 20;
  static constexpr std::size_t many_args = 1024;  // room for more is given back

  Status parse_array(std::string_view input) {
    if (at_ == 0) {
      parts_.clear();
      const Status status = parse_length(input, INT64_MIN, max_args, "invalid multibulk length");
      if (status != Status::request) return status;
      missing_ = std::exchange(length_, -1);
    }
    for (; missing_ > 0; --missing_) {
      if (length_ < 0) {
        if (at_ == input.size()) return Status::need_more;
        if (input[at_] != '$') return fail(fmt::format("expected '$', got '{}'", input[at_]));
        const Status status = parse_length(input, 0, max_bulk, "invalid bulk length");
        if (status != Status::request) return status;
      }
      const auto size = static_cast<std::size_t>(length_);
      if (input.size() - at_ < size + 2) return Status::need_more;
      if (input.substr(at_ + size, 2) != "\r\n") return fail("expected a line break after a bulk");
      parts_.push_back({at_, size});
      at_ += size + 2;
      length_ = -1;
    }
    return Status::request;
  }

  /// Reads `<type><number>\r\n` into length_.
  Status parse_length(std::string_view input, std::int64_t smallest, std::int64_t largest, const char* what) {
    const std::string_view line = input.substr(at_ + 1, max_length_digits + 2);
    const auto end = static_cast<std::size_t>(std::find(line.begin(), line.end(), '\r') - line.begin());
    if (end <= max_length_digits && end + 1 >= line.size()) return Status::need_more;
    const bool is_number = end <= max_length_digits && parse_integer(line.substr(0, end), length_);
    if (!is_number || line[end + 1] != '\n' || length_ < smallest || length_ > largest) return fail(what);
    at_ += 1 + end + 2;
    return Status::request;
  }

  Status parse_inline(std::string_view input) {
    const std::size_t end = input.substr(0, max_inline + 1).find('\n', at_);
    at_ = std::min(end, input.size() - 1) + 1;
    if (end != input.npos)
      return split(input.substr(0, end)) ? Status::request : fail("unbalanced quotes in request");
    return at_ > max_inline ? fail("too big inline request") : Status::need_more;
  }

  /// Cuts an inline request into words: "..." with escapes, '...' with \' alone; a closing quote ends its
  /// word.
  bool split(std::string_view line) {
    const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; };
    parts_.clear();
    unquoted_.clear();
    for (std::size_t i = 0;;) {
      while (i < line.size() && is_space(line[i])) ++i;
      if (i == line.size()) return true;
      const std::size_t start = unquoted_.size();
      while (i < line.size() && !is_space(line[i])) {
        const char c = line[i++];
        if (c == '"' || c == '\'') {
          i = unquote(line, i, c);
          if (i > line.size() || (i < line.size() && !is_space(line[i]))) return false;
        } else {
          unquoted_ += c;
        }
      }
      parts_.push_back({start, unquoted_.size() - start});
    }
  }

  /// Takes what is quoted from `i` on; the place behind the closing quote, npos if there is none.
  std::size_t unquote(std::string_view line, std::size_t i, char quote) {
    for (; i < line.size(); ++i) {
      char c = line[i];
      if (c == quote) return i + 1;
      if (c == '\\' && i + 1 < line.size() && (quote == '"' || line[i + 1] == '\'')) {
        c = line[++i];
        static constexpr std::string_view letters = "nrtba", meanings = "\n\r\t\b\a";
        const char* hex = line.data() + i + 1;
        unsigned char byte = 0;
        if (c == 'x' && i + 2 < line.size() && std::from_chars(hex, hex + 2, byte, 16).ptr == hex + 2) {
          c = static_cast<char>(byte);
          i += 2;
        } else if (const std::size_t letter = letters.find(c); letter != letters.npos) {
          c = meanings[letter];
        }
      }
      unquoted_ += c;
    }
    return line.npos;
  }

  Status fail(std::string_view text) {
    error_ = fmt::format("ERR Protocol error: {}", text);
    return Status::error;
  }

  std::size_t at_ = 0;        // of this request's bytes, those read
  std::int64_t missing_ = 0;  // arguments still to come
  std::int64_t length_ = -1;  // of the argument being read; -1: not known yet
  std::vector<Part> parts_;   // places, for the bytes may move between two calls
  std::string unquoted_;      // the words of an inline request
  std::vector<std::string_view> args_;
  std::string error_;
};

// A reply, or a record of the log, is appended to `out` in pieces. Cost: O(bytes).

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
/// Its decimal digits.
inline void put_bulk(std::string& out, std::int64_t value) {
  const fmt::format_int digits(value);
  put_bulk(out, std::string_view(digits.data(), digits.size()));
}
inline void put_null(std::string& out) { out += "$-1\r\n"; }
/// An array of bulks; a request has this form.
inline void put_bulks(std::string& out, Args words) {
  put_array(out, words.size());
  for (const std::string_view word : words) put_bulk(out, word);
}

}  // namespace kv
