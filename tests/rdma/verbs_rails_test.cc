// A lane over two rails of which one is bad: it costs that rail, and not the lane. Needs
// wires that can be cut: tools/softroce --wire --rails 2.
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_server.h"
#include "tests/rdma/transport_contract.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

// Linked for its helpers.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

constexpr size_t kRails = 2;
constexpr uint64_t kBlockBytes = kMiB;
constexpr size_t kBlocks = 4;
constexpr uint64_t kPacketBytesMax = 4096;
constexpr SessionId kSession{.high = 1, .low = 1};
constexpr std::chrono::seconds kPatience{60};

Instant Soon() { return Clock::Real()->Now() + kPatience; }

bool Wire(size_t rail, const std::string& command) {
  const std::string line = "softroce-wire --rail " + std::to_string(rail) + " " + command;
  return std::system(line.c_str()) == 0;
}

// Packets that have come to a device.
uint64_t ReceivedPackets(const std::string& device) {
  std::ifstream file("/sys/class/infiniband/" + device + "/ports/1/hw_counters/rcvd_pkts");
  uint64_t packets = 0;
  KV_CHECK(static_cast<bool>(file >> packets));
  return packets;
}

class VerbsRails : public testing::Test {
 protected:
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    const char* const kind = std::getenv("SOFTROCE");
    if (ends_.rails() < kRails || kind == nullptr || std::string(kind) != "wire") {
      GTEST_SKIP() << "no two wires between RDMA devices to cut";
    }
    server_ = *VerbsServer::Create({.devices = ends_.Left(kRails)});
    KV_CHECK(server_->Export(gate_.region()).ok());
    loops_ = std::make_unique<ServerLoops>(server_.get());
    client_ = *VerbsClient::Create(ends_.Right(kRails), Clock::Real());
  }
  void TearDown() override { loops_.reset(); }

  absl::StatusOr<std::unique_ptr<Lane>> Connect(Instant deadline) {
    ++lane_;
    return client_->Connect(
        [&](std::string_view hello) {
          return server_->Accept(kSession, LaneId{lane_}, hello);
        },
        deadline);
  }
  // Blocks go to the server and come back. Packets that each of the server's rails has
  // had of it.
  std::vector<uint64_t> PacketsOfAPutAndAGet(Lane* lane) {
    std::vector<uint64_t> packets;
    for (const std::string& device : ends_.left) packets.push_back(ReceivedPackets(device));
    gate_.Reset();
    TransferBatch writes(client_.get(), Grant(Access::kWrite));
    writes.FillLocals(lane_);
    lane->Run(writes.transfers(), Soon());
    EXPECT_TRUE(writes.AllOk()) << writes.Statuses();
    gate_.Rewind();
    TransferBatch reads(client_.get(), Grant(Access::kRead));
    lane->Run(reads.transfers(), Soon());
    EXPECT_TRUE(reads.AllOk()) << reads.Statuses();
    for (size_t i = 0; i < kBlocks; ++i) {
      EXPECT_TRUE(SameBytes(reads.local(i), writes.local(i))) << i;
    }
    for (size_t i = 0; i < kRails; ++i) {
      packets[i] = ReceivedPackets(ends_.left[i]) - packets[i];
    }
    return packets;
  }
  // With rail `bad` as it is, lanes work on the other alone.
  void ExpectTheOtherCarriesAll(size_t bad, Instant deadline) {
    const absl::StatusOr<std::unique_ptr<Lane>> lane = Connect(deadline);
    ASSERT_TRUE(lane.ok()) << lane.status();
    const std::vector<uint64_t> packets = PacketsOfAPutAndAGet(lane->get());
    EXPECT_EQ(packets[bad], 0u);
    EXPECT_GE(packets[1 - bad], kBlocks * kBlockBytes / kPacketBytesMax);
    EXPECT_TRUE((*lane)->usable());
  }

  VerbsEnds ends_;
  FakeGate gate_{kBlocks * kBlockBytes};
  std::unique_ptr<VerbsServer> server_;
  std::unique_ptr<ServerLoops> loops_;
  std::unique_ptr<VerbsClient> client_;
  uint64_t lane_ = 0;

 private:
  std::vector<Token> Grant(Access access) {
    std::vector<Token> tokens;
    for (size_t i = 0; i < kBlocks; ++i) {
      tokens.push_back(gate_.Grant({.session = kSession,
                                    .lane = LaneId{lane_},
                                    .access = access,
                                    .size_bytes = kBlockBytes}));
    }
    return tokens;
  }
};

TEST_F(VerbsRails, BothCarryAShareWhileBothAreGood) {
  const absl::StatusOr<std::unique_ptr<Lane>> lane = Connect(Soon());
  ASSERT_TRUE(lane.ok()) << lane.status();
  for (const uint64_t packets : PacketsOfAPutAndAGet(lane->get())) {
    EXPECT_GE(packets, kBlockBytes / kPacketBytesMax);
  }
}

TEST_F(VerbsRails, OneThatLosesEverythingIsLeftOut) {
  for (size_t bad = 0; bad < kRails; ++bad) {
    SCOPED_TRACE(bad);
    ASSERT_TRUE(Connect(Soon()).ok());  // both ends know each other's address from it
    ASSERT_TRUE(Wire(bad, "shape loss 100%"));
    ExpectTheOtherCarriesAll(bad, Soon());
    ASSERT_TRUE(Wire(bad, "unshape"));
  }
}

TEST_F(VerbsRails, OneWhoseLinkIsDownIsLeftOut) {
  for (size_t bad = 0; bad < kRails; ++bad) {
    SCOPED_TRACE(bad);
    ASSERT_TRUE(Wire(bad, "down"));
    ExpectTheOtherCarriesAll(bad, Soon());
    ASSERT_TRUE(Wire(bad, "up"));
  }
}

TEST_F(VerbsRails, WhenAllAreBadThereIsNoLane) {
  for (size_t rail = 0; rail < kRails; ++rail) ASSERT_TRUE(Wire(rail, "shape loss 100%"));
  EXPECT_EQ(Connect(Soon()).status().code(), absl::StatusCode::kUnavailable);
  for (size_t rail = 0; rail < kRails; ++rail) ASSERT_TRUE(Wire(rail, "unshape"));
}

}  // namespace
}  // namespace kvasir
