#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status_reason.h"
#include "service/kv_core.h"
#include "tests/support/core_harness.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class KvCoreReadsTest : public ::testing::Test {
 protected:
  v1::LookupResponse MustLookup(const std::vector<std::string>& keys,
                                std::string_view pin_owner = "", bool pin_all = false,
                                uint32_t pin_ttl_ms = 0) {
    v1::LookupRequest request;
    for (const std::string& key : keys) request.add_keys(key);
    request.set_pin_owner(std::string(pin_owner));
    request.set_pin_all(pin_all);
    request.set_pin_ttl_ms(pin_ttl_ms);
    v1::LookupResponse response;
    EXPECT_TRUE(node_.core.Lookup(peer_.session, request, &response).ok());
    return response;
  }
  absl::Status Lookup(const v1::LookupRequest& request) {
    v1::LookupResponse response;
    return node_.core.Lookup(peer_.session, request, &response);
  }
  absl::Status GrantReads(const v1::GrantReadsRequest& request) {
    return node_.core.GrantReads(peer_.session, peer_.lane, request, &reads_, nullptr);
  }
  uint32_t References(std::string_view key) { return node_.store.Stat(key)->references; }

  CoreHarness node_;
  const CoreHarness::Peer peer_ = node_.MustConnect();
  v1::GrantReadsResponse reads_;
};

TEST_F(KvCoreReadsTest, LookupTellsResidencyAndPrefix) {
  node_.MustPut(peer_, "a", "1");
  node_.MustPut(peer_, "b", "2");
  node_.MustPut(peer_, "d", "4");
  (void)node_.Reserve(peer_, "e", 5);
  const v1::LookupResponse response = MustLookup({"a", "b", "c", "d", "e"});
  EXPECT_EQ(response.residency(),
            std::string({v1::RESIDENCY_MEMORY, v1::RESIDENCY_MEMORY, v1::RESIDENCY_ABSENT,
                         v1::RESIDENCY_MEMORY, v1::RESIDENCY_RESERVED}));
  EXPECT_EQ(response.prefix_count(), 2u);
  EXPECT_EQ(response.pinned_count(), 0u);
  EXPECT_EQ(node_.core.stats().lookup_keys, 5u);
  EXPECT_EQ(node_.core.stats().lookup_hits, 3u);
}

TEST_F(KvCoreReadsTest, LookupTakesTheSameKeyTwiceAndNone) {
  node_.MustPut(peer_, "a", "1");
  EXPECT_EQ(MustLookup({"a", "a"}).prefix_count(), 2u);
  EXPECT_EQ(MustLookup({}).residency(), "");
}

TEST_F(KvCoreReadsTest, LookupTakesKeysOfAnyBytes) {
  const std::string odd("/../\0\xff", 6);
  node_.MustPut(peer_, odd, "1");
  node_.MustPut(peer_, std::string(kMaxKeyBytes, 'k'), "1");
  EXPECT_EQ(MustLookup({odd, std::string(kMaxKeyBytes, 'k')}).prefix_count(), 2u);
}

TEST_F(KvCoreReadsTest, LookupRefusesKeysAndBatchesBeyondTheLimits) {
  for (const std::string& bad : {std::string(), std::string(kMaxKeyBytes + 1, 'k')}) {
    v1::LookupRequest request;
    request.add_keys("good");
    request.add_keys(bad);
    EXPECT_EQ(Lookup(request).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(ReasonOf(Lookup(request)), kReasonBadRequest);
  }
  v1::LookupRequest many;
  for (size_t n = 0; n < kMaxKeysPerCall; ++n) many.add_keys("k");
  EXPECT_TRUE(Lookup(many).ok());
  many.add_keys("k");
  EXPECT_EQ(Lookup(many).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(Lookup(many)), kReasonLimit);
  v1::LookupRequest owner;
  owner.set_pin_owner(std::string(kMaxOwnerBytes + 1, 'o'));
  EXPECT_EQ(ReasonOf(Lookup(owner)), kReasonLimit);
}

TEST_F(KvCoreReadsTest, LookupPinsThePrefixForItsOwner) {
  for (const char* key : {"a", "b", "d"}) node_.MustPut(peer_, key, "1");
  EXPECT_EQ(MustLookup({"a", "b", "c", "d"}, "owner").pinned_count(), 2u);
  EXPECT_EQ(References("b"), 1u);
  EXPECT_EQ(References("d"), 0u);
  EXPECT_EQ(MustLookup({"a", "b", "c", "d"}, "owner", true).pinned_count(), 3u);
  EXPECT_EQ(node_.core.stats().pins, 3u);
  EXPECT_EQ(node_.store.Evict(kMiB), 0u);
}

TEST_F(KvCoreReadsTest, PinsEndAfterTheirTtlWhichIsBounded) {
  node_.MustPut(peer_, "a", "1");
  const auto pass = [this](seconds time) {
    ASSERT_TRUE(node_.core.Heartbeat(peer_.session).ok());
    node_.Pass(time);
  };
  (void)MustLookup({"a"}, "by default");
  (void)MustLookup({"a"}, "asked", false, 7'000);
  EXPECT_EQ(node_.core.stats().pins, 2u);
  pass(seconds(3));
  pass(seconds(2));
  EXPECT_EQ(node_.core.stats().pins, 1u);
  pass(seconds(2));
  EXPECT_EQ(node_.core.stats().pins, 0u);
  EXPECT_EQ(node_.core.stats().expired_pins, 2u);
  (void)MustLookup({"a"}, "greedy", false, UINT32_MAX);
  EXPECT_EQ(node_.leases.ListPins("", "", 1)[0].expiry, node_.clock.Now() + kMaxPinTtl);
}

TEST_F(KvCoreReadsTest, PinsAreDroppedByOwnerAndByTheGetThatConsumesThem) {
  node_.MustPut(peer_, "a", "1");
  node_.MustPut(peer_, "b", "1");
  (void)MustLookup({"a", "b"}, "owner");
  v1::GrantReadsRequest get;
  get.add_keys("a");
  get.set_unpin_owner("owner");
  ASSERT_TRUE(GrantReads(get).ok());
  EXPECT_EQ(reads_.grants(0).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.core.stats().pins, 1u);
  v1::UnpinOwnerRequest request;
  request.set_owner("owner");
  v1::UnpinOwnerResponse response;
  ASSERT_TRUE(node_.core.UnpinOwner(peer_.session, request, &response).ok());
  EXPECT_EQ(response.unpinned_count(), 1u);
  ASSERT_TRUE(node_.core.UnpinOwner(peer_.session, request, &response).ok());
  EXPECT_EQ(response.unpinned_count(), 0u);
}

TEST_F(KvCoreReadsTest, AnotherSessionsPinsOfTheSameOwnerNameStay) {
  node_.MustPut(peer_, "a", "1");
  (void)MustLookup({"a"}, "request-0");
  const auto stranger = node_.MustConnect();
  v1::UnpinOwnerRequest request;
  request.set_owner("request-0");
  v1::UnpinOwnerResponse response;
  ASSERT_TRUE(node_.core.UnpinOwner(stranger.session, request, &response).ok());
  EXPECT_EQ(response.unpinned_count(), 0u);
  EXPECT_EQ(node_.core.stats().pins, 1u);
}

TEST_F(KvCoreReadsTest, UnpinOwnerRefusesNoOwnerAndALongOne) {
  v1::UnpinOwnerRequest request;
  v1::UnpinOwnerResponse response;
  EXPECT_EQ(ReasonOf(node_.core.UnpinOwner(peer_.session, request, &response)),
            kReasonBadRequest);
  request.set_owner(std::string(kMaxOwnerBytes + 1, 'o'));
  EXPECT_EQ(ReasonOf(node_.core.UnpinOwner(peer_.session, request, &response)),
            kReasonLimit);
}

TEST_F(KvCoreReadsTest, AGrantTellsAllOfABlockAndItsTokenReadsIt) {
  const v1::WriteGrant write = node_.Reserve(peer_, "k", 5);
  ASSERT_TRUE(node_.Fill(peer_, write, "bytes").ok());
  const uint64_t checksum = node_.ChecksumOf("k", "bytes");
  ASSERT_EQ(node_.Commit(peer_, write.lease(), checksum), v1::KEY_OUTCOME_OK);
  const v1::ReadGrant grant = node_.GrantRead(peer_, "k");
  EXPECT_EQ(grant.outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(grant.region(), write.region());
  EXPECT_EQ(grant.offset_bytes(), write.offset_bytes());
  EXPECT_EQ(grant.size_bytes(), 5u);
  EXPECT_EQ(grant.checksum(), checksum);
  EXPECT_EQ(*node_.Read(peer_, grant), "bytes");
  EXPECT_EQ(grant.token().size(), kSealedTokenBytes);
}

TEST_F(KvCoreReadsTest, TheTransportIsToldWhatWasGranted) {
  node_.MustPut(peer_, "k", "bytes");
  node_.GrantRead(peer_, "k");
  node_.GrantRead(peer_, "absent");
  const TransportStats stats = node_.tcp.stats();
  EXPECT_EQ(stats.written_ops_total, 1u);
  EXPECT_EQ(stats.written_bytes_total, 5u);
  EXPECT_EQ(stats.read_ops_total, 1u);
  EXPECT_EQ(stats.read_bytes_total, 5u);
}

TEST_F(KvCoreReadsTest, EachKeyHasItsOwnOutcome) {
  node_.MustPut(peer_, "k", "bytes");
  v1::GrantReadsRequest request;
  for (const std::string& key :
       {std::string("k"), std::string("absent"), std::string(),
        std::string(kMaxKeyBytes + 1, 'k'), std::string("k")}) {
    request.add_keys(key);
  }
  ASSERT_TRUE(GrantReads(request).ok());
  EXPECT_EQ(reads_.grants(0).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(reads_.grants(1).outcome(), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(reads_.grants(2).outcome(), v1::KEY_OUTCOME_INVALID);
  EXPECT_EQ(reads_.grants(3).outcome(), v1::KEY_OUTCOME_INVALID);
  EXPECT_EQ(reads_.grants(3).detail(), "the key has 1025 bytes, limit 1024");
  EXPECT_EQ(reads_.grants(4).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_NE(reads_.grants(0).lease(), reads_.grants(4).lease());
  EXPECT_EQ(node_.core.stats().read_grants, 2u);
  EXPECT_EQ(node_.core.stats().read_misses, 3u);
}

TEST_F(KvCoreReadsTest, AGrantNeedsALaneAndABatchWithinTheLimits) {
  v1::GrantReadsRequest request;
  EXPECT_EQ(ReasonOf(node_.core.GrantReads(peer_.session, LaneId{}, request, &reads_, nullptr)),
            kReasonLaneUnknown);
  for (size_t n = 0; n <= kMaxKeysPerCall; ++n) request.add_keys("k");
  EXPECT_EQ(ReasonOf(GrantReads(request)), kReasonLimit);
  v1::GrantReadsRequest owner;
  owner.set_unpin_owner(std::string(kMaxOwnerBytes + 1, 'o'));
  EXPECT_EQ(ReasonOf(GrantReads(owner)), kReasonLimit);
}

TEST_F(KvCoreReadsTest, TheTtlIsCutToItsBoundsAndTold) {
  v1::GrantReadsRequest request;
  for (const auto& [asked, told] : std::vector<std::pair<uint32_t, uint32_t>>{
           {0, 5'000}, {1, 100}, {200, 200}, {30'000, 30'000}, {UINT32_MAX, 30'000}}) {
    request.set_ttl_ms(asked);
    ASSERT_TRUE(GrantReads(request).ok());
    EXPECT_EQ(reads_.ttl_ms(), told);
  }
}

TEST_F(KvCoreReadsTest, ALeaseLivesItsTtlAndTheGraceAndNoLonger) {
  node_.MustPut(peer_, "k", "bytes");
  v1::GrantReadsRequest request;
  request.add_keys("k");
  request.set_ttl_ms(1'000);
  ASSERT_TRUE(GrantReads(request).ok());
  node_.Pass(milliseconds(1'000) + kLeaseGrace - milliseconds(1));
  EXPECT_EQ(*node_.Read(peer_, reads_.grants(0)), "bytes");
  node_.Pass(milliseconds(1));
  EXPECT_EQ(node_.Read(peer_, reads_.grants(0)).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(node_.core.stats().expired_reads, 1u);
}

TEST_F(KvCoreReadsTest, ALeasedBlockOutlivesItsKey) {
  node_.MustPut(peer_, "k", "bytes");
  const v1::ReadGrant grant = node_.GrantRead(peer_, "k");
  v1::RemoveRequest request;
  request.add_keys("k");
  v1::RemoveResponse response;
  ASSERT_TRUE(node_.core.Remove(peer_.session, request, &response).ok());
  EXPECT_EQ(MustLookup({"k"}).prefix_count(), 0u);
  EXPECT_EQ(*node_.Read(peer_, grant), "bytes");
  v1::ReleaseRequest release;
  release.add_leases(grant.lease());
  v1::ReleaseResponse released;
  ASSERT_TRUE(node_.core.Release(peer_.session, release, &released).ok());
  ASSERT_TRUE(node_.core.Release(peer_.session, release, &released).ok());
  EXPECT_TRUE(node_.Settled());
}

TEST_F(KvCoreReadsTest, ReleaseRefusesTooManyIds) {
  v1::ReleaseRequest request;
  for (size_t n = 0; n < kMaxReleasesPerCall; ++n) request.add_leases(n);
  v1::ReleaseResponse response;
  EXPECT_TRUE(node_.core.Release(peer_.session, request, &response).ok());
  request.add_leases(1);
  EXPECT_EQ(ReasonOf(node_.core.Release(peer_.session, request, &response)), kReasonLimit);
}

TEST_F(KvCoreReadsTest, RemoveTellsEachKeysOutcome) {
  node_.MustPut(peer_, "k", "bytes");
  v1::RemoveRequest request;
  for (const char* key : {"k", "k", ""}) request.add_keys(key);
  v1::RemoveResponse response;
  ASSERT_TRUE(node_.core.Remove(peer_.session, request, &response).ok());
  EXPECT_EQ(response.outcomes(0), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(response.outcomes(1), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(response.outcomes(2), v1::KEY_OUTCOME_INVALID);
  EXPECT_EQ(node_.core.stats().removes, 1u);
  for (size_t n = 0; n < kMaxKeysPerCall; ++n) request.add_keys("k");
  EXPECT_EQ(ReasonOf(node_.core.Remove(peer_.session, request, &response)), kReasonLimit);
}

TEST_F(KvCoreReadsTest, APushHappensAfterTheReplyAndCarriesTheTokens) {
  node_.MustPut(peer_, "a", "bytes");
  node_.MustPut(peer_, "b", "more");
  node_.tcp.AllowPush();
  v1::GrantReadsRequest request;
  for (const char* key : {"a", "absent", "b"}) request.add_keys(key);
  request.set_push(true);
  absl::AnyInvocable<void() &&> after_reply;
  ASSERT_TRUE(node_.core
                  .GrantReads(peer_.session, peer_.lane, request, &reads_, &after_reply)
                  .ok());
  EXPECT_TRUE(reads_.pushed());
  EXPECT_EQ(reads_.grants(0).token(), "");
  EXPECT_EQ(reads_.grants(0).size_bytes(), 5u);
  EXPECT_TRUE(node_.tcp.pushed().empty());
  ASSERT_TRUE(after_reply);
  std::move(after_reply)();
  const auto pushed = node_.tcp.pushed();
  ASSERT_EQ(pushed.size(), 1u);
  EXPECT_EQ(pushed[0].lane, peer_.lane);
  ASSERT_EQ(pushed[0].items.size(), 2u);
  EXPECT_EQ(pushed[0].items[1].lease, LeaseId(reads_.grants(2).lease()));
  EXPECT_EQ(pushed[0].items[1].size_bytes, 4u);
  v1::ReadGrant grant = reads_.grants(2);
  grant.set_token(pushed[0].items[1].sealed);
  EXPECT_EQ(*node_.Read(peer_, grant), "more");
}

TEST_F(KvCoreReadsTest, NothingIsPushedWhereTheTransportCannotOrNobodyAsks) {
  node_.MustPut(peer_, "k", "bytes");
  v1::GrantReadsRequest request;
  request.add_keys("k");
  absl::AnyInvocable<void() &&> after_reply;
  const auto grant = [&](absl::AnyInvocable<void() &&>* after) {
    ASSERT_TRUE(
        node_.core.GrantReads(peer_.session, peer_.lane, request, &reads_, after).ok());
    EXPECT_FALSE(reads_.pushed());
    EXPECT_FALSE(reads_.grants(0).token().empty());
    EXPECT_FALSE(after_reply);
  };
  request.set_push(true);
  grant(&after_reply);
  node_.tcp.AllowPush();
  grant(nullptr);
  request.set_push(false);
  grant(&after_reply);
}

TEST_F(KvCoreReadsTest, LeasesBeyondTheSessionsLimitAreRefusedKeyByKey) {
  node_.MustPut(peer_, "k", "bytes");
  v1::GrantReadsRequest request;
  for (size_t n = 0; n < kMaxKeysPerCall; ++n) request.add_keys("k");
  for (size_t n = 0; n < kMaxLeasesPerSession / kMaxKeysPerCall; ++n) {
    ASSERT_TRUE(GrantReads(request).ok());
    EXPECT_EQ(reads_.grants(kMaxKeysPerCall - 1).outcome(), v1::KEY_OUTCOME_OK);
  }
  const v1::ReadGrant grant = node_.GrantRead(peer_, "k");
  EXPECT_EQ(grant.outcome(), v1::KEY_OUTCOME_REFUSED);
  EXPECT_EQ(grant.lease(), 0u);
  EXPECT_FALSE(grant.detail().empty());
}

}  // namespace
}  // namespace kvasir
