#ifndef KVASIR_TESTS_SUPPORT_CORE_HARNESS_H_
#define KVASIR_TESTS_SUPPORT_CORE_HARNESS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/region.h"
#include "kvasir/v1/kv.pb.h"
#include "rdma/token.h"
#include "service/kv_core.h"
#include "service/lease_table.h"
#include "storage/arena.h"
#include "storage/block_store.h"
#include "storage/tiered_store.h"
#include "tests/support/fake_transport.h"
#include "tests/support/manual_clock.h"
#include "tests/support/manual_executor.h"

namespace kvasir {

// A whole core over a small arena, with a clock and two transports that the test moves,
// and the client's side of the calls in short form. Helpers that say Must end the
// process when the call fails.
struct CoreHarness {
  struct Options {
    uint64_t arena_bytes = kMiB;
    KvCore::Options core = {.node_name = "node-a", .epoch = Epoch{7}};
  };
  // One client with one lane.
  struct Peer {
    SessionId session;
    LaneId lane{};
  };

  CoreHarness() : CoreHarness(Options()) {}
  explicit CoreHarness(const Options& options);

  SessionId MustOpenSession(std::string_view name = "test");
  LaneId MustOpenLane(SessionId session,
                      v1::TransportKind transport = v1::TRANSPORT_KIND_TCP);
  Peer MustConnect();

  // Grants one write, without bytes.
  v1::WriteGrant Reserve(const Peer& peer, std::string_view key, uint64_t size_bytes,
                         uint64_t op_id = 0, bool replace = false);
  // Copies `bytes` under the grant's token, as a transport would.
  absl::Status Fill(const Peer& peer, const v1::WriteGrant& grant, std::string_view bytes);
  v1::KeyOutcome Commit(const Peer& peer, uint64_t lease, uint64_t checksum,
                        uint64_t op_id = 0);
  // All three.
  void MustPut(const Peer& peer, std::string_view key, std::string_view bytes);
  v1::ReadGrant GrantRead(const Peer& peer, std::string_view key);
  // What a transport would send for the grant.
  absl::StatusOr<std::string> Read(const Peer& peer, const v1::ReadGrant& grant);
  static uint64_t ChecksumOf(std::string_view key, std::string_view bytes);

  // Moves the clock and turns the crank.
  void Pass(BootClock::duration time);
  uint64_t FreeBytes() const;
  // Nothing is held by anybody, and every byte is free or published.
  bool Settled() const;

  ManualClock clock;
  std::unique_ptr<Region> region;
  Arena arena;
  ManualExecutor tier_writes, tier_reads;
  TieredStore tiered;
  BlockStore& store;  // its memory
  TokenSealer sealer;
  LeaseTable leases;
  FakeTransport tcp{TransportKind::kTcp};
  FakeTransport shm{TransportKind::kShm};
  KvCore core;
};

}  // namespace kvasir

#endif  // KVASIR_TESTS_SUPPORT_CORE_HARNESS_H_
