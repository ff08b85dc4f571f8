// Resident memory of an idle server with an arena of 1 GiB: the arena is pre-faulted, so
// all of it counts.

#include <cstdio>
#include <memory>

#include "base/limits.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/measure.h"

namespace kvasir::bench {
namespace {

int Main() {
  const std::unique_ptr<BenchServer> server = BenchServer::Start("1GiB");
  const double resident = static_cast<double>(ResidentBytes(server->pid())) / kMiB;
  std::printf("resident memory of an idle server with a 1 GiB arena: %.0f MiB\n", resident);
  PrintAtMost("idle_resident_MiB_beyond_the_arena", resident - 1024, 100);
  return 0;
}

}  // namespace
}  // namespace kvasir::bench

int main() { return kvasir::bench::Main(); }
