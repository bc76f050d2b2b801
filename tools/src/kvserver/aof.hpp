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

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace kv {

/// The file is not one of ours, or is damaged; what() names it, the byte, and what to do.
class DamagedLog : public std::runtime_error {
 public:
  DamagedLog(const std::string& path, std::uint64_t offset, const std::string& what);
  std::uint64_t offset() const { return offset_; }

 private:
  std::uint64_t offset_;
};

struct Loaded {
  std::uint64_t records = 0;
  std::uint64_t valid_bytes = 0;  // 0: a new file
  std::uint64_t torn_bytes = 0;   // behind them: to be cut off before anything is appended
};

/// Reads the file and gives `apply` every command in it; `apply` answers with the text of an error, or
/// nothing. A file that does not exist is empty. Errors: DamagedLog; std::system_error with the path. Blocks:
/// for use before the loop serves. Memory: one frame.
Loaded load_log(const std::string& path, const std::function<std::string(Args)>& apply);

/// Appends the command that gives a key its value and its deadline, or none.
void put_set(std::string& out, std::string_view key, std::string_view value, std::int64_t deadline_ms);

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
  explicit Log(bool new_file);

  /// Where to append a command; use it at once, for one command. Frames are closed by themselves: by take()
  /// and at 1 MiB.
  std::string& records();
  bool pending() const { return !bytes_.empty(); }
  /// How many commands were appended so far.
  std::uint64_t commands() const { return commands_; }
  /// Swaps into `bytes` what is to be appended to the file, in whole frames; what was there before is dropped
  /// and its memory used again.
  void take(std::string& bytes);

  bool rewriting() const { return rewriting_; }
  /// Begins to fill the new file, from its first byte.
  void begin_rewrite();
  /// Adds some keys; whether all are in. The budget counts buckets, keys, and 256 bytes of a value as one.
  bool rewrite(Store& store, std::size_t budget, std::int64_t now_ms);
  /// As take(), for the new file.
  void take_rewritten(std::string& bytes);
  /// From now on there is only the new file: to be called right after it got the old one's name, with what
  /// was taken for either written and with no suspension in between. What waited for the old file is dropped,
  /// the new file has it or gets it by take().
  void switch_over();
  /// There is only the old file again.
  void abort_rewrite();

 private:
  void seal();

  std::string bytes_;  // closed frames and one open
  std::uint64_t commands_ = 0;
  std::size_t open_at_ = 0;  // where that begins; bytes_.size() when there is none
  std::string rewritten_;    // closed frames
  bool rewriting_ = false;
  Store::Cursor cursor_ = 0;
};

}  // namespace kv
