#include "service/put_ops.h"

#include <gtest/gtest.h>

#include <vector>

namespace kvasir {
namespace {

using Put = PutOps::Put;
using State = PutOps::State;

TEST(PutOps, ANewOpIsUnknown) {
  const PutOps ops;
  EXPECT_TRUE(ops.Find(1).empty());
  EXPECT_FALSE(ops.FindLease(1, LeaseId{1}).has_value());
}

TEST(PutOps, WhatBecameOfEachLeaseIsRemembered) {
  PutOps ops;
  ops.Grant(1, std::vector<Put>{{100, LeaseId{5}, LaneId{1}}, {200, LeaseId{6}, LaneId{1}}});
  ops.Settle(1, {.lease = LeaseId{5}, .state = State::kCommitted});
  ops.Settle(1, {.lease = LeaseId{9}, .state = State::kExists});
  ops.Settle(2, {.lease = LeaseId{6}, .state = State::kExists});
  EXPECT_EQ(ops.FindLease(1, LeaseId{5})->state, State::kCommitted);
  EXPECT_EQ(ops.FindLease(1, LeaseId{6})->state, State::kOpen);
  EXPECT_FALSE(ops.FindLease(1, LeaseId{9}).has_value());
  EXPECT_EQ(ops.Find(1).at(100).state, State::kCommitted);
  EXPECT_EQ(ops.Find(1).at(200).lease, LeaseId{6});
}

TEST(PutOps, TheLatestGrantOfAKeyCountsInWhateverOrderTheyAreToldOf) {
  PutOps ops;
  ops.Grant(1, std::vector<Put>{{100, LeaseId{9}, LaneId{2}}});
  ops.Grant(1, std::vector<Put>{{100, LeaseId{5}, LaneId{1}}});
  EXPECT_EQ(ops.Find(1).at(100).lease, LeaseId{9});
  EXPECT_EQ(ops.FindLease(1, LeaseId{5})->state, State::kOpen);
}

TEST(PutOps, TheOldestOpsAreForgotten) {
  PutOps ops;
  for (uint64_t op = 1; op <= kMaxRememberedOps + 1; ++op) {
    ops.Grant(op, std::vector<Put>{{op, LeaseId{op}, LaneId{1}}});
  }
  EXPECT_TRUE(ops.Find(1).empty());
  EXPECT_FALSE(ops.Find(2).empty());
  EXPECT_FALSE(ops.Find(kMaxRememberedOps + 1).empty());
}

TEST(PutOps, TheKeysOfAllOpsTogetherAreBounded) {
  PutOps ops;
  const std::vector<Put> batch(1024);
  const uint64_t fitting = kMaxRememberedPuts / batch.size();
  for (uint64_t op = 1; op <= fitting; ++op) ops.Grant(op, batch);
  EXPECT_FALSE(ops.Find(1).empty());
  ops.Grant(fitting + 1, batch);
  EXPECT_TRUE(ops.Find(1).empty());
  EXPECT_FALSE(ops.Find(2).empty());
}

TEST(PutOps, AGrantOfNothingIsNoOp) {
  PutOps ops;
  ops.Grant(1, {});
  for (uint64_t op = 2; op <= kMaxRememberedOps + 1; ++op) {
    ops.Grant(op, std::vector<Put>{{op, LeaseId{op}, LaneId{1}}});
  }
  EXPECT_FALSE(ops.Find(2).empty());
}

}  // namespace
}  // namespace kvasir
