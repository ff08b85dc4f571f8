#include "tests/support/server_process.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;

// Beside the test in its runfiles, which is also where `bazel run` starts; else beside
// the binary itself.
std::string BinaryPath(const std::string& binary) {
  if (std::filesystem::exists(binary)) return std::filesystem::absolute(binary);
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  return self + ".runfiles/kvasir/" + binary;
}

// Short, because a unix socket's path has at most 107 bytes.
std::string MakeDirectory() {
  std::string path = "/tmp/kvtest-XXXXXX";
  KV_CHECK(mkdtemp(path.data()) != nullptr);
  return path;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> Environment(const std::vector<std::string>& extra) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!text.starts_with("KVASIR_")) environment.push_back(text);
  }
  environment.insert(environment.end(), extra.begin(), extra.end());
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// Of `options`, what to run and its environment.
absl::StatusOr<Child> SpawnServer(const ServerProcess::Options& options,
                                  std::vector<std::string> flags,
                                  const std::string& log_path) {
  const std::string binary = BinaryPath(options.binary);
  flags.insert(flags.begin(), binary);
  std::vector<std::string> environment = Environment(options.environment);
  const std::vector<char*> argv = Pointers(flags);
  const std::vector<char*> envp = Pointers(environment);
  const UniqueFd log(
      open(log_path.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600));
  if (!log.valid()) return ErrnoStatus(errno, "open " + log_path);
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {  // Only what is safe after a fork in a program with threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(log.get(), STDOUT_FILENO);
    dup2(log.get(), STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return ErrnoStatus(errno, "pidfd_open");
  return Child{pid, UniqueFd(pidfd)};
}

// The exit code of a child that has ended or ends within `patience`.
absl::StatusOr<int> AwaitExit(pid_t pid, int pidfd, milliseconds patience) {
  pollfd wait{.fd = pidfd, .events = POLLIN, .revents = 0};
  if (poll(&wait, 1, static_cast<int>(patience.count())) != 1) {
    return absl::DeadlineExceededError(
        fmt::format("kvasird {} has not ended in {} ms", pid, patience.count()));
  }
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return ErrnoStatus(errno, "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start() {
  return Start({});
}

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    const Options& options) {
  auto server = std::unique_ptr<ServerProcess>(new ServerProcess(options));
  if (absl::Status spawned = server->Spawn(); !spawned.ok()) return spawned;
  if (absl::Status ready = server->AwaitReady(); !ready.ok()) return ready;
  return server;
}

ServerProcess::ServerProcess(const Options& options)
    : options_(options), directory_(MakeDirectory()) {}

ServerProcess::~ServerProcess() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;  // What is left lies in /tmp and hurts nobody.
  std::filesystem::remove_all(directory_, ignored);
}

absl::Status ServerProcess::Spawn() {
  std::vector<std::string> flags = {"--listen=127.0.0.1:0",
                                    "--data_listen=127.0.0.1:0",
                                    "--http_listen=127.0.0.1:0",
                                    "--memory=64MiB",
                                    "--data_loops=1",
                                    "--shm_dir=" + directory_ + "/shm",
                                    "--node_name=test",
                                    "--ready_file=" + ready_path()};
  for (const std::string& flag : options_.flags) {
    const std::string name = flag.substr(0, flag.find('=') + 1);
    std::erase_if(flags,
                  [&name](const std::string& own) { return own.starts_with(name); });
    flags.push_back(flag);
  }
  absl::StatusOr<Child> child = SpawnServer(options_, flags, log_path());
  if (!child.ok()) return child.status();
  pid_ = child->pid;
  pidfd_ = std::move(child->pidfd);
  return absl::OkStatus();
}

absl::Status ServerProcess::AwaitReady() {
  const UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  inotify_add_watch(watch.get(), directory_.c_str(), IN_MOVED_TO);
  const Instant deadline = Clock::Real()->Now() + options_.patience;
  // Looked for after the watch began, so that no rename is missed between the two.
  while (!std::filesystem::exists(ready_path())) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(deadline - Clock::Real()->Now());
    if (left.count() <= 0) {
      return absl::DeadlineExceededError("kvasird did not become ready:\n" + log());
    }
    pollfd waits[] = {{.fd = watch.get(), .events = POLLIN, .revents = 0},
                      {.fd = pidfd_.get(), .events = POLLIN, .revents = 0}};
    poll(waits, 2, static_cast<int>(left.count()));
    if (waits[1].revents != 0) return absl::AbortedError("kvasird ended:\n" + log());
    char events[4096];
    while (read(watch.get(), events, sizeof(events)) > 0) {
    }
  }
  return ReadReadyFile();
}

absl::Status ServerProcess::ReadReadyFile() {
  ready_json_ = ReadAll(ready_path());
  const nlohmann::json ready = nlohmann::json::parse(ready_json_, nullptr, false);
  if (!ready.is_object()) return absl::DataLossError("ready file: " + ready_json_);
  listen_ = ready.value("listen", "");
  data_listen_ = ready.value("data_listen", "");
  http_listen_ = ready.value("http_listen", "");
  return absl::OkStatus();
}

std::string ServerProcess::log() const { return ReadAll(log_path()); }

void ServerProcess::Signal(int signal) { kill(pid_, signal); }

bool ServerProcess::EndsWithin(milliseconds patience) const {
  pollfd wait{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return poll(&wait, 1, static_cast<int>(patience.count())) == 1;
}

absl::StatusOr<int> ServerProcess::WaitForExit() {
  absl::StatusOr<int> code = AwaitExit(pid_, pidfd_.get(), options_.patience);
  if (code.ok()) pid_ = -1;
  return code;
}

absl::StatusOr<ServerRun> RunServer(const std::vector<std::string>& flags,
                                    const std::vector<std::string>& environment) {
  const std::string directory = MakeDirectory();
  const std::string log_path = directory + "/log";
  absl::StatusOr<Child> child = SpawnServer({.environment = environment}, flags, log_path);
  if (!child.ok()) return child.status();
  const absl::StatusOr<int> code =
      AwaitExit(child->pid, child->pidfd.get(), milliseconds(60'000));
  if (!code.ok()) kill(child->pid, SIGKILL);
  ServerRun run{.exit_code = code.value_or(-1), .output = ReadAll(log_path)};
  std::filesystem::remove_all(directory);
  if (!code.ok()) return code.status();
  return run;
}

}  // namespace kvasir
