#include "kvserver/aof.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

namespace kv {

namespace {

constexpr std::string_view first_line = "heirloop-kv 1\n";
constexpr std::string_view header_shape = "=LLLLLLLLLLLL CCCCCCCCCCCCCCCC HHHHHHHH\r\n";
constexpr std::size_t header_size = header_shape.size(), checked_size = 30;  // what its own checksum covers
constexpr std::size_t full_frame = 1 << 20;
constexpr std::size_t kept_room = 4 << 20;  // of a buffer that is used again

/// Every step maps the state and the next eight bytes one to one, so a change within eight bytes never goes
/// unseen, any other does once in 2^64.
std::uint64_t checksum(std::string_view bytes) {
  std::uint64_t state = bytes.size();
  auto add = [&](std::size_t size) {
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

void put_hex(char* to, int digits, std::uint64_t value) {
  for (int i = digits; i-- > 0; value >>= 4) to[i] = "0123456789abcdef"[value & 15];
}

/// Writes the header of a frame to `to`, of header_size bytes.
void put_header(char* to, std::uint64_t size, std::uint64_t sum) {
  std::memcpy(to, header_shape.data(), header_size);
  put_hex(to + 1, 12, size);
  put_hex(to + 14, 16, sum);
  put_hex(to + 31, 8, checksum({to, checked_size}));
}

bool read_header(std::string_view header, std::uint64_t& size, std::uint64_t& sum) {
  std::from_chars(header.data() + 1, header.data() + 13, size, 16);
  std::from_chars(header.data() + 14, header.data() + checked_size, sum, 16);
  char right[header_size];
  put_header(right, size, sum);
  return header == std::string_view(right, header_size);
}

/// Whether `bytes`, fewer than a header has, can be the beginning of one.
bool begins_header(std::string_view bytes) {
  return std::equal(bytes.begin(), bytes.end(), header_shape.begin(), [](char c, char shape) {
    bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    return shape >= 'A' && shape <= 'Z' ? digit : c == shape;
  });
}

/// A file to be read from front to back, through a window of 1 MiB or what is asked for.
class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path), fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0 && errno != ENOENT) fail();
    struct stat status {};
    if (fd_ >= 0 && ::fstat(fd_, &status) != 0) fail();
    size_ = static_cast<std::uint64_t>(status.st_size);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    if (fd_ >= 0) ::close(fd_);
  }

  std::uint64_t size() const { return size_; }

  /// `size` bytes at `at`, which must be there; valid until the next call.
  std::string_view read(std::uint64_t at, std::size_t size) {
    if (at < at_ || at + size > at_ + window_.size()) {
      at_ = at;
      window_.resize(std::min<std::uint64_t>(size_ - at, std::max(size, full_frame)));
      for (std::size_t done = 0; done < window_.size();) {
        ssize_t got =
            ::pread(fd_, window_.data() + done, window_.size() - done, static_cast<off_t>(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = EIO;  // it got shorter
        if (got <= 0) fail();
        done += static_cast<std::size_t>(got);
      }
    }
    return std::string_view(window_).substr(at - at_, size);
  }

  /// The size without zero bytes at the end.
  std::uint64_t written_size() {
    for (std::uint64_t end = size_; end > 0;) {
      std::uint64_t begin = end - std::min<std::uint64_t>(end, full_frame);
      std::size_t last = read(begin, end - begin).find_last_not_of('\0');
      if (last != std::string_view::npos) return begin + last + 1;
      end = begin;
    }
    return 0;
  }

 private:
  [[noreturn]] void fail() {
    int error = errno;
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    throw std::system_error(error, std::generic_category(), "cannot read " + path_);
  }

  std::string path_;
  int fd_;
  std::uint64_t size_ = 0;
  std::uint64_t at_ = 0;  // of the window in the file
  std::string window_;
};

}  // namespace

DamagedLog::DamagedLog(const std::string& path, std::uint64_t offset, const std::string& what)
    : std::runtime_error(path + ": damaged at byte " + std::to_string(offset) + ": " + what +
                         ". To go on with what lies before: truncate -s " + std::to_string(offset) + " " +
                         path),
      offset_(offset) {}

Loaded load_log(const std::string& path, const std::function<std::string(Args)>& apply) {
  Reader file(path);
  const std::uint64_t end = file.written_size();
  Loaded loaded;
  loaded.torn_bytes = file.size();
  std::size_t line_size = std::min<std::uint64_t>(end, first_line.size());
  if (file.read(0, line_size) != first_line.substr(0, line_size)) {
    throw DamagedLog(path, 0, "not an append-only file of kvserver");
  }
  if (line_size < first_line.size()) return loaded;

  Parser parser;
  for (std::uint64_t at = first_line.size();;) {
    loaded.valid_bytes = at;
    loaded.torn_bytes = file.size() - at;
    std::string_view header = file.read(at, std::min<std::uint64_t>(end - at, header_size));
    bool whole = header.size() == header_size;
    std::uint64_t size = 0, sum = 0;
    if (whole ? !read_header(header, size, sum) : !begins_header(header)) {
      throw DamagedLog(path, at, "not the header of a record");
    }
    if (!whole) return loaded;
    at += header_size;
    if (end - at < size) return loaded;
    std::string_view commands = file.read(at, size);
    if (checksum(commands) != sum)
      throw DamagedLog(path, loaded.valid_bytes, "a record with a wrong checksum");
    while (!commands.empty()) {
      Parser::Result result = parser.parse(commands);
      if (result.status != Parser::Status::request) throw DamagedLog(path, at, "no command");
      if (std::string error = apply(parser.args()); !error.empty()) throw DamagedLog(path, at, error);
      commands.remove_prefix(result.consumed);
      at += result.consumed;
      ++loaded.records;
    }
  }
}

void put_set(std::string& out, std::string_view key, std::string_view value, std::int64_t deadline_ms) {
  out += deadline_ms == no_deadline ? "*3\r\n$3\r\nSET\r\n" : "*5\r\n$3\r\nSET\r\n";
  put_bulk(out, key);
  put_bulk(out, value);
  if (deadline_ms == no_deadline) return;
  out += "$4\r\nPXAT\r\n";
  put_bulk(out, deadline_ms);
}

Log::Log(bool new_file) {
  if (new_file) bytes_ = first_line;
  open_at_ = bytes_.size();
}

std::string& Log::records() {
  ++commands_;
  if (bytes_.size() - open_at_ >= full_frame) seal();
  if (bytes_.size() == open_at_) bytes_.append(header_size, ' ');
  return bytes_;
}

void Log::seal() {
  if (bytes_.size() == open_at_) return;
  std::string_view commands = std::string_view(bytes_).substr(open_at_ + header_size);
  put_header(bytes_.data() + open_at_, commands.size(), checksum(commands));
  if (rewriting_) rewritten_.append(bytes_, open_at_);
  open_at_ = bytes_.size();
}

void Log::take(std::string& bytes) {
  seal();
  if (bytes.capacity() > kept_room) bytes = std::string();
  bytes.clear();
  bytes.swap(bytes_);
  open_at_ = 0;
}

void Log::begin_rewrite() {
  seal();
  rewriting_ = true;
  rewritten_ = first_line;
  cursor_ = 0;
}

bool Log::rewrite(Store& store, std::size_t budget, std::int64_t now_ms) {
  assert(rewriting_);
  seal();  // records that were made before this moment come before it in the new file
  std::size_t header_at = rewritten_.size();
  rewritten_.append(header_size, ' ');
  cursor_ = store.walk(cursor_, budget, Store::Which::all, [&](const Store::Item& item) -> std::size_t {
    const auto& [key, value] = item;
    if (value.deadline_ms() > now_ms) put_set(rewritten_, key.name, value.data, value.deadline_ms());
    return 1 + value.data.size() / 256;
  });
  std::string_view commands = std::string_view(rewritten_).substr(header_at + header_size);
  if (commands.empty()) {
    rewritten_.resize(header_at);
  } else {
    put_header(rewritten_.data() + header_at, commands.size(), checksum(commands));
  }
  return cursor_ == 0;
}

void Log::take_rewritten(std::string& bytes) {
  seal();
  if (bytes.capacity() > kept_room) bytes = std::string();
  bytes.clear();
  bytes.swap(rewritten_);
}

void Log::switch_over() {
  seal();
  bytes_.swap(rewritten_);
  open_at_ = bytes_.size();
  abort_rewrite();
}

void Log::abort_rewrite() {
  rewriting_ = false;
  rewritten_ = std::string();
}

}  // namespace kv
