#include "rdma/shm_lane_table.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rdma/shm_packet.h"

namespace kvasir {
namespace {

using std::chrono::seconds;
using Cut = ShmLaneTable::Cut;
using Keep = ShmLaneTable::Keep;

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr SessionId kOther{.high = 3, .low = 4};
constexpr Instant kNow{seconds(100)};

class ShmLaneTableTest : public testing::Test {
 protected:
  struct Stranger {
    uint64_t id = 0;
    UniqueFd client;
  };
  Stranger AddStranger(Instant greet_by = kNow + seconds(5)) {
    int pair[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    const uint64_t id = table_.NextId();
    added_ = table_.Add(std::make_unique<ShmConnection>(id, UniqueFd(pair[0])), greet_by);
    return {.id = id, .client = UniqueFd(pair[1])};
  }
  ShmNonce Offer(SessionId session, LaneId lane) {
    return *table_.Offer({.session = session, .lane = lane}, kNow + seconds(10));
  }
  // A connection that is the lane of its session, checked in.
  Stranger AddLane(SessionId session, LaneId lane) {
    Stranger stranger = AddStranger();
    const ShmNonce nonce = Offer(session, lane);
    EXPECT_NE(table_.CheckOut(stranger.id), nullptr);
    EXPECT_TRUE(table_.Redeem(stranger.id, nonce, kNow).ok());
    table_.CheckIn(stranger.id, Keep::kYes);
    return stranger;
  }
  void Fence(SessionId session, LaneId lane, FenceScope scope, const std::string& name) {
    table_.Fence({.session = session, .lane = lane, .scope = scope},
                 [this, name] { done_.push_back(name); });
  }

  ShmLaneTable table_;
  absl::Status added_;
  std::vector<std::string> done_;
};

TEST_F(ShmLaneTableTest, AnOfferIsGoodOnce) {
  const ShmNonce nonce = Offer(kSession, LaneId{7});
  const Stranger first = AddStranger();
  const Stranger second = AddStranger();
  table_.CheckOut(first.id);
  table_.CheckOut(second.id);
  const auto holder = table_.Redeem(first.id, nonce, kNow);
  ASSERT_TRUE(holder.ok()) << holder.status();
  EXPECT_EQ(holder->session, kSession);
  EXPECT_EQ(holder->lane, LaneId{7});
  EXPECT_TRUE(absl::IsUnavailable(table_.Redeem(second.id, nonce, kNow).status()));
  EXPECT_EQ(table_.lanes(), 1u);
}

TEST_F(ShmLaneTableTest, AnOfferIsGoodUntilItExpires) {
  const ShmNonce nonce = Offer(kSession, LaneId{7});
  const Stranger stranger = AddStranger();
  table_.CheckOut(stranger.id);
  EXPECT_TRUE(absl::IsUnavailable(
      table_.Redeem(stranger.id, nonce, kNow + seconds(10)).status()));
  EXPECT_TRUE(
      table_.Redeem(stranger.id, nonce, kNow + seconds(10) - BootClock::duration(1))
          .ok());
}

TEST_F(ShmLaneTableTest, AForgedNonceOpensNothing) {
  ShmNonce nonce = Offer(kSession, LaneId{7});
  nonce[15] ^= std::byte{1};
  const Stranger stranger = AddStranger();
  table_.CheckOut(stranger.id);
  EXPECT_TRUE(absl::IsUnavailable(table_.Redeem(stranger.id, nonce, kNow).status()));
  EXPECT_EQ(table_.lanes(), 0u);
}

TEST_F(ShmLaneTableTest, OffersAreBoundedAndExpiredOnesMakeRoom) {
  for (size_t i = 0; i < ShmLaneTable::kOffersMax; ++i) Offer(kSession, LaneId{1});
  const ShmLaneTable::Holder holder{.session = kSession, .lane = LaneId{1}};
  EXPECT_TRUE(
      absl::IsResourceExhausted(table_.Offer(holder, kNow + seconds(10)).status()));
  table_.Expire(kNow + seconds(10));
  EXPECT_TRUE(table_.Offer(holder, kNow + seconds(20)).ok());
}

TEST_F(ShmLaneTableTest, StrangersAreBoundedAndGoWhenTheirTimeIsUp) {
  std::vector<Stranger> strangers;
  for (size_t i = 0; i < ShmLaneTable::kStrangersMax; ++i) {
    strangers.push_back(AddStranger());
    ASSERT_TRUE(added_.ok()) << added_;
  }
  const Stranger one_more = AddStranger();
  EXPECT_TRUE(absl::IsResourceExhausted(added_)) << added_;
  EXPECT_TRUE(ShmPeerGone(one_more.client.get()));

  table_.Expire(kNow + seconds(4));
  EXPECT_FALSE(ShmPeerGone(strangers[0].client.get()));
  table_.Expire(kNow + seconds(5));
  EXPECT_TRUE(ShmPeerGone(strangers[0].client.get()));
  EXPECT_EQ(table_.CheckOut(strangers[0].id), nullptr);
  AddStranger();
  EXPECT_TRUE(added_.ok()) << added_;
}

TEST_F(ShmLaneTableTest, ALaneOutlivesTheTimeOfStrangers) {
  const Stranger lane = AddLane(kSession, LaneId{7});
  table_.Expire(kNow + seconds(1000));
  EXPECT_FALSE(ShmPeerGone(lane.client.get()));
  EXPECT_EQ(table_.lanes(), 1u);
}

TEST_F(ShmLaneTableTest, AFenceEndsAnIdleLaneAtOnce) {
  const Stranger lane = AddLane(kSession, LaneId{7});
  Fence(kSession, LaneId{7}, FenceScope::kAll, "fence");
  EXPECT_EQ(done_, std::vector<std::string>{"fence"});
  EXPECT_TRUE(ShmPeerGone(lane.client.get()));
  EXPECT_EQ(table_.lanes(), 0u);
  EXPECT_EQ(table_.CheckOut(lane.id), nullptr);
}

TEST_F(ShmLaneTableTest, TheClientCanSeeAFenceBeforeItIsDone) {
  const Stranger lane = AddLane(kSession, LaneId{7});
  bool gone = false;
  table_.Fence({.session = kSession}, [&] { gone = ShmPeerGone(lane.client.get()); });
  EXPECT_TRUE(gone);

  const Stranger busy = AddLane(kSession, LaneId{8});
  table_.CheckOut(busy.id);
  gone = false;
  table_.Fence({.session = kSession}, [&] { gone = ShmPeerGone(busy.client.get()); });
  table_.CheckIn(busy.id, Keep::kYes);
  EXPECT_TRUE(gone);
}

TEST_F(ShmLaneTableTest, AFenceWaitsForALaneThatIsOut) {
  const Stranger lane = AddLane(kSession, LaneId{7});
  table_.CheckOut(lane.id);
  Fence(kSession, LaneId{7}, FenceScope::kWrites, "writes");
  Fence(kSession, LaneId{7}, FenceScope::kAll, "all");
  EXPECT_EQ(done_, std::vector<std::string>{});
  EXPECT_EQ(table_.CutOf(lane.id), Cut::kAll);
  table_.CheckIn(lane.id, Keep::kYes);
  EXPECT_EQ(done_, (std::vector<std::string>{"writes", "all"}));
  EXPECT_TRUE(ShmPeerGone(lane.client.get()));
}

TEST_F(ShmLaneTableTest, AFenceOfASessionWaitsForAllItsLanesThatAreOut) {
  const Stranger one = AddLane(kSession, LaneId{7});
  const Stranger two = AddLane(kSession, LaneId{8});
  const Stranger idle = AddLane(kSession, LaneId{9});
  const Stranger foreign = AddLane(kOther, LaneId{10});
  table_.CheckOut(one.id);
  table_.CheckOut(two.id);
  table_.CheckOut(foreign.id);
  Fence(kSession, LaneId{}, FenceScope::kAll, "session");
  EXPECT_TRUE(ShmPeerGone(idle.client.get()));
  table_.CheckIn(one.id, Keep::kYes);
  table_.CheckIn(foreign.id, Keep::kYes);
  EXPECT_EQ(done_, std::vector<std::string>{});
  table_.CheckIn(two.id, Keep::kNo);
  EXPECT_EQ(done_, std::vector<std::string>{"session"});
  EXPECT_FALSE(ShmPeerGone(foreign.client.get()));
  EXPECT_EQ(table_.lanes(), 1u);
}

TEST_F(ShmLaneTableTest, AFenceOfWritesLeavesTheLaneOpen) {
  const Stranger lane = AddLane(kSession, LaneId{7});
  Fence(kSession, LaneId{7}, FenceScope::kWrites, "writes");
  EXPECT_EQ(done_, std::vector<std::string>{"writes"});
  EXPECT_FALSE(ShmPeerGone(lane.client.get()));
  ASSERT_NE(table_.CheckOut(lane.id), nullptr);
  EXPECT_EQ(table_.CutOf(lane.id), Cut::kWrites);
}

TEST_F(ShmLaneTableTest, AFenceTakesOffersBack) {
  const ShmNonce nonce = Offer(kSession, LaneId{7});
  const ShmNonce foreign = Offer(kOther, LaneId{7});
  Fence(kSession, LaneId{7}, FenceScope::kAll, "all");
  EXPECT_EQ(done_, std::vector<std::string>{"all"});
  const Stranger stranger = AddStranger();
  table_.CheckOut(stranger.id);
  EXPECT_TRUE(absl::IsUnavailable(table_.Redeem(stranger.id, nonce, kNow).status()));
  EXPECT_TRUE(table_.Redeem(stranger.id, foreign, kNow).ok());
}

TEST_F(ShmLaneTableTest, AFenceOfWritesReachesALaneThatConnectsLater) {
  const ShmNonce nonce = Offer(kSession, LaneId{7});
  Fence(kSession, LaneId{7}, FenceScope::kWrites, "writes");
  const Stranger stranger = AddStranger();
  table_.CheckOut(stranger.id);
  ASSERT_TRUE(table_.Redeem(stranger.id, nonce, kNow).ok());
  EXPECT_EQ(table_.CutOf(stranger.id), Cut::kWrites);
}

TEST_F(ShmLaneTableTest, AFenceDuringTheHandshakeEndsTheNewLane) {
  const ShmNonce nonce = Offer(kSession, LaneId{7});
  const Stranger stranger = AddStranger();
  table_.CheckOut(stranger.id);
  ASSERT_TRUE(table_.Redeem(stranger.id, nonce, kNow).ok());
  Fence(kSession, LaneId{7}, FenceScope::kAll, "all");
  EXPECT_EQ(done_, std::vector<std::string>{});
  table_.CheckIn(stranger.id, Keep::kYes);
  EXPECT_EQ(done_, std::vector<std::string>{"all"});
  EXPECT_EQ(table_.lanes(), 0u);
}

}  // namespace
}  // namespace kvasir
