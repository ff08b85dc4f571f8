#ifndef KVASIR_TESTS_RDMA_TRANSPORT_CONTRACT_H_
#define KVASIR_TESTS_RDMA_TRANSPORT_CONTRACT_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "rdma/transport.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

// The contract of rdma/transport.h as tests. Every pair of halves passes it:
//
//   INSTANTIATE_TEST_SUITE_P(Tcp, TransportContract,
//                            testing::Values(TransportContractParam{.name = ..., ...}));
//
// The server's half runs over a FakeGate; its loops run in threads that a test can hold.
namespace kvasir {

struct TransportHalves {
  std::unique_ptr<ServerTransport> server;
  std::unique_ptr<ClientTransport> client;
};

struct TransportContractParam {
  std::string name;
  // Both must work on this host. The halves are destroyed before the gate.
  std::function<TransportHalves(Gate* gate, const Clock* clock)> make;
  // The gate decides on every read. False where clients map the arena and read by
  // themselves: then a read cannot be refused, stalled or cut.
  bool gate_guards_reads = true;
  // The client's NIC moves the bytes both ways: neither the gate nor a loop that stands
  // still can refuse or stall a move, so a batch in flight is one that is run again until
  // it fails.
  bool one_sided = false;
  // A fence of a lane's writes leaves its reads alone.
  bool write_fence_spares_reads = true;

  // For gtest's names.
  friend std::ostream& operator<<(std::ostream& out, const TransportContractParam& param) {
    return out << param.name;
  }
};

// Transfers of the given tokens with one registered buffer for all of them; transfer i
// has local(i), cut into `slices` pieces of uneven sizes.
class TransferBatch {
 public:
  TransferBatch(ClientTransport* client, std::vector<Token> tokens, size_t slices = 1);

  std::span<Transfer> transfers() { return transfers_; }
  Transfer& operator[](size_t i) { return transfers_[i]; }
  size_t size() const { return transfers_.size(); }
  std::span<std::byte> local(size_t i) const { return locals_[i]; }
  std::span<std::byte> memory() { return memory_; }
  // Fills local(i) with bytes that no other (seed, i) has.
  void FillLocals(uint64_t seed);
  bool AllOk() const;
  // Statuses, for failures.
  std::string Statuses() const;

 private:
  std::vector<std::byte> memory_;
  std::unique_ptr<MemoryRegion> registration_;
  std::vector<std::span<std::byte>> locals_;
  std::vector<std::vector<std::span<std::byte>>> slices_;
  std::vector<Transfer> transfers_;
};

// Bytes that depend on the seed and on their place.
void FillPattern(std::span<std::byte> bytes, uint64_t seed);
bool AllEqual(std::span<const std::byte> bytes, std::byte value);
bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b);
size_t OpenFileCount();

// `run` in a thread, from construction; the destructor joins.
class Concurrently {
 public:
  explicit Concurrently(absl::AnyInvocable<void() &&> run);
  // Returns once `run` has.
  void Join() { pool_.reset(); }

 private:
  std::unique_ptr<ThreadPool> pool_;
};

class TransportContract : public testing::TestWithParam<TransportContractParam> {
 protected:
  static constexpr uint64_t kRegionBytes = 20 * kMiB;
  static constexpr SessionId kSession{.high = 1, .low = 2};
  static constexpr SessionId kOtherSession{.high = 3, .low = 4};

  struct OpenLane {
    SessionId session;
    LaneId id{};
    std::unique_ptr<Lane> lane;
  };

  TransportContract();
  ~TransportContract() override;

  // A lane with an id of its own, connected.
  OpenLane Open(SessionId session = kSession);
  absl::StatusOr<std::unique_ptr<Lane>> TryOpen(SessionId session, LaneId id);
  Token Grant(const OpenLane& lane, Access access, uint64_t size_bytes);
  std::vector<Token> GrantMany(const OpenLane& lane, Access access, size_t count,
                               uint64_t size_bytes);
  // Runs the batch with a deadline that is far away.
  void Run(const OpenLane& lane, TransferBatch& batch);
  // The same in a thread while something else is done to the lane: returns once some of
  // it has moved, and what runs on fails if the lane does.
  std::unique_ptr<Concurrently> RunUntilCut(const OpenLane& lane, TransferBatch& batch);
  // Cuts the lane, or the whole session if `lane` is none.
  void Fence(SessionId session, LaneId lane, FenceScope scope, absl::Notification* done);
  void FenceAndWait(SessionId session, LaneId lane, FenceScope scope);
  // Stops the loops and takes the server's half away.
  void KillServer();
  void StopLoops();

  static Instant In(std::chrono::milliseconds wait) { return Clock::Real()->Now() + wait; }
  // Far beyond what anything here takes, even under a sanitizer on a busy machine.
  static constexpr std::chrono::milliseconds kPatience{60'000};

  // Zeroed; one mapping for all tests of the process.
  static const Region* SharedRegion();

  FakeGate gate_{SharedRegion()};
  TransportHalves halves_;
  std::unique_ptr<ServerLoops> loops_;
  uint64_t next_lane_ = 1;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_RDMA_TRANSPORT_CONTRACT_H_
