// The transport contract over shm. What only shm has is in shm_transport_test.cc.
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "rdma/shm_client.h"
#include "rdma/shm_server.h"
#include "tests/rdma/shm_directory.h"
#include "tests/rdma/transport_contract.h"

namespace kvasir {
namespace {

TransportHalves Make(ShmServer::Options options, Gate* gate, const Clock* clock) {
  static const ShmTestDirectory directory;
  options.directory = directory.path();
  absl::StatusOr<std::unique_ptr<ServerTransport>> server =
      ShmServer::Create(options, gate, clock);
  KV_CHECK(server.ok());
  return {.server = *std::move(server), .client = ShmClient::Create({}, clock)};
}

TransportContractParam Param(std::string name, const ShmServer::Options& options) {
  return {.name = std::move(name),
          .make = [options](Gate* gate,
                            const Clock* clock) { return Make(options, gate, clock); },
          .gate_guards_reads = false};
}

INSTANTIATE_TEST_SUITE_P(
    Shm, TransportContract,
    testing::Values(Param("TwoLoops", {.loops = 2}),
                    // So small that every larger block wraps around it many times.
                    Param("SmallRing", {.ring_bytes = 256 * kKiB})),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvasir
