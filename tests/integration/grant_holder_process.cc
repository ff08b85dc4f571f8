#include "tests/integration/grant_holder_process.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

namespace kvasir {
namespace {

constexpr char kHolder[] = "tests/integration/grant_holder";

}  // namespace

GrantHolder::GrantHolder(std::vector<std::string> arguments) {
  int ends[2];
  KV_CHECK(pipe(ends) == 0);
  output_ = UniqueFd(ends[0]);
  const UniqueFd input(ends[1]);
  posix_spawn_file_actions_t actions;
  KV_CHECK(posix_spawn_file_actions_init(&actions) == 0);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, output_.get());
  arguments.insert(arguments.begin(), kHolder);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  KV_CHECK(posix_spawn(&pid_, kHolder, &actions, nullptr, pointers.data(), environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
}

GrantHolder::~GrantHolder() { Kill(); }

bool GrantHolder::AwaitReady() {
  std::string said;
  char byte = 0;
  while (read(output_.get(), &byte, 1) == 1 && byte != '\n') said += byte;
  return said == "ready";
}

bool GrantHolder::ended() const {
  siginfo_t info = {};
  // Not reaped here: that is for Kill.
  KV_CHECK(waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0);
  return info.si_pid != 0;
}

void GrantHolder::Signal(int signal) { kill(pid_, signal); }

void GrantHolder::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  KV_CHECK(waitpid(pid_, nullptr, 0) == pid_);
  pid_ = -1;
}

}  // namespace kvasir
