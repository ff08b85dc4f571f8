#include "service/reaper.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "storage/block_store.h"
#include "tests/support/fake_transport.h"
#include "tests/support/manual_clock.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class ReaperTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kBlock = 64 * kKiB;

  SessionId MustOpen() { return *sessions_.Open("test", 1, clock_.Now()); }
  LaneId MustAddLane(SessionId session, FakeTransport* transport) {
    const auto call = sessions_.Enter(session, clock_.Now());
    const LaneId lane = *sessions_.AddLane(*call, transport);
    EXPECT_TRUE(transport->Accept(session, lane, "").ok());
    return lane;
  }
  LeaseId MustWrite(LeaseTable::Holder holder, std::string_view key) {
    return leases_
        .GrantWrite(holder, *store_.Reserve(key, {.size_bytes = kBlock}),
                    clock_.Now() + seconds(5))
        ->lease;
  }
  void MustRead(LeaseTable::Holder holder, std::string_view key) {
    if (store_.Probe(key) == Residency::kAbsent) {
      EXPECT_TRUE(store_.Commit(*store_.Reserve(key, {.size_bytes = kBlock}), 1).ok());
    }
    EXPECT_TRUE(leases_.GrantRead(holder, *store_.Peek(key), clock_.Now() + seconds(5)).ok());
  }
  void ExpectQuarantined(uint64_t blocks) {
    EXPECT_EQ(reaper_.stats().blocks, blocks);
    EXPECT_EQ(reaper_.stats().bytes, blocks * kBlock);
  }

  ManualClock clock_;
  FakeTransport tcp_{TransportKind::kTcp};
  FakeTransport shm_{TransportKind::kShm};
  const std::unique_ptr<Region> region_ =
      *Region::Map({.id = RegionId(1), .size_bytes = 4 * kMiB});
  Arena arena_{region_.get()};
  BlockStore store_{&arena_, {}};
  TokenSealer sealer_{Epoch{9}};
  LeaseTable leases_{&sealer_};
  SessionTable sessions_{{.on_ended = [this](const auto& ended) { reaper_.Retire(ended); }}};
  Reaper reaper_{&clock_, &leases_, &sessions_, {&tcp_, &shm_}};
  const SessionId session_ = MustOpen();
  const LaneId lane_ = MustAddLane(session_, &tcp_);
};

TEST_F(ReaperTest, AnExpiredReadIsDroppedWithoutAFence) {
  MustRead({session_, lane_}, "k");
  clock_.Advance(seconds(5));
  const Reaper::Expired expired = reaper_.Expire();
  EXPECT_EQ(expired.reads, 1u);
  EXPECT_EQ(store_.Stat("k")->references, 0u);
  EXPECT_TRUE(tcp_.fences().empty());
  EXPECT_TRUE(reaper_.idle());
}

TEST_F(ReaperTest, AnExpiredWriteFreesItsKeyAtOnceAndItsMemoryAfterTheFence) {
  MustWrite({session_, lane_}, "k");
  tcp_.HoldFences();
  clock_.Advance(seconds(5));
  EXPECT_EQ(reaper_.Expire().writes, 1u);
  EXPECT_EQ(store_.Probe("k"), Residency::kAbsent);
  EXPECT_TRUE(store_.Reserve("k", {.size_bytes = kBlock}).ok());
  ExpectQuarantined(1);
  EXPECT_EQ(store_.stats().reserved_blocks, 1u);
  ASSERT_EQ(tcp_.fences().size(), 1u);
  EXPECT_EQ(tcp_.fences()[0].session, session_);
  EXPECT_EQ(tcp_.fences()[0].lane, lane_);
  EXPECT_EQ(tcp_.fences()[0].scope, FenceScope::kWrites);
  tcp_.ReturnFence(0);
  ExpectQuarantined(0);
  EXPECT_EQ(store_.stats().reserved_blocks, 0u);
  EXPECT_TRUE(reaper_.idle());
}

TEST_F(ReaperTest, OneFenceServesAllWritesOfALane) {
  const LaneId other = MustAddLane(session_, &shm_);
  for (int n = 0; n < 8; ++n) {
    MustWrite({session_, n % 2 == 0 ? lane_ : other}, "k" + std::to_string(n));
  }
  clock_.Advance(seconds(5));
  EXPECT_EQ(reaper_.Expire().writes, 8u);
  EXPECT_EQ(tcp_.fences().size(), 1u);
  EXPECT_EQ(shm_.fences().size(), 1u);
  EXPECT_TRUE(reaper_.idle());
  EXPECT_EQ(arena_.usage().allocated_bytes, 0u);
}

TEST_F(ReaperTest, AFencedLaneTakesNoMoreWrites) {
  MustWrite({session_, lane_}, "k");
  EXPECT_FALSE(sessions_.Enter(session_, lane_, clock_.Now())->writes_cut());
  clock_.Advance(seconds(5));
  (void)reaper_.Expire();
  EXPECT_TRUE(sessions_.Enter(session_, lane_, clock_.Now())->writes_cut());
}

TEST_F(ReaperTest, AnEndedSessionIsCutOffOnEveryTransportBeforeAnythingIsFree) {
  const LaneId other = MustAddLane(session_, &shm_);
  MustWrite({session_, lane_}, "w");
  MustRead({session_, other}, "r");
  ASSERT_TRUE(leases_.Pin(session_, "o", *store_.Peek("r"), clock_.Now() + seconds(9)).ok());
  tcp_.HoldFences();
  shm_.HoldFences();
  sessions_.EndSession(session_);
  EXPECT_EQ(leases_.counts().pins, 0u);
  ExpectQuarantined(2);
  EXPECT_EQ(store_.Stat("r")->references, 1u);
  tcp_.ReturnFence(0);
  ExpectQuarantined(2);
  shm_.ReturnFence(0);
  ExpectQuarantined(0);
  EXPECT_EQ(store_.Stat("r")->references, 0u);
  EXPECT_EQ(tcp_.lanes() + shm_.lanes(), 0u);
}

TEST_F(ReaperTest, AnEndedLaneIsCutOffAlone) {
  const LaneId other = MustAddLane(session_, &tcp_);
  MustWrite({session_, lane_}, "w1");
  MustWrite({session_, other}, "w2");
  tcp_.HoldFences();
  sessions_.EndLane(session_, lane_);
  ASSERT_EQ(tcp_.fences().size(), 1u);
  EXPECT_EQ(tcp_.fences()[0].lane, lane_);
  EXPECT_EQ(tcp_.fences()[0].scope, FenceScope::kAll);
  ExpectQuarantined(1);
  EXPECT_EQ(leases_.counts().writes, 1u);
  tcp_.ReturnFence(0);
  ExpectQuarantined(0);
}

TEST_F(ReaperTest, AnEndWithoutLanesNeedsNoFence) {
  sessions_.EndSession(MustOpen());
  EXPECT_TRUE(tcp_.fences().empty());
  EXPECT_TRUE(reaper_.idle());
}

TEST_F(ReaperTest, AStuckFenceKeepsItsMemoryAndShowsItsAge) {
  MustWrite({session_, lane_}, "k");
  tcp_.HoldFences();
  clock_.Advance(seconds(5));
  (void)reaper_.Expire();
  EXPECT_EQ(reaper_.stats().oldest_fence, milliseconds(0));
  clock_.Advance(seconds(3600));
  (void)reaper_.Expire();
  ExpectQuarantined(1);
  EXPECT_EQ(reaper_.stats().oldest_fence, seconds(3600));
  EXPECT_EQ(arena_.usage().allocated_bytes, kBlock);
}

// A transport may find the lane half torn down by the first fence, and let the second
// return at once.
TEST_F(ReaperTest, AFenceThatOvertakesAnOlderOneOfTheSameLaneFreesNothing) {
  MustWrite({session_, lane_}, "w1");
  clock_.Advance(seconds(1));
  MustWrite({session_, lane_}, "w2");
  tcp_.HoldFences();
  clock_.Advance(seconds(4));
  EXPECT_EQ(reaper_.Expire().writes, 1u);
  sessions_.EndSession(session_);
  ExpectQuarantined(2);
  ASSERT_EQ(tcp_.held_fences(), 2u);
  tcp_.ReturnFence(1);
  ExpectQuarantined(2);
  tcp_.ReturnFence(0);
  ExpectQuarantined(0);
  EXPECT_EQ(arena_.usage().allocated_bytes, 0u);
}

TEST_F(ReaperTest, AStuckFenceDoesNotKeepOtherLanesOrSessionsMemory) {
  const LaneId other = MustAddLane(session_, &tcp_);
  const SessionId stranger = MustOpen();
  const LaneId strange_lane = MustAddLane(stranger, &tcp_);
  MustWrite({session_, lane_}, "w1");
  MustWrite({session_, other}, "w2");
  MustWrite({stranger, strange_lane}, "w3");
  tcp_.HoldFences();
  sessions_.EndLane(session_, lane_);
  sessions_.EndLane(session_, other);
  sessions_.EndSession(stranger);
  ExpectQuarantined(3);
  tcp_.ReturnFence(2);
  ExpectQuarantined(2);
  tcp_.ReturnFence(1);
  ExpectQuarantined(1);
}

// Expire has taken the write out of the table when its lane ends.
TEST_F(ReaperTest, AWriteWhoseLaneHasJustEndedWaitsForEveryTransport) {
  const LeaseId lease = MustWrite({session_, lane_}, "w");
  std::vector<LeaseTable::Write> writes;
  writes.push_back(*leases_.Revoke(session_, lease));
  tcp_.HoldFences();
  sessions_.EndLane(session_, lane_);
  reaper_.Quarantine(std::move(writes));
  EXPECT_EQ(tcp_.fences().size(), 2u);
  EXPECT_EQ(shm_.fences().size(), 1u);
  ExpectQuarantined(1);
  tcp_.ReturnAllFences();
  ExpectQuarantined(0);
}

}  // namespace
}  // namespace kvasir
