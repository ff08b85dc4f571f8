#include "rdma/tcp_lane_table.h"

#include <chrono>
#include <string>
#include <utility>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr TcpLaneKey kLane{.session = kSession, .lane = LaneId{1}};
constexpr TcpPlace kPlace{.loop = 3, .connection = TcpConnectionId{4}};
constexpr Instant kStart{std::chrono::seconds(10)};
constexpr Instant kExpiry = kStart + std::chrono::seconds(3);

TcpNonce Nonce(int value) { return {static_cast<std::byte>(value)}; }

class TcpLaneTableTest : public testing::Test {
 protected:
  void Attach(const TcpLaneKey& key, const TcpPlace& place, int nonce = 1) {
    ASSERT_TRUE(table_.Offer(key, Nonce(nonce), kExpiry).ok());
    ASSERT_TRUE(table_.Attach(Nonce(nonce), place, queue_, kStart).ok());
  }
  // Begins a fence; its `done` counts.
  TcpLaneTable::FencePlan Fence(const FenceTarget& target) {
    TcpLaneTable::FencePlan plan = table_.BeginFence(target, [this] { ++done_; });
    if (plan.done != nullptr) std::move(plan.done)();
    return plan;
  }
  void Pass(TcpFenceId fence) {
    TcpLaneTable::Done done = table_.Pass(fence);
    if (done != nullptr) std::move(done)();
  }

  TcpLaneTable table_;
  // Never looked into by the table.
  TcpSendQueue* const queue_ = reinterpret_cast<TcpSendQueue*>(&table_);
  int done_ = 0;
};

TEST_F(TcpLaneTableTest, ANonceAttachesItsLaneOnce) {
  ASSERT_TRUE(table_.Offer(kLane, Nonce(1), kExpiry).ok());
  EXPECT_EQ(table_.attached(), 0u);
  const auto attached = table_.Attach(Nonce(1), kPlace, queue_, kStart);
  ASSERT_TRUE(attached.ok());
  EXPECT_EQ(attached->key.lane, kLane.lane);
  EXPECT_FALSE(attached->writes_cut);
  EXPECT_EQ(table_.attached(), 1u);
  EXPECT_EQ(table_.Attach(Nonce(1), kPlace, queue_, kStart).status().code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(TcpLaneTableTest, ALateNonceIsVoid) {
  ASSERT_TRUE(table_.Offer(kLane, Nonce(1), kExpiry).ok());
  EXPECT_FALSE(table_.Attach(Nonce(1), kPlace, queue_, kExpiry).ok());
  EXPECT_TRUE(table_.Offer(kLane, Nonce(2), kExpiry).ok());
}

TEST_F(TcpLaneTableTest, StaleOffersAreForgotten) {
  ASSERT_TRUE(table_.Offer(kLane, Nonce(1), kExpiry).ok());
  table_.DropStaleOffers(kExpiry - std::chrono::nanoseconds(1));
  EXPECT_EQ(table_.Offer(kLane, Nonce(2), kExpiry).code(),
            absl::StatusCode::kFailedPrecondition);
  table_.DropStaleOffers(kExpiry);
  EXPECT_TRUE(table_.Offer(kLane, Nonce(2), kExpiry).ok());
}

TEST_F(TcpLaneTableTest, LanesOfASessionAreBounded) {
  for (uint64_t i = 0; i < kMaxLanesPerSession; ++i) {
    const TcpLaneKey key{kSession, LaneId{i + 1}};
    ASSERT_TRUE(table_.Offer(key, Nonce(static_cast<int>(i)), kExpiry).ok());
  }
  EXPECT_EQ(table_.Offer({kSession, LaneId{999}}, Nonce(200), kExpiry).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(table_.Offer({{.high = 9}, LaneId{999}}, Nonce(201), kExpiry).ok());
}

TEST_F(TcpLaneTableTest, AFenceOfALaneThatNeverCameVoidsItsNonce) {
  ASSERT_TRUE(table_.Offer(kLane, Nonce(1), kExpiry).ok());
  Fence({.session = kSession, .lane = kLane.lane});
  EXPECT_EQ(done_, 1);
  EXPECT_FALSE(table_.Attach(Nonce(1), kPlace, queue_, kStart).ok());
}

TEST_F(TcpLaneTableTest, AFenceOfWritesOutlivesTheWaitForTheConnection) {
  ASSERT_TRUE(table_.Offer(kLane, Nonce(1), kExpiry).ok());
  Fence({.session = kSession, .lane = kLane.lane, .scope = FenceScope::kWrites});
  EXPECT_EQ(done_, 1);
  const auto attached = table_.Attach(Nonce(1), kPlace, queue_, kStart);
  ASSERT_TRUE(attached.ok());
  EXPECT_TRUE(attached->writes_cut);
}

TEST_F(TcpLaneTableTest, AFenceIsDoneOnceEveryPlaceHasPassed) {
  Attach(kLane, kPlace, 1);
  Attach({kSession, LaneId{2}}, {.loop = 0, .connection = TcpConnectionId{5}}, 2);
  Attach({{.high = 8}, LaneId{3}}, {.loop = 0, .connection = TcpConnectionId{6}}, 3);
  const TcpLaneTable::FencePlan plan = Fence({.session = kSession});
  EXPECT_EQ(plan.places.size(), 2u);
  Pass(plan.fence);
  EXPECT_EQ(done_, 0);
  Pass(plan.fence);
  EXPECT_EQ(done_, 1);
  Pass(plan.fence);
  EXPECT_EQ(done_, 1);
}

TEST_F(TcpLaneTableTest, AFenceWaitsForALaneThatIsClosing) {
  Attach(kLane, kPlace);
  EXPECT_TRUE(table_.BeginClose(kLane));
  const TcpLaneTable::FencePlan plan = Fence({.session = kSession, .lane = kLane.lane});
  ASSERT_EQ(plan.places.size(), 1u);
  EXPECT_EQ(plan.places[0].connection, kPlace.connection);
  table_.Erase(kLane);
  EXPECT_EQ(done_, 0);
  Pass(plan.fence);
  EXPECT_EQ(done_, 1);
  EXPECT_EQ(table_.attached(), 0u);
  Fence({.session = kSession, .lane = kLane.lane});
  EXPECT_EQ(done_, 2);
}

TEST_F(TcpLaneTableTest, APinnedLaneClosesAfterItsLastUnpin) {
  Attach(kLane, kPlace);
  TcpPlace place;
  EXPECT_EQ(table_.Pin(kLane, &place), queue_);
  EXPECT_EQ(place.loop, kPlace.loop);
  EXPECT_EQ(table_.Pin(kLane, &place), queue_);
  EXPECT_FALSE(table_.BeginClose(kLane));
  EXPECT_EQ(table_.Pin(kLane, &place), nullptr);
  EXPECT_FALSE(table_.Unpin(kLane));
  EXPECT_TRUE(table_.Unpin(kLane));
  table_.Erase(kLane);
}

TEST_F(TcpLaneTableTest, AnUnattachedLaneCannotBePinned) {
  TcpPlace place;
  EXPECT_EQ(table_.Pin(kLane, &place), nullptr);
  ASSERT_TRUE(table_.Offer(kLane, Nonce(1), kExpiry).ok());
  EXPECT_EQ(table_.Pin(kLane, &place), nullptr);
}

TEST_F(TcpLaneTableTest, WaitingFencesCanAllBeTaken) {
  Attach(kLane, kPlace);
  const TcpLaneTable::FencePlan plan = Fence({.session = kSession});
  Fence({.session = kSession, .scope = FenceScope::kWrites});
  for (TcpLaneTable::Done& done : table_.TakeFences()) std::move(done)();
  EXPECT_EQ(done_, 2);
  Pass(plan.fence);
  EXPECT_EQ(done_, 2);
}

}  // namespace
}  // namespace kvasir
