#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "gtest/gtest.h"
#include "rdma/tcp_client.h"
#include "rdma/tcp_server.h"
#include "tests/rdma/transport_contract.h"

namespace kvasir {
namespace {

TransportContractParam Tcp(std::string name, size_t loops, SocketOptions socket) {
  return {.name = std::move(name), .make = [loops, socket](Gate* gate, const Clock* clock) {
            absl::StatusOr<std::unique_ptr<TcpServer>> server =
                TcpServer::Create({.loops = loops, .socket = socket}, gate, clock);
            KV_CHECK(server.ok());
            return TransportHalves{
                .server = *std::move(server),
                .client = std::make_unique<TcpClient>(TcpClient::Options{.socket = socket},
                                                      clock)};
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Tcp, TransportContract,
    testing::Values(Tcp("OneLoop", 1, {}),
                    // Little fits the sockets: every frame is cut many times.
                    Tcp("ThreeLoopsSmallBuffers", 3,
                        {.send_buffer_bytes = 4096, .receive_buffer_bytes = 4096})),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace kvasir
