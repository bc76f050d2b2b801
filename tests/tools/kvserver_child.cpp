#include "kvserver_child.hpp"

#include "demo/figures.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <system_error>

namespace kvtest {

namespace {

/// In the child: does not come back.
[[noreturn]] void become(const std::vector<char*>& argv, const char* out, const char* err,
                         const ChildLimits& limits, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  const int in_fd = ::open("/dev/null", O_RDONLY);
  const int out_fd = ::open(out, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
  const int err_fd = ::open(err, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0644);
  ::dup2(in_fd, 0);
  ::dup2(out_fd, 1);
  ::dup2(err_fd, 2);
  ::close_range(3, ~0U, 0);
  if (limits.file_bytes) {
    rlimit limit{};
    ::getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = *limits.file_bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

std::vector<std::string> kvserver_words(const std::filesystem::path& dir,
                                        const std::vector<std::string>& options) {
  std::vector<std::string> words{HEIRLOOP_KVSERVER, "--port", "0", "--dir", dir.string()};
  words.insert(words.end(), options.begin(), options.end());
  return words;
}

}  // namespace

bool comes_true(const std::function<bool()>& condition, std::chrono::seconds longest) {
  const auto deadline = std::chrono::steady_clock::now() + longest;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 2);
  }
  return true;
}

Child::Child(const std::filesystem::path& dir, const std::string& name,
             std::vector<std::string> program_and_arguments, const ChildLimits& limits)
    : out_(dir / (name + ".out")), err_(dir / (name + ".err")) {
  std::filesystem::remove(out_);  // what an earlier one of that name said is not this one's
  std::filesystem::remove(err_);
  std::vector<char*> argv;
  for (std::string& word : program_and_arguments) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string out = out_.string(), err = err_.string();
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid_ == 0) become(argv, out.c_str(), err.c_str(), limits, parent);
}

Child::~Child() {
  if (!running()) return;
  signal(SIGKILL);
  ::waitpid(pid_, &status_, 0);
}

bool Child::running() {
  if (!reaped_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) reaped_ = true;
  return !reaped_;
}

void Child::signal(int number) const {
  if (!reaped_) ::kill(pid_, number);
}

std::string Child::wait(std::chrono::seconds longest) {
  if (!comes_true([&] { return !running(); }, longest)) {
    signal(SIGKILL);
    comes_true([&] { return !running(); });
    return "no end";
  }
  return demo::describe_status(status_);
}

Finished run_program(std::vector<std::string> program_and_arguments, std::chrono::seconds longest) {
  const demo::ScratchDir dir;
  Child child(dir.path(), "program", std::move(program_and_arguments));
  std::string end = child.wait(longest);
  return {std::move(end), child.out(), child.err()};
}

Finished run_kvserver(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), HEIRLOOP_KVSERVER);
  return run_program(std::move(arguments));
}

KvServer::KvServer(const std::filesystem::path& dir, const std::vector<std::string>& options,
                   const ChildLimits& limits)
    : child_(dir, "kvserver", kvserver_words(dir, options), limits) {
  std::optional<std::uint16_t> port;
  const bool answered = comes_true([&] {
    const bool alive = child_.running();
    port = demo::ready_port(child_.out());
    return port.has_value() || !alive;
  });
  if (!answered || !port)
    throw std::runtime_error("kvserver does not get ready: " + child_.out() + child_.err());
  port_ = *port;
}

std::string KvServer::stop() {
  child_.signal(SIGTERM);
  const std::string end = child_.wait();
  return end == clean_end ? end : end + ": " + child_.err();
}

void KvServer::kill() {
  child_.signal(SIGKILL);
  child_.wait();
}

std::string KvServer::info_text(const std::string& name) const {
  const auto info = demo::parse_info(connect().ask({"INFO"}).text);
  const auto found = info.find(name);
  return found == info.end() ? "" : found->second;
}

double KvServer::info(const std::string& name) const {
  const std::string text = info_text(name);
  return text.empty() ? -1 : std::stod(text);
}

}  // namespace kvtest
