// The append-only file: its format, what is written to it, and how it is read back. Writes nothing itself:
// the server takes bytes from Log and writes them.
//
// The file is the line `heirloop-kv 1\n` and then frames. A frame is a header and one or more write commands
// in the Redis protocol. The header has 41 bytes:
//     =LLLLLLLLLLLL CCCCCCCCCCCCCCCC HHHHHHHH\r\n
// L is the size of the commands and C their checksum, H the checksum of what is before it, in hexadecimal.
// Because the header vouches for its own L, a frame that was cut short can be told from one that was damaged.
//
// Reading begins at the first byte and leaves out zero bytes at the end of the file (a crash while the file
// grows can leave them; a frame ends in a line break). The first frame that can't be used is
// - torn, if the file ends within what can be its header, or its header is right and the file ends within
//   its commands;
// - damaged, in every other case, also if it is the last one and has all its bytes: a header or a checksum
//   that does not match, commands that can't be parsed or carried out.
// Only what was never wholly written is cut off: a flipped bit in the last acknowledged frame is no torn end.
// A power failure that let later pages reach the disk before earlier ones looks like damage; the server then
// refuses to start, and names the byte at which the file can be cut.
//
// Invariants of the records, on which replay and rewrite rely:
// 1. Replayed while no key ever expires, they give the keys as they were, and keys whose deadline has passed.
// 2. A record leaves its key with the deadline that it had then: it says it, or can't have changed it. So
//    expiry itself needs no record, and what replay has of a key that is gone has a deadline that has passed.
#pragma once

#include "kvserver/resp.hpp"
#include "kvserver/store.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

namespace kv {

namespace frame {

constexpr std::string_view first_line = "heirloop-kv 1\n";
constexpr std::string_view header_shape = "=LLLLLLLLLLLL CCCCCCCCCCCCCCCC HHHHHHHH\r\n";
constexpr std::size_t header_size = header_shape.size();
constexpr std::size_t full = 1 << 20;  // bytes at which a frame is closed

/// Every step maps the state and the next eight bytes one to one, so a change within eight bytes never goes
/// unseen, any other does once in 2^64.
inline std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t state = bytes.size();
  const auto add = [&](std::size_t size) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), size);
    if constexpr (std::endian::native == std::endian::big) word = __builtin_bswap64(word);
    state = (state ^ word) * 0x9E3779B97F4A7C15u;
    state ^= state >> 32;
    bytes.remove_prefix(size);
  };
  while (bytes.size() >= 8) add(8);
  if (!bytes.empty()) add(bytes.size());
  return state;
}

inline std::string header(std::uint64_t size, std::uint64_t sum) {
  const std::string announced = fmt::format("={:012x} {:016x}", size, sum);
  return fmt::format("{} {:08x}\r\n", announced, static_cast<std::uint32_t>(checksum(announced)));
}

/// What a whole header announces; whether it is one.
inline bool read_header(std::string_view bytes, std::uint64_t& size, std::uint64_t& sum) {
  std::from_chars(bytes.data() + 1, bytes.data() + 13, size, 16);
  std::from_chars(bytes.data() + 14, bytes.data() + 30, sum, 16);
  return bytes == header(size, sum);
}

/// Whether `bytes`, fewer than a header has, can be the beginning of one.
inline bool begins_header(std::string_view bytes) {
  return std::ranges::equal(bytes, header_shape.substr(0, bytes.size()), [](char c, char shape) {
    const bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    return shape >= 'A' && shape <= 'Z' ? is_digit : c == shape;
  });
}

}  // namespace frame

/// A file to be read, without the zero bytes at its end. Without a file it is empty. Errors:
/// std::system_error with the path.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), file_(path, std::ios::binary) {
    std::error_code error(file_ ? 0 : errno, std::generic_category());
    if (file_) file_size = std::filesystem::file_size(path, error);
    if (error && error != std::errc::no_such_file_or_directory) fail(error);
    size = file_size;
    for (std::uint64_t begin = size; size > 0 && size == begin;) {
      begin -= std::min<std::uint64_t>(begin, frame::full);
      size = begin + read(begin, frame::full).find_last_not_of('\0') + 1;  // begin, if all are zero
    }
  }

  /// What there is of `count` bytes at `at`; valid until the next call.
  std::string_view read(std::uint64_t at, std::uint64_t count) {
    bytes_.resize(std::min(count, size - at));
    file_.seekg(static_cast<std::streamoff>(at));
    errno = EIO;  // stays, if the file got shorter
    const bool is_read = bytes_.empty() || file_.read(bytes_.data(), std::ssize(bytes_));
    if (!is_read) fail({errno, std::generic_category()});
    return bytes_;
  }

  std::uint64_t file_size = 0;
  std::uint64_t size = 0;  // without the zero bytes

 private:
  [[noreturn]] void fail(std::error_code error) { throw std::system_error(error, "cannot read " + path_); }

  std::string path_;
  std::ifstream file_;
  std::string bytes_;  // read last
};

/// The file is not one of ours, or is damaged; what() names it, the byte, and what to do.
struct DamagedLog : std::runtime_error {
  DamagedLog(const std::string& path, std::uint64_t at, std::string_view what)
      : std::runtime_error(
            fmt::format("{0}: damaged at byte {1}: {2}. To go on with what lies before: truncate -s {1} {0}",
                        path, at, what)),
        offset(at) {}
  std::uint64_t offset;
};

struct Loaded {
  std::uint64_t valid_bytes = 0;  // 0: a new file
  std::uint64_t torn_bytes = 0;   // behind them: to be cut off before anything is appended
};

/// Reads the file and gives `apply` every command in it; `apply` throws Refused for what it can't carry out.
/// A file that does not exist is empty. Errors: DamagedLog; std::system_error with the path. Blocks:
/// for use before the loop serves. Memory: one frame.
inline Loaded load_log(const std::string& path, const std::function<void(Args)>& apply) {
  Reader file(path);
  const std::string_view first = file.read(0, frame::first_line.size());
  const bool is_ours = frame::first_line.starts_with(first);
  if (!is_ours) throw DamagedLog(path, 0, "not an append-only file of kvserver");
  if (first.size() < frame::first_line.size()) return {0, file.file_size};

  Parser parser;
  for (std::uint64_t at = frame::first_line.size();;) {
    const Loaded before{at, file.file_size - at};
    const std::string_view header = file.read(at, frame::header_size);
    const bool whole = header.size() == frame::header_size;
    std::uint64_t size = 0, sum = 0;
    if (whole ? !frame::read_header(header, size, sum) : !frame::begins_header(header)) {
      throw DamagedLog(path, at, "not the header of a record");
    }
    if (!whole || file.size - at - frame::header_size < size) return before;
    at += frame::header_size;
    std::string_view commands = file.read(at, size);
    if (frame::checksum(commands) != sum) {
      throw DamagedLog(path, before.valid_bytes, "a record with a wrong checksum");
    }
    while (!commands.empty()) {
      const std::size_t size_before = commands.size();
      try {
        if (!parser.parse(commands)) throw Refused{"no command"};
        apply(parser.args());
      } catch (const Refused& refused) {
        throw DamagedLog(path, at, refused.text);
      }
      at += size_before - commands.size();
    }
  }
}

/// Appends the command that gives a key its value and its deadline, or none.
inline void put_set(std::string& out, const Store::Item& item) {
  const auto& [key, value] = item;
  if (!value.has_deadline()) return put_bulks(out, {"SET", key.name, value.data});
  put_bulks(out, {"SET", key.name, value.data, "PXAT", std::to_string(value.deadline_ms)});
}

/// The records on their way to the file, and the rewrite.
///
/// A rewrite makes a shorter file of the same content while writes go on. From begin_rewrite() on, every
/// frame goes to the old file and to the new one; in between, rewrite() adds to the new file the keys as they
/// are at that moment, bucket by bucket. That is right whatever the records are (APPEND, too), because the
/// new file is replayed in the order in which it was made: before the item of a key comes, replay may have
/// nonsense for it; the item sets value and deadline; from there on every record finds what it found when it
/// was made. A key that is gone when its bucket is visited has had a DEL or FLUSHALL in the new file, or a
/// deadline that has passed (invariant 2 of the records).
class Log {
 public:
  /// `new_file`: what is taken first begins with the line that every file begins with.
  explicit Log(bool new_file) : bytes_(new_file ? frame::first_line : ""), open_at_(bytes_.size()) {}

  /// Where to append a command; use it at once, for one command. Frames are closed by themselves: by take()
  /// and at 1 MiB.
  std::string& records() {
    ++commands_;
    if (bytes_.size() - open_at_ >= frame::full) seal();
    if (bytes_.size() == open_at_) bytes_.append(frame::header_size, ' ');
    return bytes_;
  }
  /// How many commands were appended so far.
  std::uint64_t commands() const { return commands_; }
  /// Swaps into `bytes` what is to be appended to the file, in whole frames; what was there before is dropped
  /// and its memory used again.
  void take(std::string& bytes) {
    constexpr std::size_t kept_room = 4 << 20;  // of memory that is used again
    seal();
    if (bytes.capacity() > kept_room) bytes = std::string();
    bytes.clear();
    bytes.swap(bytes_);
    open_at_ = 0;
  }

  bool rewriting() const { return fresh_ != nullptr; }
  /// Begins to fill the new file, from its first byte.
  void begin_rewrite() {
    seal();
    fresh_ = std::make_unique<Log>(true);
    cursor_ = 0;
  }
  /// Adds some keys; whether all are in. The budget counts buckets, keys, and 256 bytes of a value as one.
  bool rewrite(Store& store, std::size_t budget, std::int64_t now_ms) {
    seal();  // records that were made before this moment come before it in the new file
    cursor_ = store.walk(cursor_, budget, Store::Which::all, [&](const Store::Item& item) -> std::size_t {
      if (item.second.deadline_ms > now_ms) put_set(fresh_->records(), item);
      return 1 + item.second.data.size() / 256;
    });
    return cursor_ == 0;
  }
  /// As take(), for the new file.
  void take_rewritten(std::string& bytes) {
    seal();
    fresh_->take(bytes);
  }
  /// From now on there is only the new file: to be called right after it got the old one's name, with what
  /// was taken for either written and with no suspension in between. What waited for the old file is dropped,
  /// the new file has it or gets it by take().
  void switch_over() {
    take_rewritten(bytes_);
    open_at_ = bytes_.size();
    fresh_.reset();
  }
  /// There is only the old file again.
  void abort_rewrite() { fresh_.reset(); }

 private:
  /// Closes the open frame, and adds it to the new file.
  void seal() {
    if (bytes_.size() == open_at_) return;
    const std::string_view closed = std::string_view(bytes_).substr(open_at_);
    const std::string_view commands = closed.substr(frame::header_size);
    bytes_.replace(open_at_, frame::header_size, frame::header(commands.size(), frame::checksum(commands)));
    open_at_ = bytes_.size();
    if (!fresh_) return;
    fresh_->seal();
    fresh_->bytes_ += closed;
    fresh_->open_at_ = fresh_->bytes_.size();
  }

  std::string bytes_;  // closed frames and one open
  std::uint64_t commands_ = 0;
  std::size_t open_at_ = 0;     // where that begins; bytes_.size() when there is none
  std::unique_ptr<Log> fresh_;  // what goes to the new file, during a rewrite
  Store::Cursor cursor_ = 0;
};

}  // namespace kv
