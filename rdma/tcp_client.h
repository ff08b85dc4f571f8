#ifndef KVASIR_RDMA_TCP_CLIENT_H_
#define KVASIR_RDMA_TCP_CLIENT_H_

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "rdma/tcp_socket.h"
#include "rdma/transport.h"

namespace kvasir {

// The client's half of the tcp transport. Any memory will do: Register only keeps the
// contract. Immutable; thread-safe.
class TcpClient final : public ClientTransport {
 public:
  struct Options {
    // Where to connect if an offer names no host: the host of the control plane.
    std::string host_if_unnamed = "127.0.0.1";
    SocketOptions socket;
  };
  // `clock` is not owned and must outlive the client and its lanes.
  TcpClient(const Options& options, const Clock* clock) : options_(options), clock_(clock) {}

  TransportKind kind() const override { return TransportKind::kTcp; }
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(
      std::span<std::byte> memory) override;
  // A host name is looked up by getaddrinfo(3), which minds no deadline.
  absl::StatusOr<std::unique_ptr<Lane>> Connect(Rendezvous rendezvous,
                                                Instant deadline) override;

 private:
  const Options options_;
  const Clock* const clock_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_CLIENT_H_
