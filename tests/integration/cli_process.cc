#include "tests/integration/cli_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/check.h"

namespace kvasir {
namespace {

constexpr char kBinary[] = "client/cli/kvasir";

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::vector<char*> Pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

// This process's environment, but for KVASIR_*.
std::vector<std::string> CleanEnvironment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "KVASIR_", 7) != 0) variables.emplace_back(*variable);
  }
  return variables;
}

}  // namespace

CliProcess::CliProcess(const std::string& server, const std::vector<std::string>& arguments,
                       const std::string& input) {
  const char* const base = std::getenv("TEST_TMPDIR");
  directory_ = std::string(base == nullptr ? "/tmp" : base) + "/cli.XXXXXX";
  KV_CHECK(mkdtemp(directory_.data()) != nullptr);
  std::ofstream(Path("in"), std::ios::binary) << input;

  std::vector<std::string> words = {kBinary};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables = CleanEnvironment();
  if (!server.empty()) variables.push_back("KVASIR_SERVER=" + server);

  posix_spawn_file_actions_t actions;
  KV_CHECK(posix_spawn_file_actions_init(&actions) == 0);
  const int write_flags = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, Path("in").c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, Path("out").c_str(), write_flags,
                                   0600);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, Path("err").c_str(), write_flags,
                                   0600);
  KV_CHECK(posix_spawn(&pid_, kBinary, &actions, nullptr, Pointers(words).data(),
                       Pointers(variables).data()) == 0);
  posix_spawn_file_actions_destroy(&actions);
}

CliProcess::~CliProcess() {
  Signal(SIGKILL);
  Reap(0);
  std::error_code ignored;  // It is in the test's own directory, which goes anyway.
  std::filesystem::remove_all(directory_, ignored);
}

void CliProcess::Reap(int flags) {
  if (!ended_) ended_ = waitpid(pid_, &status_, flags) == pid_;
}

void CliProcess::Signal(int signal) {
  if (!ended_) kill(pid_, signal);
}

bool CliProcess::Running() {
  Reap(WNOHANG);
  return !ended_;
}

CliProcess::Result CliProcess::Wait() {
  Reap(0);
  return {.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_),
          .out = ReadAll(Path("out")),
          .err = ReadAll(Path("err"))};
}

}  // namespace kvasir
