// What the server's NIC refuses, and what that does to others: requests made by hand on
// queue pairs that were opened like anybody's.
#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_client_rail.h"
#include "rdma/verbs_server.h"
#include "tests/rdma/transport_contract.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

// Linked for its helpers.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

constexpr uint64_t kRegionBytes = 4 * kMiB;
constexpr std::byte kSecret{0x5e};
constexpr SessionId kHostile{.high = 1, .low = 1};
constexpr SessionId kBystander{.high = 2, .low = 2};
constexpr std::chrono::seconds kPatience{60};

Instant Soon() { return Clock::Real()->Now() + kPatience; }

// A server over a region of its own, which holds nothing but kSecret.
struct Node {
  explicit Node(const VerbsDeviceOptions& devices) : gate(kRegionBytes) {
    std::memset(gate.region().bytes().data(), std::to_integer<int>(kSecret), kRegionBytes);
    absl::StatusOr<std::unique_ptr<VerbsServer>> made = VerbsServer::Create({.devices = devices});
    KV_CHECK(made.ok());
    server = *std::move(made);
    KV_CHECK(server->Export(gate.region()).ok());
    loops = std::make_unique<ServerLoops>(server.get());
  }
  ~Node() { loops.reset(); }

  FakeGate gate;
  std::unique_ptr<VerbsServer> server;
  std::unique_ptr<ServerLoops> loops;
};

// A lane's queue pairs in the hands of somebody who posts what he likes.
class Hostile {
 public:
  enum class Wiring { kAsOffered, kCrossed };  // crossed: WRITEs go to the queue for READs

  Hostile(Node* node, const VerbsDeviceOptions& devices, LaneId lane,
          Wiring wiring = Wiring::kAsOffered)
      : memory_(4096) {
    absl::StatusOr<std::unique_ptr<VerbsDevice>> device =
        VerbsDevice::Open(devices.devices[0], devices);
    KV_CHECK(device.ok());
    device_ = *std::move(device);
    rail_ = *VerbsClientRail::Make(device_.get());
    mr_ = *device_->Register(memory_, IBV_ACCESS_LOCAL_WRITE);
    VerbsHello hello{.rails = {rail_->address()}};
    if (wiring == Wiring::kCrossed) Cross(&hello.rails[0]);
    const auto answer = node->server->Accept(kHostile, lane, EncodeVerbsHello(hello));
    KV_CHECK(answer.ok());
    offer_ = *DecodeVerbsOffer(*answer);
    if (wiring == Wiring::kCrossed) Cross(&offer_.rails[0]);
    KV_CHECK(rail_->Connect(offer_.rails[0]).ok());
  }

  const VerbsRegion& region() const { return offer_.regions[0]; }
  VerbsKeys keys() const { return region().keys[0]; }

  // Posts one request for 1000 bytes and returns how it ended.
  absl::Status Ask(Access access, uint64_t address, uint32_t key) {
    std::memset(memory_.data(), 0xbb, memory_.size());
    const ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(memory_.data()),
                           .length = 1000,
                           .lkey = mr_->lkey};
    rail_->Add({.access = access,
                .remote_address = address,
                .remote_key = key,
                .slices = std::span(&slice, 1),
                .bytes = 1000});
    KV_CHECK(rail_->Post().ok());
    const Instant patience = Soon();
    while (rail_->requests_in_flight() > 0 && Clock::Real()->Now() < patience) {
      std::optional<VerbsClientRail::Failure> failed = rail_->Reap([](size_t) {});
      if (failed.has_value()) return failed->status;
    }
    return rail_->requests_in_flight() == 0 ? absl::OkStatus()
                                            : absl::DeadlineExceededError("no completion");
  }
  bool GotNothing() const {
    return std::all_of(memory_.begin(), memory_.end(),
                       [](std::byte byte) { return byte == std::byte{0xbb}; });
  }

 private:
  static void Cross(VerbsRail* rail) {
    std::swap(rail->read_qp, rail->write_qp);
    std::swap(rail->read_psn, rail->write_psn);
  }

  std::vector<std::byte> memory_;
  std::unique_ptr<VerbsDevice> device_;
  std::unique_ptr<VerbsClientRail> rail_;
  VerbsMr mr_;
  VerbsOffer offer_;
};

class VerbsHostile : public testing::Test {
 protected:
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    if (ends_.empty()) GTEST_SKIP() << "no RDMA device";
    node_ = std::make_unique<Node>(ends_.Left());
    client_ = *VerbsClient::Create(ends_.Right(), Clock::Real());
    bystander_ = *client_->Connect(
        [&](std::string_view hello) {
          return node_->server->Accept(kBystander, LaneId{1}, hello);
        },
        Soon());
  }

  // The server has noticed so many refusals, and nothing has changed in its memory.
  void ExpectRefused(const absl::Status& status, uint64_t refusals) {
    EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied) << status;
    const Instant patience = Soon();
    while (node_->server->stats().refused_frames_total < refusals) {
      ASSERT_LT(Clock::Real()->Now(), patience) << "the tripwire is silent";
    }
    EXPECT_TRUE(AllEqual(node_->gate.region().bytes(), kSecret));
    ExpectBystanderUndisturbed();
  }
  void ExpectBystanderUndisturbed() {
    const Token token = node_->gate.Grant({.session = kBystander,
                                           .lane = LaneId{1},
                                           .access = Access::kRead,
                                           .size_bytes = 100 * kKiB});
    TransferBatch batch(client_.get(), {token});
    bystander_->Run(batch.transfers(), Soon());
    EXPECT_TRUE(batch.AllOk()) << batch.Statuses();
    EXPECT_TRUE(AllEqual(batch.local(0), kSecret));
    node_->gate.Reset();
  }

  VerbsEnds ends_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<VerbsClient> client_;
  std::unique_ptr<Lane> bystander_;
};

TEST_F(VerbsHostile, WhatIsGrantedIsServed) {
  Hostile peer(node_.get(), ends_.Right(), LaneId{10});
  EXPECT_TRUE(peer.Ask(Access::kRead, peer.region().address, peer.keys().read).ok());
  EXPECT_FALSE(peer.GotNothing());
  EXPECT_EQ(node_->server->stats().refused_frames_total, 0u);
}

TEST_F(VerbsHostile, KeysOfTheOtherKindAndWrongOnesAreRefused) {
  uint64_t refusals = 0;
  const std::vector<std::pair<Access, std::function<uint32_t(const VerbsKeys&)>>> cases = {
      {Access::kRead, [](const VerbsKeys& keys) { return keys.write; }},
      {Access::kWrite, [](const VerbsKeys& keys) { return keys.read; }},
      {Access::kRead, [](const VerbsKeys& keys) { return keys.read ^ 1; }},
      {Access::kWrite, [](const VerbsKeys& keys) { return keys.write ^ 0x100; }},
      {Access::kWrite, [](const VerbsKeys&) { return 0; }}};
  for (const auto& [access, key] : cases) {
    SCOPED_TRACE(refusals);
    Hostile peer(node_.get(), ends_.Right(), LaneId{10 + refusals});
    ExpectRefused(peer.Ask(access, peer.region().address, key(peer.keys())), ++refusals);
    if (access == Access::kRead) {
      EXPECT_TRUE(peer.GotNothing());
    }
  }
}

TEST_F(VerbsHostile, RangesThatLeaveTheRegionAreRefused) {
  uint64_t refusals = 0;
  for (const Access access : {Access::kRead, Access::kWrite}) {
    for (const int64_t offset : {int64_t{-1}, int64_t{kRegionBytes} - 999,
                                 int64_t{kRegionBytes}, int64_t{1} << 40}) {
      SCOPED_TRACE(offset);
      Hostile peer(node_.get(), ends_.Right(), LaneId{10 + refusals});
      const uint32_t key = access == Access::kRead ? peer.keys().read : peer.keys().write;
      const uint64_t address = peer.region().address + static_cast<uint64_t>(offset);
      ExpectRefused(peer.Ask(access, address, key), ++refusals);
    }
  }
}

TEST_F(VerbsHostile, EachQueuePairServesOneDirectionAlone) {
  Hostile writer(node_.get(), ends_.Right(), LaneId{10}, Hostile::Wiring::kCrossed);
  ExpectRefused(writer.Ask(Access::kWrite, writer.region().address, writer.keys().write), 1);
  Hostile reader(node_.get(), ends_.Right(), LaneId{11}, Hostile::Wiring::kCrossed);
  ExpectRefused(reader.Ask(Access::kRead, reader.region().address, reader.keys().read), 2);
  EXPECT_TRUE(reader.GotNothing());
}

TEST_F(VerbsHostile, KeysOfAnotherProtectionDomainAreRefused) {
  Node other(ends_.Left());
  Hostile tenant(&other, ends_.Right(), LaneId{10});
  uint64_t refusals = 0;
  for (const Access access : {Access::kRead, Access::kWrite}) {
    Hostile peer(node_.get(), ends_.Right(), LaneId{20 + refusals});
    const uint32_t key = access == Access::kRead ? tenant.keys().read : tenant.keys().write;
    ExpectRefused(peer.Ask(access, tenant.region().address, key), ++refusals);
  }
  EXPECT_TRUE(AllEqual(other.gate.region().bytes(), kSecret));
}

TEST_F(VerbsHostile, KeysOfARegionThatIsGoneAreRefused) {
  VerbsRegion gone;
  {
    Node other(ends_.Left());
    gone = Hostile(&other, ends_.Right(), LaneId{10}).region();
  }
  Hostile peer(node_.get(), ends_.Right(), LaneId{11});
  ExpectRefused(peer.Ask(Access::kWrite, gone.address, gone.keys[0].write), 1);
}

TEST_F(VerbsHostile, ThreeRefusalsEndTheSessionAndTheServerIsToldOnce) {
  for (uint64_t i = 0; i < 4; ++i) {
    Hostile peer(node_.get(), ends_.Right(), LaneId{10 + i});
    ExpectRefused(peer.Ask(Access::kWrite, peer.region().address, 0), i + 1);
    const std::vector<SessionId> expected =
        i == kVerbsRefusalsMax - 1 ? std::vector{kHostile} : std::vector<SessionId>{};
    EXPECT_EQ(node_->server->TakeMisbehaved(), expected) << i;
  }
  absl::Notification done;
  node_->server->Fence({.session = kHostile}, [&done] { done.Notify(); });
  EXPECT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_EQ(node_->server->stats().lanes, 1u);
  ExpectBystanderUndisturbed();
}

TEST_F(VerbsHostile, AFenceIsNoRefusal) {
  Hostile peer(node_.get(), ends_.Right(), LaneId{10});
  absl::Notification done;
  node_->server->Fence({.session = kHostile, .lane = LaneId{10}}, [&done] { done.Notify(); });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  EXPECT_EQ(peer.Ask(Access::kWrite, peer.region().address, peer.keys().write).code(),
            absl::StatusCode::kUnavailable);
  ExpectBystanderUndisturbed();
  EXPECT_EQ(node_->server->stats().refused_frames_total, 0u);
  EXPECT_TRUE(AllEqual(node_->gate.region().bytes(), kSecret));
}

// The client's half refuses by itself what a token's text does not grant.
TEST_F(VerbsHostile, ALaneMovesOnlyWhatItsTokensSay) {
  const auto grant = [&](SessionId session, LaneId lane, Access access) {
    return node_->gate.Grant(
        {.session = session, .lane = lane, .access = access, .size_bytes = 1000});
  };
  std::vector<Token> tokens = {grant(kHostile, LaneId{1}, Access::kRead),
                               grant(kBystander, LaneId{2}, Access::kRead),
                               grant(kBystander, LaneId{1}, Access::kWrite),
                               grant(kBystander, LaneId{1}, Access::kRead),
                               grant(kBystander, LaneId{1}, Access::kRead),
                               grant(kBystander, LaneId{1}, Access::kRead)};
  tokens[2].access = Access::kRead;
  tokens[3].extent.offset_bytes += 8;
  tokens[4].sealed = "no token";
  TransferBatch batch(client_.get(), tokens);
  bystander_->Run(batch.transfers(), Soon());
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(batch[i].status.code(), absl::StatusCode::kPermissionDenied) << i;
    EXPECT_TRUE(AllEqual(batch.local(i), std::byte{0})) << i;
  }
  EXPECT_TRUE(batch[5].status.ok()) << batch[5].status;
  EXPECT_TRUE(bystander_->usable());
}

TEST_F(VerbsHostile, MemoryThatIsNotRegisteredIsNotTouched) {
  const Token token = node_->gate.Grant({.session = kBystander,
                                         .lane = LaneId{1},
                                         .access = Access::kRead,
                                         .size_bytes = 1000});
  std::vector<std::byte> memory(1000);
  const std::span<std::byte> slice(memory);
  Transfer transfer{.token = token, .local = std::span(&slice, 1)};
  bystander_->Run(std::span(&transfer, 1), Soon());
  EXPECT_EQ(transfer.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(AllEqual(memory, std::byte{0}));
  EXPECT_TRUE(bystander_->usable());
}

TEST_F(VerbsHostile, ADmaBufThatIsNoneIsRefused) {
  std::vector<std::byte> memory(4096);
  const absl::Status status = client_->RegisterDmaBuf(memory, {.fd = 0}).status();
  EXPECT_FALSE(status.ok());
}

}  // namespace
}  // namespace kvasir
