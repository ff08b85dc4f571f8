#ifndef KVASIR_TESTS_SIMULATION_FABRIC_H_
#define KVASIR_TESTS_SIMULATION_FABRIC_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/ids.h"
#include "rdma/transport.h"
#include "tests/simulation/dice.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/weather.h"

namespace kvasir::sim {

// The data path between all simulated clients and the server, in memory, with the manners
// of one-sided RDMA: a block travels in packets that are late, lost, doubled or damaged;
// one that was sent lands whatever has become of its sender, its lane's stream or its
// lease, as long as the server's queue pair is there; and nobody looks at the token. In
// gated weather the server's CPU copies instead, in order, asks its Gate each time, and
// sends what was granted to be read unasked.
//
// The client's half is as the contract of rdma/transport.h says: Run takes what has
// completed, then looks at the deadline; after a deadline nothing more is sent from
// `local` and nothing is delivered to it, but what is on the wire stays there.
class Fabric {
 public:
  struct World {
    Scheduler* scheduler = nullptr;
    Dice* dice = nullptr;
    Trace* trace = nullptr;
    Oracle* oracle = nullptr;
    const Weather* weather = nullptr;
    // The server's, which a fence waits for while it is paused.
    const Process* server = nullptr;
  };
  struct Counters {
    uint64_t landed = 0;       // packets of writes
    uint64_t landed_late = 0;  // of which nobody waited any more
    uint64_t cut_off = 0;      // that found no queue pair
    uint64_t fences = 0;
    uint64_t refused = 0;  // by the gate
  };

  explicit Fabric(const World& world) : world_(world) {}

  // At most one at a time; `gate` must outlive it. Its end is the end of the server: the
  // queue pairs are gone, and fences under way never report.
  std::unique_ptr<ServerTransport> NewServer(Gate* gate);
  std::unique_ptr<ClientTransport> NewClient(Process* process);
  // The kernel takes a killed process's queue pairs.
  void Cut(const Process* process);
  bool CanRead(SessionId session, LaneId lane) const;
  const Counters& counters() const { return counters_; }

 private:
  friend class FabricLane;
  friend class FabricClient;
  friend class FabricServer;
  enum class ClientQp : uint64_t {};
  enum class ServerQp : uint64_t {};
  enum class RunId : uint64_t {};

  struct ClientEnd {
    Process* process = nullptr;
    Instant dead_from = Instant::max();
    // Gated: what the server has sent unasked, by lease, and with what end.
    struct Pushed {
      std::string bytes;
      absl::Status refused;
    };
    std::map<uint64_t, Pushed> pushed;
  };
  struct ServerEnd {
    SessionId session;
    LaneId lane{};
    ClientQp client{};
    bool reads = true;
    bool writes = true;
    uint64_t fences = 0;
    Instant last_arrival;                      // of a gated lane, which is a stream
    std::map<uint64_t, std::string> received;  // gated, by lease, until it is whole
    Instant last_push;
    bool push_stalled = false;  // a stream that has lost something delivers no more
  };
  struct RunState {
    ClientQp client{};
    std::span<Transfer> batch;
    std::vector<size_t> packets_left;  // of each transfer
    size_t transfers_left = 0;
    bool cut = false;
    Scheduler::Ticket ticket{};
  };
  struct Packet {
    ClientQp from_qp{};
    ServerQp to_qp{};
    RunId run{};
    size_t transfer = 0;
    Token token;
    uint64_t from = 0;  // within the token's extent
    uint64_t size_bytes = 0;
    std::string bytes;  // of a write
    Instant sent;
  };

  void Run(ClientQp client, ServerQp server, std::span<Transfer> batch, Instant deadline);
  void Post(const RunState& state, const Packet& prototype, BootClock::duration gap);
  void PostPacket(Packet packet);
  void Arrive(Packet packet);
  void ArriveWrite(Packet packet, ServerEnd* end);
  void ArriveRead(Packet packet, ServerEnd* end);
  absl::Status Land(const Packet& packet, ServerEnd* end);
  absl::Status Fetch(Packet* packet, ServerEnd* end);
  void Deliver(const Packet& packet);
  void Receive(const Packet& packet, ServerEnd* end);
  void Complete(RunId run, size_t transfer, const absl::Status& status);
  void Finish(RunState* run, size_t transfer, absl::Status status);
  void CutRun(RunId run);
  void Damage(std::string* bytes);
  void Preempt();

  // Gated only: fabric_push.cc.
  bool Push(SessionId session, LaneId lane, std::span<ServerTransport::PushItem> items);
  void PushPacket(ServerQp from, Token token, uint64_t offset, uint64_t size_bytes);
  void ArrivePushed(ClientQp to, uint64_t lease, absl::StatusOr<std::string> bytes);
  void TakePushed(RunState* run, ClientEnd* end, size_t transfer);

  ServerQp Accept(SessionId session, LaneId lane, ClientQp client);
  void Fence(const FenceTarget& target, absl::AnyInvocable<void() &&> done);
  void FenceNow(ServerQp qp, FenceScope scope);
  void ReportFence(uint64_t fence);
  void EndServer();

  const World world_;
  uint64_t last_id_ = 0;
  Gate* gate_ = nullptr;
  const Region* region_ = nullptr;
  std::map<ClientQp, ClientEnd> clients_;
  std::map<ServerQp, ServerEnd> servers_;
  std::map<RunId, RunState> runs_;
  struct FenceUnderWay {
    size_t lanes_left = 0;
    absl::AnyInvocable<void() &&> done;
  };
  std::map<uint64_t, FenceUnderWay> fences_;
  Counters counters_;
};

// Copies `bytes` into the transfer's slices, from byte `from` of them on.
void Scatter(const Transfer& transfer, uint64_t from, std::string_view bytes);

}  // namespace kvasir::sim

#endif  // KVASIR_TESTS_SIMULATION_FABRIC_H_
