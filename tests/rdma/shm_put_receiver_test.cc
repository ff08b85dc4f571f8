#include "rdma/shm_put_receiver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/executor.h"
#include "base/fd.h"
#include "tests/support/fake_gate.h"

namespace kvasir {
namespace {

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr LaneId kLane{7};
constexpr uint64_t kRingBytes = 256 * kKiB;
constexpr uint64_t kSeed = 99;
constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();

class ShmPutReceiverTest : public testing::Test {
 protected:
  ShmPutReceiverTest()
      : memfd_(*CreateShmRing(kRingBytes)),
        ring_(*ShmMapping::Map(memfd_.get(), {.size_bytes = kRingBytes,
                                              .mode = ShmMapping::Mode::kReadWrite})),
        receiver_({.session = kSession, .lane = kLane, .gate = &gate_},
                  *ShmMapping::Map(memfd_.get(), {.size_bytes = kRingBytes})) {
    for (size_t i = 0; i < kRingBytes; ++i) {
      ring_.writable_bytes()[i] = static_cast<std::byte>(1 + i % 251);
    }
  }
  Token Grant(uint64_t size_bytes) {
    return gate_.Grant({.session = kSession,
                        .lane = kLane,
                        .access = Access::kWrite,
                        .size_bytes = size_bytes,
                        .checksum_seed = kSeed});
  }
  static ShmPut Put(const Token& token, uint64_t block_offset, uint64_t ring_offset,
                    uint32_t length) {
    return {.sequence = 1,
            .block_bytes = token.extent.size_bytes,
            .block_offset_bytes = block_offset,
            .ring_offset_bytes = ring_offset,
            .length_bytes = length,
            .sealed = token.sealed};
  }
  bool Untouched() const {
    const auto bytes = gate_.region().bytes();
    return std::all_of(bytes.begin(), bytes.end(),
                       [](std::byte byte) { return byte == std::byte{0}; });
  }

  FakeGate gate_{4 * kMiB};
  const UniqueFd memfd_;
  const ShmMapping ring_;  // the client's
  ShmPutReceiver receiver_;
};

TEST_F(ShmPutReceiverTest, CopiesPiecesAndTellsTheChecksumAfterTheLast) {
  const Token token = Grant(1000);
  ASSERT_TRUE(receiver_.Receive(Put(token, 0, 500, 400)).ok());
  EXPECT_EQ(gate_.observed_checksum(token.lease), std::nullopt);
  EXPECT_EQ(receiver_.blocks_total(), 0u);
  ASSERT_TRUE(receiver_.Receive(Put(token, 400, 100, 600)).ok());
  const auto bytes = gate_.Bytes(token);
  EXPECT_EQ(std::memcmp(bytes.data(), ring_.bytes().data() + 500, 400), 0);
  EXPECT_EQ(std::memcmp(bytes.data() + 400, ring_.bytes().data() + 100, 600), 0);
  EXPECT_EQ(gate_.observed_checksum(token.lease), BlockChecksum(kSeed, bytes));
  EXPECT_EQ(receiver_.blocks_total(), 1u);
}

TEST_F(ShmPutReceiverTest, NumbersThatLeaveTheRingOrTheLimitsAreMalformed) {
  const Token token = Grant(kRingBytes + 1);
  const auto length = static_cast<uint32_t>(kRingBytes);
  const std::vector<ShmPut> hostile = {
      Put(token, 0, 0, 0),
      Put(token, 0, 0, length + 1),
      Put(token, 0, 1, length),
      Put(token, 0, kRingBytes, 1),
      Put(token, 0, kHuge, 1),
      Put(token, 0, kHuge - 9, 10),
      Put(token, 0, 0, std::numeric_limits<uint32_t>::max()),
      Put(token, kMaxBlockBytes + 1, 0, 1),
      Put(token, kHuge, 0, 1),
      Put(token, kHuge - 9, 0, 10),
  };
  for (const ShmPut& put : hostile) {
    SCOPED_TRACE(testing::Message() << put.block_offset_bytes << ", "
                                    << put.ring_offset_bytes << ", " << put.length_bytes);
    EXPECT_TRUE(absl::IsInvalidArgument(receiver_.Receive(put)));
  }
  EXPECT_TRUE(Untouched());
  EXPECT_EQ(gate_.admitted(), 0u);
}

TEST_F(ShmPutReceiverTest, PiecesOutOfOrderAreRefused) {
  const Token token = Grant(1000);
  const Token other = Grant(1000);
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(Put(token, 400, 0, 600))));
  ASSERT_TRUE(receiver_.Receive(Put(token, 0, 0, 400)).ok());
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(Put(other, 400, 0, 600))));
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(Put(token, 400, 0, 600))))
      << "the refusal before it ends the block";
  EXPECT_EQ(gate_.observed_checksum(token.lease), std::nullopt);
  for (const uint64_t wrong : {399, 401, 200}) {
    ASSERT_TRUE(receiver_.Receive(Put(token, 0, 0, 400)).ok());
    EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(Put(token, wrong, 0, 1))));
  }
}

TEST_F(ShmPutReceiverTest, ABlockMayStartOver) {
  const Token token = Grant(1000);
  ASSERT_TRUE(receiver_.Receive(Put(token, 0, 0, 400)).ok());
  ASSERT_TRUE(receiver_.Receive(Put(token, 0, 7, 1000)).ok());
  EXPECT_EQ(gate_.observed_checksum(token.lease),
            BlockChecksum(kSeed, gate_.Bytes(token)));
}

TEST_F(ShmPutReceiverTest, AnEndedLeaseRefusesTheRestOfItsBlock) {
  const Token token = Grant(1000);
  ASSERT_TRUE(receiver_.Receive(Put(token, 0, 0, 400)).ok());
  gate_.End(token.lease);
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(Put(token, 400, 0, 600))));
  EXPECT_EQ(gate_.Bytes(token)[400], std::byte{0});
  EXPECT_EQ(receiver_.blocks_total(), 0u);
}

TEST_F(ShmPutReceiverTest, WhatIsNoTokenOfThisLaneMovesNothing) {
  const Token token = Grant(1000);
  ShmPut put = Put(token, 0, 0, 1000);
  put.sealed = "not a token";
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(put)));
  put = Put(token, 0, 0, 1000);
  put.block_bytes = 1001;
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(put)));
  std::string forged = token.sealed;
  forged.back() = static_cast<char>(forged.back() ^ 1);
  put = Put(token, 0, 0, 1000);
  put.sealed = forged;
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(put)));
  const Token read = gate_.Grant(
      {.session = kSession, .lane = kLane, .access = Access::kRead, .size_bytes = 1000});
  EXPECT_TRUE(absl::IsPermissionDenied(receiver_.Receive(Put(read, 0, 0, 1000))));
  EXPECT_TRUE(Untouched());
}

// A hostile client goes on writing the ring while the server copies from it. Whatever
// lands, the checksum must be that of what landed.
TEST_F(ShmPutReceiverTest, TheChecksumIsThatOfTheCopyWhateverTheRingDoes) {
  std::atomic<int> rounds{0};  // Paces the loop below; orders nothing.
  Ticker hostile("test-hostile", std::chrono::milliseconds(0), [&] {
    std::memset(ring_.writable_bytes().data(), ++rounds, kRingBytes);
  });
  const Token token = Grant(kRingBytes);
  while (rounds < 2000) {
    ASSERT_TRUE(receiver_.Receive(Put(token, 0, 0, kRingBytes)).ok());
    ASSERT_EQ(gate_.observed_checksum(token.lease),
              BlockChecksum(kSeed, gate_.Bytes(token)));
  }
}

}  // namespace
}  // namespace kvasir
