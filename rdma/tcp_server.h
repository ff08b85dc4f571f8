#ifndef KVASIR_RDMA_TCP_SERVER_H_
#define KVASIR_RDMA_TCP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/fd.h"
#include "rdma/tcp_counters.h"
#include "rdma/tcp_lane_table.h"
#include "rdma/tcp_loop.h"
#include "rdma/tcp_socket.h"
#include "rdma/transport.h"

namespace kvasir {

// The server's half of the tcp transport: one persistent connection a lane, frames of
// rdma/frame.h, every copied piece admitted by the gate. docs/transports.md has the
// protocol.
//
// Threads: Poll(loop) as ServerTransport says; the rest from any.
// Bounds:  connections_max; 3 s to attach; two batches queued a connection.
class TcpServer final : public ServerTransport {
 public:
  struct Options {
    std::string listen = "127.0.0.1:0";  // port 0: a free one
    // What offers tell clients to connect to. Empty: the address listened on, or, if
    // that is every interface, the host where the client reached the control plane.
    std::string advertise;
    size_t loops = 2;
    size_t connections_max = 16'384;
    std::chrono::milliseconds attach_patience{3'000};
    SocketOptions socket;
  };

  // Listens. InvalidArgument for an address that is none or no loops; else the error of
  // the socket. `gate` and `clock` are not owned and must outlive the server.
  static absl::StatusOr<std::unique_ptr<TcpServer>> Create(const Options& options, Gate* gate,
                                                           const Clock* clock);
  // Closes every connection, then runs `done` of every fence that waits. REQUIRES: no
  // call is under way.
  ~TcpServer() override;

  // "host:port" in digits.
  std::string listen_address() const;
  // Open now, attached to a lane or not.
  size_t connections() const;

  TransportKind kind() const override { return TransportKind::kTcp; }
  absl::Status Export(const Region& region) override;
  absl::StatusOr<std::string> Accept(SessionId session, LaneId lane,
                                     std::string_view hello) override;
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done) override;
  bool can_push() const override { return true; }
  bool Push(SessionId session, LaneId lane, std::span<PushItem> items) override;
  size_t loops() const override { return loops_.size(); }
  void Poll(size_t loop, std::chrono::milliseconds wait_max) override;
  TransportStats stats() const override;

 private:
  TcpServer(const Options& options, Gate* gate, const Clock* clock, UniqueFd listener,
            const HostPort& listening, const HostPort& advertised);
  absl::Status Start();
  void AcceptConnections();
  // Sends from this thread what the socket takes at once, and leaves the rest.
  void FlushPinned(TcpSendQueue* queue, const TcpPlace& place);

  const Options options_;
  Gate* const gate_;
  const Clock* const clock_;
  const UniqueFd listener_;
  const HostPort listening_;
  const HostPort advertised_;
  TcpCounters counters_;
  TcpLaneTable lanes_;
  std::vector<std::unique_ptr<TcpLoop>> loops_;
};

}  // namespace kvasir

#endif  // KVASIR_RDMA_TCP_SERVER_H_
