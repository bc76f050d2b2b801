// Files through the ring.
#include <heirloop/io/file.hpp>

#include "io/io_support.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace heirloop::testing {
namespace {

using ::testing::HasSubstr;

class FileTest : public RingTest {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "heirloop-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory = name;
    path = directory + "/file";
    RingTest::SetUp();
  }
  void TearDown() override {
    RingTest::TearDown();
    std::filesystem::remove_all(directory);
  }
  std::string contents() const {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  }

  std::string directory;
  std::string path;
};

TEST_F(FileTest, appends_and_keeps_what_was_there) {
  run([&]() -> Coro<void> {
    File file = co_await File::open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    EXPECT_EQ(file.path(), path);
    co_await file.append("one ");
    co_await file.append("");
    co_await file.append("two");
    EXPECT_EQ(co_await file.size(), 7U);
    co_await file.fsync();
    co_await file.fdatasync();
    co_await file.close();
    EXPECT_FALSE(file.is_open());
    File again = co_await File::open(path, O_WRONLY | O_APPEND);
    co_await again.append(" three");
  });
  EXPECT_EQ(contents(), "one two three");
  struct stat status {};
  ::stat(path.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(FileTest, reads_and_writes_at_offsets) {
  run([&]() -> Coro<void> {
    File file = co_await File::open(path, O_RDWR | O_CREAT);
    const std::string large = numbered_bytes(0, 3 << 20);
    co_await file.write_at(large, 100);
    co_await file.write_at("head", 0);
    std::string back(large.size() + 100, 'x');
    const std::size_t all = co_await file.read_at(std::as_writable_bytes(std::span(back)), 0);
    EXPECT_EQ(all, back.size());
    EXPECT_EQ(back.substr(0, 5), std::string("head\0", 5));
    EXPECT_EQ(back.substr(100), large);
    const std::size_t cut = co_await file.read_at(std::as_writable_bytes(std::span(back)), back.size() - 10);
    EXPECT_EQ(cut, 10U);
    const std::size_t none = co_await file.read_at(std::as_writable_bytes(std::span(back)), back.size() + 10);
    EXPECT_EQ(none, 0U);
    co_await file.truncate(4);
    EXPECT_EQ(co_await file.size(), 4U);
  });
  EXPECT_EQ(contents(), "head");
}

TEST_F(FileTest, names_the_path_that_can_not_be_opened) {
  run([&]() -> Coro<void> {
    const Failure failure = co_await failure_of(File::open(path + "/nowhere", O_RDONLY));
    EXPECT_EQ(failure.code, std::errc::no_such_file_or_directory);
    EXPECT_THAT(failure.text, HasSubstr("open " + path + "/nowhere"));
  });
}

TEST_F(FileTest, says_how_much_is_in_a_file_whose_disk_is_full) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit tight = before;
  tight.rlim_cur = 10'000;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  const auto ignored = std::signal(SIGXFSZ, SIG_IGN);
  run([&]() -> Coro<void> {
    File file = co_await File::open(path, O_WRONLY | O_CREAT | O_APPEND);
    co_await file.append(std::string_view("12345678"));
    const std::string block(100'000, 'x');
    std::size_t written = block.size();
    try {
      co_await file.append(block);
    } catch (const WriteError& e) {
      written = e.written();
      EXPECT_EQ(e.code(), std::errc::file_too_large);
      EXPECT_THAT(e.what(), HasSubstr("append to " + path));
      EXPECT_THAT(e.what(), HasSubstr("9992 bytes of 100000"));
    }
    EXPECT_EQ(written, 9'992U);
    EXPECT_EQ(co_await file.size(), 10'000U);
  });
  std::signal(SIGXFSZ, ignored);
  ::setrlimit(RLIMIT_FSIZE, &before);
}

TEST_F(FileTest, reports_a_full_device) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full here";
  run([]() -> Coro<void> {
    File file = co_await File::open("/dev/full", O_WRONLY);
    bool full = false;
    try {
      co_await file.append("x");
    } catch (const WriteError& e) {
      full = e.code() == std::errc::no_space_on_device && e.written() == 0;
    }
    EXPECT_TRUE(full);
  });
}

TEST_F(FileTest, lets_one_task_append_at_a_time) {
  run([&]() -> Coro<void> {
    File file = co_await File::open(path, O_WRONLY | O_CREAT | O_APPEND);
    const auto append = [](File& to, const std::string& what) -> Coro<void> { co_await to.append(what); };
    const std::string block(1 << 20, 'x');
    auto first = create_task(append(file, block));
    while (first.state() != TaskState::blocked) co_await sleep(0);
    bool refused = false;
    try {
      co_await file.append("second");
    } catch (const InvalidStateError&) {
      refused = true;
    }
    EXPECT_TRUE(refused);
    co_await first;
    co_await file.append("third");
  });
  EXPECT_EQ(contents().size(), (1U << 20) + 5);
}

TEST_F(FileTest, stays_open_for_an_operation_that_is_in_flight_when_it_is_dropped) {
  run([&]() -> Coro<void> {
    auto file = std::make_unique<File>(co_await File::open(path, O_WRONLY | O_CREAT | O_APPEND));
    const auto append = [](File& to, const std::string& what) -> Coro<void> { co_await to.append(what); };
    const std::string block(1 << 20, 'x');
    auto appending = create_task(append(*file, block));
    while (appending.state() != TaskState::blocked) co_await sleep(0);
    file.reset();
    // Another file takes the lowest free number: it must not be the one that the append goes to.
    File other = co_await File::open(directory + "/other", O_WRONLY | O_CREAT);
    co_await appending;
    EXPECT_EQ(co_await other.size(), 0U);
  });
  EXPECT_EQ(contents().size(), 1U << 20);
}

TEST_F(FileTest, refuses_what_comes_after_close) {
  run([&]() -> Coro<void> {
    File file = co_await File::open(path, O_WRONLY | O_CREAT);
    co_await file.close();
    co_await file.close();
    const auto append = [](File& to) -> Coro<void> { co_await to.append("x"); };
    EXPECT_EQ((co_await failure_of(append(file))).code, std::errc::bad_file_descriptor);
    EXPECT_EQ((co_await failure_of(file.truncate(0))).code, std::errc::bad_file_descriptor);
    File empty;
    EXPECT_THROW(empty.fsync(), InvalidStateError);
  });
}

}  // namespace
}  // namespace heirloop::testing
