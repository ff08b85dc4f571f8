// What shm promises beyond the transport contract, for honest clients.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/checksum.h"
#include "rdma/shm_client.h"
#include "rdma/shm_server.h"
#include "rdma/shm_wire.h"
#include "tests/rdma/shm_directory.h"
#include "tests/rdma/transport_contract.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

// Here for its batches: shm_contract_test.cc runs the suite.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SessionId kSession{.high = 1, .low = 2};
constexpr LaneId kLane{7};

// The real time, until a test counts looks at it: then a hook runs at each.
class HookedClock final : public Clock {
 public:
  Instant Now() const override {
    if (hook != nullptr) hook();
    return Clock::Real()->Now() + ahead;
  }
  // Set while only the test's own thread looks at the clock.
  std::function<void()> hook;
  BootClock::duration ahead{};
};

class ShmTransportTest : public testing::Test {
 protected:
  ShmTransportTest() {
    server_ = *ShmServer::Create({.directory = directory_.path()}, &gate_, Clock::Real());
    EXPECT_TRUE(server_->Export(gate_.region()).ok());
    loops_ = std::make_unique<ServerLoops>(server_.get());
  }
  ~ShmTransportTest() override {
    loops_.reset();
    server_.reset();
  }

  std::unique_ptr<Lane> Open(LaneId lane = kLane) {
    auto opened = client_->Connect(
        [&](std::string_view hello) { return server_->Accept(kSession, lane, hello); },
        Clock::Real()->Now() + seconds(60));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  Token Grant(Access access, uint64_t size_bytes) {
    return gate_.Grant(
        {.session = kSession, .lane = kLane, .access = access, .size_bytes = size_bytes});
  }
  Instant Later() const { return Clock::Real()->Now() + seconds(60); }

  FakeGate gate_{16 * kMiB};
  const ShmTestDirectory directory_;
  HookedClock clock_;
  const std::unique_ptr<ClientTransport> client_ = ShmClient::Create({}, &clock_);
  std::unique_ptr<ServerTransport> server_;
  std::unique_ptr<ServerLoops> loops_;
};

TEST_F(ShmTransportTest, AClientOnAnotherHostIsSentElsewhere) {
  const auto offer = server_->Accept(
      kSession, kLane, EncodeShm(ShmHello{"00000000-0000-0000-0000-000000000000"}));
  EXPECT_TRUE(absl::IsFailedPrecondition(offer.status())) << offer.status();
}

TEST_F(ShmTransportTest, AnOfferFitsOnTheControlStream) {
  const auto offer = server_->Accept(kSession, kLane, EncodeShm(ShmHello{ReadBootId()}));
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_LE(offer->size(), kMaxEndpointBytes);
}

TEST_F(ShmTransportTest, AServerThatDoesNotAnswerCostsAConnectItsDeadline) {
  loops_->Pause();
  const auto lane = client_->Connect(
      [&](std::string_view hello) { return server_->Accept(kSession, kLane, hello); },
      Clock::Real()->Now() + milliseconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(lane.status())) << lane.status();
}

size_t ReadOnlyRegionMappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  size_t count = 0;
  while (std::getline(maps, line)) {
    const bool region = line.find("memfd:kvasir-region") != std::string::npos;
    if (region && line.find(" r--s ") != std::string::npos) ++count;
  }
  return count;
}

TEST_F(ShmTransportTest, LanesOfOneClientShareOneReadOnlyMapping) {
  EXPECT_EQ(ReadOnlyRegionMappings(), 0u);
  auto first = Open(LaneId{1});
  auto second = Open(LaneId{2});
  EXPECT_EQ(ReadOnlyRegionMappings(), 1u);
  first.reset();
  EXPECT_EQ(ReadOnlyRegionMappings(), 1u);
  second.reset();
  EXPECT_EQ(ReadOnlyRegionMappings(), 0u);
}

TEST_F(ShmTransportTest, ARegionExportedLaterIsReachedByLanesOpenedLater) {
  const auto lane_before = Open(LaneId{1});
  const auto region = *Region::Map({.id = RegionId{9}, .size_bytes = 64 * kKiB});
  ASSERT_TRUE(server_->Export(*region).ok());
  const auto lane_after = Open(LaneId{2});
  Token token{.extent = {.region = RegionId{9}, .offset_bytes = 5, .size_bytes = 10}};
  FillPattern(region->bytes(), 3);
  TransferBatch batch(client_.get(), {token});
  lane_after->Run(batch.transfers(), Later());
  ASSERT_TRUE(batch.AllOk()) << batch.Statuses();
  EXPECT_TRUE(SameBytes(batch.local(0), region->bytes().subspan(5, 10)));
  lane_before->Run(batch.transfers(), Later());
  EXPECT_TRUE(absl::IsPermissionDenied(batch[0].status)) << batch.Statuses();
}

TEST_F(ShmTransportTest, ExtentsOutsideTheMappingAreNotTouched) {
  const auto lane = Open();
  const uint64_t region_bytes = gate_.region().bytes().size();
  constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
  for (const Extent& extent :
       {Extent{RegionId{1}, region_bytes, 1}, Extent{RegionId{1}, region_bytes - 9, 10},
        Extent{RegionId{1}, kHuge, 10}, Extent{RegionId{1}, kHuge - 9, 10},
        Extent{RegionId{2}, 0, 10}}) {
    TransferBatch batch(client_.get(), {Token{.extent = extent}});
    lane->Run(batch.transfers(), Later());
    EXPECT_TRUE(absl::IsPermissionDenied(batch[0].status)) << batch.Statuses();
    EXPECT_TRUE(lane->usable());
  }
}

TEST_F(ShmTransportTest, AReadThatAFenceOvertakesIsNotOk) {
  const auto lane = Open();
  const std::vector<Token> tokens = {Grant(Access::kRead, 1000),
                                     Grant(Access::kRead, 3 * kMiB)};
  TransferBatch batch(client_.get(), tokens);
  int looks = 0;
  // Until the fence has returned, the bytes stay in place and the read may be OK.
  absl::Notification fenced;
  clock_.hook = [&] {
    if (++looks != 4) return;  // Inside the second block.
    server_->Fence({.session = kSession, .lane = kLane}, [&] { fenced.Notify(); });
    fenced.WaitForNotification();
  };
  lane->Run(batch.transfers(), Later());
  EXPECT_GT(looks, 4);
  for (const Transfer& transfer : batch.transfers()) {
    EXPECT_TRUE(absl::IsUnavailable(transfer.status)) << batch.Statuses();
  }
  EXPECT_FALSE(lane->usable());
}

TEST_F(ShmTransportTest, AReadThatEndsAfterItsDeadlineIsLateEvenIfAllIsCopied) {
  const auto lane = Open();
  TransferBatch batch(client_.get(), {Grant(Access::kRead, 1000)});
  int looks = 0;
  clock_.hook = [&] {
    if (++looks == 2) clock_.ahead = seconds(100);
  };
  lane->Run(batch.transfers(), Later());
  EXPECT_TRUE(absl::IsDeadlineExceeded(batch[0].status)) << batch.Statuses();
  EXPECT_FALSE(lane->usable());
}

TEST_F(ShmTransportTest, ReadsThatWereInTimeSurviveALaterOneThatWasNot) {
  const auto lane = Open();
  std::vector<Token> tokens;
  for (int i = 0; i < 3; ++i) tokens.push_back(Grant(Access::kRead, 4 * kMiB));
  for (const Token& token : tokens) FillPattern(gate_.Bytes(token), 5);
  TransferBatch batch(client_.get(), tokens);
  int looks = 0;
  // Five looks a block of four pieces: this is after the second piece of the second.
  clock_.hook = [&] {
    if (++looks == 8) clock_.ahead = seconds(100);
  };
  lane->Run(batch.transfers(), Later());
  EXPECT_TRUE(batch[0].status.ok()) << batch.Statuses();
  EXPECT_TRUE(SameBytes(batch.local(0), gate_.Bytes(tokens[0])));
  EXPECT_TRUE(absl::IsDeadlineExceeded(batch[1].status)) << batch.Statuses();
  EXPECT_TRUE(AllEqual(batch.local(1).subspan(2 * kMiB), std::byte{0}));
  EXPECT_TRUE(absl::IsDeadlineExceeded(batch[2].status)) << batch.Statuses();
  EXPECT_FALSE(lane->usable());
}

TEST_F(ShmTransportTest, ReadsNeedNoServerLoop) {
  const auto lane = Open();
  loops_->Pause();
  const Token token = Grant(Access::kRead, 3 * kMiB);
  FillPattern(gate_.Bytes(token), 1);
  TransferBatch batch(client_.get(), {token}, 3);
  lane->Run(batch.transfers(), Later());
  ASSERT_TRUE(batch.AllOk()) << batch.Statuses();
  EXPECT_TRUE(SameBytes(batch.local(0), gate_.Bytes(token)));
}

TEST_F(ShmTransportTest, StatsCountLanesAndPutsAndTheGetsThatWereGranted) {
  const auto lane = Open();
  TransferBatch writes(client_.get(),
                       {Grant(Access::kWrite, kMiB + 5), Grant(Access::kWrite, 10)});
  lane->Run(writes.transfers(), Later());
  TransferBatch reads(client_.get(), {Grant(Access::kRead, kMiB)});
  lane->Run(reads.transfers(), Later());
  ASSERT_TRUE(writes.AllOk() && reads.AllOk());
  TransferBatch refused(client_.get(), {Token{.extent = writes[1].token.extent,
                                              .access = Access::kWrite,
                                              .sealed = "forged"}});
  lane->Run(refused.transfers(), Later());
  server_->OnGranted(Access::kWrite, kMiB + 5);
  server_->OnGranted(Access::kRead, kMiB);
  const TransportStats stats = server_->stats();
  EXPECT_EQ(stats.lanes, 1u);
  EXPECT_EQ(stats.written_bytes_total, kMiB + 15);
  EXPECT_EQ(stats.written_ops_total, 2u);
  EXPECT_EQ(stats.read_bytes_total, kMiB);
  EXPECT_EQ(stats.read_ops_total, 1u);
  EXPECT_EQ(stats.refused_frames_total, 1u);
}

TEST_F(ShmTransportTest, OptionsOutOfRangeAreRefusedByName) {
  for (const ShmServer::Options& options :
       {ShmServer::Options{.ring_bytes = 1}, ShmServer::Options{.ring_bytes = kGiB},
        ShmServer::Options{.loops = 0}, ShmServer::Options{.loops = 17}}) {
    ShmServer::Options tried = options;
    tried.directory = directory_.path();
    const auto server = ShmServer::Create(tried, &gate_, Clock::Real());
    EXPECT_TRUE(absl::IsInvalidArgument(server.status())) << server.status();
  }
}

TEST_F(ShmTransportTest, TwoServersShareADirectory) {
  const auto second =
      ShmServer::Create({.directory = directory_.path()}, &gate_, Clock::Real());
  ASSERT_TRUE(second.ok()) << second.status();
  const auto lane = Open();
  TransferBatch batch(client_.get(), {Grant(Access::kRead, 100)});
  lane->Run(batch.transfers(), Later());
  EXPECT_TRUE(batch.AllOk()) << batch.Statuses();
}

TEST(ShmPeerRule, AdmitsTheOwnerRootAndWhomItIsToldTo) {
  const std::vector<uint32_t> allowed = {70, 71};
  const ShmPeerRule rule{.own_uid = 50, .allowed_uids = allowed};
  for (const uint32_t uid : {0u, 50u, 70u, 71u}) EXPECT_TRUE(MayConnectShm(uid, rule));
  for (const uint32_t uid : {1u, 51u, 72u, 65534u}) {
    EXPECT_FALSE(MayConnectShm(uid, rule)) << uid;
  }
  EXPECT_FALSE(MayConnectShm(70, {.own_uid = 50, .allowed_uids = {}}));
}

}  // namespace
}  // namespace kvasir
