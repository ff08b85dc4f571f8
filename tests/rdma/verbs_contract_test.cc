// The transport contract over rdma, on as many rails as there are, where there is a
// device. What only rdma has is in verbs_hostile_test.cc (refusals),
// verbs_late_write_test.cc (fences on a wire) and verbs_loop_test.cc (fences alone).
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_server.h"
#include "tests/rdma/transport_contract.h"
#include "tests/rdma/verbs_ends.h"

namespace kvasir {
namespace {

TransportContractParam Param(std::string name, const VerbsDeviceOptions& left,
                             const VerbsDeviceOptions& right, size_t loops) {
  return {.name = std::move(name),
          .make =
              [=](Gate*, const Clock* clock) {
                absl::StatusOr<std::unique_ptr<VerbsServer>> server =
                    VerbsServer::Create({.devices = left, .loops = loops});
                KV_CHECK(server.ok());
                absl::StatusOr<std::unique_ptr<VerbsClient>> client =
                    VerbsClient::Create(right, clock);
                KV_CHECK(client.ok());
                return TransportHalves{.server = *std::move(server),
                                       .client = *std::move(client)};
              },
          .gate_guards_reads = false,
          .one_sided = true};
}

std::vector<TransportContractParam> Params() {
  const VerbsEnds ends = VerbsEnds::Find();
  if (ends.empty()) return {};
  std::vector<TransportContractParam> params = {Param("OneRail", ends.Left(), ends.Right(), 1)};
  if (ends.rails() > 1) {
    params.push_back(Param("AllRails", ends.Left(ends.rails()), ends.Right(ends.rails()), 2));
  }
  return params;
}

INSTANTIATE_TEST_SUITE_P(Verbs, TransportContract, testing::ValuesIn(Params()),
                         [](const auto& info) { return info.param.name; });
// Without a device there is nothing to instantiate.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

}  // namespace
}  // namespace kvasir
