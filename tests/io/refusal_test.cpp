// A kernel that refuses io_uring, played by a seccomp filter in a child process.
#include "io/io_support.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace heirloop::testing {
namespace {

/// From now on this process gets `error` from the system call.
bool refuse(int system_call, int error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(system_call), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(filter)), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

enum ChildSays : int { as_expected = 0, not_refused, other_place, other_error, text_lacks_advice, no_filter };

/// Makes a driver in a child whose kernel refuses `system_call`.
int in_child(int system_call, int error, IoUringUnavailable::Refused expected, const char* advice) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!refuse(system_call, error)) ::_exit(no_filter);
    try {
      UringDriver driver;
    } catch (const IoUringUnavailable& e) {
      if (e.refused() != expected) ::_exit(other_place);
      if (e.code().value() != error) ::_exit(other_error);
      ::_exit(std::strstr(e.what(), advice) == nullptr ? text_lacks_advice : as_expected);
    }
    ::_exit(not_refused);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

using Refused = IoUringUnavailable::Refused;

/// Makes a driver in a child of a user who may lock `bytes` of memory: 0 when it works, 1 when it is refused with the
/// right text. Each time another user: the kernel gives memory back some time after a process has ended.
int with_locked_memory(rlim_t bytes) {
  static uid_t user = 100'000 + static_cast<uid_t>(::getpid() % 10'000) * 8;
  ++user;
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_MEMLOCK, &limit) != 0 || ::setuid(user) != 0) ::_exit(no_filter);
    try {
      UringDriver driver;
      ::_exit(0);
    } catch (const IoUringUnavailable& e) {
      ::_exit(e.code().value() == ENOMEM && std::strstr(e.what(), "ulimit -l") != nullptr ? 1 : text_lacks_advice);
    }
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

TEST(IoUringRefusal, makes_a_smaller_ring_where_little_memory_may_be_locked) {
  if (::getuid() != 0) GTEST_SKIP() << "needs to become another user";
  EXPECT_EQ(with_locked_memory(16 * 1024), 0);
  EXPECT_EQ(with_locked_memory(64 * 1024), 0);
  EXPECT_LE(with_locked_memory(0), 1) << "newer kernels don't count the ring";
}

TEST(IoUringRefusal, names_the_setup) {
  EXPECT_EQ(in_child(SYS_io_uring_setup, EPERM, Refused::setup, "seccomp"), as_expected);
  EXPECT_EQ(in_child(SYS_io_uring_setup, ENOSYS, Refused::setup, "5.13"), as_expected);
  EXPECT_EQ(in_child(SYS_io_uring_setup, ENOMEM, Refused::setup, "ulimit -l"), as_expected);
  EXPECT_EQ(in_child(SYS_io_uring_setup, EMFILE, Refused::setup, "ulimit -n"), as_expected);
}

TEST(IoUringRefusal, names_the_registration) {
  EXPECT_EQ(in_child(SYS_io_uring_register, EPERM, Refused::registration, "io_uring_register"), as_expected);
  EXPECT_EQ(in_child(SYS_io_uring_register, ENOSYS, Refused::registration, "io_uring_register"), as_expected);
}

TEST(IoUringRefusal, names_the_enter) {
  EXPECT_EQ(in_child(SYS_io_uring_enter, EPERM, Refused::enter, "io_uring_enter"), as_expected);
  EXPECT_EQ(in_child(SYS_io_uring_enter, ENOSYS, Refused::enter, "io_uring_enter"), as_expected);
}

}  // namespace
}  // namespace heirloop::testing
