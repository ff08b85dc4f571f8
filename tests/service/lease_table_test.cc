#include "service/lease_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "base/limits.h"
#include "storage/block_store.h"

namespace kvasir {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SessionId kAlice{1, 16};
constexpr SessionId kBob{2, 32};  // in the same shard
constexpr LaneId kLane{5};
constexpr Instant kStart{seconds(100)};
constexpr Instant kExpiry = kStart + seconds(5);

class LeaseTableTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kBlock = 64 * kKiB;

  BlockRef MustStore(std::string_view key, uint64_t size_bytes = kBlock) {
    Reservation made = *store_.Reserve(key, {.size_bytes = size_bytes});
    std::memset(made.bytes().data(), key.back(), size_bytes);
    EXPECT_TRUE(store_.Commit(std::move(made), 1).ok());
    return *store_.Peek(key);
  }
  LeaseTable::Granted MustRead(std::string_view key, LeaseTable::Holder holder = {kAlice, kLane},
                               Instant expiry = kExpiry) {
    return *table_.GrantRead(holder, MustStore(key), expiry);
  }
  LeaseTable::Granted MustWrite(std::string_view key,
                                LeaseTable::Holder holder = {kAlice, kLane},
                                Instant expiry = kExpiry) {
    return *table_.GrantWrite(holder, *store_.Reserve(key, {.size_bytes = kBlock}), expiry);
  }
  absl::Status Admit(const LeaseTable::Granted& granted, Access access,
                     LeaseTable::Holder user = {kAlice, kLane}, uint64_t offset = 0,
                     uint64_t size = kBlock) {
    return table_.Admit(user.session, user.lane, granted.sealed, access, offset, size,
                        [this](std::span<std::byte> bytes) {
                          seen_.assign(reinterpret_cast<char*>(bytes.data()), bytes.size());
                          return absl::OkStatus();
                        });
  }
  uint64_t FreeBytes() const {
    return arena_.usage().capacity_bytes - arena_.usage().allocated_bytes;
  }

  const std::unique_ptr<Region> region_ =
      *Region::Map({.id = RegionId(1), .size_bytes = 4 * kMiB});
  Arena arena_{region_.get()};
  BlockStore store_{&arena_, {}};
  TokenSealer sealer_{Epoch{9}};
  LeaseTable table_{&sealer_};
  std::string seen_;
};

TEST_F(LeaseTableTest, AReadIsAdmittedToItsBytesAndRange) {
  const auto granted = MustRead("k");
  ASSERT_TRUE(Admit(granted, Access::kRead, {kAlice, kLane}, 100, 50).ok());
  EXPECT_EQ(seen_, std::string(50, 'k'));
  EXPECT_EQ(table_.counts().reads, 1u);
  EXPECT_EQ(table_.LeasesOf(kAlice), 1u);
}

TEST_F(LeaseTableTest, TheTokenSaysWhatWasGranted) {
  BlockRef block = MustStore("k");
  const Extent extent = block.extent();
  const uint64_t generation = block.generation();
  const auto granted = *table_.GrantRead({kAlice, kLane}, std::move(block), kExpiry);
  const TokenClaims claims = *sealer_.Open(granted.sealed);
  EXPECT_EQ(claims.lease, granted.lease);
  EXPECT_EQ(claims.session, kAlice);
  EXPECT_EQ(claims.lane, kLane);
  EXPECT_EQ(claims.access, Access::kRead);
  EXPECT_EQ(claims.extent, extent);
  EXPECT_EQ(claims.generation, generation);
  EXPECT_EQ(claims.expiry, kExpiry);
}

TEST_F(LeaseTableTest, ATokenIsRefusedToAnotherSessionLaneOperationOrRange) {
  const auto read = MustRead("r");
  const auto write = MustWrite("w");
  const auto denied = absl::StatusCode::kPermissionDenied;
  EXPECT_EQ(Admit(read, Access::kRead, {kBob, kLane}).code(), denied);
  EXPECT_EQ(Admit(read, Access::kRead, {kAlice, LaneId{6}}).code(), denied);
  EXPECT_EQ(Admit(read, Access::kWrite).code(), denied);
  EXPECT_EQ(Admit(write, Access::kRead).code(), denied);
  EXPECT_EQ(Admit(read, Access::kRead, {kAlice, kLane}, 1, kBlock).code(), denied);
  EXPECT_EQ(Admit(write, Access::kWrite, {kAlice, kLane}, kBlock, 1).code(), denied);
  EXPECT_EQ(Admit(read, Access::kRead, {kAlice, kLane}, UINT64_MAX, 2).code(), denied);
  EXPECT_EQ(Admit(write, Access::kWrite, {kAlice, kLane}, 2, UINT64_MAX).code(), denied);
  EXPECT_EQ(seen_, "");
}

TEST_F(LeaseTableTest, ATokenOfAnotherBootIsRefused) {
  const auto granted = MustRead("k");
  TokenClaims claims = *sealer_.Open(granted.sealed);
  const TokenSealer reborn(Epoch{10});
  EXPECT_EQ(Admit({granted.lease, reborn.Seal(claims)}, Access::kRead).code(),
            absl::StatusCode::kPermissionDenied);
}

TEST_F(LeaseTableTest, NoMutationOfATokenIsAdmitted) {
  const std::vector<std::string> tokens{MustRead("r1").sealed, MustRead("r2").sealed,
                                        MustWrite("w1").sealed};
  std::mt19937_64 random(20260101);
  const auto below = [&random](size_t bound) { return random() % bound; };
  for (int n = 0; n < 100'000; ++n) {
    std::string sealed = tokens[below(tokens.size())];
    switch (below(4)) {
      case 0: sealed[below(sealed.size())] ^= char(1 << below(8)); break;
      case 1: sealed.resize(below(2 * sealed.size()), '\0'); break;
      case 2: {  // Spliced from two that are good.
        const size_t cut = below(sealed.size());
        sealed = sealed.substr(0, cut) + tokens[below(tokens.size())].substr(cut);
        break;
      }
      case 3: for (char& c : sealed) c = char(random()); break;
    }
    const bool good = std::count(tokens.begin(), tokens.end(), sealed) > 0;
    const auto access = below(2) == 0 ? Access::kRead : Access::kWrite;
    if (good) continue;
    ASSERT_EQ(Admit({LeaseId{}, sealed}, access, {kAlice, kLane}, 0, 1).code(),
              absl::StatusCode::kPermissionDenied)
        << "mutation " << n;
  }
}

TEST_F(LeaseTableTest, AReleasedReadAdmitsNothingAndFreesTheBlock) {
  const auto granted = MustRead("k");
  ASSERT_TRUE(store_.Remove("k").ok());
  EXPECT_EQ(store_.stats().unbound_blocks, 1u);
  table_.Release(kAlice, std::vector<uint64_t>{uint64_t(granted.lease)});
  EXPECT_EQ(store_.stats().unbound_blocks, 0u);
  EXPECT_EQ(Admit(granted, Access::kRead).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(LeaseTableTest, ReleaseIgnoresUnknownIdsWritesAndOtherSessionsLeases) {
  const auto read = MustRead("r");
  const auto write = MustWrite("w");
  const std::vector<uint64_t> ids{0, 12345, uint64_t(read.lease), uint64_t(write.lease)};
  table_.Release(kBob, ids);
  EXPECT_EQ(table_.counts().reads, 1u);
  table_.Release(kAlice, ids);
  table_.Release(kAlice, ids);
  EXPECT_EQ(table_.counts().reads, 0u);
  EXPECT_EQ(table_.counts().writes, 1u);
}

TEST_F(LeaseTableTest, ACopyOfAReadKeepsTheBlockThoughItsLeaseEnds) {
  const auto granted = MustRead("k");
  ASSERT_TRUE(store_.Remove("k").ok());
  const absl::Status status = table_.Admit(
      kAlice, kLane, granted.sealed, Access::kRead, 0, kBlock, [&](std::span<std::byte>) {
        table_.Release(kAlice, std::vector<uint64_t>{uint64_t(granted.lease)});
        EXPECT_EQ(store_.stats().unbound_blocks, 1u);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(store_.stats().unbound_blocks, 0u);
}

TEST_F(LeaseTableTest, TheStatusOfTheCopyIsReturned) {
  const auto granted = MustRead("k");
  EXPECT_EQ(table_
                .Admit(kAlice, kLane, granted.sealed, Access::kRead, 0, 1,
                       [](std::span<std::byte>) { return absl::DataLossError("socket"); })
                .code(),
            absl::StatusCode::kDataLoss);
}

TEST_F(LeaseTableTest, AWriteIsRedeemedOnceByItsHolder) {
  const auto granted = MustWrite("k");
  const auto write = table_.Redeem({kAlice, kLane}, granted.lease, kStart);
  ASSERT_TRUE(write.ok());
  EXPECT_EQ(write->lease, granted.lease);
  EXPECT_EQ(write->reservation.key(), "k");
  EXPECT_FALSE(write->observed_checksum.has_value());
  EXPECT_EQ(table_.Redeem({kAlice, kLane}, granted.lease, kStart).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Admit(granted, Access::kWrite).code(), absl::StatusCode::kPermissionDenied);
}

TEST_F(LeaseTableTest, AWriteIsRefusedToOthersAndAReadCannotBeRedeemed) {
  const auto write = MustWrite("w");
  const auto read = MustRead("r");
  EXPECT_EQ(table_.Redeem({kBob, kLane}, write.lease, kStart).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(table_.Redeem({kAlice, LaneId{6}}, write.lease, kStart).status().code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(table_.Redeem({kAlice, kLane}, read.lease, kStart).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(table_.counts().writes, 1u);
  EXPECT_EQ(table_.counts().reads, 1u);
}

TEST_F(LeaseTableTest, AWriteCannotBeRedeemedAtItsExpiryAndWaitsForExpire) {
  const auto granted = MustWrite("k");
  EXPECT_EQ(table_.Redeem({kAlice, kLane}, granted.lease, kExpiry).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(table_.counts().writes, 1u);
  EXPECT_EQ(table_.Expire(kExpiry).writes.size(), 1u);
}

TEST_F(LeaseTableTest, AWriteCannotBeRedeemedWhileBytesArrive) {
  const auto granted = MustWrite("k");
  const absl::Status status = table_.Admit(
      kAlice, kLane, granted.sealed, Access::kWrite, 0, kBlock, [&](std::span<std::byte>) {
        EXPECT_EQ(table_.Redeem({kAlice, kLane}, granted.lease, kStart).status().code(),
                  absl::StatusCode::kFailedPrecondition);
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok());
  EXPECT_TRUE(table_.Redeem({kAlice, kLane}, granted.lease, kStart).ok());
}

TEST_F(LeaseTableTest, AnExpiredWriteKeepsItsMemoryWhileACopyIsUnderWay) {
  const auto granted = MustWrite("k");
  const uint64_t free_bytes = FreeBytes();
  LeaseTable::Taken taken;
  const absl::Status status = table_.Admit(
      kAlice, kLane, granted.sealed, Access::kWrite, 0, kBlock, [&](std::span<std::byte> to) {
        taken = table_.Expire(kExpiry);
        EXPECT_EQ(FreeBytes(), free_bytes);
        std::memset(to.data(), 'x', to.size());
        return absl::OkStatus();
      });
  EXPECT_TRUE(status.ok());
  ASSERT_EQ(taken.writes.size(), 1u);
  taken.writes.clear();
  EXPECT_EQ(FreeBytes(), free_bytes + kBlock);
}

TEST_F(LeaseTableTest, TheObservedChecksumTravelsWithTheWriteAndANewCopyForgetsIt) {
  const auto first = MustWrite("a");
  ASSERT_TRUE(Admit(first, Access::kWrite).ok());
  table_.SetObservedChecksum(first.lease, 77);
  EXPECT_EQ(table_.Redeem({kAlice, kLane}, first.lease, kStart)->observed_checksum, 77u);
  const auto second = MustWrite("b");
  table_.SetObservedChecksum(second.lease, 77);
  ASSERT_TRUE(Admit(second, Access::kWrite, {kAlice, kLane}, 0, 1).ok());
  EXPECT_EQ(table_.Redeem({kAlice, kLane}, second.lease, kStart)->observed_checksum,
            std::nullopt);
}

TEST_F(LeaseTableTest, TheChecksumSeedIsTheKeysWhileTheLeaseLives) {
  const auto granted = MustWrite("k");
  EXPECT_EQ(table_.ChecksumSeedOf(granted.lease), ChecksumSeed("k"));
  EXPECT_EQ(table_.ChecksumSeedOf(LeaseId{999}), 0u);
  (void)table_.EndLane({kAlice, kLane});
  EXPECT_EQ(table_.ChecksumSeedOf(granted.lease), 0u);
}

TEST_F(LeaseTableTest, ExpiredWriteIsReturnedForFencing) {
  MustWrite("soon", {kAlice, kLane}, kStart + milliseconds(10));
  MustWrite("late", {kAlice, kLane}, kStart + milliseconds(20));
  MustRead("read", {kBob, kLane}, kStart + milliseconds(10));
  EXPECT_TRUE(table_.Expire(kStart + milliseconds(9)).writes.empty());
  LeaseTable::Taken taken = table_.Expire(kStart + milliseconds(10));
  ASSERT_EQ(taken.writes.size(), 1u);
  EXPECT_EQ(taken.writes[0].reservation.key(), "soon");
  EXPECT_EQ(taken.writes[0].holder.session, kAlice);
  EXPECT_EQ(taken.writes[0].holder.lane, kLane);
  ASSERT_EQ(taken.reads.size(), 1u);
  EXPECT_EQ(taken.reads[0].key(), "read");
  EXPECT_EQ(table_.counts().writes, 1u);
}

TEST_F(LeaseTableTest, LeasesExpireInTheOrderOfGrantingWhateverTheirSession) {
  for (int n = 0; n < 20; ++n) {
    const SessionId session{uint64_t(n), uint64_t(n * 7)};
    MustWrite("k" + std::to_string(n), {session, LaneId(n + 1)});
  }
  const LeaseTable::Taken taken = table_.Expire(kExpiry);
  ASSERT_EQ(taken.writes.size(), 20u);
  for (int n = 0; n < 20; ++n) EXPECT_EQ(taken.writes[n].holder.lane, LaneId(n + 1));
}

TEST_F(LeaseTableTest, TheEndOfALaneTakesWhatWasGrantedOnItAlone) {
  MustRead("r1");
  MustWrite("w1");
  MustRead("r2", {kAlice, LaneId{6}});
  MustRead("r3", {kBob, kLane});
  ASSERT_TRUE(table_.Pin(kAlice, "owner", *store_.Peek("r1"), kExpiry).ok());
  const LeaseTable::Taken taken = table_.EndLane({kAlice, kLane});
  EXPECT_EQ(taken.reads.size(), 1u);
  EXPECT_EQ(taken.writes.size(), 1u);
  EXPECT_TRUE(taken.pins.empty());
  EXPECT_EQ(table_.counts().reads, 2u);
  EXPECT_EQ(table_.counts().pins, 1u);
}

TEST_F(LeaseTableTest, TheEndOfASessionTakesAllItHoldsWithItsPins) {
  MustRead("r1");
  MustWrite("w1", {kAlice, LaneId{6}});
  MustRead("r3", {kBob, kLane});
  ASSERT_TRUE(table_.Pin(kAlice, "owner", *store_.Peek("r1"), kExpiry).ok());
  ASSERT_TRUE(table_.Pin(kBob, "owner", *store_.Peek("r1"), kExpiry).ok());
  ASSERT_TRUE(table_.Pin(SessionId{}, "owner", *store_.Peek("r1"), kExpiry).ok());
  const LeaseTable::Taken taken = table_.EndSession(kAlice);
  EXPECT_EQ(taken.reads.size(), 1u);
  EXPECT_EQ(taken.writes.size(), 1u);
  EXPECT_EQ(taken.pins.size(), 1u);
  EXPECT_EQ(table_.LeasesOf(kAlice), 0u);
  EXPECT_EQ(table_.LeasesOf(kBob), 1u);
  EXPECT_EQ(table_.counts().pins, 2u);
}

TEST_F(LeaseTableTest, ARevokedWriteIsTakenWhateverItsLaneAndTime) {
  const auto write = MustWrite("w");
  const auto read = MustRead("r");
  EXPECT_FALSE(table_.Revoke(kBob, write.lease).has_value());
  EXPECT_FALSE(table_.Revoke(kAlice, read.lease).has_value());
  const auto taken = table_.Revoke(kAlice, write.lease);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->holder.lane, kLane);
  EXPECT_FALSE(table_.Revoke(kAlice, write.lease).has_value());
}

TEST_F(LeaseTableTest, ASessionHoldsABoundedNumberOfLeases) {
  const BlockRef block = MustStore("k");
  std::vector<uint64_t> ids;
  for (size_t n = 0; n < kMaxLeasesPerSession; ++n) {
    ids.push_back(uint64_t(table_.GrantRead({kAlice, kLane}, block.Share(), kExpiry)->lease));
  }
  EXPECT_EQ(table_.GrantRead({kAlice, kLane}, block.Share(), kExpiry).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(table_.GrantRead({kBob, kLane}, block.Share(), kExpiry).ok());
  table_.Release(kAlice, std::span(ids).first(1));
  EXPECT_TRUE(table_.GrantRead({kAlice, kLane}, block.Share(), kExpiry).ok());
}

}  // namespace
}  // namespace kvasir
