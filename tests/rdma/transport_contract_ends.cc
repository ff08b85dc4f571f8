// The part of the contract about what ends: deadlines, fences, peers and lanes.
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tests/rdma/transport_contract.h"

namespace kvasir {
namespace {

constexpr std::byte kPoison{0xdb};
constexpr std::chrono::milliseconds kShort{30};
// Long enough for some of a batch to move.
constexpr std::chrono::milliseconds kCut{100};

void Poison(std::span<std::byte> bytes) {
  std::memset(bytes.data(), std::to_integer<int>(kPoison), bytes.size());
}

bool Failed(const Transfer& transfer, absl::StatusCode code) {
  return transfer.status.code() == code;
}

TEST_P(TransportContract, ALateReadLeavesLocalAlone) {
  const OpenLane lane = Open();
  TransferBatch batch(halves_.client.get(), GrantMany(lane, Access::kRead, 4, kMiB));
  loops_->Pause();
  lane.lane->Run(batch.transfers(), In(kShort));
  if (GetParam().gate_guards_reads) {
    EXPECT_TRUE(Failed(batch[0], absl::StatusCode::kDeadlineExceeded)) << batch.Statuses();
    EXPECT_FALSE(lane.lane->usable());
  }
  Poison(batch.memory());
  loops_->Resume();
  FenceAndWait(lane.session, lane.id, FenceScope::kAll);
  EXPECT_TRUE(AllEqual(batch.memory(), kPoison));
}

TEST_P(TransportContract, AReadCutHalfWayByItsDeadlineLeavesLocalAlone) {
  const OpenLane lane = Open();
  TransferBatch batch(halves_.client.get(), GrantMany(lane, Access::kRead, 8, 2 * kMiB));
  loops_->PauseOnce([this] { return gate_.admitted() >= 3; });
  lane.lane->Run(batch.transfers(), In(kCut));
  if (GetParam().gate_guards_reads) {
    EXPECT_TRUE(Failed(batch[7], absl::StatusCode::kDeadlineExceeded)) << batch.Statuses();
  }
  Poison(batch.memory());
  loops_->Resume();
  FenceAndWait(lane.session, lane.id, FenceScope::kAll);
  EXPECT_TRUE(AllEqual(batch.memory(), kPoison));
}

// Local memory belongs to the caller again when Run returns: what the caller puts there
// next must not reach the server.
TEST_P(TransportContract, ALateWriteReadsNothingMoreFromLocal) {
  const OpenLane lane = Open();
  for (const size_t admitted : {size_t{0}, size_t{3}}) {
    SCOPED_TRACE(admitted);
    const OpenLane late = Open();
    const uint64_t before = gate_.admitted();
    TransferBatch batch(halves_.client.get(), GrantMany(late, Access::kWrite, 8, 2 * kMiB));
    loops_->PauseOnce([this, before, admitted] {
      return gate_.admitted() >= before + admitted;
    });
    late.lane->Run(batch.transfers(), In(kCut));
    if (!GetParam().one_sided) {
      EXPECT_TRUE(Failed(batch[7], absl::StatusCode::kDeadlineExceeded)) << batch.Statuses();
      EXPECT_FALSE(late.lane->usable());
    }
    Poison(batch.memory());
    loops_->Resume();
    FenceAndWait(late.session, late.id, FenceScope::kAll);
    for (const Transfer& transfer : batch.transfers()) {
      const std::span<std::byte> bytes = gate_.Bytes(transfer.token);
      EXPECT_EQ(std::memchr(bytes.data(), std::to_integer<int>(kPoison), bytes.size()),
                nullptr);
    }
    gate_.Reset();
    std::memset(gate_.region().bytes().data(), 0, gate_.region().bytes().size());
  }
  EXPECT_TRUE(lane.lane->usable());
}

TEST_P(TransportContract, AnUnusableLaneMovesNothing) {
  const OpenLane lane = Open();
  loops_->Pause();
  TransferBatch late(halves_.client.get(), {Grant(lane, Access::kWrite, kMiB)});
  lane.lane->Run(late.transfers(),
                 In(GetParam().one_sided ? std::chrono::milliseconds(0) : kShort));
  loops_->Resume();
  TransferBatch next(halves_.client.get(), {Grant(lane, Access::kWrite, 100)});
  next.FillLocals(1);
  Run(lane, next);
  EXPECT_TRUE(Failed(next[0], absl::StatusCode::kUnavailable)) << next.Statuses();
  EXPECT_TRUE(AllEqual(gate_.Bytes(next[0].token), std::byte{0}));
}

TEST_P(TransportContract, AFenceOfWhatIsUnknownIsDoneAtOnce) {
  const OpenLane lane = Open();
  loops_->Pause();
  for (const FenceTarget& target :
       {FenceTarget{.session = kOtherSession}, FenceTarget{.session = kSession, .lane = LaneId{99}},
        FenceTarget{.session = kOtherSession, .lane = lane.id},
        FenceTarget{.session = kSession, .lane = LaneId{99}, .scope = FenceScope::kWrites}}) {
    bool done = false;
    halves_.server->Fence(target, [&done] { done = true; });
    EXPECT_TRUE(done);
  }
  loops_->Resume();
  TransferBatch batch(halves_.client.get(), {Grant(lane, Access::kRead, 100)});
  Run(lane, batch);
  EXPECT_TRUE(batch.AllOk()) << batch.Statuses();
}

TEST_P(TransportContract, NothingLandsAfterAFenceIsDone) {
  for (const FenceScope scope : {FenceScope::kWrites, FenceScope::kAll}) {
    for (const bool whole_session : {false, true}) {
      SCOPED_TRACE(testing::Message() << "scope " << static_cast<int>(scope)
                                      << (whole_session ? ", session" : ", lane"));
      gate_.Reset();
      const OpenLane lane = Open();
      TransferBatch batch(halves_.client.get(), GrantMany(lane, Access::kWrite, 8, 2 * kMiB));
      batch.FillLocals(1);
      const std::unique_ptr<Concurrently> run = RunUntilCut(lane, batch);
      absl::Notification done;
      Fence(lane.session, whole_session ? LaneId{} : lane.id, scope, &done);
      loops_->Resume();
      ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
      // The memory belongs to others now. The leases are still live in the gate: the
      // fence must hold by itself.
      Poison(gate_.region().bytes());
      run->Join();
      EXPECT_FALSE(batch.AllOk());
      EXPECT_FALSE(batch[7].status.ok());
      TransferBatch again(halves_.client.get(), GrantMany(lane, Access::kWrite, 1, kMiB));
      Run(lane, again);
      EXPECT_FALSE(again[0].status.ok());
      FenceAndWait(lane.session, LaneId{}, FenceScope::kAll);
      EXPECT_TRUE(AllEqual(gate_.region().bytes(), kPoison));
    }
  }
}

TEST_P(TransportContract, AFenceIsNeverDoneWhileACopyIsUnderWay) {
  if (halves_.server->loops() == 0 || GetParam().one_sided) {
    GTEST_SKIP() << "copies in no loop";
  }
  const OpenLane lane = Open();
  TransferBatch batch(halves_.client.get(), {Grant(lane, Access::kWrite, 4 * kMiB)});
  absl::Notification done;
  bool done_early = false;
  gate_.OnAdmit([&] {
    if (done.HasBeenNotified()) return;
    Concurrently fence([&] { Fence(lane.session, lane.id, FenceScope::kWrites, &done); });
    fence.Join();
    done_early = done.HasBeenNotified();
    gate_.OnAdmit(nullptr);
  });
  Run(lane, batch);
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_FALSE(done_early);
}

TEST_P(TransportContract, AFenceOfWritesSparesTheReadsOfTheLane) {
  if (!GetParam().write_fence_spares_reads) GTEST_SKIP();
  const OpenLane lane = Open();
  FenceAndWait(lane.session, lane.id, FenceScope::kWrites);
  TransferBatch reads(halves_.client.get(), GrantMany(lane, Access::kRead, 3, 100 * kKiB));
  for (const Transfer& transfer : reads.transfers()) {
    FillPattern(gate_.Bytes(transfer.token), 8);
  }
  Run(lane, reads);
  ASSERT_TRUE(reads.AllOk()) << reads.Statuses();
  EXPECT_TRUE(SameBytes(reads.local(2), gate_.Bytes(reads[2].token)));
  TransferBatch write(halves_.client.get(), {Grant(lane, Access::kWrite, 100 * kKiB)});
  write.FillLocals(1);
  Run(lane, write);
  EXPECT_TRUE(Failed(write[0], absl::StatusCode::kUnavailable)) << write.Statuses();
  EXPECT_FALSE(lane.lane->usable());
  EXPECT_TRUE(AllEqual(gate_.Bytes(write[0].token), std::byte{0}));
}

TEST_P(TransportContract, AFenceOfALaneSparesOtherLanes) {
  const OpenLane fenced = Open();
  const OpenLane sibling = Open();
  const OpenLane stranger = Open(kOtherSession);
  FenceAndWait(fenced.session, fenced.id, FenceScope::kAll);
  EXPECT_EQ(halves_.server->stats().lanes, 2u);
  for (const OpenLane* lane : {&sibling, &stranger}) {
    TransferBatch batch(halves_.client.get(), {Grant(*lane, Access::kWrite, 5000)});
    Run(*lane, batch);
    EXPECT_TRUE(batch.AllOk()) << batch.Statuses();
  }
  FenceAndWait(kSession, LaneId{}, FenceScope::kAll);
  TransferBatch batch(halves_.client.get(), {Grant(stranger, Access::kWrite, 5000)});
  Run(stranger, batch);
  EXPECT_TRUE(batch.AllOk()) << batch.Statuses();
}

TEST_P(TransportContract, AFencedLaneIsGone) {
  const OpenLane lane = Open();
  EXPECT_EQ(halves_.server->stats().lanes, 1u);
  FenceAndWait(lane.session, lane.id, FenceScope::kAll);
  EXPECT_EQ(halves_.server->stats().lanes, 0u);
  TransferBatch batch(halves_.client.get(), {Grant(lane, Access::kWrite, 5000)});
  batch.FillLocals(1);
  Run(lane, batch);
  EXPECT_TRUE(Failed(batch[0], absl::StatusCode::kUnavailable)) << batch.Statuses();
  EXPECT_FALSE(lane.lane->usable());
  EXPECT_TRUE(AllEqual(gate_.Bytes(batch[0].token), std::byte{0}));
}

TEST_P(TransportContract, AServerThatGoesMakesWritesUnavailable) {
  const OpenLane lane = Open();
  TransferBatch batch(halves_.client.get(), GrantMany(lane, Access::kWrite, 8, 2 * kMiB));
  batch.FillLocals(1);
  const Instant start = Clock::Real()->Now();
  const std::unique_ptr<Concurrently> run = RunUntilCut(lane, batch);
  KillServer();
  run->Join();
  EXPECT_TRUE(Failed(batch[7], absl::StatusCode::kUnavailable)) << batch.Statuses();
  EXPECT_LT(Clock::Real()->Now() - start, kPatience / 2);
  EXPECT_FALSE(lane.lane->usable());
}

TEST_P(TransportContract, AServerThatIsGoneCannotBeConnectedTo) {
  std::string offer;
  {
    const absl::StatusOr<std::unique_ptr<Lane>> lane = halves_.client->Connect(
        [&](std::string_view hello) {
          absl::StatusOr<std::string> made =
              halves_.server->Accept(kSession, LaneId{1}, hello);
          if (made.ok()) offer = *made;
          return made;
        },
        In(kPatience));
    ASSERT_TRUE(lane.ok()) << lane.status();
  }
  KillServer();
  const absl::StatusOr<std::unique_ptr<Lane>> lane = halves_.client->Connect(
      [&](std::string_view) -> absl::StatusOr<std::string> { return offer; }, In(kPatience));
  EXPECT_EQ(lane.status().code(), absl::StatusCode::kUnavailable) << lane.status();
}

TEST_P(TransportContract, ARendezvousThatFailsIsPassedOn) {
  const absl::StatusOr<std::unique_ptr<Lane>> lane = halves_.client->Connect(
      [](std::string_view) -> absl::StatusOr<std::string> {
        return absl::ResourceExhaustedError("no more lanes");
      },
      In(kPatience));
  EXPECT_EQ(lane.status(), absl::ResourceExhaustedError("no more lanes"));
}

TEST_P(TransportContract, AnOfferThatIsNoneIsRefused) {
  for (const std::string& offer : {std::string(), std::string(kMaxEndpointBytes, 'o')}) {
    const absl::StatusOr<std::unique_ptr<Lane>> lane = halves_.client->Connect(
        [&](std::string_view) -> absl::StatusOr<std::string> { return offer; },
        In(kPatience));
    EXPECT_FALSE(lane.ok());
  }
}

TEST_P(TransportContract, AHelloThatIsNoneIsRefused) {
  for (const std::string& hello : {std::string(), std::string("hello"),
                                   std::string(kMaxEndpointBytes + 1, 'h')}) {
    const absl::StatusOr<std::string> offer =
        halves_.server->Accept(kSession, LaneId{1}, hello);
    EXPECT_EQ(offer.status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(halves_.server->stats().lanes, 0u);
}

TEST_P(TransportContract, LanesAndFilesReturnToTheStartAfterChurn) {
  { const OpenLane warm_up = Open(); }
  FenceAndWait(kSession, LaneId{}, FenceScope::kAll);
  const size_t files = OpenFileCount();
  for (int round = 0; round < 20; ++round) {
    std::vector<OpenLane> lanes;
    for (int i = 0; i < 4; ++i) lanes.push_back(Open());
    TransferBatch batch(halves_.client.get(), {Grant(lanes[0], Access::kWrite, 5000)});
    Run(lanes[0], batch);
    EXPECT_TRUE(batch.AllOk()) << batch.Statuses();
    if (round % 2 == 0) lanes.clear();  // The client goes first.
    FenceAndWait(kSession, LaneId{}, FenceScope::kAll);
    EXPECT_EQ(halves_.server->stats().lanes, 0u);
  }
  EXPECT_EQ(OpenFileCount(), files);
}

TEST_P(TransportContract, DoneOfEveryFenceRunsByTheEndOfTheServer) {
  const OpenLane lane = Open();
  loops_->Pause();
  absl::Notification done;
  Fence(lane.session, lane.id, FenceScope::kAll, &done);
  KillServer();
  EXPECT_TRUE(done.HasBeenNotified());
}

std::vector<Transfer> Pushed(TransferBatch& batch) {
  std::vector<Transfer> transfers(batch.transfers().begin(), batch.transfers().end());
  for (Transfer& transfer : transfers) {
    transfer.token.pushed = true;
    transfer.token.sealed.clear();
  }
  return transfers;
}

std::vector<ServerTransport::PushItem> PushItems(TransferBatch& batch) {
  std::vector<ServerTransport::PushItem> items;
  for (const Transfer& transfer : batch.transfers()) {
    items.push_back(FakeGate::PushItemOf(transfer.token));
  }
  return items;
}

TEST_P(TransportContract, PushedBlocksArriveInOrderAndOneMayBeSkipped) {
  if (!halves_.server->can_push()) GTEST_SKIP();
  const OpenLane lane = Open();
  for (const uint64_t size : {uint64_t{100}, 64 * kKiB, 3 * kMiB}) {
    SCOPED_TRACE(size);
    TransferBatch batch(halves_.client.get(), GrantMany(lane, Access::kRead, 4, size));
    for (size_t i = 0; i < 4; ++i) FillPattern(gate_.Bytes(batch[i].token), size + i);
    std::vector<Transfer> transfers = Pushed(batch);
    transfers[1].local = {};
    std::vector<ServerTransport::PushItem> items = PushItems(batch);
    ASSERT_TRUE(halves_.server->Push(lane.session, lane.id, items));
    lane.lane->Run(transfers, In(kPatience));
    for (const size_t i : {0u, 2u, 3u}) {
      EXPECT_TRUE(transfers[i].status.ok()) << transfers[i].status;
      EXPECT_TRUE(SameBytes(batch.local(i), gate_.Bytes(batch[i].token)));
    }
    EXPECT_TRUE(AllEqual(batch.local(1), std::byte{0}));
    EXPECT_TRUE(lane.lane->usable());
  }
}

TEST_P(TransportContract, APushedBlockWithoutALeaseFailsAlone) {
  if (!halves_.server->can_push()) GTEST_SKIP();
  const OpenLane lane = Open();
  TransferBatch batch(halves_.client.get(), GrantMany(lane, Access::kRead, 3, 64 * kKiB));
  gate_.End(batch[1].token.lease);
  std::vector<Transfer> transfers = Pushed(batch);
  std::vector<ServerTransport::PushItem> items = PushItems(batch);
  ASSERT_TRUE(halves_.server->Push(lane.session, lane.id, items));
  lane.lane->Run(transfers, In(kPatience));
  EXPECT_TRUE(transfers[0].status.ok()) << transfers[0].status;
  EXPECT_TRUE(Failed(transfers[1], absl::StatusCode::kPermissionDenied));
  EXPECT_TRUE(transfers[2].status.ok()) << transfers[2].status;
}

TEST_P(TransportContract, APushToALaneThatIsGoneSendsNothing) {
  const OpenLane lane = Open();
  TransferBatch batch(halves_.client.get(), {Grant(lane, Access::kRead, 1000)});
  std::vector<ServerTransport::PushItem> items = PushItems(batch);
  EXPECT_FALSE(halves_.server->Push(lane.session, LaneId{99}, items));
  EXPECT_FALSE(halves_.server->Push(kOtherSession, lane.id, items));
  FenceAndWait(lane.session, lane.id, FenceScope::kAll);
  EXPECT_FALSE(halves_.server->Push(lane.session, lane.id, items));
}

}  // namespace
}  // namespace kvasir
