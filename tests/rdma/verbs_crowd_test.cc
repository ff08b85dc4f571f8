// Many clients that connect, work and die at once, and what is left of them.
#include <atomic>
#include <map>
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
#include "rdma/verbs_server.h"
#include "tests/rdma/transport_contract.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

// Linked for its helpers.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

constexpr size_t kClients = 64;
constexpr uint64_t kBlockBytes = 64 * kKiB;
constexpr size_t kBlocks = 4;  // a batch
constexpr std::chrono::seconds kPatience{120};

Instant In(std::chrono::milliseconds wait) { return Clock::Real()->Now() + wait; }

class VerbsCrowd : public testing::Test {
 protected:
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    if (ends_.empty()) GTEST_SKIP() << "no RDMA device";
    server_ = *VerbsServer::Create({.devices = ends_.Left(), .loops = 2});
    KV_CHECK(server_->Export(gate_.region()).ok());
    loops_ = std::make_unique<ServerLoops>(server_.get());
  }
  void TearDown() override { loops_.reset(); }

  std::vector<Token> Grant(SessionId session, Access access) {
    std::vector<Token> tokens;
    for (size_t i = 0; i < kBlocks; ++i) {
      tokens.push_back(gate_.Grant({.session = session,
                                    .lane = LaneId{1},
                                    .access = access,
                                    .size_bytes = kBlockBytes,
                                    .checksum_seed = 1000}));
    }
    return tokens;
  }
  void Fence(SessionId session) {
    absl::Notification done;
    server_->Fence({.session = session}, [&done] { done.Notify(); });
    KV_CHECK(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  }
  // One client's life. Returns whether all that it was told is true.
  bool Live(size_t number) {
    const SessionId session{.high = 7, .low = number};
    auto client = VerbsClient::Create(ends_.Right(), Clock::Real());
    if (!client.ok()) return false;
    auto lane = (*client)->Connect(
        [&](std::string_view hello) { return server_->Accept(session, LaneId{1}, hello); },
        In(kPatience));
    if (!lane.ok()) return false;
    TransferBatch writes(client->get(), Grant(session, Access::kWrite));
    writes.FillLocals(number);
    (*lane)->Run(writes.transfers(), In(kPatience));
    bool good = writes.AllOk();
    for (size_t i = 0; i < kBlocks; ++i) {
      good = good && SameBytes(writes.local(i), gate_.Bytes(writes[i].token));
    }
    // Then it dies: in the middle of a batch, by its own hand, or by the server's.
    TransferBatch last(client->get(), Grant(session, Access::kRead));
    if (number % 3 == 0) (*lane)->Run(last.transfers(), In(std::chrono::milliseconds(1)));
    if (number % 3 == 1) lane->reset();
    Fence(session);
    return good;
  }

  static constexpr uint64_t kRegionBytes = 2 * kClients * kBlocks * kBlockBytes;
  VerbsEnds ends_;
  FakeGate gate_{kRegionBytes};
  std::unique_ptr<VerbsServer> server_;
  std::unique_ptr<ServerLoops> loops_;
};

TEST_F(VerbsCrowd, SixtyFourClientsLiveAndDieAndLeaveNothingBehind) {
  ASSERT_TRUE(Live(1000));  // What is made once is made now.
  gate_.Reset();
  const std::string objects = KernelObjects();
  const size_t files = OpenFileCount();
  std::atomic<size_t> good{0};
  std::vector<std::unique_ptr<Concurrently>> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<Concurrently>([&, i] { good += Live(i) ? 1 : 0; }));
  }
  clients.clear();
  EXPECT_EQ(good.load(), kClients);
  EXPECT_EQ(server_->stats().lanes, 0u);
  EXPECT_EQ(server_->stats().refused_frames_total, 0u);
  EXPECT_EQ(OpenFileCount(), files);
  EXPECT_EQ(KernelObjects(), objects);
}

}  // namespace
}  // namespace kvasir
