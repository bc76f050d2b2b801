// What scenes of io have in common: both ends of a connection, a reader to its end, a file of their own.
#pragma once

#include <heirloop/sync/event.hpp>

#include "io/ring_stage.hpp"

#include <fcntl.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace heirloop::testing {

/// Both ends of a connection, for the victim when `ready` is set.
struct PairScene {
  Event ready;
  Connection pair;

  Coro<void> set_up() {
    pair = co_await connected_pair();
    ready.set();
  }
};

/// Writes are short and block. (A small receive buffer would wait for TCP's timers.)
inline void small_buffer(const TcpStream& stream) {
  const int size = 8192;
  ASSERT_EQ(::setsockopt(stream.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
}

/// A reader to the end, for scenes that write.
struct ReadToEnd : PairScene {
  std::uint64_t received = 0;
  bool wrong = false;

  Coro<bool> take_all() {
    const bool more = co_await pair.server.fill();
    const std::string_view bytes = pair.server.unread();
    for (const char byte : bytes) wrong |= byte != numbered_byte(received++);
    pair.server.consume(bytes.size());
    co_return more;
  }
  Coro<void> take_rest() {
    for (bool more = true; more;) more = co_await take_all();
  }
};

/// A file, and the handle that the victim opens.
struct OnAFile {
  OnAFile() {
    std::string name = (std::filesystem::temp_directory_path() / "heirloop-XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path = name;
  }
  OnAFile(const OnAFile&) = delete;
  OnAFile& operator=(const OnAFile&) = delete;
  ~OnAFile() { std::filesystem::remove(path); }

  std::string path;
  File file;
};

}  // namespace heirloop::testing
