#include "rdma/verbs_plan.h"

#include <cstring>
#include <vector>

#include "base/limits.h"
#include "gtest/gtest.h"

namespace kvasir {
namespace {

constexpr uint64_t kAddress = 0x10'0000;
constexpr uint64_t kChunkBytes = 1000;
constexpr uint64_t kRegionBytes = 5000;

class VerbsPlanTest : public testing::Test {
 protected:
  VerbsPlanTest() : memory_(kRegionBytes), plan_({.piece_bytes_max = 400, .slices_max = 2}) {
    for (size_t i = 0; i < memory_.size(); ++i) memory_[i] = static_cast<std::byte>(i * 7);
  }

  // A transfer of [offset, offset + sum of sizes) with slices of these sizes.
  Transfer& Of(Access access, uint64_t offset, std::vector<size_t> sizes) {
    Case& one = *cases_.emplace_back(std::make_unique<Case>());
    size_t at = offset;
    for (const size_t size : sizes) {
      one.slices.push_back(std::span(memory_).subspan(at, size));
      at += size;
    }
    one.transfer.token.access = access;
    one.transfer.token.extent = {RegionId{1}, offset, at - offset};
    one.transfer.local = one.slices;
    one.transfer.checksum_seed = 99;
    return one.transfer;
  }
  // Takes every piece; checks that they are within the bounds and cover what was asked.
  std::vector<uint64_t> TakeAll() {
    std::vector<uint64_t> sizes;
    while (const VerbsPlan::Piece* piece = plan_.Peek()) {
      uint64_t local_bytes = 0;
      for (size_t i = 0; i < piece->slices; ++i) local_bytes += piece->local[i].iov_len;
      EXPECT_EQ(local_bytes, piece->bytes);
      EXPECT_LE(piece->slices, 2u);
      EXPECT_LE(piece->bytes, 400u);
      EXPECT_LE(piece->bytes, piece->place.bytes_in_chunk);
      EXPECT_EQ(static_cast<std::byte*>(piece->local[0].iov_base) - memory_.data(),
                static_cast<int64_t>(piece->place.address - kAddress));
      sizes.push_back(piece->bytes);
      EXPECT_EQ(plan_.Take(), sizes.size() - 1);
    }
    return sizes;
  }
  uint64_t ChecksumOf(const Transfer& transfer) const {
    return BlockChecksum(99, std::span(memory_).subspan(transfer.token.extent.offset_bytes,
                                                        transfer.token.extent.size_bytes));
  }

  struct Case {
    std::vector<std::span<std::byte>> slices;
    Transfer transfer;
  };
  std::vector<std::byte> memory_;
  const std::vector<VerbsRegion> regions_ = {{.id = RegionId{1},
                                              .address = kAddress,
                                              .size_bytes = kRegionBytes,
                                              .chunk_bytes = kChunkBytes,
                                              .keys = std::vector<VerbsKeys>(5)}};
  std::vector<std::unique_ptr<Case>> cases_;
  VerbsPlan plan_;
};

TEST_F(VerbsPlanTest, CutsAtItsSizeAtChunksAndAtTheNumberOfSlices) {
  ASSERT_TRUE(plan_.Add(&Of(Access::kRead, 0, {1000}), regions_).ok());
  ASSERT_TRUE(plan_.Add(&Of(Access::kRead, 900, {200}), regions_).ok());
  ASSERT_TRUE(plan_.Add(&Of(Access::kRead, 2000, {10, 20, 0, 30, 40, 50}), regions_).ok());
  EXPECT_EQ(TakeAll(),
            (std::vector<uint64_t>{400, 400, 200, 100, 100, 30, 70, 50}));
}

TEST_F(VerbsPlanTest, ReadsAreHashedInOrderOnceTheyHaveSettled) {
  Transfer& first = Of(Access::kRead, 0, {700});
  Transfer& second = Of(Access::kRead, 2000, {100});
  ASSERT_TRUE(plan_.Add(&first, regions_).ok());
  ASSERT_TRUE(plan_.Add(&second, regions_).ok());
  TakeAll();
  plan_.Settle(1);
  plan_.Settle(2);
  EXPECT_FALSE(plan_.HashNext());
  plan_.Settle(0);
  EXPECT_FALSE(plan_.Finished());
  for (int piece = 0; piece < 3; ++piece) EXPECT_TRUE(plan_.HashNext());
  EXPECT_FALSE(plan_.HashNext());
  EXPECT_TRUE(plan_.Finished());
  plan_.Report(absl::InternalError("not done"));
  EXPECT_TRUE(first.status.ok());
  EXPECT_EQ(first.checksum, ChecksumOf(first));
  EXPECT_EQ(second.checksum, ChecksumOf(second));
}

TEST_F(VerbsPlanTest, WritesAreHashedWhileTheyAreUnderWay) {
  Transfer& write = Of(Access::kWrite, 0, {300, 300});
  ASSERT_TRUE(plan_.Add(&write, regions_).ok());
  EXPECT_FALSE(plan_.HashNext());
  TakeAll();
  EXPECT_TRUE(plan_.HashNext());
  EXPECT_TRUE(plan_.HashNext());
  EXPECT_EQ(write.checksum, ChecksumOf(write));
  EXPECT_FALSE(plan_.Finished());
  plan_.Settle(0);
  plan_.Settle(1);
  EXPECT_TRUE(plan_.Finished());
}

TEST_F(VerbsPlanTest, OnlyReadsThatArrivedAreOkWhenABatchFails) {
  Transfer& whole = Of(Access::kRead, 0, {100});
  Transfer& half = Of(Access::kRead, 1000, {800});
  Transfer& refused = Of(Access::kRead, 2000, {100});
  ASSERT_TRUE(plan_.Add(&whole, regions_).ok());
  ASSERT_TRUE(plan_.Add(&half, regions_).ok());
  ASSERT_TRUE(plan_.Add(&refused, regions_).ok());
  TakeAll();
  plan_.Settle(0);
  plan_.Settle(1);
  while (plan_.HashNext()) {
  }
  plan_.Blame(3, absl::PermissionDeniedError("no"));
  plan_.Report(absl::UnavailableError("broken"));
  EXPECT_TRUE(whole.status.ok());
  EXPECT_EQ(half.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(VerbsPlanTest, WritesOfABatchThatFailsAreNotOkThoughTheySettled) {
  Transfer& write = Of(Access::kWrite, 0, {100});
  ASSERT_TRUE(plan_.Add(&write, regions_).ok());
  TakeAll();
  plan_.Settle(0);
  EXPECT_TRUE(plan_.HashNext());
  plan_.Report(absl::UnavailableError("broken"));
  EXPECT_EQ(write.status.code(), absl::StatusCode::kUnavailable);
}

TEST_F(VerbsPlanTest, WhatCannotBeMovedIsNotAdded) {
  Transfer& shorter = Of(Access::kRead, 0, {100});
  shorter.token.extent.size_bytes = 101;
  Transfer& empty = Of(Access::kRead, 0, {});
  Transfer& pushed = Of(Access::kRead, 0, {100});
  pushed.token.pushed = true;
  for (Transfer* const one : {&shorter, &empty, &pushed}) {
    EXPECT_EQ(plan_.Add(one, regions_).code(), absl::StatusCode::kInvalidArgument);
  }
  Transfer& beyond = Of(Access::kRead, 0, {100});
  beyond.token.extent.offset_bytes = kRegionBytes - 99;
  Transfer& wrapped = Of(Access::kRead, 0, {100});
  wrapped.token.extent.offset_bytes = UINT64_MAX - 50;
  Transfer& elsewhere = Of(Access::kRead, 0, {100});
  elsewhere.token.extent.region = RegionId{2};
  for (Transfer* const one : {&beyond, &wrapped, &elsewhere}) {
    EXPECT_EQ(plan_.Add(one, regions_).code(), absl::StatusCode::kPermissionDenied);
  }
  EXPECT_EQ(plan_.Peek(), nullptr);
  EXPECT_TRUE(plan_.Finished());
}

TEST_F(VerbsPlanTest, ClearForgetsTheBatch) {
  ASSERT_TRUE(plan_.Add(&Of(Access::kRead, 0, {500}), regions_).ok());
  ASSERT_NE(plan_.Peek(), nullptr);
  plan_.Take();
  plan_.Clear();
  EXPECT_TRUE(plan_.Finished());
  Transfer& next = Of(Access::kWrite, 100, {50});
  next.want_checksum = false;
  ASSERT_TRUE(plan_.Add(&next, regions_).ok());
  EXPECT_EQ(TakeAll(), std::vector<uint64_t>{50});
  EXPECT_TRUE(plan_.HashNext());
  EXPECT_EQ(next.checksum, 0u);
}

}  // namespace
}  // namespace kvasir
