#include "tests/support/core_harness.h"

#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/checksum.h"

namespace kvasir {

CoreHarness::CoreHarness(const Options& options)
    : region(*Region::Map({.id = RegionId(1), .size_bytes = options.arena_bytes})),
      arena(region.get()),
      tiered(&arena, {}, &clock, &tier_writes, &tier_reads),
      store(*tiered.memory()),
      sealer(options.core.epoch),
      leases(&sealer),
      core(options.core, &clock, &tiered, &leases, {&shm, &tcp}) {}

SessionId CoreHarness::MustOpenSession(std::string_view name) {
  v1::OpenSessionRequest request;
  request.set_client_name(std::string(name));
  v1::OpenSessionResponse response;
  KV_CHECK(core.OpenSession(request, &response).ok());
  return *SessionId::FromBytes(response.session());
}

LaneId CoreHarness::MustOpenLane(SessionId session, v1::TransportKind transport) {
  v1::OpenLaneRequest request;
  request.set_transport(transport);
  request.set_hello("hello");
  v1::OpenLaneResponse response;
  const absl::StatusOr<LaneId> lane = core.OpenLane(session, request, &response);
  KV_CHECK(lane.ok());
  return *lane;
}

CoreHarness::Peer CoreHarness::MustConnect() {
  const SessionId session = MustOpenSession();
  return {session, MustOpenLane(session)};
}

v1::WriteGrant CoreHarness::Reserve(const Peer& peer, std::string_view key,
                                    uint64_t size_bytes, uint64_t op_id, bool replace) {
  v1::GrantWritesRequest request;
  request.set_op_id(op_id);
  request.set_replace(replace);
  v1::WriteIntent* const intent = request.add_writes();
  intent->set_key(std::string(key));
  intent->set_size_bytes(size_bytes);
  v1::GrantWritesResponse response;
  KV_CHECK(core.GrantWrites(peer.session, peer.lane, request, &response).ok());
  KV_CHECK(response.grants_size() == 1);
  return response.grants(0);
}

absl::Status CoreHarness::Fill(const Peer& peer, const v1::WriteGrant& grant,
                               std::string_view bytes) {
  return leases.Admit(peer.session, peer.lane, grant.token(), Access::kWrite, 0, bytes.size(),
                      [&bytes](std::span<std::byte> to) {
                        std::memcpy(to.data(), bytes.data(), bytes.size());
                        return absl::OkStatus();
                      });
}

v1::KeyOutcome CoreHarness::Commit(const Peer& peer, uint64_t lease, uint64_t checksum,
                                   uint64_t op_id) {
  v1::CommitRequest request;
  request.set_op_id(op_id);
  v1::CommitItem* const item = request.add_items();
  item->set_lease(lease);
  item->set_checksum(checksum);
  v1::CommitResponse response;
  KV_CHECK(core.Commit(peer.session, peer.lane, request, &response).ok());
  KV_CHECK(response.outcomes_size() == 1);
  return response.outcomes(0);
}

void CoreHarness::MustPut(const Peer& peer, std::string_view key, std::string_view bytes) {
  const v1::WriteGrant grant = Reserve(peer, key, bytes.size());
  KV_CHECK(grant.outcome() == v1::KEY_OUTCOME_OK);
  KV_CHECK(Fill(peer, grant, bytes).ok());
  KV_CHECK(Commit(peer, grant.lease(), ChecksumOf(key, bytes)) == v1::KEY_OUTCOME_OK);
}

v1::ReadGrant CoreHarness::GrantRead(const Peer& peer, std::string_view key) {
  v1::GrantReadsRequest request;
  request.add_keys(std::string(key));
  v1::GrantReadsResponse response;
  KV_CHECK(core.GrantReads(peer.session, peer.lane, request, &response, nullptr).ok());
  KV_CHECK(response.grants_size() == 1);
  return response.grants(0);
}

absl::StatusOr<std::string> CoreHarness::Read(const Peer& peer, const v1::ReadGrant& grant) {
  std::string bytes;
  const absl::Status status =
      leases.Admit(peer.session, peer.lane, grant.token(), Access::kRead, 0,
                   grant.size_bytes(), [&bytes](std::span<std::byte> from) {
                     bytes.assign(reinterpret_cast<const char*>(from.data()), from.size());
                     return absl::OkStatus();
                   });
  if (!status.ok()) return status;
  return bytes;
}

uint64_t CoreHarness::ChecksumOf(std::string_view key, std::string_view bytes) {
  return BlockChecksum(ChecksumSeed(key), AsBytes(bytes));
}

void CoreHarness::Pass(BootClock::duration time) {
  clock.Advance(time);
  core.Step();
}

uint64_t CoreHarness::FreeBytes() const {
  const Arena::Usage usage = arena.usage();
  return usage.capacity_bytes - usage.allocated_bytes;
}

bool CoreHarness::Settled() const {
  const KvCore::Stats held = core.stats();
  const BlockStore::Stats stored = store.stats();
  return held.read_leases == 0 && held.write_leases == 0 && held.pins == 0 &&
         held.quarantined_blocks == 0 && held.quarantined_bytes == 0 &&
         stored.reserved_bytes == 0 && stored.unbound_bytes == 0 &&
         FreeBytes() + stored.block_bytes == arena.usage().capacity_bytes;
}

}  // namespace kvasir
