#ifndef KVASIR_TESTS_SUPPORT_SERVER_PROCESS_H_
#define KVASIR_TESTS_SUPPORT_SERVER_PROCESS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/fd.h"

namespace kvasir {

// The real kvasird in a process of its own, on free loopback ports. It dies with the
// thread that started it, which therefore should be the test's main thread.
//
// Use: auto server = ServerProcess::Start({.flags = {"--lease_ttl=300ms"}});
class ServerProcess {
 public:
  struct Options {
    // After those that every test server gets: free ports, 64 MiB of memory, a directory
    // of its own for shm, a ready file. A flag given here replaces that of the name.
    std::vector<std::string> flags;
    std::vector<std::string> environment;  // "NAME=value"; KVASIR_* of ours is not passed
    // What to run, as runfiles name it; the test has it among its data.
    std::string binary = "service/kvasird";
    // To be ready, and to end. Generous: machines that test are busy.
    std::chrono::milliseconds patience{60'000};
  };

  // Starts it and waits for its ready file. Aborted, with its log, if it ends before;
  // DeadlineExceeded.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(const Options& options);
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start();
  ~ServerProcess();  // Kills it and removes its directory.
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // Out of the ready file.
  const std::string& listen() const { return listen_; }
  const std::string& data_listen() const { return data_listen_; }
  const std::string& http_listen() const { return http_listen_; }
  const std::string& ready_json() const { return ready_json_; }
  pid_t pid() const { return pid_; }
  // Of its own, for the test to use; goes with the object.
  const std::string& directory() const { return directory_; }

  // What it wrote to standard output and error so far.
  std::string log() const;
  void Signal(int signal);
  // Waits for its end: the exit code, or 128 plus the signal that killed it.
  // DeadlineExceeded.
  absl::StatusOr<int> WaitForExit();
  // Whether it has ended, or ends within `patience`. From any thread, until WaitForExit.
  bool EndsWithin(std::chrono::milliseconds patience) const;

 private:
  explicit ServerProcess(const Options& options);
  absl::Status Spawn();
  absl::Status AwaitReady();
  absl::Status ReadReadyFile();
  std::string ready_path() const { return directory_ + "/ready.json"; }
  std::string log_path() const { return directory_ + "/log"; }

  const Options options_;
  std::string directory_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::string listen_, data_listen_, http_listen_, ready_json_;
};

// Runs kvasird with these flags alone, for those that make it end by itself.
struct ServerRun {
  int exit_code = -1;
  std::string output;  // standard output and error
};
absl::StatusOr<ServerRun> RunServer(const std::vector<std::string>& flags,
                                    const std::vector<std::string>& environment = {});

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_SERVER_PROCESS_H_
