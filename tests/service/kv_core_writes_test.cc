#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status_reason.h"
#include "service/kv_core.h"
#include "tests/support/core_harness.h"

namespace kvasir {
namespace {

using std::chrono::seconds;

class KvCoreWritesTest : public ::testing::Test {
 protected:
  void Add(std::string_view key, uint64_t size_bytes, std::string_view attributes = "") {
    v1::WriteIntent* const intent = request_.add_writes();
    intent->set_key(std::string(key));
    intent->set_size_bytes(size_bytes);
    intent->set_attributes(std::string(attributes));
  }
  absl::Status Grant() {
    return node_.core.GrantWrites(peer_.session, peer_.lane, request_, &grants_);
  }
  CoreHarness::Peer OtherLane() {
    return {peer_.session, node_.MustOpenLane(peer_.session)};
  }
  void Abort(const CoreHarness::Peer& peer, uint64_t lease) {
    v1::AbortRequest request;
    request.add_leases(lease);
    v1::AbortResponse response;
    EXPECT_TRUE(node_.core.Abort(peer.session, peer.lane, request, &response).ok());
  }
  // Granted and filled, waiting for its commit.
  v1::WriteGrant MustFill(std::string_view key, std::string_view bytes, uint64_t op_id = 0) {
    const v1::WriteGrant grant = node_.Reserve(peer_, key, bytes.size(), op_id);
    EXPECT_EQ(grant.outcome(), v1::KEY_OUTCOME_OK);
    EXPECT_TRUE(node_.Fill(peer_, grant, bytes).ok());
    return grant;
  }
  std::string MustGet(std::string_view key) {
    return *node_.Read(peer_, node_.GrantRead(peer_, key));
  }

  CoreHarness node_;
  const CoreHarness::Peer peer_ = node_.MustConnect();
  v1::GrantWritesRequest request_;
  v1::GrantWritesResponse grants_;
};

TEST_F(KvCoreWritesTest, ABlockIsVisibleWhenCommittedAndNotBefore) {
  const v1::WriteGrant grant = MustFill("k", "bytes");
  EXPECT_EQ(node_.GrantRead(peer_, "k").outcome(), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "bytes")),
            v1::KEY_OUTCOME_OK);
  EXPECT_EQ(MustGet("k"), "bytes");
  EXPECT_EQ(node_.core.stats().write_leases, 0u);
  EXPECT_EQ(node_.core.stats().commits, 1u);
}

TEST_F(KvCoreWritesTest, AttributesTravelWithTheBlock) {
  Add("k", 5, "shape");
  ASSERT_TRUE(Grant().ok());
  ASSERT_TRUE(node_.Fill(peer_, grants_.grants(0), "bytes").ok());
  ASSERT_EQ(node_.Commit(peer_, grants_.grants(0).lease(), node_.ChecksumOf("k", "bytes")),
            v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.GrantRead(peer_, "k").attributes(), "shape");
}

TEST_F(KvCoreWritesTest, BadIntentsAreInvalidOneByOne) {
  Add("", 1);
  Add(std::string(kMaxKeyBytes + 1, 'k'), 1);
  Add("zero", 0);
  Add("big", kMaxBlockBytes + 1);
  Add("huge", uint64_t{1} << 63);
  Add("all", std::numeric_limits<uint64_t>::max());
  Add("attributes", 1, std::string(kMaxAttributesBytes + 1, 'a'));
  Add("good", 1, std::string(kMaxAttributesBytes, 'a'));
  Add("good", 1);
  Add(std::string("a/../\0b", 7), 1);
  ASSERT_TRUE(Grant().ok());
  for (const int n : {0, 1, 2, 3, 4, 5, 6, 8}) {
    EXPECT_EQ(grants_.grants(n).outcome(), v1::KEY_OUTCOME_INVALID) << n;
    EXPECT_FALSE(grants_.grants(n).detail().empty()) << n;
    EXPECT_EQ(grants_.grants(n).lease(), 0u) << n;
  }
  EXPECT_EQ(grants_.grants(7).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(grants_.grants(9).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(grants_.grants(8).detail(), "the key stands twice in the batch");
  EXPECT_EQ(node_.core.stats().write_leases, 2u);
}

TEST_F(KvCoreWritesTest, ABatchBeyondTheLimitIsRefusedWhole) {
  for (size_t n = 0; n <= kMaxKeysPerCall; ++n) Add("k" + std::to_string(n), 1);
  EXPECT_EQ(Grant().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(Grant()), kReasonLimit);
  EXPECT_EQ(node_.store.stats().reserved_blocks, 0u);
  v1::CommitRequest commit;
  v1::AbortRequest abort;
  for (size_t n = 0; n <= kMaxKeysPerCall; ++n) commit.add_items(), abort.add_leases(n);
  v1::CommitResponse committed;
  v1::AbortResponse aborted;
  EXPECT_EQ(ReasonOf(node_.core.Commit(peer_.session, peer_.lane, commit, &committed)),
            kReasonLimit);
  EXPECT_EQ(ReasonOf(node_.core.Abort(peer_.session, peer_.lane, abort, &aborted)),
            kReasonLimit);
}

TEST_F(KvCoreWritesTest, TheFirstCommittedWriterWins) {
  const auto other = OtherLane();
  const v1::WriteGrant grant = MustFill("k", "first");
  EXPECT_EQ(node_.Reserve(other, "k", 6).outcome(), v1::KEY_OUTCOME_IN_PROGRESS);
  ASSERT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "first")),
            v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.Reserve(other, "k", 6).outcome(), v1::KEY_OUTCOME_EXISTS);
  EXPECT_EQ(node_.core.stats().write_in_progress, 1u);
  EXPECT_EQ(node_.core.stats().write_exists, 1u);
}

TEST_F(KvCoreWritesTest, AReplacingWriterWinsLastAndAReaderKeepsTheOldBytes) {
  node_.MustPut(peer_, "k", "old");
  const v1::ReadGrant reader = node_.GrantRead(peer_, "k");
  const v1::WriteGrant grant = node_.Reserve(peer_, "k", 3, 0, true);
  ASSERT_EQ(grant.outcome(), v1::KEY_OUTCOME_OK);
  ASSERT_TRUE(node_.Fill(peer_, grant, "new").ok());
  EXPECT_EQ(MustGet("k"), "old");
  ASSERT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "new")),
            v1::KEY_OUTCOME_OK);
  EXPECT_EQ(MustGet("k"), "new");
  EXPECT_EQ(*node_.Read(peer_, reader), "old");
}

TEST_F(KvCoreWritesTest, AWriterThatLosesToAReplacingOneIsToldExists) {
  const v1::WriteGrant slow = MustFill("k", "slow", 5);
  const v1::WriteGrant fast = node_.Reserve(peer_, "k", 4, 0, true);
  ASSERT_EQ(fast.outcome(), v1::KEY_OUTCOME_OK);
  ASSERT_TRUE(node_.Fill(peer_, fast, "fast").ok());
  ASSERT_EQ(node_.Commit(peer_, fast.lease(), node_.ChecksumOf("k", "fast")),
            v1::KEY_OUTCOME_OK);
  for (int n = 0; n < 2; ++n) {  // The second is a retry.
    EXPECT_EQ(node_.Commit(peer_, slow.lease(), node_.ChecksumOf("k", "slow"), 5),
              v1::KEY_OUTCOME_EXISTS);
  }
  EXPECT_EQ(MustGet("k"), "fast");
  EXPECT_EQ(node_.store.stats().reserved_blocks, 0u);
}

TEST_F(KvCoreWritesTest, PutsAreRefusedWhenEverythingIsLeased) {
  for (int n = 0; n < 4; ++n) {
    const std::string key = "k" + std::to_string(n);
    node_.MustPut(peer_, key, std::string(256 * kKiB, 'x'));
    (void)node_.GrantRead(peer_, key);
  }
  const v1::WriteGrant grant = node_.Reserve(peer_, "more", 256 * kKiB);
  EXPECT_EQ(grant.outcome(), v1::KEY_OUTCOME_REFUSED);
  EXPECT_FALSE(grant.detail().empty());
  EXPECT_EQ(node_.core.stats().write_refused, 1u);
}

TEST_F(KvCoreWritesTest, AGrantNeedsItsOwnLane) {
  Add("k", 1);
  EXPECT_EQ(ReasonOf(node_.core.GrantWrites(peer_.session, LaneId{}, request_, &grants_)),
            kReasonLaneUnknown);
}

TEST_F(KvCoreWritesTest, WrongBytesAreNotPublishedAndTheirMemoryWaitsForAFence) {
  const v1::WriteGrant grant = MustFill("k", "bytes", 9);
  node_.tcp.HoldFences();
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), 12345, 9), v1::KEY_OUTCOME_CHECKSUM_MISMATCH);
  EXPECT_EQ(node_.GrantRead(peer_, "k").outcome(), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(node_.core.stats().quarantined_blocks, 1u);
  EXPECT_EQ(node_.core.stats().commit_checksum_failures, 1u);
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), 12345, 9), v1::KEY_OUTCOME_CHECKSUM_MISMATCH);
  node_.tcp.ReturnAllFences();
  EXPECT_TRUE(node_.Settled());
}

TEST_F(KvCoreWritesTest, BytesThatNeverArrivedAreAMismatch) {
  const v1::WriteGrant grant = node_.Reserve(peer_, "k", 5);
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "bytes")),
            v1::KEY_OUTCOME_CHECKSUM_MISMATCH);
}

TEST_F(KvCoreWritesTest, TheRightBytesUnderTheWrongKeyAreAMismatch) {
  const v1::WriteGrant grant = MustFill("k", "bytes");
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("other", "bytes")),
            v1::KEY_OUTCOME_CHECKSUM_MISMATCH);
}

TEST_F(KvCoreWritesTest, WhatTheTransportObservedIsComparedInsteadOfTheMemory) {
  const v1::WriteGrant good = MustFill("a", "bytes");
  node_.leases.SetObservedChecksum(LeaseId(good.lease()), 77);
  EXPECT_EQ(node_.Commit(peer_, good.lease(), 77), v1::KEY_OUTCOME_OK);
  const v1::WriteGrant bad = MustFill("b", "bytes");
  node_.leases.SetObservedChecksum(LeaseId(bad.lease()), 77);
  EXPECT_EQ(node_.Commit(peer_, bad.lease(), node_.ChecksumOf("b", "bytes")),
            v1::KEY_OUTCOME_CHECKSUM_MISMATCH);
}

TEST_F(KvCoreWritesTest, ACommitIsRefusedToOthersAndOncePerLease) {
  const auto other_lane = OtherLane();
  const auto stranger = node_.MustConnect();
  const v1::WriteGrant grant = MustFill("k", "bytes");
  const uint64_t checksum = node_.ChecksumOf("k", "bytes");
  EXPECT_EQ(node_.Commit(stranger, grant.lease(), checksum), v1::KEY_OUTCOME_NOT_YOURS);
  EXPECT_EQ(node_.Commit(other_lane, grant.lease(), checksum), v1::KEY_OUTCOME_NOT_YOURS);
  EXPECT_EQ(node_.Commit(peer_, 0, checksum), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), checksum), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), checksum), v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(node_.core.stats().commit_failures, 4u);
}

TEST_F(KvCoreWritesTest, ACommitWhileBytesArriveIsInvalidAndChangesNothing) {
  const v1::WriteGrant grant = node_.Reserve(peer_, "k", 5);
  const absl::Status status = node_.leases.Admit(
      peer_.session, peer_.lane, grant.token(), Access::kWrite, 0, 5,
      [&](std::span<std::byte>) {
        EXPECT_EQ(node_.Commit(peer_, grant.lease(), 1), v1::KEY_OUTCOME_INVALID);
        Abort(peer_, grant.lease());
        EXPECT_EQ(node_.store.stats().reserved_blocks, 1u);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok());
  ASSERT_TRUE(node_.Fill(peer_, grant, "bytes").ok());
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "bytes")),
            v1::KEY_OUTCOME_OK);
}

TEST_F(KvCoreWritesTest, AnExpiredGrantIsQuarantinedAndItsKeyIsFree) {
  const v1::WriteGrant grant = MustFill("k", "bytes");
  node_.tcp.HoldFences();
  ASSERT_TRUE(node_.core.Heartbeat(peer_.session).ok());
  node_.clock.Advance(seconds(6));
  ASSERT_TRUE(node_.core.Heartbeat(peer_.session).ok());
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "bytes")),
            v1::KEY_OUTCOME_EXPIRED);
  node_.core.Step();
  EXPECT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "bytes")),
            v1::KEY_OUTCOME_MISS);
  EXPECT_EQ(node_.Fill(peer_, grant, "later").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(node_.core.stats().quarantined_bytes, 5u);
  EXPECT_EQ(node_.core.stats().expired_writes, 1u);
  node_.MustPut(OtherLane(), "k", "newer");
  node_.tcp.ReturnAllFences();
  EXPECT_EQ(MustGet("k"), "newer");
}

TEST_F(KvCoreWritesTest, ALaneWhoseWritesWereFencedGrantsNoMoreButReadsGoOn) {
  node_.MustPut(peer_, "r", "bytes");
  (void)node_.Reserve(peer_, "w", 5);
  node_.clock.Advance(seconds(6));
  ASSERT_TRUE(node_.core.Heartbeat(peer_.session).ok());
  node_.core.Step();
  Add("w", 5);
  EXPECT_EQ(Grant().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(Grant()), kReasonLaneUnknown);
  EXPECT_EQ(MustGet("r"), "bytes");
}

TEST_F(KvCoreWritesTest, AnAbortedGrantIsFreeAtOnceAndAbortIsIdempotent) {
  const v1::WriteGrant grant = node_.Reserve(peer_, "k", 5);
  Abort(OtherLane(), grant.lease());
  EXPECT_EQ(node_.core.stats().write_leases, 1u);
  Abort(peer_, grant.lease());
  Abort(peer_, grant.lease());
  EXPECT_TRUE(node_.Settled());
  EXPECT_TRUE(node_.tcp.fences().empty());
  EXPECT_EQ(node_.core.stats().aborts, 1u);
}

TEST_F(KvCoreWritesTest, AnAbortAfterTheExpiryWaitsForTheFenceLikeAnyOther) {
  const v1::WriteGrant grant = node_.Reserve(peer_, "k", 5);
  node_.clock.Advance(seconds(6));
  Abort(peer_, grant.lease());
  EXPECT_EQ(node_.core.stats().write_leases, 1u);
  node_.tcp.HoldFences();
  node_.core.Step();
  EXPECT_EQ(node_.core.stats().quarantined_blocks, 1u);
}

TEST_F(KvCoreWritesTest, ARetriedPutIsToldWhatItHasCommitted) {
  const v1::WriteGrant grant = MustFill("k", "bytes", 7);
  const uint64_t checksum = node_.ChecksumOf("k", "bytes");
  ASSERT_EQ(node_.Commit(peer_, grant.lease(), checksum, 7), v1::KEY_OUTCOME_OK);
  const auto other = OtherLane();
  EXPECT_EQ(node_.Commit(other, grant.lease(), checksum, 7), v1::KEY_OUTCOME_OK);
  const v1::WriteGrant again = node_.Reserve(other, "k", 5, 7);
  EXPECT_EQ(again.outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(again.lease(), 0u);
  EXPECT_EQ(again.token(), "");
  EXPECT_EQ(node_.Reserve(other, "k", 5, 8).outcome(), v1::KEY_OUTCOME_EXISTS);
  EXPECT_EQ(node_.Reserve(other, "k", 5, 0).outcome(), v1::KEY_OUTCOME_EXISTS);
  EXPECT_EQ(node_.core.stats().commits, 1u);
}

TEST_F(KvCoreWritesTest, ARetryOnAnotherLaneTakesTheOpenGrantsPlaceBehindAFence) {
  request_.set_op_id(7);
  Add("a", 5);
  Add("b", 5);
  ASSERT_TRUE(Grant().ok());
  const v1::WriteGrant old = grants_.grants(0);
  node_.tcp.HoldFences();
  const auto other = OtherLane();
  ASSERT_TRUE(node_.core.GrantWrites(other.session, other.lane, request_, &grants_).ok());
  ASSERT_EQ(grants_.grants(0).outcome(), v1::KEY_OUTCOME_OK);
  ASSERT_EQ(grants_.grants(1).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_NE(grants_.grants(0).offset_bytes(), old.offset_bytes());
  EXPECT_EQ(node_.Fill(peer_, old, "stale").code(), absl::StatusCode::kPermissionDenied);
  ASSERT_EQ(node_.tcp.fences().size(), 1u);
  EXPECT_EQ(node_.tcp.fences()[0].lane, peer_.lane);
  EXPECT_EQ(node_.core.stats().quarantined_blocks, 2u);
  ASSERT_TRUE(node_.Fill(other, grants_.grants(0), "bytes").ok());
  EXPECT_EQ(node_.Commit(other, grants_.grants(0).lease(), node_.ChecksumOf("a", "bytes"), 7),
            v1::KEY_OUTCOME_OK);
  node_.tcp.ReturnAllFences();
  EXPECT_EQ(node_.core.stats().quarantined_blocks, 0u);
}

TEST_F(KvCoreWritesTest, ARetryOnTheSameLaneFindsItsOwnGrantInProgress) {
  ASSERT_EQ(node_.Reserve(peer_, "k", 5, 7).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.Reserve(peer_, "k", 5, 7).outcome(), v1::KEY_OUTCOME_IN_PROGRESS);
  EXPECT_TRUE(node_.tcp.fences().empty());
}

TEST_F(KvCoreWritesTest, ARetryAfterTheLaneEndedIsGrantedAfresh) {
  (void)node_.Reserve(peer_, "k", 5, 7);
  node_.tcp.HoldFences();
  node_.core.CloseLane(peer_.session, peer_.lane);
  EXPECT_EQ(node_.Reserve(OtherLane(), "k", 5, 7).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.core.stats().quarantined_blocks, 1u);
  node_.tcp.ReturnAllFences();
}

TEST_F(KvCoreWritesTest, OpIdsAreOneSessionsOwn) {
  const v1::WriteGrant grant = MustFill("k", "bytes", 7);
  ASSERT_EQ(node_.Commit(peer_, grant.lease(), node_.ChecksumOf("k", "bytes"), 7),
            v1::KEY_OUTCOME_OK);
  const auto stranger = node_.MustConnect();
  EXPECT_EQ(node_.Reserve(stranger, "k", 5, 7).outcome(), v1::KEY_OUTCOME_EXISTS);
  EXPECT_EQ(node_.Commit(stranger, grant.lease(), 1, 7), v1::KEY_OUTCOME_MISS);
}

}  // namespace
}  // namespace kvasir
