#include <gtest/gtest.h>

#include <string>

#include "base/limits.h"
#include "base/status_reason.h"
#include "tests/support/core_harness.h"
#include "tests/support/fake_tier.h"
#include "tests/support/flaky_tier.h"

// The core over a tier: what is put off, and what is told meanwhile.
namespace kvasir {
namespace {

constexpr std::string_view kBytes = "some bytes";

class KvCoreTierTest : public ::testing::Test {
 protected:
  KvCoreTierTest() { node_.tiered.Attach(&disk_); }

  v1::WriteGrant Grant(std::string_view key, uint64_t op_id, v1::Durability durability,
                       bool replace = false) {
    v1::GrantWritesRequest request;
    request.set_op_id(op_id);
    request.set_durability(durability);
    request.set_replace(replace);
    v1::WriteIntent* const intent = request.add_writes();
    intent->set_key(std::string(key));
    intent->set_size_bytes(kBytes.size());
    v1::GrantWritesResponse response;
    EXPECT_TRUE(
        node_.core.GrantWrites(peer_.session, peer_.lane, request, &response).ok());
    return response.grants(0);
  }
  v1::LaneRequest CommitRequest(uint64_t lease, std::string_view key, uint64_t op_id,
                                v1::Durability durability, uint32_t wait_ms = 0) {
    v1::LaneRequest request;
    v1::CommitRequest* const commit = request.mutable_commit();
    commit->set_op_id(op_id);
    commit->set_durability(durability);
    commit->set_wait_ms(wait_ms);
    commit->add_items()->set_lease(lease);
    commit->mutable_items(0)->set_checksum(CoreHarness::ChecksumOf(key, kBytes));
    return request;
  }
  v1::LaneResponse Handle(const v1::LaneRequest& request) {
    v1::LaneResponse response;
    node_.core.Handle(peer_.session, peer_.lane, request, &response, nullptr);
    return response;
  }
  v1::KeyOutcome Put(std::string_view key, uint64_t op_id, v1::Durability durability,
                     bool replace = false) {
    const v1::WriteGrant grant = Grant(key, op_id, durability, replace);
    if (grant.outcome() != v1::KEY_OUTCOME_OK) return grant.outcome();
    EXPECT_TRUE(node_.Fill(peer_, grant, kBytes).ok());
    lease_ = grant.lease();
    return Handle(CommitRequest(lease_, key, op_id, durability)).commit().outcomes(0);
  }
  void PutBelow(std::string_view key) {
    ASSERT_EQ(Put(key, ++op_id_, v1::DURABILITY_POWER), v1::KEY_OUTCOME_PENDING);
    node_.tier_writes.RunAll();
    node_.store.Evict(kMiB);
    ASSERT_EQ(node_.tiered.Probe(key), Residency::kDisk);
  }
  static v1::LaneRequest ReadRequest(std::string_view key, uint32_t wait_ms) {
    v1::LaneRequest request;
    request.mutable_grant_reads()->add_keys(std::string(key));
    request.mutable_grant_reads()->set_wait_ms(wait_ms);
    return request;
  }
  v1::KeyOutcome Read(std::string_view key, uint32_t wait_ms) {
    return Handle(ReadRequest(key, wait_ms)).grant_reads().grants(0).outcome();
  }
  // Counts the answers that were put off and have come.
  bool WhenSettled(const v1::LaneRequest& request) {
    return node_.core.WhenSettled(peer_.session, request, [this] { ++answers_; });
  }

  FakeTier fake_{16 * kMiB};
  FlakyTier disk_{&fake_};
  CoreHarness node_;
  const CoreHarness::Peer peer_ = node_.MustConnect();
  uint64_t op_id_ = 100;
  uint64_t lease_ = 0;
  int answers_ = 0;
};

TEST_F(KvCoreTierTest, BlockOnDiskIsPromisedAndThenGranted) {
  PutBelow("k");
  EXPECT_EQ(Read("k", 0), v1::KEY_OUTCOME_PROMOTING);
  EXPECT_TRUE(WhenSettled(ReadRequest("k", 500)));
  EXPECT_EQ(answers_, 0);
  node_.tier_reads.RunAll();
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(Read("k", 500), v1::KEY_OUTCOME_OK);
  EXPECT_FALSE(WhenSettled(ReadRequest("k", 500)));
  EXPECT_EQ(node_.core.stats().read_promotions, 1);
}

TEST_F(KvCoreTierTest, AnswerComesWhenTheWaitIsOverToo) {
  PutBelow("k");
  EXPECT_EQ(Read("k", 0), v1::KEY_OUTCOME_PROMOTING);
  EXPECT_TRUE(WhenSettled(ReadRequest("k", 500)));
  node_.Pass(std::chrono::milliseconds(500));
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(Read("k", 500), v1::KEY_OUTCOME_PROMOTING);
  node_.tier_reads.RunAll();
  EXPECT_EQ(answers_, 1);
}

TEST_F(KvCoreTierTest, BlockThatDoesNotComeIsAMissToWhoAsksAgain) {
  PutBelow("k");
  EXPECT_EQ(Read("k", 0), v1::KEY_OUTCOME_PROMOTING);
  disk_.FailLoads(absl::UnavailableError("EIO"));
  node_.tier_reads.RunAll();
  EXPECT_EQ(Read("k", 500), v1::KEY_OUTCOME_MISS);
}

TEST_F(KvCoreTierTest, LookupFindsWhatIsOnDiskAndPinsItOnceItIsHere) {
  PutBelow("k");
  v1::LaneRequest request;
  request.mutable_lookup()->add_keys("k");
  request.mutable_lookup()->set_pin_owner("me");
  const v1::LaneResponse response = Handle(request);
  EXPECT_EQ(response.lookup().residency()[0], v1::RESIDENCY_DISK);
  EXPECT_EQ(response.lookup().prefix_count(), 1);
  node_.tier_reads.RunAll();
  EXPECT_EQ(node_.core.stats().pins, 1);
  EXPECT_EQ(node_.store.Evict(kMiB), 0);
}

TEST_F(KvCoreTierTest, NothingIsPinnedForASessionThatHasEnded) {
  PutBelow("k");
  v1::LaneRequest request;
  request.mutable_lookup()->add_keys("k");
  request.mutable_lookup()->set_pin_owner("me");
  Handle(request);
  node_.core.CloseSession(peer_.session);
  node_.tier_reads.RunAll();
  EXPECT_EQ(node_.core.stats().pins, 0);
}

TEST_F(KvCoreTierTest, DurablePutIsAcknowledgedOnceTheDiskHasIt) {
  EXPECT_EQ(Put("k", 7, v1::DURABILITY_PROCESS), v1::KEY_OUTCOME_PENDING);
  EXPECT_EQ(Read("k", 0), v1::KEY_OUTCOME_OK);
  const auto again = CommitRequest(lease_, "k", 7, v1::DURABILITY_PROCESS, 500);
  EXPECT_EQ(Grant("k", 7, v1::DURABILITY_PROCESS).lease(), lease_);
  EXPECT_TRUE(WhenSettled(again));
  node_.tier_writes.RunAll();
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(Handle(again).commit().outcomes(0), v1::KEY_OUTCOME_OK);
  EXPECT_TRUE(fake_.Find("k").has_value());
}

TEST_F(KvCoreTierTest, DurablePutThatTheDiskDidNotTakeIsRefused) {
  disk_.FailStores(absl::ResourceExhaustedError("no space"));
  EXPECT_EQ(Put("k", 7, v1::DURABILITY_PROCESS), v1::KEY_OUTCOME_PENDING);
  node_.tier_writes.RunAll();
  const v1::LaneResponse response =
      Handle(CommitRequest(lease_, "k", 7, v1::DURABILITY_PROCESS));
  EXPECT_EQ(response.commit().outcomes(0), v1::KEY_OUTCOME_REFUSED);
  EXPECT_EQ(response.commit().detail(), "no space");
  // From now on the grant says so already, and others go on.
  EXPECT_EQ(Put("j", 8, v1::DURABILITY_POWER), v1::KEY_OUTCOME_REFUSED);
  EXPECT_EQ(Put("j", 9, v1::DURABILITY_UNSPECIFIED), v1::KEY_OUTCOME_OK);
}

TEST_F(KvCoreTierTest, DurablePutOfAStoredBlockExistsOnceTheDiskHasIt) {
  ASSERT_EQ(Put("k", 1, v1::DURABILITY_UNSPECIFIED), v1::KEY_OUTCOME_OK);
  const v1::WriteGrant grant = Grant("k", 7, v1::DURABILITY_PROCESS);
  ASSERT_EQ(grant.outcome(), v1::KEY_OUTCOME_PENDING);
  EXPECT_EQ(Grant("k", 7, v1::DURABILITY_PROCESS).lease(), grant.lease());
  const auto commit = CommitRequest(grant.lease(), "k", 7, v1::DURABILITY_PROCESS, 500);
  EXPECT_EQ(Handle(commit).commit().outcomes(0), v1::KEY_OUTCOME_PENDING);
  EXPECT_TRUE(WhenSettled(commit));
  EXPECT_FALSE(fake_.Find("k").has_value());
  node_.tier_writes.RunAll();
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(Handle(commit).commit().outcomes(0), v1::KEY_OUTCOME_EXISTS);
  EXPECT_EQ(fake_.Find("k")->durability, Durability::kProcess);
  EXPECT_EQ(Grant("k", 8, v1::DURABILITY_PROCESS).outcome(), v1::KEY_OUTCOME_EXISTS);
}

TEST_F(KvCoreTierTest, DurablePutOfAStoredBlockThatTheDiskDoesNotTakeIsRefused) {
  PutBelow("below");
  ASSERT_EQ(Put("k", 1, v1::DURABILITY_UNSPECIFIED), v1::KEY_OUTCOME_OK);
  disk_.FailStores(absl::ResourceExhaustedError("no space"));
  const uint64_t lease = Grant("k", 7, v1::DURABILITY_PROCESS).lease();
  node_.tier_writes.RunAll();
  const v1::LaneResponse response =
      Handle(CommitRequest(lease, "k", 7, v1::DURABILITY_PROCESS));
  EXPECT_EQ(response.commit().outcomes(0), v1::KEY_OUTCOME_REFUSED);
  EXPECT_EQ(response.commit().detail(), "no space");
  EXPECT_EQ(Grant("k", 8, v1::DURABILITY_PROCESS).outcome(), v1::KEY_OUTCOME_REFUSED);
  // What the disk has already asks nothing of it.
  EXPECT_EQ(Grant("below", 9, v1::DURABILITY_POWER).outcome(), v1::KEY_OUTCOME_EXISTS);
}

TEST_F(KvCoreTierTest, DurablePutThatLosesAtItsCommitWaitsForTheWinnersBlock) {
  const v1::WriteGrant slow = Grant("k", 7, v1::DURABILITY_PROCESS);
  ASSERT_TRUE(node_.Fill(peer_, slow, kBytes).ok());
  ASSERT_EQ(Put("k", 1, v1::DURABILITY_UNSPECIFIED, /*replace=*/true),
            v1::KEY_OUTCOME_OK);
  const auto commit = CommitRequest(slow.lease(), "k", 7, v1::DURABILITY_PROCESS);
  EXPECT_EQ(Handle(commit).commit().outcomes(0), v1::KEY_OUTCOME_PENDING);
  node_.tier_writes.RunAll();
  EXPECT_EQ(Handle(commit).commit().outcomes(0), v1::KEY_OUTCOME_EXISTS);
  EXPECT_TRUE(fake_.Find("k").has_value());
}

TEST_F(KvCoreTierTest, DurablePutNeedsAnOpId) {
  v1::GrantWritesRequest request;
  request.set_durability(v1::DURABILITY_POWER);
  v1::GrantWritesResponse response;
  EXPECT_EQ(node_.core.GrantWrites(peer_.session, peer_.lane, request, &response).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(KvCoreTierTest, ReplacingWhatIsOnDiskIsPendingUntilThatIsDeleted) {
  PutBelow("k");
  // Without an op_id too.
  EXPECT_EQ(Put("k", 0, v1::DURABILITY_UNSPECIFIED, /*replace=*/true),
            v1::KEY_OUTCOME_PENDING);
  const auto again = CommitRequest(lease_, "k", 0, v1::DURABILITY_UNSPECIFIED);
  EXPECT_EQ(Handle(again).commit().outcomes(0), v1::KEY_OUTCOME_PENDING);
  node_.tier_writes.RunAll();
  EXPECT_EQ(Handle(again).commit().outcomes(0), v1::KEY_OUTCOME_OK);
  EXPECT_FALSE(fake_.Find("k").has_value());
}

TEST_F(KvCoreTierTest, CallOutsideOfALaneThatAsksToWaitIsRefused) {
  PutBelow("k");
  v1::GrantReadsRequest read = ReadRequest("k", 500).grant_reads();
  v1::GrantReadsResponse granted;
  EXPECT_EQ(
      ReasonOf(node_.core.GrantReads(peer_.session, peer_.lane, read, &granted, nullptr)),
      kReasonBadRequest);
  read.set_wait_ms(0);
  EXPECT_TRUE(
      node_.core.GrantReads(peer_.session, peer_.lane, read, &granted, nullptr).ok());
  v1::CommitRequest commit;
  commit.set_wait_ms(1);
  v1::CommitResponse committed;
  EXPECT_EQ(ReasonOf(node_.core.Commit(peer_.session, peer_.lane, commit, &committed)),
            kReasonBadRequest);
  v1::RemoveRequest remove;
  remove.set_wait_ms(1);
  v1::RemoveResponse removed;
  EXPECT_EQ(ReasonOf(node_.core.Remove(peer_.session, remove, &removed)),
            kReasonBadRequest);
}

TEST_F(KvCoreTierTest, RemovalFromDiskIsPendingUntilItIsDone) {
  PutBelow("k");
  v1::LaneRequest request;
  request.mutable_remove()->add_keys("k");
  EXPECT_EQ(Handle(request).remove().outcomes(0), v1::KEY_OUTCOME_PENDING);
  EXPECT_EQ(Read("k", 0), v1::KEY_OUTCOME_MISS);
  request.mutable_remove()->set_wait_ms(500);
  EXPECT_TRUE(WhenSettled(request));
  node_.tier_writes.RunAll();
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(Handle(request).remove().outcomes(0), v1::KEY_OUTCOME_MISS);
}

}  // namespace
}  // namespace kvasir
