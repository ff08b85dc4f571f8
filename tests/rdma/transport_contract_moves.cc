// The part of the contract about bytes that arrive, and about tokens that are refused.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "tests/rdma/transport_contract.h"

namespace kvasir {
namespace {

TEST_P(TransportContract, KindsOfBothHalvesAgree) {
  EXPECT_EQ(halves_.server->kind(), halves_.client->kind());
}

TEST_P(TransportContract, ReadsOfAnySizeArriveWithTheirChecksum) {
  const OpenLane lane = Open();
  for (const uint64_t size : {uint64_t{1}, uint64_t{7}, uint64_t{4096}, 64 * kKiB,
                              kMiB + 3, 5 * kMiB}) {
    SCOPED_TRACE(size);
    const Token token = Grant(lane, Access::kRead, size);
    FillPattern(gate_.Bytes(token), size);
    TransferBatch batch(halves_.client.get(), {token});
    Run(lane, batch);
    ASSERT_TRUE(batch[0].status.ok()) << batch[0].status;
    EXPECT_TRUE(SameBytes(batch.local(0), gate_.Bytes(token)));
    EXPECT_EQ(batch[0].checksum, BlockChecksum(batch[0].checksum_seed, batch.local(0)));
  }
  EXPECT_TRUE(lane.lane->usable());
}

TEST_P(TransportContract, WritesOfAnySizeAreVisibleWhenRunReturns) {
  const OpenLane lane = Open();
  for (const uint64_t size : {uint64_t{1}, uint64_t{7}, uint64_t{4096}, 64 * kKiB,
                              kMiB + 3, 5 * kMiB}) {
    SCOPED_TRACE(size);
    const Token token = Grant(lane, Access::kWrite, size);
    TransferBatch batch(halves_.client.get(), {token});
    batch.FillLocals(size);
    Run(lane, batch);
    ASSERT_TRUE(batch[0].status.ok()) << batch[0].status;
    EXPECT_TRUE(SameBytes(batch.local(0), gate_.Bytes(token)));
    EXPECT_EQ(batch[0].checksum, BlockChecksum(batch[0].checksum_seed, batch.local(0)));
  }
}

TEST_P(TransportContract, ChecksumObservedByTheServerIsThatOfTheBlock) {
  const OpenLane lane = Open();
  const Token token = Grant(lane, Access::kWrite, kMiB + 11);
  TransferBatch batch(halves_.client.get(), {token});
  batch.FillLocals(1);
  Run(lane, batch);
  ASSERT_TRUE(batch.AllOk()) << batch.Statuses();
  // A transport whose server does not copy observes nothing.
  const std::optional<uint64_t> observed = gate_.observed_checksum(token.lease);
  const uint64_t expected = BlockChecksum(1000, batch.local(0));
  EXPECT_EQ(observed.value_or(expected), expected);
}

TEST_P(TransportContract, ScatterListsFillAndDrainInOrder) {
  const OpenLane lane = Open();
  for (const uint64_t size : {uint64_t{3}, uint64_t{100}, 2 * kMiB + 1}) {
    for (const size_t slices : {2u, 5u, 40u}) {
      SCOPED_TRACE(testing::Message() << size << " bytes in " << slices);
      const Token read = Grant(lane, Access::kRead, size);
      FillPattern(gate_.Bytes(read), slices);
      TransferBatch reads(halves_.client.get(), {read}, slices);
      Run(lane, reads);
      ASSERT_TRUE(reads.AllOk()) << reads.Statuses();
      EXPECT_TRUE(SameBytes(reads.local(0), gate_.Bytes(read)));

      const Token write = Grant(lane, Access::kWrite, size);
      TransferBatch writes(halves_.client.get(), {write}, slices);
      writes.FillLocals(slices);
      Run(lane, writes);
      ASSERT_TRUE(writes.AllOk()) << writes.Statuses();
      EXPECT_TRUE(SameBytes(writes.local(0), gate_.Bytes(write)));
      gate_.Reset();
    }
  }
}

TEST_P(TransportContract, AFullBatchOfReadsAndOfWritesArrives) {
  const OpenLane lane = Open();
  for (const auto& [count, size] : {std::pair<size_t, uint64_t>{kMaxKeysPerCall, 100},
                                    {64, 64 * kKiB}}) {
    SCOPED_TRACE(count);
    TransferBatch writes(halves_.client.get(), GrantMany(lane, Access::kWrite, count, size));
    writes.FillLocals(count);
    Run(lane, writes);
    ASSERT_TRUE(writes.AllOk()) << writes.Statuses();
    TransferBatch reads(halves_.client.get(), GrantMany(lane, Access::kRead, count, size));
    for (size_t i = 0; i < count; ++i) {
      EXPECT_TRUE(SameBytes(writes.local(i), gate_.Bytes(writes[i].token))) << i;
      FillPattern(gate_.Bytes(reads[i].token), 31 * i);
    }
    Run(lane, reads);
    ASSERT_TRUE(reads.AllOk()) << reads.Statuses();
    for (size_t i = 0; i < count; ++i) {
      EXPECT_TRUE(SameBytes(reads.local(i), gate_.Bytes(reads[i].token))) << i;
    }
    gate_.Reset();
  }
}

TEST_P(TransportContract, WithoutAChecksumTheBytesAreTheSame) {
  const OpenLane lane = Open();
  const Token token = Grant(lane, Access::kRead, 300'000);
  FillPattern(gate_.Bytes(token), 5);
  TransferBatch batch(halves_.client.get(), {token});
  batch[0].want_checksum = false;
  Run(lane, batch);
  ASSERT_TRUE(batch.AllOk()) << batch.Statuses();
  EXPECT_TRUE(SameBytes(batch.local(0), gate_.Bytes(token)));
}

TEST_P(TransportContract, AnEmptyBatchIsDoneAtOnce) {
  const OpenLane lane = Open();
  lane.lane->Run({}, In(kPatience));
  EXPECT_TRUE(lane.lane->usable());
}

TEST_P(TransportContract, LanesRunAtTheSameTime) {
  constexpr size_t kLanes = 6;
  constexpr size_t kRounds = 4;
  std::vector<OpenLane> lanes;
  for (size_t i = 0; i < kLanes; ++i) lanes.push_back(Open(i % 2 == 0 ? kSession : kOtherSession));
  std::vector<size_t> good(kLanes, 0);
  std::vector<std::unique_ptr<Concurrently>> threads;
  for (size_t i = 0; i < kLanes; ++i) {
    threads.push_back(std::make_unique<Concurrently>([&, i] {
      for (size_t round = 0; round < kRounds; ++round) {
        TransferBatch writes(halves_.client.get(),
                             GrantMany(lanes[i], Access::kWrite, 5, 50 * kKiB));
        writes.FillLocals(100 * i + round);
        Run(lanes[i], writes);
        TransferBatch reads(halves_.client.get(),
                            GrantMany(lanes[i], Access::kRead, 5, 50 * kKiB));
        Run(lanes[i], reads);
        bool same = writes.AllOk() && reads.AllOk();
        for (size_t k = 0; k < 5; ++k) {
          same = same && SameBytes(writes.local(k), gate_.Bytes(writes[k].token)) &&
                 SameBytes(reads.local(k), gate_.Bytes(reads[k].token));
        }
        good[i] += same ? 1 : 0;
      }
    }));
  }
  threads.clear();
  EXPECT_EQ(good, std::vector<size_t>(kLanes, kRounds));
}

TEST_P(TransportContract, SizesThatDoNotAddUpMoveNothing) {
  const OpenLane lane = Open();
  for (const Access access : {Access::kRead, Access::kWrite}) {
    TransferBatch batch(halves_.client.get(), GrantMany(lane, access, 3, 5000));
    batch.FillLocals(1);
    const std::span<std::byte> whole = batch.local(1);
    const std::span<std::byte> part = whole.first(4999);
    batch[1].local = std::span(&part, 1);
    const std::vector<std::byte> before(whole.begin(), whole.end());
    Run(lane, batch);
    EXPECT_TRUE(batch[0].status.ok()) << batch[0].status;
    EXPECT_EQ(batch[1].status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(batch[2].status.ok()) << batch[2].status;
    EXPECT_TRUE(SameBytes(whole, before));
    EXPECT_TRUE(AllEqual(gate_.Bytes(batch[1].token), std::byte{0}));
  }
}

// Tokens that one lane must not be served for.
class Refusals {
 public:
  struct Case {
    std::string name;
    Token token;
  };
  Refusals(FakeGate* gate, SessionId session, LaneId lane, Access access)
      : gate_(gate), options_{session, lane, access, kBytes, 0} {}

  std::vector<Case> All() {
    std::vector<Case> cases = {{"other session", With([](auto& o) { o.session.low ^= 1; })},
                               {"other lane", With([](auto& o) { o.lane = LaneId{999}; })},
                               {"ended lease", Ended()},
                               {"longer range", Longer()},
                               {"other access", OtherAccess()},
                               {"empty token", Sealed("")},
                               {"long token", Sealed(std::string(300, 'x'))},
                               {"other epoch", OtherEpoch()}};
    for (const size_t at : {size_t{0}, size_t{12}, size_t{50}, kSealedTokenBytes - 1}) {
      cases.push_back({"forged at byte " + std::to_string(at), Forged(at)});
    }
    return cases;
  }

 private:
  static constexpr uint64_t kBytes = 70'000;

  Token Good() { return gate_->Grant(options_); }
  template <typename Change>
  Token With(Change change) {
    FakeGate::GrantOptions options = options_;
    change(options);
    return gate_->Grant(options);
  }
  Token Ended() {
    const Token token = Good();
    gate_->End(token.lease);
    return token;
  }
  Token Longer() {
    Token token = Good();
    token.extent.size_bytes += 1;
    return token;
  }
  Token OtherAccess() {
    const bool reads = options_.access == Access::kRead;
    Token token =
        With([reads](auto& o) { o.access = reads ? Access::kWrite : Access::kRead; });
    token.access = options_.access;
    return token;
  }
  Token Sealed(std::string sealed) {
    Token token = Good();
    token.sealed = std::move(sealed);
    return token;
  }
  Token OtherEpoch() {
    const Token token = Good();
    return Sealed(TokenSealer(Epoch{77}).Seal({.lease = token.lease,
                                               .session = options_.session,
                                               .lane = options_.lane,
                                               .access = options_.access,
                                               .extent = token.extent,
                                               .generation = 1}));
  }
  Token Forged(size_t at) {
    Token token = Good();
    token.sealed[at] = static_cast<char>(token.sealed[at] ^ 4);
    return token;
  }

  FakeGate* const gate_;
  const FakeGate::GrantOptions options_;
};

TEST_P(TransportContract, RefusedTokensFailAloneInTheirBatch) {
  if (GetParam().one_sided) GTEST_SKIP() << "a NIC knows no tokens";
  const OpenLane lane = Open();
  for (const Access access : {Access::kRead, Access::kWrite}) {
    if (access == Access::kRead && !GetParam().gate_guards_reads) continue;
    for (auto& [name, token] :
         Refusals(&gate_, lane.session, lane.id, access).All()) {
      SCOPED_TRACE(name + (access == Access::kRead ? ", read" : ", write"));
      TransferBatch batch(halves_.client.get(), {Grant(lane, access, 70'000), token,
                                                 Grant(lane, access, 70'000)});
      batch.FillLocals(3);
      Run(lane, batch);
      EXPECT_TRUE(batch[0].status.ok()) << batch[0].status;
      EXPECT_EQ(batch[1].status.code(), absl::StatusCode::kPermissionDenied)
          << batch[1].status;
      EXPECT_TRUE(batch[2].status.ok()) << batch[2].status;
      EXPECT_TRUE(SameBytes(batch.local(2), gate_.Bytes(batch[2].token)));
      if (access == Access::kWrite) {
        EXPECT_TRUE(AllEqual(gate_.Bytes(token), std::byte{0}));
      }
      EXPECT_TRUE(lane.lane->usable());
    }
  }
}

TEST_P(TransportContract, ATokenIsWorthNothingOnAnotherLaneOfItsSession) {
  const OpenLane lane = Open();
  const OpenLane other = Open();
  const Token token = Grant(lane, Access::kWrite, 1000);
  TransferBatch batch(halves_.client.get(), {token});
  batch.FillLocals(1);
  Run(other, batch);
  EXPECT_EQ(batch[0].status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_TRUE(AllEqual(gate_.Bytes(token), std::byte{0}));
  EXPECT_EQ(gate_.observed_checksum(token.lease), std::nullopt);
}

TEST_P(TransportContract, AWriteCanBeRepeatedOnItsToken) {
  const OpenLane lane = Open();
  const Token token = Grant(lane, Access::kWrite, 200'000);
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    TransferBatch batch(halves_.client.get(), {token});
    batch.FillLocals(seed);
    Run(lane, batch);
    ASSERT_TRUE(batch.AllOk()) << batch.Statuses();
    EXPECT_TRUE(SameBytes(batch.local(0), gate_.Bytes(token)));
    const std::optional<uint64_t> observed = gate_.observed_checksum(token.lease);
    EXPECT_EQ(observed.value_or(BlockChecksum(1000, batch.local(0))),
              BlockChecksum(1000, batch.local(0)));
  }
}

}  // namespace
}  // namespace kvasir
