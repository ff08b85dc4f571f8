#ifndef KVASIR_TESTS_BENCH_BENCH_SERVER_H_
#define KVASIR_TESTS_BENCH_BENCH_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"

namespace kvasir::bench {

// A real kvasird in a process of its own, on free loopback ports, that dies with this
// process. Ends this process with a message if it does not start.
class BenchServer {
 public:
  // `memory` as in --memory; `flags` are more of them.
  static std::unique_ptr<BenchServer> Start(const std::string& memory,
                                            const std::vector<std::string>& flags = {});
  ~BenchServer();

  // A client of it; options.nodes is filled in.
  std::unique_ptr<Client> Connect(ClientOptions options) const;
  pid_t pid() const { return pid_; }

 private:
  BenchServer(pid_t pid, std::string directory, std::string address);

  const pid_t pid_;
  const std::string directory_;
  const std::string address_;
};

}  // namespace kvasir::bench

#endif  // KVASIR_TESTS_BENCH_BENCH_SERVER_H_
