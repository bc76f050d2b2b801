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

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kv {

/// A request: the command's name and its arguments, at least one word.
using Args = std::span<const std::string_view>;

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
  Result parse(std::string_view input);

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
  Status parse_array(std::string_view input);
  Status parse_inline(std::string_view input);
  Status parse_length(std::string_view input, std::int64_t smallest, std::int64_t largest, const char* what);
  bool split(std::string_view line);
  Status fail(std::string_view text);

  std::size_t at_ = 0;        // of this request's bytes, those read
  std::int64_t missing_ = 0;  // arguments still to come
  std::int64_t length_ = -1;  // of the argument being read; -1: not known yet
  std::vector<Part> parts_;   // places, for the bytes may move between two calls
  std::string unquoted_;      // the words of an inline request
  std::vector<std::string_view> args_;
  std::string error_;
};

/// The 64-bit integer that `text` spells the way Redis takes it: no sign but a minus, no leading zero, no
/// space.
bool parse_integer(std::string_view text, std::int64_t& value);

/// A reply, or a record of the log, is appended to `out` in pieces. Cost: O(bytes).
void put_simple(std::string& out, std::string_view text);
void put_error(std::string& out, std::string_view text);  // line breaks become spaces
void put_integer(std::string& out, std::int64_t value);
void put_bulk(std::string& out, std::string_view bytes);
void put_bulk(std::string& out, std::int64_t value);  // its decimal digits
void put_null(std::string& out);
void put_array(std::string& out, std::size_t size);  // `size` replies follow
void put_bulks(std::string& out, Args words);        // an array of them; a request has this form

}  // namespace kv
