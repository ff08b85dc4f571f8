#include "rdma/verbs_lane_table.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/rdma/fake_queue_pairs.h"

namespace kvasir {
namespace {

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr SessionId kOther{.high = 3, .low = 4};
constexpr size_t kLanesMax = 3;

class VerbsLaneTableTest : public testing::Test {
 protected:
  // A lane of one rail. Returns the tags of its queues, for READs and for WRITEs.
  std::pair<uint64_t, uint64_t> AddLane(SessionId session, LaneId lane) {
    std::vector<VerbsLaneTable::Queue> queues;
    for (const Access access : {Access::kRead, Access::kWrite}) {
      queues.push_back({.access = access, .tag = table_.NewTag()});
      queues.back().qp = fake_.Make();
    }
    const std::pair tags(queues[0].tag, queues[1].tag);
    added_ = table_.Add(session, lane, std::move(queues));
    return tags;
  }

  FakeQueuePairs fake_;
  VerbsLaneTable table_{kLanesMax};
  absl::Status added_;
};

TEST_F(VerbsLaneTableTest, AFenceOfALaneTakesBothOfItsQueuesAndNoOthers) {
  AddLane(kSession, LaneId{1});
  AddLane(kSession, LaneId{2});
  AddLane(kOther, LaneId{1});
  EXPECT_EQ(table_.Take({.session = kSession, .lane = LaneId{1}}).size(), 2u);
  EXPECT_EQ(table_.lanes(), 2u);
  EXPECT_EQ(fake_.alive(), 4u);
  EXPECT_TRUE(table_.Take({.session = kSession, .lane = LaneId{1}}).empty());
}

TEST_F(VerbsLaneTableTest, AFenceOfWritesLeavesTheQueueForReadsAndTheLane) {
  const auto [reads, writes] = AddLane(kSession, LaneId{1});
  const FenceTarget target = {
      .session = kSession, .lane = LaneId{1}, .scope = FenceScope::kWrites};
  EXPECT_EQ(table_.Take(target).size(), 1u);
  EXPECT_TRUE(table_.Take(target).empty());
  EXPECT_EQ(table_.lanes(), 1u);
  EXPECT_FALSE(table_.Trip(writes));
  EXPECT_TRUE(table_.Trip(reads));
  EXPECT_EQ(table_.Take({.session = kSession, .lane = LaneId{1}}).size(), 1u);
  EXPECT_EQ(table_.lanes(), 0u);
}

TEST_F(VerbsLaneTableTest, AFenceOfASessionTakesAllOfItsLanes) {
  AddLane(kSession, LaneId{1});
  AddLane(kSession, LaneId{2});
  AddLane(kOther, LaneId{1});
  EXPECT_EQ(table_.Take({.session = kSession}).size(), 4u);
  EXPECT_EQ(table_.lanes(), 1u);
}

TEST_F(VerbsLaneTableTest, ALaneThatIsThereOrOneTooManyIsRefusedAndItsQueuesDestroyed) {
  AddLane(kSession, LaneId{1});
  AddLane(kSession, LaneId{1});
  EXPECT_EQ(added_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(fake_.alive(), 2u);
  AddLane(kSession, LaneId{2});
  AddLane(kOther, LaneId{1});
  AddLane(kOther, LaneId{2});
  EXPECT_EQ(added_.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(fake_.alive(), 2 * kLanesMax);
  EXPECT_EQ(table_.lanes(), kLanesMax);
}

TEST_F(VerbsLaneTableTest, AQueueTripsOnceAndAFencedOneNever) {
  const auto [reads, writes] = AddLane(kSession, LaneId{1});
  EXPECT_TRUE(table_.Trip(reads));
  EXPECT_FALSE(table_.Trip(reads));
  EXPECT_EQ(table_.Take({.session = kSession}).size(), 2u);
  EXPECT_FALSE(table_.Trip(writes));
  EXPECT_EQ(table_.refusals(), 1u);
}

TEST_F(VerbsLaneTableTest, WhatComesBackOfAQueueWhosePeerIsLostIsNoRefusal) {
  const auto [reads, writes] = AddLane(kSession, LaneId{1});
  table_.Lose(reads);
  EXPECT_FALSE(table_.Trip(reads));
  EXPECT_TRUE(table_.Trip(writes));
  EXPECT_EQ(table_.Take({.session = kSession}).size(), 2u);
}

TEST_F(VerbsLaneTableTest, ASessionIsToldOnceWhenItsRefusalsAreTooMany) {
  for (size_t i = 1; i <= kVerbsRefusalsMax + 1; ++i) {
    const uint64_t tag = AddLane(kSession, LaneId{i}).first;
    EXPECT_TRUE(table_.Trip(tag));
    EXPECT_EQ(table_.TakeMisbehaved().size(), i == kVerbsRefusalsMax ? 1u : 0u) << i;
    table_.Take({.session = kSession, .lane = LaneId{i}});
  }
  EXPECT_EQ(table_.refusals(), kVerbsRefusalsMax + 1);
}

TEST_F(VerbsLaneTableTest, RefusalsAreForgottenWithTheSessionAndNotSharedByOthers) {
  for (size_t i = 1; i < kVerbsRefusalsMax; ++i) {
    EXPECT_TRUE(table_.Trip(AddLane(kSession, LaneId{i}).first));
  }
  EXPECT_TRUE(table_.Trip(AddLane(kOther, LaneId{1}).first));
  table_.Take({.session = kSession});
  EXPECT_TRUE(table_.Trip(AddLane(kSession, LaneId{1}).second));
  EXPECT_TRUE(table_.TakeMisbehaved().empty());
}

}  // namespace
}  // namespace kvasir
