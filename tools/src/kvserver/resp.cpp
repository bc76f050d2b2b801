#include "kvserver/resp.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace kv {

namespace {

constexpr std::size_t max_length_digits = 20;
constexpr std::size_t many_args = 1024;  // room for more is given back

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void put_line(std::string& out, char type, std::int64_t value) {
  char line[24];
  line[0] = type;
  char* end = std::to_chars(line + 1, line + sizeof line, value).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(line, end);
}

}  // namespace

Parser::Result Parser::parse(std::string_view input) {
  std::size_t skipped = 0;
  for (;;) {
    std::string_view rest = input.substr(skipped);
    if (rest.empty()) return {Status::need_more, skipped};
    bool is_array = rest.front() == '*';
    Status status = is_array ? parse_array(rest) : parse_inline(rest);
    if (status != Status::request) return {status, skipped};
    skipped += std::exchange(at_, 0);
    if (parts_.empty()) continue;

    if (args_.capacity() > many_args && parts_.size() <= many_args) args_ = {};
    args_.clear();
    const char* base = is_array ? rest.data() : unquoted_.data();
    for (Part part : parts_) args_.emplace_back(base + part.at, part.size);
    if (parts_.capacity() > many_args) parts_ = {};
    return {Status::request, skipped};
  }
}

Parser::Status Parser::parse_array(std::string_view input) {
  if (at_ == 0) {
    parts_.clear();
    Status status = parse_length(input, INT64_MIN, max_args, "invalid multibulk length");
    if (status != Status::request) return status;
    missing_ = std::exchange(length_, -1);
  }
  for (; missing_ > 0; --missing_) {
    if (length_ < 0) {
      if (at_ == input.size()) return Status::need_more;
      if (input[at_] != '$') return fail(std::string("expected '$', got '") + input[at_] + "'");
      Status status = parse_length(input, 0, max_bulk, "invalid bulk length");
      if (status != Status::request) return status;
    }
    auto size = static_cast<std::size_t>(length_);
    if (input.size() - at_ < size + 2) return Status::need_more;
    if (input[at_ + size] != '\r' || input[at_ + size + 1] != '\n')
      return fail("expected a line break after a bulk");
    parts_.push_back({at_, size});
    at_ += size + 2;
    length_ = -1;
  }
  return Status::request;
}

/// Reads `<type><number>\r\n` into length_.
Parser::Status Parser::parse_length(std::string_view input, std::int64_t smallest, std::int64_t largest,
                                    const char* what) {
  std::string_view line = input.substr(at_ + 1, max_length_digits + 2);
  std::size_t end = 0;
  std::int64_t value = 0;
  while (end < line.size() && line[end] >= '0' && line[end] <= '9' && end < 9)
    value = value * 10 + (line[end++] - '0');
  // Nearly all are whole, with few digits.
  bool plain = end > 0 && end + 1 < line.size() && line[end] == '\r' && (line[0] != '0' || end == 1);
  if (!plain) {
    end = line.find('\r');
    if (end == line.npos ? line.size() < max_length_digits + 2
                         : end + 1 == line.size() && end <= max_length_digits) {
      return Status::need_more;
    }
    if (end > max_length_digits || !parse_integer(line.substr(0, end), value)) return fail(what);
  }
  if (line[end + 1] != '\n' || value < smallest || value > largest) return fail(what);
  length_ = value;
  at_ += 1 + end + 2;
  return Status::request;
}

Parser::Status Parser::parse_inline(std::string_view input) {
  std::size_t end = input.substr(0, max_inline + 1).find('\n', at_);
  if (end == input.npos) {
    at_ = input.size();
    return at_ > max_inline ? fail("too big inline request") : Status::need_more;
  }
  at_ = end + 1;
  return split(input.substr(0, end)) ? Status::request : fail("unbalanced quotes in request");
}

/// Cuts an inline request into words: "..." with escapes, '...' with \' alone; a closing quote ends its word.
bool Parser::split(std::string_view line) {
  parts_.clear();
  unquoted_.clear();
  for (std::size_t i = 0;;) {
    while (i < line.size() && is_space(line[i])) ++i;
    if (i == line.size()) return true;
    std::size_t start = unquoted_.size();
    while (i < line.size() && !is_space(line[i])) {
      char quote = line[i++];
      if (quote != '"' && quote != '\'') {
        unquoted_ += quote;
        continue;
      }
      for (;; ++i) {
        if (i == line.size()) return false;
        char c = line[i];
        if (c == quote) break;
        if (c != '\\' || i + 1 == line.size() || (quote == '\'' && line[i + 1] != '\'')) {
          unquoted_ += c;
          continue;
        }
        c = line[++i];
        int high = i + 2 < line.size() ? hex_digit(line[i + 1]) : -1;
        int low = i + 2 < line.size() ? hex_digit(line[i + 2]) : -1;
        if (quote == '"' && c == 'x' && high >= 0 && low >= 0) {
          unquoted_ += static_cast<char>(high * 16 + low);
          i += 2;
        } else {
          static constexpr std::string_view letters = "nrtba", meanings = "\n\r\t\b\a";
          std::size_t letter = quote == '"' ? letters.find(c) : letters.npos;
          unquoted_ += letter == letters.npos ? c : meanings[letter];
        }
      }
      ++i;
      if (i < line.size() && !is_space(line[i])) return false;
    }
    parts_.push_back({start, unquoted_.size() - start});
  }
}

Parser::Status Parser::fail(std::string_view text) {
  error_ = "ERR Protocol error: ";
  error_ += text;
  return Status::error;
}

bool parse_integer(std::string_view text, std::int64_t& value) {
  std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  if (digits.empty() || (digits[0] == '0' && text.size() > 1)) return false;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

void put_simple(std::string& out, std::string_view text) {
  out += '+';
  out += text;
  out += "\r\n";
}

void put_error(std::string& out, std::string_view text) {
  out += '-';
  std::size_t start = out.size();
  out += text;
  std::replace_if(
      out.begin() + static_cast<std::ptrdiff_t>(start), out.end(),
      [](char c) { return c == '\r' || c == '\n'; }, ' ');
  out += "\r\n";
}

void put_integer(std::string& out, std::int64_t value) { put_line(out, ':', value); }

void put_bulk(std::string& out, std::string_view bytes) {
  put_line(out, '$', static_cast<std::int64_t>(bytes.size()));
  out += bytes;
  out += "\r\n";
}

void put_bulk(std::string& out, std::int64_t value) {
  char digits[20];
  put_bulk(out, std::string_view(digits, std::to_chars(digits, digits + sizeof digits, value).ptr));
}

void put_null(std::string& out) { out += "$-1\r\n"; }

void put_array(std::string& out, std::size_t size) { put_line(out, '*', static_cast<std::int64_t>(size)); }

void put_bulks(std::string& out, Args words) {
  put_array(out, words.size());
  for (std::string_view word : words) put_bulk(out, word);
}

}  // namespace kv
