#include "service/kv_core.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status_reason.h"
#include "tests/support/core_harness.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

absl::Status OpenSession(CoreHarness& node, const v1::OpenSessionRequest& request) {
  v1::OpenSessionResponse response;
  return node.core.OpenSession(request, &response);
}

absl::Status OpenLane(CoreHarness& node, SessionId session, int transport,
                      std::string_view hello = "hello") {
  v1::OpenLaneRequest request;
  request.set_transport(static_cast<v1::TransportKind>(transport));
  request.set_hello(std::string(hello));
  v1::OpenLaneResponse response;
  return node.core.OpenLane(session, request, &response).status();
}

v1::LaneResponse Handle(CoreHarness& node, const CoreHarness::Peer& peer,
                        const v1::LaneRequest& request) {
  v1::LaneResponse response;
  absl::AnyInvocable<void() &&> after_reply;
  node.core.Handle(peer.session, peer.lane, request, &response, &after_reply);
  return response;
}

TEST(KvCoreSessions, OpeningTellsWhatTheServerIsAndOffers) {
  CoreHarness node;
  v1::OpenSessionResponse response;
  ASSERT_TRUE(node.core.OpenSession({}, &response).ok());
  EXPECT_EQ(response.session().size(), 16u);
  EXPECT_EQ(response.epoch(), 7u);
  EXPECT_EQ(response.node_name(), "node-a");
  EXPECT_EQ(response.transports(0), v1::TRANSPORT_KIND_SHM);
  EXPECT_EQ(response.transports(1), v1::TRANSPORT_KIND_TCP);
  EXPECT_EQ(response.heartbeat_interval_ms(), 1000u);
  EXPECT_EQ(response.silence_ms(), 3000u);
  EXPECT_EQ(response.lease_ttl_ms(), 5000u);
  EXPECT_EQ(response.block_bytes_max(), kMaxBlockBytes);
  EXPECT_EQ(response.keys_per_call_max(), kMaxKeysPerCall);
}

TEST(KvCoreSessions, ShmIsNotOfferedToAnotherHost) {
  CoreHarness node({.core = {.host_id = "here"}});
  v1::OpenSessionRequest request;
  v1::OpenSessionResponse response;
  request.set_host_id("there");
  ASSERT_TRUE(node.core.OpenSession(request, &response).ok());
  ASSERT_EQ(response.transports_size(), 1);
  EXPECT_EQ(response.transports(0), v1::TRANSPORT_KIND_TCP);
  request.set_host_id("here");
  ASSERT_TRUE(node.core.OpenSession(request, &response).ok());
  EXPECT_EQ(response.transports_size(), 2);
}

TEST(KvCoreSessions, NamesAndNumbersAreBounded) {
  CoreHarness node({.core = {.sessions_max = 1}});
  v1::OpenSessionRequest request;
  request.set_client_name(std::string(kMaxClientNameBytes + 1, 'n'));
  EXPECT_EQ(ReasonOf(OpenSession(node, request)), kReasonLimit);
  EXPECT_EQ(OpenSession(node, request).code(), absl::StatusCode::kInvalidArgument);
  request.set_client_name(std::string(kMaxClientNameBytes, 'n'));
  EXPECT_TRUE(OpenSession(node, request).ok());
  EXPECT_EQ(OpenSession(node, request).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(node.core.stats().refused_requests, 3u);
}

TEST(KvCoreSessions, ClosingIsIdempotentAndEveryCallIsRefusedAfter) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  ASSERT_TRUE(node.core.Heartbeat(peer.session).ok());
  node.core.CloseSession(peer.session);
  node.core.CloseSession(peer.session);
  node.core.CloseLane(peer.session, peer.lane);
  const SessionId session = peer.session;
  const LaneId lane = peer.lane;
  v1::LookupResponse looked_up;
  v1::GrantReadsResponse reads;
  v1::GrantWritesResponse writes;
  v1::CommitResponse committed;
  v1::AbortResponse aborted;
  v1::ReleaseResponse released;
  v1::RemoveResponse removed;
  v1::UnpinOwnerResponse unpinned;
  for (const absl::Status& status : {
           node.core.Heartbeat(session),
           OpenLane(node, session, v1::TRANSPORT_KIND_TCP),
           node.core.Lookup(session, {}, &looked_up),
           node.core.GrantReads(session, lane, {}, &reads, nullptr),
           node.core.GrantWrites(session, lane, {}, &writes),
           node.core.Commit(session, lane, {}, &committed),
           node.core.Abort(session, lane, {}, &aborted),
           node.core.Release(session, {}, &released),
           node.core.Remove(session, {}, &removed),
           node.core.UnpinOwner(session, {}, &unpinned),
       }) {
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated) << status;
    EXPECT_EQ(ReasonOf(status), kReasonSessionUnknown);
  }
  v1::LaneRequest request;
  request.mutable_lookup();
  EXPECT_EQ(Handle(node, peer, request).error().reason(), kReasonSessionUnknown);
}

TEST(KvCoreSessions, EveryCallIsASignOfLife) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  v1::LookupResponse response;
  for (int n = 0; n < 5; ++n) {
    node.Pass(seconds(2));
    ASSERT_TRUE(node.core.Lookup(peer.session, {}, &response).ok());
  }
  node.Pass(seconds(3));
  EXPECT_TRUE(node.core.Heartbeat(peer.session).ok());
  node.Pass(seconds(3) + milliseconds(1));
  EXPECT_FALSE(node.core.Heartbeat(peer.session).ok());
  EXPECT_EQ(node.core.stats().expired_sessions, 1u);
}

TEST(KvCoreSessions, ViewsShowLeasesAndAges) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  (void)node.Reserve(peer, "k", 100);
  node.Pass(seconds(1));
  const std::vector<KvCore::SessionView> views = node.core.sessions();
  ASSERT_EQ(views.size(), 1u);
  EXPECT_EQ(views[0].client_name, "test");
  EXPECT_EQ(views[0].lanes, 1u);
  EXPECT_EQ(views[0].leases, 1u);
  EXPECT_EQ(views[0].age, seconds(1));
  EXPECT_EQ(views[0].silent, seconds(1));
}

TEST(KvCoreLanes, ALaneCarriesTheTransportsHelloAndOffer) {
  CoreHarness node;
  const SessionId session = node.MustOpenSession();
  v1::OpenLaneRequest request;
  request.set_transport(v1::TRANSPORT_KIND_SHM);
  request.set_hello("me");
  v1::OpenLaneResponse response;
  const auto lane = node.core.OpenLane(session, request, &response);
  ASSERT_TRUE(lane.ok());
  EXPECT_EQ(response.lane(), uint64_t(*lane));
  EXPECT_EQ(response.offer(), "offer for me");
  EXPECT_EQ(node.shm.lanes(), 1u);
  EXPECT_EQ(node.core.stats().lanes, 1u);
}

TEST(KvCoreLanes, UnknownAndMissingTransportsAreRefused) {
  CoreHarness node;
  const SessionId session = node.MustOpenSession();
  for (const int unknown : {0, 9, -1}) {
    const absl::Status status = OpenLane(node, session, unknown);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(status), kReasonBadRequest);
  }
  EXPECT_EQ(OpenLane(node, session, v1::TRANSPORT_KIND_RDMA).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReasonOf(OpenLane(node, session, v1::TRANSPORT_KIND_TCP,
                              std::string(kMaxEndpointBytes + 1, 'h'))),
            kReasonLimit);
}

TEST(KvCoreLanes, ALaneThatTheTransportRefusesDoesNotExist) {
  CoreHarness node;
  const SessionId session = node.MustOpenSession();
  node.tcp.RefuseLanes(absl::InvalidArgumentError("no hello"));
  EXPECT_EQ(OpenLane(node, session, v1::TRANSPORT_KIND_TCP).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(node.core.stats().lanes, 0u);
}

// The session ends while its lane is being accepted: the lane must not outlive it.
TEST(KvCoreLanes, ALaneAcceptedDuringTheEndOfItsSessionIsFenced) {
  CoreHarness node;
  const SessionId session = node.MustOpenSession();
  node.tcp.OnAccept([&] {
    node.core.CloseSession(session);
    EXPECT_TRUE(node.tcp.fences().empty());
  });
  (void)OpenLane(node, session, v1::TRANSPORT_KIND_TCP);
  EXPECT_EQ(node.tcp.lanes(), 0u);
  EXPECT_EQ(node.tcp.fences().size(), 1u);
}

TEST(KvCoreLanes, ClosingALaneDropsWhatWasGrantedOnItAfterItsFence) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  node.MustPut(peer, "k", "bytes");
  const auto other = CoreHarness::Peer{peer.session, node.MustOpenLane(peer.session)};
  (void)node.GrantRead(peer, "k");
  (void)node.GrantRead(other, "k");
  node.tcp.HoldFences();
  node.core.CloseLane(peer.session, peer.lane);
  EXPECT_EQ(node.core.stats().read_leases, 1u);
  EXPECT_EQ(node.core.stats().quarantined_blocks, 1u);
  node.tcp.ReturnAllFences();
  EXPECT_EQ(node.core.stats().quarantined_blocks, 0u);
  EXPECT_TRUE(node.core.Heartbeat(peer.session).ok());
}

TEST(KvCoreDeath, ThirtySecondsAfterAClientDiesNothingOfItIsLeft) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  node.MustPut(peer, "kept", std::string(100'000, 'x'));
  for (int n = 0; n < 4; ++n) {
    ASSERT_EQ(node.Reserve(peer, "w" + std::to_string(n), 70'000).outcome(),
              v1::KEY_OUTCOME_OK);
    (void)node.GrantRead(peer, "kept");
  }
  v1::LookupRequest pin;
  pin.add_keys("kept");
  pin.set_pin_owner("owner");
  pin.set_pin_ttl_ms(86'400'000);
  v1::LookupResponse response;
  ASSERT_TRUE(node.core.Lookup(peer.session, pin, &response).ok());
  EXPECT_FALSE(node.Settled());
  node.tcp.HoldFences();
  for (int n = 0; n < 600; ++n) node.Pass(milliseconds(50));
  EXPECT_FALSE(node.Settled()) << "nothing is free before the fence";
  node.tcp.ReturnAllFences();
  EXPECT_TRUE(node.Settled());
  EXPECT_EQ(node.core.stats().sessions, 0u);
  EXPECT_EQ(node.tcp.lanes(), 0u);
  EXPECT_EQ(node.store.stats().blocks, 1u);
}

TEST(KvCoreDeath, AStuckFenceKeepsTheMemoryAndShows) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  (void)node.Reserve(peer, "w", 100'000);
  node.tcp.HoldFences();
  node.core.CloseSession(peer.session);
  const uint64_t free_bytes = node.FreeBytes();
  node.Pass(seconds(3600));
  EXPECT_EQ(node.FreeBytes(), free_bytes);
  EXPECT_EQ(node.core.stats().oldest_fence, seconds(3600));
  EXPECT_EQ(node.core.stats().quarantined_bytes, 100'000u);
}

TEST(KvCoreDrain, NothingNewIsTakenAndOpenWritesAreFinished) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  node.MustPut(peer, "k", "bytes");
  const v1::WriteGrant grant = node.Reserve(peer, "w", 5);
  node.core.BeginDrain();
  EXPECT_TRUE(node.core.draining());
  EXPECT_FALSE(node.core.drained());
  EXPECT_EQ(ReasonOf(OpenSession(node, {})), kReasonDraining);
  EXPECT_EQ(OpenSession(node, {}).code(), absl::StatusCode::kUnavailable);
  v1::GrantWritesResponse writes;
  EXPECT_EQ(ReasonOf(node.core.GrantWrites(peer.session, peer.lane, {}, &writes)),
            kReasonDraining);
  v1::LookupRequest lookup;
  lookup.add_keys("k");
  v1::LookupResponse looked_up;
  EXPECT_TRUE(node.core.Lookup(peer.session, lookup, &looked_up).ok());
  lookup.set_pin_owner("owner");
  EXPECT_EQ(ReasonOf(node.core.Lookup(peer.session, lookup, &looked_up)), kReasonDraining);
  EXPECT_EQ(node.GrantRead(peer, "k").outcome(), v1::KEY_OUTCOME_OK);
  ASSERT_TRUE(node.Fill(peer, grant, "fresh").ok());
  EXPECT_EQ(node.Commit(peer, grant.lease(), node.ChecksumOf("w", "fresh")),
            v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(node.core.drained());
}

TEST(KvCoreDrain, WaitsForExpiryAndFence) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  (void)node.Reserve(peer, "w", 5);
  node.core.BeginDrain();
  node.tcp.HoldFences();
  node.Pass(seconds(6));
  EXPECT_FALSE(node.core.drained());
  node.tcp.ReturnAllFences();
  EXPECT_TRUE(node.core.drained());
}

TEST(KvCoreHandle, DispatchesEveryRequestToItsResponse) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  node.MustPut(peer, "k", "bytes");
  v1::LaneRequest request;
  request.mutable_lookup()->add_keys("k");
  EXPECT_EQ(Handle(node, peer, request).lookup().prefix_count(), 1u);
  request.mutable_grant_reads()->add_keys("k");
  EXPECT_EQ(Handle(node, peer, request).grant_reads().grants_size(), 1);
  v1::WriteIntent* const intent = request.mutable_grant_writes()->add_writes();
  intent->set_key("w");
  intent->set_size_bytes(1);
  EXPECT_EQ(Handle(node, peer, request).grant_writes().grants_size(), 1);
  request.mutable_commit()->add_items();
  EXPECT_EQ(Handle(node, peer, request).commit().outcomes(0), v1::KEY_OUTCOME_MISS);
  request.mutable_abort()->add_leases(1);
  EXPECT_TRUE(Handle(node, peer, request).has_abort());
  request.mutable_release()->add_leases(1);
  EXPECT_TRUE(Handle(node, peer, request).has_release());
  request.mutable_remove()->add_keys("k");
  EXPECT_EQ(Handle(node, peer, request).remove().outcomes(0), v1::KEY_OUTCOME_OK);
  request.mutable_unpin_owner()->set_owner("o");
  EXPECT_TRUE(Handle(node, peer, request).has_unpin_owner());
}

TEST(KvCoreHandle, ReleasesComeBeforeTheRequestThatCarriesThem) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  node.MustPut(peer, "k", "bytes");
  v1::LaneRequest request;
  request.add_releases(node.GrantRead(peer, "k").lease());
  request.mutable_remove()->add_keys("k");
  EXPECT_TRUE(Handle(node, peer, request).has_remove());
  EXPECT_TRUE(node.Settled());
}

TEST(KvCoreHandle, ReleasesMayComeAloneButNothingMayNot) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  v1::LaneRequest request;
  EXPECT_EQ(Handle(node, peer, request).error().reason(), kReasonBadRequest);
  request.add_releases(1);
  EXPECT_TRUE(Handle(node, peer, request).has_release());
}

TEST(KvCoreHandle, ErrorsOfTheRequestLeaveTheLaneUsable) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  v1::LaneRequest request;
  request.mutable_open();
  v1::LaneResponse response = Handle(node, peer, request);
  EXPECT_EQ(response.error().reason(), kReasonBadRequest);
  EXPECT_EQ(response.error().code(), int(absl::StatusCode::kInvalidArgument));
  EXPECT_FALSE(response.error().message().empty());
  for (size_t n = 0; n <= kMaxReleasesPerCall; ++n) request.add_releases(n);
  request.mutable_lookup();
  EXPECT_EQ(Handle(node, peer, request).error().reason(), kReasonLimit);
  request.clear_releases();
  EXPECT_TRUE(Handle(node, peer, request).has_lookup());
  EXPECT_EQ(Handle(node, {peer.session, LaneId{99}}, request).error().reason(),
            kReasonLaneUnknown);
}

TEST(KvCoreHandle, AResponseThatIsUsedAgainHoldsNothingOfTheOneBefore) {
  CoreHarness node;
  const auto peer = node.MustConnect();
  v1::LaneResponse response;
  for (const int keys : {3, 1}) {
    v1::LaneRequest request;
    for (int n = 0; n < keys; ++n) request.mutable_grant_reads()->add_keys("absent");
    node.core.Handle(peer.session, peer.lane, request, &response, nullptr);
    EXPECT_EQ(response.grant_reads().grants_size(), keys);
    request.mutable_lookup()->add_keys("absent");
    node.core.Handle(peer.session, peer.lane, request, &response, nullptr);
    EXPECT_EQ(response.lookup().residency().size(), 1u);
  }
}

}  // namespace
}  // namespace kvasir
