// Resident memory of an idle server with an arena of 1 GiB: the arena is pre-faulted, so
// all of it counts.

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/limits.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

// VmRSS of a process, which counts shared pages too.
double ResidentMiB(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  std::string word;
  double kib = 0;
  while (status >> word) {
    if (word == "VmRSS:") status >> kib;
  }
  KV_CHECK(kib > 0);
  return kib / 1024;
}

int Main() {
  const std::unique_ptr<BenchServer> server = BenchServer::Start("1GiB");
  const double resident = ResidentMiB(server->pid());
  std::printf("resident memory of an idle server with a 1 GiB arena: %.0f MiB\n", resident);
  PrintAtMost("idle_resident_MiB_beyond_the_arena", resident - 1024, 100);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main() { return kvasir::bench::Main(); }
