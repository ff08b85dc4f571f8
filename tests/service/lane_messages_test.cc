#include "service/lane_messages.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "base/status_reason.h"
#include "service/request_metrics.h"
#include "tests/support/core_harness.h"
#include "tests/support/fake_tier.h"
#include "tests/support/manual_executor.h"

namespace kvasir {
namespace {

constexpr std::string_view kBytes = "some bytes";
constexpr int kPutsMax = 2;

class LaneMessagesTest : public ::testing::Test {
 protected:
  LaneMessagesTest() { node_.tiered.Attach(&disk_); }

  // Sends bytes; the answers that have come are in answers_.
  void SendBytes(std::string_view bytes) {
    messages_.Answer(peer_.session, peer_.lane, bytes, [this](std::string_view answer) {
      EXPECT_LE(answer.size(), kLaneMessageBytesMax);
      EXPECT_TRUE(answers_.emplace_back().ParseFromString(std::string(answer)));
      return lane_lives_;
    });
  }
  v1::LaneResponse Ask(const v1::LaneRequest& request) {
    SendBytes(request.SerializeAsString());
    return answers_.back();
  }
  static v1::LaneRequest ReadRequest(std::string_view key, uint32_t wait_ms = 0) {
    v1::LaneRequest request;
    request.mutable_grant_reads()->add_keys(std::string(key));
    request.mutable_grant_reads()->set_wait_ms(wait_ms);
    return request;
  }
  static v1::LaneRequest WriteRequest(std::string_view key) {
    v1::LaneRequest request;
    v1::WriteIntent* const intent = request.mutable_grant_writes()->add_writes();
    intent->set_key(std::string(key));
    intent->set_size_bytes(kBytes.size());
    return request;
  }
  // Puts a block that only the disk has then.
  void PutBelow(std::string_view key) {
    v1::GrantWritesRequest grant;
    grant.set_op_id(1);
    grant.set_durability(v1::DURABILITY_POWER);
    v1::WriteIntent* const intent = grant.add_writes();
    intent->set_key(std::string(key));
    intent->set_size_bytes(kBytes.size());
    v1::GrantWritesResponse granted;
    ASSERT_TRUE(node_.core.GrantWrites(peer_.session, peer_.lane, grant, &granted).ok());
    ASSERT_TRUE(node_.Fill(peer_, granted.grants(0), kBytes).ok());
    v1::CommitRequest commit;
    commit.set_op_id(1);
    commit.set_durability(v1::DURABILITY_POWER);
    v1::CommitItem* const item = commit.add_items();
    item->set_lease(granted.grants(0).lease());
    item->set_checksum(CoreHarness::ChecksumOf(key, kBytes));
    v1::CommitResponse committed;
    ASSERT_TRUE(node_.core.Commit(peer_.session, peer_.lane, commit, &committed).ok());
    node_.tier_writes.RunAll();
    node_.store.Evict(kMiB);
    ASSERT_EQ(node_.tiered.Probe(key), Residency::kDisk);
  }
  void ExpectError(const v1::LaneResponse& answer, std::string_view reason) {
    ASSERT_TRUE(answer.has_error()) << answer.DebugString();
    EXPECT_EQ(answer.error().reason(), reason);
  }

  FakeTier disk_{16 * kMiB};
  CoreHarness node_;
  RequestMetrics metrics_;
  ManualExecutor puts_{kPutsMax};
  LaneMessages messages_{&node_.core, &metrics_, &node_.clock, &puts_};
  const CoreHarness::Peer peer_ = node_.MustConnect();
  std::vector<v1::LaneResponse> answers_;
  bool lane_lives_ = true;
};

TEST_F(LaneMessagesTest, LookupsGrantsAndReleasesAreAnsweredAndCounted) {
  node_.MustPut(peer_, "k", kBytes);
  v1::LaneRequest lookup;
  lookup.mutable_lookup()->add_keys("k");
  EXPECT_EQ(Ask(lookup).lookup().residency()[0], v1::RESIDENCY_MEMORY);
  const v1::LaneResponse granted = Ask(ReadRequest("k"));
  ASSERT_EQ(granted.grant_reads().grants(0).outcome(), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(*node_.Read(peer_, granted.grant_reads().grants(0)), kBytes);
  EXPECT_EQ(node_.core.stats().read_leases, 1);
  v1::LaneRequest release;
  release.mutable_release()->add_leases(granted.grant_reads().grants(0).lease());
  EXPECT_TRUE(Ask(release).has_release());
  EXPECT_EQ(node_.core.stats().read_leases, 0);
  for (const Method method : {Method::kLookup, Method::kGrantReads, Method::kRelease}) {
    EXPECT_EQ(metrics_.Read(method).count, 1) << MethodName(method);
  }
}

TEST_F(LaneMessagesTest, WhatIsNoneOfTheseIsRefusedAndDoesNothing) {
  node_.MustPut(peer_, "k", kBytes);
  v1::LaneRequest remove, unpin, open;
  remove.mutable_remove()->add_keys("k");
  unpin.mutable_unpin_owner()->set_owner("me");
  open.mutable_open()->set_session(peer_.session.ToBytes());
  for (const v1::LaneRequest& request : {remove, unpin, open, v1::LaneRequest()}) {
    ExpectError(Ask(request), kReasonBadRequest);
  }
  SendBytes("\xff\xff\xff\xff");
  ExpectError(answers_.back(), kReasonBadRequest);
  EXPECT_EQ(node_.tiered.Probe("k"), Residency::kMemory);
}

TEST_F(LaneMessagesTest, APutIsAnsweredByTheExecutorAndKeepsNoGetWaiting) {
  node_.MustPut(peer_, "k", kBytes);
  SendBytes(WriteRequest("new").SerializeAsString());
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(Ask(ReadRequest("k")).grant_reads().grants(0).outcome(), v1::KEY_OUTCOME_OK);
  puts_.RunAll();
  ASSERT_EQ(answers_.size(), 2u);
  const v1::WriteGrant& grant = answers_[1].grant_writes().grants(0);
  ASSERT_TRUE(node_.Fill(peer_, grant, kBytes).ok());
  v1::LaneRequest commit;
  v1::CommitItem* const item = commit.mutable_commit()->add_items();
  item->set_lease(grant.lease());
  item->set_checksum(CoreHarness::ChecksumOf("new", kBytes));
  SendBytes(commit.SerializeAsString());
  puts_.RunAll();
  EXPECT_EQ(answers_.back().commit().outcomes(0), v1::KEY_OUTCOME_OK);
  EXPECT_EQ(node_.tiered.Probe("new"), Residency::kMemory);
}

TEST_F(LaneMessagesTest, APutThatFindsTheExecutorFullIsAnsweredAtOnce) {
  for (int i = 0; i < kPutsMax; ++i) SendBytes(WriteRequest("waits").SerializeAsString());
  EXPECT_TRUE(answers_.empty());
  EXPECT_EQ(Ask(WriteRequest("new")).grant_writes().grants(0).outcome(), v1::KEY_OUTCOME_OK);
}

TEST_F(LaneMessagesTest, AnAnswerThatIsTooLargeIsAnErrorThatSaysSo) {
  v1::LaneRequest request;
  for (int i = 0; i < 512; ++i) {
    const std::string key = "k" + std::to_string(i);
    if (i < 128) node_.MustPut(peer_, key, kBytes);
    request.mutable_grant_reads()->add_keys(key);
  }
  ASSERT_LE(request.ByteSizeLong(), kLaneMessageBytesMax);
  ExpectError(Ask(request), kReasonLimit);
  // Nobody knows of those leases: they run out.
  EXPECT_EQ(node_.core.stats().read_leases, 128);
  node_.Pass(kDefaultLeaseTtl + kLeaseGrace);
  EXPECT_EQ(node_.core.stats().read_leases, 0);
}

TEST_F(LaneMessagesTest, DrainWaitsForWhatWaitsAndLetsNothingIn) {
  PutBelow("k");
  Ask(ReadRequest("k"));
  SendBytes(ReadRequest("k", 500).SerializeAsString());
  std::atomic<int> left = 1;
  std::thread waiting([&] {
    messages_.Drain();
    EXPECT_EQ(left, 0);
  });
  std::this_thread::yield();
  left = 0;
  node_.Pass(std::chrono::milliseconds(500));
  waiting.join();
  EXPECT_EQ(answers_.size(), 2u);
  SendBytes(ReadRequest("k").SerializeAsString());
  EXPECT_EQ(answers_.size(), 2u);
}

TEST_F(LaneMessagesTest, ASessionThatIsGoneIsToldSo) {
  node_.core.CloseSession(peer_.session);
  ExpectError(Ask(ReadRequest("k")), kReasonSessionUnknown);
}

TEST_F(LaneMessagesTest, WhatWaitsForTheDiskIsAnsweredOnceWhenItIsHere) {
  PutBelow("k");
  EXPECT_EQ(Ask(ReadRequest("k")).grant_reads().grants(0).outcome(),
            v1::KEY_OUTCOME_PROMOTING);
  SendBytes(ReadRequest("k", 500).SerializeAsString());
  EXPECT_EQ(answers_.size(), 1u);
  node_.tier_reads.RunAll();
  ASSERT_EQ(answers_.size(), 2u);
  EXPECT_EQ(answers_[1].grant_reads().grants(0).outcome(), v1::KEY_OUTCOME_OK);
  node_.Pass(std::chrono::milliseconds(500));
  EXPECT_EQ(answers_.size(), 2u);
}

TEST_F(LaneMessagesTest, ALaneThatIsGoneByThenGetsNoLease) {
  PutBelow("k");
  Ask(ReadRequest("k"));
  SendBytes(ReadRequest("k", 500).SerializeAsString());
  node_.core.CloseLane(peer_.session, peer_.lane);
  lane_lives_ = false;
  node_.tier_reads.RunAll();
  ASSERT_EQ(answers_.size(), 2u);
  ExpectError(answers_[1], kReasonLaneUnknown);
  EXPECT_EQ(node_.core.stats().read_leases, 0);
}

}  // namespace
}  // namespace kvasir
