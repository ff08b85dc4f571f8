// Messages on lanes of the rdma transport: requests and their answers beside the bytes.
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "gtest/gtest.h"
#include "rdma/verbs_client.h"
#include "rdma/verbs_client_rail.h"
#include "rdma/verbs_device.h"
#include "rdma/verbs_handles.h"
#include "rdma/verbs_lane_mail.h"
#include "rdma/verbs_queue.h"
#include "rdma/verbs_server.h"
#include "rdma/verbs_wire.h"
#include "tests/rdma/transport_contract.h"
#include "tests/rdma/verbs_ends.h"
#include "tests/support/fake_gate.h"
#include "tests/support/server_loops.h"

namespace kvasir {
namespace {

// Linked for its helpers.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TransportContract);

constexpr uint64_t kRegionBytes = 4 * kMiB;
constexpr SessionId kSession{.high = 1, .low = 1};
constexpr SessionId kHostile{.high = 2, .low = 2};
constexpr std::chrono::seconds kPatience{60};
constexpr std::chrono::milliseconds kWhile{100};

Instant Soon() { return Clock::Real()->Now() + kPatience; }
Instant InAWhile() { return Clock::Real()->Now() + kWhile; }

// Requests that a device has given up.
uint64_t RetriesExceeded(const std::string& device) {
  std::ifstream file("/sys/class/infiniband/" + device +
                     "/ports/1/hw_counters/retry_exceeded_err");
  uint64_t count = 0;
  KV_CHECK(static_cast<bool>(file >> count));
  return count;
}

class VerbsMessages : public testing::Test {
 protected:
  void SetUp() override {
    ends_ = VerbsEnds::Find();
    if (ends_.empty()) GTEST_SKIP() << "no RDMA device";
    Start(/*with_messages=*/true);
  }
  void TearDown() override {
    loops_.reset();
    client_.reset();
    server_.reset();
  }
  void Start(bool with_messages) {
    loops_.reset();
    server_ = *VerbsServer::Create({.devices = ends_.Left(ends_.rails())});
    KV_CHECK(server_->Export(gate_.region()).ok());
    if (with_messages) {
      server_->HandleMessages([this](SessionId session, LaneId lane, std::string_view request,
                                     ServerTransport::Reply reply) {
        OnMessage(session, lane, request, std::move(reply));
      });
    }
    loops_ = std::make_unique<ServerLoops>(server_.get());
    client_ = *VerbsClient::Create(ends_.Right(ends_.rails()), Clock::Real());
  }
  // Answers with the request, its lane before it; keeps one that says so.
  void OnMessage(SessionId session, LaneId lane, std::string_view request,
                 ServerTransport::Reply reply) {
    EXPECT_TRUE(session == kSession || session == kHostile);
    if (request == "hold") {
      absl::MutexLock lock(&mu_);
      held_.push_back(std::move(reply));
      return;
    }
    const std::string name = std::to_string(static_cast<uint64_t>(lane)) + ":";
    const std::string answer = name + std::string(request);
    EXPECT_TRUE(std::move(reply)(answer.substr(0, kLaneMessageBytesMax)));
  }
  std::vector<ServerTransport::Reply> TakeHeld(size_t count) {
    absl::MutexLock lock(&mu_);
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      return held_.size() >= count;
    };
    KV_CHECK(mu_.AwaitWithTimeout(absl::Condition(&enough), absl::FromChrono(kPatience)));
    return std::exchange(held_, {});
  }

  std::unique_ptr<Lane> Connect(uint64_t lane, SessionId session = kSession) {
    return *client_->Connect(
        [&](std::string_view hello) { return server_->Accept(session, LaneId{lane}, hello); },
        Soon());
  }
  static std::string Ask(Lane* lane, std::string_view request) {
    const absl::Status sent = lane->Send(request);
    EXPECT_TRUE(sent.ok()) << sent;
    const auto answer = lane->Receive(Soon());
    if (!answer.ok()) return answer.status().ToString();
    return answer->has_value() ? std::string(**answer) : "no answer";
  }
  void Fence(SessionId session, FenceScope scope = FenceScope::kAll) {
    absl::Notification done;
    server_->Fence({.session = session, .scope = scope}, [&done] { done.Notify(); });
    ASSERT_TRUE(done.WaitForNotificationWithTimeout(absl::FromChrono(kPatience)));
  }
  void AwaitRefusals(uint64_t count) {
    const Instant patience = Soon();
    while (server_->stats().refused_frames_total < count) {
      ASSERT_LT(Clock::Real()->Now(), patience) << "the tripwire is silent";
    }
  }
  // A block goes there and comes back.
  void ExpectBytesMove(Lane* lane, LaneId id) {
    const auto grant = [&](Access access) {
      gate_.Reset();
      return gate_.Grant(
          {.session = kSession, .lane = id, .access = access, .size_bytes = 300 * kKiB});
    };
    TransferBatch write(client_.get(), {grant(Access::kWrite)});
    write.FillLocals(static_cast<uint64_t>(id));
    lane->Run(write.transfers(), Soon());
    EXPECT_TRUE(write.AllOk()) << write.Statuses();
    TransferBatch read(client_.get(), {grant(Access::kRead)});
    lane->Run(read.transfers(), Soon());
    EXPECT_TRUE(read.AllOk()) << read.Statuses();
    EXPECT_TRUE(SameBytes(read.local(0), write.local(0)));
  }

  VerbsEnds ends_;
  FakeGate gate_{kRegionBytes};
  std::unique_ptr<VerbsServer> server_;
  std::unique_ptr<ServerLoops> loops_;
  std::unique_ptr<VerbsClient> client_;
  absl::Mutex mu_;
  std::vector<ServerTransport::Reply> held_ ABSL_GUARDED_BY(mu_);
};

TEST_F(VerbsMessages, EachIsAnsweredOnItsLaneWhateverItsSize) {
  const std::unique_ptr<Lane> one = Connect(1), two = Connect(2);
  ASSERT_TRUE(one->carries_messages());
  const std::string largest(kLaneMessageBytesMax - 2, 'x');
  EXPECT_EQ(Ask(one.get(), "first"), "1:first");
  EXPECT_EQ(Ask(two.get(), "second"), "2:second");
  EXPECT_EQ(Ask(one.get(), largest), "1:" + largest);
  EXPECT_EQ(Ask(one.get(), "x"), "1:x");
  EXPECT_EQ(server_->stats().messages_total, 4u);
}

// More than any queue holds, between batches in both directions.
TEST_F(VerbsMessages, ManyGoBetweenBatches) {
  const std::unique_ptr<Lane> lane = Connect(1);
  for (int round = 0; round < 4; ++round) {
    for (uint32_t i = 0; i < 6 * kVerbsSilentMessagesMax; ++i) {
      const std::string text = std::to_string(i);
      ASSERT_EQ(Ask(lane.get(), text), "1:" + text);
    }
    ExpectBytesMove(lane.get(), LaneId{1});
  }
  EXPECT_TRUE(lane->usable());
}

TEST_F(VerbsMessages, AnAnswerMayComeLateAndFromAnyThread) {
  const std::unique_ptr<Lane> lane = Connect(1), other = Connect(2);
  ASSERT_TRUE(lane->Send("hold").ok());
  const auto early = lane->Receive(InAWhile());
  ASSERT_TRUE(early.ok()) << early.status();
  EXPECT_FALSE(early->has_value());
  EXPECT_EQ(Ask(other.get(), "meanwhile"), "2:meanwhile");
  EXPECT_TRUE(std::move(TakeHeld(1)[0])("late"));
  EXPECT_EQ(**lane->Receive(Soon()), "late");
  EXPECT_EQ(Ask(lane.get(), "next"), "1:next");
}

TEST_F(VerbsMessages, AnAnswerToALaneThatIsFencedGoesNowhere) {
  const std::unique_ptr<Lane> lane = Connect(1);
  ASSERT_TRUE(lane->Send("hold").ok());
  std::vector<ServerTransport::Reply> held = TakeHeld(1);
  Fence(kSession);
  EXPECT_FALSE(std::move(held[0])("too late"));
  EXPECT_FALSE((*lane->Receive(InAWhile())).has_value());
  EXPECT_EQ(server_->stats().refused_frames_total, 0u);
}

TEST_F(VerbsMessages, AnAnswerAfterTheServersEndGoesNowhere) {
  const std::unique_ptr<Lane> lane = Connect(1);
  ASSERT_TRUE(lane->Send("hold").ok());
  std::vector<ServerTransport::Reply> held = TakeHeld(1);
  loops_.reset();
  server_.reset();
  EXPECT_FALSE(std::move(held[0])("too late"));
}

TEST_F(VerbsMessages, AFencedServerIsUnavailableAndThatIsNoRefusal) {
  const std::unique_ptr<Lane> lane = Connect(1);
  EXPECT_EQ(Ask(lane.get(), "a"), "1:a");
  Fence(kSession);
  ASSERT_TRUE(lane->Send("b").ok());
  EXPECT_EQ(lane->Receive(Soon()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lane->usable());
  EXPECT_EQ(lane->Send("c").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(server_->stats().refused_frames_total, 0u);
}

TEST_F(VerbsMessages, AFenceOfWritesLeavesThemAlone) {
  const std::unique_ptr<Lane> lane = Connect(1);
  Fence(kSession, FenceScope::kWrites);
  EXPECT_EQ(Ask(lane.get(), "a"), "1:a");
}

// The server's queue pair gives up on its answer, and the client's has nothing on its way that
// would say so.
TEST_F(VerbsMessages, AnAnswerThatAWireHasLostIsNotWaitedForForEver) {
  const char* const kind = std::getenv("SOFTROCE");
  if (kind == nullptr || std::string(kind) != "wire") GTEST_SKIP() << "no wire to cut";
  const std::unique_ptr<Lane> lane = Connect(1);
  ASSERT_TRUE(lane->Send("hold").ok());
  std::vector<ServerTransport::Reply> held = TakeHeld(1);
  const uint64_t before = RetriesExceeded(ends_.left[0]);
  ASSERT_EQ(std::system("softroce-wire shape loss 100%"), 0);
  EXPECT_TRUE(std::move(held[0])("lost"));
  for (const Instant patience = Soon(); RetriesExceeded(ends_.left[0]) == before;) {
    ASSERT_LT(Clock::Real()->Now(), patience) << "the server's NIC does not give up";
  }
  ASSERT_EQ(std::system("softroce-wire unshape"), 0);
  absl::StatusOr<std::optional<std::string_view>> answer;
  for (const Instant patience = Soon(); Clock::Real()->Now() < patience;) {
    answer = lane->Receive(InAWhile());
    if (!answer.ok() || answer->has_value()) break;
  }
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(lane->usable());
}

// The server's answer finds no queue pair: its own fails, and nobody has been refused.
TEST_F(VerbsMessages, AClientThatIsGoneWhenItsAnswerComesCostsNothing) {
  std::unique_ptr<Lane> lane = Connect(1);
  ASSERT_TRUE(lane->Send("hold").ok());
  std::vector<ServerTransport::Reply> held = TakeHeld(1);
  lane.reset();
  (void)std::move(held[0])("nobody is there");
  const std::unique_ptr<Lane> other = Connect(2);
  EXPECT_EQ(Ask(other.get(), "a"), "2:a");
  Fence(kSession);
  EXPECT_EQ(server_->stats().refused_frames_total, 0u);
}

TEST_F(VerbsMessages, WhatIsTooLargeIsRefusedHere) {
  const std::unique_ptr<Lane> lane = Connect(1);
  const std::string large(kLaneMessageBytesMax + 1, 'x');
  EXPECT_EQ(lane->Send(large).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Ask(lane.get(), "a"), "1:a");
}

TEST_F(VerbsMessages, AServerThatTakesNoneIsNotSentAny) {
  Start(/*with_messages=*/false);
  const std::unique_ptr<Lane> lane = Connect(1);
  EXPECT_FALSE(lane->carries_messages());
  EXPECT_EQ(lane->Send("a").code(), absl::StatusCode::kInvalidArgument);
  ExpectBytesMove(lane.get(), LaneId{1});
}

TEST_F(VerbsMessages, NothingIsLeftOfLanesThatSentSome) {
  Connect(1).reset();  // What is made once.
  Fence(kSession);
  const std::string before = KernelObjects();
  for (uint64_t i = 2; i < 8; ++i) {
    const std::unique_ptr<Lane> lane = Connect(i);
    EXPECT_EQ(Ask(lane.get(), "a"), std::to_string(i) + ":a");
    ASSERT_TRUE(lane->Send("hold").ok());
    TakeHeld(1).clear();
  }
  Fence(kSession);
  EXPECT_EQ(KernelObjects(), before);
}

// Somebody who posts what he likes on a lane's queue pair for READs.
class Hostile {
 public:
  Hostile(VerbsServer* server, const VerbsDeviceOptions& options, Access access)
      : device_(*VerbsDevice::Open(options.devices[0], options)),
        memory_(2 * kLaneMessageBytesMax),
        mr_(*device_->Register(memory_, IBV_ACCESS_LOCAL_WRITE)) {
    channel_.reset(ibv_create_comp_channel(device_->context()));
    cq_.reset(ibv_create_cq(device_->context(), 16, nullptr, channel_.get(), 0));
    VerbsHello hello{.rails = {device_->address()}};
    VerbsRail& mine = hello.rails[0];
    mine.reads_max = 1;
    for (VerbsQp* qp : {&reads_, &writes_}) {
      *qp = *MakeVerbsQueue(*device_, {.cq = cq_.get(), .sends_max = 4});
    }
    mine.read_qp = reads_->qp_num;
    mine.write_qp = writes_->qp_num;
    const VerbsOffer offer =
        *DecodeVerbsOffer(*server->Accept(kHostile, LaneId{9}, EncodeVerbsHello(hello)));
    const bool reads = access == Access::kRead;
    const VerbsRail& theirs = offer.rails[0];
    qp_ = (reads ? reads_ : writes_).get();
    KV_CHECK(ConnectVerbsQueue(qp_, *device_,
                               {.address = theirs,
                                .qp = reads ? theirs.read_qp : theirs.write_qp,
                                .psn = reads ? theirs.read_psn : theirs.write_psn})
                 .ok());
    KV_CHECK(StartVerbsRequests(qp_, {.psn = 0, .reads_max = 1}).ok());
  }

  // Sends so many bytes, or reads them from what nobody has offered, and returns how that
  // ended.
  ibv_wc_status Send(uint32_t bytes, ibv_wr_opcode what = IBV_WR_SEND) {
    ibv_sge slice = {.addr = reinterpret_cast<uint64_t>(memory_.data()),
                     .length = bytes,
                     .lkey = mr_->lkey};
    ibv_send_wr send{};
    send.sg_list = &slice;
    send.num_sge = 1;
    send.opcode = what;
    send.send_flags = IBV_SEND_SIGNALED;
    ibv_send_wr* bad = nullptr;
    KV_CHECK(ibv_post_send(qp_, &send, &bad) == 0);
    ibv_wc completion{};
    const Instant patience = Soon();
    while (ibv_poll_cq(cq_.get(), 1, &completion) == 0) {
      KV_CHECK(Clock::Real()->Now() < patience);
    }
    return completion.status;
  }

 private:
  const std::unique_ptr<VerbsDevice> device_;
  std::vector<std::byte> memory_;
  const VerbsMr mr_;
  VerbsChannel channel_;
  VerbsCq cq_;
  VerbsQp reads_, writes_;
  ibv_qp* qp_ = nullptr;
};

TEST_F(VerbsMessages, OneThatIsTooLargeStopsItsQueuePairAndDisturbsNobody) {
  const std::unique_ptr<Lane> bystander = Connect(1);
  Hostile hostile(server_.get(), ends_.Right(), Access::kRead);
  EXPECT_NE(hostile.Send(kLaneMessageBytesMax + 1), IBV_WC_SUCCESS);
  AwaitRefusals(1);
  EXPECT_EQ(Ask(bystander.get(), "a"), "1:a");
}

TEST_F(VerbsMessages, OneOnTheQueuePairForWritesIsRefused) {
  const std::unique_ptr<Lane> bystander = Connect(1);
  Hostile hostile(server_.get(), ends_.Right(), Access::kWrite);
  EXPECT_NE(hostile.Send(8), IBV_WC_SUCCESS);
  AwaitRefusals(1);
  EXPECT_EQ(Ask(bystander.get(), "a"), "1:a");
}

// The server takes the next message only with its answer to the one before, and not for ever
// with answers that nobody takes.
TEST_F(VerbsMessages, AClientThatTakesNoAnswersIsNotListenedToAndThatIsNoRefusal) {
  const std::unique_ptr<Lane> bystander = Connect(1);
  Hostile hostile(server_.get(), ends_.Right(), Access::kRead);
  for (uint32_t i = 0; i <= kVerbsAnswersMax; ++i) {
    EXPECT_EQ(hostile.Send(8), IBV_WC_SUCCESS) << i;
  }
  EXPECT_EQ(Ask(bystander.get(), "a"), "1:a");
  EXPECT_EQ(server_->stats().messages_total, kVerbsAnswersMax + 2);
  Fence(kHostile);
  EXPECT_EQ(Ask(bystander.get(), "b"), "1:b");
  EXPECT_EQ(server_->stats().refused_frames_total, 0u);
}

// With the answer still there, both it and the receive are flushed.
TEST_F(VerbsMessages, ARefusalIsSeenThoughAnAnswerWaits) {
  for (uint64_t refusals = 1; refusals <= 8; ++refusals) {
    Hostile hostile(server_.get(), ends_.Right(), Access::kRead);
    EXPECT_EQ(hostile.Send(8), IBV_WC_SUCCESS);
    EXPECT_EQ(hostile.Send(8, IBV_WR_RDMA_READ), IBV_WC_REM_ACCESS_ERR);
    AwaitRefusals(refusals);
    Fence(kHostile);
  }
}

}  // namespace
}  // namespace kvasir
