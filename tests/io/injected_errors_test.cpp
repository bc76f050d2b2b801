// Errors of every kind of operation reach their callers, as std::system_error with the operation and the object in the text.
// Nothing is lost or leaked by them, and what can go on does.
#include "io/faulty_loop.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>

namespace heirloop::testing {
namespace {

using ::testing::HasSubstr;

class InjectedErrors : public RingTest {
 protected:
  /// `body(driver)` on a ring whose operations fail as it plans; all plans are met.
  template <class Body>
  static void run_on_faulty(Body body) {
    for (const double late : {0.0, 1.0}) {
      SCOPED_TRACE(late > 0 ? "late" : "at once");
      FaultyLoop ring(1, {.late = late});
      ring.run(body(ring.driver));
      EXPECT_FALSE(ring.driver.has_plans());
    }
  }
};

void expect_error(const Failure& failure, int error, std::string_view what) {
  EXPECT_EQ(failure.code, std::error_code(error, std::system_category()));
  EXPECT_THAT(failure.text, HasSubstr(std::string(what)));
}

template <class Wait>
Coro<void> wait_for_it(Wait wait) {
  co_await wait();
}

Coro<Failure> accept_failure(TcpListener& listener) {
  return failure_of(wait_for_it([&]() -> Coro<void> { co_await listener.accept(); }));
}
Coro<void> accept_one(TcpListener& listener, int& accepted, int& failed) {
  try {
    const TcpStream stream = co_await listener.accept();
    ++accepted;
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code().value(), EMFILE);
    ++failed;
  }
}

TEST_F(InjectedErrors, an_accept_without_descriptors_left_says_so_and_the_next_has_the_connection) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    const PlainPeer peer(listener.local_port());
    driver.fail_next(OperationKind::accept, EMFILE);
    expect_error(co_await accept_failure(listener), EMFILE, "accept on 127.0.0.1:");
    TcpStream stream = co_await listener.accept();
    peer.send("hello");
    EXPECT_TRUE(co_await stream.fill());
  });
}

TEST_F(InjectedErrors, an_accept_that_fails_concerns_one_of_those_who_wait) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    driver.fail_next(OperationKind::accept, EMFILE);
    int accepted = 0;
    int failed = 0;
    auto first = create_task(accept_one(listener, accepted, failed), {.eager_start = true});
    auto second = create_task(accept_one(listener, accepted, failed), {.eager_start = true});
    const PlainPeer peer(listener.local_port());
    co_await first;
    co_await second;
    EXPECT_EQ(accepted, 1);
    EXPECT_EQ(failed, 1);
  });
}

TEST_F(InjectedErrors, a_connection_that_went_away_before_it_was_accepted_is_nobodys_error) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    driver.fail_next(OperationKind::accept, ECONNABORTED);
    driver.fail_next(OperationKind::accept, EPROTO);
    const PlainPeer peer(listener.local_port());
    co_await listener.accept();
  });
}

TEST_F(InjectedErrors, a_connect_that_is_refused_says_so_and_the_next_gets_through) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
    for (const int error : {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH}) {
      driver.fail_next(OperationKind::connect, error);
      expect_error(co_await failure_of(TcpStream::connect("127.0.0.1", listener.local_port())), error,
                   "connect to 127.0.0.1:");
    }
    const TcpStream client = co_await TcpStream::connect("127.0.0.1", listener.local_port());
    const TcpStream server = co_await listener.accept();
    EXPECT_EQ(server.peer_address().port(), client.local_address().port());
  });
}

TEST_F(InjectedErrors, a_receive_that_fails_leaves_what_came_before_and_the_other_half) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    Connection pair = co_await connected_pair();
    co_await pair.client.write("line\nno end");
    EXPECT_EQ(co_await pair.server.read_line(), "line");
    driver.fail_next(OperationKind::receive, ECONNRESET);
    for (int i = 0; i < 2; ++i) {
      expect_error(co_await failure_of(pair.server.read_line()), ECONNRESET, "read from 127.0.0.1:");
    }
    EXPECT_EQ(pair.server.unread(), "no end");
    co_await pair.server.write("answer\n");
    EXPECT_EQ(co_await pair.client.read_line(), "answer");
  });
}

TEST_F(InjectedErrors, a_receive_that_fails_when_its_reader_has_left_is_the_next_readers) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    Connection pair = co_await connected_pair();
    driver.fail_next(OperationKind::receive, ECONNRESET);
    const auto read = [](TcpStream& from) -> Coro<void> { co_await from.read_line(); };
    auto reader = create_task(read(pair.server), {.eager_start = true});
    task_throw(reader, InterruptException("left"));
    while (!reader.done()) co_await sleep(0);
    EXPECT_NE(reader.exception(), nullptr);
    expect_error(co_await failure_of(pair.server.read_line()), ECONNRESET, "read from 127.0.0.1:");
  });
}

TEST_F(InjectedErrors, a_send_that_fails_is_the_error_of_all_whose_writes_wait) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    Connection pair = co_await connected_pair();
    driver.fail_next(OperationKind::send, EPIPE);
    const auto write = [](TcpStream& to) -> Coro<void> { co_await to.write(std::string(8 << 20, 'x')); };
    auto first = create_task(failure_of(write(pair.client)), {.eager_start = true});
    auto second = create_task(failure_of(write(pair.client)), {.eager_start = true});
    expect_error(co_await first, EPIPE, "write to 127.0.0.1:");
    expect_error(co_await second, EPIPE, "write to 127.0.0.1:");
    expect_error(co_await failure_of(write(pair.client)), EPIPE, "write to 127.0.0.1:");
    co_await pair.server.write("line\n");
    EXPECT_EQ(co_await pair.client.read_line(), "line");
  });
}

// ---- files ----

class TemporaryPath {
 public:
  TemporaryPath() {
    std::string name = (std::filesystem::temp_directory_path() / "heirloop-XXXXXX").string();
    ::close(::mkstemp(name.data()));
    path = name;
  }
  TemporaryPath(const TemporaryPath&) = delete;
  TemporaryPath& operator=(const TemporaryPath&) = delete;
  ~TemporaryPath() { std::filesystem::remove(path); }
  std::string path;
};

TEST_F(InjectedErrors, an_open_that_fails_says_so_and_the_next_opens) {
  const TemporaryPath temporary;
  run_on_faulty([&](FaultyDriver& driver) -> Coro<void> {
    driver.fail_next(OperationKind::open, EMFILE);
    expect_error(co_await failure_of(File::open(temporary.path, O_RDWR)), EMFILE, "open " + temporary.path);
    const File file = co_await File::open(temporary.path, O_RDWR);
    EXPECT_TRUE(file.is_open());
  });
}

TEST_F(InjectedErrors, a_read_that_fails_leaves_the_file_to_the_next) {
  const TemporaryPath temporary;
  run_on_faulty([&](FaultyDriver& driver) -> Coro<void> {
    File file = co_await File::open(temporary.path, O_RDWR);
    co_await file.write_at("content", 0);
    char memory[7];
    const auto into = std::as_writable_bytes(std::span(memory));
    driver.fail_next(OperationKind::read, EIO);
    const auto read = [&]() -> Coro<void> { co_await file.read_at(into, 0); };
    expect_error(co_await failure_of(read()), EIO, "read " + temporary.path);
    EXPECT_EQ(co_await file.read_at(into, 0), 7U);
    EXPECT_EQ(std::string_view(memory, 7), "content");
  });
}

TEST_F(InjectedErrors, a_write_that_fails_says_how_much_is_written_and_the_next_writes) {
  const TemporaryPath temporary;
  run_on_faulty([&](FaultyDriver& driver) -> Coro<void> {
    File file = co_await File::open(temporary.path, O_RDWR | O_APPEND | O_TRUNC);
    driver.set_faults({.short_transfers = 1});
    driver.fail_next(OperationKind::write, ENOSPC, 2);
    std::size_t written = 0;
    try {
      co_await file.append(numbered_bytes(0, 100'000));
      ADD_FAILURE() << "the third part has failed";
    } catch (const WriteError& error) {
      written = error.written();
      EXPECT_EQ(error.code(), std::error_code(ENOSPC, std::system_category()));
      EXPECT_THAT(error.what(), HasSubstr("append to " + temporary.path + " (" + std::to_string(written) + " bytes of 100000"));
    }
    EXPECT_GT(written, 0U);
    EXPECT_EQ(co_await file.size(), written);
    co_await file.append(numbered_bytes(written, 100'000 - written));
    std::string all(100'000, '\0');
    EXPECT_EQ(co_await file.read_at(std::as_writable_bytes(std::span(all)), 0), all.size());
    EXPECT_EQ(all, numbered_bytes(0, 100'000));
  });
}

TEST_F(InjectedErrors, a_sync_that_fails_says_so) {
  const TemporaryPath temporary;
  run_on_faulty([&](FaultyDriver& driver) -> Coro<void> {
    File file = co_await File::open(temporary.path, O_RDWR);
    driver.fail_next(OperationKind::fsync, EIO);
    driver.fail_next(OperationKind::fdatasync, ENOSPC);
    const auto all = [&]() -> Coro<void> { co_await file.fsync(); };
    const auto data = [&]() -> Coro<void> { co_await file.fdatasync(); };
    expect_error(co_await failure_of(all()), EIO, "force to the disk " + temporary.path);
    expect_error(co_await failure_of(data()), ENOSPC, "force to the disk " + temporary.path);
    co_await file.fsync();
  });
}

TEST_F(InjectedErrors, a_close_that_fails_says_so_and_has_closed) {
  const TemporaryPath temporary;
  run_on_faulty([&](FaultyDriver& driver) -> Coro<void> {
    File file = co_await File::open(temporary.path, O_RDWR);
    const int fd = file.native_handle();
    driver.fail_next(OperationKind::close, EIO);
    expect_error(co_await failure_of(file.close()), EIO, "close " + temporary.path);
    EXPECT_FALSE(file.is_open());
    EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  });
}

TEST_F(InjectedErrors, signals_come_when_a_poll_for_them_has_failed) {
  run_on_faulty([](FaultyDriver& driver) -> Coro<void> {
    driver.fail_next(OperationKind::poll, ENOMEM);
    SignalWatch watch({SIGUSR2});
    ::raise(SIGUSR2);
    EXPECT_EQ(co_await watch.next(), SIGUSR2);
  });
}

// ---- all at once ----

/// Reads numbered bytes until the end or an error; gives how many, in order.
Coro<std::uint64_t> read_until_it_fails(TcpStream& from) {
  std::uint64_t position = 0;
  try {
    for (bool more = true; more;) {
      more = co_await from.fill();
      for (const char byte : from.unread()) EXPECT_EQ(byte, numbered_byte(position++));
      from.consume(from.unread().size());
    }
  } catch (const std::system_error&) {
  }
  co_return position;
}
Coro<bool> write_until_it_fails(TcpStream& to, std::uint64_t total) {
  try {
    for (std::uint64_t at = 0; at < total; at += 50'000) co_await to.write(numbered_bytes(at, 50'000));
    co_await to.shutdown_write();
  } catch (const std::system_error&) {
    co_return false;
  }
  co_return true;
}

/// One connection, however often its beginning fails; its end as it comes.
Coro<void> one_connection(TcpListener& listener, int& whole) {
  Connection pair;
  while (!pair.client.is_open()) {
    try {
      pair.client = co_await TcpStream::connect("127.0.0.1", listener.local_port());
    } catch (const std::system_error&) {
    }
  }
  while (!pair.server.is_open()) {
    try {
      pair.server = co_await listener.accept();
    } catch (const std::system_error&) {
    }
  }
  constexpr std::uint64_t total = 500'000;
  const int size = 8192;
  EXPECT_EQ(::setsockopt(pair.client.native_handle(), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
  const auto write = [](TcpStream stream) -> Coro<bool> { co_return co_await write_until_it_fails(stream, total); };
  const auto read = [](TcpStream stream) -> Coro<std::uint64_t> { co_return co_await read_until_it_fails(stream); };
  auto writing = create_task(write(std::move(pair.client)));
  auto reading = create_task(read(std::move(pair.server)));
  const bool wrote = co_await writing;
  const std::uint64_t count = co_await reading;
  EXPECT_LE(count, total);
  if (wrote && count == total) ++whole;
}

Coro<void> one_file(std::string path) {
  std::uint64_t written = 0;
  for (int i = 0; i < 40; ++i) {
    try {
      File file = co_await File::open(path, O_RDWR | O_CREAT | O_APPEND);
      co_await file.append(numbered_bytes(written, 3000));
      written += 3000;
      co_await file.fdatasync();
      co_await file.close();
    } catch (const WriteError& error) {
      written += error.written();
    } catch (const std::system_error&) {
    }
  }
  std::string all(written, '\0');
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(::lseek(fd, 0, SEEK_END), static_cast<off_t>(written));
  EXPECT_EQ(::pread(fd, all.data(), all.size(), 0), static_cast<ssize_t>(written));
  EXPECT_EQ(all, numbered_bytes(0, written));
  ::close(fd);
}

TEST_F(InjectedErrors, of_all_kinds_at_random_lose_and_leak_nothing) {
  int whole = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(seed);
    const TemporaryPath temporary;
    FaultyLoop ring(seed, {.short_transfers = 0.3, .transient = 0.1, .errors = 0.03, .late = 0.5});
    ring.run([](std::string path, int& ended_whole) -> Coro<void> {
      TcpListener listener = co_await TcpListener::bind("127.0.0.1", 0);
      std::vector<PriorityTask<void>> tasks;
      for (int i = 0; i < 20; ++i) tasks.push_back(create_task(one_connection(listener, ended_whole)));
      tasks.push_back(create_task(one_file(path)));
      for (const auto& task : tasks) co_await task;
    }(temporary.path, whole));
    EXPECT_GT(ring.driver.counts().errors, 10U);
  }
  std::printf("%d of 100 connections met no error\n", whole);
}

}  // namespace
}  // namespace heirloop::testing
