#include "demo/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iterator>
#include <system_error>

namespace demo {
namespace {

[[noreturn]] void fail(const std::string& what, int error = errno) {
  throw std::system_error(error, std::generic_category(), what);
}

int poll_timeout(Clock::duration left) {
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  return static_cast<int>(std::clamp<decltype(+ms)>(ms, 0, 60'000));
}

int open_file(const char* path, int flags) {
  const int fd = ::open(path, flags | O_CLOEXEC, 0600);
  if (fd < 0) fail(fmt::format("can't open '{}'", path));
  return fd;
}

// What a child does between fork and exec; only calls that are allowed there. Answers when the exec failed.
struct ChildSetup {
  const char* program;
  char* const* argv;
  int in;
  int out;
  int err;
  const cpu_set_t* cpus;
  pid_t parent;

  void run() const noexcept {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);  // the parent died before the line above
    ::setpgid(0, 0);                          // Ctrl-C reaches the demo alone; it stops us in order
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD}) ::signal(signal, SIG_DFL);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (cpus != nullptr) ::sched_setaffinity(0, sizeof(cpu_set_t), cpus);
    if (::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(err, 2) < 0) return;
    ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    ::execv(program, argv);
  }
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

}  // namespace

Signals::Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    // What nohup told us to ignore stays ignored.
    if (signal != SIGHUP || now.sa_handler != SIG_IGN) sigaddset(&set, signal);
  }
  if (::sigprocmask(SIG_BLOCK, &set, &mask_before_) != 0) fail("can't block signals");
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGCHLD, SIG_DFL);  // if it was ignored, there would be no status to wait for
  fd_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) fail("can't make a descriptor for signals");
}

Signals::~Signals() {
  ::close(fd_);
  ::sigprocmask(SIG_SETMASK, &mask_before_, nullptr);
}

void Signals::take() {
  signalfd_siginfo info{};
  while (::read(fd_, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo != SIGCHLD) throw Interrupted{static_cast<int>(info.ssi_signo)};
  }
}

void Signals::pause(Clock::duration longest) {
  pollfd set{fd_, POLLIN, 0};
  if (::poll(&set, 1, poll_timeout(longest)) > 0) take();
}

bool Signals::wait_for(int fd, short events, Clock::time_point deadline) {
  while (true) {
    std::array<pollfd, 2> set{{{fd_, POLLIN, 0}, {fd, events, 0}}};
    const Clock::duration left = deadline - Clock::now();
    const int count = ::poll(set.data(), set.size(), poll_timeout(left));
    if (count > 0 && set[0].revents != 0) take();
    if (count > 0 && set[1].revents != 0) return true;
    if (left <= Clock::duration::zero()) return false;
  }
}

ScratchDir::ScratchDir() {
  std::error_code ignored;
  const std::filesystem::path place =
      std::filesystem::absolute(std::filesystem::temp_directory_path(ignored), ignored);
  std::string name =
      ((place.empty() ? std::filesystem::path("/tmp") : place) / "heirloop-demo-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) fail(fmt::format("can't make a directory '{}'", name));
  path_ = name;
  start_guard();
}

void ScratchDir::start_guard() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;  // then only a demo that is killed leaves its directory
  guard_ = ::fork();
  if (guard_ != 0) {
    ::close(ends[0]);
    guard_pipe_ = ends[1];
    return;
  }
  ::setsid();
  ::prctl(PR_SET_NAME, "demo-cleanup");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::signal(signal, SIG_IGN);
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {0, 1, 2}) ::dup2(null, fd);
  ::dup2(ends[0], 3);
  ::close_range(4, ~0U, 0);
  char byte = 0;
  while (::read(3, &byte, 1) < 0 && errno == EINTR) {
  }
  // Killed servers may still be writing for a moment.
  for (int attempt = 0; attempt < 50; ++attempt) {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    if (!std::filesystem::exists(path_, error)) break;
    ::usleep(20'000);
  }
  ::_exit(0);
}

ScratchDir::~ScratchDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
  if (guard_pipe_ >= 0) ::close(guard_pipe_);
  if (guard_ > 0) ::waitpid(guard_, nullptr, 0);
}

std::filesystem::path ScratchDir::fresh(std::string_view name) const {
  std::filesystem::path dir = path_ / name;
  std::filesystem::remove_all(dir);
  std::filesystem::create_directory(dir);
  return dir;
}

Process::Process(const Launch& launch) {
  const std::string program = launch.program.string();
  std::vector<std::string> words{program};
  words.insert(words.end(), launch.arguments.begin(), launch.arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  const Descriptor in(open_file("/dev/null", O_RDONLY));
  const Descriptor out(open_file(launch.out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND));
  const Descriptor err(open_file(launch.err.c_str(), O_WRONLY | O_CREAT | O_APPEND));
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (launch.cpu) CPU_SET(static_cast<std::size_t>(*launch.cpu), &cpus);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("can't make a pipe");
  const Descriptor outcome(ends[0]);
  Descriptor child_end(ends[1]);
  const ChildSetup setup{
      program.c_str(), argv.data(), in.get(), out.get(), err.get(), launch.cpu ? &cpus : nullptr, ::getpid()};
  pid_ = ::fork();
  if (pid_ < 0) fail(fmt::format("can't start '{}'", program));
  if (pid_ == 0) {
    setup.run();
    const int error = errno;
    [[maybe_unused]] const ssize_t told = ::write(child_end.get(), &error, sizeof error);
    ::_exit(127);
  }
  child_end.close();
  int error = 0;
  ssize_t count = 0;
  while ((count = ::read(outcome.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (count == static_cast<ssize_t>(sizeof error)) {
    ::waitpid(pid_, nullptr, 0);
    reaped_ = true;
    fail(fmt::format("can't start '{}'", program), error);
  }
}

Process::~Process() { stop(); }

bool Process::running() {
  if (!reaped_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
  return !reaped_;
}

bool Process::stop(Clock::duration patience) noexcept {
  if (running()) {
    ::kill(pid_, SIGTERM);
    const Clock::time_point deadline = Clock::now() + patience;
    while (running() && Clock::now() < deadline) ::usleep(2'000);
  }
  if (running()) {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
  }
  return WIFEXITED(status_) && WEXITSTATUS(status_) == 0;
}

std::chrono::nanoseconds Process::cpu_time() const {
  clockid_t clock{};
  if (const int error = ::clock_getcpuclockid(pid_, &clock); error != 0)
    fail("can't find a process's clock", error);
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) fail("can't read a process's clock");
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string describe_status(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("exit status {}", WEXITSTATUS(status));
}

std::optional<std::filesystem::path> find_in_path(std::string_view name) {
  const char* const variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "/usr/local/bin:/usr/bin:/bin" : variable;
  while (true) {
    const std::size_t colon = rest.find(':');
    const std::string_view dir = rest.substr(0, colon);
    const std::filesystem::path candidate = std::filesystem::path(dir.empty() ? "." : dir) / name;
    std::error_code ignored;
    if (::access(candidate.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(candidate, ignored)) {
      return candidate;
    }
    if (colon == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(colon + 1);
  }
}

std::filesystem::path own_directory() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

std::optional<std::pair<int, int>> two_processors() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return std::nullopt;
  int first = -1;
  int last = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(static_cast<std::size_t>(cpu), &allowed)) continue;
    if (first < 0) first = cpu;
    last = cpu;
  }
  return std::pair(first, last);
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::string last_lines(std::string_view output, std::size_t lines) {
  std::vector<std::string> kept;
  while (!output.empty() && kept.size() < lines) {
    const std::size_t end = output.rfind('\n');
    std::string line(output.substr(end == std::string_view::npos ? 0 : end + 1));
    output = output.substr(0, end == std::string_view::npos ? 0 : end);
    std::replace_if(
        line.begin(), line.end(), [](char byte) { return static_cast<unsigned char>(byte) < ' '; }, ' ');
    if (line.find_first_not_of(' ') == std::string::npos) continue;
    kept.push_back(line.size() > 300 ? line.substr(0, 300) + "..." : line);
  }
  std::reverse(kept.begin(), kept.end());
  return fmt::format("{}", fmt::join(kept, " | "));
}

}  // namespace demo
