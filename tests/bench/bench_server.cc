#include "tests/bench/bench_server.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "base/check.h"

namespace kvasir::bench {
namespace {

constexpr auto kStartWait = std::chrono::seconds(60);

// kvasird beside this benchmark in Bazel's output tree.
std::filesystem::path ServerBinary() {
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return self.parent_path().parent_path().parent_path() / "service" / "kvasird";
}

[[noreturn]] void RunServer(std::vector<std::string> arguments,
                            const std::string& directory) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int log = open((directory + "/log").c_str(), O_CREAT | O_WRONLY, 0600);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  std::perror(pointers[0]);
  _exit(127);
}

std::string WaitForAddress(pid_t pid, const std::string& directory) {
  const auto give_up = std::chrono::steady_clock::now() + kStartWait;
  while (std::chrono::steady_clock::now() < give_up && waitpid(pid, nullptr, WNOHANG) == 0) {
    std::ifstream ready(directory + "/ready.json");
    if (ready) return nlohmann::json::parse(ready).at("listen");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  std::ifstream log(directory + "/log");
  std::fprintf(stderr, "kvasird did not start:\n%s\n",
               std::string(std::istreambuf_iterator<char>(log), {}).c_str());
  std::exit(1);
}

}  // namespace

std::unique_ptr<BenchServer> BenchServer::Start(const std::string& memory,
                                                const std::vector<std::string>& flags) {
  char directory[] = "/tmp/kvasir-bench-XXXXXX";
  KV_CHECK(mkdtemp(directory) != nullptr);
  std::vector<std::string> arguments = {
      ServerBinary(), "--listen", "127.0.0.1:0", "--data_listen", "127.0.0.1:0",
      "--http_listen", "127.0.0.1:0", "--memory", memory, "--ready_file",
      std::string(directory) + "/ready.json"};
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  const pid_t pid = fork();
  KV_CHECK(pid >= 0);
  if (pid == 0) RunServer(std::move(arguments), directory);
  std::string address = WaitForAddress(pid, directory);
  return std::unique_ptr<BenchServer>(new BenchServer(pid, directory, std::move(address)));
}

BenchServer::BenchServer(pid_t pid, std::string directory, std::string address)
    : pid_(pid), directory_(std::move(directory)), address_(std::move(address)) {}

BenchServer::~BenchServer() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  std::filesystem::remove_all(directory_);
}

std::unique_ptr<Client> BenchServer::Connect(ClientOptions options) const {
  options.nodes = {address_};
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Connect(options);
  if (!client.ok()) std::fprintf(stderr, "%s\n", std::string(client.status().message()).c_str());
  KV_CHECK(client.ok());
  return std::move(*client);
}

}  // namespace kvasir::bench
